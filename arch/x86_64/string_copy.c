/* See string.h. Apart from string.c, whose functions a host test cannot link beside the C library's. */
#include "arch/x86_64/string.h"

bool string_copy(char *to, size_t size, const char *from, size_t from_bytes)
{
	size_t n = 0;

	while (n < from_bytes && n + 1 < size && from[n]) {
		to[n] = from[n];
		n++;
	}
	to[n] = 0;
	return n == from_bytes || !from[n];
}
