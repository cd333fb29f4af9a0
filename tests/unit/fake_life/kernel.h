/*
 * A kernel that only counts: handles, objects, frames and mappings, and a driver VM that does what it is told. For the control VM's files
 * that make and unmake guests.
 */
#ifndef TESTS_UNIT_FAKE_LIFE_KERNEL_H
#define TESTS_UNIT_FAKE_LIFE_KERNEL_H

#include <stdbool.h>
#include <stdint.h>

/* What fails next: this many creations of VMs for want of memory, and then one driver VM that dies of a guest's devices. */
extern unsigned kernel_failures;
extern bool kernel_driver_dies;
/* So many allocations succeed, of the kernel's and, by --wrap, of the heap's; the next one fails. Negative: all succeed. */
extern volatile int kernel_failing_after; /* a compiler knows that malloc reads no variables */
bool kernel_fails_now(void);
/* There is no driver VM now. */
extern bool kernel_driver_gone;
extern uint64_t kernel_now_ns;

/* The driver VM ends: what it had is given back. */
void kernel_end_driver(void);
/* The guest in this slot comes to a state that cannot go on. */
void kernel_crash(uint32_t slot);
/* Whether any vCPU of the guest in this slot runs. */
bool kernel_runs(uint32_t slot);

/* What there is of everything; all of them are zero when nothing is left. */
struct kernel_counts {
	unsigned handles, objects, mappings, driver_handles;
	uint64_t frames;
};
struct kernel_counts kernel_count(void);

#endif
