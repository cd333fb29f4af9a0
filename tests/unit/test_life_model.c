/*
 * The life of VMs against a model of it: commands, ends, watchdogs, time, core files and driver VMs that come and go, in any order. The
 * manager and what makes guests are the real ones, over a kernel that counts. After each step every VM is in the model's state; in the
 * end every frame, handle, object and mapping is accounted for. docs/life.md has the table that the model follows.
 *
 * UNIT_SOURCES: drivers-vm/control/manager.c drivers-vm/control/manager_life.c drivers-vm/control/manager_core.c
 * UNIT_SOURCES: drivers-vm/control/manager_change.c drivers-vm/control/manager_end.c
 * UNIT_SOURCES: drivers-vm/control/guest.c drivers-vm/control/guest_life.c drivers-vm/control/guest_vcpus.c
 * UNIT_SOURCES: drivers-vm/control/guest_schedule.c
 * UNIT_SOURCES: drivers-vm/control/guest_share.c drivers-vm/control/guest_map.c drivers-vm/control/guest_clock.c
 * UNIT_SOURCES: drivers-vm/control/coredump/coredump.c drivers-vm/control/coredump/elf.c drivers-vm/control/coredump/walk.c
 * UNIT_SOURCES: drivers-vm/control/cpuid_build.c drivers-vm/control/driver_space.c drivers-vm/control/events.c
 * UNIT_SOURCES: tests/unit/fake_life/kernel.c
 * UNIT_FLAGS: -iquote tests/unit/fake_control -Itests/unit -Itests/unit/fake_life
 */
#include "cmocka_all.h"

#include "kernel.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "drivers-vm/control/guest.h"
#include "drivers-vm/control/manager_private.h"

#define STEPS    10000u
#define VMS      6u
#define SECOND   1000000000ull
#define HOUR     (3600 * SECOND)
#define INTENT   (300 * SECOND)
#define LONG     (60 * SECOND) /* a life after which a crash is the first one again */
#define IN_A_ROW 3u

/* ---- The model ----------------------------------------------------------------------------------------------------------------------- */

enum life { OFF, RUNS, PAUSED, CRASHED, WAITS, PAUSED_KEPT, CRASHED_KEPT };

struct policies {
	enum config_action on[3]; /* power-off, reset, crash */
	enum config_on_watchdog watchdog;
	bool autostart;
};

struct model {
	bool defined, core, forces;
	enum life life;
	struct policies now, next; /* of the definition that it runs with, and of its next start */
	enum manager_intent intent;
	unsigned crashes, starts;
	uint64_t made, intent_end, core_taken;
};

static struct model models[VMS];
static unsigned order[VMS], defined; /* in the order of their definition */
static unsigned failures;            /* as kernel_failures, */
static bool driver_dies;             /* and kernel_driver_dies */
static bool driver_gone;

static bool has_slot(const struct model *m)
{
	return m->life != OFF && m->life != CRASHED;
}

static bool drop_oldest(void)
{
	struct model *oldest = NULL;

	for (unsigned i = 0; i < defined; i++) {
		struct model *m = &models[order[i]];
		if (m->core && (oldest == NULL || m->core_taken < oldest->core_taken))
			oldest = m;
	}
	if (oldest != NULL)
		oldest->core = false;
	return oldest != NULL;
}

/* True: it runs, or will. */
static bool start(struct model *m, enum life down)
{
	m->now = m->next;
	m->intent = MANAGER_INTENT_NONE;
	m->life = WAITS;
	while (!driver_gone && failures != 0) {
		failures--;
		if (drop_oldest())
			continue;
		m->life = down;
		return false;
	}
	if (!driver_gone && driver_dies) {
		driver_dies = false;
		driver_gone = true;
	}
	if (driver_gone)
		return true;
	m->life = RUNS;
	m->made = kernel_now_ns;
	m->starts++;
	return true;
}

static void end(struct model *m, enum config_action action, bool crash)
{
	enum life down = crash ? CRASHED : OFF;

	if (action == CONFIG_ACTION_COREDUMP_DESTROY || action == CONFIG_ACTION_COREDUMP_RESTART) {
		m->core = true;
		m->core_taken = kernel_now_ns;
	}
	m->intent = MANAGER_INTENT_NONE;
	if (action == CONFIG_ACTION_PRESERVE)
		m->life = crash ? CRASHED_KEPT : PAUSED_KEPT;
	else if (action == CONFIG_ACTION_RESTART || action == CONFIG_ACTION_COREDUMP_RESTART)
		start(m, down);
	else
		m->life = down;
}

