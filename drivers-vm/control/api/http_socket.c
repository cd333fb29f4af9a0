/*
 * WebSockets (RFC 6455), the server's side: frames of the client are masked, messages may be fragmented with control frames between.
 * Binary messages are handed on as they come, however long, since what they carry are streams.
 */
#include "drivers-vm/control/api/http_private.h"

#include <string.h>

#define SECOND_NS     1000000000ull
#define PING_NS       (30 * SECOND_NS) /* of silence, then it is asked */
#define SILENCE_NS    (90 * SECOND_NS) /* then it is gone */
#define FRAME_MAX     (1u << 20)
#define HEADER_BYTES  4u /* of the frames that are sent: at most 65535 bytes each */
#define CONTROL_BYTES (2u + 125u)

#define FIN 0x80u

enum opcode {
	OPCODE_CONTINUATION = 0,
	OPCODE_TEXT = 1,
	OPCODE_BINARY = 2,
	OPCODE_CLOSE = 8,
	OPCODE_PING = 9,
	OPCODE_PONG = 10,
};

#define CLOSE_PROTOCOL    1002u
#define CLOSE_UNSUPPORTED 1003u
#define CLOSE_TOO_BIG     1009u

void http_open_socket(struct http_conn *conn)
{
	conn->frame = (struct http_frame){ 0 };
	conn->state = HTTP_STATE_SOCKET;
	conn->deadline_ns = conn->x.now_ns;
}

void http_socket_end(struct http_exchange *x, unsigned reason)
{
	struct http_frame *frame = &http_conn_of(x)->frame;

	if (frame->close_due == 0)
		frame->close_due = reason;
}

/* The bytes of a frame's header, as far as its first two are there to tell. */
static unsigned header_size(const struct http_frame *frame)
{
	unsigned length = frame->header[1] & 0x7Fu;

	if (frame->header_bytes < 2)
		return 2;
	return 2 + 4 + (length == 126 ? 2 : length == 127 ? 8 : 0);
}

static uint64_t payload_length(const struct http_frame *frame)
{
	unsigned length = frame->header[1] & 0x7Fu, bytes = length == 126 ? 2 : length == 127 ? 8 : 0;
	uint64_t value = 0;

	if (bytes == 0)
		return length;
	for (unsigned i = 0; i < bytes; i++)
		value = value << 8 | frame->header[2 + i];
	return value;
}

static bool is_control(const struct http_frame *frame)
{
	return (frame->header[0] & 8) != 0;
}

/* RFC 6455, 5.2 and 5.4. Zero, or the code to close with. */
static unsigned check_header(struct http_conn *conn)
{
	struct http_frame *frame = &conn->frame;
	unsigned opcode = frame->header[0] & 0x0Fu;
	bool last = (frame->header[0] & FIN) != 0;

	if ((frame->header[0] & 0x70u) != 0)
		return CLOSE_PROTOCOL;
	if (is_control(frame))
		return opcode > OPCODE_PONG || !last || frame->left > sizeof(frame->control) ? CLOSE_PROTOCOL : 0;
	if (opcode > OPCODE_BINARY || (opcode == OPCODE_CONTINUATION) != frame->fragmented)
		return CLOSE_PROTOCOL;
	if (opcode == OPCODE_TEXT && conn->x.answer.socket->receive != NULL)
		return CLOSE_UNSUPPORTED;
	frame->fragmented = !last;
	return frame->left > FRAME_MAX ? CLOSE_TOO_BIG : 0;
}

/* True: something went on. */
static bool read_header(struct http_conn *conn)
{
	struct http_frame *frame = &conn->frame;
	bool moved = false;

	while (http_input_count(conn) != 0 && frame->header_bytes < header_size(frame)) {
		frame->header[frame->header_bytes++] = conn->in[conn->in_start];
		http_drop_input(conn, 1);
		moved = true;
	}
	if (frame->header_bytes >= 2 && (frame->header[1] & 0x80u) == 0) {
		http_socket_end(&conn->x, CLOSE_PROTOCOL); /* it is not masked, and has fewer bytes than are waited for */
		return true;
	}
	if (frame->header_bytes < header_size(frame))
		return moved;
	memcpy(frame->mask, frame->header + frame->header_bytes - 4, 4);
	frame->left = payload_length(frame);
	frame->at = 0;
	frame->control_bytes = 0;
	frame->payload = true;
	unsigned wrong = check_header(conn);

	if (wrong != 0)
		http_socket_end(&conn->x, wrong);
	return true;
}

static void end_control(struct http_conn *conn)
{
	struct http_frame *frame = &conn->frame;

	switch (frame->header[0] & 0x0Fu) {
	case OPCODE_CLOSE:
		http_socket_end(&conn->x, HTTP_SOCKET_NORMAL);
		break;
	case OPCODE_PING: /* only the latest one is answered (5.5.3) */
		memcpy(frame->pong, frame->control, frame->control_bytes);
		frame->pong_bytes = frame->control_bytes;
		frame->pong_due = true;
		break;
	default: /* a pong: that something came is enough */
		break;
	}
}

