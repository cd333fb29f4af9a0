/*
 * The VMs' life as operators command it, on guests that are only counted and in a time that the test moves.
 *
 * UNIT_SOURCES: drivers-vm/control/manager.c drivers-vm/control/manager_life.c drivers-vm/control/events.c
 */
#include "cmocka_all.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "drivers-vm/control/events.h"
#include "drivers-vm/control/guest.h"
#include "drivers-vm/control/manager_private.h"

#define SECOND 1000000000ull

/* ---- The world below ---------------------------------------------------------------------------------------------------------------- */

static struct guest fake_guest[CHANNEL_SLOTS];
static bool debuggers[CHANNEL_SLOTS];
static unsigned buttons, nmis, consoles, made_ever;
static bool driver_gone, driver_dies, driver_given_up;
static enum manager_result make_result;
static uint64_t now_ns;
static char log_text[32768];

void service_log(const char *format, ...)
{
	size_t used = strlen(log_text);
	va_list args;

	if (used > sizeof(log_text) / 2)
		used = 0;
	va_start(args, format);
	vsnprintf(log_text + used, sizeof(log_text) - used, format, args);
	va_end(args);
}

uint64_t manager_clock_ns(void)
{
	return now_ns;
}

uint64_t manager_wall_clock_ns(void)
{
	return 1000000 * SECOND + now_ns;
}

bool driver_is_lost(void)
{
	return driver_gone;
}

const char *driver_state(void)
{
	return driver_given_up ? "lost" : driver_gone ? "restarting" : "running";
}

const char *control_crash(uint32_t crash)
{
	return crash == HILUM_CRASH_TRIPLE_FAULT ? "triple fault" : "unknown";
}

bool console_open(struct console *console, unsigned place)
{
	assert_true(place < MANAGER_VMS_MAX);
	consoles += console->memory == 0;
	console->memory = 1000 + place;
	return true;
}

void console_close(struct console *console)
{
	consoles -= console->memory != 0;
	console->memory = 0;
}

int guest_take(const struct config_vm *config, hilum_handle_t record)
{
	assert_true(record >= 1000);
	for (unsigned i = 0; i < CHANNEL_SLOTS; i++)
		if (fake_guest[i].config == NULL) {
			fake_guest[i].config = config;
			return (int)i;
		}
	return -1;
}

uint32_t guest_slots(void)
{
	return CHANNEL_SLOTS;
}

enum manager_result guest_make(uint32_t slot, bool paused, struct manager_error *error)
{
	assert_non_null(fake_guest[slot].config);
	assert_false(fake_guest[slot].made);
	if (driver_dies)
		driver_gone = true;
	if (driver_dies || make_result != MANAGER_OK) {
		snprintf(error->detail, sizeof(error->detail), "it cannot");
		return driver_dies ? MANAGER_FAILED : make_result;
	}
	fake_guest[slot].made = true;
	fake_guest[slot].paused = paused;
	made_ever++;
	return MANAGER_OK;
}

void guest_unmake(uint32_t slot)
{
	const struct config_vm *config = fake_guest[slot].config;

	assert_non_null(config);
	if (debuggers[slot]) /* as the debuggers' sessions do */
		manager_debug_end(slot);
	debuggers[slot] = false;
	fake_guest[slot] = (struct guest){.config = config};
}

void guest_leave(uint32_t slot)
{
	guest_unmake(slot);
	fake_guest[slot].config = NULL;
}

void guest_pause(uint32_t slot)
{
	assert_true(fake_guest[slot].made && !fake_guest[slot].paused);
	fake_guest[slot].paused = true;
}

void guest_continue(uint32_t slot)
{
	assert_true(fake_guest[slot].made && fake_guest[slot].paused && !fake_guest[slot].ended);
	fake_guest[slot].paused = false;
}

void guest_preserve(uint32_t slot)
{
	assert_true(fake_guest[slot].made);
	fake_guest[slot].ended = true;
}

