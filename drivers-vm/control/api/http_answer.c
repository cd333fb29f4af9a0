/* Answers: status line and headers, then a body of known length, or in chunks as the route makes it. */
#include "drivers-vm/control/api/http_private.h"

#include "drivers-vm/control/api/digest.h"
#include "drivers-vm/control/api/problem.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define KEEP_NS           5000000000ull /* a disk that does not answer is not waited for */
#define CHUNK_FRAME_BYTES 12u           /* "xxxx\r\n" before and "\r\n" behind, and room to spare */

static const struct {
	unsigned status;
	const char *text;
} statuses[] = {
	{ 101, "Switching Protocols" },
	{ 200, "OK" },
	{ 201, "Created" },
	{ 202, "Accepted" },
	{ 204, "No Content" },
	{ 304, "Not Modified" },
	{ 400, "Bad Request" },
	{ 401, "Unauthorized" },
	{ 403, "Forbidden" },
	{ 404, "Not Found" },
	{ 405, "Method Not Allowed" },
	{ 408, "Request Timeout" },
	{ 409, "Conflict" },
	{ 411, "Length Required" },
	{ 412, "Precondition Failed" },
	{ 413, "Content Too Large" },
	{ 414, "URI Too Long" },
	{ 415, "Unsupported Media Type" },
	{ 417, "Expectation Failed" },
	{ 422, "Unprocessable Content" },
	{ 426, "Upgrade Required" },
	{ 429, "Too Many Requests" },
	{ 431, "Request Header Fields Too Large" },
	{ 500, "Internal Server Error" },
	{ 503, "Service Unavailable" },
	{ 505, "HTTP Version Not Supported" },
	{ 507, "Insufficient Storage" },
};

const char *http_status_text(unsigned status)
{
	for (unsigned i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++)
		if (statuses[i].status == status)
			return statuses[i].text;
	return "Error";
}

void http_put(struct http_conn *conn, const void *bytes, size_t count)
{
	if (count == 0)
		return; /* `bytes` may be NULL then, which memcpy must not see */
	memcpy(conn->out + conn->out_end, bytes, count);
	conn->out_end += count;
}

bool http_flush(struct http_conn *conn)
{
	while (conn->out_start != conn->out_end) {
		size_t count = conn->transport->write(conn->ctx, conn->out + conn->out_start, conn->out_end - conn->out_start);

		if (count == 0) {
			if (!conn->stalled && conn->state == HTTP_STATE_ANSWER)
				conn->deadline_ns = conn->x.now_ns; /* from now on it waits */
			conn->stalled = true;
			return false;
		}
		conn->stalled = false;
		if (conn->state == HTTP_STATE_ANSWER)
			conn->deadline_ns = conn->x.now_ns;
		conn->out_start += count;
	}
	conn->out_start = conn->out_end = 0;
	return true;
}

void http_add_header(struct http_exchange *x, const char *name, const char *format, ...)
{
	struct http_answer *answer = &x->answer;
	size_t room = sizeof(answer->extra) - answer->extra_bytes;
	char line[256];
	va_list args;
	int used = snprintf(line, sizeof(line), "%s: ", name), length;

	va_start(args, format);
	length = vsnprintf(line + used, sizeof(line) - (size_t)used - 2, format, args);
	va_end(args);
	if (length < 0 || (size_t)(used + length) + 3 > sizeof(line) || (size_t)(used + length) + 2 > room)
		return;
	/* A value from outside cannot begin a line of its own. */
	for (int i = 0; i < used + length; i++)
		if ((unsigned char)line[i] < ' ')
			return;
	memcpy(line + used + length, "\r\n", 2);
	memcpy(answer->extra + answer->extra_bytes, line, (size_t)(used + length) + 2);
	answer->extra_bytes += (size_t)(used + length) + 2;
	answer->cacheable |= strcmp(name, "Cache-Control") == 0;
}

void http_answer(struct http_exchange *x, unsigned status, const char *type)
{
	x->answer.status = status;
	x->answer.type = type;
}

void http_answer_constant(struct http_exchange *x, unsigned status, const char *type, const void *bytes, size_t count)
{
	http_answer(x, status, type);
	x->answer.constant = bytes;
	x->answer.constant_bytes = count;
}

void http_answer_more(struct http_exchange *x, unsigned status, const char *type, http_more *more)
{
	http_answer(x, status, type);
	x->answer.more = more;
}

void http_answer_socket(struct http_exchange *x, const struct http_socket *socket, const char *protocol)
{
	char accept[DIGEST_ACCEPT_BYTES];

	digest_websocket_accept(http_find_header(&x->request, "sec-websocket-key"), accept);
	http_add_header(x, "Sec-WebSocket-Accept", "%s", accept);
	if (protocol != NULL)
		http_add_header(x, "Sec-WebSocket-Protocol", "%s", protocol);
	http_answer(x, 101, NULL);
	x->answer.socket = socket;
}

void http_refuse(struct http_conn *conn, unsigned status)
{
	struct http_exchange *x = &conn->x;

	text_clear(&x->body);
	memset(&x->answer, 0, sizeof(x->answer));
	problem_answer(x, status, "", "%s", status == 408 ? "the request did not come in time" : "the request could not be read");
	conn->close_after = true;
	http_begin_answer(conn);
}

static void body_of(const struct http_conn *conn, const char **bytes, size_t *count)
{
	const struct http_answer *answer = &conn->x.answer;

	*bytes = answer->constant != NULL ? answer->constant : conn->x.body.bytes;
	*count = answer->constant != NULL ? answer->constant_bytes : conn->x.body.length;
}

