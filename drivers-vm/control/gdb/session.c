/*
 * Debuggers and the VMs that they have: the stub's view of a guest by hypercalls. The guest's RAM is mapped here for as long as the
 * debugger is there, which is the one time that the control VM reads what a guest wrote: page tables, by guest_walk, and code.
 */
#include "drivers-vm/control/gdb/gdb.h"

#include "drivers-vm/control/api/platform.h"
#include "drivers-vm/control/gdb/probe.h"
#include "drivers-vm/control/gdb/registers.h"
#include "drivers-vm/control/gdb/stub.h"
#include "drivers-vm/control/guest.h"
#include "drivers-vm/control/places.h"
#include "drivers-vm/lib/platform.h"

#include <stdio.h>
#include <stdlib.h>

#define GIB         (1ull << 30)
#define CPUID_XSAVE (1u << 26)
#define XSTATE_BV   512u /* in an XSAVE area */
#define XSTATE_BOTH 3u   /* x87 and SSE */

struct session {
	uint32_t slot;
	bool over;    /* the VM is gone, and `stub` reaches nothing any more */
	bool crashed; /* its end waits */
	uint64_t ram; /* where its memory is here */
	uint64_t bytes;
	uint64_t moving;    /* vCPUs that run, by bit */
	uint64_t stood_tsc; /* since when none does */
	struct gdb_stub stub;
};

static struct session *sessions[GDB_SESSIONS_MAX];

/* ---- The VM, for the stub ------------------------------------------------------------------------------------------------ */

static const struct guest *guest_of(const struct session *s)
{
	return guest_at(s->slot);
}

static bool has_xsave(void)
{
	uint32_t r[4];

	guest_host_cpuid(1, 0, r);
	return r[2] & CPUID_XSAVE;
}

static bool get_state(void *opaque, unsigned vcpu, struct hilum_vcpu_state *out)
{
	if (hc(HC_VCPU_GET_STATE, guest_of(opaque)->vcpu[vcpu], (uintptr_t)out, GDB_STATE_GROUPS) < 0)
		return false;
	if (!has_xsave())
		out->xsave[XSTATE_BV] = XSTATE_BOTH; /* an FXSAVE image is always in use */
	return true;
}

static bool set_state(void *opaque, unsigned vcpu, const struct hilum_vcpu_state *state, uint32_t mask)
{
	static struct hilum_vcpu_state set;

	set = *state;
	if (!has_xsave())
		set.xsave[XSTATE_BV] = 0;
	return hc(HC_VCPU_SET_STATE, guest_of(opaque)->vcpu[vcpu], (uintptr_t)&set, mask) >= 0;
}

static void pause_vcpu(void *opaque, unsigned vcpu)
{
	struct session *s = opaque;

	hc(HC_VCPU_PAUSE, guest_of(s)->vcpu[vcpu]);
	if (s->moving != 0 && (s->moving &= ~(1ull << vcpu)) == 0)
		s->stood_tsc = service_tsc();
}

/* Time begins to pass for the guest where it stood. */
static void run_vcpu(void *opaque, unsigned vcpu)
{
	struct session *s = opaque;

	if (s->moving == 0)
		guest_turn_back_clock(s->slot, service_tsc() - s->stood_tsc);
	s->moving |= 1ull << vcpu;
	hc(HC_VCPU_RUN, guest_of(s)->vcpu[vcpu]);
}

static int64_t set_debug(void *opaque, unsigned vcpu, uint64_t stops)
{
	return hc(HC_VCPU_DEBUG, guest_of(opaque)->vcpu[vcpu], stops);
}

static uint64_t stops_of(void *opaque)
{
	static struct hilum_vm_status status;

	return hc(HC_VM_STATUS, guest_of(opaque)->vm, (uintptr_t)&status) >= 0 ? status.debug_stops : 0;
}

static bool has_debug_registers(void *opaque)
{
	(void)opaque;
	return gdb_probe_says_yes();
}

static uint8_t *ram_at(void *opaque, uint64_t gpa, size_t bytes)
{
	const struct session *s = opaque;
	const struct guest_map *map = &guest_of(s)->map;

	if (gpa < map->low_bytes && bytes <= map->low_bytes - gpa)
		return (uint8_t *)(s->ram + gpa);
	if (gpa >= PLATFORM_HIGH_RAM_BASE && gpa - PLATFORM_HIGH_RAM_BASE < map->high_bytes &&
	    bytes <= map->high_bytes - (gpa - PLATFORM_HIGH_RAM_BASE))
		return (uint8_t *)(s->ram + map->low_bytes + (gpa - PLATFORM_HIGH_RAM_BASE));
	return NULL;
}

/* ---- Sessions ------------------------------------------------------------------------------------------------ */

static struct session *of_slot(uint32_t slot)
{
	for (unsigned i = 0; i < GDB_SESSIONS_MAX; i++)
		if (sessions[i] != NULL && !sessions[i]->over && sessions[i]->slot == slot)
			return sessions[i];
	return NULL;
}

static struct session *at(int number)
{
	return number >= 0 && number < (int)GDB_SESSIONS_MAX ? sessions[number] : NULL;
}

