/*
 * Text for the test guests: COM1 by polling, a small printf, and the libc functions that gcc itself calls.
 */
#ifndef TESTS_GUEST_LIB_TEXT_H
#define TESTS_GUEST_LIB_TEXT_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Programs COM1 for 115200 8N1 with FIFOs and no interrupts; works, harmlessly, where no UART answers. */
void text_init(void);

/*
 * Prints one line or part of one; a lock keeps the calls of several CPUs apart. %s %c %d %u %x %p %%, l, ll,
 * width, 0, -.
 */
void text_print(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* As vsnprintf, without floating point. */
int text_format(char *out, size_t bytes, const char *format, va_list args);

void *memcpy(void *to, const void *from, size_t bytes);
void *memmove(void *to, const void *from, size_t bytes);
void *memset(void *to, int value, size_t bytes);
int memcmp(const void *a, const void *b, size_t bytes);
size_t strlen(const char *s);

/* Whether needle occurs in text. */
bool text_contains(const char *text, const char *needle);

#endif
