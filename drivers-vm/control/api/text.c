/* Text that grows within a common bound. */
#include "drivers-vm/control/api/text.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_BYTES 512u

static size_t total; /* capacity of all texts */

static bool make_room(struct text *text, size_t count)
{
	size_t wanted = text->capacity == 0 ? FIRST_BYTES : text->capacity;

	if (count <= text->capacity - text->length)
		return true;
	while (wanted - text->length < count && wanted <= TEXT_TOTAL_BYTES)
		wanted *= 2;
	if (text->failed || wanted - text->capacity > TEXT_TOTAL_BYTES - total)
		return false;
	char *bytes = realloc(text->bytes, wanted);

	if (bytes == NULL)
		return false;
	total += wanted - text->capacity;
	text->bytes = bytes;
	text->capacity = wanted;
	return true;
}

void text_add(struct text *text, const void *bytes, size_t count)
{
	if (count == 0)
		return;
	if (text->failed || !make_room(text, count)) {
		text->failed = true;
		return;
	}
	memcpy(text->bytes + text->length, bytes, count);
	text->length += count;
}

void text_add_string(struct text *text, const char *string)
{
	text_add(text, string, strlen(string));
}

void text_format(struct text *text, const char *format, ...)
{
	char piece[TEXT_FORMAT_BYTES];
	va_list args;
	int length;

	va_start(args, format);
	length = vsnprintf(piece, sizeof(piece), format, args);
	va_end(args);
	if (length > 0)
		text_add(text, piece, (size_t)length < sizeof(piece) ? (size_t)length : sizeof(piece) - 1);
}

void text_add_seconds(struct text *text, uint64_t ns)
{
	text_format(text, "%" PRIu64 ".%09" PRIu64, ns / 1000000000u, ns % 1000000000u);
}

void text_clear(struct text *text)
{
	text->length = 0;
	text->failed = false;
}

void text_free(struct text *text)
{
	total -= text->capacity;
	free(text->bytes);
	*text = (struct text){ 0 };
}

size_t text_total_bytes(void)
{
	return total;
}
