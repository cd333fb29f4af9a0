/*
 * Guests that wait for memory, the driver VM that waits for a guest's sake, limits, and who may start.
 *
 * UNIT_SOURCES: drivers-vm/control/guest_memory.c drivers-vm/control/memory_policy.c
 * UNIT_FLAGS: -iquote tests/unit/fake_control
 */
#include "cmocka_all.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "drivers-vm/control/events.h"
#include "drivers-vm/control/guest.h"
#include "drivers-vm/control/guest_memory.h"
#include "drivers-vm/control/memory_policy.h"
#include "drivers-vm/control/share_scan.h"

#define MIB     0x100000ull
#define SECOND  1000000000ull
#define DRIVER  7u
#define RAM(s)  (0x100000000ull + (s)*0x40000000ull)
#define BALLAST 99

static struct guest guests[CHANNEL_SLOTS];
static struct config_vm config[CHANNEL_SLOTS];
static uint64_t free_now, resident[CHANNEL_SLOTS], limit[CHANNEL_SLOTS], stops[CHANNEL_SLOTS], now_ns;
static unsigned runs[CHANNEL_SLOTS], ended_slot, ends, driver_runs, discards, refusals;
static uint64_t ballast_bytes;
static char refusal[256];

hilum_handle_t driver_vm = DRIVER;
struct hilum_host_info control_host;

struct guest *guest_at(uint32_t slot)
{
	return &guests[slot];
}

uint32_t guest_slots(void)
{
	return 4;
}

uint64_t manager_clock_ns(void)
{
	return now_ns;
}

void service_log(const char *format, ...)
{
	(void)format;
}

void event_add(const char *kind, const char *name, const char *format, ...)
{
	(void)kind;
	(void)name;
	(void)format;
}

struct module *module_find(const char *name)
{
	static struct module m = { .bytes = 8 * MIB };

	return name != NULL ? &m : NULL;
}

int64_t control_memory_create(uint64_t bytes, uint32_t flags)
{
	assert_int_equal(flags, 0);
	ballast_bytes = bytes;
	free_now -= bytes;
	return BALLAST;
}

bool guest_fail(const struct guest *g, enum manager_result result, const char *field, const char *format, ...)
{
	va_list args;

	(void)g;
	(void)field;
	assert_int_equal(result, MANAGER_NO_MEMORY);
	va_start(args, format);
	vsnprintf(refusal, sizeof(refusal), format, args);
	va_end(args);
	refusals++;
	return false;
}

void guest_press_balloon(uint32_t slot, uint64_t bytes)
{
	guests[slot].balloon_pressure = bytes;
}

void guest_check_status(uint32_t slot)
{
	if (stops[slot] != 0)
		guest_memory_waits(slot);
}

void share_slot_changed(uint32_t slot)
{
	assert_true(guests[slot].made);
}

void manager_guest_ended(uint32_t slot, enum guest_end end, uint64_t value)
{
	assert_true(guests[slot].made && end == GUEST_CRASHED && value == HILUM_CRASH_NO_MEMORY);
	ended_slot = slot;
	ends++;
	free_now += resident[slot];
	resident[slot] = 0;
	guests[slot].made = false;
	guests[slot].memory = 0;
}

void driver_run_waiting(uint64_t vcpus)
{
	assert_int_equal(vcpus, 2);
	driver_runs++;
}

