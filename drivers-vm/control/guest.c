/*
 * The guests' life: made from boot modules as hilum.toml says, watched, ended by policy. A guest's end is told in one line, which
 * scripts read: "vm NAME ended: HOW".
 */
#include "drivers-vm/control/acpi_build.h"
#include "drivers-vm/control/control.h"
#include "drivers-vm/control/guest_clock.h"
#include "drivers-vm/control/loader.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What the driver VM may take; a disk that hangs is given up in less. */
#define ATTACH_NS 30000000000ull
#define DETACH_NS 30000000000ull

struct guest {
	const struct config_vm *config; /* NULL: free slot */
	bool running;
	bool waiting; /* to be started, for a driver VM */
	unsigned killed; /* driver VMs have died of its state, one after the other */
	hilum_handle_t vm, memory, state;
	hilum_handle_t vcpu[HILUM_MAX_VCPUS];
	struct guest_map map;
	uint64_t driver_ram; /* where its RAM is in the driver VM */
	uint8_t *ram;        /* while it is being loaded */
	unsigned crashes;    /* since it last ran for a while */
	uint64_t started_tsc;
	bool asked; /* by the driver VM: request and value wait for guest_run_requests */
	uint64_t request, value;
};

static struct guest guests[CHANNEL_SLOTS];
static uint32_t next_core;

static struct hilum_vcpu_state scratch_state;
static struct hilum_cpuid_entry scratch_cpuid[HILUM_CPUID_MAX];

static bool fail(const struct guest *g, const char *what, int64_t error)
{
	service_log("vm %s: %s: %s", g->config->name, what, control_error(error));
	return false;
}

unsigned guest_count(void)
{
	unsigned n = 0;

	for (unsigned i = 0; i < CHANNEL_SLOTS; i++)
		n += guests[i].config != NULL && (guests[i].running || guests[i].waiting);
	return n;
}

/* ---- Making one ----------------------------------------------------------------------------------------------------------------- */

static void host_cpuid(uint32_t leaf, uint32_t subleaf, uint32_t r[4])
{
	__asm__ volatile("cpuid" : "=a"(r[0]), "=b"(r[1]), "=c"(r[2]), "=d"(r[3]) : "a"(leaf), "c"(subleaf));
}

static void *guest_ram(void *ctx, uint64_t gpa, size_t bytes)
{
	struct guest *g = ctx;

	if (!guest_map_is_ram(&g->map, gpa, bytes) && !(gpa >= PLATFORM_ACPI_BASE && gpa + bytes <= PLATFORM_ACPI_LIMIT))
		return NULL;
	return g->ram + (gpa < PLATFORM_HIGH_RAM_BASE ? gpa : gpa - PLATFORM_HIGH_RAM_BASE + g->map.low_bytes);
}

static bool map_ram(struct guest *g)
{
	const uint32_t rights = HILUM_MAP_READ | HILUM_MAP_WRITE | HILUM_MAP_EXECUTE;
	int64_t error = hc(HC_MEMORY_MAP, g->vm, g->memory, 0, 0, g->map.low_bytes, rights);

	if (error >= 0 && g->map.high_bytes != 0)
		error = hc(HC_MEMORY_MAP, g->vm, g->memory, PLATFORM_HIGH_RAM_BASE, g->map.low_bytes, g->map.high_bytes, rights);
	return error >= 0 || fail(g, "mapping its memory", error);
}

static void segment_in(struct hilum_segment *to, const struct load_segment *from)
{
	*to = (struct hilum_segment){ from->base, from->limit, from->selector, from->attributes };
}

static void state_of(const struct load_vcpu *v, struct hilum_vcpu_state *s)
{
	memset(s, 0, sizeof(*s));
	s->gpr[0] = v->rax;
	s->gpr[3] = v->rbx;
	s->gpr[4] = v->rsp;
	s->gpr[6] = v->rsi;
	s->gpr[7] = v->rdi;
	s->rip = v->rip;
	s->rflags = v->rflags;
	segment_in(&s->cs, &v->cs);
	segment_in(&s->ds, &v->data);
	s->es = s->fs = s->gs = s->ss = s->ds;
	segment_in(&s->tr, &v->tr);
	s->ldtr = (struct hilum_segment){ .attributes = 0x82 };
	s->gdtr_base = v->gdt_base;
	s->gdtr_limit = v->gdt_limit;
	s->cr0 = v->cr0;
	s->cr3 = v->cr3;
	s->cr4 = v->cr4;
	s->efer = v->efer;
	s->xcr0 = 1;
}

