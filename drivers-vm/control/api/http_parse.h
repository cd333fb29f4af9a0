/*
 * A request's head (RFC 9112, 3 and 5) and the chunks of its body (7.1). Strict: whatever two readers might understand differently is
 * refused. Pure.
 */
#ifndef DRIVERS_VM_CONTROL_API_HTTP_PARSE_H
#define DRIVERS_VM_CONTROL_API_HTTP_PARSE_H

#include "drivers-vm/control/api/exchange.h"

/* How many bytes the head at bytes[0 .. count) has, with its empty line; 0: its end has not come. */
size_t http_head_length(const uint8_t *bytes, size_t count);

/*
 * Parses a head, whose bytes are changed and must live as long as the request. Returns zero, or the status to refuse it with: 400, 414
 * (too many headers: 431), 505.
 */
unsigned http_parse_head(char *head, size_t length, struct http_request *request);

enum http_chunk_state {
	HTTP_CHUNK_SIZE,
	HTTP_CHUNK_DATA,
	HTTP_CHUNK_DATA_END,
	HTTP_CHUNK_TRAILER,
	HTTP_CHUNK_END,
};

/* All zero: at the first chunk. */
struct http_chunks {
	enum http_chunk_state state;
	uint64_t left; /* of this chunk's data */
	unsigned line; /* bytes of this line */
	unsigned digits;
	unsigned trailer; /* bytes of all trailers */
	bool carriage_return, extension;
};

/*
 * Takes bytes that are no data; stops before data and behind the end. Returns how many were taken, or negative: it is malformed.
 */
long http_take_chunk_frame(struct http_chunks *chunks, const uint8_t *bytes, size_t count);

#endif
