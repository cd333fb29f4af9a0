/* Definitions: JSON in the store, under "vm/NAME". */
#include "drivers-vm/control/api/definition.h"

#include "drivers-vm/control/api/api.h"
#include "drivers-vm/control/config_json_write.h"
#include "drivers-vm/control/events.h"
#include "drivers-vm/control/store/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEY_PREFIX "vm/"

/* The first problem is the one that is told. */
static void keep_problem(void *ctx, const char *field, const char *detail)
{
	struct definition_error *error = ctx;

	if (error->detail[0] != '\0')
		return;
	snprintf(error->field, sizeof(error->field), "%s", field);
	snprintf(error->detail, sizeof(error->detail), "%s", detail);
}

void definition_free(struct manager_definition *definition)
{
	free(definition->arena);
	free(definition);
}

static bool has_mac(const struct config_vm *config, const uint8_t mac[6])
{
	for (unsigned i = 0; i < config->nic_count; i++)
		if (memcmp(config->nic[i].mac, mac, 6) == 0)
			return true;
	return false;
}

static bool check_macs(const struct config_vm *config, struct definition_error *error)
{
	struct manager_vm other;

	for (unsigned i = 0; manager_at(i, &other); i++)
		for (unsigned k = 0; k < config->nic_count && strcmp(other.config->name, config->name) != 0; k++) {
			if (!has_mac(other.config, config->nic[k].mac))
				continue;
			snprintf(error->field, sizeof(error->field), "nic[%u].mac", k);
			snprintf(error->detail, sizeof(error->detail), "VM \"%s\" has a card with the same address", other.config->name);
			return false;
		}
	return true;
}

struct manager_definition *definition_read(const char *name, const char *text, size_t length, struct definition_error *error)
{
	const struct config_report report = { .problem = keep_problem, .ctx = error };
	struct toml_arena arena = { .bytes = config_json_arena_bytes(text, length) };
	struct manager_definition *definition = calloc(1, sizeof(*definition));

	*error = (struct definition_error){ "", "" };
	arena.base = definition == NULL ? NULL : malloc(arena.bytes);
	if (arena.base == NULL) {
		free(definition);
		return NULL;
	}
	definition->arena = arena.base;
	if (config_read_json(name, text, length, &arena, &report, &definition->config) != 0 || !check_macs(&definition->config, error)) {
		definition_free(definition);
		return NULL;
	}
	return definition;
}

static void write_definition(struct text *text, const struct config_vm *config)
{
	struct json_out json = { .text = text };

	config_write_json(&json, config);
}

bool definition_equal(const struct config_vm *a, const struct config_vm *b)
{
	struct text one = { 0 }, other = { 0 };
	bool equal;

	write_definition(&one, a);
	write_definition(&other, b);
	equal = !one.failed && !other.failed && one.length == other.length && memcmp(one.bytes, other.bytes, one.length) == 0;
	text_free(&one);
	text_free(&other);
	return equal;
}

static void make_key(const char *name, char key[STORE_KEY_BYTES])
{
	snprintf(key, STORE_KEY_BYTES, KEY_PREFIX "%s", name);
}

bool definition_store(const struct config_vm *config)
{
	char key[STORE_KEY_BYTES];
	struct text text = { 0 };
	bool stored;

	make_key(config->name, key);
	write_definition(&text, config);
	stored = !text.failed && text.length <= STORE_VALUE_BYTES && store_put(key, text.bytes, text.length, 0);
	text_free(&text);
	return stored;
}

void definition_forget(const char *name)
{
	char key[STORE_KEY_BYTES];

	make_key(name, key);
	store_remove(key);
}

void definition_save(const char *name, struct text *saved)
{
	char key[STORE_KEY_BYTES];
	size_t bytes = 0;
	const void *value;

	make_key(name, key);
	value = store_get(key, &bytes);
	*saved = (struct text){ 0 };
	if (value != NULL)
		text_add(saved, value, bytes);
}

void definition_put_back(const char *name, struct text *saved)
{
	char key[STORE_KEY_BYTES];

	make_key(name, key);
	if (saved->length == 0 || !store_put(key, saved->bytes, saved->length, 0))
		store_remove(key);
	text_free(saved);
}

/* A copy, since the store's value does not live as long as reading it takes. */
static struct manager_definition *read_stored(const char *key, struct definition_error *error)
{
	struct manager_definition *definition = NULL;
	size_t bytes = 0;
	const void *value = store_get(key, &bytes);
	char *copy = value == NULL ? NULL : malloc(bytes + 1);

	*error = (struct definition_error){ "", "there is no memory" };
	if (copy == NULL)
		return NULL;
	memcpy(copy, value, bytes);
	definition = definition_read(key + strlen(KEY_PREFIX), copy, bytes, error);
	free(copy);
	return definition;
}

static bool load_one(const char *key)
{
	struct definition_error problem;
	struct manager_error error = { 0 };
	struct manager_definition *definition = read_stored(key, &problem);
	bool created;

	if (definition == NULL) {
		event_add("vm.invalid", key + strlen(KEY_PREFIX), "%s%s%s", problem.field, problem.field[0] == '\0' ? "" : ": ",
		          problem.detail);
		return false;
	}
	if (manager_define(definition, &created, &error) == MANAGER_OK)
		return true;
	event_add("vm.invalid", key + strlen(KEY_PREFIX), "%s", error.detail);
	definition_free(definition);
	return false;
}

unsigned api_load_definitions(void)
{
	char key[STORE_KEY_BYTES] = "";
	const char *next;
	unsigned count = 0;

	while ((next = store_next(KEY_PREFIX, key)) != NULL) {
		snprintf(key, sizeof(key), "%s", next);
		count += load_one(key);
	}
	return count;
}
