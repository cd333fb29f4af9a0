/*
 * Reading and writing the whole state of a stopped vCPU. What comes in is hostile: each value that a VM entry or a root-mode
 * instruction would choke on is refused here, the rest is the guest's own affair.
 */
#include "arch/x86_64/features.h"
#include "arch/x86_64/speculation.h"
#include "arch/x86_64/string.h"
#include "kernel/exit.h"
#include "kernel/virt_ops.h"

static bool canonical(uint64_t address)
{
	return (uint64_t)((int64_t)(address << 16) >> 16) == address;
}

/* APM vol. 2, 15.5.1 "Canonicalization and Consistency Checks". */
static bool control_valid(const struct hilum_vcpu_state *s)
{
	if ((s->cr0 >> 32) || ((s->cr0 & CR0_NW) && !(s->cr0 & CR0_CD)) || ((s->cr0 & CR0_PG) && !(s->cr0 & CR0_PE)))
		return false;
	if ((s->cr4 & ~CR4_GUEST) || (s->cr3 >> cpu_features.phys_bits) || !canonical(s->cr2))
		return false;
	if (s->efer & ~(EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE))
		return false;
	if ((s->efer & EFER_LME) && (s->cr0 & CR0_PG) ? !(s->cr4 & CR4_PAE) : (s->cr4 & CR4_PCIDE) != 0) /* SDM vol. 3C, 27.3.1.1 */
		return false;
	return s->xcr0 <= 1 || ((s->xcr0 & 1) && !(s->xcr0 & ~cpuid_xcr0_mask) && !((s->xcr0 & 4) && !(s->xcr0 & 2)) &&
	                        !((s->xcr0 & 0xE0) && (s->xcr0 & 0xE6) != 0xE6));
}

static bool segments_valid(const struct hilum_vcpu_state *s)
{
	const struct hilum_segment *segment = &s->es;

	for (unsigned i = 0; i < 8; i++)
		if (!canonical(segment[i].base) || segment[i].attributes > 0xFFF)
			return false;
	return canonical(s->gdtr_base) && canonical(s->idtr_base) && s->gdtr_limit <= 0xFFFF && s->idtr_limit <= 0xFFFF;
}

static bool msrs_valid(const struct hilum_vcpu_state *s)
{
	return msr_pat_valid(s->pat) && canonical(s->lstar) && canonical(s->cstar) && canonical(s->kernel_gs_base) &&
	       canonical(s->sysenter_esp) && canonical(s->sysenter_eip) && s->tsc_aux <= UINT32_MAX &&
	       !(s->spec_ctrl & ~speculation_guest_bits);
}

static bool events_valid(const struct hilum_vcpu_state *s)
{
	uint64_t event = s->pending_event, type = event >> 8 & 7, vector = event & 0xFF;

	if (s->activity > HILUM_ACTIVITY_WAIT_SIPI || s->shadow > 3)
		return false;
	return !(event >> 31 & 1) ||
	       (!(event & 0xFFFF00007FFFF000) && (type == 0 || type == 2 || (type == 3 && vector < 32 && vector != 2)));
}

/* The header's XSTATE_BV may name only what the machine has; MXCSR's reserved bits fault XRSTOR. SDM vol. 1, 13.4. */
static bool fpu_valid(const struct hilum_vcpu_state *s)
{
	uint32_t mxcsr;
	uint64_t header[8];

	memcpy(&mxcsr, s->xsave + 24, sizeof(mxcsr));
	memcpy(header, s->xsave + 512, sizeof(header));
	if (s->xsave_bytes > sizeof(s->xsave) || (mxcsr & ~0xFFFFu))
		return false;
	for (unsigned i = 1; i < 8; i++)
		if (header[i] != 0)
			return false;
	return !(header[0] & ~cpuid_xcr0_mask);
}