/* Addresses for `bytes` that no other session has; 0: there are none. */
static uint64_t place_for(uint64_t bytes)
{
	uint64_t place = PLACES_DEBUGGED;

	for (unsigned i = 0; i < GDB_SESSIONS_MAX; i++) {
		const struct session *s = sessions[i];
		if (s == NULL || s->over || s->ram >= place + bytes || s->ram + s->bytes <= place)
			continue;
		place = (s->ram + s->bytes + GIB - 1) & ~(GIB - 1);
		i = (unsigned)-1; /* those before may be in the way of the new place */
	}
	return place + bytes <= PLACES_DEBUGGED_LIMIT ? place : 0;
}

static bool map_ram(struct session *s)
{
	const struct guest *g = guest_of(s);

	s->bytes = g->config->memory_bytes;
	s->ram = place_for(s->bytes);
	if (s->ram == 0 || hc(HC_MEMORY_MAP, HILUM_HANDLE_SELF, g->memory, s->ram, 0, s->bytes, HILUM_MAP_READ | HILUM_MAP_WRITE) < 0)
		return false;
	if (service_map_memory(s->ram, s->bytes))
		return true;
	hc(HC_MEMORY_UNMAP, HILUM_HANDLE_SELF, s->ram, s->bytes);
	return false;
}

/* The VM is as if there had been no debugger, or is gone. */
static void let_go(struct session *s)
{
	bool crashed = s->crashed;

	if (s->over)
		return;
	gdb_stub_close(&s->stub);
	hc(HC_MEMORY_UNMAP, HILUM_HANDLE_SELF, s->ram, s->bytes);
	s->over = true;
	manager_debug_end(s->slot);
	if (crashed)
		guest_check_status(s->slot);
}

static void begin(struct session *s, bool ended)
{
	struct gdb_target target = {
		.opaque = s,
		.vcpus = guest_of(s)->vcpus,
		.get_state = get_state,
		.set_state = set_state,
		.pause = pause_vcpu,
		.run = run_vcpu,
		.set_debug = set_debug,
		.stops = stops_of,
		.has_debug_registers = has_debug_registers,
		.ram = ram_at,
	};
	struct guest *g = guest_at(s->slot);
	uint32_t r[4];

	guest_host_cpuid(0x80000008, 0, r);
	target.physical_bits = r[0] & 0xFF;
	s->stood_tsc = g->paused ? g->paused_tsc : service_tsc();
	g->paused = false; /* the debugger lets it go on */
	gdb_probe_start();
	gdb_stub_open(&s->stub, &target);
	if (ended)
		gdb_stub_crash(&s->stub, 0);
	service_log("vm %s: a debugger has it", g->config->name);
}

static int refuse(struct session *s, int number, char error[API_ERROR_BYTES], const char *why)
{
	snprintf(error, API_ERROR_BYTES, "%s", why);
	sessions[number] = NULL;
	free(s);
	return -1;
}

int api_gdb_open(const char *vm, char error[API_ERROR_BYTES])
{
	struct manager_error why = { "", "" };
	bool ended;
	int number = 0;

	while (number < (int)GDB_SESSIONS_MAX && sessions[number] != NULL)
		number++;
	struct session *s = number < (int)GDB_SESSIONS_MAX ? calloc(1, sizeof(*s)) : NULL;
	if (s == NULL) {
		snprintf(error, API_ERROR_BYTES, "there is no room for another debugger");
		return -1;
	}
	if (manager_debug_begin(vm, &s->slot, &ended, &why) != MANAGER_OK)
		return refuse(s, number, error, why.detail);
	if (!map_ram(s)) {
		manager_debug_end(s->slot);
		return refuse(s, number, error, "the control VM has no room for its memory");
	}
	sessions[number] = s;
	begin(s, ended);
	return number;
}

size_t api_gdb_receive(int session, const void *bytes, size_t count)
{
	struct session *s = at(session);

	if (s != NULL && !s->over)
		gdb_stub_receive(&s->stub, bytes, count);
	if (s != NULL && gdb_stub_is_done(&s->stub))
		let_go(s);
	return count;
}

size_t api_gdb_send(int session, void *to, size_t size)
{
	struct session *s = at(session);

	return s != NULL ? gdb_stub_poll(&s->stub, to, size) : 0;
}

bool api_gdb_is_open(int session)
{
	struct session *s = at(session);

	return s != NULL && !s->over;
}

void api_gdb_close(int session)
{
	struct session *s = at(session);

	if (s == NULL)
		return;
	let_go(s);
	sessions[session] = NULL;
	free(s);
}

/* ---- What the guest's life tells ------------------------------------------------------------------------------------------------ */

void gdb_guest_check(uint32_t slot)
{
	struct session *s = of_slot(slot);

	if (s != NULL)
		gdb_stub_check(&s->stub);
}

bool gdb_guest_crashed(uint32_t slot, uint32_t vcpu)
{
	struct session *s = of_slot(slot);

	if (s == NULL)
		return false;
	if (!s->crashed)
		gdb_stub_crash(&s->stub, vcpu);
	s->crashed = true;
	return true;
}

void gdb_guest_gone(uint32_t slot)
{
	struct session *s = of_slot(slot);

	if (s == NULL)
		return;
	s->crashed = false; /* its end is under way */
	gdb_stub_end(&s->stub);
	let_go(s);
}
