/* Moving register state between the VMCB and the vendor-neutral forms. */
#include "arch/x86_64/features.h"
#include "arch/x86_64/log.h"
#include "kernel/backend.h"
#include "svm/svm.h"

void svm_fetch(struct vcpu *v, uint32_t groups)
{
	const struct vmcb *c = svm_vmcb(v);

	if (groups & VCPU_GROUP_PAGING) {
		v->paging.cr0 = c->cr0;
		v->paging.cr3 = c->cr3;
		v->paging.cr4 = c->cr4;
		v->paging.efer = c->efer;
		v->paging.cs_base = c->cs.base;
		v->paging.cs_attributes = c->cs.attributes;
	}
}

/* The ABI's segments, ES to TR, lie in one row, and so do the MSRs from STAR to SYSENTER_EIP, in the VMCB too. */
static const uint8_t segment_places[] = { VMCB_ES, VMCB_CS, VMCB_SS, VMCB_DS, VMCB_FS, VMCB_GS, VMCB_LDTR, VMCB_TR };
#define TRAP_SEGMENTS 6u /* ES to GS */
#define STATE_MSRS    8u

_Static_assert(offsetof(struct hilum_trap, gs) == offsetof(struct hilum_trap, es) + (TRAP_SEGMENTS - 1) * 16, "one row");
_Static_assert(offsetof(struct hilum_vcpu_state, tr) == offsetof(struct hilum_vcpu_state, es) +
	       (ARRAY_SIZE(segment_places) - 1) * 16, "one row");
_Static_assert(offsetof(struct hilum_vcpu_state, sysenter_eip) == offsetof(struct hilum_vcpu_state, star) +
	       (STATE_MSRS - 1) * 8, "one row");
_Static_assert(offsetof(struct vmcb, sysenter_eip) == offsetof(struct vmcb, star) + (STATE_MSRS - 1) * 8, "one row");

static void segments_out(struct hilum_segment *to, const struct vmcb *c, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		const struct vmcb_segment *s = &c->segments[segment_places[i]];
		to[i] = (struct hilum_segment){ s->base, s->limit, s->selector, s->attributes };
	}
}

static void msrs_copy(uint64_t *to, const uint64_t *from)
{
	for (unsigned i = 0; i < STATE_MSRS; i++)
		to[i] = from[i];
}

/* FS and GS of a loaded vCPU live in the CPU, not in the VMCB. */
static void sync_loaded(struct vcpu *v)
{
	if (v->cpu->loaded == v)
		svm_vmsave(v->backend_hpa);
}

void svm_fill_trap(struct vcpu *v, struct hilum_trap *t)
{
	const struct vmcb *c = svm_vmcb(v);

	sync_loaded(v);
	t->cr0 = c->cr0;
	t->cr2 = c->cr2;
	t->cr3 = c->cr3;
	t->cr4 = c->cr4;
	t->efer = c->efer & ~EFER_SVME;
	segments_out(&t->es, c, TRAP_SEGMENTS);
}

void svm_get_state(struct vcpu *v, struct hilum_vcpu_state *s)
{
	const struct vmcb *c = svm_vmcb(v);

	segments_out(&s->es, c, ARRAY_SIZE(segment_places));
	s->gdtr_base = c->gdtr.base;
	s->gdtr_limit = c->gdtr.limit;
	s->idtr_base = c->idtr.base;
	s->idtr_limit = c->idtr.limit;
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
		c->segments[segment_places[i]] =
			(struct vmcb_segment){ from[i].selector, from[i].attributes, from[i].limit, from[i].base };
	c->gdtr = (struct vmcb_segment){ .limit = s->gdtr_limit, .base = s->gdtr_base };
	c->idtr = (struct vmcb_segment){ .limit = s->idtr_limit, .base = s->idtr_base };
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
	vmcb_dirty(c, CLEAN_ALL);
}

void svm_dump(struct vcpu *v)
{
	const struct vmcb *c = svm_vmcb(v);

	backend_log_vcpu(v);
	log_info("  gdt %#lx/%#x idt %#lx/%#x exit %#lx %#lx %#lx", c->gdtr.base, c->gdtr.limit, c->idtr.base, c->idtr.limit,
		 c->exitcode, c->exitinfo1, c->exitinfo2);
}