static enum config_action intended(const struct model *m, enum config_action otherwise)
{
	return m->intent == MANAGER_INTENT_OFF     ? CONFIG_ACTION_DESTROY
	       : m->intent == MANAGER_INTENT_AGAIN ? CONFIG_ACTION_RESTART
	                                           : otherwise;
}

static enum config_action after_crash(struct model *m)
{
	enum config_action action = m->now.on[2];
	bool dumps = action == CONFIG_ACTION_COREDUMP_RESTART;

	m->crashes = kernel_now_ns - m->made > LONG ? 1 : m->crashes + 1;
	if ((action == CONFIG_ACTION_RESTART || dumps) && (m->crashes > IN_A_ROW || m->intent == MANAGER_INTENT_OFF))
		return dumps ? CONFIG_ACTION_COREDUMP_DESTROY : CONFIG_ACTION_DESTROY;
	return action;
}

/* ---- Both ------------------------------------------------------------------------------------------------------------------------------ */

static struct manager_error error;

static const char *name_of(unsigned i)
{
	static const char *const names[VMS] = { "a", "b", "c", "d", "e", "f" };

	return names[i];
}

static unsigned any(unsigned below)
{
	return (unsigned)rand() % below;
}

static void fail_next(unsigned times, bool dies)
{
	failures = kernel_failures = times;
	driver_dies = kernel_driver_dies = dies;
}

static void step_define(unsigned i)
{
	struct manager_definition *d = calloc(1, sizeof(*d));
	struct model *m = &models[i];
	bool created;

	snprintf(d->config.name, sizeof(d->config.name), "%s", name_of(i));
	d->arena = malloc(8);
	d->config.kernel = memcpy(d->arena, "k", 2);
	d->config.cmdline = "";
	d->config.memory_bytes = (1 + any(3)) * 0x200000ull;
	d->config.vcpus = 1;
	d->config.vcpus_max = 4;
	d->config.weight = 256;
	d->config.balloon_bytes = CONFIG_NO_BALLOON;
	d->config.watchdog = CONFIG_WATCHDOG_WDAT;
	for (unsigned k = 0; k < 3; k++)
		m->next.on[k] = (enum config_action)any(5);
	m->next.watchdog = (enum config_on_watchdog)any(5);
	m->next.autostart = any(2);
	d->config.on_poweroff = m->next.on[0];
	d->config.on_reboot = m->next.on[1];
	d->config.on_crash = m->next.on[2];
	d->config.on_watchdog = m->next.watchdog;
	d->config.autostart = m->next.autostart ? CONFIG_AUTOSTART_YES : CONFIG_AUTOSTART_NO;
	assert_int_equal(manager_define(d, &created, &error), MANAGER_OK);
	assert_int_equal(created, !m->defined);
	if (created) {
		*m = (struct model){ .defined = true, .next = m->next };
		order[defined++] = i;
	}
}

static void step_undefine(unsigned i)
{
	struct model *m = &models[i];
	bool can = m->defined && (m->life == OFF || m->life == CRASHED || m->life == CRASHED_KEPT);
	unsigned place = 0;

	assert_int_equal(manager_undefine(name_of(i), &error) == MANAGER_OK, can);
	if (!can)
		return;
	while (order[place] != i)
		place++;
	memmove(&order[place], &order[place + 1], (--defined - place) * sizeof(order[0]));
	*m = (struct model){ .defined = false };
}

static bool allowed(const struct model *m, enum manager_action action)
{
	static const unsigned may[] = {
		[OFF] = 1u << MANAGER_BOOT,
		[RUNS] = 1u << MANAGER_POWER_BUTTON | 1u << MANAGER_SHUTDOWN | 1u << MANAGER_DESTROY | 1u << MANAGER_REBOOT |
		         1u << MANAGER_RESET | 1u << MANAGER_PAUSE | 1u << MANAGER_NMI,
		[PAUSED] = 1u << MANAGER_DESTROY | 1u << MANAGER_RESET | 1u << MANAGER_RESUME,
		[CRASHED] = 1u << MANAGER_BOOT,
		[WAITS] = 1u << MANAGER_DESTROY,
		[PAUSED_KEPT] = 1u << MANAGER_DESTROY | 1u << MANAGER_RESET,
		[CRASHED_KEPT] = 1u << MANAGER_BOOT | 1u << MANAGER_DESTROY | 1u << MANAGER_RESET,
	};

	return m->defined && (may[m->life] >> action & 1);
}

