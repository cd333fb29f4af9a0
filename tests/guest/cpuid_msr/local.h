/*
 * Parts of the cpuid_msr guest.
 */
#ifndef TESTS_GUEST_CPUID_MSR_LOCAL_H
#define TESTS_GUEST_CPUID_MSR_LOCAL_H

#include <stdint.h>

/* cpuid.c */
void cpuid_hypervisor_leaves(void);
void cpuid_limits(void);
void cpuid_osxsave(void);
void cpuid_apic_id(void);
void cpuid_cr4_bits(void);
void cpuid_no_virtualization(void);
void xcr0_sizes(void);
void xcr0_refused(void);

/* msr.c */
void msr_unknown(void);
void msr_efer(void);
void msr_round_trips(void);
void msr_non_canonical(void);
void msr_segment_bases(void);
void msr_pat(void);
void msr_tsc(void);
void msr_apic_base(void);
void msr_mtrr(void);

/* paravirt.c */
void kvm_clock(void);
void kvm_wall_clock(void);
void kvm_steal_time(void);
void kvm_send_ipi(void);
void kvm_pv_eoi(void);
void hypercall_unknown(void);

/* Checks that reading or writing this MSR raises #GP. */
void expect_rdmsr_gp(const char *what, uint32_t msr);
void expect_wrmsr_gp(const char *what, uint32_t msr, uint64_t value);

#endif
