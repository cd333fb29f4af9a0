/* The frames of WebSockets, seen from the client (RFC 6455, section 5.2 Base Framing Protocol). Pure. */
#ifndef TOOLS_CLI_WS_FRAME_H
#define TOOLS_CLI_WS_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WS_HEADER_MAX  14u
#define WS_CONTROL_MAX 125u

enum ws_opcode {
	WS_CONTINUATION = 0,
	WS_TEXT = 1,
	WS_BINARY = 2,
	WS_CLOSE = 8,
	WS_PING = 9,
	WS_PONG = 10,
};

struct ws_header {
	enum ws_opcode opcode;
	bool final;
	uint64_t length;
};

/* Makes one whole frame of `length` bytes: header, mask, and the masked bytes. `out` has room for WS_HEADER_MAX more. Returns its length.
 */
size_t ws_encode_frame(uint8_t *out, enum ws_opcode opcode, const uint8_t *bytes, size_t length, const uint8_t mask[4]);

/* Reads the header of a server's frame. Returns its bytes; 0: more are needed; -1: no server sends that. `fragmented`: a message has begun
 * and is not complete. */
int ws_decode_header(const uint8_t *bytes, size_t count, bool fragmented, struct ws_header *out);

#endif
