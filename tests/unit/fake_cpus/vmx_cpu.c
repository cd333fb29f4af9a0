/*
 * A CPU with VMX, and control structures for two vCPUs, of which nothing is defined before it is written. SDM vol. 3C, 27.2 "Checks on VMX Controls
 * and Host-State Area", 27.3 "Checking and Loading Guest State"; what the manual has of segments, RIP and RFLAGS is the guest's own affair.
 */
#include "vmx/vmx.c"
#include "tests/unit/fake_cpus/cpus.h"
#include "tests/unit/fake_kernel/machine.h"

#define FIELDS          0x2000u
#define UNDEFINED       0xA5
#define BOTH(may, must) ((uint64_t)(may) << 32 | (must))
#define REASON_FAILED   (REASON_ENTRY_FAILED | REASON_BAD_GUEST_STATE)

static struct structure {
	hpa_t hpa;
	bool cleared, launched;
	uint64_t field[FIELDS];
} structures[2], *current;
static uint64_t last_vpid;
static uint64_t msrs[2][8]; /* SYSCALL's, and from KERNEL_GS_BASE on */

/* ---- The control structure ---- */

static unsigned place(uint32_t field)
{
	return (field >> 1 & 0x1FF) | (field >> 10 & 3) << 9 | (field >> 13 & 3) << 11;
}

static bool is_read_only(uint32_t field)
{
	return (field >> 10 & 3) == 1;
}

uint64_t vmx_read(uint32_t field)
{
	fake_cpu_want(current != NULL && !(field & 1), "VMREAD has a control structure");
	return current->field[place(field)];
}

void vmx_write(uint32_t field, uint64_t value)
{
	static const uint64_t width[] = { UINT16_MAX, UINT64_MAX, UINT32_MAX, UINT64_MAX };

	fake_cpu_want(current != NULL && !(field & 1) && !is_read_only(field), "VMWRITE has a control structure and a field to write");
	current->field[place(field)] = value & width[field >> 13 & 3];
}

static void put(uint32_t field, uint64_t value)
{
	current->field[place(field)] = value;
}

bool vmx_on(hpa_t region)
{
	return region != 0;
}

static struct structure *structure_at(hpa_t hpa)
{
	for (unsigned i = 0; i < ARRAY_SIZE(structures); i++)
		if (structures[i].hpa == hpa || structures[i].hpa == 0) {
			structures[i].hpa = hpa;
			return &structures[i];
		}
	fake_cpu_broken("there are two vCPUs");
}

bool vmx_clear(hpa_t vmcs)
{
	struct structure *s = structure_at(vmcs);

	s->launched = false;
	s->cleared = true;
	if (current == s)
		current = NULL;
	return true;
}

bool vmx_make_current(hpa_t vmcs)
{
	struct structure *s = structure_at(vmcs);

	fake_cpu_want(s->cleared, "the control structure was cleared");
	current = s;
	return *(uint32_t *)pool_va(vmcs) == vmx_controls.revision;
}

void vmx_invept(uint64_t type, uint64_t ept_pointer)
{
	fake_cpu_want(type == vmx_controls.invept_type && ept_pointer != 0, "INVEPT has a type that there is");
}

void vmx_invvpid(uint64_t type)
{
	fake_cpu_want(type == INVALIDATE_ALL, "INVVPID has a type that there is");
}

/* ---- MSRs and registers of the core ---- */

uint64_t fake_rdmsr(uint32_t msr)
{
	return msr - 0xC0000080u < 8 ? msrs[0][msr & 7] : msr - 0xC0000100u < 8 ? msrs[1][msr & 7] : 0;
}

static void write_msr(uint32_t msr, uint64_t value)
{
	if (msr == 0xC0000082 || msr == 0xC0000083 || msr == 0xC0000102)
		fake_cpu_want(fake_cpu_canonical(value), "addresses in MSRs are canonical");
	if (msr == 0xC0000084)
		fake_cpu_want(!(value >> 32), "SFMASK has 32 bits");
	if (msr - 0xC0000080u < 8)
		msrs[0][msr & 7] = value;
	else if (msr - 0xC0000100u < 8)
		msrs[1][msr & 7] = value;
}

/* ---- Checks of an entry ---- */

