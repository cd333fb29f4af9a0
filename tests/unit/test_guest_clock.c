/*
 * KVM's system time page: a second of any TSC is a second.
 *
 * UNIT_SOURCES: drivers-vm/control/guest_clock.c
 */
#include "tests/unit/cmocka_all.h"

#include <string.h>

#include "drivers-vm/control/guest_clock.h"

static void build__rates__second_is_a_second(void **state)
{
	static const uint64_t rates[] = { 1000000, 999999999, 1000000000, 2000000000, 2400000000, 3700000000, 10000000000 };
	struct {
		uint32_t version, pad;
		uint64_t tsc, ns;
		uint32_t mul;
		int8_t shift;
		uint8_t flags, pad2[2];
	} t;
	uint64_t page[4];

	(void)state;
	for (unsigned i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
		guest_clock_build(rates[i], page);
		memcpy(&t, page, sizeof(t));
		assert_int_equal(t.version & 1, 0);
		assert_true(t.version != 0);
		assert_int_equal(t.tsc | t.ns, 0);
		assert_int_equal(t.flags, 1);
		uint64_t second = t.shift >= 0 ? rates[i] << t.shift : rates[i] >> -t.shift;
		uint64_t ns = (uint64_t)((unsigned __int128)second * t.mul >> 32);
		assert_true(ns > 999999990 && ns <= 1000000000);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(build__rates__second_is_a_second),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
