/* Files of the operator: where `hilum` keeps what it knows, read and written so that nobody else can read it. */
#ifndef TOOLS_CLI_FILES_H
#define TOOLS_CLI_FILES_H

#include <stdbool.h>
#include <stddef.h>

#include "tools/cli/cli.h"

/* $XDG_CONFIG_HOME/hilum/NAME, or ~/.config/hilum/NAME; for free(). NULL, and said: there is no home. */
char *files_path(const char *name);

/* The whole file (- is standard input), with a NUL behind it; for free(). NULL, and *error is errno: ENOENT, or EFBIG beyond `most`
 * bytes. */
char *files_read(const char *path, size_t most, size_t *length, int *error);

/* Replaces the file, mode 0600, in one step: after a crash it is the old one or the new one. Makes its folder. What fails is said. */
bool files_write_private(const char *path, const char *text, size_t length);

/* Adds a line, to a file of mode 0600 if it is new. What fails is said. */
bool files_append_private(const char *path, const char *line);

/* Others than the owner may read it. */
bool files_is_public(const char *path);

#endif