static void check_controls(const struct vcpu *v)
{
	const struct vmx_controls *c = &vmx_controls;
	uint32_t primary = (uint32_t)vmx_read(VMCS_PRIMARY_CONTROLS), secondary = (uint32_t)vmx_read(VMCS_SECONDARY_CONTROLS);

	fake_cpu_want(vmx_read(VMCS_PIN_CONTROLS) == c->pin && vmx_read(VMCS_EXIT_CONTROLS) == c->exit, "pin and exit controls");
	fake_cpu_want(!((primary ^ c->primary) & ~(PRIMARY_INTERRUPT_WINDOW | PRIMARY_NMI_WINDOW | PRIMARY_MOV_DR)), "primary controls");
	fake_cpu_want(!((secondary ^ c->secondary) & ~(SECONDARY_X2APIC | SECONDARY_APIC_ACCESSES)), "secondary controls");
	fake_cpu_want(!((vmx_read(VMCS_ENTRY_CONTROLS) ^ c->entry) & ~(uint64_t)ENTRY_IA32E), "entry controls");
	fake_cpu_want(vmx_read(0x400A) == 0 && vmx_read(0x400E) == 0 && vmx_read(0x4010) == 0 && vmx_read(0x4014) == 0,
	              "no CR3 targets and no MSR lists");
	fake_cpu_want(vmx_read(VMCS_EPT_POINTER) == (v->vm->npt.root | c->ept_flags), "nested tables are the VM's");
	fake_cpu_want(vmx_read(VMCS_MSR_BITMAP) >= pool_hpa(backend_msr_bitmap) &&
	                      vmx_read(VMCS_MSR_BITMAP) <= pool_hpa(backend_msr_bitmap) + PAGE_SIZE &&
	                      vmx_read(VMCS_IO_BITMAP_A) == pool_hpa(backend_io_bitmap),
	              "permission maps are the kernel's");
	fake_cpu_want(vmx_read(VMCS_LINK_POINTER) == ~0ull, "no control structure is linked");
	fake_cpu_want(vmx_read(VMCS_TPR_THRESHOLD) <= 15, "the TPR threshold is a class");
	if (secondary & SECONDARY_VPID)
		fake_cpu_want(vmx_read(VMCS_VPID) != 0 && (!fake_cpu.tlb_is_old || vmx_read(VMCS_VPID) != last_vpid), "the VPID is new");
	last_vpid = vmx_read(VMCS_VPID);
}

static void check_host(void)
{
	fake_cpu_want(vmx_read(VMCS_HOST_CR3) == fake_cr[3] && vmx_read(VMCS_HOST_RIP) == (uint64_t)vmx_exit, "the host's state");
	fake_cpu_want(vmx_read(VMCS_HOST_SELECTOR(SEGMENT_CS)) == SELECTOR_CODE && vmx_read(VMCS_HOST_SELECTOR(6)) == SELECTOR_TSS,
	              "the host's selectors");
}

/* 27.2.1.3, and of 27.3.1.5 what has to do with it. */
static void check_event(uint32_t event, uint32_t blocking)
{
	unsigned type = event >> 8 & 7, vector = event & 0xFF;

	fake_cpu_want(type == 0 || type == 2 || type == 3, "an event's type is interrupt, NMI or exception");
	fake_cpu_want(type != 2 || vector == 2, "an NMI has vector 2");
	fake_cpu_want(type != 3 || vector < 32, "an exception's vector is below 32");
	fake_cpu_want(!(event & 0x7FFFF000), "an event's reserved bits are 0");
	if (event & EVENT_ERROR_VALID)
		fake_cpu_want(type == 3 && (vmx_read(VMCS_GUEST_CR0) & CR0_PE) && (0x27D00u >> vector & 1) &&
		                      !(vmx_read(VMCS_ENTRY_ERROR_CODE) >> 16),
		              "an error code is an exception's that has one, and has 16 bits");
	else
		fake_cpu_want(type != 3 || !(0x27D00u >> vector & 1) || !(vmx_read(VMCS_GUEST_CR0) & CR0_PE),
		              "an exception lacks its code");
	fake_cpu_want(type == 3 || !(blocking & BLOCKING_SHADOW), "no interrupt comes in a shadow");
	fake_cpu_want(type != 2 || !(blocking & BLOCKING_BY_NMI), "no NMI comes while one is blocked");
}

static void check_interruptibility(uint64_t rflags, uint32_t blocking)
{
	uint64_t pending = vmx_read(VMCS_GUEST_PENDING_DEBUG);
	bool single_step = rflags >> 8 & 1;

	fake_cpu_want(!(blocking & ~(BLOCKING_SHADOW | BLOCKING_BY_NMI)) && (blocking & BLOCKING_SHADOW) != BLOCKING_SHADOW &&
	                      (!(blocking & BLOCKING_BY_STI) || (rflags & RFLAGS_IF)),
	              "the shadow is one of STI, with IF, or of MOV SS");
	fake_cpu_want(vmx_read(0x4826) == 0 && vmx_read(0x2802) == 0, "activity and DEBUGCTL are 0");
	fake_cpu_want(!(pending & ~(uint64_t)DR6_BS), "pending debug exceptions have no reserved bits");
	if (blocking & BLOCKING_SHADOW)
		fake_cpu_want(single_step == ((pending & DR6_BS) != 0), "a single step in a shadow is pending, nothing else is");
}

