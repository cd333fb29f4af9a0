/* TOML values that contain others, and the white space between everything. */
#include "drivers-vm/control/toml_private.h"

unsigned toml_newline_length(const struct toml_parser *p)
{
	if (toml_peek(p, 0) == '\n')
		return 1;
	return toml_peek(p, 0) == '\r' && toml_peek(p, 1) == '\n' ? 2 : 0;
}

void toml_take_newline(struct toml_parser *p)
{
	p->at += toml_newline_length(p);
	p->line++;
	p->line_start = p->at;
}

void toml_skip_blanks(struct toml_parser *p)
{
	while (toml_peek(p, 0) == ' ' || toml_peek(p, 0) == '\t')
		p->at++;
}

/*
 * One UTF-8 sequence of two to four bytes at the cursor: its length, or 0 if it is malformed, overlong, a
 * surrogate or beyond U+10FFFF (RFC 3629, section 4).
 */
static unsigned utf8_length(const struct toml_parser *p)
{
	static const uint32_t smallest[] = { 0, 0, 0x80, 0x800, 0x10000 };
	int lead = toml_peek(p, 0);
	unsigned length = (lead & 0xE0) == 0xC0 ? 2 : (lead & 0xF0) == 0xE0 ? 3 : (lead & 0xF8) == 0xF0 ? 4 : 0;
	uint32_t code = (uint32_t)lead & (0x7Fu >> length);

	for (unsigned i = 1; i < length; i++) {
		int c = toml_peek(p, i);

		if (c < 0 || (c & 0xC0) != 0x80)
			return 0;
		code = code << 6 | ((uint32_t)c & 0x3F);
	}
	if (code < smallest[length] || code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF))
		return 0;
	return length;
}

bool toml_take_character(struct toml_parser *p)
{
	int c = toml_peek(p, 0);
	unsigned length = 1;

	if ((c < 0x20 && c != '\t') || c == 0x7F)
		return toml_fail(p, c < 0 ? "the document ends too early" : "control character 0x%02x", (unsigned)c);
	if (c >= 0x80)
		length = utf8_length(p);
	if (length == 0)
		return toml_fail(p, "byte 0x%02x is not UTF-8", (unsigned)c);
	p->at += length;
	return true;
}

bool toml_skip_comment(struct toml_parser *p)
{
	if (toml_peek(p, 0) != '#')
		return true;
	while (p->at < p->length && toml_newline_length(p) == 0)
		if (!toml_take_character(p))
			return false;
	return true;
}

bool toml_skip_lines(struct toml_parser *p)
{
	for (;;) {
		toml_skip_blanks(p);
		if (!toml_skip_comment(p))
			return false;
		if (toml_newline_length(p) == 0)
			return true;
		toml_take_newline(p);
	}
}

/* After '[': values separated by commas, a trailing one allowed, newlines and comments anywhere. */
static bool parse_array(struct toml_parser *p, struct toml_value *array)
{
	struct toml_value *child;

	for (;;) {
		if (!toml_skip_lines(p))
			return false;
		if (toml_peek(p, 0) == ']')
			break;
		if (!toml_parse_value(p, &child))
			return false;
		toml_append(array, child);
		if (!toml_skip_lines(p))
			return false;
		if (toml_peek(p, 0) == ']')
			break;
		if (toml_peek(p, 0) != ',')
			return toml_fail(p, "',' or ']' is expected here");
		p->at++;
	}
	p->at++;
	return true;
}

/* After '{': pairs on one line, no trailing comma. */
static bool parse_inline_table(struct toml_parser *p, struct toml_value *table)
{
	toml_skip_blanks(p);
	if (toml_peek(p, 0) != '}') {
		for (;;) {
			if (!toml_parse_key_value(p, table))
				return false;
			toml_skip_blanks(p);
			if (toml_peek(p, 0) == '}')
				break;
			if (toml_peek(p, 0) != ',')
				return toml_fail(p, "',' or '}' is expected here");
			p->at++;
		}
	}
	p->at++;
	table->flags = TOML_FLAG_CLOSED;
	return true;
}

static bool parse_nested(struct toml_parser *p, struct toml_value *value)
{
	bool ok;

	if (p->depth == TOML_DEPTH_MAX)
		return toml_fail(p, "nested more than %u deep", TOML_DEPTH_MAX);
	p->depth++;
	p->at++;
	ok = value->type == TOML_ARRAY ? parse_array(p, value) : parse_inline_table(p, value);
	p->depth--;
	return ok;
}

bool toml_parse_value(struct toml_parser *p, struct toml_value **out)
{
	struct toml_value *value = toml_new_value(p, TOML_STRING);

	if (value == NULL)
		return false;
	*out = value;
	switch (toml_peek(p, 0)) {
	case '"':
	case '\'':
		return toml_parse_string(p, true, &value->text);
	case '[':
		value->type = TOML_ARRAY;
		return parse_nested(p, value);
	case '{':
		value->type = TOML_TABLE;
		return parse_nested(p, value);
	default:
		return toml_parse_scalar(p, value);
	}
}
