/* VMX: what the machine offers, the shared permission maps, and entering root operation. SDM vol. 3C, chapters 24 and 25. */
#include "vmx/vmx.h"
#include "arch/x86_64/log.h"
#include "kernel/exit.h"
#include "mm/pool.h"

#define CR4_VMXE       (1ull << 13)
#define EPT_WRITE_BACK (6u << 3)

sealed struct vmx_controls vmx_controls;
sealed static uint64_t capabilities[CAP_COUNT];

void vmx_write_failed(uint32_t field)
{
	panic("VMCS field %#x cannot be written (error %lu): this CPU, or the hypervisor under Hilum, lacks what its VMX capability "
	      "registers promise",
	      field, vmx_read(VMCS_INSTRUCTION_ERROR));
}

static enum status vmx_probe(const char **why)
{
	if (!cpu_features.vmx) {
		if (cpu_features.vendor == CPU_VENDOR_INTEL)
			*why = "this Intel CPU does not offer virtualization (VMX), or the firmware has switched it off: look in its set-up";
		return STATUS_UNSUPPORTED;
	}
	for (unsigned i = 0; i < CAP_COUNT; i++)
		if (rdmsr_safe(MSR_VMX_FIRST + i, &capabilities[i]) != STATUS_OK)
			capabilities[i] = 0;
	return vmx_choose_controls(capabilities, rdmsr(MSR_FEATURE_CONTROL), CR4_GUEST, &vmx_controls, why);
}

/* 25.6.9: reads of low, reads of high, writes of low, writes of high MSRs, 1 KiB each. */
static void msr_pass(uint32_t msr)
{
	uint32_t at = (msr >= 0xC0000000 ? 0x400 : 0) + ((msr & 0x1FFF) >> 3);

	for (uint32_t page = 0; page < 2; page++, at += PAGE_SIZE) {
		backend_msr_bitmap[at] &= (uint8_t) ~(1u << (msr & 7));
		backend_msr_bitmap[at + 0x800] &= (uint8_t) ~(1u << (msr & 7));
	}
}

/* 30.5: with the second map, of those whose x2APIC is the CPU's, the CPU answers for these. ICR and the current count are the kernel's. */
#define X2APIC_READ  0x41FC01FFFFFFA50Cull
#define X2APIC_WRITE (1ull << 0x08 | 1ull << 0x0B | 1ull << 0x3F) /* TPR, EOI, SELF IPI */

static void x2apic_pass(uint32_t reg)
{
	uint8_t *at = backend_msr_bitmap + PAGE_SIZE + ((0x800 + reg) >> 3);

	at[0] &= (uint8_t) ~((X2APIC_READ >> reg & 1) << (reg & 7));
	at[0x800] &= (uint8_t) ~((X2APIC_WRITE >> reg & 1) << (reg & 7));
}

static enum status vmx_init(void)
{
	/* 29.3.2: HILUM_MAP_READ, WRITE and EXECUTE are EPT's bits too. The guest's PAT decides within write-back. */
	struct nested_pt_format format = { .table = 0x7, .uncached = EPT_WRITE_BACK }; /* UC is 0 */
	const struct vmx_controls *c = &vmx_controls;

	_Static_assert(HILUM_MAP_READ == 1 && HILUM_MAP_WRITE == 2 && HILUM_MAP_EXECUTE == 4, "bits 2:0 of an EPT entry");
	for (unsigned i = 0; i < 8; i++)
		format.leaf[i] = i | EPT_WRITE_BACK;
	if (backend_make_bitmaps(msr_pass) != STATUS_OK)
		return STATUS_NO_MEMORY;
	for (uint32_t reg = 0; reg < 64; reg++)
		x2apic_pass(reg);
	nested_pt_set_format(&format, c->ept_levels);
	log_info("VMX: revision %#x, EPT with %s pages%s%s%s%s%s%s", c->revision, c->ept_levels == 3 ? "1 GiB" : "2 MiB",
	         c->ept_flags & EPTP_DIRTY ? ", dirty bits" : "", c->secondary & SECONDARY_VPID ? ", VPID" : "",
	         c->secondary & SECONDARY_PAUSE_LOOP ? ", pause loops" : "", c->pin & PIN_PREEMPTION_TIMER ? ", preemption timer" : "",
	         vmx_has_apic() ? ", virtual APIC" : "", c->pin & PIN_POSTED_INTERRUPTS ? ", posted interrupts" : "");
	return STATUS_OK;
}

static enum status vmx_enable_core(struct cpu *cpu)
{
	const uint64_t *cap = capabilities;
	uint64_t control = rdmsr(MSR_FEATURE_CONTROL);

	if (!(control & FEATURE_CONTROL_LOCKED)) {
		control |= FEATURE_CONTROL_LOCKED | FEATURE_CONTROL_VMX;
		wrmsr(MSR_FEATURE_CONTROL, control);
	}
	if (!(control & FEATURE_CONTROL_VMX) || rdmsr(MSR_VMX_FIRST) != cap[CAP_BASIC])
		return STATUS_UNSUPPORTED;
	*(uint32_t *)cpu->virt_page = vmx_controls.revision;
	cpu_write_cr0(vmx_fix_bits(cpu_read_cr0(), cap[CAP_CR0_FIXED0], cap[CAP_CR0_FIXED1]));
	cpu_write_cr4(vmx_fix_bits(cpu_read_cr4() | CR4_VMXE, cap[CAP_CR4_FIXED0], cap[CAP_CR4_FIXED1]));
	return vmx_on(pool_hpa(cpu->virt_page)) ? STATUS_OK : STATUS_UNSUPPORTED;
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
	if (vmx_is_loaded(v) && vmx_of(v)->debug_taken)
		cpu_write_dr6(cpu_read_dr6() | DR6_BS);
	else
		vmx_of(v)->dr6 |= DR6_BS;
}

static void vmx_set_efer(struct vcpu *v, uint64_t value)
{
	(void)v;
	vmx_write(VMCS_GUEST_EFER, value);
}

static void vmx_idle(struct cpu *cpu)
{
	(void)cpu;
	__asm__ volatile("sti; hlt; cli" ::: "memory"); /* STI's shadow: no interrupt slips in before HLT */
}

sealed static struct virt_ops vmx_ops = {
	.name = "VMX",
	.probe = vmx_probe,
	.init = vmx_init,
	.enable_core = vmx_enable_core,
	.create_vcpu = vmx_create_vcpu,
	.destroy_vcpu = vmx_destroy_vcpu,
	.load = vmx_load,
	.unload = vmx_unload,
	.run = vmx_run,
	.fetch_paging = vmx_fetch_paging,
	.set_cr2 = vmx_set_cr2,
	.note_single_step = vmx_note_single_step,
	.set_efer = vmx_set_efer,
	.write_offset_and_pat = vmx_write_offset_and_pat,
	.get_state = vmx_get_state,
	.set_state = vmx_set_state,
	.idle = vmx_idle,
};
VIRT_BACKEND(vmx_ops);