static void set_events(struct vcpu *v, const struct hilum_vcpu_state *s)
{
	v->pending_event = s->pending_event >> 31 & 1 ? s->pending_event : 0;
	v->shadow = s->shadow & 1;
	v->nmi_blocked = s->shadow >> 1 & 1;
	v->state = s->activity == HILUM_ACTIVITY_HALT ? VCPU_HALTED : s->activity == HILUM_ACTIVITY_WAIT_SIPI ? VCPU_WAIT_SIPI : VCPU_READY;
	v->intack_pending = false;
	v->check_interrupts = true;
	v->deferred |= VCPU_REQUEST_INTERRUPT;
}

enum status vcpu_set_state(struct vcpu *v, const struct hilum_vcpu_state *s, uint32_t mask)
{
	if (((mask & HILUM_STATE_CR) && !control_valid(s)) || ((mask & HILUM_STATE_SEGMENTS) && !segments_valid(s)) ||
	    ((mask & HILUM_STATE_MSR) && !msrs_valid(s)) || ((mask & HILUM_STATE_EVENTS) && !events_valid(s)) ||
	    ((mask & HILUM_STATE_FPU) && (!v->has_fpu || !fpu_valid(s))) || ((mask & HILUM_STATE_DR) && ((s->dr6 >> 32) || (s->dr7 >> 32))))
		return STATUS_INVALID;
	if (mask & HILUM_STATE_MSR) {
		vlapic_set_tsc_offset(&v->apic, s->tsc_offset);
		v->pat = s->pat;
		v->tsc_aux = s->tsc_aux;
		v->spec_ctrl = s->spec_ctrl;
		v->controls_stale = true;
	}
	if (mask & HILUM_STATE_GPR) {
		memcpy(v->gpr, s->gpr, sizeof(v->gpr));
		v->rip = s->rip;
		v->rflags = (s->rflags & 0x3F7FD7) | 2;
	}
	if (mask & HILUM_STATE_CR)
		v->xcr0 = s->xcr0 != 0 ? s->xcr0 : 1;
	if (mask & HILUM_STATE_DR)
		memcpy(v->dr, s->dr, sizeof(v->dr));
	if (mask & HILUM_STATE_FPU)
		memcpy(v->xsave, s->xsave, sizeof(s->xsave));
	if (mask & HILUM_STATE_EVENTS)
		set_events(v, s);
	v->paging_valid = false;
	virt->set_state(v, s, mask);
	return STATUS_OK;
}

int64_t vcpu_set_debug(struct vcpu *v, uint64_t stops)
{
	uint64_t hits = v->debug_hits;

	if (stops & ~HILUM_DEBUG_ALL)
		return STATUS_INVALID;
	v->debug = stops;
	v->debug_hits = 0;
	__atomic_fetch_and(&v->vm->status.debug_stops, ~(1ull << v->index), __ATOMIC_RELAXED);
	v->controls_stale = true;
	v->check_interrupts = true;
	return (int64_t)hits;
}

void vcpu_get_state(struct vcpu *v, struct hilum_vcpu_state *s, uint32_t mask)
{
	virt->get_state(v, s, mask);
	memcpy(s->gpr, v->gpr, sizeof(s->gpr));
	s->rip = v->rip;
	s->rflags = v->rflags;
	s->xcr0 = v->xcr0;
	memcpy(s->dr, v->dr, sizeof(s->dr));
	s->pat = v->pat;
	s->tsc_offset = v->apic.tsc_offset;
	s->tsc_aux = v->tsc_aux;
	s->spec_ctrl = v->spec_ctrl;
	s->pending_event = v->pending_event;
	s->activity = v->state == VCPU_HALTED      ? HILUM_ACTIVITY_HALT
	              : v->state == VCPU_WAIT_SIPI ? HILUM_ACTIVITY_WAIT_SIPI
	                                           : HILUM_ACTIVITY_RUN;
	s->shadow = (uint32_t)v->shadow | (uint32_t)v->nmi_blocked << 1;
	if ((mask & HILUM_STATE_FPU) && v->has_fpu) {
		memcpy(s->xsave, v->xsave, sizeof(s->xsave));
		s->xsave_bytes = sizeof(s->xsave);
	}
}
