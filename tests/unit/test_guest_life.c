/*
 * A guest that stands still and goes on: all its vCPUs, its clock, its NMIs; what it asks for; and driver VMs that die of it.
 *
 * UNIT_SOURCES: drivers-vm/control/guest_life.c
 * UNIT_FLAGS: -iquote tests/unit/fake_control
 */
#include "cmocka_all.h"

#include <string.h>

#include "drivers-vm/control/gdb/gdb.h"
#include "drivers-vm/control/guest.h"
#include "drivers-vm/control/guest_memory.h"
#include "drivers-vm/control/recover.h"

#define VCPUS 3u

static struct guest guests[CHANNEL_SLOTS];
static struct config_vm config = { .name = "g", .vcpus = VCPUS };
static bool running[VCPUS];
static uint64_t offset[VCPUS], nmi_at[VCPUS], now;
static unsigned nmis, ends;
static enum guest_end last_end;
static uint64_t last_value;
static bool driver_lost, attach_works, dies_of_it, crashed;
static struct channel_message sent;
static unsigned memory_waits, shortages;
static uint64_t memory_stops;

hilum_handle_t driver_vm = 7;

int64_t fake_call(uint64_t number, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f)
{
	uint64_t vcpu = a - 100;

	(void)d;
	(void)e;
	(void)f;
	switch (number) {
	case HC_VCPU_PAUSE:
		running[vcpu] = false;
		return 0;
	case HC_VCPU_RUN:
		running[vcpu] = true;
		return 0;
	case HC_VCPU_GET_STATE:
		assert_false(running[vcpu]);
		((struct hilum_vcpu_state *)b)->tsc_offset = offset[vcpu];
		return 0;
	case HC_VCPU_SET_STATE:
		assert_false(running[vcpu]);
		assert_int_equal(c, HILUM_STATE_MSR);
		offset[vcpu] = ((struct hilum_vcpu_state *)b)->tsc_offset;
		return 0;
	case HC_VM_INJECT_MSI:
		assert_int_equal(c, 4 << 8);
		nmi_at[nmis++] = b;
		return 0;
	case HC_VM_STATUS:
		memset((void *)b, 0, sizeof(struct hilum_vm_status));
		((struct hilum_vm_status *)b)->state = crashed ? HILUM_VM_CRASHED : HILUM_VM_RUNNING;
		((struct hilum_vm_status *)b)->crash = HILUM_CRASH_TRIPLE_FAULT;
		((struct hilum_vm_status *)b)->memory_stops = memory_stops;
		return 0;
	default:
		return 0;
	}
}

uint64_t service_tsc(void)
{
	return now;
}

void service_log(const char *format, ...)
{
	(void)format;
}

struct guest *guest_at(uint32_t slot)
{
	return &guests[slot];
}

uint32_t guest_slots(void)
{
	return CHANNEL_SLOTS;
}

bool guest_fail(const struct guest *g, enum manager_result result, const char *field, const char *format, ...)
{
	(void)g;
	(void)result;
	(void)field;
	(void)format;
	return false;
}

bool guest_share(const struct guest *g, uint32_t slot)
{
	(void)slot;
	return g->made;
}

bool guest_attach(struct guest *g, uint32_t slot, uint32_t flags)
{
	(void)slot;
	assert_true(flags & CHANNEL_VM_RESUME);
	driver_lost = dies_of_it;
	return g->made && attach_works && !dies_of_it;
}

bool guest_devices_resume(uint32_t slot)
{
	(void)slot;
	return true;
}

bool driver_is_lost(void)
{
	return driver_lost;
}

void driver_send(const struct channel_message *message)
{
	sent = *message;
}

const char *control_error(int64_t error)
{
	(void)error;
	return "";
}

void recover_note_slot(uint32_t slot)
{
	(void)slot;
}

void manager_guest_ended(uint32_t slot, enum guest_end end, uint64_t value)
{
	assert_true(guests[slot].made);
	ends++;
	last_end = end;
	last_value = value;
}

void guest_memory_limit(uint32_t slot)
{
	assert_int_equal(slot, 2);
}

void guest_memory_waits(uint32_t slot)
{
	memory_waits += slot == 2;
}

void guest_memory_tell_shortage(uint32_t slot)
{
	shortages += slot == 2;
}

static unsigned barks;
static uint64_t ejected;

void manager_guest_ejected(uint32_t slot, uint64_t vcpu)
{
	assert_true(guests[slot].made);
	ejected |= 1ull << vcpu;
}

