/* A VM as JSON: what it is, and its figures. */
#include "drivers-vm/control/api/routes.h"

#include "drivers-vm/control/config_json_write.h"

#include <stdio.h>

#define SECOND_NS 1000000000u

const char *vm_state_name(enum manager_state state)
{
	static const char *const names[] = {
		[MANAGER_SHUTOFF] = "shutoff", [MANAGER_RUNNING] = "running", [MANAGER_PAUSED] = "paused",
		[MANAGER_CRASHED] = "crashed", [MANAGER_WAITING] = "waiting",
	};

	return names[state];
}

const char *vm_exit_name(unsigned reason)
{
	static const char *const names[HILUM_EXIT_COUNT] = {
		[HILUM_EXIT_INTERRUPT] = "interrupt",
		[HILUM_EXIT_NMI] = "nmi",
		[HILUM_EXIT_WINDOW] = "window",
		[HILUM_EXIT_CPUID] = "cpuid",
		[HILUM_EXIT_HYPERCALL] = "hypercall",
		[HILUM_EXIT_PORT] = "port",
		[HILUM_EXIT_MMIO] = "mmio",
		[HILUM_EXIT_PAGE_FAULT] = "page_fault",
		[HILUM_EXIT_RDMSR] = "rdmsr",
		[HILUM_EXIT_WRMSR] = "wrmsr",
		[HILUM_EXIT_HALT] = "halt",
		[HILUM_EXIT_PAUSE] = "pause",
		[HILUM_EXIT_CR] = "cr",
		[HILUM_EXIT_DR] = "dr",
		[HILUM_EXIT_EXCEPTION] = "exception",
		[HILUM_EXIT_APIC] = "apic",
		[HILUM_EXIT_INVALID_OPCODE] = "invalid_opcode",
		[HILUM_EXIT_XSETBV] = "xsetbv",
		[HILUM_EXIT_CACHE] = "cache",
		[HILUM_EXIT_RDPMC] = "rdpmc",
		[HILUM_EXIT_SHUTDOWN] = "shutdown",
		[HILUM_EXIT_OTHER] = "other",
	};

	return reason < HILUM_EXIT_COUNT && names[reason] != NULL ? names[reason] : "other";
}

/* Without 128-bit division, which the service VMs' runtime does not have. */
uint64_t vm_tsc_to_ns(uint64_t ticks, uint64_t tsc_hz)
{
	if (tsc_hz == 0)
		return 0;
	return ticks / tsc_hz * SECOND_NS + (uint64_t)((ticks % tsc_hz) * 1000000u / tsc_hz) * 1000u;
}

uint64_t vm_cpu_ns(const char *name, unsigned vcpus, uint64_t tsc_hz)
{
	struct hilum_vcpu_stats stats;
	uint64_t sum = 0;

	for (unsigned i = 0; i < vcpus && manager_vcpu_stats(name, i, &stats); i++)
		sum += vm_tsc_to_ns(stats.run_tsc, tsc_hz);
	return sum;
}

#define MAC_BYTES 18u

static const char *mac_text(const uint8_t mac[6], char out[MAC_BYTES])
{
	snprintf(out, MAC_BYTES, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]);
	return out;
}

/* Of its cards in their order, given or made. */
static void write_macs(struct json_out *json, const struct config_vm *config)
{
	char text[MAC_BYTES];

	json_open_member(json, "macs", '[');
	for (unsigned i = 0; i < config->nic_count; i++)
		json_string(json, mac_text(config->nic[i].mac, text));
	json_close(json, ']');
}

static bool has_figures(const struct manager_vm *vm)
{
	return vm->state == MANAGER_RUNNING || vm->state == MANAGER_PAUSED;
}

static void write_members(struct json_out *json, const struct manager_vm *vm, const struct manager_host *host)
{
	uint64_t now = host->wall_clock_ns, started = vm->started_ns;

	json_put_string(json, "name", vm->config->name);
	json_put_string(json, "state", vm_state_name(vm->state));
	json_put_uint(json, "vcpus", vm->vcpus);
	json_put_uint(json, "memory_bytes", vm->config->memory_bytes);
	if (started != 0)
		json_put_time(json, "started", started);
	json_put_uint(json, "uptime_seconds", has_figures(vm) && started != 0 && now > started ? (now - started) / SECOND_NS : 0);
	json_put_bool(json, "change_pending", vm->change_pending);
	json_put_uint(json, "cpu_ns", vm_cpu_ns(vm->config->name, HILUM_MAX_VCPUS, host->info.tsc_hz));
}

void vm_write_summary(struct json_out *json, const struct manager_vm *vm)
{
	struct manager_host host;

	manager_host(&host);
	json_open(json, '{');
	write_members(json, vm, &host);
	json_close(json, '}');
}

