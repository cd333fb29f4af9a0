/*
 * From the VMX capability MSRs to the values of the VMCS controls. Pure: no privileged instruction, so that tests can feed it
 * machines that do not exist. SDM vol. 3D, Appendix A "VMX Capability Reporting Facility".
 */
#ifndef VMX_CONTROL_H
#define VMX_CONTROL_H

#include "arch/x86_64/status.h"

#define MSR_FEATURE_CONTROL    0x3Au
#define FEATURE_CONTROL_LOCKED (1ull << 0)
#define FEATURE_CONTROL_VMX    (1ull << 2) /* outside SMX */

/* The capability MSRs from 480h on; one that does not exist reads as 0. */
#define MSR_VMX_FIRST 0x480u
enum {
	CAP_BASIC,
	CAP_PIN,
	CAP_PRIMARY,
	CAP_EXIT,
	CAP_ENTRY,
	CAP_MISC,
	CAP_CR0_FIXED0,
	CAP_CR0_FIXED1,
	CAP_CR4_FIXED0,
	CAP_CR4_FIXED1,
	CAP_SECONDARY = 11,
	CAP_EPT_VPID,
	CAP_TRUE_PIN,
	CAP_COUNT = CAP_TRUE_PIN + 4,
};

/* What Hilum makes of them. */
struct vmx_controls {
	uint32_t revision;
	uint32_t pin, primary, secondary, exit, entry;
	uint64_t cr0_mask, cr0_ones; /* CR0 bits that the guest does not own; what must be 1 of them in VMX operation */
	uint64_t cr4_mask, cr4_ones;
	uint64_t ept_flags; /* of the EPT pointer, beside the address */
	uint32_t invept_type;
	uint32_t timer_shift; /* the preemption timer counts TSC >> this */
	unsigned ept_levels;  /* largest leaf: 2 or 3 */
};

/*
 * Fill *out. `feature_control`: that MSR; `cr4_guest`: CR4 bits that guests may own. STATUS_UNSUPPORTED, with a sentence in *why:
 * the firmware forbids VMX, or the machine lacks something that Hilum needs, forces something on it, or contradicts itself.
 */
must_check enum status vmx_choose_controls(const uint64_t cap[CAP_COUNT], uint64_t feature_control, uint64_t cr4_guest,
                                           struct vmx_controls *out, const char **why);

/* `value` with what VMX operation wants in it (A.7, A.8). */
static inline uint64_t vmx_fix_bits(uint64_t value, uint64_t fixed0, uint64_t fixed1)
{
	return (value | fixed0) & fixed1;
}

#endif