/* A guest's VM is 100, its memory 200, its vCPU 300 and its slot. */
int64_t fake_call(uint64_t number, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f)
{
	(void)c;
	(void)d;
	(void)e;
	(void)f;
	switch (number) {
	case HC_HOST_INFO:
		((struct hilum_host_info *)b)->free_bytes = free_now;
		((struct hilum_host_info *)b)->memory_bytes = 1024 * MIB;
		return 0;
	case HC_MEMORY_STATUS:
		*(struct hilum_memory_status *)b = (struct hilum_memory_status){ .resident_bytes = resident[a - 200] };
		return 0;
	case HC_MEMORY_LIMIT:
		limit[a - 200] = b;
		return 0;
	case HC_VM_STATUS:
		*(struct hilum_vm_status *)b = (struct hilum_vm_status){ .memory_stops = stops[a - 100] };
		return 0;
	case HC_VCPU_RUN:
		runs[a - 300]++;
		stops[a - 300] = 0;
		return 0;
	case HC_MEMORY_DISCARD:
		assert_int_equal(a, DRIVER);
		discards++;
		free_now += 64 * MIB;
		return 0;
	case HC_HANDLE_CLOSE:
		assert_int_equal(a, BALLAST);
		free_now += ballast_bytes;
		return 0;
	default:
		return 0;
	}
}

static void add(uint32_t slot, uint64_t memory, uint64_t has)
{
	config[slot] = (struct config_vm){ .name = "g", .memory_bytes = memory, .memory_max = memory, .vcpus = 1, .balloon_bytes = 0 };
	guests[slot] = (struct guest){ .config = &config[slot],
		                       .made = true,
		                       .vm = 100 + slot,
		                       .memory = 200 + slot,
		                       .vcpu = { 300 + slot },
		                       .driver_ram = RAM(slot),
		                       .memory_max = memory };
	resident[slot] = has;
}

static int setup(void **state)
{
	static struct config host = { .overcommit = 300 };

	(void)state;
	for (uint32_t slot = 0; slot < 4; slot++)
		guests[slot].made = false;
	now_ns += 100 * SECOND;
	guest_memory_begin(&host);
	guest_memory_recover();
	guest_memory_run(); /* forgets what waited */
	memset(guests, 0, sizeof(guests));
	memset(runs, 0, sizeof(runs));
	memset(stops, 0, sizeof(stops));
	ends = driver_runs = discards = refusals = 0;
	return 0;
}

static void run_for(uint64_t ns)
{
	for (uint64_t end = now_ns + ns; now_ns < end; now_ns += SECOND / 20)
		guest_memory_run();
}

static void guest_memory_waits__memory_comes__it_goes_on(void **state)
{
	(void)state;
	add(1, 600 * MIB, 500 * MIB);
	free_now = 0;
	stops[1] = 1;
	guest_memory_waits(1);
	run_for(2 * SECOND);
	assert_int_equal(runs[1] + ends, 0);
	assert_true(guests[1].balloon_pressure != 0);
	free_now = 8 * MIB;
	run_for(SECOND);
	assert_int_equal(runs[1], 1);
	run_for(20 * SECOND);
	assert_int_equal(ends, 0);
}

static void guest_memory_waits__no_memory_comes__that_guest_ends_and_no_other(void **state)
{
	(void)state;
	add(1, 600 * MIB, 500 * MIB);
	add(2, 600 * MIB, 400 * MIB);
	free_now = 0;
	stops[2] = 1;
	guest_memory_waits(2);
	run_for(4 * SECOND);
	assert_int_equal(ends, 0);
	run_for(20 * SECOND);
	assert_int_equal(ends, 1);
	assert_int_equal(ended_slot, 2);
	assert_true(guests[1].made);
}

static void guest_memory_waits__again_and_again__its_patience_does_not_begin_anew(void **state)
{
	(void)state;
	add(2, 600 * MIB, 400 * MIB);
	for (unsigned i = 0; i < 20 && ends == 0; i++) {
		stops[2] = 1;
		guest_memory_waits(2);
		free_now = 4 * MIB;
		run_for(SECOND / 2);
		free_now = 0;
	}
	stops[2] = 1;
	guest_memory_waits(2);
	run_for(SECOND);
	assert_int_equal(ends, 1);
}

