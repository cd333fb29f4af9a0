/* See control.h. */
#include "vmx/control.h"
#include "arch/x86_64/features.h"
#include "vmx/vmcs.h"

#define BASIC_REGION_BYTES(c) ((c)->basic >> 32 & 0x1FFF)
#define BASIC_MEMORY_TYPE(c)  ((c)->basic >> 50 & 15)
#define MEMORY_WRITE_BACK     6u

/* IA32_VMX_EPT_VPID_CAP, A.10 */
#define EPT_CAP_WALK_4         (1ull << 6)
#define EPT_CAP_WRITE_BACK     (1ull << 14)
#define EPT_CAP_2M             (1ull << 16)
#define EPT_CAP_1G             (1ull << 17)
#define EPT_CAP_INVEPT         (1ull << 20)
#define EPT_CAP_ACCESSED_DIRTY (1ull << 21)
#define EPT_CAP_INVEPT_SINGLE  (1ull << 25)
#define EPT_CAP_INVEPT_ALL     (1ull << 26)
#define VPID_CAP_INVVPID       (1ull << 32)
#define VPID_CAP_INVVPID_ALL   (1ull << 42)

#define EPTP_WALK_4         (3u << 3)
#define EPTP_ACCESSED_DIRTY (1u << 6)

/* One control word: what Hilum cannot do without, what it takes where offered, and what must not be forced on it. */
struct rule {
	uint32_t required, wanted, refused;
	const char *why;
};

static const struct rule pin_rule = {
	.required = PIN_EXTERNAL_INTERRUPT | PIN_NMI | PIN_VIRTUAL_NMI,
	.wanted = PIN_PREEMPTION_TIMER,
	.refused = PIN_POSTED_INTERRUPTS,
	.why = "VMX here lacks a pin-based control that Hilum needs: interrupt exiting, NMI exiting or virtual NMIs",
};
static const struct rule primary_rule = {
	.required = PRIMARY_TSC_OFFSETTING | PRIMARY_HLT | PRIMARY_MWAIT | PRIMARY_RDPMC | PRIMARY_CR8_LOAD | PRIMARY_CR8_STORE |
		    PRIMARY_IO_BITMAPS | PRIMARY_MSR_BITMAPS | PRIMARY_MONITOR,
	.refused = PRIMARY_INTERRUPT_WINDOW | PRIMARY_INVLPG | PRIMARY_RDTSC | PRIMARY_CR3_LOAD | PRIMARY_CR3_STORE |
		   PRIMARY_TPR_SHADOW | PRIMARY_NMI_WINDOW | PRIMARY_MOV_DR | PRIMARY_UNCONDITIONAL_IO | PRIMARY_MONITOR_TRAP |
		   PRIMARY_PAUSE,
	.why = "VMX here lacks a processor-based control that Hilum needs, or forces one on it: a CPU from 2010 or later has them",
};
static const struct rule secondary_rule = {
	.required = SECONDARY_EPT | SECONDARY_UNRESTRICTED,
	.wanted = SECONDARY_RDTSCP | SECONDARY_VPID | SECONDARY_WBINVD | SECONDARY_PAUSE_LOOP | SECONDARY_INVPCID |
		  SECONDARY_ENCLS | SECONDARY_XSAVES,
	.refused = SECONDARY_APIC_ACCESSES | SECONDARY_DESCRIPTOR_TABLES | SECONDARY_X2APIC | SECONDARY_APIC_REGISTERS |
		   SECONDARY_INTERRUPT_DELIVERY | SECONDARY_RDRAND | SECONDARY_VM_FUNCTIONS | SECONDARY_SHADOWING |
		   SECONDARY_RDSEED | SECONDARY_PML | SECONDARY_EPT_VE,
	.why = "VMX here forces a secondary control on Hilum that it cannot serve",
};
static const struct rule exit_rule = {
	.required = EXIT_SAVE_DEBUG | EXIT_HOST_64 | EXIT_ACKNOWLEDGE_INTERRUPT | EXIT_SAVE_PAT | EXIT_LOAD_PAT | EXIT_SAVE_EFER |
		    EXIT_LOAD_EFER,
	.why = "VMX here lacks an exit control that Hilum needs: switching PAT and EFER, or acknowledging interrupts",
};
static const struct rule entry_rule = {
	.required = ENTRY_LOAD_DEBUG | ENTRY_LOAD_PAT | ENTRY_LOAD_EFER,
	.refused = ENTRY_IA32E | ENTRY_SMM | ENTRY_DUAL_MONITOR,
	.why = "VMX here lacks an entry control that Hilum needs: switching PAT and EFER",
};

/* A.3: the low half of the MSR must be 1, the high half may be. */
static bool choose(uint64_t msr, const struct rule *rule, uint32_t *out, const char **why)
{
	uint32_t must = (uint32_t)msr, may = (uint32_t)(msr >> 32);

	if ((must & ~may) || (rule->required & ~may) || (rule->refused & must)) {
		*why = rule->why;
		return false;
	}
	*out = must | rule->required | (rule->wanted & may);
	return true;
}

