/* A guest is made in one go or not at all, and given back in the reverse order. The slots are in this file. */
#include "drivers-vm/control/gdb/gdb.h"
#include "drivers-vm/control/compact.h"
#include "drivers-vm/control/guard.h"
#include "drivers-vm/control/guest.h"
#include "drivers-vm/control/guest_channels.h"
#include "drivers-vm/control/guest_memory.h"
#include "drivers-vm/control/share_scan.h"
#include "drivers-vm/control/guest_clock.h"
#include "drivers-vm/control/recover.h"
#include "drivers-vm/lib/platform.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DETACH_NS 30000000000ull

static struct guest *guests[CHANNEL_SLOTS]; /* NULL: the slot is free */
static uint32_t slots_begun;                /* all slots from here on are free */
static uint32_t slots_full;                 /* none before it is */
static uint32_t next_core;
static struct hilum_cpuid_entry scratch_cpuid[HILUM_CPUID_MAX];

/* Of the guest that is being made. */
static enum manager_result failed_with;
static struct manager_error failure;

struct guest *guest_at(uint32_t slot)
{
	static struct guest nobody;

	return slot < CHANNEL_SLOTS && guests[slot] != NULL ? guests[slot] : &nobody;
}

uint32_t guest_slots(void)
{
	return slots_begun;
}

bool guest_fail(const struct guest *g, enum manager_result result, const char *field, const char *format, ...)
{
	va_list args;

	failed_with = result;
	snprintf(failure.field, sizeof(failure.field), "%s", field);
	va_start(args, format);
	vsnprintf(failure.detail, sizeof(failure.detail), format, args);
	va_end(args);
	service_log("vm %s: %s", g->config->name, failure.detail);
	return false;
}

/* `failure` is there already. */
static bool refuse(const struct guest *g, enum manager_result result)
{
	failed_with = result;
	service_log("vm %s: %s%s%s", g->config->name, failure.field, failure.field[0] == '\0' ? "" : ": ", failure.detail);
	return false;
}

static bool fail(const struct guest *g, const char *what, int64_t error)
{
	return guest_fail(g, error == HILUM_E_NO_MEMORY ? MANAGER_NO_MEMORY : MANAGER_FAILED, "", "%s: %s", what, control_error(error));
}

void guest_host_cpuid(uint32_t leaf, uint32_t subleaf, uint32_t r[4])
{
	__asm__ volatile("cpuid" : "=a"(r[0]), "=b"(r[1]), "=c"(r[2]), "=d"(r[3]) : "a"(leaf), "c"(subleaf));
}

static bool map_ram(struct guest *g)
{
	const uint32_t rights = HILUM_MAP_READ | HILUM_MAP_WRITE | HILUM_MAP_EXECUTE;
	int64_t error = hc(HC_MEMORY_MAP, g->vm, g->memory, 0, 0, g->map.low_bytes, rights);

	if (error >= 0 && g->map.high_bytes != 0)
		error = hc(HC_MEMORY_MAP, g->vm, g->memory, PLATFORM_HIGH_RAM_BASE, g->map.low_bytes, g->map.high_bytes, rights);
	return error >= 0 || fail(g, "mapping its memory", error);
}

/* Where a vCPU begins: of cores that the guest is bound to, one after the other. */
static uint32_t choose_core(const struct config_vm *c)
{
	if (c->cpus == 0)
		return HILUM_CORE_ANY;
	for (uint32_t tries = 0; tries < control_host.core_count; tries++) {
		uint32_t core = next_core++ % control_host.core_count;
		if (core < 64 && (c->cpus >> core & 1))
			return core;
	}
	return HILUM_CORE_ANY;
}

bool guest_make_vcpu(struct guest *g, uint32_t index)
{
	int64_t vcpu = hc(HC_VCPU_CREATE, g->vm, index, choose_core(g->config), g->config->weight);

	if (vcpu < 0)
		return fail(g, "vCPU", vcpu);
	g->vcpu[g->vcpus++] = (hilum_handle_t)vcpu;
	return true;
}

/* A vCPU that is new may run anywhere, without limits. */
static bool is_bound(const struct config_vm *c)
{
	return c->cpus != 0 || c->cap != 0 || c->reservation != 0;
}

static bool make_vcpus(struct guest *g, uint32_t slot)
{
	for (uint32_t i = 0; i < g->config->vcpus; i++) {
		if (!guest_make_vcpu(g, i))
			return false;
		g->plugged |= 1ull << i;
	}
	enum manager_result result = is_bound(g->config) ? guest_schedule(slot, &failure) : MANAGER_OK;
	if (result != MANAGER_OK)
		return refuse(g, result);
	int64_t error = hc(HC_VCPU_SET_STATE, g->vcpu[0], (uintptr_t)&guest_scratch_state,
	                   HILUM_STATE_GPR | HILUM_STATE_SEGMENTS | HILUM_STATE_CR);
	return error >= 0 || fail(g, "its first state", error);
}

