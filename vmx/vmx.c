/* VMX: what the machine offers, the shared permission maps, and entering root operation. SDM vol. 3C, chapters 24 and 25. */
#include "vmx/vmx.h"
#include "arch/x86_64/features.h"
#include "arch/x86_64/log.h"
#include "arch/x86_64/panic.h"
#include "arch/x86_64/string.h"
#include "kernel/backend.h"
#include "kernel/exit.h"
#include "mm/pool.h"

#define MSR_FEATURE_CONTROL     0x3Au
#define FEATURE_CONTROL_LOCKED  (1ull << 0)
#define FEATURE_CONTROL_VMX     (1ull << 2) /* outside SMX */
#define MSR_VMX_BASIC           0x480u
#define BASIC_TRUE_CONTROLS     (1ull << 55)
#define MSR_VMX_PIN             0x481u
#define MSR_VMX_PRIMARY         0x482u
#define MSR_VMX_EXIT            0x483u
#define MSR_VMX_ENTRY           0x484u
#define MSR_VMX_MISC            0x485u
#define MSR_VMX_CR0_FIXED0      0x486u
#define MSR_VMX_CR0_FIXED1      0x487u
#define MSR_VMX_CR4_FIXED0      0x488u
#define MSR_VMX_CR4_FIXED1      0x489u
#define MSR_VMX_SECONDARY       0x48Bu
#define MSR_VMX_EPT_VPID        0x48Cu
#define MSR_VMX_TRUE_PIN        0x48Du /* .. TRUE_ENTRY, in the order of PIN .. ENTRY */

#define CR4_VMXE (1ull << 13)
#define EPT_WRITE_BACK (6u << 3)

struct vmx_controls vmx_controls;
uint8_t *vmx_msr_bitmap;
uint8_t *vmx_io_bitmap;
static struct vmx_capabilities capabilities;

void vmx_write_failed(uint32_t field)
{
	panic("VMCS field %#x cannot be written (error %lu): this CPU, or the hypervisor under Hilum, lacks what its VMX capability "
	      "registers promise", field, vmx_read(VMCS_INSTRUCTION_ERROR));
}

static void read_capabilities(struct vmx_capabilities *c)
{
	uint32_t move = 0;

	c->basic = rdmsr(MSR_VMX_BASIC);
	if (c->basic & BASIC_TRUE_CONTROLS)
		move = MSR_VMX_TRUE_PIN - MSR_VMX_PIN;
	c->pin = rdmsr(MSR_VMX_PIN + move);
	c->primary = rdmsr(MSR_VMX_PRIMARY + move);
	c->exit = rdmsr(MSR_VMX_EXIT + move);
	c->entry = rdmsr(MSR_VMX_ENTRY + move);
	c->misc = rdmsr(MSR_VMX_MISC);
	c->cr0_fixed0 = rdmsr(MSR_VMX_CR0_FIXED0);
	c->cr0_fixed1 = rdmsr(MSR_VMX_CR0_FIXED1);
	c->cr4_fixed0 = rdmsr(MSR_VMX_CR4_FIXED0);
	c->cr4_fixed1 = rdmsr(MSR_VMX_CR4_FIXED1);
	if (rdmsr_safe(MSR_VMX_SECONDARY, &c->secondary) != STATUS_OK || rdmsr_safe(MSR_VMX_EPT_VPID, &c->ept_vpid) != STATUS_OK)
		c->secondary = 0;
}

static enum status vmx_probe(const char **why)
{
	uint64_t control;

	if (!cpu_features.vmx) {
		if (cpu_features.vendor == CPU_VENDOR_INTEL)
			*why = "this Intel CPU does not offer VMX (VT-x), or the firmware has switched it off: look in its set-up";
		return STATUS_UNSUPPORTED;
	}
	control = rdmsr(MSR_FEATURE_CONTROL);
	if ((control & FEATURE_CONTROL_LOCKED) && !(control & FEATURE_CONTROL_VMX)) {
		*why = "the firmware has locked VMX off: enable virtualization (VT-x) in its set-up";
		return STATUS_UNSUPPORTED;
	}
	read_capabilities(&capabilities);
	return vmx_choose_controls(&capabilities, CR4_GUEST, &vmx_controls, why);
}

/* 25.6.9: reads of low, reads of high, writes of low, writes of high MSRs, 1 KiB each. */
static void msr_pass(uint32_t msr)
{
	uint32_t at = (msr >= 0xC0000000 ? 0x400 : 0) + ((msr & 0x1FFF) >> 3);

	vmx_msr_bitmap[at] &= (uint8_t)~(1u << (msr & 7));
	vmx_msr_bitmap[at + 0x800] &= (uint8_t)~(1u << (msr & 7));
}

static enum status vmx_init(void)
{
	/* 29.3.2: HILUM_MAP_READ, WRITE and EXECUTE are EPT's bits too. The guest's PAT decides within write-back. */
	struct nested_pt_format format = { .table = 0x7 };
	const struct vmx_controls *c = &vmx_controls;

