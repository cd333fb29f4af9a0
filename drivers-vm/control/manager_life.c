/*
 * The state machine of a VM's life: manager.h has the table. Ends come from the guest, from an operator, or with the driver VM; each is
 * told in one line, which scripts read: "vm NAME ended: HOW".
 */
#include "drivers-vm/control/events.h"
#include "drivers-vm/control/guest.h"
#include "drivers-vm/control/manager_private.h"
#include <stdio.h>
#include <string.h>

#define CRASHES_IN_ROW 3u                    /* may be followed by a start */
#define LONG_LIFE_NS   60000000000ull        /* after which a crash is the first one again */
#define INTENT_NS      (300 * 1000000000ull) /* a guest that powers off later does so for reasons of its own */

static const char *name_of(const struct manager_entry *e)
{
	return e->defined->config.name;
}

static const struct config_vm *config_of(const struct manager_entry *e)
{
	return &e->taken->config;
}

/* ---- Starts -------------------------------------------------------------------------------------------------------------------------- */

static enum manager_result take(struct manager_entry *e, struct manager_error *error)
{
	if (e->taken != e->defined)
		manager_entry_leave(e);
	if (e->slot >= 0)
		return MANAGER_OK;
	if (!console_open(&e->console, e->place))
		return manager_refuse(error, MANAGER_NO_MEMORY, "", "there is no memory for its console");
	int slot = guest_take(&e->defined->config, e->console.memory);
	if (slot < 0)
		return manager_refuse(error, MANAGER_FULL, "", "%u VMs run, as many as can", guest_slots());
	manager_entry_set_slot(e, slot);
	e->taken = e->defined;
	return MANAGER_OK;
}

static void wait_for_driver(struct manager_entry *e)
{
	e->state = MANAGER_WAITING;
	event_add("vm.waiting", name_of(e), "for the driver VM");
}

/* If it fails the VM is down, in state `down`. */
static enum manager_result start(struct manager_entry *e, enum manager_state down, struct manager_error *error)
{
	enum manager_result result = take(e, error);

	e->intent = MANAGER_INTENT_NONE;
	e->preserved = false;
	if (result == MANAGER_OK && driver_is_lost()) {
		wait_for_driver(e);
		return MANAGER_OK;
	}
	if (result == MANAGER_OK)
		result = guest_make((uint32_t)e->slot, e->debugged, error);
	while (result == MANAGER_NO_MEMORY && e->slot >= 0 && manager_core_drop_oldest()) /* the living come first */
		result = guest_make((uint32_t)e->slot, e->debugged, error);
	if (result == MANAGER_OK) {
		e->moves++;
		e->state = MANAGER_RUNNING;
		e->started_ns = manager_wall_clock_ns();
		e->made_ns = manager_clock_ns();
		e->starts++;
		event_add("vm.started", name_of(e), "%s", "");
		return MANAGER_OK;
	}
	if (e->slot >= 0 && driver_is_lost()) {
		wait_for_driver(e);
		return MANAGER_OK;
	}
	manager_entry_leave(e);
	e->state = down;
	event_add("vm.failed", name_of(e), "%s", error->detail);
	return result;
}

void manager_start_all(void)
{
	struct manager_error error;
	struct manager_entry *e;
	unsigned started = 0;

	for (unsigned i = 0; (e = manager_entry_at(i)) != NULL; i++)
		started += manager_entry_starts(e) && e->starts == 0 && e->state == MANAGER_SHUTOFF &&
		           start(e, MANAGER_SHUTOFF, &error) == MANAGER_OK;
	if (started == 0)
		service_log("no VM was started");
}

void manager_driver_is_back(void)
{
	struct manager_error error;
	struct manager_entry *e;

	for (unsigned i = 0; (e = manager_entry_at(i)) != NULL && !driver_is_lost(); i++)
		if (e->state == MANAGER_WAITING)
			start(e, MANAGER_SHUTOFF, &error);
}

/* ---- Ends ---------------------------------------------------------------------------------------------------------------------------- */

static void tell_end(struct manager_entry *e, bool crash, const char *how)
{
	snprintf(e->last_exit, sizeof(e->last_exit), "%s", how);
	service_log("vm %s ended: %s", name_of(e), how);
	event_add(crash ? "vm.crashed" : "vm.stopped", name_of(e), "%s", how);
}

