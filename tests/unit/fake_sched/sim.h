/*
 * A machine of up to 64 cores in virtual time, for the scheduler alone: its real files, and vCPUs that take time, sleep and wake as a
 * test says. Ticks are nanoseconds.
 */
#ifndef TESTS_UNIT_FAKE_SCHED_SIM_H
#define TESTS_UNIT_FAKE_SCHED_SIM_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "kernel/sched.h"
#include "kernel/vcpu.h"

#define MS     1000000ull
#define SECOND (1000 * MS)

struct sim_vcpu {
	struct vcpu v;
	uint64_t burst, sleep; /* up to so many ticks at a time, of either; 0: always busy */
	uint64_t left;         /* of this burst */
	struct queue_node wake;
	uint64_t ran, since;   /* all it has had; when it was last seen to run or to have no wish to */
	uint64_t longest_wait; /* for its turn, caps apart */
	void (*log)(struct sim_vcpu *s, uint64_t from, uint64_t to); /* each stretch that it ran, or NULL */
};

extern struct sim_vcpu **sim_vcpus;
extern unsigned sim_count;
extern uint64_t sim_now;
extern uint64_t sim_decisions, sim_blocks, sim_blocks_max; /* calls of the scheduler, and the basic blocks that they took */
extern uint64_t sim_idle_beside_waiting_max;               /* the longest that a core idled while another had a vCPU for it */

void sim_start(unsigned cores);
void sim_end(void);

/* A new vCPU in a VM of its own, or in that of another; `core` may be HILUM_CORE_ANY. It runs at once. */
struct sim_vcpu *sim_add(uint32_t weight, uint64_t core, uint32_t vm_flags, struct vm *vm);
enum status sim_set(struct sim_vcpu *s, const struct hilum_schedule *schedule);

void sim_run(uint64_t ticks);
/* Forget what was measured so far. */
void sim_measure(void);

uint64_t sim_random(uint64_t below);

#endif
