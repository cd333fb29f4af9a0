/*
 * The rounds of one operation. A file of its own, which the compiler sees alone: scripts/lib/phases.py stops the machine at
 * bench_rounds and bench_report, and counts what is executed between the two labels.
 */
#include "tests/guest/bench/bench.h"

#define BENCH_WARM_UP 3

static uint64_t __attribute__((noinline)) bench_round(void (*run)(void))
{
	uint32_t low, high;
	uint64_t start;

	__asm__ volatile(".globl bench_round_start\nbench_round_start: rdtsc" : "=a"(low), "=d"(high) : : "memory");
	start = (uint64_t)high << 32 | low;
	run();
	__asm__ volatile(".globl bench_round_end\nbench_round_end: rdtsc" : "=a"(low), "=d"(high) : : "memory");
	return ((uint64_t)high << 32 | low) - start;
}

void bench_rounds(const struct bench_op *op, unsigned count, uint64_t *least, uint64_t *mean)
{
	uint64_t sum = 0;

	*least = UINT64_MAX;
	for (unsigned i = 0; i < count + BENCH_WARM_UP; i++) {
		uint64_t ticks;

		if (op->prepare)
			op->prepare();
		ticks = bench_round(op->run);
		if (i < BENCH_WARM_UP)
			continue;
		sum += ticks;
		if (ticks < *least)
			*least = ticks;
	}
	*mean = sum / count;
}
