/* TOML documents: the line loop, keys, [headers], and what may be added to which table. */
#include "drivers-vm/control/toml.h"

#include "drivers-vm/control/toml_private.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static_assert(sizeof(struct toml_value) <= 72, "CONFIG_ARENA_BYTES counts on it");

bool toml_fail(struct toml_parser *p, const char *format, ...)
{
	va_list args;

	p->error->line = p->line;
	p->error->column = (uint32_t)(p->at - p->line_start + 1);
	va_start(args, format);
	vsnprintf(p->error->message, sizeof(p->error->message), format, args);
	va_end(args);
	return false;
}

struct toml_value *toml_new_value(struct toml_parser *p, enum toml_type type)
{
	struct toml_arena *arena = p->arena;
	size_t start = (arena->used + 7) & ~(size_t)7;

	if (start > arena->bytes || arena->bytes - start < sizeof(struct toml_value)) {
		toml_fail(p, "the document is too large");
		return NULL;
	}
	struct toml_value *value = (struct toml_value *)(arena->base + start);

	arena->used = start + sizeof(*value);
	memset(value, 0, sizeof(*value));
	value->type = type;
	value->line = p->line;
	value->column = (uint32_t)(p->at - p->line_start + 1);
	value->key_line = value->line;
	return value;
}

void toml_append(struct toml_value *parent, struct toml_value *child)
{
	if (parent->children.last != NULL)
		parent->children.last->next = child;
	else
		parent->children.first = child;
	parent->children.last = child;
	parent->children.count++;
}

struct toml_value *toml_find_text(const struct toml_value *table, struct toml_text key)
{
	for (struct toml_value *child = table->children.first; child != NULL; child = child->next)
		if (child->key.length == key.length && memcmp(child->key.bytes, key.bytes, key.length) == 0)
			return child;
	return NULL;
}

const struct toml_value *toml_find(const struct toml_value *table, const char *key)
{
	return toml_find_text(table, (struct toml_text){ key, strlen(key) });
}

const char *toml_type_name(enum toml_type type)
{
	static const char *const names[] = { "a string", "an integer", "a float", "a boolean", "a date", "an array", "a table" };

	return names[type];
}

