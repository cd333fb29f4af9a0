/* Definitions as text: where a field is in a file, and a file for a definition. */
#include "tools/cli/definition.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct toml_value *find_member(const struct toml_value *table, const char *key, size_t length)
{
	for (const struct toml_value *child = table->type == TOML_TABLE ? table->children.first : NULL; child != NULL;
	     child = child->next) {
		if (child->key.length == length && memcmp(child->key.bytes, key, length) == 0)
			return child;
	}
	return NULL;
}

static const struct toml_value *find_element(const struct toml_value *array, size_t index)
{
	const struct toml_value *child = array->type == TOML_ARRAY ? array->children.first : NULL;

	while (child != NULL && index-- > 0)
		child = child->next;
	return child;
}

uint32_t definition_find_line(const struct definitions *definitions, size_t index, const char *field)
{
	const struct toml_value *at = definitions->tables == NULL ? NULL : find_element(definitions->tables, index);
	uint32_t line = at == NULL ? 0 : at->line;

	while (at != NULL && *field != '\0') {
		if (*field == '[') {
			char *end;
			unsigned long element = strtoul(field + 1, &end, 10);

			at = *end == ']' ? find_element(at, element) : NULL;
			line = at == NULL ? line : at->line;
			field = *end == ']' ? end + 1 : "";
		} else {
			size_t length = strcspn(field, ".[");

			at = find_member(at, field, length);
			line = at == NULL ? line : at->key_line;
			field += length;
		}
		field += *field == '.';
	}
	return line;
}

static void add_value(struct memory_buffer *to, const json_t *value)
{
	char number[40];
	const json_t *element;
	size_t i;

	switch (json_typeof(value)) {
	case JSON_STRING:
		toml_text_add_string(to, json_string_value(value));
		break;
	case JSON_INTEGER:
		snprintf(number, sizeof(number), "%" JSON_INTEGER_FORMAT, json_integer_value(value));
		toml_text_add(to, number);
		break;
	case JSON_REAL:
		snprintf(number, sizeof(number), "%.17g", json_real_value(value));
		toml_text_add(to, number);
		break;
	case JSON_ARRAY:
		toml_text_add(to, "[");
		json_array_foreach(value, i, element)
		{
			toml_text_add(to, i == 0 ? "" : ", ");
			add_value(to, element);
		}
		toml_text_add(to, "]");
		break;
	default:
		toml_text_add(to, json_is_true(value) ? "true" : "false");
	}
}

static bool is_table_array(const json_t *value)
{
	return json_is_array(value) && json_is_object(json_array_get(value, 0));
}

/* The keys of one table; tables in it, and null, are for others. */
static void add_pairs(struct memory_buffer *to, const json_t *table)
{
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)table, key, value)
	{
		if (is_table_array(value) || json_is_object(value) || json_is_null(value) ||
		    (json_is_array(value) && json_array_size(value) == 0))
			continue;
		toml_text_add_key(to, key);
		toml_text_add(to, " = ");
		add_value(to, value);
		toml_text_add(to, "\n");
	}
}

char *definition_format(const char *name, const json_t *config)
{
	struct memory_buffer text = { 0 };
	const char *key;
	json_t *value;
	const json_t *element;
	size_t i;

	toml_text_add(&text, "[[vm]]\n");
	toml_text_add_pair(&text, "name", name);
	add_pairs(&text, config);
	json_object_foreach((json_t *)config, key, value)
	{
		if (!is_table_array(value))
			continue;
		json_array_foreach(value, i, element)
		{
			toml_text_add(&text, "\n[[vm.");
			toml_text_add_key(&text, key);
			toml_text_add(&text, "]]\n");
			add_pairs(&text, element);
		}
	}
	return text.bytes;
}
