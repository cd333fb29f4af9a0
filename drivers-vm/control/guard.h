/*
 * A control VM that loops does not loop for ever: the timer of its own local APIC strikes unless it is put off again and again. There is no
 * interrupt table, so the interrupt is a triple fault, after which the kernel starts the control VM again. Time spent in guard_wait does not
 * count.
 */
#ifndef DRIVERS_VM_CONTROL_GUARD_H
#define DRIVERS_VM_CONTROL_GUARD_H

#include <stdint.h>

#define GUARD_NS 15000000000ull /* longer than the control VM works on anything without waiting */

/* First of all. */
void guard_begin(void);
/* HC_WAIT, without traps, until something happens or the TSC has come to `deadline_tsc`; 0: never. */
void guard_wait(uint64_t deadline_tsc);
/* Around a hypercall that may take longer than GUARD_NS. */
void guard_rest(void);
void guard_go_on(void);

/* For tests, by enum channel_control_end. */
void guard_end_for_test(uint64_t how);

#endif
