/*
 * One one-shot timer per core, set in TSC time: TSC-deadline mode where CPUID offers it, else the local
 * APIC's counter.
 */
#ifndef ARCH_X86_64_TIMER_H
#define ARCH_X86_64_TIMER_H

#include "arch/x86_64/types.h"

/* A deadline that no core lives to see. */
#define TIMER_NEVER ((uint64_t)INT64_MAX)

/* On every core, after tsc_calibrate: selects the mode and `vector`; no deadline is set. */
void timer_init_core(unsigned vector);

/*
 * One interrupt on this core when its TSC reaches `tsc`, replacing any earlier deadline; at once if that has
 * passed. Where the APIC's counter is too short it comes early (by seconds): the handler looks at the clock.
 *
 * Under QEMU's TCG the timer ticks, every 50 us to 2 ms, deadline or not. There a host interrupt that is raised by another thread just as
 * VMRUN notes a virtual interrupt may be lost: VMRUN changes the CPU's interrupt_request without the lock that guards it (helper_vmrun
 * in QEMU's svm_helper.c), and the local APIC's IRR keeps the vector until the APIC accepts another.
 */
void timer_set_deadline_tsc(uint64_t tsc);

#endif
