/* The part of <stdlib.h> (C11, 7.22) that service VMs have; semantics are the standard's. */
#ifndef RUNTIME_STDLIB_H
#define RUNTIME_STDLIB_H

#include <stddef.h>

/* The heap given to heap_init_global() (drivers-vm/runtime/heap.h); all return NULL when it is exhausted. */
void *malloc(size_t bytes);
void *calloc(size_t count, size_t bytes);
void *realloc(void *old, size_t bytes);
void *aligned_alloc(size_t align, size_t bytes);
void free(void *block);

/* On overflow the limit is returned and errno is ERANGE. */
long strtol(const char *text, char **end, int base);
unsigned long strtoul(const char *text, char **end, int base);
long long strtoll(const char *text, char **end, int base);
unsigned long long strtoull(const char *text, char **end, int base);
int atoi(const char *text);

int abs(int value);
_Noreturn void abort(void);

#endif