void guest_press_button(uint32_t slot)
{
	assert_true(fake_guest[slot].made && !fake_guest[slot].ended && !fake_guest[slot].paused);
	buttons++;
}

void guest_inject_nmi(uint32_t slot)
{
	assert_true(fake_guest[slot].made && !fake_guest[slot].ended);
	nmis++;
}

/* ---- Help ----------------------------------------------------------------------------------------------------------------------------- */

static struct manager_error error;

static unsigned slots_taken(void)
{
	unsigned taken = 0;

	for (unsigned i = 0; i < CHANNEL_SLOTS; i++)
		taken += fake_guest[i].config != NULL;
	return taken;
}

static struct manager_definition *definition(const char *name, uint64_t mib)
{
	struct manager_definition *d = calloc(1, sizeof(*d));

	snprintf(d->config.name, sizeof(d->config.name), "%s", name);
	d->arena = malloc(32);
	d->config.kernel = memcpy(d->arena, "vmlinuz", 8);
	d->config.cmdline = "";
	d->config.memory_bytes = mib << 20;
	d->config.vcpus = 1;
	return d;
}

static bool define(struct manager_definition *d)
{
	bool created;

	assert_int_equal(manager_define(d, &created, &error), MANAGER_OK);
	return created;
}

static enum manager_result act(const char *name, enum manager_action action)
{
	return manager_act(name, action, 0, &error);
}

static struct manager_vm vm(const char *name)
{
	struct manager_vm found;

	assert_true(manager_find(name, &found));
	return found;
}

static uint32_t slot_of(const char *name)
{
	int slot = manager_slot(name);

	assert_true(slot >= 0);
	return (uint32_t)slot;
}

static void ends(const char *name, enum guest_end how)
{
	manager_guest_ended(slot_of(name), how, how == GUEST_CRASHED ? HILUM_CRASH_TRIPLE_FAULT : 0);
}

/* "a" runs, with these actions. */
static void runs(enum config_action on_poweroff, enum config_action on_reboot, enum config_action on_crash)
{
	struct manager_definition *d = definition("a", 64);

	d->config.on_poweroff = on_poweroff;
	d->config.on_reboot = on_reboot;
	d->config.on_crash = on_crash;
	define(d);
	assert_int_equal(act("a", MANAGER_BOOT), MANAGER_OK);
}

static void runs_plainly(void)
{
	runs(CONFIG_ACTION_DESTROY, CONFIG_ACTION_RESTART, CONFIG_ACTION_DESTROY);
}

static void wait_ns(uint64_t ns)
{
	now_ns += ns;
	manager_poll();
}

static void remove_all(void)
{
	struct manager_vm found;
	char name[CONFIG_NAME_BYTES];

	while (manager_at(0, &found)) {
		snprintf(name, sizeof(name), "%s", found.config->name);
		act(name, MANAGER_DESTROY);
		assert_int_equal(manager_undefine(name, &error), MANAGER_OK);
	}
}

static int setup(void **state)
{
	(void)state;
	driver_gone = driver_dies = driver_given_up = false;
	make_result = MANAGER_OK;
	buttons = nmis = 0;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	remove_all();
	assert_int_equal(slots_taken(), 0);
	assert_int_equal(consoles, 0);
	return 0;
}

/* ---- Definitions ----------------------------------------------------------------------------------------------------------------------- */

static void manager_define__same_definition_again__same_version(void **state)
{
	(void)state;
	assert_true(define(definition("a", 64)));
	uint64_t version = vm("a").version;
	assert_false(define(definition("a", 64)));
	assert_int_equal(vm("a").version, version);
	assert_false(define(definition("a", 128)));
	assert_true(vm("a").version > version);
	assert_int_equal(vm("a").config->memory_bytes, 128 << 20);
}

