/* A guest that is there: it stands still and goes on, presses of its buttons, what it asks for, its crash, and another driver VM. */
#include "drivers-vm/control/gdb/gdb.h"
#include "drivers-vm/control/guest.h"
#include "drivers-vm/control/guest_memory.h"
#include "drivers-vm/control/recover.h"
#include <string.h>

#define MSI_ADDRESS    0xFEE00000ull /* destination: bits 19:12. SDM vol. 3A, "Message Signalled Interrupts" */
#define MSI_DATA_NMI   (4u << 8)
#define BALLOON_LEAVES 0x200000ull /* even of the smallest guest */
#define KILLED_MAX     2u          /* driver VMs that may die while they look at one guest's state */

static void run_all(const struct guest *g)
{
	for (uint32_t i = 0; i < g->vcpus; i++)
		if (g->plugged >> i & 1)
			hc(HC_VCPU_RUN, g->vcpu[i]);
}

static void stop_all(const struct guest *g)
{
	for (uint32_t i = 0; i < g->vcpus; i++)
		hc(HC_VCPU_PAUSE, g->vcpu[i]);
}

void guest_pause(uint32_t slot)
{
	struct guest *g = guest_at(slot);

	if (!g->made || g->paused)
		return;
	g->paused_tsc = service_tsc();
	stop_all(g);
	g->paused = true;
}

void guest_turn_back_clock(uint32_t slot, uint64_t stood_tsc)
{
	const struct guest *g = guest_at(slot);
	static struct hilum_vcpu_state state;

	for (uint32_t i = 0; i < g->vcpus; i++) {
		if (hc(HC_VCPU_GET_STATE, g->vcpu[i], (uintptr_t)&state, HILUM_STATE_MSR) < 0)
			continue;
		state.tsc_offset -= stood_tsc;
		hc(HC_VCPU_SET_STATE, g->vcpu[i], (uintptr_t)&state, HILUM_STATE_MSR);
	}
}

void guest_continue(uint32_t slot)
{
	const struct channel_message touch = { .kind = CHANNEL_GUEST_WATCHDOG, .slot = slot };
	struct guest *g = guest_at(slot);

	if (!g->made || !g->paused || g->ended)
		return;
	guest_turn_back_clock(slot, service_tsc() - g->paused_tsc);
	g->paused = false;
	run_all(g);
	if (g->config->watchdog != CONFIG_WATCHDOG_NONE && !driver_is_lost())
		driver_send(&touch);
}

void guest_preserve(uint32_t slot)
{
	struct guest *g = guest_at(slot);

	stop_all(g);
	g->ended = true;
	recover_note_slot(slot);
}

void guest_press_button(uint32_t slot)
{
	const struct channel_message m = { .kind = CHANNEL_BUTTON, .slot = slot };

	driver_send(&m);
}

void guest_inject_nmi(uint32_t slot)
{
	const struct guest *g = guest_at(slot);

	for (uint32_t i = 0; i < g->vcpus; i++)
		if (g->plugged >> i & 1)
			hc(HC_VM_INJECT_MSI, g->vm, MSI_ADDRESS | i << 12, MSI_DATA_NMI);
}

/* ---- Its balloon --------------------------------------------------------------------------------------------------------------------- */

uint64_t guest_balloon_target(const struct guest *g)
{
	uint64_t wanted = g->balloon_wanted > g->balloon_pressure ? g->balloon_wanted : g->balloon_pressure;
	uint64_t beyond = g->config->memory_bytes - g->memory_max; /* its limit */

	wanted = wanted > beyond ? wanted : beyond;
	uint64_t most = g->config->memory_bytes - BALLOON_LEAVES;

	return g->config->balloon_bytes == CONFIG_NO_BALLOON ? 0 : wanted < most ? wanted : most;
}

static void send_balloon(uint32_t slot, uint64_t before)
{
	const struct guest *g = guest_at(slot);
	const struct channel_message m = { .kind = CHANNEL_BALLOON, .slot = slot, .request.value = guest_balloon_target(g) / 4096 };

	if (!g->made)
		return;
	recover_note_slot(slot);
	if (!g->ended && guest_balloon_target(g) != before && !driver_is_lost())
		driver_send(&m); /* a driver VM to come is told when it attaches the guest */
}

bool guest_set_balloon(uint32_t slot, uint64_t bytes)
{
	struct guest *g = guest_at(slot);
	uint64_t before = guest_balloon_target(g);

	if (g->config->balloon_bytes == CONFIG_NO_BALLOON || bytes >= g->config->memory_bytes)
		return false;
	g->balloon_wanted = bytes;
	send_balloon(slot, before);
	return true;
}

void guest_set_limits(uint32_t slot, uint64_t most, uint64_t least)
{
	struct guest *g = guest_at(slot);
	uint64_t before = guest_balloon_target(g);

	g->memory_max = most;
	g->memory_min = least;
	guest_memory_limit(slot);
	send_balloon(slot, before);
}

void guest_press_balloon(uint32_t slot, uint64_t bytes)
{
	struct guest *g = guest_at(slot);
	uint64_t before = guest_balloon_target(g);

	g->balloon_pressure = bytes;
	send_balloon(slot, before);
}

/* ---- What they ask for ---------------------------------------------------------------------------------------------------------------- */

static bool some_asked; /* since guest_run_requests has looked */

