/*
 * The HTTP server with routes of the test's own: framing, order, limits, time-outs, WebSockets.
 *
 * UNIT_SOURCES: build/unit/api.a build/unit/mbedtls.a
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "drivers-vm/control/api/exchange.h"
#include "drivers-vm/control/api/problem.h"
#include "tests/unit/api_client.h"

#define SECOND     1000000000ull
#define MORE_STEPS 50u

static unsigned begun, ended, noted;
static char last_path[256];
static struct text taken;       /* what a WebSocket's client sent */
static size_t take_most = 1000; /* bytes that the WebSocket's reader takes at once */
static char to_send[64];
static bool allowed = true, may_answer = true;

static bool echo_sink(struct http_exchange *x, const uint8_t *bytes, size_t count)
{
	text_add(&x->body, bytes, count);
	if (x->body.length <= 100000)
		return true;
	problem_answer(x, 413, "", "enough");
	return false;
}

static void echo_done(struct http_exchange *x)
{
	http_answer(x, 200, "text/plain");
}

static bool more(struct http_exchange *x)
{
	if (x->route.step == MORE_STEPS)
		return false;
	for (unsigned i = 0; i < 100; i++)
		text_format(&x->body, "%02u.%02u ", (unsigned)x->route.step, i);
	x->route.step++;
	return true;
}

static size_t receive(struct http_exchange *x, const uint8_t *bytes, size_t count)
{
	(void)x;
	if (count > take_most)
		count = take_most;
	text_add(&taken, bytes, count);
	return count;
}

static size_t send_message(struct http_exchange *x, uint8_t *to, size_t size)
{
	size_t count = strlen(to_send);

	(void)x;
	assert_true(count <= size);
	memcpy(to, to_send, count);
	to_send[0] = '\0';
	return count;
}

void api_begin(struct http_exchange *x)
{
	static const struct http_socket stream = { .receive = receive, .send = send_message };
	const char *path = x->request.path;

	begun++;
	snprintf(last_path, sizeof(last_path), "%s", path);
	if (strcmp(path, "/socket") == 0 && http_wants_socket(&x->request)) {
		http_answer_socket(x, &stream, NULL);
	} else if (strcmp(path, "/echo") == 0) {
		http_take_body(x, echo_sink, echo_done);
	} else if (strcmp(path, "/more") == 0) {
		http_answer_more(x, 200, "text/plain", more);
	} else if (strcmp(path, "/constant") == 0) {
		http_add_header(x, "X-Test", "%s", "good");
		http_add_header(x, "X-Bad", "%s", "a\r\nX-Injected: 1");
		http_answer_constant(x, 200, "text/plain", "constant", 8);
	} else if (strcmp(path, "/huge") == 0) {
		for (unsigned i = 0; i <= TEXT_TOTAL_BYTES / sizeof(last_path); i++)
			text_add(&x->body, last_path, sizeof(last_path));
		http_answer(x, 200, "text/plain");
	} else {
		text_add_string(&x->body, path);
		http_answer(x, 200, "text/plain");
	}
}

bool api_may_answer(const struct http_exchange *x)
{
	(void)x;
	return may_answer;
}

void api_note_answer(struct http_exchange *x)
{
	assert_int_not_equal(x->answer.status, 0);
	noted++;
}

void api_end(struct http_exchange *x)
{
	(void)x;
	ended++;
}

bool api_is_allowed(const struct http_exchange *x)
{
	(void)x;
	return allowed;
}

static int set_up(void **state)
{
	(void)state;
	begun = ended = noted = 0;
	take_most = 1000;
	to_send[0] = '\0';
	allowed = may_answer = true;
	text_clear(&taken);
	return 0;
}

/* What one connection is answered to `request`. */
static void ask(struct client *client, const char *request)
{
	client_open(client);
	client_send(client, request);
}

static void assert_status(const char *request, const char *status)
{
	struct client client;

	ask(&client, request);
	if (strncmp(client.got, status, strlen(status)) != 0)
		fail_msg("%s\nwas answered\n%s", request, client.got);
	client_close(&client);
	assert_int_equal(begun, ended);
}

static unsigned count_of(const char *text, const char *what)
{
	unsigned count = 0;

	for (; (text = strstr(text, what)) != NULL; text++)
		count++;
	return count;
}

