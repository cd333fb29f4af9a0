/*
 * The guests' memory as a whole: who may start, what is promised, and what balloons are asked for where memory is short.
 * memory_policy.h has the rules. A guest that needs memory when there is none waits some seconds, while others are asked for theirs;
 * then it ends, with its name in the log, and no other.
 */
#ifndef DRIVERS_VM_CONTROL_GUEST_MEMORY_H
#define DRIVERS_VM_CONTROL_GUEST_MEMORY_H

#include "drivers-vm/control/config.h"
#include "drivers-vm/control/manager.h"

struct guest;

void guest_memory_begin(const struct config *config);

/* After a crash of the control VM, when the guests are there again. */
void guest_memory_recover(void);

/* Whether what the slot's guest may ever need can be had; false: told as guest_fail does, with what is missing and what to change. */
bool guest_memory_admit(const struct guest *g);

/* How much is missing for it to have these limits instead of those in force; zero: nothing. */
uint64_t guest_memory_missing_for(const struct guest *g, uint64_t most, uint64_t least);

/* Bytes that can be taken for other things, for good. */
uint64_t guest_memory_spare(void);

/* Host memory that the guest has now. */
uint64_t guest_memory_resident(const struct guest *g);

/* Its memory_max has changed, or it begins. */
void guest_memory_limit(uint32_t slot);
/* Some vCPUs of the guest wait for memory that there is not (HILUM_VM_WAIT_MEMORY). */
void guest_memory_waits(uint32_t slot);
/* vCPUs of the driver VM do, at this address of its: in the RAM of a guest, which has to go if there is none to be had. */
void guest_memory_driver_waits(uint64_t gpa, uint64_t vcpus);
/* The guest was stopped because there was no memory for it: in the log and among the events, with its figures. */
void guest_memory_tell_shortage(uint32_t slot);

/* For the main loop: balloons, and guests that wait. Returns when it must be called again, as manager_clock_ns counts, or zero. */
uint64_t guest_memory_run(void);

/* Figures for operators. */
void guest_memory_figures(struct manager_memory *out);

#endif
