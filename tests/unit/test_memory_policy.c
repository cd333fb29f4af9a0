/*
 * Sharing out the machine's memory: who may start, and what balloons are asked for; the same over random guests that grow and shrink.
 *
 * UNIT_SOURCES: drivers-vm/control/memory_policy.c
 */
#include "cmocka_all.h"

#include <stdlib.h>

#include "drivers-vm/control/memory_policy.h"

#define MIB     0x100000ull
#define RESERVE MEMORY_RESERVE_BYTES
#define GUESTS  8u

static struct memory_guest guest[GUESTS];

static struct memory_figures make(unsigned guests, uint64_t free, uint32_t overcommit)
{
	return (struct memory_figures){ .total = 1024 * MIB, .free = free, .overcommit = overcommit, .guests = guests, .guest = guest };
}

static void memory_missing__no_overcommit__what_is_promised_and_not_taken_counts(void **state)
{
	struct memory_figures figures = make(1, 500 * MIB + RESERVE, 100);

	(void)state;
	guest[0] = (struct memory_guest){ .memory = 300 * MIB, .most = 300 * MIB, .resident = 100 * MIB };
	assert_int_equal(memory_spare(&figures), 300 * MIB);
	assert_int_equal(memory_missing(&figures, 300 * MIB, 0, 0), 0);
	assert_int_equal(memory_missing(&figures, 301 * MIB, 0, 0), MIB);
	assert_int_equal(memory_missing(&figures, 0, 300 * MIB, 0), 0);
	assert_int_equal(memory_missing(&figures, 0, 317 * MIB, 0), 17 * MIB);
	assert_int_equal(memory_missing(&figures, 10 * MIB, 300 * MIB, 0), 10 * MIB);
	assert_false(memory_is_short_of_promises(&figures));
}

static void memory_missing__overcommit__promises_may_be_more_but_guarantees_are_there(void **state)
{
	struct memory_figures figures = make(1, 500 * MIB + RESERVE, 200);

	(void)state;
	guest[0] = (struct memory_guest){ .memory = 800 * MIB, .most = 800 * MIB, .least = 200 * MIB, .resident = 100 * MIB };
	assert_int_equal(memory_missing(&figures, 0, 400 * MIB, 0), 0);
	assert_int_equal(memory_missing(&figures, 0, 402 * MIB, 0), MIB);
	assert_int_equal(memory_missing(&figures, 0, 400 * MIB, 400 * MIB), 0);
	assert_int_equal(memory_missing(&figures, 0, 400 * MIB, 401 * MIB), MIB);
	assert_int_equal(memory_missing(&figures, 501 * MIB, 0, 0), 301 * MIB); /* it takes what backs the other one */
	assert_true(memory_is_short_of_promises(&figures));
}

static void memory_missing__nearly_nothing_is_free__the_reserve_stays(void **state)
{
	struct memory_figures figures = make(0, RESERVE - 1, 1000);

	(void)state;
	assert_int_equal(memory_spare(&figures), 0);
	assert_int_equal(memory_missing(&figures, MIB, 0, 0), MIB + 1);
	figures.free = 0;
	assert_int_equal(memory_missing(&figures, 0, 0, 0), RESERVE);
}

static void memory_balance__short__guests_give_by_what_they_have_above_their_guarantee(void **state)
{
	struct memory_figures figures = make(4, 0, 300);
	uint64_t wanted = 2 * memory_low_water(&figures);

	(void)state;
	guest[0] = (struct memory_guest){ .memory = 400 * MIB, .least = 100 * MIB, .resident = 300 * MIB, .balloon = true };
	guest[1] = (struct memory_guest){ .memory = 400 * MIB, .least = 100 * MIB, .resident = 200 * MIB, .balloon = true };
	guest[2] = (struct memory_guest){ .memory = 400 * MIB, .least = 100 * MIB, .resident = 90 * MIB, .balloon = true };
	guest[3] = (struct memory_guest){ .memory = 400 * MIB, .least = 100 * MIB, .resident = 400 * MIB };
	assert_true(memory_balance(&figures));
	assert_in_range(guest[0].pressure, 100 * MIB + wanted * 2 / 3 - 8192, 100 * MIB + wanted * 2 / 3);
	assert_in_range(guest[1].pressure, 200 * MIB + wanted / 3 - 8192, 200 * MIB + wanted / 3);
	assert_int_equal(guest[2].pressure, 0);
	assert_int_equal(guest[3].pressure, 0);
}

