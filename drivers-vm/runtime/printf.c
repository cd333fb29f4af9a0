/*
 * snprintf for service VMs: integers, characters, strings and pointers, every flag, width and precision of
 * C11 for them. Takes no lock, allocates nothing, and writes only into the caller's buffer.
 */
#include <stdio.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

struct sink {
	char *to;
	size_t bytes;  /* capacity, including the final NUL */
	size_t length; /* of the whole text, written or not */
};

struct conversion {
	bool left, plus, space, alternate, zero;
	bool has_precision;
	int width;
	int precision;
	char size; /* 'H' for hh, 'h', 'l' for every 64-bit size, or 0 for int */
};

static void put_char(struct sink *out, char c)
{
	if (out->length + 1 < out->bytes)
		out->to[out->length] = c;
	out->length++;
}

static void put_repeated(struct sink *out, char c, int count)
{
	for (; count > 0; count--)
		put_char(out, c);
}

static void put_text(struct sink *out, const char *text, size_t length)
{
	for (size_t i = 0; i < length; i++)
		put_char(out, text[i]);
}

static void put_string(struct sink *out, const struct conversion *how, const char *text, size_t length)
{
	int fill = how->width > (int)length ? how->width - (int)length : 0;

	put_repeated(out, ' ', how->left ? 0 : fill);
	put_text(out, text, length);
	put_repeated(out, ' ', how->left ? fill : 0);
}

/* Writes prefix, zeros and digits inside the field's width; `digits` is in reading order. */
static void put_number(struct sink *out, const struct conversion *how, const char *prefix, const char *digits, size_t count)
{
	int used = (int)(strlen(prefix) + count);
	int zeros = how->has_precision && how->precision > (int)count ? how->precision - (int)count : 0;
	int fill = how->width > used + zeros ? how->width - used - zeros : 0;

	if (how->zero && !how->left && !how->has_precision) {
		zeros = fill;
		fill = 0;
	}
	put_repeated(out, ' ', how->left ? 0 : fill);
	put_text(out, prefix, strlen(prefix));
	put_repeated(out, '0', zeros);
	put_text(out, digits, count);
	put_repeated(out, ' ', how->left ? fill : 0);
}

static void put_unsigned(struct sink *out, const struct conversion *how, uint64_t value, unsigned base, bool upper, const char *prefix)
{
	const char *alphabet = upper ? "0123456789ABCDEF" : "0123456789abcdef";
	char digits[24]; /* 64 bits in octal are 22 digits, and one for the '#' zero */
	size_t at = sizeof(digits);
	bool bare_zero = value == 0 && !(how->has_precision && how->precision == 0);

	if (value == 0 && base == 16)
		prefix = "";
	for (uint64_t rest = value; rest != 0; rest /= base)
		digits[--at] = alphabet[rest % base];
	if (bare_zero || (base == 8 && how->alternate))
		digits[--at] = '0';
	put_number(out, how, prefix, digits + at, sizeof(digits) - at);
}

static void put_signed(struct sink *out, const struct conversion *how, int64_t value)
{
	const char *sign = value < 0 ? "-" : how->plus ? "+" : how->space ? " " : "";

	put_unsigned(out, how, value < 0 ? 0 - (uint64_t)value : (uint64_t)value, 10, false, sign);
}

static const char *parse_flags(const char *at, struct conversion *how)
{
	for (;; at++) {
		switch (*at) {
		case '-':
			how->left = true;
			break;
		case '+':
			how->plus = true;
			break;
		case ' ':
			how->space = true;
			break;
		case '#':
			how->alternate = true;
			break;
		case '0':
			how->zero = true;
			break;
		default:
			return at;
		}
	}
}

static const char *parse_digits(const char *at, int *out)
{
	int value = 0;

	for (; *at >= '0' && *at <= '9'; at++)
		if (value < 100000000)
			value = value * 10 + (*at - '0');
	*out = value;
	return at;
}

