/* The opening handshake of a WebSocket (RFC 6455, section 4.1 Client Requirements). */
#include "tools/cli/websocket.h"
#include "tools/cli/ws_accept.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#define ANSWER_SECONDS   60
#define ANSWER_BYTES_MAX (sizeof(((struct websocket *)0)->in) - 1)

/* Waits until the socket is ready for `events`; false: it was not in time. */
static bool wait_ready(const struct websocket *socket, short events, time_t deadline)
{
	struct pollfd ready = { .fd = socket->fd, .events = events };
	time_t now = time(NULL);

	return now < deadline && poll(&ready, 1, (int)(deadline - now) * 1000) > 0;
}

static bool send_request(struct websocket *socket, const char *text, time_t deadline)
{
	size_t length = strlen(text);

	while (length != 0) {
		size_t sent = 0;
		CURLcode code = curl_easy_send(socket->curl, text, length, &sent);

		if (code == CURLE_AGAIN && wait_ready(socket, POLLOUT, deadline))
			continue;
		if (code != CURLE_OK)
			return false;
		text += sent;
		length -= sent;
	}
	return true;
}

/* Reads more of the answer. False: nothing more comes. */
static bool read_more(struct websocket *socket, time_t deadline)
{
	for (;;) {
		size_t count = 0;
		CURLcode code = socket->in_count >= ANSWER_BYTES_MAX ? CURLE_RECV_ERROR
		                                                     : curl_easy_recv(socket->curl, socket->in + socket->in_count,
		                                                                      ANSWER_BYTES_MAX - socket->in_count, &count);

		if (code == CURLE_AGAIN && wait_ready(socket, POLLIN, deadline))
			continue;
		socket->in_count += code == CURLE_OK ? count : 0;
		socket->in[socket->in_count] = '\0';
		return code == CURLE_OK && count != 0;
	}
}

/* Bytes of the answer's head, the empty line included; 0: it does not come. */
static size_t read_head(struct websocket *socket, time_t deadline)
{
	for (;;) {
		const uint8_t *end = memmem(socket->in, socket->in_count, "\r\n\r\n", 4);

		if (end != NULL)
			return (size_t)(end - socket->in) + 4;
		if (!read_more(socket, deadline))
			return 0;
	}
}

static char *make_request(const struct websocket *socket, const char *path, const char *key)
{
	const struct target *target = &socket->session->target;
	const char *token = target->token;

	return memory_format("GET %s HTTP/1.1\r\n"
	                     "Host: %s\r\n"
	                     "Upgrade: websocket\r\n"
	                     "Connection: Upgrade\r\n"
	                     "Sec-WebSocket-Version: 13\r\n"
	                     "Sec-WebSocket-Key: %s\r\n"
	                     "%s%s%s\r\n",
	                     path, target->address.authority, key, token == NULL ? "" : "Authorization: Bearer ",
	                     token == NULL ? "" : token, token == NULL ? "" : "\r\n");
}

/* The answer is no upgrade but an error: its problem is said as for any other request. */
static enum cli_exit judge_refusal(struct websocket *socket, size_t head, long status, const char *failure, time_t deadline)
{
	struct http_reply reply = { .status = status };
	enum cli_exit result;
	size_t length = ws_accept_content_length((const char *)socket->in, head);

	while (socket->in_count - head < length && read_more(socket, deadline))
		;
	length = socket->in_count - head < length ? socket->in_count - head : length;
	reply.json = json_loadb((const char *)socket->in + head, length, 0, NULL);
	result = http_judge(&reply, failure);
	http_free(&reply);
	socket->state = WEBSOCKET_LOST;
	if (result == CLI_OK) {
		cli_error("%s: there is no WebSocket at that place", socket->session->target.address.authority);
		result = CLI_UNREACHABLE;
	}
	return result;
}

static enum cli_exit upgrade(struct websocket *socket, const char *path, const char *failure)
{
	time_t deadline = time(NULL) + ANSWER_SECONDS;
	char key[WS_ACCEPT_KEY_BYTES];
	uint8_t nonce[16];
	char *request;
	bool sent;
	size_t head;
	long status;

	if (getrandom(nonce, sizeof(nonce), 0) != sizeof(nonce))
		memory_exhausted();
	ws_accept_make_key(nonce, key);
	request = make_request(socket, path, key);
	sent = send_request(socket, request, deadline);
	free(request);
	head = sent ? read_head(socket, deadline) : 0;
	status = head == 0 ? 0 : ws_accept_status((const char *)socket->in, head);
	if (status >= 200)
		return judge_refusal(socket, head, status, failure, deadline);
	if (status != 101 || !ws_accept_check((const char *)socket->in, head, key)) {
		cli_error("%s: no answer, or none that makes sense", socket->session->target.address.authority);
		socket->state = WEBSOCKET_LOST;
		return CLI_UNREACHABLE;
	}
	socket->in_count -= head;
	memmove(socket->in, socket->in + head, socket->in_count);
	return CLI_OK;
}

enum cli_exit websocket_open(struct websocket *socket, const struct http_session *session, const char *path, const char *failure)
{
	curl_socket_t fd = CURL_SOCKET_BAD;
	CURLcode code;

	*socket = (struct websocket){ .session = session, .fd = -1 };
	socket->curl = http_make_handle(session, "/");
	curl_easy_setopt(socket->curl, CURLOPT_CONNECT_ONLY, 1L);
	code = curl_easy_perform(socket->curl);
	if (code == CURLE_OK)
		code = curl_easy_getinfo(socket->curl, CURLINFO_ACTIVESOCKET, &fd);
	if (code != CURLE_OK) {
		socket->state = WEBSOCKET_LOST;
		return http_report_curl(session, code);
	}
	socket->fd = (int)fd;
	return upgrade(socket, path, failure);
}

enum cli_exit websocket_open_again(struct websocket *socket, const struct http_session *session, const char *path)
{
	enum cli_exit status = CLI_UNREACHABLE;

	fprintf(stderr, "connecting again ...\r\n");
	for (unsigned i = 0; i < WEBSOCKET_RETRIES && status == CLI_UNREACHABLE; i++) {
		websocket_close(socket);
		sleep(1);
		cli_be_quiet(i + 1 < WEBSOCKET_RETRIES);
		status = websocket_open(socket, session, path, NULL);
	}
	cli_be_quiet(false);
	if (status == CLI_OK)
		fprintf(stderr, "connected again\r\n");
	return status;
}
