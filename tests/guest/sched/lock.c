/*
 * mode=lock: vcpus=N CPUs enter a ticket lock rounds=N times each; "lock: N ticks" is how long that took in all. With pause=0 a CPU that
 * waits does so without PAUSE, which no hypervisor can see.
 */
#include "tests/guest/sched/local.h"
#include "tests/guest/lib/cpu.h"
#include "tests/guest/lib/smp.h"
#include "tests/guest/lib/test.h"
#include "tests/guest/lib/text.h"

#define CPUS_MAX    4
#define TIMEOUT_US  60000000
#define HOLD_ROUNDS 50000u /* a slice has some 40 of them */

static uint32_t next_ticket, now_served, arrived;
static uint64_t inside, rounds;
static bool pauses;

static void wait_for(uint32_t ticket)
{
	while (__atomic_load_n(&now_served, __ATOMIC_ACQUIRE) != ticket) {
		if (pauses)
			cpu_relax();
		else
			compiler_barrier();
	}
}

static void enter_often(void *arg)
{
	(void)arg;
	__atomic_fetch_add(&arrived, 1, __ATOMIC_ACQ_REL);
	while (__atomic_load_n(&arrived, __ATOMIC_ACQUIRE) != smp_cpus)
		cpu_relax();
	for (uint64_t i = 0; i < rounds; i++) {
		uint64_t work = HOLD_ROUNDS;

		wait_for(__atomic_fetch_add(&next_ticket, 1, __ATOMIC_RELAXED));
		inside++;
		__asm__ volatile("1: dec %0\n\tjnz 1b" : "+r"(work));
		__atomic_fetch_add(&now_served, 1, __ATOMIC_RELEASE);
	}
}

void contend_for_lock(void)
{
	uint64_t start;

	rounds = test_option("rounds", 30);
	pauses = !test_option_is("pause", "0");
	smp_start(CPUS_MAX);
	start = rdtsc();
	CHECK(smp_call_all(enter_often, NULL, TIMEOUT_US), "not all CPUs finished");
	CHECK_EQ(inside, rounds * smp_cpus);
	text_print("lock: %lu ticks, %u cpus\n", rdtsc() - start, smp_cpus);
}