static void manager_define__while_it_runs__next_start_takes_it(void **state)
{
	(void)state;
	runs_plainly();
	define(definition("a", 128));
	assert_true(vm("a").change_pending);
	assert_int_equal(vm("a").config->memory_bytes, 64 << 20);
	define(definition("a", 192));
	ends("a", GUEST_RESET);
	assert_int_equal(vm("a").state, MANAGER_RUNNING);
	assert_false(vm("a").change_pending);
	assert_int_equal(vm("a").config->memory_bytes, 192 << 20);
	assert_ptr_equal(fake_guest[slot_of("a")].config, vm("a").config);
}

static void manager_define__card_of_another_vm__is_refused(void **state)
{
	struct manager_definition *a = definition("a", 64), *b = definition("b", 64);
	bool created;

	(void)state;
	a->config.nic_count = b->config.nic_count = 2;
	for (unsigned i = 0; i < 2; i++) {
		a->config.nic[i] = (struct config_nic){.bridge = "x", .mac = {2, 0, 0, 0, 0, (uint8_t)i}};
		b->config.nic[i] = (struct config_nic){.bridge = "x", .mac = {2, 0, 0, 0, 0, (uint8_t)(2 - i)}};
	}
	define(a);
	assert_int_equal(manager_define(b, &created, &error), MANAGER_INVALID);
	assert_string_equal(error.field, "nic[1].mac");
	free(b->arena);
	free(b);
}

static void manager_define__more_than_there_can_be__is_full(void **state)
{
	bool created;
	char name[16];

	(void)state;
	for (unsigned i = 0; i < MANAGER_VMS_MAX; i++) {
		snprintf(name, sizeof(name), "vm%u", i);
		define(definition(name, 64));
	}
	struct manager_definition *d = definition("more", 64);
	assert_int_equal(manager_define(d, &created, &error), MANAGER_FULL);
	free(d->arena);
	free(d);
	for (unsigned i = 0; i < CHANNEL_SLOTS; i++) {
		snprintf(name, sizeof(name), "vm%u", i);
		assert_int_equal(act(name, MANAGER_BOOT), MANAGER_OK);
	}
	assert_int_equal(act("vm999", MANAGER_BOOT), MANAGER_FULL);
	assert_int_equal(manager_image_users("vmlinuz"), CHANNEL_SLOTS);
}

static void manager_undefine__it_runs__conflict(void **state)
{
	(void)state;
	runs_plainly();
	assert_int_equal(manager_undefine("a", &error), MANAGER_CONFLICT);
	act("a", MANAGER_DESTROY);
	assert_int_equal(manager_undefine("a", &error), MANAGER_OK);
	assert_int_equal(manager_undefine("a", &error), MANAGER_NOT_FOUND);
}

static void manager_init__vms_of_the_file__are_started(void **state)
{
	static struct config config;

	(void)state;
	config.vm_count = 2;
	for (unsigned i = 0; i < 2; i++) {
		snprintf(config.vm[i].name, sizeof(config.vm[i].name), "f%u", i);
		config.vm[i].kernel = "vmlinuz";
		config.vm[i].cmdline = "";
	}
	manager_init(&config);
	define(definition("api", 64));
	manager_start_all();
	assert_int_equal(vm("f0").state, MANAGER_RUNNING);
	assert_int_equal(vm("f1").state, MANAGER_RUNNING);
	assert_true(vm("f1").from_file);
	assert_int_equal(vm("api").state, MANAGER_SHUTOFF);
	assert_true(manager_is_active());
}

/* ---- Life ------------------------------------------------------------------------------------------------------------------------------ */