/* 27.3.1.1 and 27.3.1.6. */
static void check_control_state(void)
{
	const struct vmx_controls *c = &vmx_controls;
	bool long_mode = vmx_read(VMCS_ENTRY_CONTROLS) & ENTRY_IA32E;
	uint64_t cr0 = vmx_read(VMCS_GUEST_CR0), cr4 = vmx_read(VMCS_GUEST_CR4), efer = vmx_read(VMCS_GUEST_EFER);

	fake_cpu_check_control(cr0, vmx_read(VMCS_GUEST_CR3), cr4, efer, long_mode);
	fake_cpu_want((cr0 & c->cr0_ones) == c->cr0_ones && (cr4 & c->cr4_ones) == c->cr4_ones, "fixed bits of CR0 and CR4 are 1");
	fake_cpu_want(!(cr4 & ~(capabilities[CAP_CR4_FIXED1] | c->cr4_ones)), "fixed bits of CR4 are 0");
	fake_cpu_want(!long_mode || (cr0 & CR0_PG), "long mode pages");
	fake_cpu_want(long_mode || !(cr4 & CR4_PCIDE), "CR4.PCIDE needs long mode");
	fake_cpu_want(!(vmx_read(VMCS_GUEST_DR7) >> 32) && !(fake_dr[6] >> 32), "the upper halves of DR6 and DR7 are 0");
	fake_cpu_want(fake_cpu_canonical(vmx_read(VMCS_GUEST_SYSENTER_ESP)) && fake_cpu_canonical(vmx_read(VMCS_GUEST_SYSENTER_EIP)),
	              "SYSENTER's addresses are canonical");
	fake_cpu_want(msr_pat_valid(vmx_read(VMCS_GUEST_PAT)), "PAT has memory types only");
	fake_cpu_want(!(efer & EFER_LMA) == !long_mode && (!(cr0 & CR0_PG) || !(efer & EFER_LMA) == !(efer & EFER_LME)), "EFER.LMA");
	for (unsigned i = 0; i < 4 && (cr0 & CR0_PG) && (cr4 & CR4_PAE) && !long_mode; i++)
		fake_cpu_want(!(vmx_read(VMCS_GUEST_PDPTE(i)) & 1), "a page-directory pointer that cannot be read is not there");
}

/* 27.3.1.2 to 27.3.1.4, as far as an emulator would look. */
static bool guest_is_odd(uint64_t rflags, uint32_t event)
{
	bool long_mode = vmx_read(VMCS_ENTRY_CONTROLS) & ENTRY_IA32E;
	uint64_t cs = vmx_read(VMCS_GUEST_ACCESS(SEGMENT_CS));
	bool wide = long_mode && (cs >> 13 & 1);

	fake_cpu_want(fake_cpu_canonical(vmx_read(VMCS_GUEST_GDTR_BASE)) && fake_cpu_canonical(vmx_read(VMCS_GUEST_IDTR_BASE)) &&
	                      vmx_read(VMCS_GUEST_GDTR_LIMIT) <= 0xFFFF && vmx_read(VMCS_GUEST_IDTR_LIMIT) <= 0xFFFF,
	              "descriptor tables have bases and limits that there are");
	fake_cpu_want((rflags & 2) && !(rflags & 0xFFFFFFFFFFC08028), "RFLAGS' reserved bits are what they are");
	for (unsigned n = 0; n < 8; n++)
		fake_cpu_want(!(vmx_read(VMCS_GUEST_ACCESS(n)) & 0xFFFE0F00), "access rights have no reserved bits");
	if ((event & (EVENT_VALID | EVENT_TYPE_MASK)) == EVENT_VALID && !(rflags & RFLAGS_IF))
		return true;
	return (!wide && vmx_read(VMCS_GUEST_RIP) >> 32) || (wide && (cs >> 14 & 1)) || (cs & ACCESS_UNUSABLE) ||
	       ((rflags >> 17 & 1) && (long_mode || !(vmx_read(VMCS_GUEST_CR0) & CR0_PE)));
}

