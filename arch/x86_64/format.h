/* printf's formatting as far as the log needs it: %u %x %s %%, l and ll, flag # (0 prints as 0x0), and a number's width, always filled
 * up with zeroes: %016lx. */
#ifndef ARCH_X86_64_FORMAT_H
#define ARCH_X86_64_FORMAT_H

#include <stdarg.h>
#include "arch/x86_64/types.h"

/* Writes at most `size` bytes with a NUL always (size > 0). Returns the bytes written, without the NUL. */
size_t format_text_va(char *out, size_t size, const char *fmt, va_list args) __attribute__((format(printf, 3, 0)));

#endif
