/* The routes' handlers and what they share. A handler is called when its caller has the role, and the body has come if it is JSON. */
#ifndef DRIVERS_VM_CONTROL_API_ROUTES_H
#define DRIVERS_VM_CONTROL_API_ROUTES_H

#include "drivers-vm/control/api/auth.h"
#include "drivers-vm/control/api/exchange.h"
#include "drivers-vm/control/api/json_out.h"
#include "drivers-vm/control/api/platform.h"
#include "drivers-vm/control/api/problem.h"
#include "drivers-vm/control/json.h"
#include "drivers-vm/control/manager.h"

#define ROUTES_JSON       "application/json"
#define ROUTES_JSON_BYTES 131072u /* of a request's body */

typedef void route_handler(struct http_exchange *x);

struct route {
	enum http_method method;
	const char *path; /* at most one {name} */
	enum auth_role role;
	route_handler *handle;
	bool json;                  /* a JSON body is read first, into x->route.input; it may be missing */
	enum auth_role socket_role; /* of its WebSocket; AUTH_NONE: it has none */
	route_handler *open;        /* of its WebSocket */
};

extern const struct route routes[];
extern const unsigned route_count;

/* The token that asks; NULL: nobody, or it has been withdrawn meanwhile. */
const struct auth_token *routes_caller(const struct http_exchange *x);
/* The subprotocol to select: the client's, if it offers ours. */
const char *routes_protocol(const struct http_exchange *x);

/* The exchange's VM; false: 404 has been answered. */
bool routes_find_vm(struct http_exchange *x, struct manager_vm *vm);

/* {"timeout_seconds":N,"force":true}, or some of it: *timeout_ns stays as it is if it is not there. False: 422 has been answered. */
bool routes_read_end(struct http_exchange *x, const struct toml_value *body, uint64_t *timeout_ns, bool *force);
/* The JSON body as a table, empty if there is none; NULL: 422 has been answered. *memory is malloc()ed and free()d by the caller. */
const struct toml_value *routes_parse_body(struct http_exchange *x, void **memory);
/* Every key of the table is in the list, which ends with NULL; false: 422 has been answered. */
bool routes_check_keys(struct http_exchange *x, const struct toml_value *table, const char *const *keys);
/* A string of the table; NULL: 422 has been answered. */
const char *routes_get_string(struct http_exchange *x, const struct toml_value *table, const char *key);

/* JSON into the answer's body, with a line's end, as the whole answer. */
void routes_answer_json(struct http_exchange *x, unsigned status);
/* ?since= or another number; false: 400 has been answered. */
bool routes_get_number(struct http_exchange *x, const char *key, uint64_t *value);

void vm_write_summary(struct json_out *json, const struct manager_vm *vm);
void vm_write(struct json_out *json, const struct manager_vm *vm);
const char *vm_state_name(enum manager_state state);
uint64_t vm_cpu_ns(const char *name, unsigned vcpus, uint64_t tsc_hz);
uint64_t vm_tsc_to_ns(uint64_t ticks, uint64_t tsc_hz);
/* A name of an exit reason as JSON and metrics show it. */
const char *vm_exit_name(unsigned reason);

route_handler route_get_host, route_restart_driver, route_poweroff_host, route_reboot_host, route_put_certificate, route_delete_certificate;
route_handler route_compact, route_get_memory_limits, route_put_memory_limits;
route_handler route_list_vms, route_get_vm, route_put_vm, route_delete_vm;
route_handler route_get_schedule, route_put_schedule;
route_handler route_boot, route_shutdown, route_power_button, route_reboot, route_pause, route_resume, route_nmi, route_reset;
route_handler route_get_console, route_open_console, route_get_gdb, route_open_gdb;
route_handler route_get_core, route_put_autostart, route_put_vcpus, route_put_memory;
route_handler route_list_images, route_put_image, route_delete_image;
route_handler route_list_events, route_open_events, route_get_log, route_open_log, route_list_audit;
route_handler route_list_tokens, route_create_token, route_delete_token, route_whoami;
route_handler route_get_document, route_get_metrics, route_get_health;

/* A static file of this path: answers and returns true. */
bool files_answer(struct http_exchange *x);

#endif
