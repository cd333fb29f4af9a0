/*
 * Fuzz target of the API as a client reaches it: requests, WebSockets and all that lies behind them, with the simulator's manager. The
 * input is what the client sends; some bytes stand for what no fuzzer would find: a valid token's header, an upgrade's headers, a content
 * type's. Properties: no access outside (the sanitisers see it), no byte is used twice, a connection that is gone holds nothing.
 *
 * FUZZ_SOURCES: build/fuzz/lib/api.a build/fuzz/lib/api_fakes.a build/fuzz/lib/api.a build/fuzz/lib/mbedtls.a
 * FUZZ_FLAGS: -Idrivers-vm/control/net/mbedtls -DMBEDTLS_CONFIG_FILE='<mbedtls_config.h>' -isystem cache/mbedtls/include
 * FUZZ_OPTIONS: -max_len=2048
 */
#include "drivers-vm/control/api/api.h"
#include "drivers-vm/control/api/http.h"
#include "drivers-vm/control/api/text.h"
#include "tools/sim/sim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXPANDED_BYTES 60000u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct fuzz_client {
	size_t consumed, written, room;
	bool finished;
};

static uint64_t now_ns;
static char token[API_TOKEN_BYTES];

uint64_t sim_now_ns(void)
{
	return now_ns;
}

uint64_t sim_wall_ns(void)
{
	return 1700000000000000000ull + now_ns;
}

static size_t take(void *ctx, const void *bytes, size_t count)
{
	struct fuzz_client *client = ctx;
	volatile uint8_t sum = 0;

	if (client->finished)
		abort();
	if (count > client->room)
		count = client->room;
	for (size_t i = 0; i < count; i++)
		sum ^= ((const uint8_t *)bytes)[i];
	client->room -= count;
	client->written += count;
	return count;
}

static void finish(void *ctx)
{
	struct fuzz_client *client = ctx;

	if (client->finished)
		abort();
	client->finished = true;
}

static void consumed(void *ctx, size_t count)
{
	struct fuzz_client *client = ctx;

	client->consumed += count;
}

static const struct http_transport transport = { take, finish, consumed };

static size_t put(char *to, size_t used, const char *text)
{
	size_t length = strlen(text);

	if (length > EXPANDED_BYTES - used)
		return used;
	memcpy(to + used, text, length);
	return used + length;
}

static size_t expand(const uint8_t *data, size_t size, char *to)
{
	size_t used = 0;

	for (size_t i = 0; i < size && used < EXPANDED_BYTES; i++) {
		switch (data[i]) {
		case 0x01:
			used = put(to, used, "HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer ");
			used = put(to, used, token);
			used = put(to, used, "\r\n");
			break;
		case 0x02:
			used = put(to, used,
			           "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
			           "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
			break;
		case 0x03:
			used = put(to, used, "Content-Type: application/json\r\n");
			break;
		default:
			to[used++] = (char)data[i];
			break;
		}
	}
	return used;
}

static void start(void)
{
	now_ns = 1000000000;
	fake_manager_start(2);
	api_start();
	if (!api_first_token(token))
		abort();
}

/* Hands the bytes over in pieces whose sizes the input chooses too. */
static void feed(struct http_conn *conn, struct fuzz_client *client, const char *bytes, size_t count, unsigned piece)
{
	size_t sent = 0;

	while (sent < count && !client->finished) {
		size_t part = count - sent < piece ? count - sent : piece;

		if (part > HTTP_RECEIVE_WINDOW - (sent - client->consumed))
			part = HTTP_RECEIVE_WINDOW - (sent - client->consumed);
		if (part != 0)
			http_receive(conn, bytes + sent, part, now_ns);
		sent += part;
		if (client->consumed > sent)
			abort();
		if (!client->finished && part == 0) {
			client->room += 5000;
			http_writable(conn, now_ns);
			now_ns += 100000000;
			http_poll(now_ns);
		}
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char expanded[EXPANDED_BYTES];
	static const uint8_t peer[16] = { [10] = 0xFF, [11] = 0xFF, [12] = 10 };
	struct fuzz_client client = { .room = 3000 };
	struct http_conn *conn;

	if (token[0] == '\0')
		start();
	if (size < 2)
		return 0;
	now_ns += 10000000000ull;
	conn = http_open(&transport, &client, peer, now_ns);
	if (conn == NULL)
		abort();
	feed(conn, &client, expanded, expand(data + 2, size - 2, expanded), data[0] + 1u);
	for (unsigned i = 0; i < data[1] && !client.finished; i++) {
		client.room += 200;
		now_ns += 1000000000;
		if (i % 2 == 0)
			http_writable(conn, now_ns);
		else
			http_poll(now_ns);
		fake_manager_poll();
	}
	if (!client.finished)
		http_close(conn);
	if (text_total_bytes() != 0)
		abort();
	return 0;
}
