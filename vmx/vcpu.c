/* A vCPU's VMCS: creation, reset values, and the state that is switched with the vCPU rather than at each exit. */
#include "arch/x86_64/features.h"
#include "arch/x86_64/panic.h"
#include "mm/pool.h"
#include "vmx/vmx.h"

#define MSR_PAT             0x277u
#define PREEMPTION_TIMER_NS 1000000u /* of guest time: Bochs loses interrupts while IF is 0 at an entry, so look this often */
#define EXCEPTION_BITMAP    (1u << 1 | 1u << 17 | 1u << 18) /* as run.c takes them */

static const uint32_t msr_of[VMX_MSR_COUNT] = { 0xC0000081, 0xC0000082, 0xC0000083, 0xC0000084, 0xC0000102 };

bool vmx_borrow(struct vcpu *v)
{
	if (cpu_self()->loaded == v)
		return false;
	if (!vmx_make_current(v->backend_hpa))
		panic("VMPTRLD refuses a control structure of ours");
	return true;
}

/* Nothing of a VMCS stays in a core's cache when its vCPU is not loaded: any core may be the next to want it. */
static void vmcs_release(struct vcpu *v)
{
	if (!vmx_clear(v->backend_hpa))
		panic("VMCLEAR refuses a control structure of ours");
	vmx_of(v)->launched = false;
}

void vmx_return(struct vcpu *v, bool borrowed)
{
	const struct vcpu *loaded = cpu_self()->loaded;

	if (!borrowed)
		return;
	vmcs_release(v);
	if (loaded != NULL && !vmx_make_current(loaded->backend_hpa))
		panic("VMPTRLD refuses the core's own control structure");
}

/* Fields that every CPU has, and that hold 0 for ever or until something else is known: what a fresh control structure holds is not
 * defined. */
static const uint16_t zero_fields[][2] = {
	{ 0x2802, 0x2802 }, /* guest DEBUGCTL */
	{ 0x4006, 0x401C }, /* page faults, CR3 targets, MSR lists, the event, TPR threshold; with controls that are written after this */
	{ 0x4824, 0x482A }, /* guest interruptibility, activity, SMBASE, SYSENTER_CS */
	{ 0x4C00, 0x4C00 }, /* host SYSENTER_CS */
	{ 0x681E, 0x6826 }, /* guest RIP, RFLAGS, pending debug exceptions, SYSENTER_ESP and _EIP */
	{ 0x6C06, 0x6C12 }, /* host bases, which are written later but for FS and GS; SYSENTER_ESP and _EIP */
};

void vmx_write_timer(const struct vcpu *v)
{
	uint64_t ticks = (tsc_from_ns(PREEMPTION_TIMER_NS) >> vmx_controls.timer_shift) + 1;

	if (vmx_controls.pin & PIN_PREEMPTION_TIMER)
		vmx_write(VMCS_PREEMPTION_TIMER, v->cpu->dedicated == v ? UINT32_MAX : ticks);
}

static void write_controls(struct vcpu *v, struct vmx_vcpu *x)
{
	const struct vmx_controls *c = &vmx_controls;

	for (unsigned i = 0; i < ARRAY_SIZE(zero_fields); i++)
		for (uint32_t field = zero_fields[i][0]; field <= zero_fields[i][1]; field += 2)
			vmx_write(field, 0);
	x->primary = c->primary;
	x->ept_pointer = v->vm->npt.root | c->ept_flags;
	vmx_write(VMCS_PIN_CONTROLS, c->pin);
	vmx_write(VMCS_PRIMARY_CONTROLS, c->primary);
	vmx_write(VMCS_SECONDARY_CONTROLS, c->secondary);
	vmx_write(VMCS_EXIT_CONTROLS, c->exit);
	vmx_write(VMCS_ENTRY_CONTROLS, c->entry);
	vmx_write(VMCS_MSR_BITMAP, pool_hpa(backend_msr_bitmap));
	vmx_write(VMCS_EPT_POINTER, x->ept_pointer);
	vmx_write(VMCS_LINK_POINTER, ~0ull);
	vmx_write(VMCS_CR0_MASK, c->cr0_mask);
	vmx_write(VMCS_CR4_MASK, c->cr4_mask);
	if (c->secondary & SECONDARY_PAUSE_LOOP) {
		vmx_write(VMCS_PLE_GAP, 128);
		vmx_write(VMCS_PLE_WINDOW, 4096);
	}
	if (c->secondary & SECONDARY_ENCLS)
		vmx_write(VMCS_ENCLS_EXITING, ~0ull);
}

