/* UTF-8 (RFC 3629). Pure. */
#ifndef DRIVERS_VM_CONTROL_API_UTF8_H
#define DRIVERS_VM_CONTROL_API_UTF8_H

#include <stddef.h>

/* How many bytes the character at bytes[0 .. count) has: 1 to 4; 0: that is none. */
unsigned utf8_length(const char *bytes, size_t count);

#endif
