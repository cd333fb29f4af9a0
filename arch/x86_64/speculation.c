/* See speculation.h. SDM vol. 4, 2.1; APM vol. 2, 3.2.9 "Speculation Control MSRs"; Intel's guidance on L1TF, MDS and RFDS. */
#include "arch/x86_64/speculation.h"
#include "arch/x86_64/cpu.h"
#include "arch/x86_64/features.h"

#include <hilum/defences.h>

#define MSR_FLUSH_CMD  0x10Bu
#define COMMAND        1u /* bit 0 of PRED_CMD and FLUSH_CMD */
#define EFER_AUTO_IBRS (1ull << 21)

sealed uint64_t speculation_guest_bits;
sealed uint8_t speculation_fills; /* entries of the return stack after an exit: registers.inc */

uint32_t speculation_choose(const struct hilum_host_health *c)
{
	uint32_t edx = c->leaf7_edx, ebx = c->leaf8_ebx, arch = (uint32_t)c->arch_capabilities, no = HILUM_ARCH_MDS_NO | HILUM_ARCH_TAA_NO;
	bool ibrs = ((edx & HILUM_LEAF7_IBRS) && (arch & HILUM_ARCH_IBRS_ALL)) || (c->leaf21_eax & HILUM_LEAF21_AUTO_IBRS);
	bool ibpb = (edx & HILUM_LEAF7_IBRS) || (ebx & HILUM_LEAF8_IBPB), ssbd = (edx & HILUM_LEAF7_SSBD) || (ebx & HILUM_LEAF8_SSBD);
	bool l1d = (edx & HILUM_LEAF7_L1D) && !(arch & (HILUM_ARCH_RDCL_NO | HILUM_ARCH_SKIP_L1D));
	bool verw = ((edx & HILUM_LEAF7_MD_CLEAR) && (arch & no) != no) || (arch & (HILUM_ARCH_FB_CLEAR | HILUM_ARCH_RFDS_CLEAR));
	bool rsb = !ibrs || ((arch & HILUM_ARCH_IBRS_ALL) && !(arch & HILUM_ARCH_PBRSB_NO));

	return (ibrs ? HILUM_DEFENCE_IBRS : 0) | (ibpb ? HILUM_DEFENCE_IBPB : 0) | (l1d ? HILUM_DEFENCE_L1D_FLUSH : 0) |
	       (verw ? HILUM_DEFENCE_VERW : 0) | (rsb ? HILUM_DEFENCE_RSB : 0) | (ssbd ? HILUM_DEFENCE_SSBD : 0);
}

void speculation_init(void)
{
	struct hilum_host_health *h = &host_health;
	bool amd = cpu_features.vendor == CPU_VENDOR_AMD, extended = amd && cpu_features.max_ext_leaf >= 0x80000021;

	h->leaf7_edx = cpu_features.max_leaf >= 7 ? cpuid(7, 0).edx : 0;
	h->leaf8_ebx = amd ? cpuid(0x80000008, 0).ebx : 0; /* each that has SVM has this leaf */
	h->leaf21_eax = extended ? cpuid(0x80000021, 0).eax : 0;
	h->threads = extended ? (cpuid(0x8000001E, 0).ebx >> 8 & 0xFF) + 1 : cpu_features.max_leaf >= 0xB ? cpuid(0xB, 0).ebx & 0xFFFF : 1;
	if (h->leaf7_edx & HILUM_LEAF7_ARCH)
		h->arch_capabilities = rdmsr(MSR_ARCH_CAPABILITIES);
	h->defences = cpu_features.tcg ? 0 : speculation_choose(h); /* QEMU's translator executes nothing ahead of time */
	speculation_fills = !(h->defences & HILUM_DEFENCE_RSB) ? 0 : h->defences & HILUM_DEFENCE_IBRS ? 1 : 32;
	speculation_guest_bits = ((h->leaf7_edx & HILUM_LEAF7_IBRS) || (h->leaf8_ebx & HILUM_LEAF8_IBRS) ? 1 : 0) |
	                         ((h->leaf7_edx & HILUM_LEAF7_STIBP) || (h->leaf8_ebx & HILUM_LEAF8_STIBP) ? 2 : 0) |
	                         ((h->leaf7_edx & HILUM_LEAF7_SSBD) || (h->leaf8_ebx & HILUM_LEAF8_SSBD) ? 4 : 0);
}

void speculation_init_core(void)
{
	if (host_health.leaf21_eax & HILUM_LEAF21_AUTO_IBRS)
		wrmsr(EFER_MSR, rdmsr(EFER_MSR) | EFER_AUTO_IBRS);
	speculation_set_control(0);
}

void speculation_set_control(uint64_t guest)
{
	struct cpu_arch *cpu = cpu_arch_self();
	uint8_t value = (uint8_t)(guest | (host_health.arch_capabilities & HILUM_ARCH_IBRS_ALL ? 1 : 0)); /* IBRS */

	if (likely(cpu->spec_ctrl == value))
		return;
	cpu->spec_ctrl = value;
	wrmsr(MSR_SPEC_CTRL, value);
}

void speculation_change_vm(bool predictors)
{
	static const uint16_t data = SELECTOR_DATA;

	if (predictors && (host_health.defences & HILUM_DEFENCE_IBPB))
		wrmsr(MSR_PRED_CMD, COMMAND);
	if (host_health.defences & HILUM_DEFENCE_L1D_FLUSH)
		wrmsr(MSR_FLUSH_CMD, COMMAND);
	if (host_health.defences & HILUM_DEFENCE_VERW)
		__asm__ volatile("verw %0" ::"m"(data) : "cc");
}
