/* The C library's functions that root mode needs, and loads of unaligned fields. */
#ifndef ARCH_X86_64_STRING_H
#define ARCH_X86_64_STRING_H

#include "arch/x86_64/types.h"

void *memcpy(void *restrict to, const void *restrict from, size_t bytes);
void *memset(void *to, int value, size_t bytes);
size_t strlen(const char *s);
int strncmp(const char *a, const char *b, size_t max);

/* Little-endian field of `bytes` (1 to 8) bytes, zero-extended. The caller has checked that it is there. */
/*@ requires 1 <= bytes <= 8 && \valid_read((uint8_t *)p + (0 .. bytes - 1));
  @ assigns \nothing;
  @*/
static inline uint64_t load_le(const void *p, size_t bytes)
{
	uint64_t v = 0;

	memcpy(&v, p, bytes);
	return v;
}

/* Copies at most size - 1 bytes of `from`, of which `from_bytes` are readable, always with a NUL. False: it
 * did not fit. */
bool string_copy(char *to, size_t size, const char *from, size_t from_bytes);

#endif
