/*
 * One request and its answer, as the routes see them. http.c calls api_begin when a request's head is there; the route then answers, or
 * takes the body first, or makes a WebSocket of the connection. All calls come from http_*, on one thread.
 */
#ifndef DRIVERS_VM_CONTROL_API_EXCHANGE_H
#define DRIVERS_VM_CONTROL_API_EXCHANGE_H

#include "drivers-vm/control/api/text.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HTTP_HEAD_BYTES     8192u /* of a request's line and headers */
#define HTTP_HEADERS_MAX    32u
#define HTTP_EXTRA_BYTES    512u /* of an answer's headers beyond those that all have */
#define EXCHANGE_NAME_BYTES 48u

enum http_method {
	HTTP_GET,
	HTTP_HEAD, /* routes see HTTP_GET instead */
	HTTP_PUT,
	HTTP_POST,
	HTTP_DELETE,
	HTTP_OTHER,
};

struct http_header {
	const char *name; /* in small letters */
	const char *value;
};

/* A request's head. Strings live in the connection until the answer has been sent. */
struct http_request {
	enum http_method method;
	const char *method_text;
	const char *path;  /* decoded; begins with '/' */
	const char *query; /* behind the '?', as it came; or "" */
	unsigned header_count;
	struct http_header header[HTTP_HEADERS_MAX];
	bool http10, keep_alive, expect_continue;
	bool chunked, has_length;
	uint64_t length; /* of the body, if has_length */
};

struct http_exchange;

/* Takes a piece of the body; false: the answer has been set, and the rest does not matter. */
typedef bool http_sink(struct http_exchange *x, const uint8_t *bytes, size_t count);
/* Puts more of the answer's body into x->body, which is empty; false: there is no more. */
typedef bool http_more(struct http_exchange *x);

/* A WebSocket's handlers. */
struct http_socket {
	/* Takes bytes of binary messages; returns how many. The rest is offered again. NULL: what comes is dropped. */
	size_t (*receive)(struct http_exchange *x, const uint8_t *bytes, size_t count);
	/* The next message; zero: there is nothing now. */
	size_t (*send)(struct http_exchange *x, uint8_t *to, size_t size);
	bool text; /* messages are text, which must be UTF-8 */
};
#define HTTP_SOCKET_SEND_BYTES 4096u /* what `send` is given at least */

/* Why http_socket_end closes (RFC 6455, 7.4.1). */
#define HTTP_SOCKET_NORMAL 1000u
#define HTTP_SOCKET_AWAY   1001u
#define HTTP_SOCKET_POLICY 1008u

struct http_exchange {
	struct http_request request;
	uint8_t peer[16];
	uint64_t now_ns;

	/* The routes' own; all zero when a request begins. */
	struct {
		const void *route;
		unsigned token;                 /* who asks: index, and its serial number */
		uint64_t token_serial;          /* zero: nobody */
		char name[EXCHANGE_NAME_BYTES]; /* the {name} of the path */
		uint64_t cursor, index, step;
		int session;                          /* an upload, a debugger */
		bool busy;                            /* `session` is in use */
		struct text input;                    /* a JSON body */
		void (*end)(struct http_exchange *x); /* if not NULL: gives back what the route holds */
	} route;

	/* The answer. */
	struct text body;
	struct http_answer {
		unsigned status; /* zero: not set yet */
		const char *type;
		char extra[HTTP_EXTRA_BYTES];
		size_t extra_bytes;
		const void *constant; /* a body that lives for ever, instead of x->body */
		size_t constant_bytes;
		http_more *more;
		const struct http_socket *socket;
		http_sink *sink;
		void (*done)(struct http_exchange *x);
		bool cacheable; /* `extra` has a Cache-Control */
	} answer;
};

/* The value of the header `name` (small letters), or NULL. */
const char *http_find_header(const struct http_request *request, const char *name);
/* Whether a header's comma-separated value has this element, in any case. */
bool http_has_element(const char *value, const char *element);
/* A number of the query. Returns false if it is there and is none; *value stays if it is not there. */
bool http_query_number(const struct http_request *request, const char *key, uint64_t *value);

/* Appends a header to the answer; to be called before it is set. */
void http_add_header(struct http_exchange *x, const char *name, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* RFC 9110's phrase for a status. */
const char *http_status_text(unsigned status);

/* Exactly one of these sets the answer. With x->body: */
void http_answer(struct http_exchange *x, unsigned status, const char *type);
/* With bytes that live for ever: */
void http_answer_constant(struct http_exchange *x, unsigned status, const char *type, const void *bytes, size_t count);
/* With what `more` makes, beginning with what x->body has: */
void http_answer_more(struct http_exchange *x, unsigned status, const char *type, http_more *more);
/* By a WebSocket; http_wants_socket was true. `protocol` is the subprotocol that was chosen, or NULL. */
void http_answer_socket(struct http_exchange *x, const struct http_socket *socket, const char *protocol);

/* Takes the body; `done` sets the answer when all of it has come, unless the sink has. To be called by api_begin. */
void http_take_body(struct http_exchange *x, http_sink *sink, void (*done)(struct http_exchange *x));

/* Whether the request asks for a WebSocket as RFC 6455, 4.2.1 wants it. */
bool http_wants_socket(const struct http_request *request);
/* From a socket's handlers: closes it. */
void http_socket_end(struct http_exchange *x, unsigned reason);

/* ---- What the routes implement ------------------------------------------------------------------------------------------------------ */
void api_begin(struct http_exchange *x);
/* The answer is set; called once for each request. Also for those that http.c refuses itself. */
void api_note_answer(struct http_exchange *x);
/* False: what was asked for is done, but a power cut would undo it. Then http.c waits some seconds and asks again. */
bool api_may_answer(const struct http_exchange *x);
/* The exchange is over, or the connection lost. */
void api_end(struct http_exchange *x);
/* Whether the exchange's token is still good. */
bool api_is_allowed(const struct http_exchange *x);

#endif