static void guest_memory_waits__at_its_limit__free_memory_does_not_help(void **state)
{
	(void)state;
	add(1, 600 * MIB, 300 * MIB);
	guests[1].memory_max = 300 * MIB;
	guest_memory_limit(1);
	run_for(SECOND);
	assert_int_equal(limit[1], 300 * MIB);
	free_now = 500 * MIB;
	stops[1] = 1;
	guest_memory_waits(1);
	run_for(4 * SECOND);
	assert_int_equal(runs[1] + ends, 0);
	run_for(2 * SECOND);
	assert_int_equal(ends, 1);
}

static void guest_memory_limit__below_what_it_has__follows_its_balloon(void **state)
{
	(void)state;
	add(1, 600 * MIB, 500 * MIB);
	free_now = 100 * MIB;
	guests[1].memory_max = 300 * MIB;
	guest_memory_limit(1);
	assert_in_range(limit[1], 500 * MIB, 510 * MIB);
	resident[1] = 400 * MIB;
	run_for(SECOND);
	assert_in_range(limit[1], 400 * MIB, 410 * MIB);
	resident[1] = 290 * MIB;
	run_for(SECOND);
	assert_int_equal(limit[1], 300 * MIB);
	guests[1].memory_max = 600 * MIB;
	guest_memory_limit(1);
	assert_int_equal(limit[1], 0);
}

static void guest_memory_driver_waits__for_a_guest_without_memory__that_guest_ends_and_the_driver_vm_goes_on(void **state)
{
	(void)state;
	add(1, 600 * MIB, 500 * MIB);
	add(2, 600 * MIB, 400 * MIB);
	free_now = 0;
	guest_memory_driver_waits(RAM(2) + 5 * MIB, 2);
	assert_int_equal(driver_runs, 1);
	assert_true(free_now >= 4 * MIB);
	run_for(SECOND);
	assert_int_equal(ends, 1);
	assert_int_equal(ended_slot, 2);
}

static void guest_memory_driver_waits__there_is_memory_again__nobody_ends(void **state)
{
	(void)state;
	add(2, 600 * MIB, 400 * MIB);
	free_now = 100 * MIB;
	guest_memory_driver_waits(RAM(2), 2);
	run_for(SECOND);
	assert_int_equal(driver_runs, 1);
	assert_int_equal(ends + discards, 0);
}

static void guest_memory_admit__promises_are_too_many__told_what_is_missing(void **state)
{
	static struct config plain = { .overcommit = 100 };

	(void)state;
	guest_memory_begin(&plain);
	add(1, 600 * MIB, 100 * MIB);
	config[2] = (struct config_vm){ .name = "n", .kernel = "k", .memory_bytes = 600 * MIB, .memory_max = 600 * MIB };
	guests[2] = (struct guest){ .config = &config[2], .memory_max = 600 * MIB };
	free_now = 900 * MIB + MEMORY_RESERVE_BYTES;
	assert_false(guest_memory_admit(&guests[2]));
	assert_non_null(strstr(refusal, "it may use 600 MiB, and 200 MiB are missing (916 MiB free, 500 MiB promised to others)"));
	assert_int_equal(guest_memory_spare(), 400 * MIB);
	guests[2].memory_max = 400 * MIB;
	assert_true(guest_memory_admit(&guests[2]));
	guests[2].memory_max = 600 * MIB;
	config[2].prefault = true;
	assert_false(guest_memory_admit(&guests[2]));
	assert_int_equal(refusals, 2);
}

#define CASE(name) cmocka_unit_test_setup(name, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(guest_memory_waits__memory_comes__it_goes_on),
		CASE(guest_memory_waits__no_memory_comes__that_guest_ends_and_no_other),
		CASE(guest_memory_waits__again_and_again__its_patience_does_not_begin_anew),
		CASE(guest_memory_waits__at_its_limit__free_memory_does_not_help),
		CASE(guest_memory_limit__below_what_it_has__follows_its_balloon),
		CASE(guest_memory_driver_waits__for_a_guest_without_memory__that_guest_ends_and_the_driver_vm_goes_on),
		CASE(guest_memory_driver_waits__there_is_memory_again__nobody_ends),
		CASE(guest_memory_admit__promises_are_too_many__told_what_is_missing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
