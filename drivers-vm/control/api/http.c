/*
 * Connections and requests. Input waits in a buffer of fixed size until it is used, so that requests that come before an earlier one is
 * answered are answered in their order, and a body is read as fast as its route takes it.
 */
#include "drivers-vm/control/api/http_private.h"

#include <stdlib.h>
#include <string.h>

#define SECOND_NS 1000000000ull
#define IDLE_NS   (60 * SECOND_NS) /* between two requests */
#define HEAD_NS   (10 * SECOND_NS) /* from a head's first byte to its last */
#define BODY_NS   (30 * SECOND_NS) /* without a byte of a body */
#define SEND_NS   (60 * SECOND_NS) /* without room at the transport */
#define LINGER_NS (2 * SECOND_NS)

static struct http_conn *connections[HTTP_CONNECTIONS_MAX];

/* What is answered before a request could be read. */
static const struct http_request no_request = { .method = HTTP_OTHER, .method_text = "", .path = "", .query = "" };

static void set_state(struct http_conn *conn, enum http_state state, uint64_t limit_ns)
{
	conn->state = state;
	conn->deadline_ns = conn->x.now_ns + limit_ns;
}

struct http_conn *http_open(const struct http_transport *transport, void *ctx, const uint8_t peer[16], uint64_t now_ns)
{
	for (unsigned i = 0; i < HTTP_CONNECTIONS_MAX; i++) {
		if (connections[i] != NULL)
			continue;
		connections[i] = calloc(1, sizeof(*connections[i]));
		if (connections[i] == NULL)
			return NULL;
		connections[i]->transport = transport;
		connections[i]->ctx = ctx;
		connections[i]->x.now_ns = now_ns;
		connections[i]->x.request = no_request;
		memcpy(connections[i]->x.peer, peer, 16);
		set_state(connections[i], HTTP_STATE_HEAD, IDLE_NS);
		return connections[i];
	}
	return NULL;
}

static void forget(struct http_conn *conn)
{
	http_end_exchange(conn);
	for (unsigned i = 0; i < HTTP_CONNECTIONS_MAX; i++)
		if (connections[i] == conn)
			connections[i] = NULL;
	free(conn);
}

static void enter(struct http_conn *conn, uint64_t now_ns)
{
	conn->depth++;
	conn->x.now_ns = now_ns;
}

static void leave(struct http_conn *conn)
{
	if (--conn->depth == 0 && conn->state == HTTP_STATE_OVER)
		forget(conn);
}

void http_end_exchange(struct http_conn *conn)
{
	if (conn->exchange_open) {
		conn->exchange_open = false;
		api_end(&conn->x);
	}
	text_free(&conn->x.body);
	conn->x.request = no_request;
	memset(&conn->x.route, 0, sizeof(conn->x.route));
	memset(&conn->x.answer, 0, sizeof(conn->x.answer));
}

void http_finish(struct http_conn *conn)
{
	if (conn->state == HTTP_STATE_OVER)
		return;
	conn->state = HTTP_STATE_OVER;
	conn->transport->finish(conn->ctx);
}

void http_linger(struct http_conn *conn)
{
	http_end_exchange(conn);
	set_state(conn, HTTP_STATE_LINGER, LINGER_NS);
}

void http_close(struct http_conn *conn)
{
	conn->state = HTTP_STATE_OVER;
	if (conn->depth == 0)
		forget(conn);
}

bool http_is_busy(const struct http_conn *conn)
{
	return conn->x.route.token_serial != 0;
}

void http_drop_input(struct http_conn *conn, size_t count)
{
	conn->in_start += count;
	if (conn->in_start == conn->in_end)
		conn->in_start = conn->in_end = 0;
	if (count != 0)
		conn->transport->consumed(conn->ctx, count);
}

/* An empty line before a request is skipped (RFC 9112, 2.2). */
static void skip_empty_line(struct http_conn *conn)
{
	const uint8_t *at = conn->in + conn->in_start;

	if (http_input_count(conn) >= 2 && at[0] == '\r' && at[1] == '\n')
		http_drop_input(conn, 2);
}

void http_take_body(struct http_exchange *x, http_sink *sink, void (*done)(struct http_exchange *x))
{
	x->answer.sink = sink;
	x->answer.done = done;
}

static void begin_body(struct http_conn *conn)
{
	struct http_exchange *x = &conn->x;
	bool empty = !x->request.chunked && x->request.length == 0;

	if (!empty && x->request.expect_continue && http_room(conn) >= 25)
		http_put(conn, "HTTP/1.1 100 Continue\r\n\r\n", 25);
	conn->chunks = (struct http_chunks){ 0 };
	conn->body_left = x->request.length;
	set_state(conn, HTTP_STATE_BODY, BODY_NS);
	http_flush(conn);
}

/* Passes the request to the routes. */
static void begin_exchange(struct http_conn *conn)
{
	struct http_exchange *x = &conn->x;

	if (x->request.method == HTTP_HEAD) {
		conn->head_only = true;
		x->request.method = HTTP_GET;
	}
	conn->exchange_open = true;
	api_begin(x);
	if (x->answer.status != 0)
		http_begin_answer(conn);
	else if (x->answer.done != NULL)
		begin_body(conn);
	else
		http_refuse(conn, 500);
}

