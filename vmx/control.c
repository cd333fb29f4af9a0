/* See control.h. */
#include "vmx/control.h"
#include "arch/x86_64/features.h"
#include "vmx/vmcs.h"

#define BASIC_REGION_BYTES(basic) ((basic) >> 32 & 0x1FFF)
#define BASIC_MEMORY_TYPE(basic)  ((basic) >> 50 & 15)
#define BASIC_TRUE_CONTROLS       (1ull << 55)
#define MEMORY_WRITE_BACK         6u

/* IA32_VMX_EPT_VPID_CAP, A.10 */
#define EPT_CAP_NEEDED        (1ull << 6 | 1ull << 14 | 1ull << 16 | 1ull << 20) /* 4 levels, write-back, 2 MiB, INVEPT */
#define EPT_CAP_1G            (1ull << 17)
#define EPT_CAP_DIRTY         (1ull << 21)
#define EPT_CAP_INVEPT_SINGLE (1ull << 25)
#define EPT_CAP_INVEPT_ALL    (1ull << 26)
#define VPID_CAP_NEEDED       (1ull << 32 | 1ull << 42) /* INVVPID, all contexts */

#define LACK(kind) "this CPU's VMX, or the hypervisor under Hilum, lacks a " kind " control that Hilum needs or forces one on it"

/* One control word: what Hilum cannot do without, what it takes where offered, and what may be forced on it (A.2: default1). */
static const struct rule {
	uint32_t required, wanted, tolerated;
	const char *lack;
} rules[] = {
	{ PIN_EXTERNAL_INTERRUPT | PIN_NMI | PIN_VIRTUAL_NMI, PIN_PREEMPTION_TIMER, 0x16, LACK("pin-based") },
	{ PRIMARY_TSC_OFFSETTING | PRIMARY_HLT | PRIMARY_MWAIT | PRIMARY_RDPMC | PRIMARY_MOV_DR | PRIMARY_TPR_SHADOW | PRIMARY_IO_BITMAPS |
	          PRIMARY_MSR_BITMAPS | PRIMARY_MONITOR | PRIMARY_SECONDARY,
	  0, 0x04006172, LACK("primary processor-based") },
	{ EXIT_SAVE_DEBUG | EXIT_HOST_64 | EXIT_ACKNOWLEDGE_INTERRUPT | EXIT_SAVE_PAT | EXIT_LOAD_PAT | EXIT_SAVE_EFER | EXIT_LOAD_EFER,
	  EXIT_SAVE_TIMER, 0x36DFF, LACK("VM-exit") },
	{ ENTRY_LOAD_DEBUG | ENTRY_LOAD_PAT | ENTRY_LOAD_EFER, 0, 0x11FF, LACK("VM-entry") },
	{ SECONDARY_EPT | SECONDARY_UNRESTRICTED,
	  SECONDARY_RDTSCP | SECONDARY_VPID | SECONDARY_WBINVD | SECONDARY_PAUSE_LOOP | SECONDARY_INVPCID | SECONDARY_ENCLS, 0,
	  LACK("secondary processor-based") },
};

/* A.3: the low half of the MSR must be 1, the high half may be. */
static bool choose_word(uint64_t msr, const struct rule *rule, uint32_t *out)
{
	uint32_t must = (uint32_t)msr, may = (uint32_t)(msr >> 32);

	*out = must | rule->required | (rule->wanted & may);
	return !(*out & ~may) && !(must & ~(rule->required | rule->wanted | rule->tolerated));
}