/*
 * What a real-mode jump to F000:FFF0 finds, where a PC has its firmware's start: the write to RESET_REG. Linux restarts so on
 * hardware-reduced ACPI without EFI.
 */
#define RESET_VECTOR_GPA 0xFFFF0ull
static const uint8_t reset_code[] = {
	0xBA, PLATFORM_RESET_PORT & 0xFF, PLATFORM_RESET_PORT >> 8, /* mov dx, RESET_REG */
	0xB0, PLATFORM_RESET_VALUE,                                 /* mov al, RESET_VALUE */
	0xEE,                                                       /* out dx, al */
	0xF4, 0xEB, 0xFD,                                           /* hlt; jmp to it */
};

static bool load_image(struct guest *g)
{
	const struct config_vm *c = g->config;
	const struct module *kernel = module_find(c->kernel);
	const struct module *initrd = c->initrd != NULL ? module_find(c->initrd) : NULL;
	struct load_result result;

	if (kernel == NULL || (c->initrd != NULL && initrd == NULL)) {
		service_log("vm %s: no boot module is named '%s'", c->name, kernel == NULL ? c->kernel : c->initrd);
		return false;
	}
	struct load_request request = {
		.kernel_name = kernel->name, .kernel = kernel->data, .kernel_bytes = kernel->bytes,
		.initrd_name = initrd != NULL ? initrd->name : NULL,
		.initrd = initrd != NULL ? initrd->data : NULL, .initrd_bytes = initrd != NULL ? initrd->bytes : 0,
		.cmdline = c->cmdline, .acpi_rsdp = ACPI_BUILD_RSDP_GPA, .map = &g->map, .ram = guest_ram, .ctx = g,
	};
	if (loader_load(&request, &result) != LOAD_OK) {
		service_log("vm %s: %s", c->name, result.message);
		return false;
	}
	const struct acpi_platform platform = { .vcpus = c->vcpus, .serial = c->serial };
	if (acpi_build_tables(&platform, guest_ram(g, PLATFORM_ACPI_BASE, ACPI_BUILD_BYTES_MAX), ACPI_BUILD_BYTES_MAX) == 0) {
		service_log("vm %s: its ACPI tables do not fit", c->name);
		return false;
	}
	memcpy(guest_ram(g, RESET_VECTOR_GPA, sizeof(reset_code)), reset_code, sizeof(reset_code));
	state_of(&result.vcpu, &scratch_state);
	service_log("vm %s: %s, %u vCPU%s, %lu MiB", c->name, loader_format_name(result.format), c->vcpus,
		    c->vcpus == 1 ? "" : "s", (unsigned long)(c->memory_bytes >> 20));
	return true;
}

static bool load_guest(struct guest *g)
{
	if (!control_map_here(g->memory, g->config->memory_bytes, &g->ram))
		return fail(g, "mapping its memory", HILUM_E_NO_MEMORY);
	bool loaded = load_image(g);
	control_unmap_here(g->ram, g->config->memory_bytes);
	g->ram = NULL;
	return loaded;
}

static uint32_t choose_core(const struct config_vm *c)
{
	for (uint32_t tries = 0; tries < control_host.core_count; tries++) {
		uint32_t core = next_core++ % control_host.core_count;
		if (c->cpus == 0 || (core < 64 && (c->cpus >> core & 1)))
			return core;
	}
	return 0;
}

static bool make_vcpus(struct guest *g)
{
	for (uint32_t i = 0; i < g->config->vcpus; i++) {
		int64_t vcpu = hc(HC_VCPU_CREATE, g->vm, i, choose_core(g->config), g->config->weight);
		if (vcpu < 0)
			return fail(g, "vCPU", vcpu);
		g->vcpu[i] = (hilum_handle_t)vcpu;
	}
	int64_t error = hc(HC_VCPU_SET_STATE, g->vcpu[0], (uintptr_t)&scratch_state,
			   HILUM_STATE_GPR | HILUM_STATE_SEGMENTS | HILUM_STATE_CR);
	return error >= 0 || fail(g, "its first state", error);
}

static uint64_t trap_page(uint32_t slot, uint32_t vcpu)
{
	return CHANNEL_TRAP_GPA + slot * CHANNEL_TRAP_STRIDE + vcpu * 4096ull;
}

static uint64_t state_place(uint32_t slot)
{
	return CHANNEL_STATE_GPA + slot * CHANNEL_STATE_BYTES;
}

