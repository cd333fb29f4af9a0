/*
 * Rate limits in virtual time.
 *
 * UNIT_SOURCES: drivers-vm/driver/token_bucket.c
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include "drivers-vm/driver/token_bucket.h"

#define SECOND 1000000000ull

/* How many of size `amount` pass in [from, to), by one who comes back when he is told to. */
static uint64_t pass(struct token_bucket *b, uint64_t from, uint64_t to, uint64_t amount)
{
	uint64_t passed = 0, now = from;

	while (now < to) {
		uint64_t wait = token_bucket_wait(b, now);
		if (wait != 0) {
			assert_true(wait > now);
			now = wait;
			continue;
		}
		token_bucket_take(b, amount);
		passed++;
	}
	return passed;
}

static void token_bucket_wait__no_limit__never(void **state)
{
	struct token_bucket b;

	(void)state;
	token_bucket_init(&b, 0, 5);
	for (unsigned i = 0; i < 1000; i++) {
		assert_int_equal(token_bucket_wait(&b, 5), 0);
		token_bucket_take(&b, ~0ull);
	}
}

static void token_bucket_wait__rate__kept_over_time_with_a_burst(void **state)
{
	const uint64_t rates[] = { 1, 3, 50, 1000, 999999, 125000000 };
	struct token_bucket b;

	(void)state;
	for (unsigned i = 0; i < sizeof(rates) / sizeof(*rates); i++) {
		uint64_t rate = rates[i], amount = rate > 100000 ? 1000 : 1, seconds = 10;
		token_bucket_init(&b, rate, 7);
		uint64_t passed = pass(&b, 7, 7 + seconds * SECOND, amount) * amount;
		assert_in_range(passed, rate * seconds - rate / 100, rate * seconds + rate / 10 + 2 * amount);
	}
}

static void token_bucket_wait__idle_for_long__one_burst_and_no_more(void **state)
{
	struct token_bucket b;

	(void)state;
	token_bucket_init(&b, 1000, 0);
	pass(&b, 0, SECOND, 1);
	assert_in_range(pass(&b, 100 * SECOND, 100 * SECOND + 1, 1), 100, 101);
	/* Years, and a clock that stands still or goes back, are no trouble. */
	assert_in_range(pass(&b, 1ull << 62, (1ull << 62) + 1, 1), 100, 101);
	assert_true(token_bucket_wait(&b, 5) != 0);
}

static void token_bucket_take__more_than_there_is__next_waits_for_it(void **state)
{
	struct token_bucket b;

	(void)state;
	token_bucket_init(&b, 1000, 0);
	assert_int_equal(token_bucket_wait(&b, 0), 0);
	token_bucket_take(&b, 5100);
	assert_in_range(token_bucket_wait(&b, 0), 5 * SECOND, 5 * SECOND + SECOND / 500);
	token_bucket_init(&b, TOKEN_RATE_MAX, 0);
	token_bucket_take(&b, ~0ull);
	assert_true(token_bucket_wait(&b, 1) > 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(token_bucket_wait__no_limit__never),
		cmocka_unit_test(token_bucket_wait__rate__kept_over_time_with_a_burst),
		cmocka_unit_test(token_bucket_wait__idle_for_long__one_burst_and_no_more),
		cmocka_unit_test(token_bucket_take__more_than_there_is__next_waits_for_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
