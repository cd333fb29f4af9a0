/*
 * What root mode does against instructions that a CPU executes ahead of time: which of the defences this CPU offers and needs, and
 * the moments at which they act. docs/isolation.md has the reasons.
 */
#ifndef ARCH_X86_64_SPECULATION_H
#define ARCH_X86_64_SPECULATION_H

#include "arch/x86_64/trap.h"

#define MSR_SPEC_CTRL         0x48u
#define MSR_PRED_CMD          0x49u
#define MSR_ARCH_CAPABILITIES 0x10Au

/* HILUM_DEFENCE_* for a CPU that says this of itself (the fields but `defences` and the counts). Pure. */
uint32_t speculation_choose(const struct hilum_host_health *cpu);

/* Once: reads what the CPU says, and decides. Fills host_health and the bits of IA32_SPEC_CTRL that a guest may set. */
void speculation_init(void);
extern uint64_t speculation_guest_bits;

/* On every core. */
void speculation_init_core(void);

/* IA32_SPEC_CTRL while a vCPU with this value of it is loaded: root mode does not change it between. */
void speculation_set_control(uint64_t guest);

/* The core is about to enter another VM than it ran last; `predictors`: nor is it the last guest that it ran. */
void speculation_change_vm(bool predictors);

#endif
