/* Moving register state between the VMCS and the vendor-neutral forms. */
#include "arch/x86_64/features.h"
#include "arch/x86_64/string.h"
#include "vmx/vmx.h"

static uint16_t attributes_of(uint64_t access)
{
	return (uint16_t)((access & (access & ACCESS_UNUSABLE ? 0x7F : 0xFF)) | (access >> 4 & 0xF00));
}

_Static_assert(offsetof(struct hilum_vcpu_state, tr) - offsetof(struct hilum_vcpu_state, es) == 7 * sizeof(struct hilum_segment),
               "segments lie in the order of their fields");

/* 27.3.1.2 wants accessed segments and a busy TSS, which is what a CPU makes of them when it loads them. */
static void write_segment(unsigned n, const struct hilum_segment *s)
{
	uint32_t access = (s->attributes & 0xFFu) | (s->attributes & 0xF00u) << 4;

	if (!(access & ACCESS_PRESENT))
		access |= ACCESS_UNUSABLE;
	if (access & ACCESS_S)
		access |= ACCESS_ACCESSED;
	if (n == SEGMENT_TR)
		access |= ACCESS_BUSY;
	vmx_write(VMCS_GUEST_SELECTOR(n), s->selector);
	vmx_write(VMCS_GUEST_LIMIT(n), s->limit);
	vmx_write(VMCS_GUEST_ACCESS(n), access);
	vmx_write(VMCS_GUEST_BASE(n), s->base);
}

/* Where the guest does not own a bit it reads the shadow, and the CPU runs with what VMX operation wants. */
static uint64_t seen(uint32_t field, uint64_t mask, uint64_t shadow)
{
	return (vmx_read(field) & ~mask) | (shadow & mask);
}

static void write_control(struct vmx_vcpu *x, uint64_t cr0, uint64_t cr4, uint64_t efer)
{
	const struct vmx_controls *c = &vmx_controls;
	bool long_mode = (efer & EFER_LME) && (cr0 & CR0_PG);

	x->cr0_shadow = cr0;
	x->cr4_shadow = cr4;
	vmx_write(VMCS_CR0_SHADOW, cr0);
	vmx_write(VMCS_CR4_SHADOW, cr4);
	vmx_write(VMCS_GUEST_CR0, (cr0 & ~c->cr0_mask) | c->cr0_ones);
	vmx_write(VMCS_GUEST_CR4, (cr4 & ~c->cr4_mask) | c->cr4_ones);
	vmx_write(VMCS_GUEST_EFER, (efer & ~EFER_LMA) | (long_mode ? EFER_LMA : 0));
	vmx_write(VMCS_ENTRY_CONTROLS, c->entry | (long_mode ? ENTRY_IA32E : 0));
}

void vmx_fetch_paging(struct vcpu *v)
{
	struct vmx_vcpu *x = vmx_of(v);
	struct vcpu_paging *p = &v->paging;
	bool borrowed = vmx_borrow(v);

	p->cr0 = seen(VMCS_GUEST_CR0, vmx_controls.cr0_mask, x->cr0_shadow);
	p->cr3 = vmx_read(VMCS_GUEST_CR3);
	p->cr4 = seen(VMCS_GUEST_CR4, vmx_controls.cr4_mask, x->cr4_shadow);
	p->efer = vmx_read(VMCS_GUEST_EFER);
	p->cs_base = vmx_read(VMCS_GUEST_BASE(SEGMENT_CS));
	p->cs_attributes = attributes_of(vmx_read(VMCS_GUEST_ACCESS(SEGMENT_CS)));
	vmx_return(v, borrowed);
}

void vmx_fetch_rsp(struct vcpu *v)
{
	struct vmx_vcpu *x = vmx_of(v);

	if (x->rsp_known)
		return;
	v->gpr[4] = x->rsp = vmx_read(VMCS_GUEST_RSP);
	x->rsp_known = true;
}

