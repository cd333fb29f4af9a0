/* VMs: lists, definitions, and what an operator does with them. */
#include "drivers-vm/control/api/routes.h"

#include "drivers-vm/control/api/definition.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECOND_NS   1000000000ull
#define TIMEOUT_MAX 86400

/* One VM of the list; the answer's cursor counts them. */
static bool write_next_vm(struct http_exchange *x)
{
	struct json_out json = { .text = &x->body, .comma = x->route.cursor != 0 };
	struct manager_vm vm;

	if (!manager_at((unsigned)x->route.cursor, &vm)) {
		text_add_string(&x->body, "]}\n");
		return false;
	}
	vm_write_summary(&json, &vm);
	x->route.cursor++;
	return true;
}

void route_list_vms(struct http_exchange *x)
{
	text_add_string(&x->body, "{\"vms\":[");
	http_answer_more(x, 200, ROUTES_JSON, write_next_vm);
}

static void answer_vm(struct http_exchange *x, unsigned status, const struct manager_vm *vm)
{
	struct json_out json = { .text = &x->body };

	http_add_header(x, "ETag", "\"%" PRIu64 "\"", vm->version);
	vm_write(&json, vm);
	routes_answer_json(x, status);
}

void route_get_vm(struct http_exchange *x)
{
	struct manager_vm vm;

	if (routes_find_vm(x, &vm))
		answer_vm(x, 200, &vm);
}

/* RFC 9110, 13.1.1 and 13.1.2. False: 412 has been answered. */
static bool check_version(struct http_exchange *x, bool exists, uint64_t version)
{
	const char *match = http_find_header(&x->request, "if-match"), *none = http_find_header(&x->request, "if-none-match");
	char etag[32];

	snprintf(etag, sizeof(etag), "\"%" PRIu64 "\"", version);
	if (match != NULL && (!exists || (strcmp(match, "*") != 0 && !http_has_element(match, etag)))) {
		problem_answer(x, 412, "", exists ? "the definition has changed meanwhile" : "there is no such VM");
		return false;
	}
	if (none != NULL && exists && (strcmp(none, "*") == 0 || http_has_element(none, etag))) {
		problem_answer(x, 412, "", "there is a VM \"%s\" already", x->route.name);
		return false;
	}
	return true;
}

/* The definition is stored before it is in force: what the answer promises is kept. */
static bool put(struct http_exchange *x, struct manager_definition *definition, bool unchanged, bool *created)
{
	struct manager_error error = { 0 };
	enum manager_result result;
	struct text saved;

	definition_save(x->route.name, &saved);
	if (!definition_store(&definition->config)) {
		definition_put_back(x->route.name, &saved);
		problem_answer(x, 507, "", "the state has no room for this definition");
		return false;
	}
	result = unchanged ? MANAGER_OK : manager_define(definition, created, &error);
	if (result != MANAGER_OK) {
		definition_put_back(x->route.name, &saved);
		problem_answer_manager(x, result, &error);
		return false;
	}
	text_free(&saved);
	return true;
}

static void define(struct http_exchange *x, struct manager_definition *definition, const struct manager_vm *old)
{
	bool unchanged = old != NULL && !old->change_pending && definition_equal(&definition->config, old->config), created = false;
	bool defined = put(x, definition, unchanged, &created);
	struct manager_vm vm;

	if (unchanged || !defined)
		definition_free(definition);
	if (!defined)
		return;
	if (manager_find(x->route.name, &vm))
		answer_vm(x, created ? 201 : 200, &vm);
	else
		problem_answer(x, 500, "", "the VM is gone already");
}

void route_put_vm(struct http_exchange *x)
{
	struct definition_error error = { "", "" };
	struct manager_definition *definition;
	struct manager_vm old;
	bool exists;

	if (!config_is_vm_name(x->route.name)) {
		problem_answer(x, 422, "name", "must be 1 to %u letters, digits, '.', '_' or '-', not starting with '.' or '-'",
		               CONFIG_NAME_BYTES - 1);
		return;
	}
	exists = manager_find(x->route.name, &old);
	if (!check_version(x, exists, exists ? old.version : 0))
		return;
	definition = definition_read(x->route.name, x->route.input.bytes, x->route.input.length, &error);
	if (definition == NULL)
		problem_answer(x, error.detail[0] == '\0' ? 503 : 422, error.field, "%s",
		               error.detail[0] == '\0' ? "there is no memory for the definition" : error.detail);
	else
		define(x, definition, exists ? &old : NULL);
}

