/* See text.h. */
#include "drivers-vm/control/gdb/text.h"

#include <string.h>

static const char digits[] = "0123456789abcdef";

int gdb_hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

bool gdb_text_take(struct gdb_text *text, const char *what)
{
	size_t length = strlen(what);

	if (strncmp(text->at, what, length) != 0)
		return false;
	text->at += length;
	return true;
}

bool gdb_text_number(struct gdb_text *text, uint64_t *value)
{
	uint64_t number = 0;
	unsigned count = 0;

	for (int digit; (digit = gdb_hex_digit(*text->at)) >= 0; text->at++) {
		if (++count > 16)
			return false;
		number = number << 4 | (unsigned)digit;
	}
	if (count == 0)
		return false;
	*value = number;
	return true;
}

bool gdb_text_bytes(struct gdb_text *text, uint8_t *to, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		int high = gdb_hex_digit(text->at[0]);
		int low = high < 0 ? -1 : gdb_hex_digit(text->at[1]);
		if (low < 0)
			return false;
		to[i] = (uint8_t)(high << 4 | low);
		text->at += 2;
	}
	return true;
}

void gdb_answer_put(struct gdb_answer *answer, const char *text)
{
	for (; *text != '\0' && answer->length < answer->size; text++)
		answer->to[answer->length++] = *text;
}

void gdb_answer_number(struct gdb_answer *answer, uint64_t value)
{
	char text[17] = "";
	unsigned at = 16;

	do {
		text[--at] = digits[value & 15];
		value >>= 4;
	} while (value != 0);
	gdb_answer_put(answer, text + at);
}

void gdb_answer_bytes(struct gdb_answer *answer, const void *bytes, size_t count)
{
	const uint8_t *from = bytes;

	for (size_t i = 0; i < count && answer->length + 2 <= answer->size; i++) {
		answer->to[answer->length++] = digits[from[i] >> 4];
		answer->to[answer->length++] = digits[from[i] & 15];
	}
}