static void http_receive__head_cut_anywhere__same_answer(void **state)
{
	static const char request[] = "GET /a%2Fb?x=1 HTTP/1.1\r\nHost: h\r\n\r\n";
	struct client client;

	(void)state;
	for (size_t cut = 0; cut < sizeof(request); cut++) {
		client_open(&client);
		client_send_bytes(&client, request, cut);
		client_send_bytes(&client, request + cut, sizeof(request) - 1 - cut);
		assert_non_null(strstr(client.got, "\r\n\r\n/a/b"));
		assert_int_equal(client.consumed, sizeof(request) - 1);
		client_close(&client);
	}
	assert_int_equal(begun, ended);
}

static void http_receive__pipelined__answered_in_order(void **state)
{
	struct client client;

	(void)state;
	ask(&client, "GET /more HTTP/1.1\r\nHost: h\r\n\r\nPOST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc\r\n"
	             "GET /last HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\nGET /never HTTP/1.1\r\nHost: h\r\n\r\n");
	const char *first = strstr(client.got, "49.99"), *second = strstr(client.got, "abc"), *third = strstr(client.got, "/last");

	assert_true(first != NULL && second > first && third > second);
	assert_null(strstr(client.got, "/never"));
	client_close(&client);
	assert_int_equal(begun, 3);
	assert_int_equal(ended, 3);
}

static void http_receive__ambiguous_or_malformed__400_and_closed(void **state)
{
	static const char *const bad[] = {
		"GET /  HTTP/1.1\r\nHost: h\r\n\r\n",
		"GET / HTTP/1.1 \r\nHost: h\r\n\r\n",
		"GET / HTTP/1.1\nHost: h\n\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: h\nX: y\r\n\r\n",
		"GET / HTTP/1.1\r\nHost : h\r\n\r\n",
		"GET / HTTP/1.1\r\n Host: h\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: h\r\n folded\r\n\r\n",
		"GET / HTTP/1.1\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n",
		"GET relative HTTP/1.1\r\nHost: h\r\n\r\n",
		"GET /%zz HTTP/1.1\r\nHost: h\r\n\r\n",
		"GET /%00 HTTP/1.1\r\nHost: h\r\n\r\n",
		"G\x01T / HTTP/1.1\r\nHost: h\r\n\r\n",
		"POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
		"POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 3, 3\r\n\r\nabc",
		"POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: +3\r\n\r\nabc",
		"POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 0x3\r\n\r\nabc",
		"POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length:\r\n\r\n",
		"POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999999999999\r\n\r\n",
		"POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
		"POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: identity\r\n\r\n",
		"POST /echo HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n\r\n",
		"POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n",
		"POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n 1\r\na\r\n0\r\n\r\n",
		"POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\na\r\n0\r\n\r\n",
		"POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n",
		"POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n10000000000000000\r\n",
	};
	struct client client;

	(void)state;
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		ask(&client, bad[i]);
		if (strncmp(client.got, "HTTP/1.1 400 ", 13) != 0)
			fail_msg("%s\nwas answered\n%s", bad[i], client.got);
		assert_non_null(strstr(client.got, "Connection: close\r\n"));
		assert_int_equal(count_of(client.got, "HTTP/1.1"), 1);
		client_wait(3 * SECOND);
		assert_true(client.finished);
		client_close(&client);
	}
}

static void http_poll__answer_must_wait__sent_when_it_may_or_after_seconds(void **state)
{
	static const char request[] = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
	struct client client;

	(void)state;
	may_answer = false;
	ask(&client, request);
	client_wait(4 * SECOND);
	assert_int_equal(client.count, 0);
	may_answer = true;
	client_wait(SECOND / 10);
	assert_int_equal(count_of(client.got, "HTTP/1.1 200 "), 1);
	may_answer = false;
	client_clear(&client);
	client_send(&client, request);
	client_wait(4 * SECOND);
	assert_int_equal(client.count, 0);
	client_wait(2 * SECOND);
	assert_int_equal(count_of(client.got, "HTTP/1.1 200 "), 1);
	client_close(&client);
}

