/*
 * A WebSocket to the machine (RFC 6455), over a TLS connection that libcurl makes: its own interface for WebSockets is not in Debian's
 * build. Nothing blocks but websocket_open.
 */
#ifndef TOOLS_CLI_WEBSOCKET_H
#define TOOLS_CLI_WEBSOCKET_H

#include "tools/cli/http.h"
#include "tools/cli/ws_frame.h"

#define WEBSOCKET_CHUNK_BYTES 4096u /* of data that may be sent at once */

enum websocket_state {
	WEBSOCKET_OPEN,
	WEBSOCKET_CLOSED, /* by the machine, in order: close_code and close_reason */
	WEBSOCKET_LOST,   /* broken: what happened was said */
};

struct websocket {
	const struct http_session *session;
	CURL *curl;
	int fd; /* for poll(): readable, and writable while websocket_has_output() */
	/* Pieces of messages as they come; `end`: the last of its message. */
	void (*receive)(void *ctx, const uint8_t *bytes, size_t count, bool end);
	void *ctx;
	enum websocket_state state;
	unsigned close_code;
	char close_reason[WS_CONTROL_MAX + 1];
	bool fragmented, final; /* a message is not complete; the frame that comes is the last of it */
	uint64_t left;          /* bytes of the data frame that are still to come */
	uint8_t in[16384];
	size_t in_count;
	/* Sent as soon as there is room. What has been offered to TLS stays where it is until it is taken. */
	uint8_t out[WEBSOCKET_CHUNK_BYTES + 4 * (WS_CONTROL_MAX + WS_HEADER_MAX) + WS_HEADER_MAX];
	size_t out_at, out_count;
};

/* Connects and upgrades; `path` as for http_request. Not CLI_OK: was said, after `failure`. websocket_close in any case. */
enum cli_exit websocket_open(struct websocket *socket, const struct http_session *session, const char *path, const char *failure);
void websocket_close(struct websocket *socket);

/* One that was lost, with WEBSOCKET_RETRIES attempts, a second between them: the machine's control VM may have been restarted. */
#define WEBSOCKET_RETRIES 60u
enum cli_exit websocket_open_again(struct websocket *socket, const struct http_session *session, const char *path);

/* Takes what has come, until there is no more for now or the state is no longer WEBSOCKET_OPEN. */
void websocket_receive(struct websocket *socket);

/* Sends a message of up to WEBSOCKET_CHUNK_BYTES, or a control frame of up to WS_CONTROL_MAX. False: there is no room until output is
 * gone. With no output waiting there always is. */
bool websocket_send(struct websocket *socket, enum ws_opcode opcode, const void *bytes, size_t count);
bool websocket_has_output(const struct websocket *socket);
void websocket_flush(struct websocket *socket);

#endif
