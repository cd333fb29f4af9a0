/* Bytes both ways between a WebSocket and two file descriptors: the console and the debugger. */
#ifndef TOOLS_CLI_RELAY_H
#define TOOLS_CLI_RELAY_H

#include "tools/cli/websocket.h"

enum relay_end {
	RELAY_ESCAPED, /* the escape character was typed */
	RELAY_INPUT_ENDED,
	RELAY_OUTPUT_GONE, /* nobody reads any more */
	RELAY_CLOSED,      /* by the machine */
	RELAY_LOST,        /* and said */
};

struct relay {
	int in_fd, out_fd; /* in_fd: -1 after its end */
	int escape;        /* a byte that ends it when it is read, or -1 */
	/* After the end of the input: go on until there was no output for this time; negative: for ever. 0: end at once. */
	int linger_ms;
	/* Who takes the output instead of out_fd, or NULL. False: nobody reads any more. */
	bool (*receive)(void *ctx, const uint8_t *bytes, size_t count, bool end);
	void *ctx;
	bool typed; /* something was read from in_fd; set by relay_run */
};

enum relay_end relay_run(struct relay *relay, struct websocket *socket);

#endif
