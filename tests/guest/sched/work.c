/*
 * mode=work: "window K: N of 10000" is the part of the core that this guest has had in window K, as far as its loop can tell: how many
 * blocks it has done, of those that fit if it never waited. How long a block takes then is the shortest time that one ever took. The
 * guest ends with SCHED_STATUS + its part of windows from= to to= together: the status of its debug exit, as only one VM's console is on show.
 */
#include "tests/guest/sched/local.h"
#include "tests/guest/lib/clock.h"
#include "tests/guest/lib/cpu.h"
#include "tests/guest/lib/test.h"
#include "tests/guest/lib/text.h"

#define BLOCK_ROUNDS 2000u
#define WHOLE        10000u

static void do_block(void)
{
	uint64_t rounds = BLOCK_ROUNDS;

	__asm__ volatile("1: dec %0\n\tjnz 1b" : "+r"(rounds));
}

static uint64_t shortest_block(void)
{
	uint64_t shortest = UINT64_MAX;

	for (unsigned i = 0; i < 200; i++) {
		uint64_t start = rdtsc(), took;

		do_block();
		took = rdtsc() - start;
		shortest = took < shortest ? took : shortest;
	}
	return shortest;
}

/* Works until the window is over; the blocks that it has done. */
static uint64_t work_until(uint64_t end_tsc)
{
	uint64_t blocks = 0;

	for (; rdtsc() < end_tsc; blocks++)
		do_block();
	return blocks;
}

void work_in_windows(void)
{
	uint64_t window = test_option("window", SCHED_WINDOW), from = test_option("from", 0), to = test_option("to", 0);
	uint64_t block = shortest_block(), all = 0;

	REQUIRE(from != 0 && to >= from, "from= and to= are missing");
	REQUIRE(rdtsc() < from * window, "it is window %lu already", rdtsc() / window);
	irq_enable(); /* none comes; but Bochs lets the host's through only where this is on */
	work_until(from * window);
	for (uint64_t number = from; number <= to; number++) {
		uint64_t blocks = work_until((number + 1) * window);

		all += blocks;
		text_print("window %lu: %lu of %u\n", number, blocks * block * WHOLE / window, WHOLE);
	}
	work_until((to + 2) * window); /* for the others' last one */
	sched_tell(all * block * WHOLE / (window * (to + 1 - from)));
}
