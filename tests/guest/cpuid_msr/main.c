/*
 * What the CPU says about itself, and whether control registers, MSRs and paravirtual leaves agree with it.
 */
#include "tests/guest/cpuid_msr/local.h"
#include "tests/guest/lib/test.h"

void guest_main(void)
{
	static const struct test_case cases[] = {
		{ "hypervisor_leaves", cpuid_hypervisor_leaves },
		{ "cpuid_limits", cpuid_limits },
		{ "cpuid_osxsave", cpuid_osxsave },
		{ "cpuid_apic_id", cpuid_apic_id },
		{ "cr4_agrees_with_cpuid", cpuid_cr4_bits },
		{ "no_virtualization_offered", cpuid_no_virtualization },
		{ "xcr0_sizes", xcr0_sizes },
		{ "xcr0_refused", xcr0_refused },
		{ "msr_unknown", msr_unknown },
		{ "msr_efer", msr_efer },
		{ "msr_round_trips", msr_round_trips },
		{ "msr_non_canonical", msr_non_canonical },
		{ "msr_segment_bases", msr_segment_bases },
		{ "msr_pat", msr_pat },
		{ "msr_tsc", msr_tsc },
		{ "msr_apic_base", msr_apic_base },
		{ "msr_mtrr", msr_mtrr },
		{ "kvm_clock", kvm_clock },
		{ "kvm_wall_clock", kvm_wall_clock },
		{ "kvm_steal_time", kvm_steal_time },
		{ "kvm_send_ipi", kvm_send_ipi },
		{ "kvm_pv_eoi", kvm_pv_eoi },
		{ "hypercall_unknown", hypercall_unknown },
	};

	TEST_RUN(cases);
}
