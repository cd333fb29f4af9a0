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

#endif
