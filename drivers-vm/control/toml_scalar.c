/* TOML integers, floats, booleans, dates and times: one run of characters, then classified as a whole. */
#include "drivers-vm/control/toml_private.h"

#include <string.h>

#define DATE_LENGTH 10u /* YYYY-MM-DD */

/* A cursor over the run. */
struct scalar {
	const char *at;
	const char *end;
};

static bool is_scalar_character(int c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '+' || c == '-' || c == '_' || c == '.' ||
	       c == ':';
}

static bool is_digit(int c)
{
	return c >= '0' && c <= '9';
}

static int peek(const struct scalar *s)
{
	return s->at < s->end ? (unsigned char)*s->at : -1;
}

static bool take(struct scalar *s, int c)
{
	if (peek(s) != c)
		return false;
	s->at++;
	return true;
}

static int digit_in_base(int c, unsigned base)
{
	int value = is_digit(c) ? c - '0' : (c | 0x20) >= 'a' && (c | 0x20) <= 'f' ? (c | 0x20) - 'a' + 10 : 99;

	return value < (int)base ? value : -1;
}

/* One or more digits with single underscores between them; the value saturates with *overflow. */
static bool take_digits(struct scalar *s, unsigned base, uint64_t *value, bool *overflow)
{
	if (digit_in_base(peek(s), base) < 0)
		return false;
	for (;;) {
		int digit = digit_in_base(peek(s), base);

		if (digit < 0)
			return true;
		if (__builtin_mul_overflow(*value, base, value) || __builtin_add_overflow(*value, (unsigned)digit, value))
			*overflow = true;
		s->at++;
		if (peek(s) == '_') {
			s->at++;
			if (digit_in_base(peek(s), base) < 0)
				return false;
		}
	}
}

static bool set_integer(struct toml_parser *p, struct toml_value *out, uint64_t magnitude, bool negative, bool overflow)
{
	uint64_t limit = negative ? (uint64_t)INT64_MAX + 1 : INT64_MAX;

	if (overflow || magnitude > limit)
		return toml_fail(p, "the integer does not fit 64 bits");
	out->type = TOML_INTEGER;
	out->integer = (int64_t)(negative ? 0 - magnitude : magnitude);
	return true;
}

static bool parse_prefixed(struct toml_parser *p, struct scalar s, struct toml_value *out)
{
	unsigned base = s.at[1] == 'x' ? 16 : s.at[1] == 'o' ? 8 : 2;
	uint64_t value = 0;
	bool overflow = false;

	s.at += 2;
	if (!take_digits(&s, base, &value, &overflow) || s.at != s.end)
		return toml_fail(p, "malformed number");
	return set_integer(p, out, value, false, overflow);
}

/* After the integer part: fraction and exponent. */
static bool take_float_rest(struct scalar *s)
{
	uint64_t unused = 0;
	bool ignored = false;

	if (take(s, '.') && !take_digits(s, 10, &unused, &ignored))
		return false;
	if (take(s, 'e') || take(s, 'E')) {
		if (!take(s, '+'))
			take(s, '-');
		if (!take_digits(s, 10, &unused, &ignored))
			return false;
	}
	return s->at == s->end;
}

static bool is_word(const struct scalar *s, const char *word)
{
	return (size_t)(s->end - s->at) == strlen(word) && memcmp(s->at, word, strlen(word)) == 0;
}

static bool parse_decimal(struct toml_parser *p, struct scalar s, struct toml_value *out)
{
	bool negative = peek(&s) == '-';
	uint64_t value = 0;
	bool overflow = false;

	out->type = TOML_FLOAT;
	if (negative || peek(&s) == '+')
		s.at++;
	if (is_word(&s, "inf") || is_word(&s, "nan"))
		return true;
	const char *digits = s.at;

	if (!take_digits(&s, 10, &value, &overflow))
		return toml_fail(p, "a value is expected here");
	if (*digits == '0' && s.at != digits + 1)
		return toml_fail(p, "a number cannot begin with a zero");
	if (s.at == s.end)
		return set_integer(p, out, value, negative, overflow);
	return take_float_rest(&s) || toml_fail(p, "malformed number");
}