static bool is_bare(int c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

static bool parse_key_part(struct toml_parser *p, struct toml_text *out)
{
	if (toml_peek(p, 0) == '"' || toml_peek(p, 0) == '\'')
		return toml_parse_string(p, false, out);
	out->bytes = p->text + p->at;
	out->length = 0;
	while (is_bare(toml_peek(p, 0))) {
		p->at++;
		out->length++;
	}
	return out->length > 0 || toml_fail(p, "a key is expected here");
}

bool toml_parse_key(struct toml_parser *p, struct toml_text *part, unsigned *count)
{
	for (*count = 0; *count < TOML_DEPTH_MAX;) {
		toml_skip_blanks(p);
		if (!parse_key_part(p, &part[(*count)++]))
			return false;
		toml_skip_blanks(p);
		if (toml_peek(p, 0) != '.')
			return true;
		p->at++;
	}
	return toml_fail(p, "a dotted key of more than %u parts", TOML_DEPTH_MAX);
}

static struct toml_value *add_table(struct toml_parser *p, struct toml_value *parent, struct toml_text key, uint32_t flags)
{
	struct toml_value *table = toml_new_value(p, TOML_TABLE);

	if (table == NULL)
		return NULL;
	table->key = key;
	table->flags = flags;
	toml_append(parent, table);
	return table;
}

static bool fail_key(struct toml_parser *p, struct toml_text key, const char *what)
{
	return toml_fail(p, "%.*s: %s", key.length < 60 ? (int)key.length : 60, key.bytes, what);
}

/* A part of a dotted key before the last: the table it names, made if need be. */
static struct toml_value *enter_dotted(struct toml_parser *p, struct toml_value *table, struct toml_text key)
{
	struct toml_value *child = toml_find_text(table, key);

	if (child == NULL)
		return add_table(p, table, key, TOML_FLAG_DOTTED);
	if (child->type != TOML_TABLE || (child->flags & (TOML_FLAG_CLOSED | TOML_FLAG_EXPLICIT)) != 0) {
		fail_key(p, key, "already defined, nothing can be added to it here");
		return NULL;
	}
	child->flags |= TOML_FLAG_DOTTED;
	return child;
}

bool toml_parse_key_value(struct toml_parser *p, struct toml_value *table)
{
	struct toml_text part[TOML_DEPTH_MAX];
	struct toml_value *value;
	uint32_t key_line = p->line;
	unsigned count;

	if (!toml_parse_key(p, part, &count))
		return false;
	for (unsigned i = 0; i + 1 < count; i++) {
		table = enter_dotted(p, table, part[i]);
		if (table == NULL)
			return false;
	}
	if (toml_find_text(table, part[count - 1]) != NULL)
		return fail_key(p, part[count - 1], "defined twice");
	if (toml_peek(p, 0) != '=')
		return toml_fail(p, "'=' is expected here");
	p->at++;
	toml_skip_blanks(p);
	if (!toml_parse_value(p, &value))
		return false;
	value->key = part[count - 1];
	value->key_line = key_line;
	toml_append(table, value);
	return true;
}

/* A part of a header before the last. */
static struct toml_value *enter_header(struct toml_parser *p, struct toml_value *table, struct toml_text key)
{
	struct toml_value *child = toml_find_text(table, key);

	if (child == NULL)
		return add_table(p, table, key, 0);
	if (child->type == TOML_ARRAY && (child->flags & TOML_FLAG_OF_TABLES) != 0)
		return child->children.last;
	if (child->type != TOML_TABLE || (child->flags & TOML_FLAG_CLOSED) != 0) {
		fail_key(p, key, "already defined as something else");
		return NULL;
	}
	return child;
}

static struct toml_value *define_table(struct toml_parser *p, struct toml_value *parent, struct toml_text key)
{
	struct toml_value *child = toml_find_text(parent, key);

	if (child == NULL)
		return add_table(p, parent, key, TOML_FLAG_EXPLICIT);
	if (child->type != TOML_TABLE || child->flags != 0) {
		fail_key(p, key, "defined twice");
		return NULL;
	}
	child->flags = TOML_FLAG_EXPLICIT;
	child->line = p->line;
	child->key_line = p->line;
	return child;
}

static struct toml_value *append_table(struct toml_parser *p, struct toml_value *parent, struct toml_text key)
{
	struct toml_value *array = toml_find_text(parent, key);

	if (array == NULL) {
		array = toml_new_value(p, TOML_ARRAY);
		if (array == NULL)
			return NULL;
		array->key = key;
		array->flags = TOML_FLAG_OF_TABLES;
		toml_append(parent, array);
	} else if (array->type != TOML_ARRAY || (array->flags & TOML_FLAG_OF_TABLES) == 0) {
		fail_key(p, key, "already defined as something else");
		return NULL;
	}
	return add_table(p, array, (struct toml_text){ "", 0 }, TOML_FLAG_EXPLICIT);
}

/* [a.b] or [[a.b]]; the cursor is at the first bracket. */
static struct toml_value *parse_header(struct toml_parser *p, struct toml_value *root)
{
	struct toml_text part[TOML_DEPTH_MAX];
	struct toml_value *table = root;
	bool of_tables = toml_starts_with(p, '[', 2);
	unsigned brackets = of_tables ? 2 : 1;
	unsigned count;

	p->at += brackets;
	if (!toml_parse_key(p, part, &count))
		return NULL;
	if (!toml_starts_with(p, ']', brackets)) {
		toml_fail(p, "'%s' is expected here", of_tables ? "]]" : "]");
		return NULL;
	}
	for (unsigned i = 0; i + 1 < count && table != NULL; i++)
		table = enter_header(p, table, part[i]);
	if (table != NULL)
		table = of_tables ? append_table(p, table, part[count - 1]) : define_table(p, table, part[count - 1]);
	p->at += brackets;
	return table;
}

static bool parse_line_end(struct toml_parser *p)
{
	toml_skip_blanks(p);
	if (!toml_skip_comment(p))
		return false;
	if (p->at < p->length && toml_newline_length(p) == 0)
		return toml_fail(p, "nothing more is expected on this line");
	return true;
}

static bool parse_document(struct toml_parser *p, struct toml_value *root)
{
	struct toml_value *table = root;

	for (;;) {
		if (!toml_skip_lines(p))
			return false;
		if (p->at == p->length)
			return true;
		if (toml_peek(p, 0) == '[') {
			table = parse_header(p, root);
			if (table == NULL)
				return false;
		} else if (!toml_parse_key_value(p, table)) {
			return false;
		}
		if (!parse_line_end(p))
			return false;
	}
}

struct toml_value *toml_parse(const char *text, size_t length, struct toml_arena *arena, struct toml_error *error)
{
	struct toml_parser p = { .text = text, .length = length, .line = 1, .arena = arena, .error = error };
	struct toml_value *root = toml_new_value(&p, TOML_TABLE);

	return root != NULL && parse_document(&p, root) ? root : NULL;
}
