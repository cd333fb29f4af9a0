/* A client of the HTTP server in memory: what it sends goes to http_receive, what it is sent is collected. */
#ifndef TESTS_UNIT_API_CLIENT_H
#define TESTS_UNIT_API_CLIENT_H

#include "drivers-vm/control/api/http.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CLIENT_BYTES (4u << 20)

struct client {
	struct http_conn *conn;
	char *got; /* with a NUL behind */
	size_t count, room, consumed;
	bool finished;
};

static uint64_t client_now_ns = 1000000000ull;

static size_t client_write(void *ctx, const void *bytes, size_t count)
{
	struct client *client = ctx;

	if (count > client->room)
		count = client->room;
	if (count > CLIENT_BYTES - client->count)
		count = CLIENT_BYTES - client->count;
	memcpy(client->got + client->count, bytes, count);
	client->count += count;
	client->got[client->count] = '\0';
	client->room -= count;
	return count;
}

static void client_finish(void *ctx)
{
	struct client *client = ctx;

	client->finished = true;
	client->conn = NULL;
}

static void client_consumed(void *ctx, size_t count)
{
	struct client *client = ctx;

	client->consumed += count;
}

static const struct http_transport client_transport = { client_write, client_finish, client_consumed };

static inline bool client_open_from(struct client *client, uint8_t last)
{
	uint8_t peer[16] = { [10] = 0xFF, [11] = 0xFF, [12] = 10, [15] = last };

	*client = (struct client){ .got = malloc(CLIENT_BYTES + 1), .room = CLIENT_BYTES };
	client->got[0] = '\0';
	client->conn = http_open(&client_transport, client, peer, client_now_ns);
	if (client->conn == NULL)
		free(client->got);
	return client->conn != NULL;
}

static inline void client_open(struct client *client)
{
	if (!client_open_from(client, 1))
		abort();
}

static inline void client_close(struct client *client)
{
	if (client->conn != NULL)
		http_close(client->conn);
	free(client->got);
	client->conn = NULL;
}

static inline void client_send_bytes(struct client *client, const void *bytes, size_t count)
{
	if (client->conn != NULL)
		http_receive(client->conn, bytes, count, client_now_ns);
}

static inline void client_send(struct client *client, const char *text)
{
	client_send_bytes(client, text, strlen(text));
}

static inline void client_wait(uint64_t ns)
{
	client_now_ns += ns;
	http_poll(client_now_ns);
}

/* Forgets what came. */
static inline void client_clear(struct client *client)
{
	client->count = 0;
	client->got[0] = '\0';
}

/* A frame of a WebSocket's client, of at most 65535 bytes. */
static inline void client_send_frame(struct client *client, unsigned first, const void *payload, size_t count)
{
	static const uint8_t mask[4] = { 0x11, 0x22, 0x33, 0x44 };
	uint8_t *frame = malloc(count + 8), *at = frame;

	*at++ = (uint8_t)first;
	if (count < 126) {
		*at++ = (uint8_t)(0x80 | count);
	} else {
		*at++ = 0x80 | 126;
		*at++ = (uint8_t)(count >> 8);
		*at++ = (uint8_t)count;
	}
	memcpy(at, mask, 4);
	at += 4;
	for (size_t i = 0; i < count; i++)
		*at++ = ((const uint8_t *)payload)[i] ^ mask[i % 4];
	client_send_bytes(client, frame, (size_t)(at - frame));
	free(frame);
}

#define CLIENT_UPGRADE \
	"Host: h\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\nSec-WebSocket-Version: 13\r\n" \
	"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"

#endif
