/*
 * What the kernel is told of a guest's share of the cores.
 *
 * UNIT_SOURCES: drivers-vm/control/guest_schedule.c
 * UNIT_FLAGS: -iquote tests/unit/fake_control
 */
#include "cmocka_all.h"

#include <string.h>

#include "drivers-vm/control/guest.h"

static struct guest fake_guest;
static struct config_vm config;
static struct hilum_schedule told[HILUM_MAX_VCPUS];
static unsigned calls;
static int64_t answer;
static uint64_t asked_vcpu, ports, left; /* left: vCPUs that the guest has not */
static struct manager_error error;

int64_t fake_call(uint64_t number, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f)
{
	(void)c, (void)d, (void)e, (void)f;
	if (number == HC_VCPU_STATS) {
		asked_vcpu = a;
		memset((void *)b, 0, sizeof(struct hilum_vcpu_stats));
		((struct hilum_vcpu_stats *)b)->exits[HILUM_EXIT_PORT] = ports;
		((struct hilum_vcpu_stats *)b)->exits[HILUM_EXIT_CPUID] = 1000 + calls;
		return 0;
	}
	assert_int_equal(number, HC_VCPU_SCHEDULE);
	assert_int_equal(a, 100 + calls);
	told[calls++] = *(const struct hilum_schedule *)b;
	return answer;
}

unsigned guest_count_vcpus(const struct guest *g)
{
	return (unsigned)__builtin_popcountll(g->plugged);
}

uint32_t guest_slots(void)
{
	return 8;
}

struct guest *guest_at(uint32_t slot)
{
	static struct guest none;

	return slot == 5 ? &fake_guest : &none;
}

const char *control_error(int64_t code)
{
	return code == HILUM_E_BAD_HANDLE ? "no such handle" : "?";
}

static enum manager_result schedule(void)
{
	calls = 0;
	fake_guest.vcpus = config.vcpus;
	fake_guest.plugged = ~left & (~0ull >> (64 - config.vcpus));
	memset(told, 0xFF, sizeof(told));
	return guest_schedule(5, &error);
}

static int setup(void **state)
{
	(void)state;
	config = (struct config_vm){ .name = "g", .vcpus = 1, .weight = 256 };
	fake_guest = (struct guest){ .config = &config };
	for (unsigned i = 0; i < HILUM_MAX_VCPUS; i++)
		fake_guest.vcpu[i] = 100 + i;
	answer = 0;
	left = 0;
	return 0;
}

static void guest_schedule__nothing_special__weight_alone(void **state)
{
	const struct hilum_schedule plain = { .weight = 256 };

	(void)state;
	assert_int_equal(schedule(), MANAGER_OK);
	assert_int_equal(calls, 1);
	assert_memory_equal(&told[0], &plain, sizeof(plain));
}

static void guest_schedule__cap_and_reservation__parts_sum_up(void **state)
{
	(void)state;
	for (config.vcpus = 1; config.vcpus <= HILUM_MAX_VCPUS; config.vcpus++) {
		uint32_t cap = 0, reservation = 0;

		config.cap = 97 * config.vcpus;
		config.reservation = 13 * config.vcpus + 1;
		assert_int_equal(schedule(), MANAGER_OK);
		assert_int_equal(calls, config.vcpus);
		for (unsigned i = 0; i < config.vcpus; i++) {
			assert_in_range(told[i].cap, 970, 971);
			cap += told[i].cap;
			reservation += told[i].reservation;
		}
		assert_int_equal(cap, 10 * config.cap);
		assert_int_equal(reservation, 10 * config.reservation);
	}
}

static void guest_schedule__cap_smaller_than_a_part__never_becomes_unlimited(void **state)
{
	(void)state;
	config.vcpus = HILUM_MAX_VCPUS;
	config.cap = 1;
	assert_int_equal(schedule(), MANAGER_OK);
	for (unsigned i = 0; i < HILUM_MAX_VCPUS; i++)
		assert_int_equal(told[i].cap, 1);
}

static void guest_schedule__vcpu_unplugged__the_others_have_its_part(void **state)
{
	(void)state;
	config.vcpus = 3;
	config.cap = 50;
	config.reservation = 20;
	left = 2;
	assert_int_equal(schedule(), MANAGER_OK);
	assert_true(told[0].cap == 250 && told[1].cap == 0 && told[2].cap == 250);
	assert_true(told[0].reservation == 100 && told[1].reservation == 0 && told[2].reservation == 100);
}

static void guest_schedule__dedicated__a_core_each(void **state)
{
	(void)state;
	config.vcpus = 3;
	config.cpus = 1ull << 2 | 1ull << 5 | 1ull << 63 | 1ull << 40;
	config.dedicated = true;
	assert_int_equal(schedule(), MANAGER_OK);
	assert_true(told[0].cores == 1ull << 2 && told[1].cores == 1ull << 5 && told[2].cores == 1ull << 40);
	assert_int_equal(told[2].flags, HILUM_SCHEDULE_DEDICATED);
	config.dedicated = false;
	assert_int_equal(schedule(), MANAGER_OK);
	assert_true(told[0].cores == config.cpus && told[2].cores == config.cpus && told[0].flags == 0);
}

static void guest_schedule__refused__names_the_key(void **state)
{
	(void)state;
	config.cpus = 8;
	answer = HILUM_E_INVALID;
	assert_int_equal(schedule(), MANAGER_INVALID);
	assert_string_equal(error.field, "cpus");
	answer = HILUM_E_BUSY;
	schedule();
	assert_string_equal(error.field, "cpus");
	config.reservation = 50;
	schedule();
	assert_string_equal(error.field, "reservation");
	config.dedicated = true;
	schedule();
	assert_string_equal(error.field, "dedicated");
	answer = HILUM_E_BAD_HANDLE;
	schedule();
	assert_string_equal(error.field, "");
	assert_string_equal(error.detail, "no such handle");
}

static void guest_core_is_undisturbed__dedicated__until_its_guest_asks(void **state)
{
	uint64_t asked = 0;

	(void)state;
	config.vcpus = fake_guest.vcpus = 2;
	config.cpus = 1ull << 2 | 1ull << 5;
	config.dedicated = true;
	ports = 7;
	assert_false(guest_core_is_undisturbed(5, &asked)); /* not made */
	fake_guest.made = true;
	assert_false(guest_core_is_undisturbed(5, &asked));
	assert_int_equal(asked_vcpu, 101);
	assert_true(guest_core_is_undisturbed(5, &asked));
	ports++;
	assert_false(guest_core_is_undisturbed(5, &asked));
	assert_true(guest_core_is_undisturbed(5, &asked));
	assert_false(guest_core_is_undisturbed(3, &asked));
	config.dedicated = false;
	assert_false(guest_core_is_undisturbed(5, &asked));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(guest_schedule__nothing_special__weight_alone, setup),
		cmocka_unit_test_setup(guest_schedule__cap_and_reservation__parts_sum_up, setup),
		cmocka_unit_test_setup(guest_schedule__cap_smaller_than_a_part__never_becomes_unlimited, setup),
		cmocka_unit_test_setup(guest_schedule__vcpu_unplugged__the_others_have_its_part, setup),
		cmocka_unit_test_setup(guest_schedule__dedicated__a_core_each, setup),
		cmocka_unit_test_setup(guest_schedule__refused__names_the_key, setup),
		cmocka_unit_test_setup(guest_core_is_undisturbed__dedicated__until_its_guest_asks, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
