/* What a VM may have of the machine's memory while it runs. */
#include "drivers-vm/control/api/routes.h"

#include <stdlib.h>

static void answer(struct http_exchange *x)
{
	struct json_out json = { .text = &x->body };
	struct manager_vm_memory memory;

	if (!manager_vm_memory(x->route.name, &memory)) {
		problem_answer(x, 409, "", "it does not run");
		return;
	}
	json_open(&json, '{');
	json_put_uint(&json, "max_bytes", memory.most);
	json_put_uint(&json, "min_bytes", memory.least);
	json_put_uint(&json, "resident_bytes", memory.resident);
	json_put_uint(&json, "balloon_target_bytes", memory.balloon_target);
	json_close(&json, '}');
	routes_answer_json(x, 200);
}

void route_get_memory_limits(struct http_exchange *x)
{
	struct manager_vm vm;

	if (routes_find_vm(x, &vm))
		answer(x);
}

/* A number of bytes; *value stays without one. False: 422 has been answered. */
static bool read_bytes(struct http_exchange *x, const struct toml_value *body, const char *key, uint64_t *value)
{
	const struct toml_value *given = toml_find(body, key);

	if (given == NULL)
		return true;
	if (given->type != TOML_INTEGER || given->integer < 0) {
		problem_answer(x, 422, key, "must be a number of bytes");
		return false;
	}
	*value = (uint64_t)given->integer;
	return true;
}

static void set(struct http_exchange *x, const struct toml_value *body)
{
	static const char *const keys[] = { "max_bytes", "min_bytes", NULL };
	struct manager_error error = { 0 };
	struct manager_vm_memory memory;
	enum manager_result result;

	if (!routes_check_keys(x, body, keys))
		return;
	if (!manager_vm_memory(x->route.name, &memory)) {
		problem_answer(x, 409, "", "it does not run");
		return;
	}
	if (!read_bytes(x, body, "max_bytes", &memory.most) || !read_bytes(x, body, "min_bytes", &memory.least))
		return;
	result = manager_set_memory_limits(x->route.name, memory.most, memory.least, &error);
	if (result != MANAGER_OK)
		problem_answer_manager(x, result, &error);
	else
		answer(x);
}

void route_put_memory_limits(struct http_exchange *x)
{
	struct manager_vm vm;
	void *memory;
	const struct toml_value *body;

	if (!routes_find_vm(x, &vm))
		return;
	body = routes_parse_body(x, &memory);
	if (body != NULL)
		set(x, body);
	free(memory);
}
