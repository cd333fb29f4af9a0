/*
 * See pveoi.h. An offer lasts from an entry to the exit that follows. The core passes no quiescent point between the look at the nested
 * tables and the end of the offer, so the frame stays the guest's that long, and so does the window: only a change of vCPU closes it.
 */
#include "kernel/pveoi.h"
#include "kernel/vm.h"
#include "mm/window.h"

#define EOI_WINDOW VCPU_FETCH_SLOTS /* those before it are of kernel/fetch.c */

void pveoi_offer(struct vcpu *v, unsigned vector)
{
	uint64_t reg = v->kvm[KVM_PV_EOI], page_bytes;
	hpa_t hpa;

	/* With a level-triggered interrupt the IOAPIC waits for its end; with another one in IRR, that one does. */
	if ((v->apic.tmr[vector / 64] >> vector % 64 & 1) || vlapic_has_request(&v->apic) ||
	    !nested_pt_lookup(&v->vm->npt, reg & ~3ull, HILUM_MAP_WRITE, &hpa, &page_bytes))
		return;
	uint8_t *page = window_map(v->cpu->arch.id, EOI_WINDOW, ALIGN_DOWN(hpa, PAGE_SIZE));
	v->eoi_word = (uint32_t *)(page + (hpa & PAGE_MASK));
	__atomic_store_n(v->eoi_word, 1, __ATOMIC_RELAXED);
}

void pveoi_collect(struct vcpu *v)
{
	uint32_t *word = v->eoi_word;

	v->eoi_word = NULL;
	if (!(__atomic_exchange_n(word, 0, __ATOMIC_RELAXED) & 1))
		vlapic_eoi(&v->apic);
}