static void end(struct manager_entry *e, enum config_action action, bool crash)
{
	enum manager_state down = crash ? MANAGER_CRASHED : MANAGER_SHUTOFF;
	struct manager_error error;

	if (action == CONFIG_ACTION_COREDUMP_DESTROY || action == CONFIG_ACTION_COREDUMP_RESTART) {
		guest_preserve((uint32_t)e->slot);
		manager_core_take(e);
	}
	switch (action) {
	case CONFIG_ACTION_PRESERVE:
		e->preserved = true;
		e->intent = MANAGER_INTENT_NONE;
		e->state = crash ? MANAGER_CRASHED : MANAGER_PAUSED;
		guest_preserve((uint32_t)e->slot);
		break;
	case CONFIG_ACTION_RESTART:
	case CONFIG_ACTION_COREDUMP_RESTART:
		e->state = MANAGER_WAITING; /* a control VM that takes over here starts it */
		guest_unmake((uint32_t)e->slot);
		start(e, down, &error);
		break;
	case CONFIG_ACTION_DESTROY:
	case CONFIG_ACTION_COREDUMP_DESTROY:
		e->state = down;
		manager_entry_leave(e);
		break;
	}
}

/* One that crashes as soon as it is started again would never do anything else. */
static enum config_action after_crash(struct manager_entry *e)
{
	enum config_action action = config_of(e)->on_crash;
	bool dumps = action == CONFIG_ACTION_COREDUMP_RESTART;
	enum config_action given_up = dumps ? CONFIG_ACTION_COREDUMP_DESTROY : CONFIG_ACTION_DESTROY;

	e->crashes++;
	e->crashes_in_row = manager_clock_ns() - e->made_ns > LONG_LIFE_NS ? 1 : e->crashes_in_row + 1;
	if (action != CONFIG_ACTION_RESTART && !dumps)
		return action;
	if (e->crashes_in_row > CRASHES_IN_ROW) {
		service_log("vm %s: it crashed %u times in a row and is not started again", name_of(e), e->crashes_in_row);
		return given_up;
	}
	return e->intent == MANAGER_INTENT_OFF ? given_up : action;
}

static void pause(struct manager_entry *e)
{
	guest_pause((uint32_t)e->slot);
	e->state = MANAGER_PAUSED;
	event_add("vm.paused", name_of(e), "%s", "");
}

static enum config_action by_intent(const struct manager_entry *e, enum config_action otherwise)
{
	switch (e->intent) {
	case MANAGER_INTENT_OFF:
		return CONFIG_ACTION_DESTROY;
	case MANAGER_INTENT_AGAIN:
		return CONFIG_ACTION_RESTART;
	default:
		return otherwise;
	}
}

void manager_guest_ended(uint32_t slot, enum guest_end how, uint64_t value)
{
	struct manager_entry *e = manager_entry_of_slot(slot);
	bool crash = how == GUEST_CRASHED || how == GUEST_LOST;
	enum config_action action = CONFIG_ACTION_DESTROY;
	char text[64];

	if (e == NULL || e->preserved || e->state == MANAGER_WAITING)
		return;
	switch (how) {
	case GUEST_POWERED_OFF:
		snprintf(text, sizeof(text), "poweroff");
		action = by_intent(e, config_of(e)->on_poweroff);
		break;
	case GUEST_RESET:
		snprintf(text, sizeof(text), "reset");
		action = by_intent(e, config_of(e)->on_reboot);
		break;
	case GUEST_DEBUG_EXIT:
		snprintf(text, sizeof(text), "debug-exit %lu", (unsigned long)value);
		action = e->intent == MANAGER_INTENT_AGAIN ? CONFIG_ACTION_RESTART : CONFIG_ACTION_DESTROY;
		break;
	case GUEST_CRASHED:
		snprintf(text, sizeof(text), "crash (%s)", control_crash((uint32_t)value));
		break;
	case GUEST_LOST:
		snprintf(text, sizeof(text), "crash (its devices' state is of no use)");
		break;
	}
	if (crash)
		action = after_crash(e);
	tell_end(e, crash, text);
	end(e, action, crash);
}

