/*
 * The control VM's guard against itself: what strikes it and what does not, by a clock of the test's own.
 *
 * UNIT_SOURCES: drivers-vm/control/guard.c
 * UNIT_FLAGS: -iquote tests/unit/fake_control
 */
#include "cmocka_all.h"

#include <string.h>

#include "drivers-vm/control/guard.h"
#include "drivers-vm/control/places.h"
#include "drivers-vm/runtime/service.h"

#define SECOND  1000000000ull
#define INITIAL (0x380 / 4)
#define NOTHING 0xFFFFFFF0u /* is in the register until it is written to */
#define DIVIDER 128u

static uint32_t registers[1024];
static uint64_t now, strikes_at; /* 0: it rests */
static uint64_t writes, longest; /* the longest wait */

uint64_t fake_places;

uint64_t service_tsc(void)
{
	return now;
}

uint64_t service_ns_to_tsc(uint64_t ns)
{
	return ns;
}

void runtime_abort(const char *reason)
{
	fail_msg("%s", reason);
	for (;;)
		;
}

static void see_timer(void)
{
	uint32_t value = registers[INITIAL];

	if (value == NOTHING)
		return;
	strikes_at = value == 0 ? 0 : now + (uint64_t)value * DIVIDER;
	registers[INITIAL] = NOTHING;
	writes++;
}

static bool has_struck(void)
{
	see_timer();
	return strikes_at != 0 && now >= strikes_at;
}

/* Nothing ever happens. */
int64_t hypercall_wait(uint64_t flags, uint64_t deadline_tsc, struct hypercall_trap *trap)
{
	(void)flags;
	(void)trap;
	see_timer();
	assert_true(deadline_tsc != 0);
	if (deadline_tsc <= now)
		return HILUM_WAIT_TIMEOUT;
	longest = deadline_tsc - now > longest ? deadline_tsc - now : longest;
	now = deadline_tsc;
	return HILUM_WAIT_TIMEOUT;
}

static int setup(void **state)
{
	(void)state;
	fake_places = (uintptr_t)registers;
	memset(registers, 0, sizeof(registers));
	registers[INITIAL] = NOTHING;
	now += 1000 * SECOND; /* the guard knows of the test before */
	longest = writes = 0;
	guard_rest();
	guard_go_on();
	assert_false(has_struck());
	assert_true(strikes_at != 0);
	return 0;
}

/* Seconds after which it strikes, of `most`; 0: not at all. */
static uint64_t struck_after(uint64_t most, void (*step)(void))
{
	uint64_t began = now;

	while (now - began < most * SECOND) {
		step();
		if (has_struck())
			return (strikes_at - began) / SECOND;
	}
	return 0;
}

static void round_of_the_main_loop(void)
{
	guard_go_on();
	guard_wait(0);
}

static void round_with_a_deadline(void)
{
	guard_go_on();
	guard_wait(now + SECOND);
}

static void round_with_a_long_wait(void)
{
	guard_go_on();
	for (uint64_t until = now + 60 * SECOND; now < until;)
		guard_wait(until);
}

static void spin(void)
{
	now += SECOND / 8;
}

static void wait_for_nothing(void)
{
	guard_wait(0);
}

static void wait_for_moments(void)
{
	guard_wait(now + SECOND / 1000);
}

static void guard__main_loop_has_nothing_to_do__never_strikes(void **state)
{
	(void)state;
	assert_int_equal(struck_after(100000, round_of_the_main_loop), 0);
	assert_true(longest <= GUARD_NS / 4);
}

static void guard__main_loop_comes_round__writes_to_the_timer_seldom(void **state)
{
	(void)state;
	assert_int_equal(struck_after(1000, round_with_a_deadline), 0);
	assert_true(writes <= 150);
}

static void guard__waits_that_have_an_end__never_strikes(void **state)
{
	(void)state;
	assert_int_equal(struck_after(10000, round_with_a_long_wait), 0);
}

static void guard__loop_without_waits__strikes_in_time(void **state)
{
	(void)state;
	uint64_t after = struck_after(1000, spin);

	assert_in_range(after, GUARD_NS / SECOND / 2, GUARD_NS / SECOND);
}

static void guard__same_wait_again_and_again__strikes(void **state)
{
	(void)state;
	assert_in_range(struck_after(1000, wait_for_nothing), GUARD_WAITS_NS / SECOND, (GUARD_WAITS_NS + GUARD_NS) / SECOND);
	setup(NULL);
	assert_in_range(struck_after(1000, wait_for_moments), GUARD_WAITS_NS / SECOND, (GUARD_WAITS_NS + GUARD_NS) / SECOND);
}

static void guard_rest__long_call__does_not_strike_then_nor_after(void **state)
{
	(void)state;
	guard_rest();
	now += 3600 * SECOND;
	assert_false(has_struck());
	guard_go_on();
	assert_int_equal(struck_after(1000, round_of_the_main_loop), 0);
	assert_true(struck_after(1000, spin) != 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(guard__main_loop_has_nothing_to_do__never_strikes, setup),
		cmocka_unit_test_setup(guard__main_loop_comes_round__writes_to_the_timer_seldom, setup),
		cmocka_unit_test_setup(guard__waits_that_have_an_end__never_strikes, setup),
		cmocka_unit_test_setup(guard__loop_without_waits__strikes_in_time, setup),
		cmocka_unit_test_setup(guard__same_wait_again_and_again__strikes, setup),
		cmocka_unit_test_setup(guard_rest__long_call__does_not_strike_then_nor_after, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
