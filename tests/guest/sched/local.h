/* The parts of the guest that measures shares of a core. */
#ifndef TESTS_GUEST_SCHED_LOCAL_H
#define TESTS_GUEST_SCHED_LOCAL_H

#define SCHED_WINDOW 300000000u /* TSC ticks, unless window= says otherwise */

/* Counts its own work in windows of time that all guests of the machine have in common. */
void work_in_windows(void);
/* The same windows, with what a guest may do to harm others: another kind in each. */
void harm_in_windows(void);
/* Counts the moments in which this CPU was not the guest's. */
void count_steps(void);
/* Four CPUs take turns in a lock: how long that takes. */
void contend_for_lock(void);

#endif
