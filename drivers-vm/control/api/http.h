/*
 * HTTP/1.1 for the API, the metrics and the web console: between a transport, which moves bytes of one connection (TLS over lwIP in the
 * control VM, a socket in the simulator), and the routes. No clock, no socket, no allocation that a client can drive beyond
 * HTTP_CONNECTIONS_MAX buffers of fixed size. Everything runs on one thread.
 */
#ifndef DRIVERS_VM_CONTROL_API_HTTP_H
#define DRIVERS_VM_CONTROL_API_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct http_conn;

/* What a connection asks of its transport; `ctx` is what http_open was given. Called from within http_* calls. */
struct http_transport {
	/* Takes as many of the bytes as there is room for, and returns how many; http_writable follows when there is room again. */
	size_t (*write)(void *ctx, const void *bytes, size_t count);
	/* No more is written: close when all has been sent. The connection is forgotten; no call of http_* with it may follow. */
	void (*finish)(void *ctx);
	/* How many received bytes the connection has used: the transport may announce as much room to the peer (TCP's window). */
	void (*consumed)(void *ctx, size_t count);
};

#define HTTP_CONNECTIONS_MAX 64u

/* A client has connected (its handshake is over), from `peer`, an IPv6 or IPv4-mapped address. NULL: there is no room; refuse it. */
struct http_conn *http_open(const struct http_transport *transport, void *ctx, const uint8_t peer[16], uint64_t now_ns);
/* Bytes came. All are taken; `consumed` tells when they are used, and at most HTTP_RECEIVE_WINDOW may be outstanding. */
#define HTTP_RECEIVE_WINDOW 32768u
void http_receive(struct http_conn *conn, const void *bytes, size_t count, uint64_t now_ns);
/* Its transport has room again. */
void http_writable(struct http_conn *conn, uint64_t now_ns);
/* It is gone; no call of its transport from here on. */
void http_close(struct http_conn *conn);
/* Whether a request with a valid token is under way, or a WebSocket is open. One that is not may be closed when room is needed. */
bool http_is_busy(const struct http_conn *conn);
/* Time-outs, and streams that have more to send; to be called at least every 100 ms while a connection is open, and soon after
 * anything has happened that a stream shows. */
void http_poll(uint64_t now_ns);

#endif