void guest_request(uint32_t slot, uint64_t request, uint64_t value)
{
	struct guest *g = guest_at(slot);

	if (!g->made || g->ended)
		return;
	some_asked = true;
	g->barked |= request == CHANNEL_REQUEST_GUEST_WATCHDOG;
	if (request == CHANNEL_REQUEST_EJECT && value < HILUM_MAX_VCPUS)
		g->ejected |= 1ull << value;
	if (g->asked || request == CHANNEL_REQUEST_GUEST_WATCHDOG || request == CHANNEL_REQUEST_EJECT)
		return; /* the first one counts */
	g->asked = true;
	g->request = request;
	g->value = value;
}

void guest_run_requests(void)
{
	if (!some_asked)
		return;
	some_asked = false;
	for (uint32_t slot = 0; slot < guest_slots(); slot++) {
		struct guest *g = guest_at(slot);
		if (!g->made || g->ended)
			continue;
		for (; g->ejected != 0; g->ejected &= g->ejected - 1)
			manager_guest_ejected(slot, (uint64_t)__builtin_ctzll(g->ejected));
		bool barked = g->barked, asked = g->asked;
		g->barked = g->asked = false;
		if (!asked && barked)
			manager_guest_watchdog(slot);
		if (!asked)
			continue;
		if (g->request == CHANNEL_REQUEST_POWER_OFF)
			manager_guest_ended(slot, GUEST_POWERED_OFF, 0);
		else if (g->request == CHANNEL_REQUEST_RESET)
			manager_guest_ended(slot, GUEST_RESET, 0);
		else if (g->request == CHANNEL_REQUEST_DEBUG_EXIT)
			manager_guest_ended(slot, GUEST_DEBUG_EXIT, g->value);
	}
}

const char *control_crash(uint32_t crash)
{
	static const char *const reasons[] = {
		[HILUM_CRASH_NONE] = "unknown",
		[HILUM_CRASH_TRIPLE_FAULT] = "triple fault",
		[HILUM_CRASH_INVALID_STATE] = "invalid guest state",
		[HILUM_CRASH_NO_HANDLER] = "no handler",
		[HILUM_CRASH_UNKNOWN_EXIT] = "unknown exit",
		[HILUM_CRASH_BAD_REPLY] = "bad reply",
		[HILUM_CRASH_NO_MEMORY] = "out of memory",
		[HILUM_CRASH_MACHINE_CHECK] = "the machine has lost memory of its",
	};

	return crash < sizeof(reasons) / sizeof(reasons[0]) ? reasons[crash] : "unknown";
}

void guest_check_status(uint32_t slot)
{
	const struct guest *g = guest_at(slot);
	struct hilum_vm_status status;

	gdb_guest_check(slot);
	if (!g->made || g->ended || hc(HC_VM_STATUS, g->vm, (uintptr_t)&status) < 0)
		return;
	if (status.memory_stops != 0)
		guest_memory_waits(slot);
	if (status.state != HILUM_VM_CRASHED)
		return;
	if (status.crash == HILUM_CRASH_NO_MEMORY)
		guest_memory_tell_shortage(slot);
	if (!gdb_guest_crashed(slot, status.vcpu))
		manager_guest_ended(slot, GUEST_CRASHED, status.crash);
}

/* ---- A fresh driver VM -------------------------------------------------------------------------------------------------------------- */

/* False: it cannot go on, or the driver VM is lost again. */
static bool resume(struct guest *g, uint32_t slot)
{
	return guest_share(g, slot) && guest_devices_resume(slot) && guest_attach(g, slot, CHANNEL_VM_RESUME);
}

static void resume_or_end(struct guest *g, uint32_t slot)
{
	if (resume(g, slot))
		g->killed = 0;
	else if (!driver_is_lost() || ++g->killed == KILLED_MAX)
		manager_guest_ended(slot, GUEST_LOST, 0);
}

unsigned guest_resume_all(void)
{
	unsigned carry_on = 0;

	for (uint32_t slot = 0; slot < guest_slots() && !driver_is_lost(); slot++) {
		struct guest *g = guest_at(slot);
		if (g->made && !g->ended)
			resume_or_end(g, slot);
		else if (g->config != NULL)
			guest_devices_resume(slot);
		carry_on += g->made && !g->ended;
	}
	return carry_on;
}

/* ---- A control VM takes over ------------------------------------------------------------------------------------------------------------ */

bool guest_has_crashed(uint32_t slot)
{
	struct hilum_vm_status status;

	return hc(HC_VM_STATUS, guest_at(slot)->vm, (uintptr_t)&status) >= 0 && status.state == HILUM_VM_CRASHED;
}

void guest_recover_end(uint32_t slot)
{
	struct guest *g = guest_at(slot);
	struct hilum_vm_status status;

	if (!g->made)
		return;
	if (g->paused || g->ended) {
		stop_all(g); /* it was about to, or has already */
		for (uint32_t i = 0; i < g->vcpus; i++)
			hc(HC_VCPU_DEBUG, g->vcpu[i], 0); /* if there was a debugger, it is gone */
		return;
	}
	if (hc(HC_VM_STATUS, g->vm, (uintptr_t)&status) >= 0 && status.state == HILUM_VM_RUNNING)
		run_all(g); /* those that a half-done pause has stopped */
	some_asked |= g->asked || g->barked || g->ejected != 0;
	guest_check_status(slot);
}
