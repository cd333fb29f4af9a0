/* Formatting into memory; a service VM has no files. */
#ifndef RUNTIME_STDIO_H
#define RUNTIME_STDIO_H

#include <stdarg.h>
#include <stddef.h>

/*
 * As C11, 7.21.6.5 and 7.21.6.12, without %n, %lc, %ls and the floating-point conversions (the runtime is
 * built without FPU registers). At most `bytes` bytes are written, always with a final NUL when bytes > 0;
 * returns the length that the whole text would have had, or -1 for a conversion it does not have.
 */
int snprintf(char *to, size_t bytes, const char *format, ...) __attribute__((format(printf, 3, 4)));
int vsnprintf(char *to, size_t bytes, const char *format, va_list args) __attribute__((format(printf, 3, 0)));

#endif
