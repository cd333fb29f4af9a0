/* The inside of a JSON string (RFC 8259, 7). Pure. */
#ifndef DRIVERS_VM_CONTROL_JSON_STRING_H
#define DRIVERS_VM_CONTROL_JSON_STRING_H

#include <stdbool.h>

/*
 * Copies [*at, end) without its escapes to *to, which needs as much room, and moves both. False: *at is where it is no JSON. The text may
 * end behind `end` - 1.
 */
bool json_unescape(const char **at, const char *end, char **to);

#endif
