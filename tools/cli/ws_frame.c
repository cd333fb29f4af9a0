#include "tools/cli/ws_frame.h"

#include <string.h>

#define FINAL     0x80u
#define RESERVED  0x70u
#define MASKED    0x80u
#define LENGTH_16 126u
#define LENGTH_64 127u

size_t ws_encode_frame(uint8_t *out, enum ws_opcode opcode, const uint8_t *bytes, size_t length, const uint8_t mask[4])
{
	unsigned extra = length <= WS_CONTROL_MAX ? 0 : length <= 0xffff ? 2 : 8;
	size_t used = 2;

	out[0] = (uint8_t)(FINAL | opcode);
	out[1] = (uint8_t)(MASKED | (extra == 0 ? length : extra == 2 ? LENGTH_16 : LENGTH_64));
	for (unsigned i = extra; i > 0; i--)
		out[used++] = (uint8_t)((uint64_t)length >> 8 * (i - 1));
	memcpy(out + used, mask, 4);
	used += 4;
	for (size_t i = 0; i < length; i++)
		out[used + i] = bytes[i] ^ mask[i % 4];
	return used + length;
}

static bool is_valid(const struct ws_header *header, bool fragmented)
{
	switch (header->opcode) {
	case WS_CONTINUATION:
		return fragmented;
	case WS_TEXT:
	case WS_BINARY:
		return !fragmented;
	case WS_CLOSE:
	case WS_PING:
	case WS_PONG:
		return header->final && header->length <= WS_CONTROL_MAX;
	}
	return false;
}

int ws_decode_header(const uint8_t *bytes, size_t count, bool fragmented, struct ws_header *out)
{
	unsigned extra;

	if (count < 2)
		return 0;
	if ((bytes[0] & RESERVED) != 0 || (bytes[1] & MASKED) != 0)
		return -1;
	extra = bytes[1] == LENGTH_16 ? 2 : bytes[1] == LENGTH_64 ? 8 : 0;
	if (count < 2 + extra)
		return 0;
	*out = (struct ws_header){ .opcode = bytes[0] & 0xf, .final = (bytes[0] & FINAL) != 0, .length = extra == 0 ? bytes[1] : 0 };
	for (unsigned i = 0; i < extra; i++)
		out->length = out->length << 8 | bytes[2 + i];
	/* The shortest form is the only one, and the highest bit is zero. */
	if ((extra == 2 && out->length <= WS_CONTROL_MAX) || (extra == 8 && (out->length <= 0xffff || out->length >> 63 != 0)))
		return -1;
	return is_valid(out, fragmented) ? (int)(2 + extra) : -1;
}
