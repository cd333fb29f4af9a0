/* The inside of a JSON string. */
#include "drivers-vm/control/json_string.h"

#include "drivers-vm/control/api/utf8.h"

#include <stdint.h>
#include <string.h>

static bool parse_unit(const char *at, const char *end, uint32_t *unit)
{
	*unit = 0;
	if (end - at < 4)
		return false;
	for (unsigned i = 0; i < 4; i++) {
		char c = at[i];
		int digit = c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;

		if (digit < 0)
			return false;
		*unit = *unit << 4 | (uint32_t)digit;
	}
	return true;
}

static unsigned put_utf8(uint32_t c, char *to)
{
	if (c < 0x80) {
		to[0] = (char)c;
		return 1;
	}
	unsigned more = c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;

	to[0] = (char)((0xF0u << (3 - more)) | c >> (6 * more));
	for (unsigned i = 1; i <= more; i++)
		to[i] = (char)(0x80u | (c >> (6 * (more - i)) & 0x3Fu));
	return more + 1;
}

/* What follows a backslash and 'u'; moves *at behind it. */
static bool take_unicode(const char **at, const char *end, uint32_t *c)
{
	uint32_t low;

	if (!parse_unit(*at, end, c))
		return false;
	*at += 4;
	if (*c < 0xD800 || *c > 0xDFFF)
		return true;
	if (*c > 0xDBFF || end - *at < 6 || (*at)[0] != '\\' || (*at)[1] != 'u' || !parse_unit(*at + 2, end, &low) || low < 0xDC00 ||
	    low > 0xDFFF)
		return false; /* half of a surrogate pair */
	*at += 6;
	*c = 0x10000 + ((*c - 0xD800) << 10) + (low - 0xDC00);
	return true;
}

/* One escape sequence from behind its backslash on. */
static bool take_escape(const char **at, const char *end, char **to)
{
	static const char escapes[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
	char c = **at;
	uint32_t code;

	(*at)++;
	if (c == 'u') {
		if (!take_unicode(at, end, &code))
			return false;
		*to += put_utf8(code, *to);
		return true;
	}
	const char *known = c == '\0' ? NULL : strchr(escapes, c);

	if (known == NULL)
		return false;
	*(*to)++ = meanings[known - escapes];
	return true;
}

bool json_unescape(const char **at, const char *end, char **to)
{
	while (*at < end) {
		unsigned length = utf8_length(*at, (size_t)(end - *at));

		if (**at == '\\') {
			(*at)++;
			if (*at == end || !take_escape(at, end, to))
				return false;
			continue;
		}
		if (length == 0 || (unsigned char)**at < ' ')
			return false;
		memcpy(*to, *at, length);
		*to += length;
		*at += length;
	}
	return true;
}
