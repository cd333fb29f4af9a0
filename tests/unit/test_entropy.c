/*
 * Random numbers of the control VM: which sources count, their health tests, and what is left when they fail.
 *
 * UNIT_SOURCES: build/unit/mbedtls.a
 * UNIT_FLAGS: -iquote tests/unit/fake_entropy -Idrivers-vm/control/net/mbedtls -DMBEDTLS_CONFIG_FILE='<mbedtls_config.h>' -isystem cache/mbedtls/include
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "drivers-vm/control/entropy.c" /* its state begins anew for each test */

enum entropy_cpu fake_cpu;
bool (*fake_word)(uint64_t *word);
uint64_t (*fake_tsc)(void);

static uint64_t random_state, clock_now;
static unsigned words_left;

static uint64_t next_random(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	return random_state ^= random_state << 17;
}

static bool word_good(uint64_t *word)
{
	*word = next_random();
	return true;
}

static bool word_stuck(uint64_t *word)
{
	*word = UINT64_MAX;
	return true;
}

static bool word_none(uint64_t *word)
{
	(void)word;
	return false;
}

static bool word_runs_out(uint64_t *word)
{
	*word = next_random();
	return words_left != 0 && words_left-- != 0;
}

static uint64_t tsc_jumps(void)
{
	return clock_now += 40 + next_random() % 29;
}

static uint64_t tsc_steps(void)
{
	return clock_now += 40;
}

static int begin(void **state)
{
	(void)state;
	if (started) {
		mbedtls_ctr_drbg_free(&generator);
		mbedtls_entropy_free(&pool);
	}
	started = false;
	random_state = 0x9E3779B97F4A7C15;
	clock_now = 1000;
	fake_cpu = ENTROPY_CPU_RDSEED;
	fake_word = word_good;
	fake_tsc = tsc_jumps;
	return 0;
}

static void health_feed__samples_of_all_kinds__no_alarm(void **state)
{
	struct entropy_health health = { .repeat_limit = TIME_REPEATS, .window_limit = TIME_WINDOW };

	(void)state;
	for (unsigned i = 0; i < 1000000; i++)
		assert_true(entropy_health_feed(&health, next_random() & 1));
}

static void health_feed__one_sample_repeats__fails_at_the_limit_and_for_good(void **state)
{
	struct entropy_health health = { .repeat_limit = 31, .window_limit = 325 };

	(void)state;
	assert_true(entropy_health_feed(&health, 6));
	for (unsigned i = 0; i < 30; i++)
		assert_true(entropy_health_feed(&health, 7));
	assert_false(entropy_health_feed(&health, 7));
	assert_false(entropy_health_feed(&health, 8));
}

static void health_feed__zero_first__is_not_taken_for_a_repetition(void **state)
{
	struct entropy_health health = { .repeat_limit = 2, .window_limit = 10 };

	(void)state;
	assert_true(entropy_health_feed(&health, 0));
	assert_false(entropy_health_feed(&health, 0));
}

static void health_feed__one_sample_in_most_places__fails_within_a_window(void **state)
{
	struct entropy_health health = { .repeat_limit = 31, .window_limit = 325 };
	bool healthy = true;

	(void)state;
	for (unsigned i = 0; i < ENTROPY_WINDOW; i++)
		healthy = entropy_health_feed(&health, i % 4 != 3 ? 1 : i);
	assert_false(healthy);
}

static void start__both_sources__named_and_numbers_differ(void **state)
{
	uint8_t one[48], two[48], big[5000], zero[48] = { 0 };

	(void)state;
	assert_true(entropy_start());
	assert_string_equal(entropy_describe(), "RDSEED and timing");
	assert_true(entropy_fill(one, sizeof(one)));
	assert_true(entropy_fill(two, sizeof(two)));
	assert_memory_not_equal(one, two, sizeof(one));
	assert_memory_not_equal(one, zero, sizeof(one));
	memset(big, 0, sizeof(big));
	assert_true(entropy_fill(big, sizeof(big)));
	assert_memory_not_equal(big + sizeof(big) - 48, zero, 48);
}

