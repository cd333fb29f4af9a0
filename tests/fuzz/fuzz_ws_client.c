/*
 * Fuzz target of what the command line reads from a server: the answer to a WebSocket's handshake, then frames. Properties: no access
 * outside (the sanitisers see it), a header is as long as the bytes that it was read from, and a frame that is made is read as what it was.
 *
 * FUZZ_SOURCES: tools/cli/ws_frame.c tools/cli/ws_accept.c tools/cli/text.c tools/cli/memory.c
 * FUZZ_FLAGS: -D_GNU_SOURCE -lcrypto
 * FUZZ_OPTIONS: -max_len=1024
 */
#include "tools/cli/ws_accept.h"
#include "tools/cli/ws_frame.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void read_answer(const char *text, size_t length)
{
	static const uint8_t nonce[16] = "the sample nonce";
	char key[WS_ACCEPT_KEY_BYTES];
	long status = ws_accept_status(text, length);

	ws_accept_make_key(nonce, key);
	if (status < 0 || status > 999)
		abort();
	(void)ws_accept_check(text, length, key);
	(void)ws_accept_content_length(text, length);
}

static void read_frames(const uint8_t *bytes, size_t count)
{
	bool fragmented = false;

	while (count != 0) {
		struct ws_header header;
		int head = ws_decode_header(bytes, count, fragmented, &header);

		if (head <= 0)
			return;
		if ((size_t)head > count || head > (int)WS_HEADER_MAX || (header.opcode >= WS_CLOSE && header.length > WS_CONTROL_MAX))
			abort();
		if (header.opcode < WS_CLOSE)
			fragmented = !header.final;
		bytes += head;
		count -= (size_t)head;
		if (header.length > count)
			return;
		bytes += header.length;
		count -= (size_t)header.length;
	}
}

static void write_frame(const uint8_t *bytes, size_t count)
{
	static const uint8_t mask[4] = { 1, 2, 3, 4 };
	uint8_t *out = malloc(count + WS_HEADER_MAX);

	if (!out || ws_encode_frame(out, WS_BINARY, bytes, count, mask) > count + WS_HEADER_MAX)
		abort();
	if (count && (out[0] != 0x82 || !(out[1] & 0x80)))
		abort();
	free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	uint8_t *exact = malloc(bytes + 1);

	if (!exact)
		abort();
	if (bytes) {
		memcpy(exact, data + 1, bytes - 1);
		if (data[0] % 3 == 0)
			read_answer((const char *)exact, bytes - 1);
		else if (data[0] % 3 == 1)
			read_frames(exact, bytes - 1);
		else
			write_frame(exact, bytes - 1);
	}
	free(exact);
	return 0;
}