void manager_guest_watchdog(uint32_t slot)
{
	static const char *const words[] = {
		[CONFIG_ON_WATCHDOG_RESET] = "reset", [CONFIG_ON_WATCHDOG_POWEROFF] = "poweroff",
		[CONFIG_ON_WATCHDOG_PAUSE] = "pause", [CONFIG_ON_WATCHDOG_INJECT_NMI] = "inject-nmi",
		[CONFIG_ON_WATCHDOG_NONE] = "none",
	};
	struct manager_entry *e = manager_entry_of_slot(slot);

	/* One that stands still cannot touch it. */
	if (e == NULL || e->preserved || e->debugged || e->state != MANAGER_RUNNING)
		return;
	enum config_on_watchdog action = config_of(e)->on_watchdog;
	service_log("vm %s: its watchdog was not touched in time", name_of(e));
	event_add("vm.watchdog", name_of(e), "%s", words[action]);
	switch (action) {
	case CONFIG_ON_WATCHDOG_RESET:
	case CONFIG_ON_WATCHDOG_POWEROFF:
		tell_end(e, false, "watchdog");
		end(e, by_intent(e, action == CONFIG_ON_WATCHDOG_RESET ? CONFIG_ACTION_RESTART : CONFIG_ACTION_DESTROY), false);
		break;
	case CONFIG_ON_WATCHDOG_PAUSE:
		pause(e);
		break;
	case CONFIG_ON_WATCHDOG_INJECT_NMI:
		guest_inject_nmi(slot);
		break;
	case CONFIG_ON_WATCHDOG_NONE:
		break;
	}
}

/* By an operator. */
static void pull_plug(struct manager_entry *e, const char *how, enum config_action action)
{
	if (e->state == MANAGER_WAITING || e->preserved) /* its end was told, or it had not begun */
		event_add("vm.stopped", name_of(e), "%s", how);
	else
		tell_end(e, false, how);
	end(e, action, false);
}

/* ---- What operators ask for --------------------------------------------------------------------------------------------------------- */

enum manager_result manager_conflict(const struct manager_entry *e, struct manager_error *error)
{
	static const char *const states[] = {
		[MANAGER_SHUTOFF] = "it is shut off",
		[MANAGER_RUNNING] = "it runs",
		[MANAGER_PAUSED] = "it is paused",
		[MANAGER_CRASHED] = "it has crashed",
		[MANAGER_WAITING] = "it waits for the driver VM",
	};

	return manager_refuse(error, MANAGER_CONFLICT, "", "%s",
	                      e->preserved && e->state == MANAGER_PAUSED ? "it has ended, and is kept for a look" : states[e->state]);
}

static bool intents = true; /* some entry may have one; at first one of an earlier control VM */

static void press_button(struct manager_entry *e, enum manager_intent intent, uint64_t timeout_ns)
{
	static const char *const words[] = {
		[MANAGER_INTENT_NONE] = "",
		[MANAGER_INTENT_OFF] = "to shut down",
		[MANAGER_INTENT_AGAIN] = "to reboot",
	};

	guest_press_button((uint32_t)e->slot);
	event_add("vm.button", name_of(e), "%s", words[intent]);
	if (intent == MANAGER_INTENT_NONE)
		return;
	intents = true;
	e->intent = intent;
	e->intent_forces = timeout_ns != 0;
	e->intent_end_ns = manager_clock_ns() + (timeout_ns != 0 ? timeout_ns : INTENT_NS);
	if (e->intent_end_ns < timeout_ns)
		e->intent_end_ns = UINT64_MAX;
}

static enum manager_result host_ends(struct manager_error *error)
{
	return manager_refuse(error, MANAGER_CONFLICT, "", "the machine is about to be switched off or rebooted");
}

static enum manager_result boot(struct manager_entry *e, struct manager_error *error)
{
	if (e->state != MANAGER_SHUTOFF && e->state != MANAGER_CRASHED)
		return manager_conflict(e, error);
	if (manager_host_ends())
		return host_ends(error);
	if (strcmp(driver_state(), "lost") == 0)
		return manager_refuse(error, MANAGER_FAILED, "", "there is no driver VM");
	manager_entry_leave(e);
	manager_core_drop(e, "the VM was booted again");
	return start(e, MANAGER_SHUTOFF, error);
}

/* It stands at its first instruction, but for what prevents it. */
static enum manager_result boot_held(struct manager_entry *e, struct manager_error *error)
{
	e->debugged = true;
	enum manager_result result = driver_is_lost() ? manager_refuse(error, MANAGER_CONFLICT, "", "there is no driver VM now")
	                                              : boot(e, error);
	if (result == MANAGER_OK && e->state == MANAGER_WAITING)
		result = manager_conflict(e, error);
	e->debugged = result == MANAGER_OK;
	return result;
}

enum manager_result manager_debug_begin(const char *name, uint32_t *slot, bool *ended, struct manager_error *error)
{
	struct manager_entry *e = manager_entry_find(name);
	enum manager_result result = MANAGER_OK;

