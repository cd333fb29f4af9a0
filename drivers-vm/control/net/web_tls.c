/*
 * One connection's TLS: mbedTLS between lwIP's segments and http_conn. lwIP's own glue (altcp_tls) is not used, for the reasons in
 * docs/decisions/0017-tls-without-altcp.md. Nothing here is called from within lwIP.
 */
#include "drivers-vm/control/net/web_private.h"

#include "mbedtls/ssl_internal.h" /* mbedtls_ssl_flush_output */

#include <string.h>

#define NET_FAILED   (-0x004E) /* MBEDTLS_ERR_NET_SEND_FAILED, of a header for sockets */
#define RECORD_EXTRA 64u       /* a record's header, nonce and tag, and some */
#define RECORD_LEAST 512u      /* smaller records than this are not worth it unless there is nothing more to send */
#define QUEUE_SPARE  8u
#define PLAIN_BYTES  4096u

static size_t room_of(const struct web_conn *c)
{
	return c->pcb != NULL && tcp_sndqueuelen(c->pcb) + QUEUE_SPARE < TCP_SND_QUEUELEN ? tcp_sndbuf(c->pcb) : 0;
}

static int bio_send(void *ctx, const unsigned char *bytes, size_t count)
{
	struct web_conn *c = ctx;
	size_t room = room_of(c);
	u16_t part = (u16_t)(count < room ? count : room);
	err_t error;

	if (c->pcb == NULL)
		return NET_FAILED;
	if (part == 0)
		return MBEDTLS_ERR_SSL_WANT_WRITE;
	error = tcp_write(c->pcb, bytes, part, TCP_WRITE_FLAG_COPY);
	if (error == ERR_OK)
		return part;
	return error == ERR_MEM ? MBEDTLS_ERR_SSL_WANT_WRITE : NET_FAILED;
}

static int bio_receive(void *ctx, unsigned char *to, size_t count)
{
	struct web_conn *c = ctx;
	u16_t part;

	if (c->rx == NULL)
		return c->peer_closed || c->pcb == NULL ? 0 : MBEDTLS_ERR_SSL_WANT_READ;
	part = pbuf_copy_partial(c->rx, to, (u16_t)(count < 0xFFFF ? count : 0xFFFF), 0);
	c->rx = pbuf_free_header(c->rx, part);
	c->taken += part;
	return part;
}

bool web_tls_begin(struct web_conn *c)
{
	c->identity = tls_identity_take();
	if (c->identity == NULL)
		return false;
	mbedtls_ssl_init(&c->ssl);
	mbedtls_ssl_set_bio(&c->ssl, c, bio_send, bio_receive, NULL);
	return mbedtls_ssl_setup(&c->ssl, tls_identity_config(c->identity)) == 0;
}

void web_tls_end(struct web_conn *c)
{
	if (c->identity == NULL)
		return;
	mbedtls_ssl_free(&c->ssl);
	tls_identity_give(c->identity);
	c->identity = NULL;
}

/* ---- What http_conn asks for --------------------------------------------------------------------------------------------------------- */

/* False: a record is still waiting for room. */
static bool flush(struct web_conn *c)
{
	int result = mbedtls_ssl_flush_output(&c->ssl);

	if (result != 0 && result != MBEDTLS_ERR_SSL_WANT_WRITE)
		c->state = WEB_BROKEN;
	return result == 0;
}

static size_t transport_write(void *ctx, const void *bytes, size_t count)
{
	struct web_conn *c = ctx;
	const uint8_t *at = bytes;
	size_t left = count;

	while (left > 0 && c->state == WEB_OPEN && flush(c)) {
		size_t room = room_of(c), part = left;
		if (room < RECORD_EXTRA + (left < RECORD_LEAST ? left : RECORD_LEAST))
			break;
		if (part > room - RECORD_EXTRA)
			part = room - RECORD_EXTRA;
		if (part > MBEDTLS_SSL_OUT_CONTENT_LEN)
			part = MBEDTLS_SSL_OUT_CONTENT_LEN;
		int result = mbedtls_ssl_write(&c->ssl, at, part);
		/* If the record is made and did not go out whole, it does before the next one. */
		if (result == MBEDTLS_ERR_SSL_WANT_WRITE)
			result = (int)part;
		if (result <= 0) {
			c->state = WEB_BROKEN;
			break;
		}
		at += result;
		left -= (size_t)result;
	}
	c->blocked = left > 0;
	return count - left;
}

static void transport_finish(void *ctx)
{
	struct web_conn *c = ctx;

	c->http = NULL;
	if (c->state == WEB_OPEN)
		c->state = WEB_FINISHING;
}

static void transport_consumed(void *ctx, size_t count)
{
	struct web_conn *c = ctx;

	c->outstanding -= count < c->outstanding ? count : c->outstanding;
}

static const struct http_transport transport = {
	.write = transport_write,
	.finish = transport_finish,
	.consumed = transport_consumed,
};

/* ---- Work --------------------------------------------------------------------------------------------------------------------------- */

void web_tls_handshake(struct web_conn *c, uint64_t now_ns)
{
	int result = mbedtls_ssl_handshake(&c->ssl);

	if (result == MBEDTLS_ERR_SSL_WANT_READ || result == MBEDTLS_ERR_SSL_WANT_WRITE)
		return;
	c->state = WEB_BROKEN;
	if (result != 0)
		return;
	c->http = http_open(&transport, c, c->peer, now_ns);
	if (c->http != NULL)
		c->state = WEB_OPEN;
}

void web_tls_receive(struct web_conn *c, uint64_t now_ns)
{
	static uint8_t plain[PLAIN_BYTES];

	while (c->state == WEB_OPEN && c->outstanding < HTTP_RECEIVE_WINDOW) {
		size_t room = HTTP_RECEIVE_WINDOW - c->outstanding;
		int got = mbedtls_ssl_read(&c->ssl, plain, room < sizeof(plain) ? room : sizeof(plain));
		if (got == MBEDTLS_ERR_SSL_WANT_READ || got == MBEDTLS_ERR_SSL_WANT_WRITE)
			return;
		if (got <= 0) { /* the end, with or without notice, or a record that is none */
			c->state = WEB_BROKEN;
			return;
		}
		c->outstanding += (size_t)got;
		http_receive(c->http, plain, (size_t)got, now_ns);
	}
}

bool web_tls_finish(struct web_conn *c)
{
	if (!flush(c))
		return false;
	if (!c->notified) {
		int result = mbedtls_ssl_close_notify(&c->ssl);
		c->notified = true;
		if (result != 0 && result != MBEDTLS_ERR_SSL_WANT_WRITE)
			c->state = WEB_BROKEN;
	}
	return c->state == WEB_FINISHING && flush(c);
}

void web_tls_tell_room(struct web_conn *c, uint64_t now_ns)
{
	uint64_t held = c->state == WEB_OPEN ? c->outstanding : 0;
	uint64_t free = c->taken > held + c->announced ? c->taken - held - c->announced : 0;

	c->announced += free;
	for (u16_t part; free > 0 && c->pcb != NULL; free -= part) {
		part = (u16_t)(free < 0x8000 ? free : 0x8000);
		tcp_recved(c->pcb, part);
	}
	if (c->state == WEB_OPEN && c->blocked && room_of(c) >= RECORD_LEAST + RECORD_EXTRA) {
		c->blocked = false;
		http_writable(c->http, now_ns);
	}
	if (c->pcb != NULL)
		tcp_output(c->pcb);
}
