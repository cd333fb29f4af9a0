/* See format.h. Pure; every directive it does not know is copied as it stands. */
#include "arch/x86_64/format.h"

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

/* va_list by pointer, as an array type cannot be passed on and used again. */
struct arguments {
	va_list list;
};

static const char *parse_directive(const char *f, struct directive *d)
{
	*d = (struct directive){0};
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
	size_t n = 0;

	if (!s)
		s = "(null)";
	while (s[n])
		n++;
	put_padded(o, ' ', d->width, s, n);
}

static void put_directive(struct output *o, const struct directive *d, char kind, struct arguments *a)
{
	switch (kind) {
	case 'd': {
		int64_t v = d->is_long ? va_arg(a->list, int64_t) : va_arg(a->list, int);

		if (v < 0)
			put(o, '-');
		put_number(o, d, v < 0 ? 0 - (uint64_t)v : (uint64_t)v, 10);
		break;
	}
	case 'u':
	case 'x': {
		uint64_t v = d->is_long ? va_arg(a->list, uint64_t) : va_arg(a->list, unsigned);

		if (d->prefix) {
			put(o, '0');
			put(o, 'x');
		}
		put_number(o, d, v, kind == 'u' ? 10 : 16);
		break;
	}
	case 's':
		put_string(o, d, va_arg(a->list, const char *));
		break;
	default:
		put(o, '%');
		if (kind != '%')
			put(o, kind);
	}
}

size_t format_text_va(char *out, size_t size, const char *fmt, va_list args)
{
	struct output o = {out, out + size - 1};
	struct directive d;
	struct arguments a;

	va_copy(a.list, args);
	while (*fmt) {
		if (*fmt != '%') {
			put(&o, *fmt++);
			continue;
		}
		fmt = parse_directive(fmt + 1, &d);
		if (!*fmt)
			break;
		put_directive(&o, &d, *fmt++, &a);
	}
	va_end(a.list);
	*o.at = 0;
	return (size_t)(o.at - out);
}

size_t format_text(char *out, size_t size, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);

	size_t n = format_text_va(out, size, fmt, args);

	va_end(args);
	return n;
}
