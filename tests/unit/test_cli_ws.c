/*
 * WebSockets of the command line: frames and the handshake's answer, as RFC 6455 has them.
 *
 * UNIT_SOURCES: tools/cli/ws_frame.c tools/cli/ws_accept.c tools/cli/text.c tools/cli/memory.c
 * UNIT_FLAGS: -D_GNU_SOURCE -lcrypto
 */
#include "tools/cli/ws_accept.h"
#include "tools/cli/ws_frame.h"

#include "cmocka_all.h"

#include <stdlib.h>
#include <string.h>

static const uint8_t mask[4] = { 0x37, 0xfa, 0x21, 0x3d };

static void ws_encode_frame__the_rfcs_example__is_the_same(void **state)
{
	static const uint8_t expected[] = { 0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58 }; /* section 5.7 */
	uint8_t out[5 + WS_HEADER_MAX];

	(void)state;
	assert_int_equal(ws_encode_frame(out, WS_TEXT, (const uint8_t *)"Hello", 5, mask), sizeof(expected));
	assert_memory_equal(out, expected, sizeof(expected));
}

static void ws_encode_frame__each_form_of_length__is_the_shortest(void **state)
{
	static const struct {
		size_t length;
		uint8_t second;
		size_t header;
	} cases[] = { { 0, 0x80, 6 }, { 125, 0xfd, 6 }, { 126, 0xfe, 8 }, { 65535, 0xfe, 8 }, { 65536, 0xff, 14 } };
	uint8_t *bytes = calloc(1, 65536), *out = malloc(65536 + WS_HEADER_MAX);

	(void)state;
	assert_true(bytes != NULL && out != NULL);
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(ws_encode_frame(out, WS_BINARY, bytes, cases[i].length, mask), cases[i].header + cases[i].length);
		assert_int_equal(out[0], 0x82);
		assert_int_equal(out[1], cases[i].second);
		assert_memory_equal(out + cases[i].header - 4, mask, 4);
	}
	free(bytes);
	free(out);
}

static void ws_decode_header__complete_headers__are_read(void **state)
{
	static const struct {
		uint8_t bytes[10];
		bool fragmented;
		int used;
		struct ws_header expected;
	} cases[] = {
		{ { 0x82, 0x05 }, false, 2, { WS_BINARY, true, 5 } },
		{ { 0x01, 0x00 }, false, 2, { WS_TEXT, false, 0 } },
		{ { 0x80, 0x7d }, true, 2, { WS_CONTINUATION, true, 125 } },
		{ { 0x89, 0x7d }, true, 2, { WS_PING, true, 125 } },
		{ { 0x82, 0x7e, 0x00, 0x7e }, false, 4, { WS_BINARY, true, 126 } },
		{ { 0x82, 0x7f, 0, 0, 0, 0, 0, 1, 0, 0 }, false, 10, { WS_BINARY, true, 65536 } },
		{ { 0x82, 0x7f, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff }, false, 10, { WS_BINARY, true, INT64_MAX } },
	};

	(void)state;
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct ws_header header;

		for (int count = 0; count < cases[i].used; count++)
			assert_int_equal(ws_decode_header(cases[i].bytes, (size_t)count, cases[i].fragmented, &header), 0);
		assert_int_equal(ws_decode_header(cases[i].bytes, 10, cases[i].fragmented, &header), cases[i].used);
		assert_int_equal(header.opcode, cases[i].expected.opcode);
		assert_int_equal(header.final, cases[i].expected.final);
		assert_int_equal(header.length, cases[i].expected.length);
	}
}

static void ws_decode_header__what_no_server_may_send__is_refused(void **state)
{
	static const struct {
		uint8_t bytes[10];
		bool fragmented;
	} cases[] = {
		{ { 0xc2, 0x00 }, false }, /* a reserved bit */
		{ { 0x82, 0x80 }, false }, /* masked */
		{ { 0x83, 0x00 }, false }, /* unknown opcodes */
		{ { 0x8b, 0x00 }, false },
		{ { 0x80, 0x00 }, false },             /* a continuation of nothing */
		{ { 0x82, 0x00 }, true },              /* a message within a message */
		{ { 0x09, 0x00 }, false },             /* a control frame in parts */
		{ { 0x88, 0x7e, 0x00, 0x7e }, false }, /* and one that is too long */
		{ { 0x82, 0x7e, 0x00, 0x7d }, false }, /* forms longer than needed */
		{ { 0x82, 0x7f, 0, 0, 0, 0, 0, 0, 0xff, 0xff }, false },
		{ { 0x82, 0x7f, 0x80, 0, 0, 0, 0, 0, 0, 0 }, false }, /* the highest bit */
	};

	(void)state;
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct ws_header header;

		assert_int_equal(ws_decode_header(cases[i].bytes, 10, cases[i].fragmented, &header), -1);
	}
}