	_Static_assert(HILUM_MAP_READ == 1 && HILUM_MAP_WRITE == 2 && HILUM_MAP_EXECUTE == 4, "bits 2:0 of an EPT entry");
	for (unsigned i = 0; i < 8; i++) {
		format.leaf[i] = i | EPT_WRITE_BACK;
		format.need[i] = i;
	}
	vmx_msr_bitmap = pool_alloc_page();
	vmx_io_bitmap = pool_alloc_pages(1);
	if (vmx_msr_bitmap == NULL || vmx_io_bitmap == NULL)
		return STATUS_NO_MEMORY;
	memset(vmx_msr_bitmap, 0xFF, PAGE_SIZE);
	memset(vmx_io_bitmap, 0xFF, 2 * PAGE_SIZE);
	for (unsigned i = 0; i < BACKEND_PASSED_MSRS; i++)
		msr_pass(backend_passed_msrs[i]);
	nested_pt_set_format(&format, c->ept_levels);
	virt->has_insn_length = true;
	log_info("VMX: revision %#x, EPT with %s pages%s%s%s%s", c->revision, c->ept_levels == 3 ? "1 GiB" : "2 MiB",
		 c->ept_dirty ? ", dirty bits" : "", c->secondary & SECONDARY_VPID ? ", VPID" : "",
		 c->secondary & SECONDARY_PAUSE_LOOP ? ", pause loops" : "", c->pin & PIN_PREEMPTION_TIMER ? ", preemption timer" : "");
	return STATUS_OK;
}

static enum status vmx_enable_core(struct cpu *cpu)
{
	const struct vmx_capabilities *c = &capabilities;
	uint64_t control = rdmsr(MSR_FEATURE_CONTROL);

	if (!(control & FEATURE_CONTROL_LOCKED)) {
		control |= FEATURE_CONTROL_LOCKED | FEATURE_CONTROL_VMX;
		wrmsr(MSR_FEATURE_CONTROL, control);
	}
	if (!(control & FEATURE_CONTROL_VMX) || rdmsr(MSR_VMX_BASIC) != c->basic)
		return STATUS_UNSUPPORTED;
	cpu->virt_page = pool_alloc_page();
	if (cpu->virt_page == NULL)
		return STATUS_NO_MEMORY;
	*(uint32_t *)cpu->virt_page = vmx_controls.revision;
	cpu_write_cr0(vmx_fix_bits(cpu_read_cr0(), c->cr0_fixed0, c->cr0_fixed1));
	cpu_write_cr4(vmx_fix_bits(cpu_read_cr4() | CR4_VMXE, c->cr4_fixed0, c->cr4_fixed1));
	cpu->asid_generation = 1;
	cpu->asid_next = 1;
	if (!vmx_on(pool_hpa(cpu->virt_page)))
		return STATUS_UNSUPPORTED;
	vmx_invept(INVALIDATE_SINGLE == vmx_controls.invept_type ? INVALIDATE_SINGLE : INVALIDATE_ALL, 0);
	return STATUS_OK;
}

static bool vmx_is_loaded(const struct vcpu *v)
{
	return cpu_self()->loaded == v;
}

static void vmx_set_cr2(struct vcpu *v, uint64_t value)
{
	if (vmx_is_loaded(v))
		cpu_write_cr2(value);
	else
		vmx_of(v)->cr2 = value;
}

static void vmx_note_single_step(struct vcpu *v)
{
	if (vmx_is_loaded(v))
		cpu_write_dr6(cpu_read_dr6() | DR6_BS);
	else
		vmx_of(v)->dr6 |= DR6_BS;
}

static uint64_t vmx_get_efer(struct vcpu *v)
{
	(void)v;
	return vmx_read(VMCS_GUEST_EFER);
}

static void vmx_set_efer(struct vcpu *v, uint64_t value)
{
	(void)v;
	vmx_write(VMCS_GUEST_EFER, value);
}

static void vmx_set_tsc_offset(struct vcpu *v)
{
	vmx_write(VMCS_TSC_OFFSET, v->apic.tsc_offset);
}

static void vmx_set_pat(struct vcpu *v)
{
	vmx_write(VMCS_GUEST_PAT, v->pat);
}

static void vmx_idle(struct cpu *cpu)
{
	(void)cpu;
	__asm__ volatile("sti; hlt; cli" ::: "memory"); /* STI's shadow: no interrupt slips in before HLT */
}

struct virt_ops vmx_ops = {
	.name = "VMX",
	.probe = vmx_probe,
	.init = vmx_init,
	.enable_core = vmx_enable_core,
	.create_vcpu = vmx_create_vcpu,
	.destroy_vcpu = vmx_destroy_vcpu,
	.reset = vmx_reset,
	.start_at = vmx_start_at,
	.load = vmx_load,
	.unload = vmx_unload,
	.run = vmx_run,
	.fetch = vmx_fetch,
	.fill_trap = vmx_fill_trap,
	.set_cr2 = vmx_set_cr2,
	.note_single_step = vmx_note_single_step,
	.get_efer = vmx_get_efer,
	.set_efer = vmx_set_efer,
	.set_tsc_offset = vmx_set_tsc_offset,
	.set_pat = vmx_set_pat,
	.get_state = vmx_get_state,
	.set_state = vmx_set_state,
	.dump = vmx_dump,
	.idle = vmx_idle,
};
