/*
 * KVM's paravirtual end of interrupt: the guest names a word of its memory for each vCPU. With an interrupt whose end nobody needs to
 * hear of at once, its bit 0 is set; the guest clears it instead of writing to EOI, which would exit, and is taken to have done so at its
 * next exit. Documented in the kernel's virt/kvm/x86/msr.rst. Own core only.
 */
#ifndef KERNEL_PVEOI_H
#define KERNEL_PVEOI_H

#include "kernel/vcpu.h"

/* `vector` has just been taken into service, and is delivered by the coming entry; the guest has named a word. */
void pveoi_offer(struct vcpu *v, unsigned vector);

/* The guest was left with an offer: it has made use of it, or the offer ends. */
void pveoi_collect(struct vcpu *v);

/* After each exit, before anybody looks at the local APIC. */
static inline void pveoi_after_exit(struct vcpu *v)
{
	if (unlikely(v->eoi_word != NULL))
		pveoi_collect(v);
}

#endif