static bool make_memory(struct guest *g)
{
	const struct config_vm *c = g->config;

	if (!guest_memory_admit(g))
		return false;
	guard_rest(); /* all of it may be moved, and zeroed in one call */
	if (c->hugepages && c->prefault)
		compact_for(c->memory_bytes);
	int64_t memory = control_memory_create(c->memory_bytes, HILUM_MEMORY_MOVES | (c->prefault ? 0 : HILUM_MEMORY_LAZY) |
	                                                                (c->hugepages ? 0 : HILUM_MEMORY_4K_PAGES) |
	                                                                (c->share ? HILUM_MEMORY_SHARE : 0));
	guard_go_on();
	if (memory < 0) {
		hc(HC_HOST_INFO, HILUM_HANDLE_HOST, (uintptr_t)&control_host);
		return guest_fail(g, MANAGER_NO_MEMORY, "memory", "it wants %lu MiB of memory, %lu MiB are free",
		                  (unsigned long)(c->memory_bytes >> 20), (unsigned long)(control_host.free_bytes >> 20));
	}
	g->memory = (hilum_handle_t)memory;
	int64_t state = control_memory_create(CHANNEL_STATE_BYTES, HILUM_MEMORY_LAZY | HILUM_MEMORY_4K_PAGES);
	g->driver_ram = state < 0 ? 0 : driver_space_take(c->memory_bytes);
	g->state = state < 0 ? 0 : (hilum_handle_t)state;
	return g->driver_ram != 0 || fail(g, "its devices' state", HILUM_E_NO_MEMORY);
}

static bool make_vm(struct guest *g, uint32_t slot)
{
	const struct config_vm *c = g->config;
	struct hilum_vm_config config = { .flags = HILUM_VM_X2APIC };
	int64_t event = control_event(CONTROL_EVENT_GUEST + slot % CONTROL_GUEST_EVENTS);

	if (!guest_map_build(c->memory_bytes, &g->map))
		return fail(g, "its memory map", HILUM_E_INVALID);
	config.flags |= c->prefault && !c->share ? 0 : HILUM_VM_WAIT_MEMORY;
	config.flags |= c->profile == CONFIG_PROFILE_KVM ? HILUM_VM_KVM_LEAVES : 0;
	config.status_event = event > 0 ? (hilum_handle_t)event : 0;
	config.wall_clock_ns = driver_wall_clock_ns;
	guest_clock_build(control_host.tsc_hz, config.clock);
	snprintf(config.name, sizeof(config.name), "%s", c->name);
	int64_t vm = event < 0 ? event : hc(HC_VM_CREATE, HILUM_HANDLE_HOST, (uintptr_t)&config);
	if (event > 0)
		hc(HC_HANDLE_CLOSE, event);
	if (vm < 0)
		return fail(g, "creating it", vm);
	g->vm = (hilum_handle_t)vm;
	return true;
}

static bool create(struct guest *g, uint32_t slot, bool paused)
{
	const struct config_vm *c = g->config;

	if (!make_vm(g, slot) || !guest_channels_open(g, slot) || !make_memory(g))
		return false;
	unsigned n = cpuid_build(guest_host_cpuid, control_host.xcr0_mask, c->vcpus_max, c->profile == CONFIG_PROFILE_KVM,
	                         control_host.tsc_hz, scratch_cpuid);
	int64_t error = hc(HC_VM_SET_CPUID, g->vm, (uintptr_t)scratch_cpuid, n);
	if (error < 0)
		return fail(g, "its CPUID table", error);
	if (!guest_load(g) || !map_ram(g) || !make_vcpus(g, slot) || !guest_share(g, slot) || !guest_attach(g, slot, 0))
		return false;
	for (uint32_t i = 0; i < c->vcpus && error >= 0 && !paused; i++)
		error = hc(HC_VCPU_RUN, g->vcpu[i]);
	g->paused = paused;
	g->paused_tsc = service_tsc();
	return error >= 0 || fail(g, "starting it", error);
}

static void close(hilum_handle_t *handle)
{
	if (*handle != 0)
		hc(HC_HANDLE_CLOSE, *handle);
	*handle = 0;
}

void guest_unmake(uint32_t slot)
{
	struct channel_message m = { .kind = CHANNEL_DETACH, .slot = slot };
	struct guest *g = guest_at(slot);
	const struct config_vm *config = g->config;
	hilum_handle_t record = g->record;

	g->made = false;
	recover_note_slot(slot); /* what is left of it after a crash from here on is nobody's */
	gdb_guest_gone(slot);
	g->made = false;
	share_slot_changed(slot);
	for (uint32_t i = 0; i < HILUM_MAX_VCPUS; i++)
		if (g->vcpu[i] != 0)
			hc(HC_VCPU_PAUSE, g->vcpu[i]);
	if (g->driver_ram != 0) {
		driver_call(&m, CHANNEL_DETACHED, DETACH_NS); /* one that does not answer is restarted */
		guest_unshare(g, slot);
		driver_space_give(g->driver_ram);
	}
	for (uint32_t i = 0; i < HILUM_MAX_VCPUS; i++)
		close(&g->vcpu[i]);
	if (g->vm != 0)
		hc(HC_VM_DESTROY, g->vm);
	close(&g->memory);
	close(&g->state);
	memset(g, 0, sizeof(*g));
	g->config = config;
	g->record = record;
}