void route_delete_vm(struct http_exchange *x)
{
	struct manager_error error = { 0 };
	struct manager_vm vm;
	enum manager_result result;

	if (!routes_find_vm(x, &vm) || !check_version(x, true, vm.version))
		return;
	result = manager_undefine(x->route.name, &error);
	if (result != MANAGER_OK) {
		problem_answer_manager(x, result, &error);
		return;
	}
	definition_forget(x->route.name);
	http_answer(x, 204, NULL);
}

/* ---- Actions ----------------------------------------------------------------------------------------------------------------------- */

bool routes_read_end(struct http_exchange *x, const struct toml_value *body, uint64_t *timeout_ns, bool *force)
{
	static const char *const keys[] = { "timeout_seconds", "force", NULL };
	const struct toml_value *timeout, *forced;

	if (body == NULL || !routes_check_keys(x, body, keys))
		return false;
	timeout = toml_find(body, "timeout_seconds");
	forced = toml_find(body, "force");
	if (timeout != NULL && (timeout->type != TOML_INTEGER || timeout->integer < 0 || timeout->integer > TIMEOUT_MAX)) {
		problem_answer(x, 422, "timeout_seconds", "must be a number from 0 to %u", TIMEOUT_MAX);
		return false;
	}
	if (forced != NULL && forced->type != TOML_BOOLEAN) {
		problem_answer(x, 422, "force", "must be a boolean");
		return false;
	}
	if (timeout != NULL)
		*timeout_ns = (uint64_t)timeout->integer * SECOND_NS;
	*force = forced != NULL && forced->boolean;
	return true;
}

static void act(struct http_exchange *x, enum manager_action action)
{
	bool ends = action == MANAGER_SHUTDOWN || action == MANAGER_REBOOT, force = false;
	struct json_out json = { .text = &x->body };
	struct manager_error error = { 0 };
	enum manager_result result;
	struct manager_vm vm;
	uint64_t timeout_ns = 0;
	void *memory;
	const struct toml_value *body;

	if (!routes_find_vm(x, &vm))
		return;
	body = routes_parse_body(x, &memory);
	if (routes_read_end(x, body, &timeout_ns, &force)) {
		/* By force: at once, a reboot then is what the reset button does. */
		if (ends && force)
			action = action == MANAGER_SHUTDOWN ? MANAGER_DESTROY : MANAGER_RESET;
		result = manager_act(x->route.name, action, timeout_ns, &error);
		if (result != MANAGER_OK) {
			problem_answer_manager(x, result, &error);
		} else {
			json_open(&json, '{');
			json_put_string(&json, "name", x->route.name);
			json_put_string(&json, "state", vm_state_name(manager_find(x->route.name, &vm) ? vm.state : MANAGER_SHUTOFF));
			json_close(&json, '}');
			routes_answer_json(x, 202);
		}
	}
	free(memory);
}

void route_boot(struct http_exchange *x)
{
	act(x, MANAGER_BOOT);
}

void route_shutdown(struct http_exchange *x)
{
	act(x, MANAGER_SHUTDOWN);
}

void route_power_button(struct http_exchange *x)
{
	act(x, MANAGER_POWER_BUTTON);
}

void route_reboot(struct http_exchange *x)
{
	act(x, MANAGER_REBOOT);
}

void route_pause(struct http_exchange *x)
{
	act(x, MANAGER_PAUSE);
}

void route_resume(struct http_exchange *x)
{
	act(x, MANAGER_RESUME);
}

void route_nmi(struct http_exchange *x)
{
	act(x, MANAGER_NMI);
}

void route_reset(struct http_exchange *x)
{
	act(x, MANAGER_RESET);
}