static bool act(struct model *m, enum manager_action action, uint64_t timeout)
{
	switch (action) {
	case MANAGER_BOOT:
		m->core = false;
		return start(m, OFF);
	case MANAGER_DESTROY:
		end(m, CONFIG_ACTION_DESTROY, false);
		return true;
	case MANAGER_RESET:
		end(m, CONFIG_ACTION_RESTART, false);
		return m->life == RUNS || m->life == WAITS;
	case MANAGER_PAUSE:
	case MANAGER_RESUME:
		m->life = action == MANAGER_PAUSE ? PAUSED : RUNS;
		return true;
	case MANAGER_SHUTDOWN:
	case MANAGER_REBOOT:
		m->intent = action == MANAGER_SHUTDOWN ? MANAGER_INTENT_OFF : MANAGER_INTENT_AGAIN;
		m->forces = timeout != 0;
		m->intent_end = kernel_now_ns + (timeout != 0 ? timeout : INTENT);
		return true;
	default:
		return true;
	}
}

static void step_act(unsigned i)
{
	enum manager_action action = (enum manager_action)any(MANAGER_NMI + 1);
	uint64_t timeout = any(3) * SECOND;
	bool can = allowed(&models[i], action);
	bool wanted = can && act(&models[i], action, timeout);

	assert_int_equal(manager_act(name_of(i), action, timeout, &error) == MANAGER_OK, wanted);
}

/* What the guest does by itself; while it stands still only what it asked for before. */
static void step_end(unsigned i)
{
	static const uint64_t requests[] = { CHANNEL_REQUEST_POWER_OFF, CHANNEL_REQUEST_RESET, CHANNEL_REQUEST_DEBUG_EXIT };
	struct model *m = &models[i];
	unsigned how = any(4);

	if (!m->defined || (m->life != RUNS && m->life != PAUSED))
		return;
	uint32_t slot = (uint32_t)manager_slot(name_of(i));
	if (how == 3) {
		enum config_action action = after_crash(m);
		end(m, action, true);
		kernel_crash(slot);
		guest_check_status(slot);
		return;
	}
	end(m, how == 2 ? (m->intent == MANAGER_INTENT_AGAIN ? CONFIG_ACTION_RESTART : CONFIG_ACTION_DESTROY) : intended(m, m->now.on[how]),
	    false);
	guest_request(slot, requests[how], 0);
	guest_run_requests();
}

static void step_watchdog(unsigned i)
{
	struct model *m = &models[i];

	if (!m->defined || !has_slot(m) || m->life == WAITS)
		return;
	guest_request((uint32_t)manager_slot(name_of(i)), CHANNEL_REQUEST_GUEST_WATCHDOG, 0);
	if (m->life == RUNS && m->now.watchdog == CONFIG_ON_WATCHDOG_RESET)
		end(m, intended(m, CONFIG_ACTION_RESTART), false);
	else if (m->life == RUNS && m->now.watchdog == CONFIG_ON_WATCHDOG_POWEROFF)
		end(m, intended(m, CONFIG_ACTION_DESTROY), false);
	else if (m->life == RUNS && m->now.watchdog == CONFIG_ON_WATCHDOG_PAUSE)
		m->life = PAUSED;
	guest_run_requests();
}

static void step_time(void)
{
	kernel_now_ns += any(20) == 0 ? any(2) * HOUR : any(40) * SECOND;
	for (unsigned i = 0; i < defined; i++) {
		struct model *m = &models[order[i]];
		if (m->core && kernel_now_ns - m->core_taken >= HOUR)
			m->core = false;
	}
	for (unsigned i = 0; i < defined; i++) {
		struct model *m = &models[order[i]];
		if (m->intent == MANAGER_INTENT_NONE || kernel_now_ns < m->intent_end)
			continue;
		enum config_action action = intended(m, CONFIG_ACTION_DESTROY);
		m->intent = MANAGER_INTENT_NONE;
		if (m->forces)
			end(m, action, false);
	}
	manager_poll();
}

static void step_driver(void)
{
	if (!driver_gone) {
		driver_gone = true;
		kernel_end_driver();
		return;
	}
	driver_gone = kernel_driver_gone = false;
	for (unsigned i = 0; i < defined && !driver_gone; i++)
		if (models[order[i]].life == WAITS)
			start(&models[order[i]], OFF);
	guest_resume_all();
	manager_driver_is_back();
}

static void step_start_all(void)
{
	for (unsigned i = 0; i < defined; i++) {
		struct model *m = &models[order[i]];
		if (m->next.autostart && m->starts == 0 && m->life == OFF)
			start(m, OFF);
	}
	manager_start_all();
}

