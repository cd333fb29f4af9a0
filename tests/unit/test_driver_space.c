/*
 * Places in the driver VM: disjoint, aligned, used again, and found at once when hundreds of the same size are there.
 *
 * UNIT_SOURCES: drivers-vm/control/driver_space.c
 */
#include "tests/unit/cmocka_all.h"

#include "drivers-vm/control/control.h"

#include <stdlib.h>

#define MIB  (1ull << 20)
#define GIB  (1ull << 30)
#define MANY 600

static void driver_space_take__sizes__aligned_as_their_pages(void **state)
{
	uint64_t small, large, next;

	(void)state;
	small = driver_space_take(4096);
	large = driver_space_take(GIB + 1);
	next = driver_space_take(3 * MIB);
	assert_int_equal(small, CHANNEL_RAM_GPA);
	assert_int_equal(large, CHANNEL_RAM_GPA + GIB);
	assert_int_equal(next, CHANNEL_RAM_GPA + 2 * MIB); /* in the gap before the large one */
	driver_space_give(small);
	driver_space_give(large);
	driver_space_give(next);
}

static void driver_space_take__nothing_or_too_much__none(void **state)
{
	(void)state;
	assert_int_equal(driver_space_take(0), 0);
	assert_int_equal(driver_space_take(1ull << 48), 0);
	assert_int_equal(driver_space_take(UINT64_MAX), 0);
}

static void driver_space_take__random_takes_and_gives__disjoint_and_lowest_first(void **state)
{
	static uint64_t gpa[MANY], bytes[MANY];

	(void)state;
	srand(1);
	for (unsigned turn = 0; turn < 20000; turn++) {
		unsigned i = (unsigned)rand() % MANY;
		if (gpa[i] != 0) {
			driver_space_give(gpa[i]);
			gpa[i] = 0;
			continue;
		}
		bytes[i] = rand() % 16 == 0 ? GIB : (1 + (uint64_t)rand() % 64) * 2 * MIB;
		gpa[i] = driver_space_take(bytes[i]);
		assert_true(gpa[i] >= CHANNEL_RAM_GPA && gpa[i] % (bytes[i] >= GIB ? GIB : 2 * MIB) == 0);
		for (unsigned k = 0; k < MANY; k++)
			assert_true(k == i || gpa[k] == 0 || gpa[k] + bytes[k] <= gpa[i] || gpa[i] + bytes[i] <= gpa[k]);
	}
	for (unsigned i = 0; i < MANY; i++)
		if (gpa[i] != 0)
			driver_space_give(gpa[i]);
	assert_int_equal(driver_space_take(GIB), CHANNEL_RAM_GPA); /* nothing is lost */
	driver_space_give(CHANNEL_RAM_GPA);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(driver_space_take__sizes__aligned_as_their_pages),
		cmocka_unit_test(driver_space_take__nothing_or_too_much__none),
		cmocka_unit_test(driver_space_take__random_takes_and_gives__disjoint_and_lowest_first),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