static void http_receive__other_refusals__their_status(void **state)
{
	(void)state;
	assert_status("GET / HTTP/2.0\r\nHost: h\r\n\r\n", "HTTP/1.1 505 ");
	assert_status("GET / HTTP/1.1\r\nHost: h\r\nExpect: magic\r\n\r\n", "HTTP/1.1 417 ");
	assert_status("GET / HTTP/1.0\r\n\r\n", "HTTP/1.1 200 ");
	assert_status("GET http://h/ HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 200 ");
}

static void http_receive__too_many_or_long_headers__431(void **state)
{
	char request[HTTP_HEAD_BYTES + 100] = "GET / HTTP/1.1\r\nHost: h\r\n";
	size_t length = strlen(request);

	(void)state;
	for (unsigned i = 0; i < HTTP_HEADERS_MAX; i++)
		length += (size_t)sprintf(request + length, "X-%u: y\r\n", i);
	strcpy(request + length, "\r\n");
	assert_status(request, "HTTP/1.1 431 ");
	length = strlen("GET / HTTP/1.1\r\n");
	memset(request + length, 'a', sizeof(request) - length - 1);
	request[sizeof(request) - 1] = '\0';
	assert_status(request, "HTTP/1.1 431 ");
}

static void http_receive__chunked_body_cut_anywhere__is_read(void **state)
{
	static const char request[] =
		"POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: Chunked\r\n\r\n4\r\nWiki\r\n"
		"6;ext=\"v\"\r\npedia \r\nE\r\nin \r\n\r\nchunks.\r\n0\r\nTrailer: x\r\n\r\nGET /n HTTP/1.1\r\nHost: h\r\n\r\n";
	struct client client;

	(void)state;
	for (size_t cut = 0; cut < sizeof(request); cut++) {
		client_open(&client);
		client_send_bytes(&client, request, cut);
		client_send_bytes(&client, request + cut, sizeof(request) - 1 - cut);
		assert_non_null(strstr(client.got, "Wikipedia in \r\n\r\nchunks."));
		assert_non_null(strstr(client.got, "\r\n\r\n/n"));
		client_close(&client);
	}
}

