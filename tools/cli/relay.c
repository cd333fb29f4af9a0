#include "tools/cli/relay.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define PING_MS    30000
#define SILENCE_MS 120000 /* with pings in between: the machine is gone */

struct run {
	struct relay *relay;
	struct websocket *socket;
	bool output_gone, input_ended, escaped;
	int64_t heard_ms, pinged_ms, active_ms; /* from the machine; our last ping; last byte of data either way */
};

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void write_output(void *ctx, const uint8_t *bytes, size_t count, bool end)
{
	struct run *run = ctx;

	run->active_ms = now_ms();
	if (run->relay->receive != NULL) {
		run->output_gone = !run->relay->receive(run->relay->ctx, bytes, count, end) || run->output_gone;
		return;
	}
	while (count != 0 && !run->output_gone) {
		ssize_t written = write(run->relay->out_fd, bytes, count);

		if (written < 0 && errno == EAGAIN) {
			struct pollfd ready = { .fd = run->relay->out_fd, .events = POLLOUT };

			poll(&ready, 1, -1);
		} else if (written < 0 && errno != EINTR) {
			run->output_gone = true;
		} else if (written > 0) {
			bytes += written;
			count -= (size_t)written;
		}
	}
}

static void read_input(struct run *run)
{
	uint8_t bytes[WEBSOCKET_CHUNK_BYTES];
	ssize_t count = read(run->relay->in_fd, bytes, sizeof(bytes));
	const uint8_t *escape;

	if (count < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	run->active_ms = now_ms();
	run->relay->typed = true;
	if (count <= 0) {
		run->input_ended = true;
		return;
	}
	escape = run->relay->escape < 0 ? NULL : memchr(bytes, run->relay->escape, (size_t)count);
	run->escaped = escape != NULL;
	if (escape != NULL)
		count = escape - bytes;
	if (count > 0)
		websocket_send(run->socket, WS_BINARY, bytes, (size_t)count);
}

/* What ends it, or -1. */
static int find_end(const struct run *run, int64_t now)
{
	if (run->output_gone)
		return RELAY_OUTPUT_GONE;
	if (run->socket->state == WEBSOCKET_CLOSED)
		return RELAY_CLOSED;
	if (run->socket->state == WEBSOCKET_LOST)
		return RELAY_LOST;
	if (websocket_has_output(run->socket))
		return -1;
	if (run->escaped)
		return RELAY_ESCAPED;
	if (run->input_ended && run->relay->linger_ms >= 0 && now - run->active_ms >= run->relay->linger_ms)
		return RELAY_INPUT_ENDED;
	return -1;
}

/* Pings, so that a machine that went away without a word is noticed. */
static void watch_peer(struct run *run, int64_t now)
{
	if (now - run->heard_ms > SILENCE_MS) {
		cli_error("%s: nothing is heard of it any more", run->socket->session->target.address.authority);
		run->socket->state = WEBSOCKET_LOST;
	} else if (now - run->heard_ms > PING_MS && now - run->pinged_ms > PING_MS) {
		websocket_send(run->socket, WS_PING, "", 0);
		run->pinged_ms = now;
	}
}

static void wait_and_serve(struct run *run)
{
	bool listens = !run->input_ended && !run->escaped && !websocket_has_output(run->socket);
	struct pollfd fds[2] = {
		{ .fd = run->socket->fd, .events = (short)(POLLIN | (websocket_has_output(run->socket) ? POLLOUT : 0)) },
		{ .fd = listens ? run->relay->in_fd : -1, .events = POLLIN },
	};

	if (poll(fds, 2, run->input_ended && run->relay->linger_ms >= 0 ? 50 : 1000) <= 0)
		return;
	if (fds[0].revents != 0) {
		run->heard_ms = now_ms();
		websocket_flush(run->socket);
		websocket_receive(run->socket);
	}
	if (fds[1].revents != 0)
		read_input(run);
}

enum relay_end relay_run(struct relay *relay, struct websocket *socket)
{
	int64_t now = now_ms();
	struct run run = {
		.relay = relay, .socket = socket, .heard_ms = now, .pinged_ms = now, .active_ms = now, .input_ended = relay->in_fd < 0
	};
	int end;

	socket->receive = write_output;
	socket->ctx = &run;
	websocket_receive(socket); /* TLS may hold bytes that poll() does not see */
	while ((end = find_end(&run, now_ms())) < 0) {
		wait_and_serve(&run);
		watch_peer(&run, now_ms());
	}
	return (enum relay_end)end;
}