void manager_guest_watchdog(uint32_t slot)
{
	assert_true(guests[slot].made);
	barks++;
}

static bool debugged;
static unsigned gdb_checks;

void gdb_guest_check(uint32_t slot)
{
	gdb_checks += slot == 2;
}

bool gdb_guest_crashed(uint32_t slot, uint32_t vcpu)
{
	assert_int_equal(slot, 2);
	assert_int_equal(vcpu, 0);
	return debugged;
}

static int setup(void **state)
{
	(void)state;
	memset(guests, 0, sizeof(guests));
	guests[2] = (struct guest){ .config = &config, .made = true, .vm = 50, .vcpus = VCPUS, .plugged = (1u << VCPUS) - 1 };
	for (unsigned i = 0; i < VCPUS; i++) {
		guests[2].vcpu[i] = 100 + i;
		running[i] = true;
		offset[i] = 0 - 1000ull * i;
	}
	now = 5000;
	nmis = ends = 0;
	driver_lost = dies_of_it = crashed = false;
	attach_works = true;
	return 0;
}

static unsigned run_count(void)
{
	return running[0] + running[1] + running[2];
}

#define MIB 0x100000ull

static void guest_set_balloon__targets__the_greatest_is_sent_once(void **state)
{
	struct config_vm with = { .name = "g", .vcpus = VCPUS, .memory_bytes = 64 * MIB, .balloon_bytes = 0 };

	(void)state;
	guests[2].config = &with;
	guests[2].memory_max = with.memory_bytes;
	sent.kind = CHANNEL_NONE;
	assert_true(guest_set_balloon(2, 8 * MIB));
	assert_int_equal(sent.kind, CHANNEL_BALLOON);
	assert_int_equal(sent.slot, 2);
	assert_int_equal(sent.request.value, 2048);
	guest_press_balloon(2, 16 * MIB);
	assert_int_equal(sent.request.value, 4096);
	sent.kind = CHANNEL_NONE;
	assert_true(guest_set_balloon(2, 10 * MIB)); /* pressure is greater */
	assert_int_equal(sent.kind, CHANNEL_NONE);
	guest_press_balloon(2, 0);
	assert_int_equal(sent.request.value, 2560);
	guest_set_limits(2, 32 * MIB, 4 * MIB);
	assert_int_equal(sent.request.value, 8192);
	guest_set_limits(2, 64 * MIB, 4 * MIB);
	assert_int_equal(sent.request.value, 2560);
	guest_press_balloon(2, 64 * MIB); /* something is left to it always */
	assert_int_equal(sent.request.value, 62 * 256);
	assert_false(guest_set_balloon(2, 64 * MIB));
	with.balloon_bytes = CONFIG_NO_BALLOON;
	assert_false(guest_set_balloon(2, 0));
	assert_int_equal(guest_balloon_target(&guests[2]), 0);
}

static void guest_check_status__vcpus_wait_for_memory__that_is_seen_to_and_nothing_ends(void **state)
{
	(void)state;
	memory_waits = 0;
	memory_stops = 2;
	guest_check_status(2);
	assert_int_equal(memory_waits, 1);
	assert_int_equal(ends, 0);
	memory_stops = 0;
	guest_check_status(2);
	assert_int_equal(memory_waits, 1);
}

static void guest_continue__it_stood_still__its_clock_did_too(void **state)
{
	(void)state;
	guest_pause(2);
	assert_int_equal(run_count(), 0);
	now += 700;
	guest_pause(2); /* again: the time counts from the first */
	now += 70;
	guest_continue(2);
	assert_int_equal(run_count(), VCPUS);
	for (unsigned i = 0; i < VCPUS; i++)
		assert_int_equal(offset[i], 0 - 1000ull * i - 770);
	now += 99;
	guest_continue(2); /* it runs */
	assert_int_equal(offset[0], 0 - 770ull);
}

static void guest_continue__it_has_ended__it_never_goes_on(void **state)
{
	(void)state;
	guest_pause(2);
	guest_preserve(2);
	guest_continue(2);
	assert_int_equal(run_count(), 0);
}

static void guest_inject_nmi__several_vcpus__one_message_each(void **state)
{
	(void)state;
	guest_inject_nmi(2);
	assert_int_equal(nmis, VCPUS);
	for (unsigned i = 0; i < VCPUS; i++)
		assert_int_equal(nmi_at[i], 0xFEE00000 | i << 12);
}

