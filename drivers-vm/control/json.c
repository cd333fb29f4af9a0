/* JSON into a tree. */
#include "drivers-vm/control/json.h"

#define JSMN_STATIC
#define JSMN_STRICT
#define JSMN_PARENT_LINKS
#include <jsmn.h>

#include "drivers-vm/control/json_string.h"

#include <stdio.h>
#include <string.h>

#define TOKEN_ARENA_BYTES (sizeof(jsmntok_t) + sizeof(struct toml_value) + 16)
#define SPARE_BYTES       256u

struct reader {
	const char *text;
	size_t length;
	size_t at; /* what is before is read */
	jsmntok_t *token;
	unsigned count, next;
	struct toml_arena *arena;
	struct toml_error *error;
	/* The place found last, from where the next one is looked for. */
	size_t place_at;
	uint32_t line, column;
};

size_t json_measure(const char *text, size_t length)
{
	jsmn_parser parser;
	int count;

	jsmn_init(&parser);
	count = jsmn_parse(&parser, text, length, NULL, 0);
	if (count < 0 || (unsigned)count > JSON_TOKENS_MAX)
		count = 0;
	return ((size_t)count + 1) * TOKEN_ARENA_BYTES + length + SPARE_BYTES;
}

static void find_place(struct reader *reader, size_t at, uint32_t *line, uint32_t *column)
{
	if (at < reader->place_at || reader->line == 0) {
		reader->place_at = 0;
		reader->line = reader->column = 1;
	}
	for (; reader->place_at < at && reader->place_at < reader->length; reader->place_at++) {
		bool end = reader->text[reader->place_at] == '\n';

		reader->column = end ? 1 : reader->column + 1;
		reader->line += end;
	}
	*line = reader->line;
	*column = reader->column;
}

static bool fail(struct reader *reader, size_t at, const char *message)
{
	find_place(reader, at, &reader->error->line, &reader->error->column);
	snprintf(reader->error->message, sizeof(reader->error->message), "%s", message);
	return false;
}

static void *take_memory(struct reader *reader, size_t bytes)
{
	struct toml_arena *arena = reader->arena;
	size_t start = (arena->used + 7) & ~(size_t)7;

	if (start > arena->bytes || bytes > arena->bytes - start) {
		fail(reader, reader->at, "too large");
		return NULL;
	}
	arena->used = start + bytes;
	return memset(arena->base + start, 0, bytes);
}

static void skip_blanks(struct reader *reader)
{
	while (reader->at < reader->length && strchr(" \t\r\n", reader->text[reader->at]) != NULL && reader->text[reader->at] != '\0')
		reader->at++;
}

static bool take_mark(struct reader *reader, char mark, const char *message)
{
	skip_blanks(reader);
	if (reader->at == reader->length || reader->text[reader->at] != mark)
		return fail(reader, reader->at, message);
	reader->at++;
	return true;
}

/* A string's token with its quotation marks around it. */
static bool read_string(struct reader *reader, const jsmntok_t *token, struct toml_text *text)
{
	const char *at = reader->text + token->start, *end = reader->text + token->end;
	char *copy = take_memory(reader, (size_t)(end - at) + 1), *to = copy;

	if (copy == NULL)
		return false;
	if (!json_unescape(&at, end, &to))
		return fail(reader, (size_t)(at - reader->text), "a control character, no UTF-8, or no escape sequence of JSON");
	*to = '\0';
	*text = (struct toml_text){ copy, (size_t)(to - copy) };
	reader->at = (size_t)token->end + 1;
	return true;
}

static bool is_number(const char *at, size_t length)
{
	const char *end = at + length;
	const char *digits;

	at += at != end && *at == '-';
	for (digits = at; at != end && *at >= '0' && *at <= '9';)
		at++;
	if (at == digits || (*digits == '0' && at != digits + 1))
		return false;
	if (at != end && *at == '.') {
		for (digits = ++at; at != end && *at >= '0' && *at <= '9';)
			at++;
		if (at == digits)
			return false;
	}
	if (at != end && (*at == 'e' || *at == 'E')) {
		at++;
		at += at != end && (*at == '+' || *at == '-');
		for (digits = at; at != end && *at >= '0' && *at <= '9';)
			at++;
		if (at == digits)
			return false;
	}
	return at == end;
}

static bool is_word(const char *at, size_t length, const char *word)
{
	return length == strlen(word) && memcmp(at, word, length) == 0;
}

static void read_number(const char *at, size_t length, struct toml_value *value)
{
	bool negative = *at == '-', whole = true;

	value->type = TOML_INTEGER;
	value->integer = 0;
	for (size_t i = negative; i < length && whole; i++)
		whole = at[i] >= '0' && at[i] <= '9' && !__builtin_mul_overflow(value->integer, 10, &value->integer) &&
		        !(negative ? __builtin_sub_overflow(value->integer, at[i] - '0', &value->integer)
		                   : __builtin_add_overflow(value->integer, at[i] - '0', &value->integer));
	if (whole)
		return;
	value->type = TOML_FLOAT;
	value->text = (struct toml_text){ at, length };
}

