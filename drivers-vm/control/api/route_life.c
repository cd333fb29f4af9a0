/* Core files, and what of a definition can be changed on its own. */
#include "drivers-vm/control/api/routes.h"

#include "drivers-vm/control/api/definition.h"

#include <inttypes.h>
#include <stdlib.h>

#define PIECE_BYTES 8192u

/* ---- Core files ----------------------------------------------------------------------------------------------------------------- */

static void end_core(struct http_exchange *x)
{
	if (x->route.busy)
		manager_core_close(x->route.session, false);
	x->route.busy = false;
}

/* A failure breaks the answer off: whoever reads it sees that it is not whole. */
static bool write_core(struct http_exchange *x)
{
	static uint8_t piece[PIECE_BYTES];
	bool failed;
	size_t count = manager_core_read(x->route.session, piece, sizeof(piece), &failed);

	text_add(&x->body, piece, count);
	x->body.failed |= failed;
	if (count != 0 || failed)
		return true;
	manager_core_close(x->route.session, true);
	x->route.busy = false;
	return false;
}

void route_get_core(struct http_exchange *x)
{
	struct manager_error error = { 0 };
	struct manager_vm vm;
	uint64_t bytes;

	if (!routes_find_vm(x, &vm))
		return;
	x->route.session = manager_core_open(x->route.name, &bytes, &error);
	if (x->route.session < 0) {
		problem_answer_manager(x, (enum manager_result) - x->route.session, &error);
		return;
	}
	x->route.busy = true;
	x->route.end = end_core;
	http_add_header(x, "Hilum-Core-Bytes", "%" PRIu64, bytes);
	http_add_header(x, "Content-Disposition", "attachment; filename=\"%s.core\"", x->route.name);
	http_answer_more(x, 200, "application/octet-stream", write_core);
}

/* ---- Autostart ------------------------------------------------------------------------------------------------------------------ */

/* The member `key`, of that type, and no other. False: 422 has been answered. */
static bool read_member(struct http_exchange *x, const char *key, enum toml_type type, struct toml_value *value)
{
	const char *const keys[] = { key, NULL };
	void *memory;
	const struct toml_value *body = routes_parse_body(x, &memory), *found;
	bool good = body != NULL && routes_check_keys(x, body, keys);

	if (good) {
		found = toml_find(body, key);
		good = found != NULL && found->type == type;
		if (good)
			*value = *found; /* its number or truth; what it points to goes */
		else
			problem_answer(x, 422, key, "must be a %s", type == TOML_BOOLEAN ? "boolean" : "number");
	}
	free(memory);
	return good;
}

void route_put_autostart(struct http_exchange *x)
{
	struct manager_vm vm;
	const struct config_vm *config;
	struct text saved;
	struct toml_value enabled;

	if (!routes_find_vm(x, &vm) || !read_member(x, "enabled", TOML_BOOLEAN, &enabled))
		return;
	definition_save(x->route.name, &saved);
	if (manager_set_autostart(x->route.name, enabled.boolean, &config) != MANAGER_OK || !definition_store(config)) {
		manager_set_autostart(x->route.name, vm.autostart, &config);
		definition_put_back(x->route.name, &saved);
		problem_answer(x, 507, "", "the state has no room for this definition");
		return;
	}
	text_free(&saved);
	route_get_vm(x);
}

/* ---- While it runs -------------------------------------------------------------------------------------------------------------- */

static void answer_change(struct http_exchange *x, enum manager_result result, const struct manager_error *error)
{
	if (result == MANAGER_OK)
		route_get_vm(x);
	else
		problem_answer_manager(x, result, error);
}

void route_put_vcpus(struct http_exchange *x)
{
	struct manager_error error = { 0 };
	struct toml_value count;
	struct manager_vm vm;
	unsigned vcpus;

	if (!routes_find_vm(x, &vm) || !read_member(x, "count", TOML_INTEGER, &count))
		return;
	vcpus = count.integer < 0 || count.integer > HILUM_MAX_VCPUS ? 0 : (unsigned)count.integer;
	answer_change(x, manager_set_vcpus(x->route.name, vcpus, &error), &error);
}

void route_put_memory(struct http_exchange *x)
{
	struct manager_error error = { 0 };
	struct toml_value bytes;
	struct manager_vm vm;

	if (routes_find_vm(x, &vm) && read_member(x, "bytes", TOML_INTEGER, &bytes))
		answer_change(x, manager_set_memory(x->route.name, bytes.integer < 0 ? 0 : (uint64_t)bytes.integer, &error), &error);
}