/* What it costs the kernel; scripts/bench reads this line. */
static void tell_cost(const struct guest *g)
{
	struct hilum_vm_status status;

	if (hc(HC_VM_STATUS, g->vm, (uintptr_t)&status) >= 0)
		service_log("vm %s: %lu KiB in the kernel, %lu KiB of nested tables", g->config->name,
		            (unsigned long)(status.kernel_bytes >> 10), (unsigned long)(status.table_bytes >> 10));
}

/* Its limits and its balloon are as its definition has them. */
static void reset_memory(struct guest *g)
{
	const struct config_vm *c = g->config;

	g->memory_max = c->memory_max;
	g->memory_min = c->memory_min;
	g->balloon_pressure = 0;
	g->balloon_wanted = c->balloon_bytes == CONFIG_NO_BALLOON ? 0 : c->balloon_bytes;
}

enum manager_result guest_make(uint32_t slot, bool paused, struct manager_error *error)
{
	struct guest *g = guest_at(slot);

	failed_with = MANAGER_FAILED;
	memset(&failure, 0, sizeof(failure));
	reset_memory(g);
	recover_note_making((int)slot);
	g->made = create(g, slot, paused);
	recover_note_making(-1);
	if (g->made) {
		share_slot_changed(slot);
		guest_memory_limit(slot);
		tell_cost(g);
		return MANAGER_OK;
	}
	guest_unmake(slot);
	*error = failure;
	return failed_with;
}

int guest_take(const struct config_vm *config, hilum_handle_t record)
{
	while (slots_full < CHANNEL_SLOTS && guests[slots_full] != NULL)
		slots_full++;
	struct guest *g = slots_full < CHANNEL_SLOTS ? calloc(1, sizeof(*g)) : NULL;
	if (g == NULL) {
		service_log("vm %s: there is no room for more than %u VMs", config->name, slots_full);
		return -1;
	}
	g->config = config;
	g->record = record;
	guests[slots_full] = g;
	if (slots_full >= slots_begun)
		slots_begun = slots_full + 1;
	return (int)slots_full;
}

void guest_leave(uint32_t slot)
{
	guest_unmake(slot);
	guest_devices_free(slot);
	guest_channels_free(slot);
	free(guests[slot]);
	guests[slot] = NULL;
	if (slot < slots_full)
		slots_full = slot;
	while (slots_begun != 0 && guests[slots_begun - 1] == NULL)
		slots_begun--;
}

/* ---- A control VM takes over ------------------------------------------------------------------------------------------------------------ */

static bool is_whole(const struct guest *g)
{
	bool whole = g->made && recover_has(g->vm, HILUM_OBJECT_VM) && recover_has(g->memory, HILUM_OBJECT_MEMORY) &&
	             recover_has(g->state, HILUM_OBJECT_MEMORY);

	for (uint32_t i = 0; i < HILUM_MAX_VCPUS; i++)
		whole &= i < g->vcpus ? recover_has(g->vcpu[i], HILUM_OBJECT_VCPU) : g->vcpu[i] == 0;
	return whole && driver_space_claim(g->driver_ram, g->config->memory_bytes);
}

bool guest_recover(uint32_t slot, const struct guest *kept, const struct config_vm *config, hilum_handle_t record)
{
	struct guest *g = guests[slot] == NULL ? calloc(1, sizeof(*g)) : NULL;

	if (g == NULL)
		runtime_abort("no memory for a guest that is there");
	guests[slot] = g;
	slots_begun = slot < slots_begun ? slots_begun : slot + 1;
	memcpy(g, kept, sizeof(*g));
	g->config = config;
	g->made = recover_bool(&kept->made);
	g->ended = recover_bool(&kept->ended);
	g->paused = recover_bool(&kept->paused);
	g->asked = recover_bool(&kept->asked);
	g->barked = recover_bool(&kept->barked);
	g->vcpus = kept->vcpus <= HILUM_MAX_VCPUS ? kept->vcpus : 0;
	if (!is_whole(g)) {
		*g = (struct guest){ .config = config, .record = record };
		return false;
	}
	g->record = record;
	g->ram = NULL;
	recover_claim(g->vm, HILUM_OBJECT_VM);
	recover_claim(g->memory, HILUM_OBJECT_MEMORY);
	recover_claim(g->state, HILUM_OBJECT_MEMORY);
	for (uint32_t i = 0; i < g->vcpus; i++)
		recover_claim(g->vcpu[i], HILUM_OBJECT_VCPU);
	return true;
}
