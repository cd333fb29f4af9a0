/*
 * A quiet neighbour: fills memory with a pattern, verifies it again and again for seconds=N (default 5), and
 * says so once a second; with key=1 a byte at its serial port ends it earlier. pages=N is how much. Shows that another VM did it no harm.
 */
#include "tests/guest/lib/clock.h"
#include "tests/guest/lib/cpu.h"
#include "tests/guest/lib/test.h"
#include "tests/guest/lib/text.h"

#define DEFAULT_PAGES   256
#define DEFAULT_SECONDS 5

static uint64_t pattern(uint64_t i)
{
	return (i + 1) * 0x9E3779B97F4A7C15ull;
}

static bool verify(const volatile uint64_t *buffer, uint64_t words)
{
	for (uint64_t i = 0; i < words; i++) {
		if (buffer[i] == pattern(i))
			continue;
		test_fail("word %lu at %p changed to %lx", i, (const void *)&buffer[i], buffer[i]);
		return false;
	}
	return true;
}

#define COM1_DATA     0x3F8
#define COM1_LINE     0x3FD
#define LINE_RECEIVED 1u

static bool take_key(void)
{
	if (test_option("key", 0) == 0 || (inb(COM1_LINE) & LINE_RECEIVED) == 0)
		return false;
	inb(COM1_DATA);
	return true;
}

static void neighbour(void)
{
	uint64_t seconds = test_option("seconds", DEFAULT_SECONDS), passes = 0;
	uint64_t pages = test_option("pages", DEFAULT_PAGES), words = pages * 4096 / 8;
	uint64_t *buffer = guest_alloc_pages((unsigned)pages);
	uint64_t last;

	for (uint64_t i = 0; i < words; i++)
		buffer[i] = pattern(i);
	irq_enable(); /* none comes; but Bochs lets the host's through only where this is on */
	for (uint64_t s = 0; s < seconds && !take_key(); s++) {
		uint64_t next = clock_after_us(1000000);

		last = rdtsc();
		do {
			uint64_t now;

			if (!verify(buffer, words))
				return;
			passes++;
			now = rdtsc();
			REQUIRE(now > last, "the TSC went from %lx to %lx", last, now);
			last = now;
		} while (!clock_passed(next));
		text_print("neighbour: second %lu of %lu, %lu passes\n", s + 1, seconds, passes);
	}
}

void guest_main(void)
{
	static const struct test_case cases[] = { { "neighbour", neighbour } };

	TEST_RUN(cases);
}
