/*
 * Synchronous trap forwarding: an exit that needs a device model blocks its vCPU and goes to a vCPU of the VM's handler, by direct
 * switch when that one waits on the same core. All functions run on the core of the vCPU they are given.
 */
#ifndef KERNEL_FORWARD_H
#define KERNEL_FORWARD_H

#include "kernel/vcpu.h"

/*
 * Block `v` and hand the trap in v->trapped to its handler, or to a new one if it is blocked already; without one it stays blocked until
 * there is. The caller must leave the run loop. forward_trap_with_state is for what the handler emulates: the trap page gets the vCPU's state.
 */
void forward_trap(struct vcpu *v);
void forward_trap_with_state(struct vcpu *v);

/* The handler has changed: hand the trap of `v` to the one that it has now. */
void forward_again(struct vcpu *v);

/* The answer is there: complete the instruction. From vcpu_prepare. */
void forward_complete(struct vcpu *v);

/* HC_WAIT of `v`. True: an answer is in its registers and it goes on; false: it waits, leave the run loop. */
bool forward_wait(struct vcpu *v, uint64_t flags, uint64_t deadline_tsc);

/* A request came while it waits: true if HC_WAIT is complete. From vcpu_prepare. */
bool forward_wake(struct vcpu *v, uint32_t requests);

/*
 * Handler `h` works on its own time from now on, no longer on that of the vCPU whose trap it has. That one, answered, waits for its turn then:
 * run directly it would go on at the handler's expense, before all others and beyond its cap, for as long as it traps often.
 */
static inline void forward_on_own_time(const struct vcpu *h)
{
	struct vcpu *g = h->trap_current;

	if (g != NULL && __atomic_load_n(&g->cpu, __ATOMIC_ACQUIRE) == h->cpu)
		g->deferred |= VCPU_REQUEST_TURN;
}

/* `v` will not answer any more: let go of what it took. */
void forward_abandon(struct vcpu *v);

#endif