static const char *parse_size(const char *at, struct conversion *how)
{
	switch (*at) {
	case 'h':
		how->size = at[1] == 'h' ? 'H' : 'h';
		return at + (at[1] == 'h' ? 2 : 1);
	case 'l':
		how->size = 'l';
		return at + (at[1] == 'l' ? 2 : 1);
	case 'z':
	case 'j':
	case 't':
		how->size = 'l';
		return at + 1;
	default:
		return at;
	}
}

static int64_t signed_argument(const struct conversion *how, va_list *args)
{
	if (how->size == 'l')
		return va_arg(*args, long);
	int value = va_arg(*args, int);

	return how->size == 'H' ? (signed char)value : how->size == 'h' ? (short)value : value;
}

static uint64_t unsigned_argument(const struct conversion *how, va_list *args)
{
	if (how->size == 'l')
		return va_arg(*args, unsigned long);
	unsigned value = va_arg(*args, unsigned);

	return how->size == 'H' ? (unsigned char)value : how->size == 'h' ? (unsigned short)value : value;
}

static void put_string_argument(struct sink *out, const struct conversion *how, const char *text)
{
	if (text == NULL)
		text = "(null)";
	put_string(out, how, text, how->has_precision ? strnlen(text, (size_t)how->precision) : strlen(text));
}

static bool put_conversion(struct sink *out, const struct conversion *how, char kind, va_list *args)
{
	char c;

	switch (kind) {
	case 'd':
	case 'i':
		put_signed(out, how, signed_argument(how, args));
		return true;
	case 'u':
		put_unsigned(out, how, unsigned_argument(how, args), 10, false, "");
		return true;
	case 'o':
		put_unsigned(out, how, unsigned_argument(how, args), 8, false, "");
		return true;
	case 'x':
	case 'X':
		put_unsigned(out, how, unsigned_argument(how, args), 16, kind == 'X', !how->alternate ? "" : kind == 'X' ? "0X" : "0x");
		return true;
	case 'p':
		put_unsigned(out, how, (uintptr_t)va_arg(*args, void *), 16, false, "0x");
		return true;
	case 'c':
		c = (char)va_arg(*args, int);
		put_string(out, how, &c, 1);
		return true;
	case 's':
		put_string_argument(out, how, va_arg(*args, const char *));
		return true;
	case '%':
		put_char(out, '%');
		return true;
	default:
		return false;
	}
}

static const char *parse_width(const char *at, struct conversion *how, va_list *args)
{
	if (*at == '*') {
		how->width = va_arg(*args, int);
		if (how->width < 0) {
			how->left = true;
			how->width = -how->width;
		}
		at++;
	} else {
		at = parse_digits(at, &how->width);
	}
	if (*at != '.')
		return at;
	at++;
	how->has_precision = true;
	if (*at != '*')
		return parse_digits(at, &how->precision);
	how->precision = va_arg(*args, int);
	if (how->precision < 0)
		how->has_precision = false;
	return at + 1;
}

static bool format_all(struct sink *out, const char *format, va_list *args)
{
	while (*format != '\0') {
		struct conversion how = { 0 };

		if (*format != '%') {
			put_char(out, *format++);
			continue;
		}
		format = parse_flags(format + 1, &how);
		format = parse_width(format, &how, args);
		format = parse_size(format, &how);
		if (!put_conversion(out, &how, *format++, args))
			return false;
	}
	return true;
}

int vsnprintf(char *to, size_t bytes, const char *format, va_list args)
{
	struct sink out = { .to = to, .bytes = bytes };
	va_list copy;

	va_copy(copy, args);
	bool known = format_all(&out, format, &copy);

	va_end(copy);
	if (bytes > 0)
		to[out.length < bytes ? out.length : bytes - 1] = '\0';
	return known ? (int)out.length : -1;
}

int snprintf(char *to, size_t bytes, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	int length = vsnprintf(to, bytes, format, args);

	va_end(args);
	return length;
}
