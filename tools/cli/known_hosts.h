/* The lines of known_hosts. Pure. */
#ifndef TOOLS_CLI_KNOWN_HOSTS_H
#define TOOLS_CLI_KNOWN_HOSTS_H

#include <stdbool.h>
#include <stddef.h>

/* The pin that `text` has for the machine ("host:port"); the last line counts. False: it is not known. */
bool known_hosts_find(const char *text, const char *authority, char *pin, size_t size);
/* The text without the machine's lines, for free(). */
char *known_hosts_remove(const char *text, const char *authority, bool *found);

#endif
