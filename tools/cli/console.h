/* A VM's console at the operator's terminal, or in a pipe. */
#ifndef TOOLS_CLI_CONSOLE_H
#define TOOLS_CLI_CONSOLE_H

#include "tools/cli/websocket.h"

/* Opens it, showing first what options->tail says. *out is for console_close, which takes NULL too. */
enum cli_exit console_open(const struct http_session *session, const struct cli_options *options, const char *name, struct websocket **out);
/* Stays until the operator leaves it, the input ends or the machine closes it; the terminal is then as it was. */
enum cli_exit console_run(struct websocket *socket, const struct cli_options *options, const char *name);
void console_close(struct websocket *socket);

#endif
