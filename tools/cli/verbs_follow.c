/* events and dmesg: what has happened, and with --follow what happens. */
#include "tools/cli/json.h"
#include "tools/cli/relay.h"
#include "tools/cli/show.h"
#include "tools/cli/text.h"
#include "tools/cli/verbs.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MESSAGE_BYTES_MAX (1u << 20)

struct follower {
	const struct cli_options *options;
	struct memory_buffer message; /* that is not complete yet */
	uint64_t (*show)(const struct cli_options *options, const char *text, size_t length, uint64_t at);
	const char *what; /* "/events" or "/log" */
	uint64_t at;      /* where to go on: what show returned */
};

/* Cuts the stream into messages. */
static bool receive_message(void *ctx, const uint8_t *bytes, size_t count, bool end)
{
	struct follower *follower = ctx;

	if (!memory_append(&follower->message, bytes, count, MESSAGE_BYTES_MAX)) {
		cli_error("the machine sends a message without an end");
		return false;
	}
	if (end) {
		follower->at = follower->show(follower->options, follower->message.bytes, follower->message.length, follower->at);
		follower->message.length = 0;
		fflush(stdout);
	}
	return !ferror(stdout);
}

/* From where it stands; the connection may be a second one. */
static enum cli_exit open_stream(const struct http_session *session, struct websocket *socket, const struct follower *follower, bool again)
{
	char *bare = http_path(follower->what), *path = memory_format("%s?since=%" PRIu64, bare, follower->at);
	enum cli_exit status = again ? websocket_open_again(socket, session, path) : websocket_open(socket, session, path, NULL);

	free(path);
	free(bare);
	return status;
}

/* Shows every message that comes, until Ctrl-C ends the program or the machine goes. */
static enum cli_exit follow(const struct http_session *session, struct follower *follower)
{
	struct websocket *socket = memory_resize(NULL, sizeof(*socket));
	struct relay relay = { .in_fd = -1, .out_fd = -1, .escape = -1, .linger_ms = -1, .receive = receive_message, .ctx = follower };
	enum cli_exit status = open_stream(session, socket, follower, false);
	enum relay_end end = RELAY_LOST;

	fflush(stdout);
	while (status == CLI_OK && (end = relay_run(&relay, socket)) == RELAY_LOST) {
		follower->message.length = 0;
		status = open_stream(session, socket, follower, true);
	}
	if (status == CLI_OK) {
		switch (end) {
		case RELAY_CLOSED:
			cli_error("the machine closed the connection (%u)", socket->close_code);
			status = CLI_UNREACHABLE;
			break;
		default:
			break;
		}
	}
	websocket_close(socket);
	free(socket);
	free(follower->message.bytes);
	return status;
}

static const char *text_or_empty(const json_t *object, const char *key)
{
	const char *text = json_text(object, key);

	return text == NULL ? "" : text;
}

static void print_event(const json_t *event)
{
	const char *name = text_or_empty(event, "name"), *message = text_or_empty(event, "message");
	char *line = memory_format("%-20s %6" PRIu64 "  %-18s %s%s%s", text_or_empty(event, "time"), json_number(event, "id"),
	                           text_or_empty(event, "kind"), name, *name == '\0' || *message == '\0' ? "" : ": ", message);

	show_line(line);
	free(line);
}

static uint64_t show_event(const struct cli_options *options, const char *text, size_t length, uint64_t at)
{
	json_t *event = json_loadb(text, length, 0, NULL);

	if (event == NULL)
		cli_error("the machine sends an event that is no JSON");
	else if (options->json)
		json_print(event);
	else
		print_event(event);
	if (event != NULL)
		at = json_number(event, "id");
	json_decref(event);
	return at;
}

/* What is kept; *last is where to go on. */
static enum cli_exit print_events(struct http_session *session, const struct cli_options *options, uint64_t *last)
{
	struct http_reply reply;
	char *path = http_path("/events"), *whole;
	enum cli_exit status;
	const json_t *event;
	size_t i;

	whole = memory_format("%s?since=%" PRId64, path, options->since == CLI_NOT_GIVEN ? 0 : options->since);
	free(path);
	status = show_fetch_again(session, whole, NULL, &reply);
	if (status == CLI_OK) {
		*last = json_number(reply.json, "last");
		if (options->json && !options->follow)
			json_print(reply.json);
		else
			json_array_foreach(json_object_get(reply.json, "events"), i, event) options->json ? json_print(event)
													  : print_event(event);
	}
	http_free(&reply);
	return status;
}

static enum cli_exit run_events(const struct cli_options *options, char **operands, int count)
{
	struct follower follower = { .options = options, .show = show_event, .what = "/events" };
	struct http_session session;
	enum cli_exit status = http_open(&session, options);

	(void)operands, (void)count;
	if (status == CLI_OK)
		status = print_events(&session, options, &follower.at);
	if (status == CLI_OK && options->follow)
		status = follow(&session, &follower);
	http_close(&session);
	return status;
}

const struct verb verb_events = {
	.name = "events",
	.operands = "",
	.summary = "Show what has happened to VMs and machine",
	.help = "Each line has the time, the event's number, its kind, and what it concerns. With --follow, -o json prints one object "
		"after another.\n"
		"\nExamples:\n"
		"  hilum events\n"
		"  hilum events --follow --since 120\n",
	.options = "follow since",
	.run = run_events,
};

static uint64_t show_text(const struct cli_options *options, const char *text, size_t length, uint64_t at)
{
	char *safe = text_safe(text, length, true);

	(void)options;
	fputs(safe, stdout);
	free(safe);
	return at + length;
}

/* *position is where to go on. */
static enum cli_exit print_log(struct http_session *session, const struct cli_options *options, int64_t *position)
{
	char *bare = http_path("/log"),
	     *path = memory_format("%s?since=%" PRId64, bare, options->since == CLI_NOT_GIVEN ? 0 : options->since);
	const struct http_request request = { .method = "GET", .path = path };
	struct http_reply reply;
	enum cli_exit status = http_call(session, &request, NULL, &reply);

	if (status == CLI_OK && reply.body.length != 0)
		show_text(options, reply.body.bytes, reply.body.length, 0);
	if (!text_parse_number(reply.log_position, INT64_MAX, position))
		*position = 0;
	http_free(&reply);
	free(path);
	free(bare);
	return status;
}

static enum cli_exit run_dmesg(const struct cli_options *options, char **operands, int count)
{
	struct follower follower = { .options = options, .show = show_text, .what = "/log" };
	struct http_session session;
	int64_t position = 0;
	enum cli_exit status = http_open(&session, options);

	(void)operands, (void)count;
	if (status == CLI_OK)
		status = print_log(&session, options, &position);
	follower.at = (uint64_t)position;
	if (status == CLI_OK && options->follow)
		status = follow(&session, &follower);
	http_close(&session);
	return status;
}

const struct verb verb_dmesg = {
	.name = "dmesg",
	.operands = "",
	.summary = "Show Hilum's log",
	.help = "What the kernel and the service VMs have logged, as far as it is kept. --since takes a position in bytes.\n"
		"\nExamples:\n"
		"  hilum dmesg\n"
		"  hilum dmesg --follow\n",
	.options = "follow since",
	.run = run_dmesg,
};