/* Exactly `count` digits with a value in [low, high]. */
static bool take_field(struct scalar *s, unsigned count, unsigned low, unsigned high, unsigned *value)
{
	*value = 0;
	for (; count > 0; count--) {
		if (!is_digit(peek(s)))
			return false;
		*value = *value * 10 + (unsigned)(*s->at++ - '0');
	}
	return *value >= low && *value <= high;
}

static unsigned days_in_month(unsigned year, unsigned month)
{
	static const uint8_t days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

	return days[month - 1] + (month == 2 && leap ? 1u : 0u);
}

static bool take_date(struct scalar *s)
{
	unsigned year, month, day;

	return take_field(s, 4, 0, 9999, &year) && take(s, '-') && take_field(s, 2, 1, 12, &month) && take(s, '-') &&
	       take_field(s, 2, 1, days_in_month(year, month), &day);
}

/* Seconds may be 60: RFC 3339, section 5.6, allows leap seconds. */
static bool take_time(struct scalar *s)
{
	unsigned field;

	if (!take_field(s, 2, 0, 23, &field) || !take(s, ':') || !take_field(s, 2, 0, 59, &field) || !take(s, ':') ||
	    !take_field(s, 2, 0, 60, &field))
		return false;
	if (!take(s, '.'))
		return true;
	if (!is_digit(peek(s)))
		return false;
	while (is_digit(peek(s)))
		s->at++;
	return true;
}

static bool take_offset(struct scalar *s)
{
	unsigned field;

	if (take(s, 'Z') || take(s, 'z'))
		return true;
	if (!take(s, '+') && !take(s, '-'))
		return true; /* a local date-time has none */
	return take_field(s, 2, 0, 23, &field) && take(s, ':') && take_field(s, 2, 0, 59, &field);
}

static bool parse_datetime(struct toml_parser *p, struct scalar s, struct toml_value *out)
{
	bool ok;

	out->type = TOML_DATETIME;
	if (s.end - s.at > 2 && s.at[2] == ':') {
		ok = take_time(&s);
	} else {
		ok = take_date(&s);
		if (ok && s.at != s.end)
			ok = (take(&s, 'T') || take(&s, 't') || take(&s, ' ')) && take_time(&s) && take_offset(&s);
	}
	return (ok && s.at == s.end) || toml_fail(p, "malformed date or time");
}

/* Four digits and a dash: no number begins so, but 626e-34 has a dash in the same place. */
static bool looks_like_date(const struct scalar *s)
{
	return s->end - s->at > 4 && is_digit(s->at[0]) && is_digit(s->at[1]) && is_digit(s->at[2]) && is_digit(s->at[3]) &&
	       s->at[4] == '-';
}

static bool classify(struct toml_parser *p, struct scalar s, struct toml_value *out)
{
	size_t length = (size_t)(s.end - s.at);

	if (is_word(&s, "true") || is_word(&s, "false")) {
		out->type = TOML_BOOLEAN;
		out->boolean = *s.at == 't';
		return true;
	}
	if (length > 2 && s.at[0] == '0' && (s.at[1] == 'x' || s.at[1] == 'o' || s.at[1] == 'b'))
		return parse_prefixed(p, s, out);
	if (looks_like_date(&s) || (length > 2 && s.at[2] == ':'))
		return parse_datetime(p, s, out);
	return parse_decimal(p, s, out);
}

bool toml_parse_scalar(struct toml_parser *p, struct toml_value *out)
{
	size_t length = 0;

	while (is_scalar_character(toml_peek(p, length)))
		length++;
	/* A space may join a date to its time. */
	if (length == DATE_LENGTH && p->text[p->at + 4] == '-' && toml_peek(p, length) == ' ' && is_digit(toml_peek(p, length + 1))) {
		length++;
		while (is_scalar_character(toml_peek(p, length)))
			length++;
	}
	struct scalar s = { p->text + p->at, p->text + p->at + length };
	struct toml_text text = { s.at, length };

	if (length == 0)
		return toml_fail(p, "a value is expected here");
	if (!classify(p, s, out))
		return false;
	if (out->type == TOML_FLOAT || out->type == TOML_DATETIME)
		out->text = text;
	p->at += length;
	return true;
}