#define ANSWER(upgrade, connection, accept, more) \
	"HTTP/1.1 101 Switching Protocols\r\nUpgrade: " upgrade "\r\nConnection: " connection "\r\nSec-WebSocket-Accept: " accept \
	"\r\n" more "\r\n"
#define ACCEPT "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" /* section 1.3, of the nonce's key below */

static void ws_accept_check__the_rfcs_example_and_variations__only_the_right_ones_pass(void **state)
{
	static const struct {
		const char *text;
		bool right;
	} cases[] = {
		{ ANSWER("websocket", "Upgrade", ACCEPT, ""), true },
		{ ANSWER("WebSocket", "keep-alive, upgrade", "\t " ACCEPT " ", "Server: x\r\n"), true },
		{ ANSWER("websocket", "Upgrade", "t3pPLMBiTxaQ9kYGzzhZRbK+xOo=", ""), false },
		{ ANSWER("websocket", "close", ACCEPT, ""), false },
		{ ANSWER("h2c", "Upgrade", ACCEPT, ""), false },
		{ ANSWER("websocket", "Upgrade", ACCEPT, "Sec-WebSocket-Extensions: permessage-deflate\r\n"), false },
		{ "HTTP/1.1 101 x\r\n\r\n", false },
		{ "", false },
	};

	(void)state;
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(ws_accept_check(cases[i].text, strlen(cases[i].text), "dGhlIHNhbXBsZSBub25jZQ=="), cases[i].right);
}

static void ws_accept_make_key__the_rfcs_nonce__is_its_key(void **state)
{
	char key[WS_ACCEPT_KEY_BYTES];

	(void)state;
	ws_accept_make_key((const uint8_t *)"the sample nonce", key);
	assert_string_equal(key, "dGhlIHNhbXBsZSBub25jZQ==");
}

static void ws_accept_status__heads__have_the_status_or_none(void **state)
{
	(void)state;
	assert_int_equal(ws_accept_status("HTTP/1.1 409 Conflict\r\n", 23), 409);
	assert_int_equal(ws_accept_status("HTTP/1.1 40x", 12), 0);
	assert_int_equal(ws_accept_status("HTTP/1.0 200", 12), 0);
	assert_int_equal(ws_accept_status("HTTP/1.1 20", 11), 0);
}

static void ws_accept_content_length__odd_values__are_zero(void **state)
{
	static const struct {
		const char *text;
		size_t expected;
	} cases[] = { { "HTTP/1.1 409 x\r\ncontent-length:  17 \r\n\r\n", 17 },
		      { "HTTP/1.1 409 x\r\nContent-Length: -1\r\n\r\n", 0 },
		      { "HTTP/1.1 409 x\r\nContent-Length: 99999999999\r\n\r\n", 0 },
		      { "HTTP/1.1 409 x\r\nX-Content-Length: 5\r\n\r\n", 0 } };

	(void)state;
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(ws_accept_content_length(cases[i].text, strlen(cases[i].text)), cases[i].expected);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ws_encode_frame__the_rfcs_example__is_the_same),
		cmocka_unit_test(ws_encode_frame__each_form_of_length__is_the_shortest),
		cmocka_unit_test(ws_decode_header__complete_headers__are_read),
		cmocka_unit_test(ws_decode_header__what_no_server_may_send__is_refused),
		cmocka_unit_test(ws_accept_check__the_rfcs_example_and_variations__only_the_right_ones_pass),
		cmocka_unit_test(ws_accept_make_key__the_rfcs_nonce__is_its_key),
		cmocka_unit_test(ws_accept_status__heads__have_the_status_or_none),
		cmocka_unit_test(ws_accept_content_length__odd_values__are_zero),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