static void manager_act__wrong_state__conflict(void **state)
{
	static const enum manager_action running[] = {MANAGER_POWER_BUTTON, MANAGER_SHUTDOWN, MANAGER_DESTROY, MANAGER_REBOOT,
						      MANAGER_RESET, MANAGER_PAUSE, MANAGER_RESUME, MANAGER_NMI};

	(void)state;
	assert_int_equal(act("nobody", MANAGER_BOOT), MANAGER_NOT_FOUND);
	define(definition("a", 64));
	for (unsigned i = 0; i < sizeof(running) / sizeof(running[0]); i++)
		assert_int_equal(act("a", running[i]), MANAGER_CONFLICT);
	assert_string_equal(error.detail, "it is shut off");
	act("a", MANAGER_BOOT);
	assert_int_equal(act("a", MANAGER_BOOT), MANAGER_CONFLICT);
	assert_int_equal(act("a", MANAGER_RESUME), MANAGER_CONFLICT);
	act("a", MANAGER_PAUSE);
	assert_int_equal(act("a", MANAGER_PAUSE), MANAGER_CONFLICT);
	assert_int_equal(act("a", MANAGER_SHUTDOWN), MANAGER_CONFLICT);
	assert_int_equal(act("a", MANAGER_RESUME), MANAGER_OK);
	assert_int_equal(vm("a").state, MANAGER_RUNNING);
}

static void manager_guest_ended__poweroff__on_poweroff_decides(void **state)
{
	(void)state;
	runs_plainly();
	ends("a", GUEST_POWERED_OFF);
	assert_int_equal(vm("a").state, MANAGER_SHUTOFF);
	assert_string_equal(vm("a").last_exit, "poweroff");
	assert_non_null(strstr(log_text, "vm a ended: poweroff"));
}

static void manager_guest_ended__preserve__kept_for_a_look(void **state)
{
	(void)state;
	runs(CONFIG_ACTION_PRESERVE, CONFIG_ACTION_RESTART, CONFIG_ACTION_PRESERVE);
	ends("a", GUEST_POWERED_OFF);
	assert_int_equal(vm("a").state, MANAGER_PAUSED);
	assert_int_equal(act("a", MANAGER_RESUME), MANAGER_CONFLICT);
	assert_false(manager_is_active());
	assert_int_equal(act("a", MANAGER_RESET), MANAGER_OK);
	assert_int_equal(vm("a").state, MANAGER_RUNNING);
	ends("a", GUEST_CRASHED);
	assert_int_equal(vm("a").state, MANAGER_CRASHED);
	assert_int_equal(slots_taken(), 1);
	assert_int_equal(manager_undefine("a", &error), MANAGER_OK);
	assert_int_equal(slots_taken(), 0);
}

static void manager_guest_ended__crashes_in_a_row__given_up_after_the_fourth(void **state)
{
	(void)state;
	runs(CONFIG_ACTION_DESTROY, CONFIG_ACTION_RESTART, CONFIG_ACTION_RESTART);
	for (unsigned i = 0; i < 3; i++) {
		now_ns += SECOND;
		ends("a", GUEST_CRASHED);
		assert_int_equal(vm("a").state, MANAGER_RUNNING);
	}
	now_ns += 61 * SECOND;
	ends("a", GUEST_CRASHED); /* the first one again */
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(vm("a").state, MANAGER_RUNNING);
		ends("a", GUEST_CRASHED);
	}
	assert_int_equal(vm("a").state, MANAGER_CRASHED);
	assert_int_equal(vm("a").crashes, 7);
	assert_string_equal(vm("a").last_exit, "crash (triple fault)");
	assert_int_equal(act("a", MANAGER_BOOT), MANAGER_OK);
}

static void manager_act__shutdown_of_a_deaf_guest__plug_is_pulled_in_time(void **state)
{
	(void)state;
	runs_plainly();
	assert_int_equal(manager_act("a", MANAGER_SHUTDOWN, 10 * SECOND, &error), MANAGER_OK);
	assert_int_equal(buttons, 1);
	assert_int_equal(manager_poll(), now_ns + 10 * SECOND);
	wait_ns(10 * SECOND - 1);
	assert_int_equal(vm("a").state, MANAGER_RUNNING);
	wait_ns(1);
	assert_int_equal(vm("a").state, MANAGER_SHUTOFF);
	assert_int_equal(manager_poll(), 0);
}

