/*
 * The VMs' life as operators command it, on guests that are only counted and in a time that the test moves.
 *
 * UNIT_SOURCES: drivers-vm/control/manager.c drivers-vm/control/manager_life.c drivers-vm/control/manager_core.c
 * UNIT_SOURCES: drivers-vm/control/manager_change.c drivers-vm/control/manager_end.c
 * UNIT_SOURCES: drivers-vm/control/events.c
 */
#include "cmocka_all.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "drivers-vm/control/coredump/coredump.h"
#include "drivers-vm/control/events.h"
#include "drivers-vm/control/guest.h"
#include "drivers-vm/control/manager_private.h"
#include "drivers-vm/control/recover.h"

#define SECOND 1000000000ull

/* ---- The world below ---------------------------------------------------------------------------------------------------------------- */

static struct guest fake_guest[CHANNEL_SLOTS];
static bool debuggers[CHANNEL_SLOTS];
static enum manager_result schedule_result;
static struct config_vm scheduled; /* the last schedule that a guest got */
static unsigned buttons, nmis, consoles, made_ever, make_failures;
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
	if (make_failures != 0) {
		make_failures--;
		return MANAGER_NO_MEMORY;
	}
	if (driver_dies || make_result != MANAGER_OK) {
		snprintf(error->detail, sizeof(error->detail), "it cannot");
		return driver_dies ? MANAGER_FAILED : make_result;
	}
	fake_guest[slot].made = true;
	fake_guest[slot].plugged = 1;
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
	fake_guest[slot] = (struct guest){ .config = config };
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

struct guest *guest_at(uint32_t slot)
{
	return &fake_guest[slot];
}

enum manager_result guest_set_vcpus(uint32_t slot, unsigned count)
{
	assert_true(fake_guest[slot].made && !fake_guest[slot].ended);
	fake_guest[slot].plugged = (1ull << count) - 1;
	return MANAGER_OK;
}

unsigned guest_count_vcpus(const struct guest *g)
{
	return (unsigned)__builtin_popcountll(g->plugged);
}

static uint64_t balloon;

bool guest_set_balloon(uint32_t slot, uint64_t bytes)
{
	assert_true(fake_guest[slot].made && !fake_guest[slot].ended);
	balloon = bytes;
	return true;
}

bool guest_take_vcpu(uint32_t slot, uint64_t index)
{
	fake_guest[slot].plugged &= ~(1ull << index);
	return true;
}

/* A core file of one byte. */
struct coredump {
	uint8_t byte;
};
static unsigned cores;
static uint8_t core_byte;

struct coredump *coredump_take(uint32_t slot)
{
	struct coredump *core = malloc(sizeof(*core));

	assert_true(fake_guest[slot].made && (fake_guest[slot].ended || fake_guest[slot].paused));
	core->byte = ++core_byte;
	cores++;
	return core;
}

void coredump_free(struct coredump *core)
{
	cores -= core != NULL;
	free(core);
}

void coredump_rest(const struct coredump *core)
{
	assert_non_null(core);
}

uint64_t coredump_bytes(const struct coredump *core)
{
	return sizeof(*core);
}

size_t coredump_read(struct coredump *core, uint64_t offset, uint8_t *to, size_t count, bool *failed)
{
	*failed = false;
	assert_true(count != 0);
	*to = core->byte;
	return offset == 0 ? 1 : 0;
}

enum manager_result guest_schedule(uint32_t slot, struct manager_error *refusal)
{
	enum manager_result result = schedule_result;

	assert_true(fake_guest[slot].made);
	scheduled = *fake_guest[slot].config;
	schedule_result = MANAGER_OK;
	if (result != MANAGER_OK)
		snprintf(refusal->field, sizeof(refusal->field), "reservation");
	return result;
}

