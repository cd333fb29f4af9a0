/* struct cpu: what root mode keeps for each core. Only its own core touches it, but for the fields marked as shared. */
#ifndef KERNEL_CPU_H
#define KERNEL_CPU_H

#include <hilum/abi.h>
#include "arch/x86_64/cpu.h"
#include "arch/x86_64/lapic.h"
#include "kernel/queue.h"

struct vcpu;

enum cpu_irq {
	CPU_IRQ_DEVICE_FIRST = 0x30, /* .. CPU_IRQ_DEVICE_LAST: GSIs bound to events */
	CPU_IRQ_DEVICE_LAST = 0xDF,
	CPU_IRQ_TIMER = 0xE8,
	CPU_IRQ_KICK = 0xE9,
	CPU_IRQ_FAULT = 0xEA,  /* the IOMMU stopped a device */
	CPU_IRQ_POSTED = 0xEB, /* the guest that runs has something in its IRR: the CPU's own; in root mode as a kick */
};

/*
 * A point in TSC time at which `request` (VCPU_REQUEST_*) is raised on `vcpu`, or the slice ends (vcpu NULL). While the vCPU is
 * stopped the timer is in no queue, but keeps its deadline.
 */
struct cpu_timer {
	struct queue_node node; /* key: host TSC; 0: not armed */
	struct vcpu *vcpu;
	uint32_t request;
};

struct cpu {
	struct cpu_arch arch; /* first, as arch/ expects */

	/* shared */
	uint64_t epoch;            /* quiescent points passed; written by this core only */
	bool health_asked;         /* look at the machine-check banks */
	struct vcpu *inbox;        /* vCPUs that other cores want looked at, referenced: a stack, taken whole */
	uint64_t load;             /* weights of all that share the core by weight now; this and the next two are estimates for others */
	uint64_t frame, frame_tsc; /* its virtual time at that moment, comparable between cores */
	struct vcpu *dedicated;    /* the core is its alone, or NULL; changes under the object lock */
	uint32_t reserved;         /* per mille that are promised to vCPUs; object lock */
	struct cpu *first_thread;  /* of the same core; there: */
	uint64_t core_word;        /* whose core it is (sched_smt.c) */
	struct cpu *core_waiter;   /* a thread that was refused, or NULL */

	/* scheduler */
	struct vcpu *current;         /* being run, or NULL while idle */
	struct vcpu *next;            /* direct switch: run this one without asking the run queue */
	struct vcpu *loaded;          /* whose registers (MSRs, segments) the core holds */
	uint32_t last_vm, last_guest; /* ids of the VM and of the VM that is no service VM that it ran last */
	struct vcpu *fpu;             /* whose FPU registers and XCR0 the core holds; it may be a vCPU that a service VM's works for now */
	struct queue realtime;        /* ready vCPUs that do not share by weight, keyed by rank and arrival */
	struct queue fair;            /* ready ones that do and are bound to this core, keyed by virtual time */
	struct queue loose;           /* likewise, but another core may have them */
	struct queue refills;         /* those whose cap is used up, or their right to run before others, keyed by the TSC of its return */
	uint64_t arrival;             /* next key of `realtime` */
	uint64_t virtual_time;
	int64_t frame_offset;  /* frame - virtual_time */
	uint64_t waiting;      /* weights in `fair` and `loose` */
	uint64_t balance_tsc;  /* not before that the next look at the other cores */
	struct vcpu *favoured; /* the next turn is its, or NULL: a vCPU of its VM spins */
	struct vcpu *charged;  /* pays for the time since switched_tsc: a handler runs on the trapping vCPU's time */
	uint64_t switched_tsc;
	bool has_core; /* counted in core_word */
	bool resched;  /* leave the run loop and choose again */

	/* time */
	struct queue timers;
	struct cpu_timer slice;
	uint64_t armed; /* deadline in the hardware timer; 0: none */

	/* vendor's own */
	void *virt_page; /* the page that the CPU wants for root mode */
	uint64_t asid_generation;
	uint32_t asid_next;

	union { /* copies of large ABI structures, used inside one handler */
		struct hilum_vcpu_state state;
		struct hilum_cpuid_entry cpuid[HILUM_CPUID_MAX];
	} scratch;
};

extern struct cpu *cpu_table[CPU_MAX];
extern uint32_t cpu_count;

/* Arm or change a timer of this core, or of a stopped vCPU. */
void cpu_timer_set(struct cpu *cpu, struct cpu_timer *timer, uint64_t deadline_tsc);

static inline void cpu_timer_cancel(struct cpu_timer *timer)
{
	queue_remove(&timer->node);
	timer->node.key = 0;
}

/* What a kick is for: look at the vCPUs in the inbox. Own core, where none of its queues is in use. */
void cpu_take_inbox(struct cpu *cpu);

/* Interrupt the guest that `target` runs, or its idle loop. */
static inline void cpu_kick(struct cpu *target)
{
	lapic_send(target->arch.apic_id, LAPIC_FIXED + CPU_IRQ_KICK);
}

#endif