static void guest_press_button__any__driver_vm_is_told(void **state)
{
	(void)state;
	guest_press_button(2);
	assert_int_equal(sent.kind, CHANNEL_BUTTON);
	assert_int_equal(sent.slot, 2);
}

static void guest_run_requests__two_were_made__first_counts(void **state)
{
	(void)state;
	guest_request(2, CHANNEL_REQUEST_DEBUG_EXIT, 9);
	guest_request(2, CHANNEL_REQUEST_RESET, 0);
	guest_request(3, CHANNEL_REQUEST_RESET, 0); /* nobody's */
	guest_run_requests();
	assert_int_equal(ends, 1);
	assert_int_equal(last_end, GUEST_DEBUG_EXIT);
	assert_int_equal(last_value, 9);
	guest_request(2, 0xFFFFFFFF, 0); /* the driver VM may say anything */
	guest_run_requests();
	assert_int_equal(ends, 1);
}

static void guest_run_requests__watchdog_and_power_off__both_count(void **state)
{
	(void)state;
	barks = 0;
	guest_request(2, CHANNEL_REQUEST_GUEST_WATCHDOG, 0);
	guest_request(2, CHANNEL_REQUEST_POWER_OFF, 0);
	guest_run_requests();
	assert_int_equal(ends, 1);
	guest_request(2, CHANNEL_REQUEST_GUEST_WATCHDOG, 0);
	guest_request(2, CHANNEL_REQUEST_EJECT, 1);
	guest_request(2, CHANNEL_REQUEST_EJECT, 5);
	guest_request(2, CHANNEL_REQUEST_EJECT, UINT64_MAX); /* the driver VM may say anything */
	guest_run_requests();
	assert_int_equal(barks, 1);
	assert_int_equal(ejected, 1 << 1 | 1 << 5);
	guest_run_requests();
	assert_int_equal(barks, 1);
}

static void guest_check_status__crashed__manager_decides(void **state)
{
	(void)state;
	guest_check_status(2);
	guest_check_status(3);
	assert_int_equal(ends, 0);
	crashed = true;
	guest_check_status(2);
	assert_int_equal(last_end, GUEST_CRASHED);
	assert_int_equal(last_value, HILUM_CRASH_TRIPLE_FAULT);
	guest_preserve(2);
	guest_check_status(2);
	assert_int_equal(ends, 1);
}

static void guest_check_status__crashed_under_a_debugger__its_end_waits(void **state)
{
	(void)state;
	debugged = crashed = true;
	gdb_checks = 0;
	guest_check_status(2);
	assert_int_equal(ends, 0);
	assert_int_equal(gdb_checks, 1); /* what its vCPUs have stopped for comes first */
	debugged = false;
	guest_check_status(2);
	assert_int_equal(ends, 1);
	assert_int_equal(last_end, GUEST_CRASHED);
}

static void guest_resume_all__state_kills_driver_vms__it_ends_after_two(void **state)
{
	(void)state;
	assert_int_equal(guest_resume_all(), 1);
	dies_of_it = true;
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(ends, 0);
		driver_lost = false;
		guest_resume_all();
	}
	assert_int_equal(ends, 1);
	assert_int_equal(last_end, GUEST_LOST);
}

static void guest_resume_all__driver_vm_refuses_it__it_ends_at_once(void **state)
{
	(void)state;
	attach_works = false;
	guest_resume_all();
	assert_int_equal(ends, 1);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup(name, setup)
	const struct CMUnitTest tests[] = {
		CASE(guest_set_balloon__targets__the_greatest_is_sent_once),
		CASE(guest_check_status__vcpus_wait_for_memory__that_is_seen_to_and_nothing_ends),
		CASE(guest_continue__it_stood_still__its_clock_did_too),
		CASE(guest_continue__it_has_ended__it_never_goes_on),
		CASE(guest_inject_nmi__several_vcpus__one_message_each),
		CASE(guest_press_button__any__driver_vm_is_told),
		CASE(guest_run_requests__two_were_made__first_counts),
		CASE(guest_run_requests__watchdog_and_power_off__both_count),
		CASE(guest_check_status__crashed__manager_decides),
		CASE(guest_check_status__crashed_under_a_debugger__its_end_waits),
		CASE(guest_resume_all__state_kills_driver_vms__it_ends_after_two),
		CASE(guest_resume_all__driver_vm_refuses_it__it_ends_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