void vmx_get_state(struct vcpu *v, struct hilum_vcpu_state *s, uint32_t mask)
{
	struct vmx_vcpu *x = vmx_of(v);

	vmx_fetch_paging(v);
	bool borrowed = vmx_borrow(v);
	vmx_fetch_rsp(v);
	for (unsigned n = 0; n < 8 && (mask & HILUM_STATE_SEGMENTS); n++)
		(&s->es)[n] = (struct hilum_segment){
			.base = vmx_read(VMCS_GUEST_BASE(n)),
			.limit = (uint32_t)vmx_read(VMCS_GUEST_LIMIT(n)),
			.selector = (uint16_t)vmx_read(VMCS_GUEST_SELECTOR(n)),
			.attributes = attributes_of(vmx_read(VMCS_GUEST_ACCESS(n))),
		};
	s->gdtr_base = vmx_read(VMCS_GUEST_GDTR_BASE);
	s->gdtr_limit = (uint32_t)vmx_read(VMCS_GUEST_GDTR_LIMIT);
	s->idtr_base = vmx_read(VMCS_GUEST_IDTR_BASE);
	s->idtr_limit = (uint32_t)vmx_read(VMCS_GUEST_IDTR_LIMIT);
	s->cr0 = v->paging.cr0;
	s->cr2 = borrowed ? x->cr2 : cpu_read_cr2();
	s->cr3 = v->paging.cr3;
	s->cr4 = v->paging.cr4;
	s->efer = v->paging.efer;
	if (mask & (HILUM_STATE_DR | HILUM_STATE_MSR)) { /* which an emulator has no use for: each read costs */
		s->dr6 = x->dr6;
		s->dr7 = vmx_read(VMCS_GUEST_DR7);
		memcpy(&s->star, x->msr, sizeof(x->msr));
		s->sysenter_cs = vmx_read(VMCS_GUEST_SYSENTER_CS);
		s->sysenter_esp = vmx_read(VMCS_GUEST_SYSENTER_ESP);
		s->sysenter_eip = vmx_read(VMCS_GUEST_SYSENTER_EIP);
	}
	vmx_return(v, borrowed);
}

_Static_assert(offsetof(struct hilum_vcpu_state, kernel_gs_base) - offsetof(struct hilum_vcpu_state, star) ==
                       (VMX_MSR_COUNT - 1) * sizeof(uint64_t),
               "MSRs that are copied as one");

void vmx_set_state(struct vcpu *v, const struct hilum_vcpu_state *s, uint32_t mask)
{
	struct vmx_vcpu *x = vmx_of(v);
	bool borrowed = vmx_borrow(v);

	vmx_fetch_apic(v); /* it may wait for what has been requested, or be reset */
	for (unsigned n = 0; n < 8 && (mask & HILUM_STATE_SEGMENTS); n++)
		write_segment(n, &s->es + n);
	if (mask & HILUM_STATE_SEGMENTS) {
		vmx_write(VMCS_GUEST_GDTR_BASE, s->gdtr_base);
		vmx_write(VMCS_GUEST_GDTR_LIMIT, s->gdtr_limit);
		vmx_write(VMCS_GUEST_IDTR_BASE, s->idtr_base);
		vmx_write(VMCS_GUEST_IDTR_LIMIT, s->idtr_limit);
	}
	if (mask & HILUM_STATE_CR) {
		write_control(x, s->cr0, s->cr4, s->efer);
		vmx_write(VMCS_GUEST_CR3, s->cr3);
		x->cr2 = s->cr2;
		x->pdptes_stale = (s->cr0 & CR0_PG) && (s->cr4 & CR4_PAE) && !(s->efer & EFER_LME);
	}
	if (mask & HILUM_STATE_DR) {
		vmx_write(VMCS_GUEST_DR7, s->dr7);
		x->dr6 = s->dr6;
		x->debug_taken = true;
	}
	if (mask & HILUM_STATE_MSR) {
		memcpy(x->msr, &s->star, sizeof(x->msr));
		x->msr[3] &= UINT32_MAX; /* the upper half of SFMASK does not exist */
		vmx_write(VMCS_GUEST_SYSENTER_CS, s->sysenter_cs);
		vmx_write(VMCS_GUEST_SYSENTER_ESP, s->sysenter_esp);
		vmx_write(VMCS_GUEST_SYSENTER_EIP, s->sysenter_eip);
	}
	vmx_write(VMCS_GUEST_RSP, x->rsp = v->gpr[4]);
	x->rsp_known = true;
	vmx_write(VMCS_GUEST_PENDING_DEBUG, 0);
	vmx_write(VMCS_GUEST_INTERRUPTIBILITY, x->interruptibility = 0); /* the entry writes a shadow, with the step that it holds back */
	vmx_write(VMCS_ENTRY_EVENT, 0);
	v->asid_generation = 0; /* what the TLB holds may be from another life */
	vmx_return(v, borrowed);
}
