/*
 * One one-shot timer per core, set in TSC time: TSC-deadline mode where CPUID offers it, else the local
 * APIC's counter.
 */
#ifndef ARCH_X86_64_TIMER_H
#define ARCH_X86_64_TIMER_H

#include "arch/x86_64/types.h"

/* On every core, after tsc_calibrate: selects the mode and `vector`; the timer is stopped. */
void timer_init_core(unsigned vector);

/*
 * One interrupt on this core when its TSC reaches `tsc`, replacing any earlier deadline; at once if that has
 * passed. Where the APIC's counter is too short it comes early (by seconds): the handler looks at the clock.
 */
void timer_set_deadline_tsc(uint64_t tsc);

/*
 * Under QEMU's TCG a host interrupt that is raised by another thread just as VMRUN notes a virtual interrupt may be lost: VMRUN changes
 * the CPU's interrupt_request without the lock that guards it (helper_vmrun in QEMU's svm_helper.c), and the local APIC's IRR keeps the
 * vector until the APIC accepts another. So on that machine the timer of a core whose guest awaits an interrupt window ticks, at each
 * deadline and from then on: every 50 us to 1 ms. Returns whether that changed: then the deadline must be set anew.
 */
bool timer_set_ticking(bool on);

#endif
