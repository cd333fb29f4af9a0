/* See format.h. Pure; every directive it does not know is copied as it stands. */
#include "arch/x86_64/format.h"

struct output {
	char *at, *end; /* end: place of the final NUL */
};

struct directive {
	bool left, zero, alternate, is_long;
	int width, precision; /* negative: none */
};

static void put(struct output *o, char c)
{
	if (o->at < o->end)
		*o->at++ = c;
}

static void put_padded(struct output *o, const struct directive *d, const char *text, size_t length,
		       size_t zeros)
{
	size_t used = length + zeros, pad = d->width > (int)used ? (size_t)d->width - used : 0;

	if (d->zero && !d->left && d->precision < 0) {
		zeros += pad;
		pad = 0;
	}
	for (; !d->left && pad; pad--)
		put(o, ' ');
	if (length && text[0] == '-' && zeros) {
		put(o, *text++);
		length--;
	}
	for (; zeros; zeros--)
		put(o, '0');
	for (size_t i = 0; i < length; i++)
		put(o, text[i]);
	for (; pad; pad--)
		put(o, ' ');
}

static void put_number(struct output *o, const struct directive *d, uint64_t value, bool negative,
		       unsigned base, bool upper)
{
	const char *digits = upper ? "0123456789ABCDEF" : "0123456789abcdef";
	char text[24];
	size_t at = sizeof(text), n;

	do {
		text[--at] = digits[value % base];
		value /= base;
	} while (value);
	n = sizeof(text) - at;

	size_t zeros = d->precision > (int)n ? (size_t)d->precision - n : 0;

	if (negative)
		text[--at] = '-';
	put_padded(o, d, text + at, sizeof(text) - at, zeros);
}

/* va_list by pointer, as an array type cannot be passed on and used again. */
struct arguments {
	va_list list;
};

/* A number in the format, or an argument for '*'. */
static const char *parse_number(const char *f, int *n, struct arguments *a)
{
	if (*f == '*') {
		*n = va_arg(a->list, int);
		return f + 1;
	}
	for (*n = 0; *f >= '0' && *f <= '9'; f++)
		if (*n < 10000)
			*n = *n * 10 + (*f - '0');
	return f;
}

static const char *parse_directive(const char *f, struct directive *d, struct arguments *a)
{
	*d = (struct directive){.precision = -1};
	for (; *f == '-' || *f == '0' || *f == '#'; f++) {
		d->left |= *f == '-';
		d->zero |= *f == '0';
		d->alternate |= *f == '#';
	}
	f = parse_number(f, &d->width, a);
	if (*f == '.')
		f = parse_number(f + 1, &d->precision, a);
	for (; *f == 'h' || *f == 'l' || *f == 'z'; f++) /* h: promoted to int; the callers' values fit */
		d->is_long |= *f != 'h';
	return f;
}

static void put_string(struct output *o, struct directive *d, const char *s)
{
	size_t n = 0;

	if (!s)
		s = "(null)";
	while ((d->precision < 0 || n < (size_t)d->precision) && s[n])
		n++;
	d->zero = false;
	put_padded(o, d, s, n, 0);
}

static void put_directive(struct output *o, struct directive *d, char kind, struct arguments *a)
{
	char c;

	switch (kind) {
	case 'd':
	case 'i': {
		int64_t v = d->is_long ? va_arg(a->list, int64_t) : va_arg(a->list, int);

		put_number(o, d, v < 0 ? 0 - (uint64_t)v : (uint64_t)v, v < 0, 10, false);
		break;
	}
	case 'u':
	case 'x':
	case 'X': {
		uint64_t v = d->is_long ? va_arg(a->list, uint64_t) : va_arg(a->list, unsigned);

		if (d->alternate && kind != 'u') {
			put(o, '0');
			put(o, 'x');
		}
		put_number(o, d, v, false, kind == 'u' ? 10 : 16, kind == 'X');
		break;
	}
	case 'p':
		d->precision = 16;
		put_number(o, d, (uint64_t)va_arg(a->list, void *), false, 16, false);
		break;
	case 's':
		put_string(o, d, va_arg(a->list, const char *));
		break;
	case 'c':
		c = (char)va_arg(a->list, int);
		d->zero = false;
		put_padded(o, d, &c, 1, 0);
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
		fmt = parse_directive(fmt + 1, &d, &a);
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