static void http_receive__expects_100__told_to_go_on(void **state)
{
	struct client client;

	(void)state;
	ask(&client, "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
	assert_string_equal(client.got, "HTTP/1.1 100 Continue\r\n\r\n");
	client_send(&client, "hello");
	assert_non_null(strstr(client.got, "\r\n\r\nhello"));
	client_close(&client);
	/* Who is refused is not told to send the body, and cannot use the connection for another request. */
	ask(&client, "POST /other HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
	assert_null(strstr(client.got, "100 Continue"));
	assert_non_null(strstr(client.got, "Connection: close"));
	client_close(&client);
}

static void http_receive__sink_refuses__answered_at_once_and_closed(void **state)
{
	char piece[20000];
	struct client client;

	(void)state;
	memset(piece, 'x', sizeof(piece));
	ask(&client, "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n");
	for (unsigned i = 0; i < 20; i++)
		client_send_bytes(&client, piece, sizeof(piece));
	assert_int_equal(strncmp(client.got, "HTTP/1.1 413 ", 13), 0);
	client_wait(3 * SECOND);
	assert_true(client.finished);
	client_close(&client);
}

static void http_receive__head__no_body(void **state)
{
	struct client client;

	(void)state;
	ask(&client, "HEAD /constant HTTP/1.1\r\nHost: h\r\n\r\nHEAD /more HTTP/1.1\r\nHost: h\r\n\r\n");
	assert_int_equal(count_of(client.got, "HTTP/1.1 200 "), 2);
	assert_non_null(strstr(client.got, "Content-Length: 8\r\n"));
	assert_null(strstr(client.got, "constant\r\n\r\nconstant"));
	assert_null(strstr(client.got, "00.00"));
	client_close(&client);
}

static void http_add_header__line_break_in_value__is_left_out(void **state)
{
	struct client client;

	(void)state;
	ask(&client, "GET /constant HTTP/1.1\r\nHost: h\r\n\r\n");
	assert_non_null(strstr(client.got, "X-Test: good\r\n"));
	assert_null(strstr(client.got, "X-Injected"));
	client_close(&client);
}

static void http_writable__reader_takes_a_byte_at_a_time__gets_all_of_it(void **state)
{
	struct client client, quick;
	char *slow;

	(void)state;
	ask(&quick, "GET /more HTTP/1.1\r\nHost: h\r\n\r\n");
	client_open(&client);
	client.room = 0;
	client_send(&client, "GET /more HTTP/1.1\r\nHost: h\r\n\r\n");
	for (unsigned i = 0; i < 100000 && client.count < quick.count; i++) {
		client.room = 7;
		http_writable(client.conn, client_now_ns);
	}
	/* Chunks may be cut elsewhere: the text is the same. */
	slow = client.got;
	assert_non_null(strstr(slow, "00.00"));
	assert_non_null(strstr(slow, "49.99"));
	assert_non_null(strstr(slow, "\r\n0\r\n\r\n"));
	client_close(&client);
	client_close(&quick);
}

static void http_begin_answer__more_than_the_bound__503(void **state)
{
	(void)state;
	assert_status("GET /huge HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 503 ");
}

static void http_poll__http10_answer_without_length__ends_with_the_connection(void **state)
{
	struct client client;

	(void)state;
	ask(&client, "GET /more HTTP/1.0\r\n\r\n");
	assert_null(strstr(client.got, "chunked"));
	assert_non_null(strstr(client.got, "49.99 "));
	client_wait(3 * SECOND);
	assert_true(client.finished);
	client_close(&client);
}

static void http_poll__nothing_comes__closed_after_a_minute(void **state)
{
	struct client client;

	(void)state;
	client_open(&client);
	client_wait(59 * SECOND);
	assert_false(client.finished);
	client_wait(2 * SECOND);
	assert_true(client.finished);
	assert_int_equal(client.count, 0);
	client_close(&client);
}

static void http_poll__head_drips__408_after_ten_seconds(void **state)
{
	struct client client;

	(void)state;
	client_open(&client);
	client_send(&client, "\r\n");
	for (unsigned i = 0; i < 9; i++) {
		client_wait(SECOND);
		client_send(&client, i < 4 ? "\r\n" : "G"); /* empty lines do not begin the time anew */
	}
	assert_int_equal(client.count, 0);
	client_wait(2 * SECOND);
	assert_int_equal(strncmp(client.got, "HTTP/1.1 408 ", 13), 0);
	client_wait(3 * SECOND);
	assert_true(client.finished);
	client_close(&client);
}

static void http_poll__body_stalls__408(void **state)
{
	struct client client;

	(void)state;
	ask(&client, "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nab");
	client_wait(29 * SECOND);
	client_send(&client, "c");
	client_wait(29 * SECOND);
	assert_int_equal(client.count, 0);
	client_wait(2 * SECOND);
	assert_int_equal(strncmp(client.got, "HTTP/1.1 408 ", 13), 0);
	client_close(&client);
	assert_int_equal(begun, ended);
}

static void http_poll__reader_stalls__closed(void **state)
{
	struct client client;

	(void)state;
	client_open(&client);
	client.room = 100;
	client_send(&client, "GET /more HTTP/1.1\r\nHost: h\r\n\r\n");
	client_wait(59 * SECOND);
	assert_false(client.finished);
	client_wait(2 * SECOND);
	assert_true(client.finished);
	client_close(&client);
	assert_int_equal(begun, ended);
}

static void http_open__all_places_taken__refused_until_one_is_free(void **state)
{
	struct client clients[HTTP_CONNECTIONS_MAX], other;

	(void)state;
	for (unsigned i = 0; i < HTTP_CONNECTIONS_MAX; i++)
		client_open(&clients[i]);
	assert_false(client_open_from(&other, 1));
	client_close(&clients[5]);
	client_open(&clients[5]);
	for (unsigned i = 0; i < HTTP_CONNECTIONS_MAX; i++)
		client_close(&clients[i]);
}

static void http_receive__more_than_the_window__finished(void **state)
{
	static char much[HTTP_RECEIVE_WINDOW];
	struct client client;

	(void)state;
	client_open(&client);
	client.room = 0;
	client_send(&client, "GET /more HTTP/1.1\r\nHost: h\r\n\r\n");
	client_send_bytes(&client, much, sizeof(much));
	assert_false(client.finished);
	client_send_bytes(&client, much, 1);
	assert_true(client.finished);
	client_close(&client);
}

/* ---- WebSockets -------------------------------------------------------------------------------------------------------------------- */

static void open_socket(struct client *client)
{
	ask(client, "GET /socket HTTP/1.1\r\n" CLIENT_UPGRADE "\r\n");
	assert_int_equal(strncmp(client->got, "HTTP/1.1 101 ", 13), 0);
	/* The example of RFC 6455, 1.3. */
	assert_non_null(strstr(client->got, "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"));
	client_clear(client);
}

static void assert_closed_with(struct client *client, unsigned code)
{
	const uint8_t *frame = (const uint8_t *)client->got;

	assert_int_equal(client->count, 4);
	assert_int_equal(frame[0], 0x88);
	assert_int_equal(frame[1], 2);
	assert_int_equal(frame[2] << 8 | frame[3], code);
	client_wait(3 * SECOND);
	assert_true(client->finished);
	client_close(client);
	assert_int_equal(begun, ended);
}

static void http_wants_socket__something_missing__no_upgrade(void **state)
{
	(void)state;
	assert_status("GET /socket HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
	              "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
	              "HTTP/1.1 200 ");
	assert_status("GET /socket HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 8\r\n"
	              "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
	              "HTTP/1.1 200 ");
	assert_status("GET /socket HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
	              "Sec-WebSocket-Key: short\r\n\r\n",
	              "HTTP/1.1 200 ");
	assert_status("POST /socket HTTP/1.1\r\n" CLIENT_UPGRADE "\r\n", "HTTP/1.1 200 ");
}

static void http_run_socket__fragments_with_a_ping_between__joined_and_answered(void **state)
{
	struct client client;

	(void)state;
	open_socket(&client);
	client_send_frame(&client, 0x02, "one ", 4);
	client_send_frame(&client, 0x89, "are you there", 13);
	client_send_frame(&client, 0x00, "two ", 4);
	client_send_frame(&client, 0x80, "three", 5);
	assert_int_equal(taken.length, 13);
	assert_memory_equal(taken.bytes, "one two three", 13);
	assert_int_equal(client.count, 15);
	assert_memory_equal(client.got,
	                    "\x8A\x0D"
	                    "are you there",
	                    15);
	client_clear(&client);
	client_send_frame(&client, 0x88, "\x03\xE8", 2);
	assert_closed_with(&client, 1000);
}

static void http_run_socket__reader_takes_little__nothing_is_lost(void **state)
{
	char message[5000];
	struct client client;

	(void)state;
	for (unsigned i = 0; i < sizeof(message); i++)
		message[i] = (char)(i * 7);
	open_socket(&client);
	client.consumed = 0;
	take_most = 0;
	client_send_frame(&client, 0x82, message, sizeof(message));
	assert_int_equal(taken.length, 0);
	assert_true(client.consumed < 20); /* the client is held back */
	take_most = 3;
	for (unsigned i = 0; i < 10000 && taken.length < sizeof(message); i++)
		client_wait(SECOND / 1000);
	assert_int_equal(taken.length, sizeof(message));
	assert_memory_equal(taken.bytes, message, sizeof(message));
	client_close(&client);
}

static void http_run_socket__server_has_a_message__one_frame(void **state)
{
	struct client client;

	(void)state;
	open_socket(&client);
	strcpy(to_send, "news");
	client_wait(SECOND / 10);
	assert_int_equal(client.count, 6);
	assert_memory_equal(client.got, "\x82\x04news", 6);
	client_close(&client);
}

static void http_run_socket__violations__closed_with_their_code(void **state)
{
	static const struct {
		const char *bytes;
		size_t count;
		unsigned code;
	} bad[] = {
		{ "\x82\x01x", 3, 1002 },                                         /* not masked */
		{ "\xC2\x81\0\0\0\0x", 7, 1002 },                                 /* a reserved bit */
		{ "\x83\x81\0\0\0\0x", 7, 1002 },                                 /* a reserved opcode */
		{ "\x8B\x81\0\0\0\0x", 7, 1002 },                                 /* a reserved control opcode */
		{ "\x09\x81\0\0\0\0x", 7, 1002 },                                 /* a control frame in fragments */
		{ "\x89\xFE\x00\x7E\0\0\0\0", 8, 1002 },                          /* a control frame of 126 bytes */
		{ "\x80\x81\0\0\0\0x", 7, 1002 },                                 /* a continuation of nothing */
		{ "\x02\x81\0\0\0\0x\x82\x81\0\0\0\0x", 14, 1002 },               /* a message within a message */
		{ "\x81\x81\0\0\0\0x", 7, 1003 },                                 /* text */
		{ "\x82\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\0\0\0\0", 14, 1009 }, /* a length of 2^64 - 1 */
		{ "\x82\xFF\0\0\0\0\0\x20\0\0\0\0\0\0", 14, 1009 },               /* 2 MiB */
	};
	struct client client;

	(void)state;
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		open_socket(&client);
		client_send_bytes(&client, bad[i].bytes, bad[i].count);
		assert_closed_with(&client, bad[i].code);
	}
}

static void http_check_socket__silence__asked_and_then_gone(void **state)
{
	struct client client;

	(void)state;
	open_socket(&client);
	client_wait(31 * SECOND);
	assert_int_equal(client.count, 2);
	assert_memory_equal(client.got, "\x89\0", 2);
	client_send_frame(&client, 0x8A, "", 0);
	client_wait(29 * SECOND);
	assert_int_equal(client.count, 2);
	client_wait(2 * SECOND);
	assert_int_equal(client.count, 4);
	client_wait(60 * SECOND);
	assert_true(client.finished);
	client_close(&client);
	assert_int_equal(begun, ended);
}

static void http_check_socket__token_withdrawn__closed(void **state)
{
	struct client client;

	(void)state;
	open_socket(&client);
	allowed = false;
	client_wait(SECOND / 10);
	assert_closed_with(&client, 1008);
}

static int tear_down(void **state)
{
	(void)state;
	text_free(&taken);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(http_receive__head_cut_anywhere__same_answer, set_up),
		cmocka_unit_test_setup(http_receive__pipelined__answered_in_order, set_up),
		cmocka_unit_test_setup(http_receive__ambiguous_or_malformed__400_and_closed, set_up),
		cmocka_unit_test_setup(http_receive__other_refusals__their_status, set_up),
		cmocka_unit_test_setup(http_receive__too_many_or_long_headers__431, set_up),
		cmocka_unit_test_setup(http_receive__chunked_body_cut_anywhere__is_read, set_up),
		cmocka_unit_test_setup(http_receive__expects_100__told_to_go_on, set_up),
		cmocka_unit_test_setup(http_receive__sink_refuses__answered_at_once_and_closed, set_up),
		cmocka_unit_test_setup(http_receive__head__no_body, set_up),
		cmocka_unit_test_setup(http_add_header__line_break_in_value__is_left_out, set_up),
		cmocka_unit_test_setup(http_writable__reader_takes_a_byte_at_a_time__gets_all_of_it, set_up),
		cmocka_unit_test_setup(http_begin_answer__more_than_the_bound__503, set_up),
		cmocka_unit_test_setup(http_poll__http10_answer_without_length__ends_with_the_connection, set_up),
		cmocka_unit_test_setup(http_poll__nothing_comes__closed_after_a_minute, set_up),
		cmocka_unit_test_setup(http_poll__head_drips__408_after_ten_seconds, set_up),
		cmocka_unit_test_setup(http_poll__body_stalls__408, set_up),
		cmocka_unit_test_setup(http_poll__reader_stalls__closed, set_up),
		cmocka_unit_test_setup(http_open__all_places_taken__refused_until_one_is_free, set_up),
		cmocka_unit_test_setup(http_receive__more_than_the_window__finished, set_up),
		cmocka_unit_test_setup(http_wants_socket__something_missing__no_upgrade, set_up),
		cmocka_unit_test_setup(http_run_socket__fragments_with_a_ping_between__joined_and_answered, set_up),
		cmocka_unit_test_setup(http_run_socket__reader_takes_little__nothing_is_lost, set_up),
		cmocka_unit_test_setup(http_run_socket__server_has_a_message__one_frame, set_up),
		cmocka_unit_test_setup(http_poll__answer_must_wait__sent_when_it_may_or_after_seconds, set_up),
		cmocka_unit_test_setup(http_run_socket__violations__closed_with_their_code, set_up),
		cmocka_unit_test_setup(http_check_socket__silence__asked_and_then_gone, set_up),
		cmocka_unit_test_setup(http_check_socket__token_withdrawn__closed, set_up),
	};

	return cmocka_run_group_tests(tests, NULL, tear_down);
}
