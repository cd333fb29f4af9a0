/*
 * The host's own local APIC, xAPIC or x2APIC (used wherever CPUID offers it). All functions act on the
 * calling core, interrupts off. SDM vol. 3A, chapter 11 APIC.
 */
#ifndef ARCH_X86_64_LAPIC_H
#define ARCH_X86_64_LAPIC_H

#include "arch/x86_64/types.h"

/* Once, on the boot core: chooses the mode. `mmio` is the register page in the final tables, unused (may be
 * NULL) for x2APIC. */
void lapic_init(volatile void *mmio);

/* On every core: enables it, all local interrupts masked, priority 0. */
void lapic_init_core(void);

/* This core's id: 8 bits, or 32 in x2APIC mode. */
uint32_t lapic_id(void);

void lapic_eoi(void);

/* Sends a command to one core, or to those that the command names. Does nothing before lapic_init. */
void lapic_send(uint32_t apic_id, uint32_t command);
#define LAPIC_FIXED      0x4000u  /* + vector: an interrupt; the core may be the caller */
#define LAPIC_NMI_OTHERS 0xC4400u /* to all but this core */
#define LAPIC_INIT       0x4500u
#define LAPIC_STARTUP    0x4600u /* + start address / 4096, below 0x100 */

/* Raw timer of the calling core, for timer.c and tsc.c. Vector 0: masked. `initial` 0 stops it. SDM vol. 3A, 11.5.4. */
void lapic_timer_setup(unsigned vector, uint32_t mode); /* 0: one-shot; or APIC_LVT_TIMER_* */
void lapic_timer_start(uint32_t initial);
uint32_t lapic_timer_count(void);

/* ---- The core's one-shot timer, in TSC time: TSC-deadline mode where CPUID offers it, else the counter ---- */

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
