/* Moving register state between the VMCB and the vendor-neutral forms. */
#include "arch/x86_64/features.h"
#include "svm/svm.h"

void svm_fetch_paging(struct vcpu *v)
{
	const struct vmcb *c = svm_vmcb(v);

	v->paging.cr0 = c->cr0;
	v->paging.cr3 = c->cr3;
	v->paging.cr4 = c->cr4;
	v->paging.efer = c->efer & ~EFER_SVME;
	v->paging.cs_base = c->segments[VMCB_CS].base;
	v->paging.cs_attributes = c->segments[VMCB_CS].attributes;
}

/* The ABI's segments, ES to TR, lie in one row, and so do the MSRs from STAR to SYSENTER_EIP, in the VMCB too. */
static const uint8_t segment_places[] = { VMCB_ES, VMCB_CS, VMCB_SS, VMCB_DS, VMCB_FS, VMCB_GS, VMCB_LDTR, VMCB_TR };
#define STATE_MSRS 8u

_Static_assert(offsetof(struct hilum_vcpu_state, tr) == offsetof(struct hilum_vcpu_state, es) + (ARRAY_SIZE(segment_places) - 1) * 16,
               "one row");
_Static_assert(offsetof(struct hilum_vcpu_state, sysenter_eip) == offsetof(struct hilum_vcpu_state, star) + (STATE_MSRS - 1) * 8,
               "one row");
_Static_assert(offsetof(struct vmcb, sysenter_eip) == offsetof(struct vmcb, star) + (STATE_MSRS - 1) * 8, "one row");

static void msrs_copy(uint64_t *to, const uint64_t *from)
{
	for (unsigned i = 0; i < STATE_MSRS; i++)
		to[i] = from[i];
}

void svm_get_state(struct vcpu *v, struct hilum_vcpu_state *s, uint32_t mask)
{
	const struct vmcb *c = svm_vmcb(v);

	(void)mask;
	if (v->cpu->loaded == v)
		svm_vmsave(v->backend_hpa); /* FS and GS of a loaded vCPU live in the CPU, not in the VMCB */
	for (unsigned i = 0; i < ARRAY_SIZE(segment_places); i++) {
		const struct vmcb_segment *from = &c->segments[segment_places[i]];
		(&s->es)[i] = (struct hilum_segment){ from->base, from->limit, from->selector, from->attributes };
	}
	s->gdtr_base = c->segments[VMCB_GDTR].base;
	s->gdtr_limit = c->segments[VMCB_GDTR].limit;
	s->idtr_base = c->segments[VMCB_IDTR].base;
	s->idtr_limit = c->segments[VMCB_IDTR].limit;
	s->cr0 = c->cr0;
	s->cr2 = c->cr2;
	s->cr3 = c->cr3;
	s->cr4 = c->cr4;
	s->efer = c->efer & ~EFER_SVME;
	s->dr6 = c->dr6;
	s->dr7 = c->dr7;
	msrs_copy(&s->star, &c->star);
}

static void set_segments(struct vmcb *c, const struct hilum_vcpu_state *s)
{
	const struct hilum_segment *from = &s->es;

	for (unsigned i = 0; i < ARRAY_SIZE(segment_places); i++)
		c->segments[segment_places[i]] = (struct vmcb_segment){ from[i].selector, from[i].attributes, from[i].limit, from[i].base };
	c->segments[VMCB_GDTR] = (struct vmcb_segment){ .limit = s->gdtr_limit, .base = s->gdtr_base };
	c->segments[VMCB_IDTR] = (struct vmcb_segment){ .limit = s->idtr_limit, .base = s->idtr_base };
	c->cpl = s->ss.attributes >> 5 & 3;
}

void svm_set_state(struct vcpu *v, const struct hilum_vcpu_state *s, uint32_t mask)
{
	struct vmcb *c = svm_vmcb(v);

	if (mask & HILUM_STATE_SEGMENTS)
		set_segments(c, s);
	if (mask & HILUM_STATE_CR) {
		c->cr0 = s->cr0;
		c->cr2 = s->cr2;
		c->cr3 = s->cr3;
		c->cr4 = s->cr4;
		c->efer = s->efer | EFER_SVME;
	}
	if (mask & HILUM_STATE_DR) {
		c->dr6 = s->dr6;
		c->dr7 = s->dr7;
		c->intercept_dr = 0;
	}
	if (mask & HILUM_STATE_MSR)
		msrs_copy(&c->star, &s->star);
	c->eventinj = 0;
	v->asid_generation = 0; /* what the TLB holds may be from another life */
	c->clean = 0;
}