static void step_vcpus(unsigned i)
{
	struct model *m = &models[i];
	bool can = m->defined && (m->life == RUNS || m->life == PAUSED);
	unsigned count = 1 + any(4);
	struct manager_vm vm;

	assert_int_equal(manager_set_vcpus(name_of(i), count, &error) == MANAGER_OK, can);
	if (!can)
		return;
	assert_true(manager_find(name_of(i), &vm) && vm.vcpus >= count);
	for (unsigned n = any(3); n != 0; n--) /* it lets go of what it was asked for, and of other things */
		guest_request((uint32_t)manager_slot(name_of(i)), CHANNEL_REQUEST_EJECT, any(6));
	guest_run_requests();
	assert_true(manager_find(name_of(i), &vm) && vm.vcpus >= 1 && vm.vcpus <= 4);
}

static void step_core(unsigned i)
{
	struct model *m = &models[i];
	bool can = m->defined && (m->core || m->life == PAUSED || m->life == PAUSED_KEPT || m->life == CRASHED_KEPT), failed = false;
	static uint8_t piece[0x20000];
	uint64_t bytes, read = 0;
	int session = manager_core_open(name_of(i), &bytes, &error);

	assert_int_equal(session >= 0, can);
	if (!can)
		return;
	bool whole = any(2);
	size_t n;
	while ((n = manager_core_read(session, piece, sizeof(piece), &failed)) != 0 && (whole || read < sizeof(piece)))
		read += n;
	assert_false(failed);
	assert_true(!whole || read == bytes);
	manager_core_close(session, whole);
	m->core &= !whole;
}

/* ---- What must hold ------------------------------------------------------------------------------------------------------------------- */

static void check(unsigned i)
{
	static const enum manager_state states[] = {
		[OFF] = MANAGER_SHUTOFF,   [RUNS] = MANAGER_RUNNING,       [PAUSED] = MANAGER_PAUSED,        [CRASHED] = MANAGER_CRASHED,
		[WAITS] = MANAGER_WAITING, [PAUSED_KEPT] = MANAGER_PAUSED, [CRASHED_KEPT] = MANAGER_CRASHED,
	};
	const struct model *m = &models[i];
	struct manager_vm vm;

	assert_int_equal(manager_find(name_of(i), &vm), m->defined);
	if (!m->defined)
		return;
	assert_int_equal(vm.state, states[m->life]);
	assert_int_equal(vm.core_kept, m->core);
	assert_int_equal(vm.starts, m->starts);
	const struct manager_entry *e = manager_entry_find(name_of(i));
	assert_int_equal(e->preserved, m->life == PAUSED_KEPT || m->life == CRASHED_KEPT);
	assert_int_equal(e->slot >= 0, has_slot(m));
	if (has_slot(m) && m->life != WAITS)
		assert_int_equal(kernel_runs((uint32_t)e->slot), m->life == RUNS);
}

static void step(void)
{
	unsigned i = any(VMS);

	fail_next(any(12) == 0 ? 1 + any(2) : 0, any(15) == 0);
	switch (any(16)) {
	case 0:
		step_define(i);
		break;
	case 1:
		if (any(3) == 0)
			step_undefine(i);
		break;
	case 2:
	case 3:
		step_end(i);
		break;
	case 4:
		step_watchdog(i);
		break;
	case 5:
		step_time();
		break;
	case 6:
		step_driver();
		break;
	case 7:
		step_vcpus(i);
		break;
	case 8:
		step_core(i);
		break;
	case 9:
		step_start_all();
		break;
	default:
		step_act(i);
	}
	for (unsigned k = 0; k < VMS; k++)
		check(k);
}

static void everything_goes(void)
{
	fail_next(0, false);
	for (unsigned i = 0; i < VMS; i++) {
		manager_act(name_of(i), MANAGER_DESTROY, 0, &error);
		manager_undefine(name_of(i), &error);
		models[i] = (struct model){ .defined = false };
	}
	defined = 0;
	kernel_end_driver(); /* what is its own is not a guest's */
	driver_gone = kernel_driver_gone = false;
}

static void all_of_it__ten_thousand_random_steps__as_the_model_and_nothing_is_left(void **state)
{
	(void)state;
	assert_true(service_map_memory(0, 0));
	for (unsigned seed = 1; seed <= 3; seed++) {
		srand(seed);
		for (unsigned i = 0; i < STEPS; i++)
			step();
		everything_goes();
		assert_int_equal(manager_count(), 0);
		struct kernel_counts left = kernel_count();
		assert_int_equal(left.handles, 0);
		assert_int_equal(left.objects, 0);
		assert_int_equal(left.mappings, 0);
		assert_int_equal(left.driver_handles, 0);
		assert_int_equal(left.frames, 0);
		assert_int_equal(driver_space_take(1), CHANNEL_RAM_GPA); /* nor is any of the driver VM's addresses taken */
		driver_space_give(CHANNEL_RAM_GPA);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_of_it__ten_thousand_random_steps__as_the_model_and_nothing_is_left),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
