#include "tools/cli/memory.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void memory_exhausted(void)
{
	fputs("error: out of memory\n", stderr);
	exit(2);
}

void *memory_resize(void *old, size_t bytes)
{
	void *memory = realloc(old, bytes == 0 ? 1 : bytes);

	if (memory == NULL)
		memory_exhausted();
	return memory;
}

char *memory_copy_string(const char *text)
{
	size_t bytes = strlen(text) + 1;

	return memcpy(memory_resize(NULL, bytes), text, bytes);
}

char *memory_format(const char *format, ...)
{
	va_list arguments;
	char *text;

	va_start(arguments, format);
	if (vasprintf(&text, format, arguments) < 0)
		memory_exhausted();
	va_end(arguments);
	return text;
}

_Bool memory_append(struct memory_buffer *buffer, const void *bytes, size_t count, size_t most)
{
	if (count > most - buffer->length)
		return 0;
	if (buffer->length + count + 1 > buffer->capacity) {
		buffer->capacity = (buffer->length + count + 1) * 2;
		buffer->bytes = memory_resize(buffer->bytes, buffer->capacity);
	}
	if (count != 0)
		memcpy(buffer->bytes + buffer->length, bytes, count);
	buffer->length += count;
	buffer->bytes[buffer->length] = '\0';
	return 1;
}
