/*
 * The control VM: reads hilum.toml, brings up the driver VM and the guests, and then waits for what happens to them. One vCPU, one
 * loop; it owns no device.
 */
#include "drivers-vm/control/boot_reason.h"
#include "drivers-vm/control/control.h"
#include "drivers-vm/control/device.h"
#include "drivers-vm/control/events.h"
#include "drivers-vm/control/firmware.h"
#include "drivers-vm/control/net/https.h"
#include "drivers-vm/control/net/port_setup.h"
#include "drivers-vm/control/guard.h"
#include "drivers-vm/control/guest.h"
#include "drivers-vm/control/compact.h"
#include "drivers-vm/control/guest_memory.h"
#include "drivers-vm/control/share_scan.h"
#include "drivers-vm/control/host_health.h"
#include "drivers-vm/control/manager_private.h"
#include "drivers-vm/control/recover.h"
#include <stdlib.h>
#include <string.h>

#define READ_STATE_NS  20000000000ull /* a disk that does not answer is given up after 10 s */
#define WRITE_STATE_NS 3000000000ull  /* nor does it hold up the power-off for ever */

static struct config config;
bool control_cores_are_one_vms;

static void config_error(void *ctx, const char *message)
{
	(void)ctx;
	service_log("%s", message);
}

/* False: there is no file at all. Errors in it are told and leave out what they concern. */
static bool read_config(void)
{
	const struct module *m = module_find("hilum.toml");
	const struct config_report report = { .error = config_error };

	if (m == NULL) {
		service_log("no boot module is named 'hilum.toml': nothing to start");
		return false;
	}
	struct toml_arena arena = { .bytes = CONFIG_ARENA_BYTES(m->bytes) };
	arena.base = malloc(arena.bytes);
	if (arena.base == NULL) {
		service_log("hilum.toml: %lu bytes are too many", (unsigned long)m->bytes);
		return false;
	}
	config_read("hilum.toml", (const char *)m->data, m->bytes, &arena, &report, &config);
	return true;
}

/* What is to be written is written first. Returns if the machine does not obey. */
static void end_machine(enum manager_host_end how, const char *why)
{
	const struct channel_message flush = { .kind = CHANNEL_FLUSH };

	service_log("%s: %s", why, how == MANAGER_HOST_REBOOT ? "rebooting" : "powering off");
	boot_reason_end();
	port_wait_for_write(WRITE_STATE_NS);
	if (driver_vm != 0)
		driver_call(&flush, CHANNEL_FLUSHED, 2000000000ull);
	if (how == MANAGER_HOST_REBOOT)
		hc(HC_HOST_RESET, HILUM_HANDLE_HOST);
	firmware_power_off();
}

/* If that is due. Returns when to look again, in TSC ticks; 0: when something happens. */
static uint64_t end_machine_in_time(void)
{
	uint64_t next_ns;
	enum manager_host_end how = manager_host_end_due(&next_ns);

	if (how != MANAGER_HOST_STAYS) {
		end_machine(how, "an operator asked for it");
		manager_host_stays();
	} else if (config.on_last_guest_exit == CONFIG_LAST_EXIT_POWEROFF && next_ns == 0 && !manager_is_active()) {
		end_machine(MANAGER_HOST_POWEROFF, "no guest is left");
		config.on_last_guest_exit = CONFIG_LAST_EXIT_STAY;
	}
	return service_ns_to_tsc(next_ns);
}

/* Kernel, its tables and pool, and both service VMs: all that is taken but the boot modules. scripts/bench reads this line. */
static void tell_memory(void)
{
	const struct hilum_boot_info *info = (const struct hilum_boot_info *)HILUM_SERVICE_BOOT_INFO_GPA;
	uint64_t modules = 0;

	for (uint32_t i = 0; i < info->module_count && i < HILUM_BOOT_MODULES_MAX; i++)
		modules += (info->module[i].bytes + 4095) & ~4095ull;
	hc(HC_HOST_INFO, HILUM_HANDLE_HOST, (uintptr_t)&control_host);
	service_log("%lu KiB are Hilum's own, %lu MiB free",
	            (unsigned long)((control_host.memory_bytes - control_host.free_bytes - modules) >> 10),
	            (unsigned long)(control_host.free_bytes >> 20));
}

static void handle_events(uint64_t events)
{
	if (events & 1ull << CONTROL_EVENT_DRIVER)
		driver_poll();
	if (events & 1ull << CONTROL_EVENT_DEVICE)
		devices_report_faults();
	for (uint64_t guests = service_take_events(0, CONTROL_EVENT_GUEST / 64); guests != 0; guests &= guests - 1)
		for (uint32_t slot = (uint32_t)__builtin_ctzll(guests); slot < guest_slots(); slot += CONTROL_GUEST_EVENTS)
			guest_check_status(slot);
	guest_run_requests();
}

/* Of two deadlines; 0 is none. */
static uint64_t sooner(uint64_t a, uint64_t b)
{
	return a != 0 && (b == 0 || a < b) ? a : b;
}

/* Everything that goes on by itself. Returns when the main loop must go round again, in TSC ticks; 0: only when something happens. HTTPS
 * comes first: what operators ask for may give the others something to do. */
static uint64_t run_parts(void)
{
	uint64_t deadline = https_run();

	deadline = sooner(deadline, driver_watch());
	deadline = sooner(deadline, port_run());
	deadline = sooner(deadline, service_ns_to_tsc(guest_memory_run()));
	deadline = sooner(deadline, service_ns_to_tsc(share_run()));
	deadline = sooner(deadline, service_ns_to_tsc(compact_run()));
	deadline = sooner(deadline, host_health_poll());
	deadline = sooner(deadline, recover_watch());
	return sooner(deadline, service_ns_to_tsc(manager_poll()));
}

_Noreturn void service_start(uint32_t vcpu)
{
	(void)vcpu;
	control_idle_tsc = service_tsc();
	guard_begin();
	hc(HC_HOST_INFO, HILUM_HANDLE_HOST, (uintptr_t)&control_host);
	events_set_clock(manager_wall_clock_ns);
	bool follows = recover_begin();
	modules_init();
	firmware_init();
	bool configured = read_config();
	host_health_begin(&config);
	control_cores_are_one_vms = config.core_scheduling && hc(HC_HOST_SCHEDULE, HILUM_HANDLE_HOST, HILUM_HOST_SCHEDULE_CORES) >= 0;
	if (!recover_devices())
		devices_find(&config);
	recover_note_devices();
	bool driver = follows ? recover_host(&config) : driver_begin(&config);
	if (!follows)
		port_wait_for_state(READ_STATE_NS);
	guest_memory_begin(&config);
	share_begin(&config);
	manager_init(&config);
	https_begin(&config.api);
	if (follows) {
		recover_vms();
		guest_memory_recover();
	} else {
		recover_note_changes();
	}
	tell_memory();
	if (driver && configured && !recover_all_started()) {
		manager_start_all();
		recover_note_all_started();
	}
	for (;;) {
		uint64_t deadline = sooner(end_machine_in_time(), run_parts()), before = service_tsc();
		guard_go_on();
		guard_wait(deadline);
		control_idle_tsc += service_tsc() - before;
		handle_events(service_take_events(0, 0));
	}
}