static void start__no_generator__timing_alone_will_do(void **state)
{
	uint8_t bytes[16];

	(void)state;
	fake_cpu = ENTROPY_CPU_NONE;
	fake_word = word_none;
	assert_true(entropy_start());
	assert_string_equal(entropy_describe(), "timing");
	assert_true(entropy_fill(bytes, sizeof(bytes)));
}

static void start__clock_in_steps__generator_alone_will_do(void **state)
{
	(void)state;
	fake_cpu = ENTROPY_CPU_RDRAND;
	fake_tsc = tsc_steps;
	assert_true(entropy_start());
	assert_string_equal(entropy_describe(), "RDRAND");
}

static void start__no_source__no_numbers_and_a_reason(void **state)
{
	uint8_t bytes[16], zero[16] = { 0 };

	(void)state;
	fake_cpu = ENTROPY_CPU_NONE;
	fake_tsc = tsc_steps;
	assert_false(entropy_start());
	assert_string_equal(entropy_describe(), "the CPU has no generator, and its instructions always take the same time");
	memset(bytes, 5, sizeof(bytes));
	assert_false(entropy_fill(bytes, sizeof(bytes)));
	assert_memory_equal(bytes, zero, sizeof(bytes));
	assert_int_not_equal(entropy_random(NULL, bytes, sizeof(bytes)), 0);
}

static void start__generator_stuck__is_not_counted(void **state)
{
	(void)state;
	fake_word = word_stuck;
	assert_true(entropy_start());
	assert_string_equal(entropy_describe(), "timing");
	begin(NULL);
	fake_word = word_stuck;
	fake_tsc = tsc_steps;
	assert_false(entropy_start());
	assert_string_equal(entropy_describe(), "the CPU's generator and the time that instructions take failed their tests");
}

static void start__generator_never_ready__is_not_counted(void **state)
{
	(void)state;
	fake_word = word_none;
	assert_true(entropy_start());
	assert_string_equal(entropy_describe(), "timing");
}

/* The generator reseeds after so many requests: what happens to a source later shows then. */
static bool fill_until_reseeded(void)
{
	uint8_t bytes[8];
	bool ok = true;

	for (unsigned i = 0; i <= 2 * MBEDTLS_CTR_DRBG_RESEED_INTERVAL && ok; i++)
		ok = entropy_fill(bytes, sizeof(bytes));
	return ok;
}

static void fill__only_source_fails_later__no_more_numbers(void **state)
{
	(void)state;
	fake_tsc = tsc_steps;
	fake_word = word_runs_out;
	words_left = 200;
	assert_true(entropy_start());
	words_left = 0;
	assert_false(fill_until_reseeded());
}

static void fill__one_of_two_fails_later__the_other_carries_on(void **state)
{
	(void)state;
	fake_word = word_runs_out;
	words_left = 200;
	assert_true(entropy_start());
	words_left = 0;
	assert_true(fill_until_reseeded());
	fake_tsc = tsc_steps;
	assert_false(fill_until_reseeded());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(health_feed__samples_of_all_kinds__no_alarm, begin),
		cmocka_unit_test_setup(health_feed__one_sample_repeats__fails_at_the_limit_and_for_good, begin),
		cmocka_unit_test_setup(health_feed__zero_first__is_not_taken_for_a_repetition, begin),
		cmocka_unit_test_setup(health_feed__one_sample_in_most_places__fails_within_a_window, begin),
		cmocka_unit_test_setup(start__both_sources__named_and_numbers_differ, begin),
		cmocka_unit_test_setup(start__no_generator__timing_alone_will_do, begin),
		cmocka_unit_test_setup(start__clock_in_steps__generator_alone_will_do, begin),
		cmocka_unit_test_setup(start__no_source__no_numbers_and_a_reason, begin),
		cmocka_unit_test_setup(start__generator_stuck__is_not_counted, begin),
		cmocka_unit_test_setup(start__generator_never_ready__is_not_counted, begin),
		cmocka_unit_test_setup(fill__only_source_fails_later__no_more_numbers, begin),
		cmocka_unit_test_setup(fill__one_of_two_fails_later__the_other_carries_on, begin),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