/* *null: it is a null, and *value means nothing. */
static bool read_primitive(struct reader *reader, const jsmntok_t *token, struct toml_value *value, bool *null)
{
	const char *at = reader->text + token->start;
	size_t length = (size_t)(token->end - token->start);

	*null = is_word(at, length, "null");
	if (is_word(at, length, "true") || is_word(at, length, "false")) {
		value->type = TOML_BOOLEAN;
		value->boolean = *at == 't';
	} else if (is_number(at, length)) {
		read_number(at, length, value);
	} else if (!*null) {
		return fail(reader, (size_t)token->start, "no value of JSON");
	}
	reader->at = (size_t)token->end;
	return true;
}

static void append(struct toml_value *parent, struct toml_value *child)
{
	if (parent->children.last == NULL)
		parent->children.first = child;
	else
		parent->children.last->next = child;
	parent->children.last = child;
	parent->children.count++;
}

static bool read_value(struct reader *reader, unsigned depth, struct toml_value *value, bool *null);

static bool read_key(struct reader *reader, struct toml_text *key, uint32_t *line)
{
	const jsmntok_t *token = reader->next < reader->count ? &reader->token[reader->next++] : NULL;
	uint32_t column;

	if (token == NULL || token->type != JSMN_STRING || token->size != 1)
		return fail(reader, reader->at, "a name is expected here");
	find_place(reader, (size_t)token->start, line, &column);
	if (!take_mark(reader, '"', "a name is expected here") || !read_string(reader, token, key))
		return false;
	return take_mark(reader, ':', "a colon is expected here");
}

/* Of those that are not null. */
static bool has_member(const struct toml_value *object, struct toml_text key)
{
	for (const struct toml_value *seen = object->children.first; seen != NULL; seen = seen->next)
		if (seen->key.length == key.length && memcmp(seen->key.bytes, key.bytes, key.length) == 0)
			return true;
	return false;
}

static bool read_members(struct reader *reader, const jsmntok_t *token, unsigned depth, struct toml_value *value)
{
	bool object = token->type == JSMN_OBJECT;

	for (int i = 0; i < token->size; i++) {
		struct toml_value *child = take_memory(reader, sizeof(*child));
		bool null;

		if (child == NULL || (i != 0 && !take_mark(reader, ',', "a comma is expected here")))
			return false;
		if (object && !read_key(reader, &child->key, &child->key_line))
			return false;
		size_t at = reader->at;

		if (!read_value(reader, depth + 1, child, &null))
			return false;
		if (object && has_member(value, child->key))
			return fail(reader, at, "the same name twice");
		if (null && !object)
			return fail(reader, at, "null in an array");
		if (!null)
			append(value, child);
	}
	return take_mark(reader, object ? '}' : ']', "a comma or the end is expected here");
}

static bool read_value(struct reader *reader, unsigned depth, struct toml_value *value, bool *null)
{
	const jsmntok_t *token = reader->next < reader->count ? &reader->token[reader->next++] : NULL;

	skip_blanks(reader);
	*null = false;
	if (token == NULL || depth > TOML_DEPTH_MAX)
		return fail(reader, reader->at, token == NULL ? "a value is expected here" : "too deep");
	if ((size_t)token->start != reader->at + (token->type == JSMN_STRING))
		return fail(reader, reader->at, "a value is expected here");
	find_place(reader, reader->at, &value->line, &value->column);
	if (value->key.bytes == NULL)
		value->key_line = value->line;
	switch (token->type) {
	case JSMN_STRING:
		value->type = TOML_STRING;
		return token->size == 0 ? read_string(reader, token, &value->text) : fail(reader, reader->at, "a comma is expected here");
	case JSMN_PRIMITIVE:
		return token->size == 0 ? read_primitive(reader, token, value, null) : fail(reader, reader->at, "a comma is expected here");
	default:
		value->type = token->type == JSMN_OBJECT ? TOML_TABLE : TOML_ARRAY;
		reader->at++;
		return read_members(reader, token, depth, value);
	}
}

struct toml_value *json_parse(const char *text, size_t length, struct toml_arena *arena, struct toml_error *error)
{
	struct reader reader = { .text = text, .length = length, .arena = arena, .error = error };
	struct toml_value *root;
	jsmn_parser parser;
	bool null;
	int count;

	jsmn_init(&parser);
	count = jsmn_parse(&parser, text, length, NULL, 0);
	if (count <= 0 || (unsigned)count > JSON_TOKENS_MAX) {
		fail(&reader, parser.pos, count > 0 ? "too many values" : "no JSON");
		return NULL;
	}
	reader.token = take_memory(&reader, (size_t)count * sizeof(*reader.token));
	if (reader.token == NULL)
		return NULL;
	jsmn_init(&parser);
	count = jsmn_parse(&parser, text, length, reader.token, (unsigned)count);
	if (count <= 0) {
		fail(&reader, parser.pos, "no JSON");
		return NULL;
	}
	reader.count = (unsigned)count;
	root = take_memory(&reader, sizeof(*root));
	if (root == NULL || !read_value(&reader, 0, root, &null))
		return NULL;
	skip_blanks(&reader);
	if (reader.at != length || null) {
		fail(&reader, reader.at, null ? "null" : "more than one value");
		return NULL;
	}
	return root;
}
