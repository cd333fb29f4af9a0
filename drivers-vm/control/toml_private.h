/* Parser state shared by the parts of the TOML parser. Every parse_* returns false after toml_fail() has set
 * the error. */
#ifndef DRIVERS_VM_CONTROL_TOML_PRIVATE_H
#define DRIVERS_VM_CONTROL_TOML_PRIVATE_H

#include "drivers-vm/control/toml.h"

/* How a table or array came to be, which decides what may still be added to it. */
#define TOML_FLAG_EXPLICIT  (1u << 0) /* by a [header] */
#define TOML_FLAG_DOTTED    (1u << 1) /* by a dotted key */
#define TOML_FLAG_CLOSED    (1u << 2) /* inline table: complete */
#define TOML_FLAG_OF_TABLES (1u << 3) /* array made by [[header]] */

struct toml_parser {
	const char *text;
	size_t length;
	size_t at;
	uint32_t line;
	size_t line_start;
	unsigned depth;
	struct toml_arena *arena;
	struct toml_error *error;
};

bool toml_fail(struct toml_parser *p, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The character `ahead` of the cursor, or -1 past the end. */
static inline int toml_peek(const struct toml_parser *p, size_t ahead)
{
	return ahead < p->length - p->at ? (unsigned char)p->text[p->at + ahead] : -1;
}

static inline bool toml_starts_with(const struct toml_parser *p, int c, unsigned times)
{
	for (unsigned i = 0; i < times; i++)
		if (toml_peek(p, i) != c)
			return false;
	return true;
}

/* LF or CRLF at the cursor: its length, else 0. */
unsigned toml_newline_length(const struct toml_parser *p);
void toml_take_newline(struct toml_parser *p);

void toml_skip_blanks(struct toml_parser *p);
/* Blanks, newlines and comments. */
bool toml_skip_lines(struct toml_parser *p);
bool toml_skip_comment(struct toml_parser *p);
/* One character that may stand in a comment or string: not a control character, and valid UTF-8. */
bool toml_take_character(struct toml_parser *p);

struct toml_value *toml_new_value(struct toml_parser *p, enum toml_type type);
void toml_append(struct toml_value *parent, struct toml_value *child);
struct toml_value *toml_find_text(const struct toml_value *table, struct toml_text key);

bool toml_parse_key_value(struct toml_parser *p, struct toml_value *table);
bool toml_parse_value(struct toml_parser *p, struct toml_value **out);
bool toml_parse_string(struct toml_parser *p, bool multiline_allowed, struct toml_text *out);
bool toml_parse_scalar(struct toml_parser *p, struct toml_value *out);

/* Keys: dotted parts into part[], up to TOML_DEPTH_MAX. */
bool toml_parse_key(struct toml_parser *p, struct toml_text *part, unsigned *count);

#endif
