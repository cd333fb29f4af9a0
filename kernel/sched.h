/*
 * Per-core scheduling. Real-time vCPUs (service VMs) run first, in order of arrival; the others share by weight: each advances in
 * virtual time at a pace inverse to its weight, and the one that is furthest behind runs. Time comes in as a parameter. A core's
 * queues are touched by that core only.
 */
#ifndef KERNEL_SCHED_H
#define KERNEL_SCHED_H

#include "kernel/cpu.h"

#define SCHED_WEIGHT_DEFAULT 256u
#define SCHED_WEIGHT_MAX     65535u
#define SCHED_SLICE_NS       4000000ull

/*
 * A real-time vCPU that becomes ready waits this long at most for a guest on its core: long enough for a guest to ring a doorbell
 * and go on, short against anything a device does.
 */
#define SCHED_REALTIME_DELAY_NS 20000ull
#define SCHED_PROMPT_MAX	63u /* times at most that it does not wait for one that mostly halts before the delay is over */

/* Put a vCPU of this core into its queue unless it is there, or is the one that runs. */
void sched_wake(struct cpu *cpu, struct vcpu *v, uint64_t now_tsc);

/* A guest of this core halts: if a real-time vCPU waits for it, it was not worth the wait. */
void sched_guest_halts(struct vcpu *guest);

/* Take it out of the queue. */
void sched_remove(struct cpu *cpu, struct vcpu *v);

/* Choose who runs next and take it out of its queue, or NULL; arms the slice if somebody else waits. */
struct vcpu *sched_pick(struct cpu *cpu, uint64_t now_tsc);

/* Charge the time since the last switch to `cpu->charged`'s account. */
void sched_account(struct cpu *cpu, uint64_t now_tsc);

#endif