static void manager_act__shutdown_without_timeout__never_forces_and_is_forgotten(void **state)
{
	(void)state;
	runs(CONFIG_ACTION_RESTART, CONFIG_ACTION_RESTART, CONFIG_ACTION_DESTROY);
	act("a", MANAGER_SHUTDOWN);
	wait_ns(1000 * SECOND);
	assert_int_equal(vm("a").state, MANAGER_RUNNING);
	ends("a", GUEST_POWERED_OFF);
	assert_int_equal(vm("a").state, MANAGER_RUNNING); /* on_poweroff = "restart" */
	act("a", MANAGER_SHUTDOWN);
	ends("a", GUEST_POWERED_OFF);
	assert_int_equal(vm("a").state, MANAGER_SHUTOFF); /* but this was asked for */
}

static void manager_act__reboot__starts_again_whatever_on_poweroff_says(void **state)
{
	(void)state;
	runs_plainly();
	manager_act("a", MANAGER_REBOOT, 10 * SECOND, &error);
	ends("a", GUEST_POWERED_OFF);
	assert_int_equal(vm("a").state, MANAGER_RUNNING);
	wait_ns(20 * SECOND); /* nothing is left of it */
	assert_int_equal(vm("a").starts, 2);
	manager_act("a", MANAGER_REBOOT, 10 * SECOND, &error);
	wait_ns(10 * SECOND);
	assert_int_equal(vm("a").state, MANAGER_RUNNING);
	assert_int_equal(vm("a").starts, 3);
}

static void manager_act__boot_fails__says_why_and_leaves_nothing(void **state)
{
	(void)state;
	define(definition("a", 64));
	make_result = MANAGER_INVALID;
	assert_int_equal(act("a", MANAGER_BOOT), MANAGER_INVALID);
	assert_string_equal(error.detail, "it cannot");
	assert_int_equal(vm("a").state, MANAGER_SHUTOFF);
	assert_int_equal(slots_taken(), 0);
}

static void manager_driver_is_back__vm_waited__starts(void **state)
{
	(void)state;
	define(definition("a", 64));
	driver_gone = true;
	assert_int_equal(act("a", MANAGER_BOOT), MANAGER_OK);
	assert_int_equal(vm("a").state, MANAGER_WAITING);
	assert_int_equal(manager_slot("a"), -1);
	assert_int_equal(act("a", MANAGER_PAUSE), MANAGER_CONFLICT);
	manager_driver_is_back();
	assert_int_equal(vm("a").state, MANAGER_WAITING);
	driver_gone = false;
	manager_driver_is_back();
	assert_int_equal(vm("a").state, MANAGER_RUNNING);
	driver_dies = true; /* as the VM is being made */
	assert_int_equal(act("a", MANAGER_RESET), MANAGER_OK);
	assert_int_equal(vm("a").state, MANAGER_WAITING);
	assert_int_equal(act("a", MANAGER_DESTROY), MANAGER_OK);
	assert_int_equal(vm("a").state, MANAGER_SHUTOFF);
	driver_dies = driver_gone = false;
	driver_given_up = true;
	assert_int_equal(act("a", MANAGER_BOOT), MANAGER_FAILED);
}

/* ---- Anything, in any order ------------------------------------------------------------------------------------------------------------ */

/* What holds of every VM at any time. */
static void check(const char *name)
{
	struct manager_vm found = vm(name);
	int slot = manager_slot(name);

	switch (found.state) {
	case MANAGER_SHUTOFF:
	case MANAGER_WAITING:
		assert_int_equal(slot, -1);
		break;
	case MANAGER_RUNNING:
		assert_true(slot >= 0 && fake_guest[slot].made && !fake_guest[slot].paused && !fake_guest[slot].ended);
		break;
	case MANAGER_PAUSED:
		assert_true(slot >= 0 && fake_guest[slot].made && (fake_guest[slot].paused || fake_guest[slot].ended));
		break;
	case MANAGER_CRASHED:
		assert_true(slot < 0 || fake_guest[slot].ended);
		break;
	}
	if (slot >= 0)
		assert_string_equal(fake_guest[slot].config->name, name);
}

/* As the debuggers' sessions do. */
static enum manager_result debug(const char *name)
{
	uint32_t slot;
	bool ended;
	enum manager_result result = manager_debug_begin(name, &slot, &ended, &error);

