/* TOML strings: basic and literal, on one line or several. The decoded text goes to the end of the arena. */
#include "drivers-vm/control/toml_private.h"

#include <string.h>

struct string_form {
	char quote;
	bool literal;
	bool multiline;
};

static bool put_byte(struct toml_parser *p, char c)
{
	if (p->arena->used == p->arena->bytes)
		return toml_fail(p, "the document is too large");
	p->arena->base[p->arena->used++] = (uint8_t)c;
	return true;
}

static bool put_code_point(struct toml_parser *p, uint32_t code)
{
	if (code < 0x80)
		return put_byte(p, (char)code);
	if (code < 0x800)
		return put_byte(p, (char)(0xC0 | code >> 6)) && put_byte(p, (char)(0x80 | (code & 0x3F)));
	if (code < 0x10000)
		return put_byte(p, (char)(0xE0 | code >> 12)) && put_byte(p, (char)(0x80 | (code >> 6 & 0x3F))) &&
		       put_byte(p, (char)(0x80 | (code & 0x3F)));
	return put_byte(p, (char)(0xF0 | code >> 18)) && put_byte(p, (char)(0x80 | (code >> 12 & 0x3F))) &&
	       put_byte(p, (char)(0x80 | (code >> 6 & 0x3F))) && put_byte(p, (char)(0x80 | (code & 0x3F)));
}

static int hex_value(int c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
		return (c | 0x20) - 'a' + 10;
	return -1;
}

/* \uXXXX and \UXXXXXXXX; the cursor is after the letter. */
static bool parse_unicode(struct toml_parser *p, unsigned digits)
{
	uint32_t code = 0;

	for (unsigned i = 0; i < digits; i++, p->at++) {
		int value = hex_value(toml_peek(p, 0));

		if (value < 0)
			return toml_fail(p, "%u hexadecimal digits are expected here", digits);
		code = code << 4 | (uint32_t)value;
	}
	if (code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF))
		return toml_fail(p, "U+%04X is not a character", (unsigned)code);
	return put_code_point(p, code);
}

/* A backslash, blanks and a newline: everything up to the next visible character goes away. */
static bool skip_continuation(struct toml_parser *p)
{
	toml_skip_blanks(p);
	if (toml_newline_length(p) == 0)
		return toml_fail(p, "a backslash needs a known escape or the end of the line after it");
	for (;;) {
		toml_skip_blanks(p);
		if (toml_newline_length(p) == 0)
			return true;
		toml_take_newline(p);
	}
}

static bool parse_escape(struct toml_parser *p, const struct string_form *form)
{
	static const char names[] = "btnfr\"\\";
	static const char values[] = "\b\t\n\f\r\"\\";
	int c = toml_peek(p, 1);
	const char *known = c > 0 ? strchr(names, c) : NULL;

	p->at++;
	if (form->multiline && (c == ' ' || c == '\t' || c == '\n' || c == '\r'))
		return skip_continuation(p);
	if (c == 'u' || c == 'U') {
		p->at++;
		return parse_unicode(p, c == 'u' ? 4 : 8);
	}
	if (known == NULL)
		return toml_fail(p, "unknown escape in a string");
	p->at++;
	return put_byte(p, values[known - names]);
}

static bool copy_character(struct toml_parser *p)
{
	size_t start = p->at;

	if (!toml_take_character(p))
		return false;
	for (size_t i = start; i < p->at; i++)
		if (!put_byte(p, p->text[i]))
			return false;
	return true;
}

/* Up to two quotes may stand inside a multi-line string, also just before the closing three. */
static bool at_end(struct toml_parser *p, const struct string_form *form)
{
	if (!form->multiline)
		return toml_peek(p, 0) == form->quote;
	return toml_starts_with(p, form->quote, 3) && !toml_starts_with(p, form->quote, 4);
}

static bool copy_quote(struct toml_parser *p, const struct string_form *form)
{
	if (toml_starts_with(p, form->quote, 6))
		return toml_fail(p, "too many quotes at the end of a string");
	p->at++;
	return put_byte(p, form->quote);
}

static bool parse_piece(struct toml_parser *p, const struct string_form *form)
{
	int c = toml_peek(p, 0);

	if (c == '\\' && !form->literal)
		return parse_escape(p, form);
	if (toml_newline_length(p) != 0) {
		if (!form->multiline)
			return toml_fail(p, "a string ends before the end of its line");
		toml_take_newline(p);
		return put_byte(p, '\n');
	}
	return c == form->quote ? copy_quote(p, form) : copy_character(p);
}

bool toml_parse_string(struct toml_parser *p, bool multiline_allowed, struct toml_text *out)
{
	struct string_form form = { .quote = p->text[p->at], .literal = p->text[p->at] == '\'' };
	size_t start = p->arena->used;

	form.multiline = toml_starts_with(p, form.quote, 3);
	if (form.multiline && !multiline_allowed)
		return toml_fail(p, "a key cannot be a multi-line string");
	p->at += form.multiline ? 3 : 1;
	if (form.multiline && toml_newline_length(p) != 0)
		toml_take_newline(p);
	while (!at_end(p, &form))
		if (!parse_piece(p, &form))
			return false;
	p->at += form.multiline ? 3 : 1;
	out->bytes = (const char *)p->arena->base + start;
	out->length = p->arena->used - start;
	return put_byte(p, '\0');
}
