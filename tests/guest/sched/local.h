/* The parts of the guest that measures shares of a core. */
#ifndef TESTS_GUEST_SCHED_LOCAL_H
#define TESTS_GUEST_SCHED_LOCAL_H

#include "tests/guest/lib/cpu.h"

#define SCHED_WINDOW 300000000u /* TSC ticks, unless window= says otherwise */

/*
 * Ends the guest with a number below 0xFFFF in the status of its debug exit, for which the host looks there: only one VM's console is on show.
 */
#define SCHED_STATUS 0x10000u
static inline void sched_tell(uint64_t number)
{
	outl(0xF4, SCHED_STATUS + (uint32_t)(number < 0xFFFF ? number : 0xFFFF));
}

/* Counts its own work in windows of time that all guests of the machine have in common. */
void work_in_windows(void);
/* The same windows, with what a guest may do to harm others: another kind in each. */
void harm_in_windows(void);
/* Counts the moments in which this CPU was not the guest's. */
void count_steps(void);
/* Four CPUs take turns in a lock: how long that takes. */
void contend_for_lock(void);

#endif
