/*
 * Synchronous trap forwarding: an exit that needs a device model blocks its vCPU and goes to a vCPU of the VM's handler, by direct
 * switch when that one waits on the same core. All functions run on the core of the vCPU they are given.
 */
#ifndef KERNEL_FORWARD_H
#define KERNEL_FORWARD_H

#include "kernel/vcpu.h"

/* What the next forward_trap is about. `next_rip`: after the instruction, 0 if not known. */
static inline void forward_describe(struct vcpu *v, uint32_t kind, uint64_t address, uint32_t size, bool write, uint64_t value,
				    uint64_t next_rip)
{
	v->trap_kind = kind;
	v->trap_size = size;
	v->trap_write = write;
	v->trap_address = address;
	v->trap_value = value;
	v->trap_next_rip = next_rip;
}

/*
 * Block `v` and hand the trap described to its handler; the VM crashes if it has none. The caller must leave the run loop. `insn`:
 * instruction bytes that the CPU delivered, or NULL.
 */
void forward_trap(struct vcpu *v, const uint8_t *insn, uint32_t insn_bytes);

/* The answer is there: complete the instruction. From vcpu_prepare. */
void forward_complete(struct vcpu *v);

/* The handler VM was replaced: hand the pending trap over again. From vcpu_prepare. */
void forward_again(struct vcpu *v);

/* HC_WAIT of `v`. True: an answer is in its registers and it goes on; false: it waits, leave the run loop. */
bool forward_wait(struct vcpu *v, uint64_t flags, uint64_t deadline_tsc);

/* A request came while it waits: true if HC_WAIT is complete. From vcpu_prepare. */
bool forward_wake(struct vcpu *v, uint32_t requests);

/* `v` will not answer any more: let go of what it took. */
void forward_abandon(struct vcpu *v);

#endif
