#include "tools/cli/definition.h"
#include "tools/cli/cli.h"
#include "tools/cli/text.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static json_t *convert(const struct toml_value *value);

static json_t *convert_float(const struct toml_value *value)
{
	char digits[64];
	size_t used = 0;
	json_t *number;

	for (size_t i = 0; i < value->text.length && used + 1 < sizeof(digits); i++) {
		if (value->text.bytes[i] != '_')
			digits[used++] = value->text.bytes[i];
	}
	digits[used] = '\0';
	number = json_real(strtod(digits, NULL));
	/* JSON has no infinity; as a string it is refused with the same sentence as any other wrong type. */
	return number != NULL ? number : json_string(digits);
}

static json_t *convert_children(const struct toml_value *value)
{
	json_t *out = value->type == TOML_ARRAY ? json_array() : json_object();

	for (const struct toml_value *child = value->children.first; child != NULL; child = child->next) {
		json_t *converted = convert(child);
		char *key;

		if (value->type == TOML_ARRAY) {
			json_array_append_new(out, converted);
			continue;
		}
		key = memory_format("%.*s", (int)child->key.length, child->key.bytes);
		json_object_set_new(out, key, converted);
		free(key);
	}
	return out;
}

static json_t *convert(const struct toml_value *value)
{
	switch (value->type) {
	case TOML_STRING:
	case TOML_DATETIME:
		return json_stringn(value->text.bytes, value->text.length);
	case TOML_INTEGER:
		return json_integer(value->integer);
	case TOML_FLOAT:
		return convert_float(value);
	case TOML_BOOLEAN:
		return json_boolean(value->boolean);
	case TOML_ARRAY:
	case TOML_TABLE:
		return convert_children(value);
	}
	return NULL;
}

static bool read_toml(const char *path, const char *text, size_t length, struct definitions *out)
{
	struct toml_error error;
	struct toml_value *root = toml_text_parse(text, length, &out->arena, &error);

	if (root == NULL) {
		cli_error("%s:%" PRIu32 ": column %" PRIu32 ": %s", path, error.line, error.column, error.message);
		return false;
	}
	for (const struct toml_value *value = root->children.first; value != NULL; value = value->next) {
		char *key = text_safe(value->key.bytes, value->key.length, false);

		if (strcmp(key, "vm") == 0 && value->type == TOML_ARRAY)
			out->tables = value;
		else
			fprintf(stderr, "hilum: %s:%" PRIu32 ": %s is left out: only [[vm]] is for a machine that runs\n", path,
			        value->key_line, key);
		free(key);
	}
	out->vms = out->tables == NULL ? json_array() : convert(out->tables);
	return true;
}

/* One VM, an array of them, or {"vm": [...]}. */
static bool read_json(const char *path, const char *text, size_t length, struct definitions *out)
{
	json_error_t error;
	json_t *root = json_loadb(text, length, JSON_REJECT_DUPLICATES, &error);

	if (root == NULL) {
		char *safe = text_safe(error.text, strlen(error.text), false);

		cli_error("%s:%d: column %d: %s", path, error.line, error.column, safe);
		free(safe);
		return false;
	}
	if (json_is_array(root)) {
		out->vms = root;
	} else if (json_is_array(json_object_get(root, "vm"))) {
		out->vms = json_incref(json_object_get(root, "vm"));
		json_decref(root);
	} else {
		out->vms = json_array();
		json_array_append_new(out->vms, root);
	}
	return true;
}

/* JSON begins with "{", or with "[" and then "{" or "]"; TOML never does. */
static bool looks_like_json(const char *text)
{
	while (isspace((unsigned char)*text))
		text++;
	if (*text != '[')
		return *text == '{';
	for (text++; isspace((unsigned char)*text);)
		text++;
	return *text == '{' || *text == ']';
}

bool definition_read(const char *path, const char *text, size_t length, struct definitions *out)
{
	const json_t *vm;
	size_t i;

	*out = (struct definitions){ 0 };
	if (!(looks_like_json(text) ? read_json : read_toml)(path, text, length, out))
		return false;
	if (json_array_size(out->vms) == 0) {
		cli_error("%s: there is no [[vm]] in it", path);
		return false;
	}
	json_array_foreach(out->vms, i, vm)
	{
		const char *name = json_string_value(json_object_get(vm, "name"));

		if (name == NULL || *name == '\0') {
			cli_error("%s:name: VM %zu has none", path, i + 1);
			return false;
		}
	}
	return true;
}

void definition_free(struct definitions *definitions)
{
	json_decref(definitions->vms);
	free(definitions->arena.base);
	*definitions = (struct definitions){ 0 };
}
