/*
 * Memory and string functions. The block functions use the string instructions: the compiler cannot turn
 * those back into a call of the function being defined, and every CPU with nested paging runs them fast.
 */
#include <string.h>
#include <stdint.h>

#define WORD_BYTES sizeof(uint64_t)

void *memcpy(void *restrict to, const void *restrict from, size_t bytes)
{
	void *at = to;
	size_t words = bytes / WORD_BYTES;
	size_t tail = bytes % WORD_BYTES;

	__asm__ volatile("rep movsq" : "+D"(at), "+S"(from), "+c"(words) : : "memory");
	__asm__ volatile("rep movsb" : "+D"(at), "+S"(from), "+c"(tail) : : "memory");
	return to;
}

void *memmove(void *to, const void *from, size_t bytes)
{
	unsigned char *at = to;
	const unsigned char *source = from;

	/* Copying upward is safe unless the target begins inside the source. */
	if ((uintptr_t)at - (uintptr_t)source >= bytes)
		return memcpy(to, from, bytes);
	while (bytes >= WORD_BYTES) {
		uint64_t word;

		bytes -= WORD_BYTES;
		__builtin_memcpy(&word, source + bytes, WORD_BYTES);
		__builtin_memcpy(at + bytes, &word, WORD_BYTES);
	}
	while (bytes > 0) {
		bytes--;
		at[bytes] = source[bytes];
	}
	return to;
}

void *memset(void *to, int value, size_t bytes)
{
	void *at = to;
	uint64_t pattern = (uint8_t)value * 0x0101010101010101ull;
	size_t words = bytes / WORD_BYTES;
	size_t tail = bytes % WORD_BYTES;

	__asm__ volatile("rep stosq" : "+D"(at), "+c"(words) : "a"(pattern) : "memory");
	__asm__ volatile("rep stosb" : "+D"(at), "+c"(tail) : "a"(pattern) : "memory");
	return to;
}

int memcmp(const void *a, const void *b, size_t bytes)
{
	const unsigned char *x = a;
	const unsigned char *y = b;

	for (size_t i = 0; i < bytes; i++)
		if (x[i] != y[i])
			return x[i] - y[i];
	return 0;
}

void *memchr(const void *where, int value, size_t bytes)
{
	const unsigned char *at = where;

	for (size_t i = 0; i < bytes; i++)
		if (at[i] == (unsigned char)value)
			return (void *)(uintptr_t)(at + i);
	return NULL;
}

size_t strlen(const char *text)
{
	size_t length = 0;

	while (text[length] != '\0')
		length++;
	return length;
}

size_t strnlen(const char *text, size_t limit)
{
	size_t length = 0;

	while (length < limit && text[length] != '\0')
		length++;
	return length;
}

int strcmp(const char *a, const char *b)
{
	while (*a != '\0' && *a == *b) {
		a++;
		b++;
	}
	return (unsigned char)*a - (unsigned char)*b;
}

int strncmp(const char *a, const char *b, size_t limit)
{
	for (; limit > 0; limit--, a++, b++)
		if (*a != *b || *a == '\0')
			return (unsigned char)*a - (unsigned char)*b;
	return 0;
}

char *strncpy(char *restrict to, const char *restrict from, size_t limit)
{
	size_t length = strnlen(from, limit);

	memcpy(to, from, length);
	memset(to + length, 0, limit - length);
	return to;
}

char *strchr(const char *text, int c)
{
	for (;; text++) {
		if (*text == (char)c)
			return (char *)(uintptr_t)text;
		if (*text == '\0')
			return NULL;
	}
}

char *strrchr(const char *text, int c)
{
	const char *last = NULL;

	for (;; text++) {
		if (*text == (char)c)
			last = text;
		if (*text == '\0')
			return (char *)(uintptr_t)last;
	}
}

char *strstr(const char *text, const char *part)
{
	size_t length = strlen(part);

	for (;; text++) {
		if (strncmp(text, part, length) == 0)
			return (char *)(uintptr_t)text;
		if (*text == '\0')
			return NULL;
	}
}

size_t strspn(const char *text, const char *accept)
{
	size_t length = 0;

	while (text[length] != '\0' && strchr(accept, text[length]) != NULL)
		length++;
	return length;
}

size_t strcspn(const char *text, const char *reject)
{
	size_t length = 0;

	while (text[length] != '\0' && strchr(reject, text[length]) == NULL)
		length++;
	return length;
}
