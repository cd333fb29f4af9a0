/* What the vendors' backends do alike. Own core only. */
#ifndef KERNEL_BACKEND_H
#define KERNEL_BACKEND_H

#include "kernel/vcpu.h"

/*
 * Permission maps, shared by all guests: two pages of MSRs, three of ports (those of a VM that has ports are its own). All of them exit
 * but for the MSRs that `pass` is called for: SYSENTER_*, STAR, LSTAR, CSTAR, SFMASK, and the bases of FS and GS.
 */
extern uint8_t *backend_msr_bitmap, *backend_io_bitmap;
must_check enum status backend_make_bitmaps(void (*pass)(uint32_t msr));

/* XCR0 as it is while the core holds no FPU registers: every component that guests may use. */
void backend_open_fpu(void);

/* FPU and XCR0, which stay on the core until another vCPU that has them is loaded or _release is called; TSC_AUX. */
void backend_load_vcpu(struct vcpu *v);
void backend_release_fpu(struct cpu *cpu);
/* DR0 to DR3, which only a vCPU that uses them needs. */
void backend_load_debug(const struct vcpu *v);
void backend_unload_debug(struct vcpu *v);

/* The registers and the bytes at RIP, into the log. */
void backend_log_vcpu(struct vcpu *v);

/* An event that an exit interrupted, in EVENTINJ layout: delivered again, but for instructions, which are executed again. */
static inline void backend_requeue_event(struct vcpu *v, uint64_t event)
{
	unsigned type = event >> 8 & 7, vector = event & 0xFF;

	if (type < 4 && !(type == 3 && (vector == 3 || vector == 4)))
		v->pending_event = event;
}

/*
 * Before each entry: true when the guest may be entered; on false the core is wanted for something else, or the vCPU cannot go on.
 * The vendor's `inject` asks vcpu_next_event; its `flush` makes the core forget what older nested tables said.
 */
static inline __attribute__((always_inline)) bool backend_ready_to_enter(struct vcpu *v, void (*inject)(struct vcpu *v),
                                                                         void (*flush)(struct vcpu *v))
{
	struct cpu *cpu = v->cpu;

	/*
	 * The quiescent point comes before the look at the nested tables' generation, and is a locked operation: a core that has seen
	 * this one pass it (object_quiesce) knows that the coming entry uses no older translations.
	 */
	__atomic_fetch_add(&cpu->epoch, 1, __ATOMIC_SEQ_CST);
	if ((unlikely(v->requests != 0) && !vcpu_prepare(v)) || unlikely(cpu->resched))
		return false;
	if (unlikely(v->check_interrupts || v->pending_event != 0))
		inject(v);
	if (unlikely(v->asid_generation != cpu->asid_generation || v->npt_generation != v->vm->npt.generation))
		flush(v);
	return true;
}

#endif
