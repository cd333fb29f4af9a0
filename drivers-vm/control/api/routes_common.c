/* What the routes' handlers share. */
#include "drivers-vm/control/api/routes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool routes_find_vm(struct http_exchange *x, struct manager_vm *vm)
{
	if (config_is_vm_name(x->route.name) && manager_find(x->route.name, vm))
		return true;
	problem_answer(x, 404, "", "there is no VM \"%s\"", x->route.name);
	return false;
}

void routes_answer_json(struct http_exchange *x, unsigned status)
{
	text_add(&x->body, "\n", 1);
	http_answer(x, status, ROUTES_JSON);
}

bool routes_get_number(struct http_exchange *x, const char *key, uint64_t *value)
{
	if (http_query_number(&x->request, key, value))
		return true;
	problem_answer(x, 400, "", "%s must be a number", key);
	return false;
}

const struct toml_value *routes_parse_body(struct http_exchange *x, void **memory)
{
	static const struct toml_value nothing = { .type = TOML_TABLE };
	const struct text *input = &x->route.input;
	struct toml_arena arena = { .bytes = json_measure(input->bytes, input->length) };
	struct toml_error error;
	const struct toml_value *root;

	*memory = NULL;
	if (input->length == 0)
		return &nothing;
	arena.base = *memory = malloc(arena.bytes);
	if (arena.base == NULL) {
		problem_answer(x, 503, "", "there is no memory for the request at the moment");
		return NULL;
	}
	root = json_parse(input->bytes, input->length, &arena, &error);
	if (root == NULL)
		problem_answer(x, 422, "", "line %u, column %u: %s", (unsigned)error.line, (unsigned)error.column, error.message);
	else if (root->type != TOML_TABLE)
		problem_answer(x, 422, "", "must be an object");
	return root != NULL && root->type == TOML_TABLE ? root : NULL;
}

bool routes_check_keys(struct http_exchange *x, const struct toml_value *table, const char *const *keys)
{
	char field[64];

	for (const struct toml_value *value = table->children.first; value != NULL; value = value->next) {
		unsigned i = 0;

		while (keys[i] != NULL && strcmp(keys[i], value->key.bytes) != 0)
			i++;
		if (keys[i] != NULL)
			continue;
		snprintf(field, sizeof(field), "%s", value->key.bytes);
		problem_answer(x, 422, field, "unknown key");
		return false;
	}
	return true;
}

const char *routes_get_string(struct http_exchange *x, const struct toml_value *table, const char *key)
{
	const struct toml_value *value = toml_find(table, key);

	if (value != NULL && value->type == TOML_STRING && strlen(value->text.bytes) == value->text.length)
		return value->text.bytes;
	problem_answer(x, 422, key, value == NULL ? "missing" : "must be a string");
	return NULL;
}