bool vmx_enter(struct vcpu *v, struct vmx_vcpu *x, bool resume)
{
	uint64_t rflags = vmx_read(VMCS_GUEST_RFLAGS);
	uint32_t event = (uint32_t)vmx_read(VMCS_ENTRY_EVENT), blocking = (uint32_t)vmx_read(VMCS_GUEST_INTERRUPTIBILITY);

	(void)x;
	fake_cpu_want(current->hpa == v->backend_hpa && resume == current->launched,
	              "the control structure is the vCPU's, and launched once");
	check_controls(v);
	check_host();
	check_control_state();
	fake_cpu.failed = guest_is_odd(rflags, event) || fake_cpu.refuses;
	fake_cpu.tlb_is_old = false;
	fake_cpu.entries++;
	if (!fake_cpu.failed && (event & EVENT_VALID))
		check_event(event, blocking);
	if (!fake_cpu.failed)
		check_interruptibility(rflags, blocking);
	current->launched = true;
	put(VMCS_VECTORING_EVENT, 0);
	put(VMCS_QUALIFICATION, 0);
	put(VMCS_EXIT_REASON, fake_cpu.failed                          ? REASON_FAILED
	                      : fake_cpu.entries > MACHINE_ENTRIES_MAX ? REASON_TRIPLE_FAULT
	                      : fake_cpu.halts                         ? REASON_HLT
	                                                               : REASON_INTERRUPT);
	if (fake_cpu.failed)
		return true;
	put(VMCS_INSN_LENGTH, 1);
	put(VMCS_EXIT_EVENT, EVENT_VALID | 0x20);
	put(VMCS_ENTRY_EVENT, event & ~EVENT_VALID);
	put(VMCS_GUEST_RFLAGS, fake_cpu.rflags);
	put(VMCS_GUEST_INTERRUPTIBILITY,
	    (fake_cpu.nmi_blocked ? BLOCKING_BY_NMI : 0) | (!fake_cpu.shadow              ? 0
	                                                    : fake_cpu.rflags & RFLAGS_IF ? BLOCKING_BY_STI
	                                                                                  : BLOCKING_BY_MOV_SS));
	put(VMCS_GUEST_PENDING_DEBUG, fake_cpu.shadow && fake_cpu.rflags >> 8 & 1 ? DR6_BS : 0);
	if (!fake_cpu.halts)
		fake_cpu_stop(v);
	return true;
}

void vmx_exit(void)
{
	abort();
}

static void make_capabilities(bool delivers_interrupts)
{
	/* A CPU of 2020, or one without what came with virtual-interrupt delivery. */
	capabilities[CAP_BASIC] = 1ull << 55 | 6ull << 50 | 4096ull << 32 | 4;
	capabilities[CAP_MISC] = 5;
	capabilities[CAP_CR0_FIXED0] = 0x80000021;
	capabilities[CAP_CR0_FIXED1] = 0xFFFFFFFF;
	capabilities[CAP_CR4_FIXED0] = 0x2000;
	capabilities[CAP_CR4_FIXED1] = 0x376FFF;
	capabilities[CAP_SECONDARY] = BOTH(delivers_interrupts ? 0x005FFFFF : 0x005FFCEE, 0);
	capabilities[CAP_EPT_VPID] = 0xF0106734141ull;
	capabilities[CAP_TRUE_PIN] = BOTH(0xFF, 0x16);
	capabilities[CAP_TRUE_PIN + 1] = BOTH(0xFFF9FFFE, 0x04006172);
	capabilities[CAP_TRUE_PIN + 2] = BOTH(0x01FFFFFF, 0x36DFB);
	capabilities[CAP_TRUE_PIN + 3] = BOTH(0x3FFFF, 0x11FB);
}

void fake_cpu_boot_vmx(bool delivers_interrupts)
{
	const char *why;

	memset(&fake_cpu, 0, sizeof(fake_cpu));
	memset(fake_dr, 0, sizeof(fake_dr));
	make_capabilities(delivers_interrupts);
	if (vmx_choose_controls(capabilities, FEATURE_CONTROL_LOCKED | FEATURE_CONTROL_VMX, CR4_GUEST, &vmx_controls, &why) != STATUS_OK)
		fake_cpu_broken(why);
	fake_cpu_want(vmx_has_apic() == delivers_interrupts, "the CPU has what it is to have");
	for (unsigned i = 0; i < ARRAY_SIZE(structures); i++) {
		memset(&structures[i], UNDEFINED, sizeof(structures[i]));
		structures[i].hpa = 0;
		structures[i].cleared = structures[i].launched = false;
	}
	memset(msrs, 0, sizeof(msrs));
	current = NULL;
	last_vpid = 0;
	fake_wrmsr = write_msr;
	vmx_ops.idle = fake_idle;
	virt = &vmx_ops;
}
