/*
 * From the VMX capability MSRs to the values of the VMCS controls. Pure: no privileged instruction, so that tests can feed it
 * machines that do not exist. SDM vol. 3D, Appendix A "VMX Capability Reporting Facility".
 */
#ifndef VMX_CONTROL_H
#define VMX_CONTROL_H

#include "arch/x86_64/status.h"
#include "arch/x86_64/types.h"

/* What the MSRs said; secondary and ept_vpid are 0 where they do not exist. pin to entry: the TRUE ones where those exist. */
struct vmx_capabilities {
	uint64_t basic, pin, primary, secondary, exit, entry, misc, ept_vpid;
	uint64_t cr0_fixed0, cr0_fixed1, cr4_fixed0, cr4_fixed1;
};

/* What Hilum makes of them. */
struct vmx_controls {
	uint32_t revision;
	uint32_t pin, primary, secondary, exit, entry;
	uint64_t cr0_mask, cr0_ones; /* CR0 bits that the guest does not own; those of them that are 1 in VMX operation */
	uint64_t cr4_mask, cr4_ones;
	uint64_t ept_flags;          /* of the EPT pointer, beside the address */
	uint32_t invept_type;
	uint32_t timer_shift;        /* the preemption timer counts TSC >> this */
	unsigned ept_levels;         /* largest leaf: 2 or 3 */
	bool ept_dirty;              /* the CPU keeps accessed and dirty bits */
};

/*
 * Fill *out. `cr4_guest`: CR4 bits that guests may own. STATUS_UNSUPPORTED, with a sentence in *why and *out unchanged: the
 * machine lacks something that Hilum needs, or contradicts itself.
 */
must_check enum status vmx_choose_controls(const struct vmx_capabilities *c, uint64_t cr4_guest, struct vmx_controls *out,
					   const char **why);

/* `value` with what VMX operation wants in it (A.7, A.8). */
static inline uint64_t vmx_fix_bits(uint64_t value, uint64_t fixed0, uint64_t fixed1)
{
	return (value | fixed0) & fixed1;
}

#endif
