/* A VM's definition as JSON, by the schema of [[vm]]. */
#include "drivers-vm/control/config_private.h"
#include "drivers-vm/control/json.h"

#include <stdio.h>
#include <string.h>

#define NAME_MEMBER_BYTES (sizeof(struct toml_value) + CONFIG_NAME_BYTES + 16)

size_t config_json_arena_bytes(const char *text, size_t length)
{
	return json_measure(text, length) + NAME_MEMBER_BYTES;
}

/* The member "name" that every [[vm]] has, in front of the others. NULL: the arena is too small. */
static struct toml_value *make_name(const char *name, struct toml_arena *arena)
{
	size_t start = (arena->used + 7) & ~(size_t)7, bytes = sizeof(struct toml_value) + CONFIG_NAME_BYTES;

	if (start > arena->bytes || bytes > arena->bytes - start)
		return NULL;
	struct toml_value *value = memset(arena->base + start, 0, bytes);
	char *copy = (char *)(value + 1);

	arena->used = start + bytes;
	snprintf(copy, CONFIG_NAME_BYTES, "%s", name);
	value->type = TOML_STRING;
	value->line = value->key_line = 1;
	value->key = (struct toml_text){ "name", 4 };
	value->text = (struct toml_text){ copy, strlen(copy) };
	return value;
}

static bool complete_name(struct config_reader *reader, struct toml_value *root, const char *name, struct toml_arena *arena)
{
	const struct toml_value *given = toml_find(root, "name");
	struct toml_value *made;

	if (given != NULL)
		return given->type != TOML_STRING || strcmp(given->text.bytes, name) == 0 ||
		       config_fail(reader, given->key_line, "vm.name", "is not \"%s\"", name);
	made = make_name(name, arena);
	if (made == NULL)
		return config_fail(reader, 1, "", "too large");
	made->next = root->children.first;
	root->children.first = made;
	if (root->children.last == NULL)
		root->children.last = made;
	root->children.count++;
	return true;
}

unsigned config_read_json(const char *name, const char *text, size_t length, struct toml_arena *arena, const struct config_report *report,
                          struct config_vm *out)
{
	struct config_reader reader = { .file = name, .report = report, .sizes_as_numbers = true };
	struct toml_error error;
	struct toml_value *root = json_parse(text, length, arena, &error);

	if (root == NULL) {
		config_fail(&reader, error.line, "", "line %u, column %u: %s", (unsigned)error.line, (unsigned)error.column, error.message);
	} else if (root->type != TOML_TABLE) {
		config_fail(&reader, root->line, "", "must be an object");
	} else if (complete_name(&reader, root, name, arena)) {
		config_read_vm(&reader, root, out);
		if (reader.errors == 0)
			config_check_macs(&reader, out, 1);
	}
	return reader.errors;
}
