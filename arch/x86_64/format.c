/* See format.h. Pure; every directive it does not know is copied as it stands. */
#include "arch/x86_64/format.h"
#include "arch/x86_64/string.h"

struct output {
	char *at, *end; /* end: place of the final NUL */
};

struct directive {
	bool zero, prefix, is_long;
	size_t width;
};

static void put(struct output *o, char c)
{
	if (o->at < o->end)
		*o->at++ = c;
}

static void put_padded(struct output *o, char pad, size_t width, const char *text, size_t length)
{
	for (; width > length; width--)
		put(o, pad);
	while (length--)
		put(o, *text++);
}

static void put_number(struct output *o, const struct directive *d, uint64_t value, unsigned base)
{
	char text[24];
	size_t at = sizeof(text);

	do {
		text[--at] = "0123456789abcdef"[value % base];
		value /= base;
	} while (value);
	put_padded(o, d->zero ? '0' : ' ', d->width, text + at, sizeof(text) - at);
}

static const char *parse_directive(const char *f, struct directive *d)
{
	*d = (struct directive){ 0 };
	for (; *f == '0' || *f == '#'; f++) {
		d->zero |= *f == '0';
		d->prefix |= *f == '#';
	}
	for (; *f >= '0' && *f <= '9' && d->width < 100; f++)
		d->width = d->width * 10 + (size_t)(*f - '0');
	for (; *f == 'l'; f++)
		d->is_long = true;
	return f;
}

static void put_string(struct output *o, const struct directive *d, const char *s)
{
	if (!s)
		s = "(null)";
	put_padded(o, ' ', d->width, s, strlen(s));
}

size_t format_text_va(char *out, size_t size, const char *fmt, va_list args)
{
	struct output o = { out, out + size - 1 };
	struct directive d;
	uint64_t value;

	for (; *fmt; fmt++) {
		if (*fmt != '%') {
			put(&o, *fmt);
			continue;
		}
		fmt = parse_directive(fmt + 1, &d);
		switch (*fmt) {
		case 'd':
			value = d.is_long ? va_arg(args, uint64_t) : (uint64_t)va_arg(args, int);
			if ((int64_t)value < 0) {
				put(&o, '-');
				value = 0 - value;
			}
			put_number(&o, &d, value, 10);
			break;
		case 'u':
		case 'x':
			value = d.is_long ? va_arg(args, uint64_t) : va_arg(args, unsigned);
			put_padded(&o, ' ', 0, "0x", d.prefix ? 2 : 0);
			put_number(&o, &d, value, *fmt == 'u' ? 10 : 16);
			break;
		case 's':
			put_string(&o, &d, va_arg(args, const char *));
			break;
		case 0: /* a lone % at the end */
			fmt--;
			break;
		default:
			put_padded(&o, ' ', 0, "%", *fmt != '%');
			put(&o, *fmt);
		}
	}
	*o.at = 0;
	return (size_t)(o.at - out);
}