static bool share_trap_pages(const struct guest *g, uint32_t slot)
{
	for (uint32_t i = 0; i < g->config->vcpus; i++) {
		int64_t page = hc(HC_VCPU_TRAP_MEMORY, g->vcpu[i]);
		int64_t error = page < 0 ? page : driver_map((hilum_handle_t)page, trap_page(slot, i), 4096);
		if (page >= 0)
			hc(HC_HANDLE_CLOSE, page);
		if (error < 0)
			return fail(g, "its trap page", error);
	}
	return true;
}

/* The driver VM's view of the guest: RAM, trap pages, and the state that outlives the driver VM. */
static bool share(const struct guest *g, uint32_t slot)
{
	int64_t error = driver_map(g->memory, g->driver_ram, g->config->memory_bytes);

	if (error >= 0)
		error = driver_map(g->state, state_place(slot), CHANNEL_STATE_BYTES);
	if (error < 0)
		return fail(g, "giving its memory to the driver VM", error);
	return share_trap_pages(g, slot);
}

static void unshare(const struct guest *g, uint32_t slot)
{
	driver_unmap(g->driver_ram, g->config->memory_bytes);
	driver_unmap(state_place(slot), CHANNEL_STATE_BYTES);
	for (uint32_t i = 0; i < g->config->vcpus; i++)
		driver_unmap(trap_page(slot, i), 4096);
}

static bool attach(struct guest *g, uint32_t slot, uint32_t flags)
{
	const struct config_vm *c = g->config;
	struct channel_message m = { .kind = CHANNEL_ATTACH, .slot = slot };

	int64_t vm = hc(HC_HANDLE_GRANT, driver_vm, g->vm, HILUM_RIGHT_SIGNAL | HILUM_RIGHT_BIND);
	if (vm < 0)
		return fail(g, "giving its handle to the driver VM", vm);
	snprintf(m.attach.name, sizeof(m.attach.name), "%s", c->name);
	int64_t doorbell = hc(HC_EVENT_CREATE, driver_vm, 0, CHANNEL_EVENT_DOORBELL + slot, 0);
	if (doorbell < 0)
		return fail(g, "its doorbell", doorbell);
	m.attach.doorbell_event = (uint32_t)hc(HC_HANDLE_GRANT, driver_vm, doorbell, HILUM_RIGHT_SIGNAL);
	hc(HC_HANDLE_CLOSE, doorbell);
	m.attach.vm_handle = (uint32_t)vm;
	m.attach.vcpus = c->vcpus;
	m.attach.ram_gpa = g->driver_ram;
	m.attach.low_bytes = g->map.low_bytes;
	m.attach.high_bytes = g->map.high_bytes;
	m.attach.serial = c->serial;
	m.attach.console = c->console == CONFIG_CONSOLE_VIRTIO ? CHANNEL_CONSOLE_VIRTIO : 0;
	m.attach.debug_exit = c->debug_exit;
	m.attach.debug_crash = c->debug_crash;
	m.attach.flags = flags | (c->packed ? CHANNEL_VM_PACKED : 0) | (c->rng ? CHANNEL_VM_RNG : 0) |
			 (c->balloon_bytes != CONFIG_NO_BALLOON ? CHANNEL_VM_BALLOON : 0);
	m.attach.balloon_pages = (uint32_t)(c->balloon_bytes / 4096);
	uint32_t r[4];
	host_cpuid(0x80000008, 0, r);
	m.attach.physical_bits = r[0] & 0xFF;
	if (!guest_devices_send(c, slot))
		return false;
	if (!driver_call(&m, CHANNEL_ATTACHED, ATTACH_NS)) {
		service_log("vm %s: the driver VM does not make its devices", c->name);
		return false;
	}
	return true;
}

