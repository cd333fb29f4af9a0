/*
 * A control VM that does not go on ends: the timer of its own local APIC strikes unless it is put off again and again. There is no
 * interrupt table, so the interrupt is a triple fault, after which the kernel starts the control VM again. Each wait puts it off, so that
 * one that loops without waiting ends after GUARD_NS; but only for GUARD_WAITS_NS since the last step forward, so that one that waits
 * again and again for what never comes ends too.
 */
#ifndef DRIVERS_VM_CONTROL_GUARD_H
#define DRIVERS_VM_CONTROL_GUARD_H

#include <stdint.h>

#define GUARD_NS       15000000000ull  /* longer than the control VM works on anything without waiting */
#define GUARD_WAITS_NS 120000000000ull /* longer than it waits for anything: each of its waits has an end of its own */

/* First of all. */
void guard_begin(void);
/* A step forward: the main loop comes round, or something begins that ends within GUARD_WAITS_NS. */
void guard_go_on(void);
/* HC_WAIT, without traps, until something happens, the TSC has come to `deadline_tsc` (0: never), or a quarter of GUARD_NS is over. */
void guard_wait(uint64_t deadline_tsc);
/* Before a hypercall that may take longer than GUARD_NS; guard_go_on after it. */
void guard_rest(void);

/* For tests, by enum channel_control_end. */
void guard_end_for_test(uint64_t how);

#endif