static bool choose_words(const struct vmx_capabilities *c, struct vmx_controls *out, const char **why)
{
	uint32_t primary_may = (uint32_t)(c->primary >> 32), secondary_may = (uint32_t)(c->secondary >> 32);

	if (!(primary_may & PRIMARY_SECONDARY) || !(secondary_may & SECONDARY_EPT)) {
		*why = "this CPU has VMX but no extended page tables (EPT), which Hilum needs: use an Intel CPU from 2010 or later";
		return false;
	}
	if (!(secondary_may & SECONDARY_UNRESTRICTED)) {
		*why = "this CPU has VMX but no unrestricted guests, which Hilum needs: use an Intel CPU from 2010 or later";
		return false;
	}
	if (!(primary_may & PRIMARY_INTERRUPT_WINDOW) || !(primary_may & PRIMARY_NMI_WINDOW) || !(c->entry >> 32 & ENTRY_IA32E)) {
		*why = "VMX here lacks interrupt windows, NMI windows or 64-bit guests, which Hilum needs";
		return false;
	}
	if (!choose(c->pin, &pin_rule, &out->pin, why) || !choose(c->primary, &primary_rule, &out->primary, why) ||
	    !choose(c->secondary, &secondary_rule, &out->secondary, why) || !choose(c->exit, &exit_rule, &out->exit, why) ||
	    !choose(c->entry, &entry_rule, &out->entry, why))
		return false;
	out->primary |= PRIMARY_SECONDARY;
	return true;
}

static bool choose_ept(const struct vmx_capabilities *c, struct vmx_controls *out, const char **why)
{
	const uint64_t need = EPT_CAP_WALK_4 | EPT_CAP_WRITE_BACK | EPT_CAP_2M | EPT_CAP_INVEPT;
	uint64_t cap = c->ept_vpid;

	if ((cap & need) != need || !(cap & (EPT_CAP_INVEPT_SINGLE | EPT_CAP_INVEPT_ALL))) {
		*why = "this CPU's EPT lacks four levels, write-back tables, 2 MiB pages or INVEPT, which Hilum needs";
		return false;
	}
	out->ept_dirty = cap & EPT_CAP_ACCESSED_DIRTY;
	out->ept_flags = MEMORY_WRITE_BACK | EPTP_WALK_4 | (out->ept_dirty ? EPTP_ACCESSED_DIRTY : 0);
	out->ept_levels = cap & EPT_CAP_1G ? 3 : 2;
	out->invept_type = cap & EPT_CAP_INVEPT_SINGLE ? 1 : 2;
	if (!(cap & VPID_CAP_INVVPID) || !(cap & VPID_CAP_INVVPID_ALL))
		out->secondary &= ~SECONDARY_VPID; /* tags could not be used again: every entry and exit flushes instead */
	if ((uint32_t)c->secondary & ~out->secondary) {
		*why = "VMX here forces tagged TLBs on Hilum without a way to flush them";
		return false;
	}
	return true;
}

enum status vmx_choose_controls(const struct vmx_capabilities *c, uint64_t cr4_guest, struct vmx_controls *out, const char **why)
{
	struct vmx_controls chosen = {
		.revision = (uint32_t)c->basic & 0x7FFFFFFF,
		.timer_shift = c->misc & 31,
		.cr0_ones = c->cr0_fixed0 & ~(CR0_PE | CR0_PG), /* an unrestricted guest owns these two (A.7) */
		.cr4_ones = c->cr4_fixed0 | CR4_MCE, /* a machine check while MCE is 0 would stop the machine */
	};

	if (BASIC_REGION_BYTES(c) == 0 || BASIC_REGION_BYTES(c) > PAGE_SIZE || BASIC_MEMORY_TYPE(c) != MEMORY_WRITE_BACK ||
	    (c->cr0_fixed0 & ~c->cr0_fixed1) || (c->cr4_fixed0 & ~c->cr4_fixed1) || (c->cr4_fixed0 & cr4_guest) || !(c->cr4_fixed1 & CR4_MCE)) {
		*why = "VMX here contradicts itself about its control structures or its fixed CR0 and CR4 bits";
		return STATUS_UNSUPPORTED;
	}
	if (!choose_words(c, &chosen, why) || !choose_ept(c, &chosen, why))
		return STATUS_UNSUPPORTED;
	/* CD and NW too: an entry does not load them, so a guest that set them would slow the whole core down. */
	chosen.cr0_mask = chosen.cr0_ones | CR0_CD | CR0_NW;
	chosen.cr4_mask = ~(cr4_guest & c->cr4_fixed1 & ~CR4_MCE);
	*out = chosen;
	return STATUS_OK;
}