static void end_frame(struct http_conn *conn)
{
	if (is_control(&conn->frame))
		end_control(conn);
	conn->frame.payload = false;
	conn->frame.header_bytes = 0;
}

/* Takes bytes of the payload that are unmasked; returns how many. */
static size_t take_payload(struct http_conn *conn, const uint8_t *bytes, size_t count)
{
	struct http_frame *frame = &conn->frame;

	if (is_control(frame)) {
		memcpy(frame->control + frame->control_bytes, bytes, count);
		frame->control_bytes += (unsigned)count;
		return count;
	}
	return conn->x.answer.socket->receive == NULL ? count : conn->x.answer.socket->receive(&conn->x, bytes, count);
}

static bool read_payload(struct http_conn *conn)
{
	struct http_frame *frame = &conn->frame;
	uint8_t plain[125];
	size_t count = http_input_count(conn);

	if (frame->left == 0) {
		end_frame(conn);
		return true;
	}
	if (count > sizeof(plain))
		count = sizeof(plain);
	if (count > frame->left)
		count = (size_t)frame->left;
	for (size_t i = 0; i < count; i++)
		plain[i] = conn->in[conn->in_start + i] ^ frame->mask[(frame->at + i) % 4];
	size_t taken = count == 0 ? 0 : take_payload(conn, plain, count);

	if (taken > count)
		taken = count;
	frame->left -= taken;
	frame->at += taken;
	http_drop_input(conn, taken);
	return taken != 0;
}

static void put_frame(struct http_conn *conn, unsigned opcode, const uint8_t *payload, size_t count)
{
	uint8_t header[2] = { (uint8_t)(FIN | opcode), (uint8_t)count };

	http_put(conn, header, sizeof(header));
	http_put(conn, payload, count);
}

/* Frames that are owed; false: there is no room. */
static bool put_control(struct http_conn *conn)
{
	struct http_frame *frame = &conn->frame;

	if (http_room(conn) < 2 * CONTROL_BYTES)
		return false;
	if (frame->pong_due)
		put_frame(conn, OPCODE_PONG, frame->pong, frame->pong_bytes);
	if (frame->ping_due)
		put_frame(conn, OPCODE_PING, NULL, 0);
	frame->pong_due = frame->ping_due = false;
	return true;
}

/* The route's next message into `out`; true: there was one. */
static bool put_message(struct http_conn *conn)
{
	const struct http_socket *socket = conn->x.answer.socket;
	uint8_t *header = conn->out + conn->out_end;
	size_t count;

	if (http_room(conn) < HEADER_BYTES + HTTP_SOCKET_SEND_BYTES)
		return false;
	count = socket->send(&conn->x, header + HEADER_BYTES, HTTP_SOCKET_SEND_BYTES);
	if (count == 0)
		return false;
	header[0] = (uint8_t)(FIN | (socket->text ? OPCODE_TEXT : OPCODE_BINARY));
	header[1] = 126;
	header[2] = (uint8_t)(count >> 8);
	header[3] = (uint8_t)count;
	if (count < 126) {
		header[1] = (uint8_t)count;
		memmove(header + 2, header + HEADER_BYTES, count);
	}
	conn->out_end += count + (count < 126 ? 2 : HEADER_BYTES);
	return true;
}

static bool send_close(struct http_conn *conn)
{
	unsigned reason = conn->frame.close_due;
	uint8_t code[2] = { (uint8_t)(reason >> 8), (uint8_t)reason };

	if (http_room(conn) < CONTROL_BYTES)
		return http_flush(conn);
	put_frame(conn, OPCODE_CLOSE, code, sizeof(code));
	http_flush(conn);
	http_linger(conn);
	return true;
}

bool http_run_socket(struct http_conn *conn)
{
	bool moved = false;

	if (http_input_count(conn) != 0) {
		conn->deadline_ns = conn->x.now_ns; /* it was heard of */
		conn->frame.ping_sent = false;
	}
	if (conn->frame.close_due == 0)
		moved = conn->frame.payload ? read_payload(conn) : read_header(conn);
	if (put_control(conn) && conn->frame.close_due == 0)
		moved |= put_message(conn);
	if (conn->frame.close_due != 0)
		return send_close(conn);
	bool pending = conn->out_start != conn->out_end;

	return (http_flush(conn) && pending) || moved;
}

void http_check_socket(struct http_conn *conn, uint64_t now_ns)
{
	if (!api_is_allowed(&conn->x)) {
		http_socket_end(&conn->x, HTTP_SOCKET_POLICY);
	} else if (now_ns >= conn->deadline_ns + SILENCE_NS) {
		http_finish(conn);
	} else if (now_ns >= conn->deadline_ns + PING_NS && !conn->frame.ping_sent) {
		conn->frame.ping_due = conn->frame.ping_sent = true;
	}
}
