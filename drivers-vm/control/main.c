/*
 * The control VM: reads hilum.toml, brings up the driver VM and the guests, and then waits for what happens to them. One vCPU, one
 * loop; it owns no device.
 */
#include "drivers-vm/control/control.h"
#include "drivers-vm/control/device.h"
#include "drivers-vm/control/s5.h"
#include <stdlib.h>
#include <string.h>

static struct config config;

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

/* Soft-off values of the firmware, or 5, which most use, where the DSDT names none. */
static uint32_t soft_off_type(void)
{
	const struct hilum_boot_info *info = (const struct hilum_boot_info *)HILUM_SERVICE_BOOT_INFO_GPA;
	struct s5 s5 = { 5, 5 };

	if (info->acpi_bytes != 0 && !s5_find((const uint8_t *)HILUM_SERVICE_ACPI_GPA, info->acpi_bytes, &s5))
		service_log("the firmware's \\_S5_ is not to be found: trying type 5");
	return s5.slp_typ_a | (uint32_t)s5.slp_typ_b << 8;
}

static void power_off(uint32_t soft_off)
{
	const struct channel_message flush = { .kind = CHANNEL_FLUSH };

	service_log("no guest is left: powering off");
	if (driver_vm != 0)
		driver_call(&flush, CHANNEL_FLUSHED, 2000000000ull);
	int64_t error = hc(HC_HOST_POWER, HILUM_HANDLE_HOST, HILUM_POWER_OFF, soft_off);
	service_log("this machine cannot be powered off: %s", control_error(error));
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

static void start_guests(void)
{
	unsigned started = 0;

	for (unsigned i = 0; i < config.vm_count; i++)
		started += guest_start(&config.vm[i]);
	if (started == 0)
		service_log("no VM was started");
}

static void handle_events(uint64_t events)
{
	if (events & 1ull << CONTROL_EVENT_DRIVER)
		driver_poll();
	if (events & 1ull << CONTROL_EVENT_DEVICE)
		devices_report_faults();
	for (unsigned slot = 0; slot < CHANNEL_SLOTS; slot++)
		if (events >> (CONTROL_EVENT_GUEST + slot) & 1)
			guest_check_status(slot);
	guest_run_requests();
}

_Noreturn void service_start(uint32_t vcpu)
{
	(void)vcpu;
	hc(HC_HOST_INFO, HILUM_HANDLE_HOST, (uintptr_t)&control_host);
	modules_init();
	uint32_t soft_off = soft_off_type();
	bool configured = read_config();
	devices_find(&config);
	bool driver = driver_begin(&config);
	tell_memory();
	if (driver && configured)
		start_guests();
	for (;;) {
		struct hypercall_trap none;
		if (guest_count() == 0 && config.on_last_guest_exit == CONFIG_LAST_EXIT_POWEROFF) {
			power_off(soft_off);
			config.on_last_guest_exit = CONFIG_LAST_EXIT_STAY;
		}
		hypercall_wait(0, driver_watch(), &none);
		handle_events(service_take_events(0, 0));
	}
}
