/* What verbs that show something have in common. */
#ifndef TOOLS_CLI_SHOW_H
#define TOOLS_CLI_SHOW_H

#include "tools/cli/http.h"

/* GET of `path`, which is freed, by a session of its own, with JSON in the answer (else CLI_UNREACHABLE). `reply` needs http_free in any
 * case. */
enum cli_exit show_fetch(const struct cli_options *options, char *path, const char *failure, struct http_reply *reply);
/* The same in a session that is open. */
enum cli_exit show_fetch_again(struct http_session *session, char *path, const char *failure, struct http_reply *reply);

/* A string from the network, made safe, on a line of its own. NULL: an empty line. */
void show_line(const char *text);

#endif