static bool create(struct guest *g, uint32_t slot)
{
	const struct config_vm *c = g->config;
	struct hilum_vm_config config = { .flags = HILUM_VM_X2APIC };
	int64_t event = control_event(CONTROL_EVENT_GUEST + slot);

	if (!guest_map_build(c->memory_bytes, &g->map))
		return fail(g, "its memory map", HILUM_E_INVALID);
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
	int64_t memory = control_memory_create(c->memory_bytes, (c->prefault ? 0 : HILUM_MEMORY_LAZY) |
								   (c->hugepages ? 0 : HILUM_MEMORY_4K_PAGES));
	if (memory < 0) {
		hc(HC_HOST_INFO, HILUM_HANDLE_HOST, (uintptr_t)&control_host);
		service_log("vm %s: it wants %lu MiB of memory, %lu MiB are free", c->name, (unsigned long)(c->memory_bytes >> 20),
			    (unsigned long)(control_host.free_bytes >> 20));
		return false;
	}
	g->memory = (hilum_handle_t)memory;
	int64_t state = control_memory_create(CHANNEL_STATE_BYTES, HILUM_MEMORY_LAZY | HILUM_MEMORY_4K_PAGES);
	g->driver_ram = state < 0 ? 0 : driver_space_take(c->memory_bytes);
	g->state = state < 0 ? 0 : (hilum_handle_t)state;
	if (g->driver_ram == 0)
		return fail(g, "its devices' state", HILUM_E_NO_MEMORY);
	unsigned n = cpuid_build(host_cpuid, c->vcpus, c->profile == CONFIG_PROFILE_KVM, control_host.tsc_hz, scratch_cpuid);
	int64_t error = hc(HC_VM_SET_CPUID, g->vm, (uintptr_t)scratch_cpuid, n);
	if (error < 0)
		return fail(g, "its CPUID table", error);
	if (!load_guest(g) || !map_ram(g) || !make_vcpus(g) || !share(g, slot) || !attach(g, slot, 0))
		return false;
	error = hc(HC_VM_SET_HANDLER, g->vm, driver_vm, slot);
	for (uint32_t i = 0; i < c->vcpus && error >= 0; i++)
		error = hc(HC_VCPU_RUN, g->vcpu[i]);
	return error >= 0 || fail(g, "starting it", error);
}

/* Undo whatever of create() was done. */
static void destroy(struct guest *g, uint32_t slot)
{
	struct channel_message m = { .kind = CHANNEL_DETACH, .slot = slot };

	for (uint32_t i = 0; i < HILUM_MAX_VCPUS; i++)
		if (g->vcpu[i] != 0)
			hc(HC_VCPU_PAUSE, g->vcpu[i]);
	if (g->driver_ram != 0) {
		driver_call(&m, CHANNEL_DETACHED, DETACH_NS); /* one that does not answer is restarted */
		unshare(g, slot);
		driver_space_give(g->driver_ram);
	}
	for (uint32_t i = 0; i < HILUM_MAX_VCPUS; i++)
		if (g->vcpu[i] != 0)
			hc(HC_HANDLE_CLOSE, g->vcpu[i]);
	if (g->vm != 0)
		hc(HC_VM_DESTROY, g->vm);
	if (g->memory != 0)
		hc(HC_HANDLE_CLOSE, g->memory);
	if (g->state != 0)
		hc(HC_HANDLE_CLOSE, g->state);
	const struct config_vm *config = g->config;
	unsigned crashes = g->crashes;
	memset(g, 0, sizeof(*g));
	g->config = config;
	g->crashes = crashes;
}

/* What it costs the kernel; scripts/bench reads this line. */
static void tell_cost(const struct guest *g)
{
	struct hilum_vm_status status;

	if (hc(HC_VM_STATUS, g->vm, (uintptr_t)&status) >= 0)
		service_log("vm %s: %lu KiB in the kernel, %lu KiB of nested tables", g->config->name,
			    (unsigned long)(status.kernel_bytes >> 10), (unsigned long)(status.table_bytes >> 10));
}

/* True: it runs, or will as soon as there is a driver VM again. */
static bool start_in(struct guest *g, uint32_t slot)
{
	g->running = create(g, slot);
	g->started_tsc = service_tsc();
	if (g->running) {
		tell_cost(g);
		return true;
	}
	destroy(g, slot);
	g->waiting = driver_is_lost();
	return g->waiting;
}

static void leave(struct guest *g, uint32_t slot)
{
	guest_devices_free(slot);
	g->config = NULL;
}

bool guest_start(const struct config_vm *config)
{
	for (uint32_t slot = 0; slot < CHANNEL_SLOTS; slot++) {
		struct guest *g = &guests[slot];
		if (g->config != NULL)
			continue;
		g->config = config;
		if (start_in(g, slot))
			return true;
		leave(g, slot);
		return false;
	}
	service_log("vm %s: there is no room for more than %u VMs", config->name, CHANNEL_SLOTS);
	return false;
}

/* ---- Its end -------------------------------------------------------------------------------------------------------------------- */

static void end(struct guest *g, uint32_t slot, enum config_action action, const char *how)
{
	if (!g->running)
		return;
	g->running = false;
	service_log("vm %s ended: %s", g->config->name, how);
	if (action == CONFIG_ACTION_PRESERVE) {
		for (uint32_t i = 0; i < g->config->vcpus; i++)
			hc(HC_VCPU_PAUSE, g->vcpu[i]);
		return;
	}
	destroy(g, slot);
	if (action == CONFIG_ACTION_RESTART && start_in(g, slot))
		return;
	leave(g, slot);
}

