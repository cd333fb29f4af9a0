/* A connection, shared by the parts of the HTTP server: http.c (requests), http_answer.c (answers), http_socket.c (WebSockets). */
#ifndef DRIVERS_VM_CONTROL_API_HTTP_PRIVATE_H
#define DRIVERS_VM_CONTROL_API_HTTP_PRIVATE_H

#include "drivers-vm/control/api/http.h"
#include "drivers-vm/control/api/http_parse.h"

#define HTTP_OUT_BYTES 8192u

enum http_state {
	HTTP_STATE_HEAD,   /* a request's head is awaited */
	HTTP_STATE_BODY,   /* a body, that the route takes */
	HTTP_STATE_ANSWER, /* an answer is sent */
	HTTP_STATE_SOCKET, /* a WebSocket */
	HTTP_STATE_LINGER, /* all is sent; what comes is dropped for a while, so that the peer reads the answer before a reset */
	HTTP_STATE_OVER,   /* finished: to be freed */
};

enum http_answer_stage {
	HTTP_ANSWER_HEAD,
	HTTP_ANSWER_BODY,
	HTTP_ANSWER_LAST, /* the last chunk */
	HTTP_ANSWER_DONE,
};

/* A WebSocket's frame that is being read, and what it owes. */
struct http_frame {
	uint8_t header[14];
	unsigned header_bytes;
	bool payload; /* its header is complete */
	uint8_t mask[4];
	uint64_t left, at; /* of its payload */
	bool fragmented;   /* a message has begun and not ended */
	uint8_t control[125];
	unsigned control_bytes;
	uint8_t pong[125];
	unsigned pong_bytes;
	bool pong_due, ping_due, ping_sent;
	unsigned close_due; /* code, or zero */
};

struct http_conn {
	struct http_exchange x; /* first: a route's exchange is its connection */
	const struct http_transport *transport;
	void *ctx;
	enum http_state state;
	unsigned depth;       /* calls under way: freed by the outermost one only */
	uint64_t deadline_ns; /* of this state */
	bool exchange_open;   /* api_begin was called, api_end was not */
	bool stalled;         /* the transport had no room */
	bool began;           /* a byte of the next request has come */

	uint8_t in[HTTP_RECEIVE_WINDOW];
	size_t in_start, in_end;
	char head[HTTP_HEAD_BYTES];
	struct http_chunks chunks;
	uint64_t body_left; /* of a body that is not chunked */

	uint8_t out[HTTP_OUT_BYTES];
	size_t out_start, out_end;
	enum http_answer_stage stage;
	bool head_only, chunked, close_after;
	size_t sent; /* of x.body or of the constant body */
	struct http_frame frame;
};

static inline struct http_conn *http_conn_of(struct http_exchange *x)
{
	return (struct http_conn *)x;
}

static inline size_t http_input_count(const struct http_conn *conn)
{
	return conn->in_end - conn->in_start;
}

/* Input bytes are used. */
void http_drop_input(struct http_conn *conn, size_t count);

/* Adds to `out`; the caller has checked that there is room. */
void http_put(struct http_conn *conn, const void *bytes, size_t count);
static inline size_t http_room(const struct http_conn *conn)
{
	return sizeof(conn->out) - conn->out_end;
}

/* Sends what can be sent. True: something went on, and the caller should look again. */
bool http_send_answer(struct http_conn *conn);
/* Gives `out` to the transport; false: it has no room for all of it. */
bool http_flush(struct http_conn *conn);
/* Begins to send the answer that is set. */
void http_begin_answer(struct http_conn *conn);
/* Sets an answer of http.c's own. */
void http_refuse(struct http_conn *conn, unsigned status);

/* Moves a WebSocket forward both ways; true: something went on. */
bool http_run_socket(struct http_conn *conn);
void http_open_socket(struct http_conn *conn);
/* A ping that is not answered, a token that is withdrawn. */
void http_check_socket(struct http_conn *conn, uint64_t now_ns);

/* The exchange is over: the route gives back what it holds. */
void http_end_exchange(struct http_conn *conn);
/* Nothing more is sent: wait for the peer to close. */
void http_linger(struct http_conn *conn);
/* The transport is told; the connection is forgotten as soon as the outermost call ends. */
void http_finish(struct http_conn *conn);

#endif
