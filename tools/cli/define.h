/* Sends a definition to the machine. */
#ifndef TOOLS_CLI_DEFINE_H
#define TOOLS_CLI_DEFINE_H

#include "tools/cli/definition.h"
#include "tools/cli/http.h"

/* PUT of the VM of this index, read from the file `path`. `header`: If-Match or If-None-Match, or NULL. A field that is wrong is said as
 * FILE:FIELD: and what is wrong. The reply, which needs http_free in any case, has the VM. */
enum cli_exit define_send(struct http_session *session, const char *path, const struct definitions *definitions, size_t index,
                          const char *header, struct http_reply *reply);

#define DEFINE_FILE_BYTES_MAX (1u << 20)

/* `define --edit NAME`. */
enum cli_exit define_edit(const struct cli_options *options, const char *name);

#endif
