/* Number conversion. One parser serves all widths; LP64 makes long and long long the same. */
#include <stdlib.h>
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdbool.h>

/* Value of a digit in any base up to 36, or 36 for what is no digit. */
static int digit_value(char c)
{
	if (isdigit((unsigned char)c))
		return c - '0';
	if (isalpha((unsigned char)c))
		return tolower((unsigned char)c) - 'a' + 10;
	return 36;
}

struct number {
	unsigned long long magnitude;
	bool negative;
	bool overflow;
	const char *end; /* first character not used; the text's start if there was no number */
};

static const char *skip_prefix(const char *at, int *base)
{
	bool hex_follows = at[0] == '0' && (at[1] == 'x' || at[1] == 'X') && digit_value(at[2]) < 16;

	if ((*base == 0 || *base == 16) && hex_follows) {
		*base = 16;
		return at + 2;
	}
	if (*base == 0)
		*base = at[0] == '0' ? 8 : 10;
	return at;
}

static struct number parse_number(const char *text, int base)
{
	struct number out = { .end = text };
	const char *at = text;

	while (isspace((unsigned char)*at))
		at++;
	if (*at == '+' || *at == '-')
		out.negative = *at++ == '-';
	at = skip_prefix(at, &base);
	for (; digit_value(*at) < base; out.end = ++at) {
		if (__builtin_mul_overflow(out.magnitude, (unsigned)base, &out.magnitude) ||
		    __builtin_add_overflow(out.magnitude, (unsigned)digit_value(*at), &out.magnitude))
			out.overflow = true;
	}
	return out;
}

unsigned long long strtoull(const char *text, char **end, int base)
{
	struct number n = parse_number(text, base);

	if (end != NULL)
		*end = (char *)n.end;
	if (n.overflow) {
		errno = ERANGE;
		return ULLONG_MAX;
	}
	return n.negative ? 0 - n.magnitude : n.magnitude;
}

long long strtoll(const char *text, char **end, int base)
{
	struct number n = parse_number(text, base);
	unsigned long long limit = n.negative ? (unsigned long long)LLONG_MAX + 1 : LLONG_MAX;

	if (end != NULL)
		*end = (char *)n.end;
	if (n.overflow || n.magnitude > limit) {
		errno = ERANGE;
		return n.negative ? LLONG_MIN : LLONG_MAX;
	}
	return (long long)(n.negative ? 0 - n.magnitude : n.magnitude);
}

unsigned long strtoul(const char *text, char **end, int base)
{
	return strtoull(text, end, base);
}

long strtol(const char *text, char **end, int base)
{
	return strtoll(text, end, base);
}

int atoi(const char *text)
{
	return (int)strtoll(text, NULL, 10);
}

int abs(int value)
{
	return value < 0 ? -value : value;
}
