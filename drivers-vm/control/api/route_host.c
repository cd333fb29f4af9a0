/* The machine: what it is, its certificate, its driver VM. */
#include "drivers-vm/control/api/routes.h"

#include "drivers-vm/control/events.h"
#include "drivers-vm/control/store/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECOND_NS   1000000000u
#define END_SECONDS 60u

static void write_compaction(struct json_out *json, const struct manager_compaction *compaction)
{
	json_open(json, '{');
	json_put_string(json, "state", compaction->state);
	json_put_uint(json, "progress_percent", compaction->progress);
	json_put_uint(json, "runs", compaction->runs);
	json_put_uint(json, "moved_bytes", compaction->moved_bytes);
	json_put_uint(json, "largest_free_before_bytes", compaction->before_bytes);
	json_put_uint(json, "largest_free_after_bytes", compaction->after_bytes);
	json_close(json, '}');
}

static void write_memory(struct json_out *json, const struct hilum_host_info *info)
{
	struct manager_memory memory;

	manager_memory(&memory);
	json_open_member(json, "memory", '{');
	json_put_uint(json, "total_bytes", info->memory_bytes);
	json_put_uint(json, "free_bytes", info->free_bytes);
	json_put_uint(json, "hilum_bytes", info->pool_bytes + info->kernel_bytes);
	json_put_uint(json, "overcommit_percent", memory.overcommit);
	json_put_uint(json, "promised_bytes", memory.promised);
	json_put_uint(json, "resident_bytes", memory.resident);
	json_put_uint(json, "spare_bytes", memory.spare);
	json_put_uint(json, "largest_free_bytes", memory.largest_free);
	json_put_uint(json, "saved_bytes", memory.saved);
	json_put_uint(json, "pages_scanned", memory.scanned);
	json_put_uint(json, "pages_merged", memory.merged);
	json_key(json, "compaction");
	write_compaction(json, &memory.compaction);
	json_close(json, '}');
}

static void write_machine(struct json_out *json, const struct manager_host *host)
{
	const struct hilum_host_info *info = &host->info;

	json_put_string(json, "name", api_host_name());
	json_put_string(json, "version", api_version());
	json_put_time(json, "time", host->wall_clock_ns);
	json_put_uint(json, "uptime_seconds", host->uptime_ns / SECOND_NS);
	json_put_string(json, "boot_reason", api_boot_reason());
	json_put_string(json, "cpu", host->cpu);
	json_put_uint(json, "cores", info->core_count);
	json_put_uint(json, "tsc_hz", info->tsc_hz);
	write_memory(json, info);
	json_put_bool(json, "iommu", (info->features & HILUM_HOST_IOMMU) != 0);
	json_put_bool(json, "interrupt_remapping", (info->features & HILUM_HOST_IRQ_REMAPPING) != 0);
	json_open_member(json, "driver_vm", '{');
	json_put_string(json, "state", host->driver_state);
	json_put_uint(json, "restarts", host->driver_restarts);
	json_close(json, '}');
	json_open_member(json, "control_vm", '{');
	json_put_uint(json, "restarts", host->control_restarts);
	json_close(json, '}');
	json_put_bool(json, "state_kept", store_is_kept());
	json_put_uint(json, "device_faults", host->device_faults);
}

static void write_health(struct json_out *json, const struct manager_host *host)
{
	const struct hilum_host_health *h = &host->health;
	char text[VULNERABILITY_TEXT_BYTES];

	json_open_member(json, "faults", '{');
	json_put_uint(json, "nmis", h->nmis);
	json_put_uint(json, "spurious_interrupts", h->spurious);
	json_put_uint(json, "interrupt_storms", h->storms);
	json_put_uint(json, "machine_checks_corrected", h->checks_corrected);
	json_put_uint(json, "machine_checks_contained", h->checks_contained);
	json_close(json, '}');
	json_put_uint(json, "watchdog_seconds", host->watchdog_seconds);
	json_open_member(json, "last_boot", '{');
	json_put_string(json, "reason", api_boot_reason());
	json_put_string(json, "log", host->last_log != NULL ? host->last_log : "");
	json_close(json, '}');
	json_open_member(json, "vulnerabilities", '{');
	for (unsigned i = 0; vulnerability_name(i) != NULL; i++) {
		vulnerability_describe(i, h, &host->vulnerable, text);
		json_put_string(json, vulnerability_name(i), text);
	}
	json_close(json, '}');
}