	if (result != MANAGER_OK)
		return result;
	assert_int_equal(slot, slot_of(name));
	assert_int_equal(ended, fake_guest[slot].ended);
	assert_false(debuggers[slot]);
	debuggers[slot] = true;
	fake_guest[slot].paused = false;
	return MANAGER_OK;
}

static void undebug(uint32_t slot)
{
	if (debuggers[slot])
		manager_debug_end(slot);
	debuggers[slot] = false;
}

static void random_step(void)
{
	static const char *const names[] = {"a", "b", "c", "d"};
	const char *name = names[rand() % 4];
	struct manager_vm found;

	driver_dies = rand() % 20 == 0;
	make_result = rand() % 10 == 0 ? MANAGER_NO_MEMORY : MANAGER_OK;
	switch (rand() % 8) {
	case 0: {
		struct manager_definition *d = definition(name, 2 + 2 * (unsigned)(rand() % 3));
		d->config.on_poweroff = (enum config_action)(rand() % 3);
		d->config.on_reboot = (enum config_action)(rand() % 3);
		d->config.on_crash = (enum config_action)(rand() % 3);
		define(d);
		break;
	}
	case 1:
		if (rand() % 4 == 0)
			manager_undefine(name, &error);
		break;
	case 2:
	case 3:
		manager_act(name, (enum manager_action)(rand() % (MANAGER_NMI + 1)), (uint64_t)(rand() % 3) * SECOND, &error);
		break;
	case 4:
		if (manager_find(name, &found) && manager_slot(name) >= 0 && !fake_guest[manager_slot(name)].ended)
			ends(name, (enum guest_end)(rand() % (GUEST_LOST + 1)));
		break;
	case 5:
		driver_gone = driver_dies = false;
		manager_driver_is_back();
		wait_ns((uint64_t)rand() % (2 * SECOND));
		break;
	case 6:
		debug(name);
		break;
	case 7:
		if (manager_slot(name) >= 0)
			undebug((uint32_t)manager_slot(name));
		break;
	}
	for (unsigned i = 0; i < 4; i++)
		if (manager_find(names[i], &found))
			check(names[i]);
}

static void all_of_it__random_order__every_vm_stays_in_one_of_its_states(void **state)
{
	(void)state;
	srand(11);
	for (unsigned i = 0; i < 200000; i++)
		random_step();
	assert_true(made_ever > 1000);
	driver_gone = driver_dies = false;
}

/* ---- Debuggers ------------------------------------------------------------------------------------------------------------------------- */

static void manager_debug_begin__shut_off__started_but_for_the_first_instruction(void **state)
{
	uint32_t slot;
	bool ended;

	(void)state;
	define(definition("a", 64));
	assert_int_equal(manager_debug_begin("a", &slot, &ended, &error), MANAGER_OK);
	assert_false(ended);
	assert_int_equal(slot, slot_of("a"));
	assert_true(fake_guest[slot].paused);
	assert_int_equal(vm("a").state, MANAGER_RUNNING);
	fake_guest[slot].paused = false;
	manager_debug_end(slot);
	ends("a", GUEST_POWERED_OFF);
	assert_int_equal(act("a", MANAGER_BOOT), MANAGER_OK);
	assert_false(fake_guest[slot_of("a")].paused);
}

static void manager_debug_begin__cannot_be_made__nothing_is_left(void **state)
{
	(void)state;
	define(definition("a", 64));
	make_result = MANAGER_NO_MEMORY;
	assert_int_equal(debug("a"), MANAGER_NO_MEMORY);
	assert_int_equal(slots_taken(), 0);
	make_result = MANAGER_OK;
	assert_int_equal(act("a", MANAGER_BOOT), MANAGER_OK);
	assert_false(fake_guest[slot_of("a")].paused);
}