	if (e == NULL)
		return manager_refuse(error, MANAGER_NOT_FOUND, "", "there is no VM of this name");
	if (e->debugged)
		return manager_refuse(error, MANAGER_CONFLICT, "", "it has a debugger");
	if (e->state == MANAGER_WAITING)
		return manager_conflict(e, error);
	if (e->slot < 0 || (!e->preserved && e->state == MANAGER_CRASHED))
		result = boot_held(e, error);
	else if (!e->preserved)
		e->state = MANAGER_RUNNING;
	e->moves++;
	if (result != MANAGER_OK)
		return result;
	e->debugged = true;
	*slot = (uint32_t)e->slot;
	*ended = e->preserved;
	event_add("vm.debugged", name_of(e), "%s", "");
	return MANAGER_OK;
}

void manager_debug_end(uint32_t slot)
{
	struct manager_entry *e = manager_entry_of_slot(slot);

	if (e == NULL)
		return;
	e->debugged = false;
	event_add("vm.undebugged", name_of(e), "%s", "");
}

static enum manager_result act_on_running(struct manager_entry *e, enum manager_action action, uint64_t timeout_ns)
{
	switch (action) {
	case MANAGER_POWER_BUTTON:
		press_button(e, MANAGER_INTENT_NONE, 0);
		break;
	case MANAGER_SHUTDOWN:
		press_button(e, MANAGER_INTENT_OFF, timeout_ns);
		break;
	case MANAGER_REBOOT:
		press_button(e, MANAGER_INTENT_AGAIN, timeout_ns);
		break;
	case MANAGER_PAUSE:
		pause(e);
		break;
	default: /* MANAGER_NMI */
		guest_inject_nmi((uint32_t)e->slot);
		event_add("vm.nmi", name_of(e), "%s", "");
		break;
	}
	return MANAGER_OK;
}

enum manager_result manager_act(const char *name, enum manager_action action, uint64_t timeout_ns, struct manager_error *error)
{
	struct manager_entry *e = manager_entry_find(name);

	if (e == NULL)
		return manager_refuse(error, MANAGER_NOT_FOUND, "", "there is no VM of this name");
	if (manager_host_ends() &&
	    (action == MANAGER_SHUTDOWN || action == MANAGER_REBOOT || action == MANAGER_RESET || action == MANAGER_PAUSE))
		return host_ends(error);
	if (e->debugged && (action == MANAGER_PAUSE || action == MANAGER_RESUME))
		return manager_refuse(error, MANAGER_CONFLICT, "", "a debugger has it");
	switch (action) {
	case MANAGER_BOOT:
		return boot(e, error);
	case MANAGER_DESTROY:
		if (e->slot < 0)
			return manager_conflict(e, error);
		pull_plug(e, "destroyed", CONFIG_ACTION_DESTROY);
		return MANAGER_OK;
	case MANAGER_RESET:
		if (e->slot < 0 || e->state == MANAGER_WAITING)
			return manager_conflict(e, error);
		pull_plug(e, "reset by an operator", CONFIG_ACTION_RESTART);
		return e->state == MANAGER_RUNNING || e->state == MANAGER_WAITING
		               ? MANAGER_OK
		               : manager_refuse(error, MANAGER_FAILED, "", "it could not be started again; the log says why");
	case MANAGER_RESUME:
		if (e->state != MANAGER_PAUSED || e->preserved)
			return manager_conflict(e, error);
		guest_continue((uint32_t)e->slot);
		e->state = MANAGER_RUNNING;
		e->moves++;
		event_add("vm.resumed", name, "%s", "");
		return MANAGER_OK;
	default:
		return e->state == MANAGER_RUNNING ? act_on_running(e, action, timeout_ns) : manager_conflict(e, error);
	}
}

uint64_t manager_poll(void)
{
	uint64_t now = manager_clock_ns(), next = manager_core_poll(now);
	struct manager_entry *e;

	for (unsigned i = 0; intents && (e = manager_entry_at(i)) != NULL; i++) {
		if (e->intent != MANAGER_INTENT_NONE && now >= e->intent_end_ns) {
			enum config_action action = by_intent(e, CONFIG_ACTION_DESTROY);
			e->intent = MANAGER_INTENT_NONE;
			if (e->intent_forces)
				pull_plug(e, "destroyed (it did not react to its power button in time)", action);
		}
		if (e->intent != MANAGER_INTENT_NONE && (next == 0 || e->intent_end_ns < next))
			next = e->intent_end_ns;
	}
	intents = next != 0;
	return next;
}

bool manager_is_active(void)
{
	struct manager_entry *e;

	for (unsigned i = 0; (e = manager_entry_at(i)) != NULL; i++)
		if (e->state == MANAGER_WAITING || (e->slot >= 0 && !e->preserved))
			return true;
	return false;
}