/* 27.2.2 and 27.2.3: of the core that the vCPU belongs to; control registers and IDT are the same on all. The limits of GDTR and IDTR become FFFFh at each exit, which harms nobody. */
static void write_host_state(struct cpu *cpu)
{
	static const uint8_t selectors[] = { SELECTOR_DATA, SELECTOR_CODE, SELECTOR_DATA, SELECTOR_DATA, 0, 0, SELECTOR_TSS };
	struct desc_pointer idtr;

	__asm__ volatile("sidt %0" : "=m"(idtr));
	for (unsigned n = 0; n < ARRAY_SIZE(selectors); n++)
		vmx_write(VMCS_HOST_SELECTOR(n), selectors[n]);
	vmx_write(VMCS_HOST_TR_BASE, (uint64_t)&cpu->arch.desc->tss);
	vmx_write(VMCS_HOST_GDTR_BASE, (uint64_t)cpu->arch.desc->gdt);
	vmx_write(VMCS_HOST_IDTR_BASE, idtr.base);
	vmx_write(VMCS_HOST_CR0, cpu_read_cr0());
	vmx_write(VMCS_HOST_CR3, cpu_read_cr3());
	vmx_write(VMCS_HOST_CR4, cpu_read_cr4());
	vmx_write(VMCS_HOST_PAT, rdmsr(MSR_PAT));
	vmx_write(VMCS_HOST_EFER, rdmsr(EFER_MSR));
	vmx_write(VMCS_HOST_RIP, (uint64_t)vmx_exit);
}

enum status vmx_create_vcpu(struct vcpu *v)
{
	uint32_t *region = vm_alloc_pages(v->vm, 2); /* the VMCS, what belongs to it, the virtual APIC, and the VM's APIC-access page */

	if (region == NULL)
		return STATUS_NO_MEMORY;
	*region = vmx_controls.revision;
	v->backend = (uint8_t *)region + PAGE_SIZE;
	v->backend_hpa = pool_hpa(region);
	vmcs_release(v);
	bool borrowed = vmx_borrow(v);
	write_controls(v, vmx_of(v));
	enum status status = vmx_init_apic(v);
	vmx_return(v, borrowed);
	return status;
}

void vmx_destroy_vcpu(struct vcpu *v)
{
	pool_free_pages(pool_va(v->backend_hpa), 2);
}

/* A PAE guest's four top entries are registers of the VMCS. What is not there reads as not present. */
static void load_pdptes(struct vcpu *v)
{
	uint64_t entries[4] = { 0 };
	gpa_t table = vmx_read(VMCS_GUEST_CR3) & 0xFFFFFFE0;

	for (; vm_copy_in(v->vm, table, entries, sizeof(entries)) == STATUS_BUSY; cpu_pause())
		__atomic_fetch_add(&v->cpu->epoch, 1,
		                   __ATOMIC_SEQ_CST); /* who changes the frames waits for this core, as this one for him */
	for (unsigned i = 0; i < 4; i++)
		vmx_write(VMCS_GUEST_PDPTE(i), entries[i]);
}

void vmx_take_debug(struct vcpu *v)
{
	backend_load_debug(v);
	cpu_write_dr6(vmx_of(v)->dr6);
	vmx_of(v)->debug_taken = true;
	v->check_interrupts = true; /* which writes the controls */
}

void vmx_write_offset_and_pat(struct vcpu *v)
{
	vmx_write(VMCS_TSC_OFFSET, v->apic.tsc_offset);
	vmx_write(VMCS_GUEST_PAT, v->pat);
}

static never_inline void take_controls(struct vcpu *v)
{
	const void *ports = v->vm->io_bitmap != NULL ? v->vm->io_bitmap : backend_io_bitmap;

	v->controls_stale = false;
	write_host_state(v->cpu);
	vmx_write_timer(v);
	vmx_write(VMCS_IO_BITMAP_A, pool_hpa(ports));
	vmx_write(VMCS_IO_BITMAP_B, pool_hpa(ports) + PAGE_SIZE);
	vmx_write(VMCS_EXCEPTION_BITMAP, EXCEPTION_BITMAP | (uint32_t)v->debug);
	vmx_write_offset_and_pat(v);
}

void vmx_load(struct vcpu *v)
{
	struct vmx_vcpu *x = vmx_of(v);

	if (!vmx_make_current(v->backend_hpa))
		panic("VMPTRLD refuses a control structure of ours");
	if (unlikely(v->controls_stale))
		take_controls(v);
	if (x->pdptes_stale)
		load_pdptes(v);
	x->pdptes_stale = false;
	backend_load_vcpu(v);
	if (unlikely(x->debug_taken))
		vmx_take_debug(v);
	cpu_write_cr2(x->cr2);
#pragma GCC unroll 5
	for (unsigned i = 0; i < VMX_MSR_COUNT; i++)
		wrmsr(msr_of[i], x->msr[i]);
}

void vmx_unload(struct vcpu *v)
{
	struct vmx_vcpu *x = vmx_of(v);

	vmx_fetch_rsp(v);
	x->cr2 = cpu_read_cr2();
	if (unlikely(x->debug_taken)) {
		backend_unload_debug(v);
		x->dr6 = cpu_read_dr6();
		x->debug_taken = vmx_read(VMCS_GUEST_DR7) & DR7_ENABLES;
		v->check_interrupts = true; /* which writes the controls */
	}
#pragma GCC unroll 5
	for (unsigned i = 0; i < VMX_MSR_COUNT; i++)
		x->msr[i] = rdmsr(msr_of[i]);
	vmcs_release(v);
}
