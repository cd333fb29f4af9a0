/* See format.h. Pure; every directive it does not know is copied as it stands. */
#include "arch/x86_64/format.h"

struct output {
	char *at, *end; /* end: place of the final NUL */
};

static void put(struct output *o, char c)
{
	if (o->at < o->end)
		*o->at++ = c;
}

static void put_text(struct output *o, const char *text)
{
	while (*text)
		put(o, *text++);
}

static void put_number(struct output *o, uint64_t value, unsigned base, size_t width)
{
	char text[24] = "";
	size_t at = sizeof(text) - 1;

	do {
		text[--at] = "0123456789abcdef"[value % base];
		value /= base;
	} while (value);
	for (size_t n = sizeof(text) - 1 - at; n < width; n++)
		put(o, '0');
	put_text(o, text + at);
}

size_t format_text_va(char *out, size_t size, const char *fmt, va_list args)
{
	struct output o = { out, out + size - 1 };

	for (; *fmt; fmt++) {
		bool prefix, is_long = false;
		size_t width = 0;

		if (*fmt != '%') {
			put(&o, *fmt);
			continue;
		}
		prefix = *++fmt == '#';
		for (fmt += prefix; *fmt >= '0' && *fmt <= '9' && width < 100; fmt++)
			width = width * 10 + (size_t)(*fmt - '0');
		for (; *fmt == 'l'; fmt++)
			is_long = true;
		if (*fmt == 'u' || *fmt == 'x') {
			put_text(&o, prefix ? "0x" : "");
			put_number(&o, is_long ? va_arg(args, uint64_t) : va_arg(args, unsigned), *fmt == 'u' ? 10 : 16, width);
		} else if (*fmt == 's') {
			put_text(&o, va_arg(args, const char *));
		} else if (*fmt) {
			put_text(&o, *fmt == '%' ? "" : "%");
			put(&o, *fmt);
		} else { /* a lone % at the end */
			break;
		}
	}
	*o.at = 0;
	return (size_t)(o.at - out);
}
