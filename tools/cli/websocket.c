#include "tools/cli/websocket.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

static void lose(struct websocket *socket, const char *why)
{
	if (socket->state == WEBSOCKET_OPEN)
		cli_error("%s: %s", socket->session->target.address.authority, why);
	socket->state = WEBSOCKET_LOST;
}

bool websocket_has_output(const struct websocket *socket)
{
	return socket->out_at < socket->out_count;
}

void websocket_flush(struct websocket *socket)
{
	while (websocket_has_output(socket)) {
		size_t sent = 0;
		CURLcode code = curl_easy_send(socket->curl, socket->out + socket->out_at, socket->out_count - socket->out_at, &sent);

		if (code == CURLE_AGAIN)
			return;
		if (code != CURLE_OK) {
			lose(socket, "the connection is lost");
			return;
		}
		socket->out_at += sent;
	}
	socket->out_at = socket->out_count = 0;
}

bool websocket_send(struct websocket *socket, enum ws_opcode opcode, const void *bytes, size_t count)
{
	uint8_t mask[4];

	if (count + WS_HEADER_MAX > sizeof(socket->out) - socket->out_count)
		return false;
	if (getrandom(mask, sizeof(mask), 0) != sizeof(mask)) {
		lose(socket, "no random numbers to be had");
		return false;
	}
	socket->out_count += ws_encode_frame(socket->out + socket->out_count, opcode, bytes, count, mask);
	websocket_flush(socket);
	return true;
}

static void take_close(struct websocket *socket, const uint8_t *bytes, size_t count)
{
	socket->close_code = count < 2 ? 1005 : (unsigned)(bytes[0] << 8 | bytes[1]);
	if (count > 2)
		memcpy(socket->close_reason, bytes + 2, count - 2);
	socket->close_reason[count > 2 ? count - 2 : 0] = '\0';
	websocket_send(socket, WS_CLOSE, bytes, count < 2 ? 0 : 2);
	if (socket->state == WEBSOCKET_OPEN)
		socket->state = WEBSOCKET_CLOSED;
}

/* Bytes of a data frame that are in `bytes`. Returns how many are used. */
static size_t take_data(struct websocket *socket, const uint8_t *bytes, size_t count)
{
	size_t part = count < socket->left ? count : (size_t)socket->left;

	socket->left -= part;
	socket->receive(socket->ctx, bytes, part, socket->left == 0 && socket->final);
	return part;
}

/* A frame that begins at `bytes`: its header if it has data, the whole of it otherwise. Returns how many bytes are used; 0: wait for more.
 */
static size_t take_frame(struct websocket *socket, const uint8_t *bytes, size_t count)
{
	struct ws_header header;
	int used = ws_decode_header(bytes, count, socket->fragmented, &header);

	if (used < 0)
		lose(socket, "it sends what is no WebSocket frame");
	if (used <= 0)
		return 0;
	if (header.opcode < WS_CLOSE) {
		socket->fragmented = !header.final;
		socket->final = header.final;
		socket->left = header.length;
		if (header.length == 0 && header.final)
			socket->receive(socket->ctx, bytes, 0, true);
		return (size_t)used;
	}
	if (count - (size_t)used < header.length)
		return 0;
	if (header.opcode == WS_CLOSE)
		take_close(socket, bytes + used, (size_t)header.length);
	else if (header.opcode == WS_PING) /* one that finds no room goes unanswered, which the next one makes good */
		websocket_send(socket, WS_PONG, bytes + used, (size_t)header.length);
	return (size_t)used + (size_t)header.length;
}

static void take_bytes(struct websocket *socket)
{
	size_t at = 0, used = 1;

	while (socket->state == WEBSOCKET_OPEN && at < socket->in_count && used != 0) {
		used = socket->left != 0 ? take_data(socket, socket->in + at, socket->in_count - at)
		                         : take_frame(socket, socket->in + at, socket->in_count - at);
		at += used;
	}
	socket->in_count -= at;
	memmove(socket->in, socket->in + at, socket->in_count);
}

void websocket_receive(struct websocket *socket)
{
	take_bytes(socket); /* what came with the handshake */
	while (socket->state == WEBSOCKET_OPEN) {
		size_t count = 0;
		CURLcode code = curl_easy_recv(socket->curl, socket->in + socket->in_count, sizeof(socket->in) - socket->in_count, &count);

		if (code == CURLE_AGAIN)
			return;
		if (code != CURLE_OK || count == 0) {
			lose(socket, "the connection is lost");
			return;
		}
		socket->in_count += count;
		take_bytes(socket);
	}
}

void websocket_close(struct websocket *socket)
{
	static const uint8_t normal[2] = { 1000 >> 8, 1000 & 0xff };

	if (socket->curl == NULL)
		return;
	if (socket->state == WEBSOCKET_OPEN)
		websocket_send(socket, WS_CLOSE, normal, sizeof(normal));
	curl_easy_cleanup(socket->curl);
	socket->curl = NULL;
}