static void manager_debug_begin__paused__the_debugger_s_now(void **state)
{
	(void)state;
	runs_plainly();
	assert_int_equal(act("a", MANAGER_PAUSE), MANAGER_OK);
	assert_int_equal(debug("a"), MANAGER_OK);
	assert_int_equal(vm("a").state, MANAGER_RUNNING);
	assert_int_equal(act("a", MANAGER_RESUME), MANAGER_CONFLICT);
	assert_int_equal(act("a", MANAGER_PAUSE), MANAGER_CONFLICT);
	assert_string_equal(error.detail, "a debugger has it");
	assert_int_equal(debug("a"), MANAGER_CONFLICT);
	assert_int_equal(act("a", MANAGER_NMI), MANAGER_OK);
	undebug(slot_of("a"));
	assert_int_equal(act("a", MANAGER_PAUSE), MANAGER_OK);
}

static void manager_debug_begin__kept_for_a_look__ended(void **state)
{
	(void)state;
	runs(CONFIG_ACTION_DESTROY, CONFIG_ACTION_RESTART, CONFIG_ACTION_PRESERVE);
	ends("a", GUEST_CRASHED);
	assert_int_equal(debug("a"), MANAGER_OK); /* which has looked at `ended` */
	assert_int_equal(vm("a").state, MANAGER_CRASHED);
	assert_int_equal(act("a", MANAGER_DESTROY), MANAGER_OK);
	assert_false(debuggers[0]);
}

static void manager_debug_begin__restarted__goes_on_without(void **state)
{
	(void)state;
	runs_plainly();
	assert_int_equal(debug("a"), MANAGER_OK);
	assert_int_equal(act("a", MANAGER_RESET), MANAGER_OK);
	assert_false(fake_guest[slot_of("a")].paused || debuggers[slot_of("a")]);
	assert_int_equal(act("a", MANAGER_PAUSE), MANAGER_OK);
}

static void manager_debug_begin__no_driver_vm__conflict(void **state)
{
	(void)state;
	assert_int_equal(debug("a"), MANAGER_NOT_FOUND);
	define(definition("a", 64));
	driver_gone = true;
	assert_int_equal(debug("a"), MANAGER_CONFLICT);
	assert_int_equal(vm("a").state, MANAGER_SHUTOFF);
	assert_int_equal(act("a", MANAGER_BOOT), MANAGER_OK);
	assert_int_equal(vm("a").state, MANAGER_WAITING);
	assert_int_equal(debug("a"), MANAGER_CONFLICT);
	driver_gone = false;
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(manager_define__same_definition_again__same_version),
		CASE(manager_define__while_it_runs__next_start_takes_it),
		CASE(manager_define__card_of_another_vm__is_refused),
		CASE(manager_define__more_than_there_can_be__is_full),
		CASE(manager_undefine__it_runs__conflict),
		CASE(manager_init__vms_of_the_file__are_started),
		CASE(manager_act__wrong_state__conflict),
		CASE(manager_guest_ended__poweroff__on_poweroff_decides),
		CASE(manager_guest_ended__preserve__kept_for_a_look),
		CASE(manager_guest_ended__crashes_in_a_row__given_up_after_the_fourth),
		CASE(manager_act__shutdown_of_a_deaf_guest__plug_is_pulled_in_time),
		CASE(manager_act__shutdown_without_timeout__never_forces_and_is_forgotten),
		CASE(manager_act__reboot__starts_again_whatever_on_poweroff_says),
		CASE(manager_act__boot_fails__says_why_and_leaves_nothing),
		CASE(manager_driver_is_back__vm_waited__starts),
		CASE(manager_debug_begin__shut_off__started_but_for_the_first_instruction),
		CASE(manager_debug_begin__cannot_be_made__nothing_is_left),
		CASE(manager_debug_begin__paused__the_debugger_s_now),
		CASE(manager_debug_begin__kept_for_a_look__ended),
		CASE(manager_debug_begin__restarted__goes_on_without),
		CASE(manager_debug_begin__no_driver_vm__conflict),
		CASE(all_of_it__random_order__every_vm_stays_in_one_of_its_states),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
