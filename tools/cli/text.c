#include "tools/cli/text.h"
#include "tools/cli/memory.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

size_t text_decode_utf8(const char *text, size_t length, uint32_t *code)
{
	static const uint32_t least[5] = { 0, 0, 0x80, 0x800, 0x10000 };
	unsigned char first = (unsigned char)text[0];
	size_t bytes = first < 0x80 ? 1 : first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 0;

	if (bytes == 0 || bytes > length)
		return 0;
	*code = bytes == 1 ? first : first & (0x7fu >> bytes);
	for (size_t i = 1; i < bytes; i++) {
		if ((text[i] & 0xc0) != 0x80)
			return 0;
		*code = *code << 6 | (text[i] & 0x3f);
	}
	return *code < least[bytes] || *code > 0x10ffff || (*code >= 0xd800 && *code <= 0xdfff) ? 0 : bytes;
}

bool text_is_harmless(uint32_t code)
{
	if (code < 0x20 || (code >= 0x7f && code < 0xa0))
		return false;
	/* Marks that reorder or hide text. */
	return !((code >= 0x200b && code <= 0x200f) || (code >= 0x2028 && code <= 0x202e) || (code >= 0x2060 && code <= 0x206f) ||
	         code == 0xfeff || code == 0x61c);
}

char *text_safe(const char *text, size_t length, bool lines)
{
	char *out = memory_resize(NULL, length * 4 + 1);
	size_t used = 0;

	for (size_t at = 0; at < length;) {
		uint32_t code;
		size_t bytes = text_decode_utf8(text + at, length - at, &code);

		if (bytes != 0 && (text_is_harmless(code) || (lines && (code == '\n' || code == '\t')))) {
			memcpy(out + used, text + at, bytes);
			used += bytes;
		} else {
			bytes = bytes == 0 ? 1 : bytes;
			for (size_t i = 0; i < bytes; i++)
				used += (size_t)sprintf(out + used, "\\x%02x", (unsigned char)text[at + i]);
		}
		at += bytes;
	}
	out[used] = '\0';
	return out;
}

size_t text_width(const char *text)
{
	size_t width = 0;

	for (; *text != '\0'; text++)
		width += (*text & 0xc0) != 0x80;
	return width;
}

char *text_fit(const char *text, size_t columns)
{
	size_t bytes = 0, width = 0;
	char *out;

	while (text[bytes] != '\0' && (width < columns || (text[bytes] & 0xc0) == 0x80))
		width += (text[bytes++] & 0xc0) != 0x80;
	out = memory_resize(NULL, bytes + (columns - width) + 1);
	memcpy(out, text, bytes);
	memset(out + bytes, ' ', columns - width);
	out[bytes + columns - width] = '\0';
	return out;
}

void text_format_bytes(char *out, size_t size, uint64_t bytes)
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
	unsigned unit = 0;
	uint64_t tenths, whole = bytes;

	while (whole >= 1024) {
		whole >>= 10;
		unit++;
	}
	/* Of what is left of the next smaller unit; rounded down, so that 1023.99 KiB does not show as 1024. */
	tenths = unit == 0 ? 0 : ((bytes >> 10 * (unit - 1)) & 1023) * 10 / 1024;
	if (tenths == 0 || whole >= 100)
		snprintf(out, size, "%" PRIu64 " %s", whole, units[unit]);
	else
		snprintf(out, size, "%" PRIu64 ".%" PRIu64 " %s", whole, tenths, units[unit]);
}

void text_format_short(char *out, size_t size, double value)
{
	static const char units[] = " KMGTPE";
	unsigned unit = 0;

	if (!(value > 0))
		value = 0;
	while (value >= 999.5 && unit + 1 < sizeof(units) - 1) {
		value /= 1024;
		unit++;
	}
	if (unit == 0)
		snprintf(out, size, "%.0f", value);
	else
		snprintf(out, size, value < 9.95 ? "%.1f%c" : "%.0f%c", value, units[unit]);
}

void text_format_duration(char *out, size_t size, uint64_t seconds)
{
	uint64_t days = seconds / 86400;
	unsigned rest = (unsigned)(seconds % 86400);
	char of_days[32] = "";

	if (days != 0)
		snprintf(of_days, sizeof(of_days), "%" PRIu64 "d ", days);
	snprintf(out, size, "%s%02u:%02u:%02u", of_days, rest / 3600, rest / 60 % 60, rest % 60);
}

bool text_parse_size(const char *text, uint64_t *out)
{
	static const char units[] = "KMGT";
	unsigned long long number;
	const char *unit;
	unsigned shift = 0;
	char *end;

	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	number = strtoull(text, &end, 10);
	if (*end != '\0') {
		unit = strchr(units, *end);
		if (unit == NULL || end[1] != '\0')
			return false;
		shift = 10 * ((unsigned)(unit - units) + 1);
	}
	if (errno != 0 || number > UINT64_MAX >> shift)
		return false;
	*out = (uint64_t)number << shift;
	return true;
}

bool text_parse_number(const char *text, int64_t most, int64_t *out)
{
	long long number;
	char *end;

	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	number = strtoll(text, &end, 10);
	if (*end != '\0' || errno != 0 || number > most)
		return false;
	*out = number;
	return true;
}
