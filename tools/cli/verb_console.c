/* console: a VM's serial line. What the guest prints goes to the terminal as it is: that is what a console is for. */
#include "tools/cli/console.h"
#include "tools/cli/relay.h"
#include "tools/cli/replay.h"
#include "tools/cli/terminal.h"
#include "tools/cli/text.h"
#include "tools/cli/verbs.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define ESCAPE             0x1d /* Ctrl-] */
#define TAIL_BYTES         16384u
#define SCROLLBACK_BYTES   (1u << 20) /* that the machine keeps at most */
#define LINGER_SECONDS     1
#define LINGER_SECONDS_MAX 1000000

/* "?tail=BYTES", or nothing for all that is kept; false: the option is wrong, and that was said. */
static bool make_query(const char *tail, uint64_t fallback, char *out, size_t size)
{
	uint64_t bytes = fallback;

	out[0] = '\0';
	if (tail != NULL && strcmp(tail, "all") == 0)
		return true;
	if (tail != NULL && (!text_parse_size(tail, &bytes) || bytes > INT64_MAX)) {
		cli_error("--tail: \"%s\" is neither a size, as 64K, nor all", tail);
		return false;
	}
	if (bytes != UINT64_MAX)
		snprintf(out, size, "?tail=%" PRIu64, bytes);
	return true;
}

enum cli_exit console_open(const struct http_session *session, const struct cli_options *options, const char *name, struct websocket **out)
{
	char query[40], *bare, *path, *failure;
	enum cli_exit status;

	*out = NULL;
	if (!make_query(options->tail, TAIL_BYTES, query, sizeof(query)))
		return CLI_USAGE;
	bare = http_path("/vms/%s/console", name);
	path = memory_format("%s%s", bare, query);
	failure = memory_format("Failed to open the console of domain '%s'", name);
	*out = memory_resize(NULL, sizeof(**out));
	status = websocket_open(*out, session, path, failure);
	free(failure);
	free(path);
	free(bare);
	return status;
}

void console_close(struct websocket *socket)
{
	if (socket != NULL)
		websocket_close(socket);
	free(socket);
}

static void say_end(const struct websocket *socket, enum relay_end end)
{
	char *safe;

	if (end == RELAY_CLOSED) {
		safe = text_safe(socket->close_reason, strlen(socket->close_reason), false);
		cli_error("the machine closed the console (%u%s%s)", socket->close_code, *safe == '\0' ? "" : ": ", safe);
		free(safe);
	}
}

/* Earlier output at a terminal, as long as it comes without a pause, and nobody types: then it is over. */
struct rerun {
	struct relay *relay;
	struct replay replay;
	uint64_t left; /* bytes that it can have at most */
	time_t seen;
	bool over;
};

static bool write_terminal(const uint8_t *bytes, size_t count)
{
	while (count != 0) {
		ssize_t written = write(STDOUT_FILENO, bytes, count);

		if (written < 0 && errno != EINTR)
			return false;
		if (written > 0) {
			bytes += written;
			count -= (size_t)written;
		}
	}
	return true;
}

static bool receive_rerun(void *ctx, const uint8_t *bytes, size_t count, bool end)
{
	struct rerun *rerun = ctx;
	uint8_t *out = memory_resize(NULL, count + REPLAY_HELD_BYTES);
	time_t now = time(NULL);
	bool written;
	size_t used;

	(void)end;
	if (!rerun->over && (rerun->relay->typed || rerun->left < count || now - rerun->seen > 1)) {
		rerun->over = true;
		used = replay_finish(&rerun->replay, out);
		write_terminal(out, used);
	}
	rerun->seen = now;
	rerun->left -= rerun->over ? 0 : count;
	used = rerun->over ? 0 : replay_filter(&rerun->replay, bytes, count, out);
	written = rerun->over ? write_terminal(bytes, count) : write_terminal(out, used);
	free(out);
	return written;
}

/* What was printed meanwhile is in the scrollback; the terminal goes on with what comes. */
static bool open_again(struct websocket *socket, const char *name)
{
	char *bare = http_path("/vms/%s/console", name), *path = memory_format("%s?tail=0", bare);
	bool opened = websocket_open_again(socket, socket->session, path) == CLI_OK;

	free(path);
	free(bare);
	return opened;
}