static const char *choose_words(const uint64_t *cap, struct vmx_controls *out)
{
	const uint64_t *word = cap + (cap[CAP_BASIC] & BASIC_TRUE_CONTROLS ? CAP_TRUE_PIN : CAP_PIN);
	uint32_t *const words[] = { &out->pin, &out->primary, &out->exit, &out->entry, &out->secondary };
	const uint32_t windows = PRIMARY_INTERRUPT_WINDOW | PRIMARY_NMI_WINDOW;
	const uint32_t apic = SECONDARY_APIC_REGISTERS | SECONDARY_INTERRUPT_DELIVERY;
	const uint32_t modes = SECONDARY_X2APIC | SECONDARY_APIC_ACCESSES; /* one of them while the guest's APIC is in its mode */

	if (!(cap[CAP_SECONDARY] >> 32 & SECONDARY_EPT))
		return "this CPU has VMX but no extended page tables (EPT), which Hilum needs: use an Intel CPU from 2010 or later";
	if (!(cap[CAP_SECONDARY] >> 32 & SECONDARY_UNRESTRICTED))
		return "this CPU has VMX but no unrestricted guests, which Hilum needs: use an Intel CPU from 2010 or later";
	for (unsigned i = 0; i < ARRAY_SIZE(rules); i++)
		if (!choose_word(i < 4 ? word[i] : cap[CAP_SECONDARY], &rules[i], words[i]))
			return rules[i].lack;
	if ((word[1] >> 32 & windows) != windows || !(word[3] >> 32 & ENTRY_IA32E))
		return "this CPU's VMX, or the hypervisor under Hilum, lacks interrupt windows, NMI windows or 64-bit guests, which Hilum needs";
	/* The local APIC is the CPU's, with all that belongs to it, or the kernel's. Whatever CPU has one of these has the others. */
	if ((cap[CAP_SECONDARY] >> 32 & (apic | modes)) == (apic | modes)) {
		out->secondary |= apic;
		out->pin |= word[0] >> 32 & PIN_POSTED_INTERRUPTS;
	}
	return NULL;
}

static const char *choose_ept(uint64_t cap, struct vmx_controls *out)
{
	if ((cap & EPT_CAP_NEEDED) != EPT_CAP_NEEDED || !(cap & (EPT_CAP_INVEPT_SINGLE | EPT_CAP_INVEPT_ALL)))
		return "this CPU's EPT lacks four levels, write-back tables, 2 MiB pages or INVEPT, which Hilum needs";
	out->ept_flags = MEMORY_WRITE_BACK | EPTP_WALK_4 | (cap & EPT_CAP_DIRTY ? EPTP_DIRTY : 0);
	out->ept_levels = cap & EPT_CAP_1G ? 3 : 2;
	out->invept_type = cap & EPT_CAP_INVEPT_SINGLE ? INVALIDATE_SINGLE : INVALIDATE_ALL;
	return NULL;
}

enum status vmx_choose_controls(const uint64_t cap[CAP_COUNT], uint64_t feature_control, uint64_t cr4_guest, struct vmx_controls *out,
                                const char **why)
{
	uint64_t basic = cap[CAP_BASIC], cr0_0 = cap[CAP_CR0_FIXED0], cr4_0 = cap[CAP_CR4_FIXED0], cr4_1 = cap[CAP_CR4_FIXED1];
	const char *lack;

	if ((feature_control & FEATURE_CONTROL_LOCKED) && !(feature_control & FEATURE_CONTROL_VMX))
		lack = "the firmware has locked VMX off: enable virtualization (VT-x) in its set-up";
	else if (BASIC_REGION_BYTES(basic) - 1 >= PAGE_SIZE || BASIC_MEMORY_TYPE(basic) != MEMORY_WRITE_BACK ||
	         (cr0_0 & ~cap[CAP_CR0_FIXED1]) || (cr4_0 & ~cr4_1) || (cr4_0 & cr4_guest) || !(cr4_1 & CR4_MCE))
		lack = "VMX here contradicts itself about its control structures or its fixed bits of CR0 and CR4";
	else if ((lack = choose_words(cap, out)) == NULL)
		lack = choose_ept(cap[CAP_EPT_VPID], out);
	if (lack != NULL) {
		*why = lack;
		return STATUS_UNSUPPORTED;
	}
	out->revision = (uint32_t)basic & 0x7FFFFFFF;
	out->timer_shift = cap[CAP_MISC] & 31;
	if ((cap[CAP_EPT_VPID] & VPID_CAP_NEEDED) != VPID_CAP_NEEDED)
		out->secondary &= ~SECONDARY_VPID; /* tags could not be used again: every entry and exit flushes instead */
	if (!(out->pin & PIN_PREEMPTION_TIMER))
		out->exit &= ~EXIT_SAVE_TIMER; /* 27.2.1.2: not without the timer */
	/* An unrestricted guest owns PE and PG (A.7). CD and NW are not loaded by entries: a guest's would slow the whole core down. */
	out->cr0_ones = cr0_0 & ~(CR0_PE | CR0_PG);
	out->cr0_mask = out->cr0_ones | CR0_CD | CR0_NW;
	out->cr4_ones = cr4_0 | CR4_MCE; /* a machine check while MCE is 0 would stop the machine */
	out->cr4_mask = ~(cr4_guest & cr4_1 & ~CR4_MCE);
	return STATUS_OK;
}
