/* Memory on the operator's workstation: there is no way on without it, so these end the program instead of returning NULL. */
#ifndef TOOLS_CLI_MEMORY_H
#define TOOLS_CLI_MEMORY_H

#include <stddef.h>

_Noreturn void memory_exhausted(void);
void *memory_resize(void *old, size_t bytes);
char *memory_copy_string(const char *text);
/* As sprintf, into a string for free(). */
char *memory_format(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Bytes that grow up to a limit; always followed by a NUL. */
struct memory_buffer {
	char *bytes;
	size_t length, capacity;
};
/* False, and nothing is added: the buffer would have more than `most` bytes. */
_Bool memory_append(struct memory_buffer *buffer, const void *bytes, size_t count, size_t most);

#endif