static void write_addresses(struct json_out *json)
{
	char text[API_FINGERPRINT_BYTES] = "";

	api_fingerprint(text);
	json_put_string(json, "fingerprint", text);
	json_open_member(json, "addresses", '[');
	for (unsigned i = 0; api_address(i, text); i++)
		json_string(json, text);
	json_close(json, ']');
}

static void write_vms(struct json_out *json)
{
	struct manager_vm vm;
	unsigned running = 0, count = manager_count();

	for (unsigned i = 0; i < count; i++)
		running += manager_at(i, &vm) && vm.state == MANAGER_RUNNING;
	json_open_member(json, "vms", '{');
	json_put_uint(json, "defined", count);
	json_put_uint(json, "running", running);
	json_close(json, '}');
}

void route_get_host(struct http_exchange *x)
{
	struct json_out json = { .text = &x->body };
	struct manager_host host;

	manager_host(&host);
	json_open(&json, '{');
	write_machine(&json, &host);
	write_health(&json, &host);
	write_addresses(&json);
	write_vms(&json);
	json_close(&json, '}');
	routes_answer_json(x, 200);
}

void route_restart_driver(struct http_exchange *x)
{
	struct json_out json = { .text = &x->body };

	manager_restart_driver();
	json_open(&json, '{');
	json_put_string(&json, "state", "restarting");
	json_close(&json, '}');
	routes_answer_json(x, 202);
}

void route_compact(struct http_exchange *x)
{
	struct json_out json = { .text = &x->body };
	struct manager_error error = { 0 };
	struct manager_memory memory;
	enum manager_result result = manager_compact(&error);

	if (result != MANAGER_OK) {
		problem_answer_manager(x, result, &error);
		return;
	}
	manager_memory(&memory);
	write_compaction(&json, &memory.compaction);
	routes_answer_json(x, 202);
}

/* VMs have a minute if nothing else is asked for. */
static void end_host(struct http_exchange *x, enum manager_host_end how)
{
	struct json_out json = { .text = &x->body };
	uint64_t timeout_ns = END_SECONDS * (uint64_t)SECOND_NS;
	bool force;
	void *memory;
	const struct toml_value *body = routes_parse_body(x, &memory);

	if (routes_read_end(x, body, &timeout_ns, &force)) {
		manager_end_host(how, force ? 0 : timeout_ns);
		json_open(&json, '{');
		json_put_string(&json, "state", how == MANAGER_HOST_REBOOT ? "rebooting" : "powering-off");
		json_close(&json, '}');
		routes_answer_json(x, 202);
	}
	free(memory);
}

void route_poweroff_host(struct http_exchange *x)
{
	end_host(x, MANAGER_HOST_POWEROFF);
}

void route_reboot_host(struct http_exchange *x)
{
	end_host(x, MANAGER_HOST_REBOOT);
}

static void set_certificate(struct http_exchange *x, const struct toml_value *body)
{
	static const char *const keys[] = { "certificate", "key", NULL };
	char error[API_ERROR_BYTES] = "";
	const char *certificate, *key;

	if (!routes_check_keys(x, body, keys) || (certificate = routes_get_string(x, body, "certificate")) == NULL ||
	    (key = routes_get_string(x, body, "key")) == NULL)
		return;
	if (!api_set_certificate(certificate, key, error)) {
		problem_answer(x, 422, "certificate", "%s", error);
		return;
	}
	event_add("host.certificate", "", "set");
	http_answer(x, 204, NULL);
}

void route_put_certificate(struct http_exchange *x)
{
	void *memory;
	const struct toml_value *body = routes_parse_body(x, &memory);

	if (body != NULL)
		set_certificate(x, body);
	free(memory);
	if (x->route.input.bytes != NULL)
		memset(x->route.input.bytes, 0, x->route.input.length); /* the key */
}

void route_delete_certificate(struct http_exchange *x)
{
	api_reset_certificate();
	event_add("host.certificate", "", "self-signed");
	http_answer(x, 204, NULL);
}

void route_get_health(struct http_exchange *x)
{
	http_answer_constant(x, 200, "text/plain; charset=utf-8", "ok\n", 3);
}

void route_get_document(struct http_exchange *x)
{
	http_answer_constant(x, 200, "application/yaml", api_document, api_document_bytes);
}
