/*
 * The earliest of many deadlines, beside a plain search; and what a change costs.
 *
 * UNIT_SOURCES: drivers-vm/driver/deadlines.c
 */
#include "tests/unit/cmocka_all.h"

#include "drivers-vm/driver/deadlines.h"

#include <stdlib.h>
#include <string.h>

static struct deadlines d;
static uint64_t plain[DEADLINES_MAX];

static int setup(void **state)
{
	(void)state;
	memset(&d, 0, sizeof(d));
	memset(plain, 0, sizeof(plain));
	return 0;
}

static void set(unsigned number, uint64_t deadline)
{
	deadlines_set(&d, number, deadline);
	plain[number] = deadline;
}

static uint64_t earliest(void)
{
	uint64_t found = 0;

	for (unsigned i = 0; i < DEADLINES_MAX; i++)
		if (plain[i] != 0 && (found == 0 || plain[i] < found))
			found = plain[i];
	return found;
}

static void expect_right(void)
{
	unsigned number = 0;
	uint64_t first = deadlines_first(&d, &number);

	assert_int_equal(first, earliest());
	if (first != 0)
		assert_int_equal(plain[number], first);
}

static void deadlines_first__empty__none(void **state)
{
	unsigned number = 7;

	(void)state;
	assert_int_equal(deadlines_first(&d, &number), 0);
	assert_int_equal(number, 7);
	set(3, 0);
	assert_int_equal(deadlines_first(&d, &number), 0);
}

static void deadlines_set__moved_and_taken_back__first_is_always_right(void **state)
{
	(void)state;
	set(5, 50);
	set(6, 40);
	set(7, 60);
	expect_right();
	set(6, 70);
	expect_right();
	set(5, 0);
	expect_right();
	set(7, 80);
	expect_right();
	set(6, 0);
	set(7, 0);
	expect_right();
}

static void deadlines_set__random_changes__as_a_plain_search(void **state)
{
	(void)state;
	srand(1);
	for (unsigned i = 0; i < 50000; i++) {
		set((unsigned)rand() % DEADLINES_MAX, rand() % 4 == 0 ? 0 : 1 + (uint64_t)rand() % 1000);
		expect_right();
	}
}

static void deadlines_set__all_at_once__come_out_in_order(void **state)
{
	unsigned number;
	uint64_t last = 0, first;

	(void)state;
	for (unsigned i = 0; i < DEADLINES_MAX; i++)
		set(i, 1 + (i * 2654435761u) % 100000);
	for (unsigned i = 0; i < DEADLINES_MAX; i++) {
		first = deadlines_first(&d, &number);
		assert_true(first >= last && first != 0);
		last = first;
		set(number, 0);
	}
	assert_int_equal(deadlines_first(&d, &number), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(deadlines_first__empty__none, setup),
		cmocka_unit_test_setup(deadlines_set__moved_and_taken_back__first_is_always_right, setup),
		cmocka_unit_test_setup(deadlines_set__random_changes__as_a_plain_search, setup),
		cmocka_unit_test_setup(deadlines_set__all_at_once__come_out_in_order, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