void recover_keep(struct recover_kept *kept, void *value, size_t bytes)
{
	assert_true(bytes <= kept->left);
	if (kept->finds)
		memcpy(value, kept->at, bytes);
	else
		memcpy(kept->at, value, bytes);
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
	buttons = nmis = make_failures = 0;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	remove_all();
	assert_int_equal(slots_taken(), 0);
	assert_int_equal(consoles, 0);
	assert_int_equal(cores, 0);
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
		a->config.nic[i] = (struct config_nic){ .bridge = "x", .mac = { 2, 0, 0, 0, 0, (uint8_t)i } };
		b->config.nic[i] = (struct config_nic){ .bridge = "x", .mac = { 2, 0, 0, 0, 0, (uint8_t)(2 - i) } };
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
	static const enum manager_action running[] = { MANAGER_POWER_BUTTON, MANAGER_SHUTDOWN, MANAGER_DESTROY, MANAGER_REBOOT,
		                                       MANAGER_RESET,        MANAGER_PAUSE,    MANAGER_RESUME,  MANAGER_NMI };

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
	static const char *const names[] = { "a", "b", "c", "d" };
	const char *name = names[rand() % 4];
	struct manager_vm found;

	driver_dies = rand() % 20 == 0;
	make_result = rand() % 10 == 0 ? MANAGER_NO_MEMORY : MANAGER_OK;
	switch (rand() % 8) {
	case 0: {
		struct manager_definition *d = definition(name, 2 + 2 * (unsigned)(rand() % 3));
		d->config.on_poweroff = (enum config_action)(rand() % 5);
		d->config.on_reboot = (enum config_action)(rand() % 5);
		d->config.on_crash = (enum config_action)(rand() % 5);
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
	make_result = MANAGER_OK;
}

/* ---- Core files -------------------------------------------------------------------------------------------------------------------------- */

/* Reads "a"'s, and says what it was; negative: the result. */
static int read_core(bool whole)
{
	uint64_t bytes;
	uint8_t byte, after;
	bool failed;
	int session = manager_core_open("a", &bytes, &error);

	if (session < 0)
		return session;
	assert_int_equal(bytes, 1);
	assert_int_equal(manager_core_read(session, &byte, 1, &failed), 1);
	assert_false(failed);
	assert_int_equal(manager_core_read(session, &after, 1, &failed), 0);
	manager_core_close(session, whole);
	return byte;
}

static void manager_guest_ended__coredump_destroy__kept_until_fetched(void **state)
{
	(void)state;
	runs(CONFIG_ACTION_DESTROY, CONFIG_ACTION_RESTART, CONFIG_ACTION_COREDUMP_DESTROY);
	assert_int_equal(read_core(true), -(int)MANAGER_CONFLICT);
	ends("a", GUEST_CRASHED);
	assert_int_equal(vm("a").state, MANAGER_CRASHED);
	assert_int_equal(slots_taken(), 0); /* the memory is held by the core file alone */
	assert_true(vm("a").core_kept);
	assert_int_equal(read_core(false), core_byte);
	assert_int_equal(read_core(true), core_byte);
	assert_false(vm("a").core_kept);
	assert_int_equal(cores, 0);
	assert_int_equal(read_core(true), -(int)MANAGER_CONFLICT);
}

static void manager_guest_ended__coredump_restart__runs_again_and_is_given_up_in_the_end(void **state)
{
	(void)state;
	runs(CONFIG_ACTION_DESTROY, CONFIG_ACTION_RESTART, CONFIG_ACTION_COREDUMP_RESTART);
	for (unsigned i = 0; i < 3; i++) {
		ends("a", GUEST_CRASHED);
		assert_int_equal(vm("a").state, MANAGER_RUNNING);
		assert_int_equal(cores, 1); /* of the newest */
	}
	ends("a", GUEST_CRASHED);
	assert_int_equal(vm("a").state, MANAGER_CRASHED);
	assert_true(vm("a").core_kept);
	assert_int_equal(act("a", MANAGER_BOOT), MANAGER_OK);
	assert_false(vm("a").core_kept);
}

static void manager_core_poll__nobody_fetches_it__goes_after_an_hour(void **state)
{
	(void)state;
	runs(CONFIG_ACTION_COREDUMP_DESTROY, CONFIG_ACTION_RESTART, CONFIG_ACTION_DESTROY);
	ends("a", GUEST_POWERED_OFF);
	assert_int_equal(vm("a").state, MANAGER_SHUTOFF);
	wait_ns(3599 * SECOND);
	assert_int_equal(cores, 1);
	assert_int_equal(manager_poll(), now_ns + SECOND);
	wait_ns(SECOND);
	assert_int_equal(cores, 0);
}

static void manager_act__no_memory_to_start__core_files_go_first(void **state)
{
	(void)state;
	runs(CONFIG_ACTION_COREDUMP_DESTROY, CONFIG_ACTION_RESTART, CONFIG_ACTION_DESTROY);
	ends("a", GUEST_POWERED_OFF);
	define(definition("b", 64));
	make_failures = 1;
	assert_int_equal(act("b", MANAGER_BOOT), MANAGER_OK);
	assert_int_equal(cores, 0);
	assert_int_equal(act("b", MANAGER_DESTROY), MANAGER_OK);
	make_failures = 1;
	assert_int_equal(act("b", MANAGER_BOOT), MANAGER_NO_MEMORY);
}

static void manager_core_read__it_goes_on__breaks_off(void **state)
{
	uint64_t bytes;
	uint8_t byte;
	bool failed;

	(void)state;
	runs_plainly();
	assert_int_equal(act("a", MANAGER_PAUSE), MANAGER_OK);
	int read = read_core(true);
	assert_int_equal(read, core_byte);
	int session = manager_core_open("a", &bytes, &error);
	assert_true(session >= 0);
	assert_int_equal(act("a", MANAGER_RESUME), MANAGER_OK);
	assert_int_equal(act("a", MANAGER_PAUSE), MANAGER_OK); /* what was read before is of another moment */
	assert_int_equal(manager_core_read(session, &byte, 1, &failed), 0);
	assert_true(failed);
	manager_core_close(session, false);
}

static void manager_core_open__more_than_there_can_be__is_full(void **state)
{
	uint64_t bytes;

	(void)state;
	runs_plainly();
	assert_int_equal(act("a", MANAGER_PAUSE), MANAGER_OK);
	for (int i = 0; i < 4; i++)
		assert_int_equal(manager_core_open("a", &bytes, &error), i);
	assert_int_equal(manager_core_open("a", &bytes, &error), -(int)MANAGER_FULL);
	for (int i = 0; i < 4; i++)
		manager_core_close(i, false);
	assert_int_equal(manager_core_open("none", &bytes, &error), -(int)MANAGER_NOT_FOUND);
}

/* ---- Watchdogs and autostart ------------------------------------------------------------------------------------------------------------- */

static void barks(enum config_on_watchdog action)
{
	struct manager_definition *d = definition("a", 64);

	d->config.on_watchdog = action;
	define(d);
	if (vm("a").state != MANAGER_RUNNING)
		assert_int_equal(act("a", MANAGER_BOOT), MANAGER_OK);
	else
		assert_int_equal(act("a", MANAGER_RESET), MANAGER_OK);
	manager_guest_watchdog(slot_of("a"));
}

static void manager_guest_watchdog__each_action__is_done(void **state)
{
	uint64_t starts;

	(void)state;
	barks(CONFIG_ON_WATCHDOG_NONE);
	assert_int_equal(vm("a").state, MANAGER_RUNNING);
	barks(CONFIG_ON_WATCHDOG_INJECT_NMI);
	assert_int_equal(nmis, 1);
	starts = vm("a").starts;
	barks(CONFIG_ON_WATCHDOG_RESET);
	assert_int_equal(vm("a").state, MANAGER_RUNNING);
	assert_int_equal(vm("a").starts, starts + 2);
	assert_string_equal(vm("a").last_exit, "watchdog");
	barks(CONFIG_ON_WATCHDOG_PAUSE);
	assert_int_equal(vm("a").state, MANAGER_PAUSED);
	manager_guest_watchdog(slot_of("a")); /* it stands still */
	assert_int_equal(vm("a").state, MANAGER_PAUSED);
	assert_int_equal(act("a", MANAGER_DESTROY), MANAGER_OK);
	barks(CONFIG_ON_WATCHDOG_POWEROFF);
	assert_int_equal(vm("a").state, MANAGER_SHUTOFF);
}

static void manager_guest_watchdog__a_debugger_has_it__nothing(void **state)
{
	(void)state;
	runs_plainly();
	assert_int_equal(debug("a"), MANAGER_OK);
	manager_guest_watchdog(slot_of("a"));
	assert_int_equal(vm("a").starts, 1);
	manager_guest_watchdog(7); /* nobody's */
}

static void manager_set_vcpus__each_state_and_number__those_that_can_be(void **state)
{
	struct manager_definition *d = definition("a", 64);

	(void)state;
	d->config.vcpus_max = 3;
	define(d);
	define(definition("b", 64));
	assert_int_equal(manager_set_vcpus("a", 2, &error), MANAGER_CONFLICT);
	act("a", MANAGER_BOOT);
	act("b", MANAGER_BOOT);
	assert_int_equal(manager_set_vcpus("b", 1, &error), MANAGER_CONFLICT); /* it has no vcpus_max */
	assert_int_equal(manager_set_vcpus("none", 1, &error), MANAGER_NOT_FOUND);
	assert_int_equal(manager_set_vcpus("a", 4, &error), MANAGER_INVALID);
	assert_int_equal(manager_set_vcpus("a", 0, &error), MANAGER_INVALID);
	assert_string_equal(error.field, "count");
	assert_int_equal(manager_set_vcpus("a", 3, &error), MANAGER_OK);
	assert_int_equal(vm("a").vcpus, 3);
	manager_guest_ejected(slot_of("a"), 2);
	assert_int_equal(vm("a").vcpus, 2);
}

static void manager_set_memory__each_state_and_number__those_that_can_be(void **state)
{
	struct manager_definition *d = definition("a", 64), *b = definition("b", 64);

	(void)state;
	d->config.balloon_bytes = 0;
	b->config.balloon_bytes = CONFIG_NO_BALLOON;
	define(d);
	define(b);
	assert_int_equal(manager_set_memory("a", 1 << 20, &error), MANAGER_CONFLICT);
	act("a", MANAGER_BOOT);
	act("b", MANAGER_BOOT);
	assert_int_equal(manager_set_memory("b", 1 << 20, &error), MANAGER_CONFLICT); /* it has no balloon */
	assert_int_equal(manager_set_memory("none", 1 << 20, &error), MANAGER_NOT_FOUND);
	assert_int_equal(manager_set_memory("a", (64 << 20) + 4096, &error), MANAGER_INVALID);
	assert_int_equal(manager_set_memory("a", 4097, &error), MANAGER_INVALID);
	assert_string_equal(error.field, "bytes");
	assert_int_equal(manager_set_memory("a", 40 << 20, &error), MANAGER_OK);
	assert_int_equal(balloon, 24 << 20);
	assert_int_equal(manager_set_memory("a", 64 << 20, &error), MANAGER_OK);
	assert_int_equal(balloon, 0);
}

static void manager_start_all__autostart__those_alone(void **state)
{
	const struct config_vm *config;

	(void)state;
	define(definition("a", 64));
	define(definition("b", 64));
	assert_int_equal(manager_set_autostart("b", true, &config), MANAGER_OK);
	assert_int_equal(config->autostart, CONFIG_AUTOSTART_YES);
	assert_int_equal(manager_set_autostart("none", true, &config), MANAGER_NOT_FOUND);
	manager_start_all();
	assert_int_equal(vm("a").state, MANAGER_SHUTOFF);
	assert_int_equal(vm("b").state, MANAGER_RUNNING);
	assert_int_equal(manager_set_autostart("b", false, &config), MANAGER_OK); /* it runs on as it is */
	assert_false(vm("b").change_pending || vm("b").autostart);
	act("b", MANAGER_DESTROY);
	manager_start_all();
	assert_int_equal(vm("b").state, MANAGER_SHUTOFF);
}

/* ---- The machine's end ---------------------------------------------------------------------------------------------------------------- */

static enum manager_host_end due(void)
{
	uint64_t next_ns;
	enum manager_host_end how = manager_host_end_due(&next_ns);

	assert_true(next_ns == 0 || (how == MANAGER_HOST_STAYS && next_ns > now_ns));
	return how;
}

/* "a" runs, "b" is paused, "c" has crashed and is kept, "d" is shut off. */
static void four_vms(void)
{
	struct manager_definition *d = definition("c", 64);

	d->config.on_crash = CONFIG_ACTION_PRESERVE;
	runs(CONFIG_ACTION_PRESERVE, CONFIG_ACTION_RESTART, CONFIG_ACTION_RESTART);
	define(definition("b", 64));
	define(d);
	define(definition("d", 64));
	act("b", MANAGER_BOOT);
	act("b", MANAGER_PAUSE);
	act("c", MANAGER_BOOT);
	ends("c", GUEST_CRASHED);
}

static void manager_end_host__vms_in_all_states__the_machine_ends_after_them(void **state)
{
	(void)state;
	four_vms();
	assert_int_equal(due(), MANAGER_HOST_STAYS);
	manager_end_host(MANAGER_HOST_REBOOT, 60 * SECOND);
	assert_int_equal(buttons, 1);
	assert_int_equal(slots_taken(), 1); /* of "a" */
	wait_ns(59 * SECOND);
	assert_int_equal(due(), MANAGER_HOST_STAYS);
	ends("a", GUEST_RESET); /* neither on_reboot nor on_poweroff counts now */
	assert_int_equal(vm("a").state, MANAGER_SHUTOFF);
	assert_int_equal(due(), MANAGER_HOST_REBOOT);
	manager_host_stays();
	assert_int_equal(due(), MANAGER_HOST_STAYS);
	assert_int_equal(act("a", MANAGER_BOOT), MANAGER_OK);
}

static void manager_end_host__nothing_runs__there_is_time_for_the_answer(void **state)
{
	uint64_t next_ns;

	(void)state;
	manager_end_host(MANAGER_HOST_POWEROFF, 60 * SECOND);
	assert_int_equal(manager_host_end_due(&next_ns), MANAGER_HOST_STAYS);
	assert_int_equal(next_ns, now_ns + SECOND);
	wait_ns(SECOND);
	assert_int_equal(due(), MANAGER_HOST_POWEROFF);
	manager_host_stays();
}

static void manager_end_host__deaf_guest__plug_is_pulled_in_time(void **state)
{
	(void)state;
	runs(CONFIG_ACTION_RESTART, CONFIG_ACTION_RESTART, CONFIG_ACTION_RESTART);
	manager_end_host(MANAGER_HOST_POWEROFF, 60 * SECOND);
	ends("a", GUEST_CRASHED);
	assert_int_equal(vm("a").state, MANAGER_CRASHED);
	manager_host_stays();
	act("a", MANAGER_BOOT);
	manager_end_host(MANAGER_HOST_POWEROFF, 3000 * SECOND);
	wait_ns(2999 * SECOND);
	assert_int_equal(vm("a").state, MANAGER_RUNNING);
	manager_end_host(MANAGER_HOST_REBOOT, 10 * SECOND); /* who asks again gets what he asks for now */
	wait_ns(9 * SECOND);
	assert_int_equal(due(), MANAGER_HOST_STAYS);
	wait_ns(SECOND);
	assert_int_equal(vm("a").state, MANAGER_SHUTOFF);
	assert_int_equal(due(), MANAGER_HOST_REBOOT);
	manager_host_stays();
	act("a", MANAGER_BOOT);
	manager_end_host(MANAGER_HOST_POWEROFF, 0);
	assert_int_equal(vm("a").state, MANAGER_SHUTOFF);
	manager_host_stays();
}

static void manager_end_host__until_then__nothing_starts_or_stays(void **state)
{
	static const enum manager_action refused[] = { MANAGER_SHUTDOWN, MANAGER_REBOOT, MANAGER_RESET, MANAGER_PAUSE };
	uint32_t slot;
	bool ended;

	(void)state;
	four_vms();
	manager_end_host(MANAGER_HOST_REBOOT, 60 * SECOND);
	for (unsigned i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
		assert_int_equal(act("a", refused[i]), MANAGER_CONFLICT);
	assert_int_equal(act("d", MANAGER_BOOT), MANAGER_CONFLICT);
	assert_non_null(strstr(error.detail, "the machine is about to be"));
	assert_int_equal(manager_debug_begin("d", &slot, &ended, &error), MANAGER_CONFLICT);
	assert_int_equal(act("a", MANAGER_NMI), MANAGER_OK);
	assert_int_equal(act("a", MANAGER_DESTROY), MANAGER_OK);
	wait_ns(SECOND);
	assert_int_equal(due(), MANAGER_HOST_REBOOT);
	manager_host_stays();
}

static void manager_end_keep__another_control_vm__knows_what_was_asked_for(void **state)
{
	uint8_t bytes[64];
	struct recover_kept note = { .at = bytes, .left = sizeof(bytes) }, find = { .at = bytes, .left = sizeof(bytes), .finds = true };

	(void)state;
	manager_end_host(MANAGER_HOST_REBOOT, 0);
	manager_end_keep(&note);
	manager_host_stays();
	manager_end_keep(&find);
	wait_ns(SECOND);
	assert_int_equal(due(), MANAGER_HOST_REBOOT);
	manager_host_stays();
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

/* ---- Schedules ------------------------------------------------------------------------------------------------------------------------ */

/* Of "a", from what it has now. */
static enum manager_result reschedule(uint32_t weight)
{
	struct config_vm now = *vm("a").config, next = *manager_defined("a");

	now.weight = next.weight = weight;
	return manager_schedule("a", &now, &next, &error);
}

static void manager_schedule__it_runs__at_once_and_in_the_definition(void **state)
{
	uint64_t version;

	(void)state;
	runs_plainly();
	version = vm("a").version;
	assert_int_equal(reschedule(512), MANAGER_OK);
	assert_int_equal(scheduled.weight, 512);
	assert_true(vm("a").config->weight == 512 && vm("a").version > version && !vm("a").change_pending);
	version = vm("a").version;
	assert_int_equal(reschedule(512), MANAGER_OK);
	assert_int_equal(vm("a").version, version);
}

static void manager_schedule__change_pending__both_get_it(void **state)
{
	struct manager_definition *d = definition("a", 128);

	(void)state;
	runs_plainly();
	d->config.cap = 70;
	define(d);
	assert_int_equal(reschedule(512), MANAGER_OK);
	assert_true(scheduled.weight == 512 && scheduled.cap == 0 && vm("a").change_pending);
	assert_true(manager_defined("a")->weight == 512 && manager_defined("a")->cap == 70);
	assert_int_equal(act("a", MANAGER_RESET), MANAGER_OK);
	assert_true(vm("a").config->weight == 512 && vm("a").config->cap == 70);
}

static void manager_schedule__refused__nothing_has_changed(void **state)
{
	uint64_t version;

	(void)state;
	runs_plainly();
	version = vm("a").version;
	assert_int_equal(reschedule(7), MANAGER_OK);
	version = vm("a").version;
	schedule_result = MANAGER_INVALID;
	assert_int_equal(reschedule(512), MANAGER_INVALID);
	assert_string_equal(error.field, "reservation");
	assert_true(scheduled.weight == 7 && vm("a").config->weight == 7 && vm("a").version == version);
}

static void manager_schedule__shut_off__definition_alone(void **state)
{
	(void)state;
	define(definition("a", 64));
	assert_int_equal(reschedule(512), MANAGER_OK);
	assert_int_equal(vm("a").config->weight, 512);
	assert_int_equal(manager_schedule("b", vm("a").config, vm("a").config, &error), MANAGER_NOT_FOUND);
	assert_null(manager_defined("b"));
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
		CASE(manager_guest_ended__coredump_destroy__kept_until_fetched),
		CASE(manager_guest_ended__coredump_restart__runs_again_and_is_given_up_in_the_end),
		CASE(manager_core_poll__nobody_fetches_it__goes_after_an_hour),
		CASE(manager_act__no_memory_to_start__core_files_go_first),
		CASE(manager_core_read__it_goes_on__breaks_off),
		CASE(manager_core_open__more_than_there_can_be__is_full),
		CASE(manager_guest_watchdog__each_action__is_done),
		CASE(manager_guest_watchdog__a_debugger_has_it__nothing),
		CASE(manager_set_vcpus__each_state_and_number__those_that_can_be),
		CASE(manager_set_memory__each_state_and_number__those_that_can_be),
		CASE(manager_start_all__autostart__those_alone),
		CASE(manager_end_host__vms_in_all_states__the_machine_ends_after_them),
		CASE(manager_end_host__nothing_runs__there_is_time_for_the_answer),
		CASE(manager_end_host__deaf_guest__plug_is_pulled_in_time),
		CASE(manager_end_host__until_then__nothing_starts_or_stays),
		CASE(manager_end_keep__another_control_vm__knows_what_was_asked_for),
		CASE(manager_debug_begin__shut_off__started_but_for_the_first_instruction),
		CASE(manager_debug_begin__cannot_be_made__nothing_is_left),
		CASE(manager_debug_begin__paused__the_debugger_s_now),
		CASE(manager_debug_begin__kept_for_a_look__ended),
		CASE(manager_debug_begin__restarted__goes_on_without),
		CASE(manager_debug_begin__no_driver_vm__conflict),
		CASE(manager_schedule__it_runs__at_once_and_in_the_definition),
		CASE(manager_schedule__change_pending__both_get_it),
		CASE(manager_schedule__refused__nothing_has_changed),
		CASE(manager_schedule__shut_off__definition_alone),
		CASE(all_of_it__random_order__every_vm_stays_in_one_of_its_states),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
