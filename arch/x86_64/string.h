/* The four memory functions the compiler may call, and strlen's family as far as root mode needs it. */
#ifndef ARCH_X86_64_STRING_H
#define ARCH_X86_64_STRING_H

#include "arch/x86_64/types.h"

void *memcpy(void *restrict to, const void *restrict from, size_t bytes);
void *memmove(void *to, const void *from, size_t bytes);
void *memset(void *to, int value, size_t bytes);
int memcmp(const void *a, const void *b, size_t bytes);
size_t strlen(const char *s);
int strncmp(const char *a, const char *b, size_t max);

/* Copies at most size - 1 bytes of `from`, of which `from_bytes` are readable, always with a NUL. False: it
 * did not fit. */
bool string_copy(char *to, size_t size, const char *from, size_t from_bytes);

#endif
