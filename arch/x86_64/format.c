/* See format.h. Pure; every directive it does not know is copied as it stands. */
#include "arch/x86_64/format.h"

struct output {
	char *at, *end; /* end: place of the final NUL */
};

struct directive {
	bool left, zero, alternate;
	unsigned width;
	int precision; /* -1: none */
	unsigned longs;
};

static void put(struct output *o, char c)
{
	if (o->at < o->end)
		*o->at++ = c;
}

static void put_padded(struct output *o, const struct directive *d, const char *text, size_t length,
		       size_t zeros)
{
	size_t pad = d->width > length + zeros ? d->width - length - zeros : 0;

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

static const char *parse_number(const char *f, unsigned *n)
{
	for (*n = 0; *f >= '0' && *f <= '9'; f++)
		if (*n < 10000)
			*n = *n * 10 + (unsigned)(*f - '0');
	return f;
}

/* va_list by pointer, as an array type cannot be passed on and used again. */
struct arguments {
	va_list list;
};

static const char *parse_directive(const char *f, struct directive *d, struct arguments *a)
{
	unsigned n;

	*d = (struct directive){.precision = -1, .longs = 0};
	for (;; f++) {
		if (*f == '-')
			d->left = true;
		else if (*f == '0')
			d->zero = true;
		else if (*f == '#')
			d->alternate = true;
		else
			break;
	}
	if (*f == '*') {
		int w = va_arg(a->list, int);

		d->width = w > 0 ? (unsigned)w : 0;
		f++;
	} else {
		f = parse_number(f, &d->width);
	}
	if (*f == '.') {
		f++;
		if (*f == '*') {
			d->precision = va_arg(a->list, int);
			f++;
		} else {
			f = parse_number(f, &n);
			d->precision = (int)n;
		}
	}
	while (*f == 'h') /* promoted to int; the callers' values fit */
		f++;
	while (*f == 'l' || *f == 'z') {
		d->longs++;
		f++;
	}
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
		int64_t v = d->longs ? va_arg(a->list, int64_t) : va_arg(a->list, int);

		put_number(o, d, v < 0 ? 0 - (uint64_t)v : (uint64_t)v, v < 0, 10, false);
		break;
	}
	case 'u':
	case 'x':
	case 'X': {
		uint64_t v = d->longs ? va_arg(a->list, uint64_t) : va_arg(a->list, unsigned);

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
