/* A VM's share of the cores: looked at, and changed while it runs. */
#include "drivers-vm/control/api/routes.h"

#include "drivers-vm/control/api/definition.h"
#include "drivers-vm/control/config_json_write.h"

#include <stdio.h>
#include <stdlib.h>

static void answer_schedule(struct http_exchange *x, const struct config_vm *config)
{
	struct json_out json = { .text = &x->body };

	json_open(&json, '{');
	config_write_schedule(&json, config, true);
	json_close(&json, '}');
	routes_answer_json(x, 200);
}

void route_get_schedule(struct http_exchange *x)
{
	struct manager_vm vm;

	if (routes_find_vm(x, &vm))
		answer_schedule(x, vm.config);
}

static void keep_problem(void *ctx, const char *field, const char *detail)
{
	struct definition_error *error = ctx;

	if (error->detail[0] != '\0')
		return;
	snprintf(error->field, sizeof(error->field), "%s", field);
	snprintf(error->detail, sizeof(error->detail), "%s", detail);
}

/* What is in force is changed first, as only then it is known whether that can be; then what is stored, or neither. */
static void change(struct http_exchange *x, const struct config_vm *before, const struct config_vm *now, const struct config_vm *next)
{
	const struct config_vm defined = *manager_defined(x->route.name);
	struct manager_error error = { "", "" };
	enum manager_result result = manager_schedule(x->route.name, now, next, &error);
	struct text saved;

	if (result != MANAGER_OK) {
		problem_answer_manager(x, result, &error);
		return;
	}
	definition_save(x->route.name, &saved);
	if (definition_store(manager_defined(x->route.name))) {
		text_free(&saved);
		answer_schedule(x, now);
		return;
	}
	definition_put_back(x->route.name, &saved);
	manager_schedule(x->route.name, before, &defined, &error);
	problem_answer(x, 507, "", "the state has no room for this definition");
}

void route_put_schedule(struct http_exchange *x)
{
	struct definition_error error = { "", "" };
	const struct config_report report = { .problem = keep_problem, .ctx = &error };
	const struct toml_value *body;
	struct manager_vm vm;
	void *memory;

	if (!routes_find_vm(x, &vm))
		return;
	body = routes_parse_body(x, &memory);
	if (body != NULL) {
		const struct config_vm before = *vm.config;
		struct config_vm now = before, next = *manager_defined(x->route.name);

		if (config_read_schedule(body, &report, &now) != 0 || config_read_schedule(body, &report, &next) != 0)
			problem_answer(x, 422, error.field, "%s", error.detail);
		else
			change(x, &before, &now, &next);
	}
	free(memory);
}