enum cli_exit console_run(struct websocket *socket, const struct cli_options *options, const char *name)
{
	bool typed = isatty(STDIN_FILENO);
	struct relay relay = { .in_fd = STDIN_FILENO, .out_fd = STDOUT_FILENO, .escape = typed ? ESCAPE : -1 };
	struct rerun rerun = { .relay = &relay, .left = TAIL_BYTES, .seen = time(NULL) };
	enum relay_end end;

	relay.linger_ms = options->follow ? -1 : (int)(options->linger == CLI_NOT_GIVEN ? LINGER_SECONDS : options->linger) * 1000;
	if (typed) {
		fprintf(stderr, "Connected to domain '%s'\nEscape character is ^] (Ctrl + ])\n", name);
		terminal_enter_raw(STDIN_FILENO);
		if (options->tail != NULL && !text_parse_size(options->tail, &rerun.left)) /* all */
			rerun.left = SCROLLBACK_BYTES;
		relay.receive = isatty(STDOUT_FILENO) ? receive_rerun : NULL;
		relay.ctx = &rerun;
	}
	for (end = relay_run(&relay, socket); end == RELAY_LOST && typed; end = relay_run(&relay, socket))
		if (!open_again(socket, name))
			break;
	terminal_leave_raw();
	if (typed) /* what a guest may have left: colours, a hidden cursor, reports of the mouse, bracketed paste */
		fputs(isatty(STDOUT_FILENO) ? "\033[0m\033[?25h\033[?1000l\033[?1002l\033[?1003l\033[?2004l\r\n" : "\n", stdout);
	fflush(stdout);
	say_end(socket, end);
	return end == RELAY_CLOSED || end == RELAY_LOST ? CLI_UNREACHABLE : CLI_OK;
}

/* The scrollback alone, which a viewer may read too. */
static enum cli_exit print_log(struct http_session *session, const struct cli_options *options, const char *name)
{
	char query[40], *bare, *path, *failure;
	struct http_request request = { .method = "GET" };
	struct http_reply reply;
	enum cli_exit status;

	if (!make_query(options->tail, UINT64_MAX, query, sizeof(query)))
		return CLI_USAGE;
	bare = http_path("/vms/%s/console", name);
	request.path = path = memory_format("%s%s", bare, query);
	failure = memory_format("Failed to read the console of domain '%s'", name);
	status = http_call(session, &request, failure, &reply);
	if (status == CLI_OK && reply.body.length != 0)
		fwrite(reply.body.bytes, 1, reply.body.length, stdout);
	http_free(&reply);
	free(failure);
	free(path);
	free(bare);
	return status;
}

static enum cli_exit run_console(const struct cli_options *options, char **operands, int count)
{
	struct http_session session;
	struct websocket *socket = NULL;
	enum cli_exit status;

	(void)count;
	if (options->linger > LINGER_SECONDS_MAX) {
		cli_error("--linger: at most %d seconds; --follow is for ever", LINGER_SECONDS_MAX);
		return CLI_USAGE;
	}
	status = http_open(&session, options);
	if (status == CLI_OK && options->log) {
		status = print_log(&session, options, operands[0]);
	} else if (status == CLI_OK) {
		status = console_open(&session, options, operands[0], &socket);
		if (status == CLI_OK)
			status = console_run(socket, options, operands[0]);
	}
	console_close(socket);
	http_close(&session);
	return status;
}

const struct verb verb_console = {
	.name = "console",
	.operands = "NAME",
	.summary = "Attach to a VM's console",
	.help = "Shows the last 16 KiB that it printed, then goes on. Every key goes to the guest; Ctrl-] leaves. The console stays open "
		"when the\n"
		"guest ends or starts again.\n"
		"With input from a pipe: types it, and ends when nothing was printed for a second after its end (--linger, --follow).\n"
		"\nExamples:\n"
		"  hilum console linux\n"
		"  hilum console linux --log --tail all >linux.log\n"
		"  printf 'uname -a\\n' | hilum console linux --tail 0\n",
	.options = "tail log linger follow",
	.least = 1,
	.most = 1,
	.run = run_console,
};