static bool has_unread_body(const struct http_conn *conn)
{
	const struct http_request *request = &conn->x.request;

	if (conn->state == HTTP_STATE_BODY)
		return request->chunked ? conn->chunks.state != HTTP_CHUNK_END : conn->body_left != 0;
	return request->chunked || request->length != 0;
}

void http_begin_answer(struct http_conn *conn)
{
	struct http_exchange *x = &conn->x;

	if (x->body.failed && x->answer.constant == NULL) {
		text_free(&x->body);
		memset(&x->answer, 0, sizeof(x->answer));
		http_add_header(x, "Retry-After", "1");
		http_answer_constant(x, 503, "text/plain; charset=utf-8", "no memory\n", 10);
	}
	api_note_answer(x);
	conn->close_after |= !x->request.keep_alive || has_unread_body(conn);
	conn->stage = HTTP_ANSWER_HEAD;
	conn->state = HTTP_STATE_ANSWER;
	conn->deadline_ns = x->now_ns;
	conn->stalled = false;
	conn->sent = 0;
}

static bool has_body(const struct http_conn *conn)
{
	unsigned status = conn->x.answer.status;

	return status >= 200 && status != 204 && status != 304;
}

static void put_head(struct http_conn *conn)
{
	struct http_answer *answer = &conn->x.answer;
	const char *body;
	char head[1024];
	size_t count;
	int used;

	body_of(conn, &body, &count);
	conn->chunked = answer->more != NULL && !conn->x.request.http10;
	if (answer->more != NULL && !conn->chunked)
		conn->close_after = true;
	used = snprintf(head, sizeof(head), "HTTP/1.1 %u %s\r\n%.*s", answer->status, http_status_text(answer->status),
	                (int)answer->extra_bytes, answer->extra);
	if (answer->socket != NULL)
		used += snprintf(head + used, sizeof(head) - (size_t)used, "Connection: Upgrade\r\nUpgrade: websocket\r\n");
	else
		used += snprintf(head + used, sizeof(head) - (size_t)used, "%s%sX-Content-Type-Options: nosniff\r\n",
		                 answer->cacheable ? "" : "Cache-Control: no-store\r\n", conn->close_after ? "Connection: close\r\n" : "");
	if (has_body(conn)) {
		used += snprintf(head + used, sizeof(head) - (size_t)used, "Content-Type: %s\r\n", answer->type);
		if (conn->chunked)
			used += snprintf(head + used, sizeof(head) - (size_t)used, "Transfer-Encoding: chunked\r\n");
		else if (answer->more == NULL)
			used += snprintf(head + used, sizeof(head) - (size_t)used, "Content-Length: %zu\r\n", count);
	}
	used += snprintf(head + used, sizeof(head) - (size_t)used, "\r\n");
	http_put(conn, head, (size_t)used);
	conn->stage = has_body(conn) && !conn->head_only ? HTTP_ANSWER_BODY : HTTP_ANSWER_DONE;
}

/* The body's next piece, as much as there is room for. False: all of it is in `out`. */
static bool put_piece(struct http_conn *conn)
{
	const char *bytes;
	size_t count, room = http_room(conn);
	char frame[CHUNK_FRAME_BYTES];

	body_of(conn, &bytes, &count);
	if (conn->sent == count)
		return false;
	count -= conn->sent;
	if (conn->chunked)
		room = room > 2 * CHUNK_FRAME_BYTES ? room - 2 * CHUNK_FRAME_BYTES : 0;
	if (count > room)
		count = room;
	if (count == 0)
		return true;
	if (conn->chunked)
		http_put(conn, frame, (size_t)snprintf(frame, sizeof(frame), "%zx\r\n", count));
	http_put(conn, bytes + conn->sent, count);
	if (conn->chunked)
		http_put(conn, "\r\n", 2);
	conn->sent += count;
	return true;
}

/* The route's next piece of body. */
static void make_more(struct http_conn *conn)
{
	struct http_exchange *x = &conn->x;
	bool more = false;

	text_clear(&x->body);
	conn->sent = 0;
	while (x->answer.more != NULL && x->body.length == 0 && !x->body.failed) {
		more = x->answer.more(x);
		if (!more)
			x->answer.more = NULL;
	}
	if (x->body.failed)
		http_finish(conn); /* without the last chunk: the client sees that it is not whole */
	else if (x->body.length == 0)
		conn->stage = conn->chunked ? HTTP_ANSWER_LAST : HTTP_ANSWER_DONE;
}

bool http_send_answer(struct http_conn *conn)
{
	if (conn->stage == HTTP_ANSWER_HEAD) {
		/* Nothing is sent yet: deadline_ns is when the answer was ready. */
		if (!api_may_answer(&conn->x) && conn->x.now_ns < conn->deadline_ns + KEEP_NS)
			return false;
		if (http_room(conn) < 2048)
			return http_flush(conn);
		put_head(conn);
		if (conn->x.answer.socket != NULL) {
			http_open_socket(conn);
			return true;
		}
	}
	while (conn->stage == HTTP_ANSWER_BODY && http_room(conn) > HTTP_OUT_BYTES / 2)
		if (!put_piece(conn))
			make_more(conn);
	if (conn->state != HTTP_STATE_ANSWER)
		return true;
	if (conn->stage == HTTP_ANSWER_LAST && http_room(conn) >= 5) {
		http_put(conn, "0\r\n\r\n", 5);
		conn->stage = HTTP_ANSWER_DONE;
	}
	return http_flush(conn);
}