/* ---- A fresh driver VM -------------------------------------------------------------------------------------------------------------- */

#define KILLED_MAX 2u /* driver VMs that may die while they look at one guest's state */

/* False: it cannot go on, or the driver VM is lost again. */
static bool resume(struct guest *g, uint32_t slot)
{
	if (!share(g, slot) || !guest_devices_resume(slot) || !attach(g, slot, CHANNEL_VM_RESUME))
		return false;
	int64_t error = hc(HC_VM_SET_HANDLER, g->vm, driver_vm, slot);
	return error >= 0 || fail(g, "its driver VM", error);
}

static void resume_or_end(struct guest *g, uint32_t slot)
{
	if (resume(g, slot)) {
		g->killed = 0;
	} else if (!driver_is_lost() || ++g->killed == KILLED_MAX) {
		end(g, slot, g->config->on_crash, "crash (its devices' state is of no use)");
	}
}

static void start_waiting(struct guest *g, uint32_t slot)
{
	g->waiting = false;
	if (!guest_devices_resume(slot) || !start_in(g, slot))
		leave(g, slot);
}

unsigned guest_resume_all(void)
{
	unsigned carry_on = 0;

	for (uint32_t slot = 0; slot < CHANNEL_SLOTS && !driver_is_lost(); slot++) {
		struct guest *g = &guests[slot];
		if (g->config != NULL && g->running)
			resume_or_end(g, slot);
		else if (g->config != NULL && g->waiting)
			start_waiting(g, slot);
		carry_on += g->config != NULL && g->running;
	}
	return carry_on;
}

/* ---- What they ask for ---------------------------------------------------------------------------------------------------------------- */

void guest_request(uint32_t slot, uint64_t request, uint64_t value)
{
	struct guest *g = &guests[slot];

	if (g->asked || !g->running)
		return; /* the first one counts */
	g->asked = true;
	g->request = request;
	g->value = value;
}

static void run_request(struct guest *g, uint32_t slot)
{
	char how[40];

	g->asked = false;
	switch (g->request) {
	case CHANNEL_REQUEST_POWER_OFF:
		end(g, slot, g->config->on_poweroff, "poweroff");
		break;
	case CHANNEL_REQUEST_RESET:
		end(g, slot, g->config->on_reboot, "reset");
		break;
	case CHANNEL_REQUEST_DEBUG_EXIT:
		snprintf(how, sizeof(how), "debug-exit %lu", (unsigned long)g->value);
		end(g, slot, CONFIG_ACTION_DESTROY, how);
		break;
	default:
		break;
	}
}

void guest_run_requests(void)
{
	for (uint32_t slot = 0; slot < CHANNEL_SLOTS; slot++)
		if (guests[slot].config != NULL && guests[slot].asked)
			run_request(&guests[slot], slot);
}

const char *control_crash(uint32_t crash)
{
	static const char *const reasons[] = {
		[HILUM_CRASH_NONE] = "unknown", [HILUM_CRASH_TRIPLE_FAULT] = "triple fault",
		[HILUM_CRASH_INVALID_STATE] = "invalid guest state", [HILUM_CRASH_NO_HANDLER] = "no handler",
		[HILUM_CRASH_UNKNOWN_EXIT] = "unknown exit", [HILUM_CRASH_BAD_REPLY] = "bad reply",
		[HILUM_CRASH_NO_MEMORY] = "out of memory",
	};

	return crash < sizeof(reasons) / sizeof(reasons[0]) ? reasons[crash] : "unknown";
}

void guest_check_status(uint32_t slot)
{
	struct guest *g = &guests[slot];
	struct hilum_vm_status status;
	char how[64];

	if (g->config == NULL || !g->running || hc(HC_VM_STATUS, g->vm, (uintptr_t)&status) < 0)
		return;
	if (status.state != HILUM_VM_CRASHED)
		return;
	/* One that crashes as soon as it is started again would never do anything else. */
	uint64_t ran_ns = service_tsc_to_ns(service_tsc() - g->started_tsc);
	g->crashes = ran_ns > 60000000000ull ? 1 : g->crashes + 1;
	enum config_action action = g->config->on_crash;
	if (action == CONFIG_ACTION_RESTART && g->crashes > 3) {
		service_log("vm %s: it crashed %u times in a row and is not started again", g->config->name, g->crashes);
		action = CONFIG_ACTION_DESTROY;
	}
	snprintf(how, sizeof(how), "crash (%s)",
		 control_crash(status.crash));
	end(g, slot, action, how);
}
