/*
 * mode=quiet: whatever takes this CPU away for a moment shows as a step of the TSC. "steps: N above LIMIT, longest L", and the end's status, count them in
 * windows from= to to=; the loop itself takes a few ticks, and an exit hundreds.
 */
#include "tests/guest/sched/local.h"
#include "tests/guest/lib/cpu.h"
#include "tests/guest/lib/test.h"
#include "tests/guest/lib/text.h"

#define STEP_LIMIT 300u /* less than an exit takes, more than what the emulator does to a loop */

void count_steps(void)
{
	uint64_t window = test_option("window", SCHED_WINDOW), from = test_option("from", 0) * window;
	uint64_t end = (test_option("to", 0) + 1) * window, steps = 0, longest = 0, last = rdtsc(), now;

	REQUIRE(from != 0 && last < from && from < end, "the time for measuring is over already");
	irq_enable(); /* as mode=work does */
	while (rdtsc() < from)
		cpu_relax();
	for (last = rdtsc(); last < end; last = now) {
		now = rdtsc();
		steps += now - last > STEP_LIMIT;
		longest = now - last > longest ? now - last : longest;
	}
	text_print("steps: %lu above %u, longest %lu\n", steps, STEP_LIMIT, longest);
	sched_tell(steps);
}