static void memory_balance__more_is_wanted_than_can_be_given__guarantees_are_kept(void **state)
{
	struct memory_figures figures = make(1, 0, 300);

	(void)state;
	guest[0] = (struct memory_guest){ .memory = 400 * MIB, .least = 100 * MIB, .resident = 101 * MIB, .balloon = true };
	assert_true(memory_balance(&figures));
	assert_int_equal(guest[0].pressure, 300 * MIB);
	guest[0] = (struct memory_guest){ .memory = 400 * MIB, .least = 100 * MIB, .resident = 100 * MIB, .balloon = true };
	assert_false(memory_balance(&figures));
}

static void memory_balance__plenty__balloons_are_let_go_in_steps(void **state)
{
	struct memory_figures figures = make(1, 0, 300);
	unsigned steps = 0;

	(void)state;
	figures.free = 3 * memory_low_water(&figures);
	guest[0] = (struct memory_guest){ .memory = 400 * MIB, .resident = 100 * MIB, .balloon = true, .pressure = 300 * MIB };
	for (uint64_t before = guest[0].pressure; memory_balance(&figures); before = guest[0].pressure, steps++)
		assert_true(guest[0].pressure < before);
	assert_in_range(steps, 2, 100);
	assert_int_equal(guest[0].pressure, 0);
}

/* Guests that obey slowly, and use all that they are let: the machine is not used up, and nobody falls below his guarantee. */
static void memory_balance__guests_that_grow__free_memory_comes_back(void **state)
{
	const uint64_t total = 1024 * MIB;

	(void)state;
	srandom(7);
	for (unsigned round = 0; round < 200; round++) {
		uint64_t used = 0;
		struct memory_figures figures = make(1 + (unsigned)random() % GUESTS, 0, 1000);
		for (unsigned i = 0; i < figures.guests; i++) {
			guest[i] = (struct memory_guest){ .memory = 600 * MIB, .most = 600 * MIB, .least = 64 * MIB, .balloon = true };
			guest[i].resident = total / figures.guests / 4096 * 4096;
			guest[i].resident = guest[i].resident > 600 * MIB ? 600 * MIB : guest[i].resident;
			used += guest[i].resident;
		}
		for (unsigned step = 0; step < 100; step++) {
			figures.free = total - used;
			memory_balance(&figures);
			for (unsigned i = 0; i < figures.guests; i++) {
				uint64_t may = guest[i].memory - guest[i].pressure,
					 less = guest[i].resident > may ? guest[i].resident - may : 0;
				less = less > 8 * MIB ? 8 * MIB : less;
				guest[i].resident -= less;
				used -= less;
				assert_true(guest[i].resident >= 64 * MIB);
			}
		}
		assert_true(total - used >= memory_low_water(&figures));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(memory_missing__no_overcommit__what_is_promised_and_not_taken_counts),
		cmocka_unit_test(memory_missing__overcommit__promises_may_be_more_but_guarantees_are_there),
		cmocka_unit_test(memory_missing__nearly_nothing_is_free__the_reserve_stays),
		cmocka_unit_test(memory_balance__short__guests_give_by_what_they_have_above_their_guarantee),
		cmocka_unit_test(memory_balance__more_is_wanted_than_can_be_given__guarantees_are_kept),
		cmocka_unit_test(memory_balance__plenty__balloons_are_let_go_in_steps),
		cmocka_unit_test(memory_balance__guests_that_grow__free_memory_comes_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
