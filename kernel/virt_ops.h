/*
 * The one seam between the kernel and the CPU vendor's backend. Chosen once at boot. Only `run` is called in steady state; inside
 * it the backend enters the guest, classifies each exit into a struct vexit and calls exit_handle directly.
 */
#ifndef KERNEL_VIRT_OPS_H
#define KERNEL_VIRT_OPS_H

#include "kernel/vcpu.h"
#include "kernel/vm.h"

struct virt_ops {
	const char *name;
	/* Can this machine do it? Otherwise *why is a sentence that says what is missing and what to change. Boot core. */
	enum status (*probe)(const char **why);
	/* Once, after mm is up: shared tables, nested page-table format. */
	enum status (*init)(void);
	/* On every core: enter root operation. */
	enum status (*enable_core)(struct cpu *cpu);
	enum status (*create_vcpu)(struct vcpu *v);
	void (*destroy_vcpu)(struct vcpu *v);
	/* Put this vCPU's switched state onto the core, with its PAT, TSC offset and port permissions, or take it back off. */
	void (*load)(struct vcpu *v);
	void (*unload)(struct vcpu *v);
	/* Enter the guest again and again until it has to give the core away. `v` is loaded. */
	void (*run)(struct vcpu *v);
	/* Fill v->paging. This and the next three work on loaded and unloaded vCPUs. */
	void (*fetch_paging)(struct vcpu *v);
	/*
	 * At least those of segments, control, debug and system registers that `mask` (HILUM_STATE_*) names, and gpr[4] of the vCPU
	 * itself; debug and system registers of an unloaded vCPU only.
	 */
	void (*get_state)(struct vcpu *v, struct hilum_vcpu_state *state, uint32_t mask);
	void (*set_cr2)(struct vcpu *v, uint64_t value);
	/* A single-step trap is about to be raised: DR6.BS. */
	void (*note_single_step)(struct vcpu *v);
	/* Of a loaded vCPU: EFER, and that apic.tsc_offset or pat have changed. */
	void (*set_efer)(struct vcpu *v, uint64_t value);
	void (*write_offset_and_pat)(struct vcpu *v);
	/* PAUSE is to exit, at once, or is not, where the CPU does not tell long loops of it from short ones by itself. NULL: all do. */
	void (*watch_pause)(struct vcpu *v, bool watch);
	/*
	 * Segments, control, debug and system registers, for a vCPU that is not loaded. The values were validated. Its `apic` holds
	 * all of it afterwards: nothing is left in the CPU's own copy.
	 */
	void (*set_state)(struct vcpu *v, const struct hilum_vcpu_state *state, uint32_t mask);
	/* One host interrupt is pending: take it, and come back with none taken until the next call. */
	void (*idle)(struct cpu *cpu);
};

extern struct virt_ops *virt;

/* Puts a backend's table into the list that the boot core asks, in the order of linking. */
#define VIRT_BACKEND(ops) static struct virt_ops *const ops##_entry __attribute__((used, section(".backends"))) = &(ops)
extern struct virt_ops *const kernel_backends_start[], *const kernel_backends_end[]; /* linker.ld */

#endif
