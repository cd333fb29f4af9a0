/*
 * The guests' memory as a whole: who may start, what is promised, and what balloons are asked for where memory is short. memory_policy.h has
 * the rules. Never stops a guest: one that gets no memory any more is stopped by the kernel, by name, and no other.
 */
#ifndef DRIVERS_VM_CONTROL_GUEST_MEMORY_H
#define DRIVERS_VM_CONTROL_GUEST_MEMORY_H

#include "drivers-vm/control/config.h"
#include "drivers-vm/control/manager.h"

struct guest;

void guest_memory_begin(const struct config *config);

/* Whether what the slot's guest may ever need can be had; false: told as guest_fail does, with what is missing and what to change. */
bool guest_memory_admit(const struct guest *g);

/* Bytes that can be taken for other things, for good. */
uint64_t guest_memory_spare(void);

/* Host memory that the guest has now. */
uint64_t guest_memory_resident(const struct guest *g);

/* It was stopped because there was no memory for it: in the log and among the events, with its figures. */
void guest_memory_tell_shortage(uint32_t slot);

/* For the main loop: balloons. Returns when it must be called again, as manager_clock_ns counts, or zero. */
uint64_t guest_memory_run(void);

/* Figures for operators. */
void guest_memory_figures(struct manager_memory *out);

#endif
