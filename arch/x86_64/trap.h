/*
 * Exceptions and interrupts of root mode. An exception ends in a panic unless its RIP has an entry in section
 * .fixup; vectors from TRAP_IRQ_FIRST on go to their handler; an NMI is counted, or halts the core while a
 * panic is under way.
 */
#ifndef ARCH_X86_64_TRAP_H
#define ARCH_X86_64_TRAP_H

#include <hilum/abi.h>
#include "arch/x86_64/types.h"

#define TRAP_IRQ_FIRST      0x20u
#define TRAP_IRQ_LAST       0xEFu /* above: the masked 8259s' spurious vectors and the local APIC's */
#define TRAP_PIC_BASE       0xF0u
#define TRAP_LAPIC_SPURIOUS 0xFFu

/* What isr_common (isr.asm) leaves on the stack; the offsets are its too. */
struct trap_frame {
	uint64_t r15, r14, r13, r12, r11, r10, r9, r8, rbp, rdi, rsi, rdx, rcx, rbx, rax;
	uint64_t vector, error;
	uint64_t rip, cs, rflags, rsp, ss;
};

_Static_assert(sizeof(struct trap_frame) == 22 * 8, "isr.asm pushes this");

/* Facts and counts of this machine; arch/ fills and counts, kernel/host.c shows. */
extern struct hilum_host_health host_health;

typedef void (*irq_handler_fn)(unsigned vector);

/*
 * Sets the function for one vector in [TRAP_IRQ_FIRST, TRAP_IRQ_LAST], for all cores. It runs with interrupts
 * off, on the interrupted stack, and must return; the end-of-interrupt is written after it. A vector without
 * one is counted and logged.
 */
void irq_set_handler(unsigned vector, irq_handler_fn fn);

/* Handles one external interrupt now, end-of-interrupt included: for a vector that VMX acknowledged on an
 * exit. */
void irq_dispatch(unsigned vector);

/* What the banks of a core hold. SDM vol. 3B, chapter 16; APM vol. 2, chapter 9. */
enum machine_check {
	MACHINE_CHECK_CORRECTED, /* nothing is lost, or nobody has used it yet */
	MACHINE_CHECK_MEMORY,    /* what host_health.check_address names is; all else goes on */
	MACHINE_CHECK_FATAL,
};

/* What an IA32_MCi_STATUS that is valid tells. Pure. */
enum machine_check machine_check_judge(uint64_t status);

/*
 * The worst that this core's banks hold; each is noted in host_health, and cleared. `exception`: #MC calls for it. Without, what is
 * uncorrected has met nobody yet, and is counted as corrected.
 */
enum machine_check machine_check_take(bool exception);

/* Called by isr.asm. */
void trap_handle(struct trap_frame *frame);

#endif