static void write_vcpu(struct json_out *json, const struct hilum_vcpu_stats *stats, uint64_t tsc_hz)
{
	json_open(json, '{');
	json_put_uint(json, "run_ns", vm_tsc_to_ns(stats->run_tsc, tsc_hz));
	json_put_uint(json, "ready_ns", vm_tsc_to_ns(stats->ready_tsc, tsc_hz));
	json_put_uint(json, "capped_ns", vm_tsc_to_ns(stats->capped_tsc, tsc_hz));
	json_put_uint(json, "core", stats->core);
	json_put_uint(json, "migrations", stats->migrations);
	json_put_uint(json, "switches", stats->switches);
	json_put_uint(json, "interrupts", stats->injected);
	json_open_member(json, "exits", '{');
	for (unsigned reason = 0; reason < HILUM_EXIT_COUNT; reason++)
		if (stats->exits[reason] != 0)
			json_put_uint(json, vm_exit_name(reason), stats->exits[reason]);
	json_close(json, '}');
	json_close(json, '}');
}

static void write_vcpus(struct json_out *json, const struct config_vm *config, uint64_t tsc_hz)
{
	struct hilum_vcpu_stats stats;

	json_open_member(json, "vcpus", '[');
	for (unsigned i = 0; i < HILUM_MAX_VCPUS && manager_vcpu_stats(config->name, i, &stats); i++)
		write_vcpu(json, &stats, tsc_hz);
	json_close(json, ']');
}

static void write_memory(struct json_out *json, const struct config_vm *config)
{
	struct hilum_vm_status status = { 0 };
	struct manager_vm_memory memory = { 0 };
	bool known = manager_status(config->name, &status);

	manager_vm_memory(config->name, &memory);
	json_open_member(json, "memory", '{');
	json_put_uint(json, "bytes", known ? status.memory_bytes : config->memory_bytes);
	json_put_uint(json, "balloon_bytes", manager_balloon_bytes(config->name));
	json_put_uint(json, "balloon_target_bytes", memory.balloon_target);
	json_put_uint(json, "resident_bytes", memory.resident);
	json_put_uint(json, "max_bytes", memory.most);
	json_put_uint(json, "min_bytes", memory.least);
	json_put_uint(json, "kernel_bytes", status.kernel_bytes);
	json_put_uint(json, "table_bytes", status.table_bytes);
	json_close(json, '}');
}

static void write_disks(struct json_out *json, const struct config_vm *config)
{
	struct manager_disk_counts counts;

	json_open_member(json, "disks", '[');
	for (unsigned i = 0; i < config->disk_count && manager_disk_counts(config->name, i, &counts); i++) {
		json_open(json, '{');
		json_put_uint(json, "read_requests", counts.read_requests);
		json_put_uint(json, "read_bytes", counts.read_bytes);
		json_put_uint(json, "write_requests", counts.write_requests);
		json_put_uint(json, "write_bytes", counts.write_bytes);
		json_put_uint(json, "flush_requests", counts.flush_requests);
		json_put_uint(json, "errors", counts.errors);
		json_close(json, '}');
	}
	json_close(json, ']');
}

static void write_nics(struct json_out *json, const struct config_vm *config)
{
	struct manager_nic_counts counts;
	char mac[MAC_BYTES];

	json_open_member(json, "nics", '[');
	for (unsigned i = 0; i < config->nic_count && manager_nic_counts(config->name, i, &counts); i++) {
		json_open(json, '{');
		json_put_string(json, "mac", mac_text(config->nic[i].mac, mac));
		json_put_uint(json, "rx_packets", counts.received_frames);
		json_put_uint(json, "rx_bytes", counts.received_bytes);
		json_put_uint(json, "rx_dropped", counts.dropped);
		json_put_uint(json, "tx_packets", counts.sent_frames);
		json_put_uint(json, "tx_bytes", counts.sent_bytes);
		json_put_uint(json, "tx_refused", counts.refused);
		json_close(json, '}');
	}
	json_close(json, ']');
}

static void write_stats(struct json_out *json, const struct config_vm *config, uint64_t tsc_hz)
{
	json_open_member(json, "stats", '{');
	json_put_uint(json, "cpu_ns", vm_cpu_ns(config->name, HILUM_MAX_VCPUS, tsc_hz));
	write_vcpus(json, config, tsc_hz);
	write_memory(json, config);
	write_disks(json, config);
	write_nics(json, config);
	json_close(json, '}');
}

void vm_write(struct json_out *json, const struct manager_vm *vm)
{
	struct manager_host host;

	manager_host(&host);
	json_open(json, '{');
	write_members(json, vm, &host);
	json_put_string(json, "last_exit", vm->last_exit);
	json_put_uint(json, "starts", vm->starts);
	json_put_uint(json, "crashes", vm->crashes);
	json_put_bool(json, "from_file", vm->from_file);
	json_put_bool(json, "autostart", vm->autostart);
	json_put_bool(json, "core_kept", vm->core_kept);
	json_put_uint(json, "version", vm->version);
	write_macs(json, vm->config);
	json_key(json, "config");
	config_write_json(json, vm->config);
	if (has_figures(vm))
		write_stats(json, vm->config, host.info.tsc_hz);
	json_close(json, '}');
}
