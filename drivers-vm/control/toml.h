/*
 * A strict TOML 1.0 parser (https://toml.io/en/v1.0.0). Takes text and an arena, gives a tree that lives in
 * the arena; no globals, no other allocation. Nothing that the specification forbids is let through.
 *
 * Floats and dates are checked and kept as text: this code runs where there are no FPU registers.
 */
#ifndef DRIVERS_VM_CONTROL_TOML_H
#define DRIVERS_VM_CONTROL_TOML_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TOML_DEPTH_MAX   32u /* nested arrays and inline tables, and parts of a dotted key */
#define TOML_MESSAGE_MAX 120

enum toml_type {
	TOML_STRING,
	TOML_INTEGER,
	TOML_FLOAT,
	TOML_BOOLEAN,
	TOML_DATETIME,
	TOML_ARRAY,
	TOML_TABLE,
};

/* UTF-8, not always NUL-terminated; a string may contain NULs (\u0000). */
struct toml_text {
	const char *bytes;
	size_t length;
};

struct toml_value {
	enum toml_type type;
	uint32_t line;   /* of the value, from 1; for a table, of its header or first key */
	uint32_t column; /* in bytes, from 1 */
	uint32_t key_line;
	uint32_t flags;          /* the parser's own */
	struct toml_text key;    /* inside a table; empty in an array */
	struct toml_value *next; /* sibling, in the order of the file */
	union {
		struct toml_text text; /* string, float, datetime */
		int64_t integer;
		bool boolean;
		struct {
			struct toml_value *first, *last;
			size_t count;
		} children; /* array, table */
	};
};

struct toml_arena {
	uint8_t *base; /* aligned to 8 */
	size_t bytes;
	size_t used;
};

struct toml_error {
	uint32_t line;
	uint32_t column;
	char message[TOML_MESSAGE_MAX];
};

/*
 * Parses text[0 .. length) and returns the root table, which lives as long as the arena's memory; or NULL
 * with *error filled: what is wrong first, and where. Running out of arena is an error too.
 */
struct toml_value *toml_parse(const char *text, size_t length, struct toml_arena *arena, struct toml_error *error);

/* The value under `key` in a table, or NULL. */
const struct toml_value *toml_find(const struct toml_value *table, const char *key);

/* "a string", "an integer", ... for messages. */
const char *toml_type_name(enum toml_type type);

#endif