/* True: something went on. */
static bool read_head(struct http_conn *conn)
{
	skip_empty_line(conn);
	size_t count = http_input_count(conn), length = http_head_length(conn->in + conn->in_start, count);
	unsigned refused;

	if (length == 0 && count < HTTP_HEAD_BYTES)
		return false;
	conn->head_only = conn->close_after = false;
	if (length == 0 || length > HTTP_HEAD_BYTES) {
		http_refuse(conn, 431);
		return true;
	}
	memcpy(conn->head, conn->in + conn->in_start, length);
	http_drop_input(conn, length);
	refused = http_parse_head(conn->head, length, &conn->x.request);
	if (refused != 0)
		http_refuse(conn, refused);
	else
		begin_exchange(conn);
	return true;
}

/* How many of the input's bytes are the body's data; negative: it is malformed. */
static long data_count(struct http_conn *conn)
{
	uint64_t left = conn->body_left;
	size_t count;

	if (conn->x.request.chunked) {
		long frame = http_take_chunk_frame(&conn->chunks, conn->in + conn->in_start, http_input_count(conn));

		if (frame < 0)
			return -1;
		http_drop_input(conn, (size_t)frame);
		left = conn->chunks.state == HTTP_CHUNK_DATA ? conn->chunks.left : 0;
	}
	count = http_input_count(conn);
	return (long)(left < count ? left : count);
}

static bool body_is_complete(const struct http_conn *conn)
{
	return conn->x.request.chunked ? conn->chunks.state == HTTP_CHUNK_END : conn->body_left == 0;
}

static bool read_body(struct http_conn *conn)
{
	struct http_exchange *x = &conn->x;
	long count = data_count(conn);

	if (count < 0) {
		http_refuse(conn, 400);
		return true;
	}
	if (count > 0) {
		bool wanted = x->answer.sink(x, conn->in + conn->in_start, (size_t)count);

		if (x->request.chunked)
			conn->chunks.left -= (uint64_t)count;
		else
			conn->body_left -= (uint64_t)count;
		http_drop_input(conn, (size_t)count);
		conn->deadline_ns = x->now_ns + BODY_NS;
		if (!wanted && x->answer.status == 0)
			http_refuse(conn, 500);
		else if (!wanted)
			http_begin_answer(conn);
		return true;
	}
	if (!body_is_complete(conn))
		return false;
	x->answer.done(x);
	if (x->answer.status != 0)
		http_begin_answer(conn);
	else
		http_refuse(conn, 500);
	return true;
}

/* After an answer: the next request, or the end. */
static void end_answer(struct http_conn *conn)
{
	if (conn->close_after) {
		http_linger(conn);
		return;
	}
	http_end_exchange(conn);
	conn->began = http_input_count(conn) != 0;
	set_state(conn, HTTP_STATE_HEAD, conn->began ? HEAD_NS : IDLE_NS);
}

static bool step(struct http_conn *conn)
{
	switch (conn->state) {
	case HTTP_STATE_HEAD:
		return read_head(conn);
	case HTTP_STATE_BODY:
		return read_body(conn);
	case HTTP_STATE_ANSWER:
		if (conn->stage == HTTP_ANSWER_DONE && conn->out_start == conn->out_end) {
			end_answer(conn);
			return true;
		}
		return http_send_answer(conn);
	case HTTP_STATE_SOCKET:
		return http_run_socket(conn);
	case HTTP_STATE_LINGER:
		http_flush(conn);
		http_drop_input(conn, http_input_count(conn));
		return false;
	case HTTP_STATE_OVER:
		break;
	}
	return false;
}

static void run(struct http_conn *conn)
{
	while (step(conn))
		;
}

static void make_room(struct http_conn *conn)
{
	memmove(conn->in, conn->in + conn->in_start, http_input_count(conn));
	conn->in_end -= conn->in_start;
	conn->in_start = 0;
}

void http_receive(struct http_conn *conn, const void *bytes, size_t count, uint64_t now_ns)
{
	enter(conn, now_ns);
	if (conn->state == HTTP_STATE_HEAD && !conn->began) {
		conn->began = true;
		conn->deadline_ns = now_ns + HEAD_NS;
	}
	if (count > sizeof(conn->in) - conn->in_end)
		make_room(conn);
	if (count > sizeof(conn->in) - conn->in_end) {
		http_finish(conn); /* more than the window */
	} else {
		memcpy(conn->in + conn->in_end, bytes, count);
		conn->in_end += count;
		run(conn);
	}
	leave(conn);
}

void http_writable(struct http_conn *conn, uint64_t now_ns)
{
	enter(conn, now_ns);
	run(conn);
	leave(conn);
}

static void check_deadline(struct http_conn *conn)
{
	bool sending = conn->state == HTTP_STATE_ANSWER;

	if (sending && conn->x.now_ns >= conn->deadline_ns + SEND_NS)
		http_finish(conn);
	if (sending || conn->x.now_ns < conn->deadline_ns)
		return;
	/* A request that has begun is told; who sends nothing is not. */
	if (conn->state == HTTP_STATE_BODY || (conn->state == HTTP_STATE_HEAD && conn->began))
		http_refuse(conn, 408);
	else if (conn->state != HTTP_STATE_SOCKET)
		http_finish(conn);
}

void http_poll(uint64_t now_ns)
{
	for (unsigned i = 0; i < HTTP_CONNECTIONS_MAX; i++) {
		struct http_conn *conn = connections[i];

		if (conn == NULL || conn->depth != 0)
			continue;
		enter(conn, now_ns);
		check_deadline(conn);
		if (conn->state == HTTP_STATE_SOCKET)
			http_check_socket(conn, now_ns);
		run(conn);
		leave(conn);
	}
}
