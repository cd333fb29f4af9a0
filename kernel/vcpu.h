/*
 * The vCPU object. General registers live in vendor-neutral fields, the others in the vendor's control block. All fields belong to the vCPU's core, but for
 * `requests` and the local APIC's IRR: other cores set a request bit and kick.
 *
 * A vCPU goes to another core by the hand of its own, while it neither runs nor waits there (vcpu_move). That core takes everything of it off itself,
 * raises VCPU_REQUEST_SCHEDULE, stores `cpu` with release order and puts it into the new core's inbox; from the store on it is any other core. Who
 * reads `cpu` (acquire) and finds his own core there owns the vCPU, and keeps it until he gives it away himself. Who finds another
 * core's puts it into that core's inbox; if it has gone on meanwhile, that core hands it on (kick_interrupt). Requests go with the
 * vCPU, so none is lost on the way. Who waits for a vCPU to stop looks at `cpu` again and again, and at his own inbox: it may come to him,
 * or lie there to be handed on.
 */
#ifndef KERNEL_VCPU_H
#define KERNEL_VCPU_H

#include "arch/x86_64/tsc.h"
#include "kernel/cpu.h"
#include "kernel/object.h"
#include "kernel/vlapic.h"
#include "kernel/vm.h"

enum vcpu_state {
	VCPU_READY,     /* runs, or waits in a run queue */
	VCPU_HALTED,    /* HLT: until an interrupt */
	VCPU_WAIT_SIPI, /* until a start-up IPI */
	VCPU_WAITING,   /* in HC_WAIT */
	VCPU_TRAPPED,   /* until its handler has answered */
};

/* Requests; raised from any core with vcpu_request. The lowest are the local APIC's notices. */
#define VCPU_REQUEST_INTERRUPT  (1u << VLAPIC_NOTIFY_INTR) /* something may be deliverable */
#define VCPU_REQUEST_NMI        (1u << VLAPIC_NOTIFY_NMI)
#define VCPU_REQUEST_INIT       (1u << VLAPIC_NOTIFY_INIT)
#define VCPU_REQUEST_SIPI       (1u << VLAPIC_NOTIFY_SIPI)
#define VCPU_REQUEST_EXTINT     (1u << VLAPIC_NOTIFY_EXTINT) /* an ExtINT message */
#define VCPU_REQUEST_WAIT_TIMER (1u << 5)
#define VCPU_REQUEST_EVENT      (1u << 6) /* bits in the shared page */
#define VCPU_REQUEST_TRAP       (1u << 7) /* a vCPU in trap_inbox wants an answer */
#define VCPU_REQUEST_REPLY      (1u << 8) /* the answer is in the trap page */
#define VCPU_REQUEST_RETRAP     (1u << 9) /* the handler changed: hand the trap over again */
#define VCPU_REQUEST_RUN        (1u << 10)
#define VCPU_REQUEST_STOP       (1u << 11)
#define VCPU_REQUEST_APIC_TIMER (1u << 13)
#define VCPU_REQUEST_KICK       (1u << 14) /* a paravirtual wake-up: end HLT */
#define VCPU_REQUEST_EOI        (1u << 12) /* own core: level-triggered vectors in eoi_pending */
#define VCPU_REQUEST_TURN       (1u << 16) /* own core, deferred: its handler works on time of its own, so that it is not run directly */
#define VCPU_REQUEST_SCHEDULE   (1u << 15) /* `schedule` has changed, or it has come from another core: taken by sched_wake */

/* An event for the guest, in the layout of EVENTINJ: APM vol. 2, 15.20. The vector is in bits 7:0, an error code in bits 63:32. */
#define EVENT_TYPE_NMI       (2ull << 8)
#define EVENT_TYPE_EXCEPTION (3ull << 8)
#define EVENT_TYPE_MASK      (7ull << 8)
#define EVENT_ERROR_VALID    (1ull << 11)
#define EVENT_VALID          (1ull << 31)

/* Where and how the guest executes: what the software walk of its page tables needs. */
struct vcpu_paging {
	uint64_t cr0, cr3, cr4, efer;
	uint64_t cs_base;
	uint16_t cs_attributes;
};

/* Windows of an instruction fetch: one for each level of the walk and one for the page itself. */
#define VCPU_FETCH_SLOTS 6u

/*
 * The walk that found the page of the last fetch. It holds as long as the guest executes in that page with the same control
 * registers and each entry of its tables still reads the same.
 */
struct vcpu_fetch_memo {
	gva_t page;          /* ~0: nothing is remembered */
	uint64_t generation; /* of the nested tables */
	struct vcpu_paging paging;
	const uint8_t *code; /* window onto the page */
	unsigned levels;
	const uint64_t *entry[VCPU_FETCH_SLOTS - 1];
	uint64_t value[VCPU_FETCH_SLOTS - 1];
};

/* An access that a handler VM answers (kernel/forward.h). */
struct forward {
	uint32_t kind; /* HILUM_TRAP_* */
	uint32_t size; /* bytes */
	bool write;
	uint64_t address;
	uint64_t value;
	uint64_t next_rip;   /* 0: not known */
	const uint8_t *insn; /* instruction bytes that the CPU delivered, or NULL; good until forward_trap returns */
	uint32_t insn_bytes;
};

/* KVM's paravirtual clocks and end of interrupt: MSR n is the vCPU's kvm[n - MSR_KVM_FIRST]. */
#define MSR_KVM_FIRST 0x4B564D00u
enum { KVM_WALL_CLOCK, KVM_SYSTEM_TIME, KVM_STEAL_TIME = 3, KVM_PV_EOI, KVM_MSR_COUNT };

#define VCPU_NO_VECTOR (-1)

/* CPU time that comes back at a rate. */
struct sched_bucket {
	int64_t left, size; /* TSC ticks */
	uint64_t since;
	uint32_t rate; /* millionths of a core; 0: without limit */
};

struct vcpu {
	uint64_t gpr[16]; /* offset 0: entry.asm; RAX RCX RDX RBX RSP RBP RSI RDI R8 .. R15 */
	uint64_t rip, rflags;
	uint32_t requests; /* shared; locked operations */
	uint32_t state;    /* enum vcpu_state: what it waits for, if anything */
	uint32_t stopped;  /* created, paused or crashed; stored with release order: other cores may then read its state */
	uint32_t posting;  /* shared: it runs, and its core takes what is in IRR at CPU_IRQ_POSTED, without an exit */
	uint32_t deferred; /* requests that came while it was stopped */
	struct cpu *cpu;
	struct vm *vm;
	void *backend; /* the vendor's control block */
	hpa_t backend_hpa;
	uint32_t index; /* = APIC id */
	uint64_t asid_generation;
	uint64_t npt_generation; /* of the nested tables at the last entry */

	/* events */
	bool controls_stale;   /* PAT, TSC offset or port bitmap changed: the backend takes them over when it loads the vCPU */
	bool check_interrupts; /* look for something to inject before the next entry */
	bool paging_valid;     /* `paging` holds the guest's values */
	bool shadow;           /* the instruction before RIP was STI or MOV SS */
	bool nmi_pending, nmi_blocked, nmi_stepping;
	uint64_t
		nmi_return; /* where the IRET is that ends the last NMI's handler, which the next NMI must not forestall; ~0: the CPU knows */
	bool intack_pending;        /* an INTACK trap is under way */
	bool kicked;                /* by a paravirtual wake-up before it halted: the next HLT does not sleep */
	bool extint_message;        /* an ExtINT message asks for one */
	int16_t extint_vector;      /* VCPU_NO_VECTOR, or the 8259A's answer */
	uint64_t pending_event;     /* EVENTINJ layout: exception or event to deliver again */
	uint64_t debug, debug_hits; /* HILUM_DEBUG_*: what it stops for, and has stopped for */
	uint64_t eoi_pending[4];
	uint64_t eoi_exits[4]; /* shared: vectors whose end of interrupt the CPU tells, where it does the others itself */

	uint8_t cpl; /* at a hypercall: the backend fills it for this exit alone */
	struct vcpu_paging paging;
	struct vcpu_fetch_memo fetch_memo;
	struct vlapic apic;
	struct cpu_timer apic_timer;
	struct cpu_timer wait_timer;

	/* scheduling */
	struct queue_node run_node;    /* key: virtual time; or rank and arrival */
	struct queue_node refill_node; /* key: TSC at which its limits are to be looked at again */
	struct vcpu *inbox_next;
	uint32_t in_inbox; /* shared */
	uint32_t weight;
	uint8_t rank;                   /* enum sched_rank, now */
	uint8_t capped;                 /* enum sched_capped */
	bool is_service;                /* of a real-time VM */
	bool is_limited;                /* one of the buckets is in use */
	bool by_weight;                 /* in `fair` or `loose` of its core */
	bool arrives;                   /* from another core: virtual_time is relative */
	bool watches_pause;             /* PAUSE exits: another of its VM waits on this core */
	bool pauses_unfiltered;         /* each one does, not only one of a long loop: the backend says so */
	bool spun;                      /* it was made to yield so, and is let alone for its next turn, a short one */
	uint64_t cores;                 /* bit n: core n may have it; changes under the object lock */
	struct cpu *booked;             /* whose `reserved` or `dedicated` counts it, or NULL; object lock */
	struct hilum_schedule schedule; /* as asked for last; written under the object lock, then SCHEDULE is requested */
	struct sched_bucket cap, right; /* what is left to it of its cap, and of its right to run before others */
	uint64_t ready_tsc;             /* since when it waits in a run queue, or for its cap */
	uint64_t virtual_time;
	uint32_t prompt_left, prompt_run; /* a guest's: so many real-time vCPUs more need not wait for it, and how many it was at first */

	/* synchronous traps: as the one who traps ... */
	struct hilum_trap *trap; /* shared with the handler: hostile */
	struct memory_object *trap_memory;
	struct vcpu *trap_next; /* in a handler's inbox or queue ... */
	bool trap_queued;       /* ... which it is in: shared */
	struct forward trapped; /* what it asked */
	/* ... and as the handler */
	struct vcpu *trap_inbox;   /* shared: a stack */
	struct vcpu *trap_queue;   /* oldest first */
	struct vcpu *trap_current; /* taken, not answered */

	/* state that is switched with the vCPU, not at each exit */
	bool has_fpu; /* not under HILUM_VM_NO_FPU */
	uint64_t xcr0;
	uint64_t dr[4];
	uint64_t tsc_aux;
	uint64_t spec_ctrl; /* the guest's IA32_SPEC_CTRL */
	uint64_t pat;
	uint64_t kvm[KVM_MSR_COUNT];
	uint32_t *eoi_word; /* from an entry to the exit: window onto the guest's word with an offer in it (pveoi.h), or NULL */

	struct object object;
	struct hilum_vcpu_stats stats;

	uint8_t xsave[PAGE_SIZE] __attribute__((aligned(4096)));
};

_Static_assert(__builtin_offsetof(struct vcpu, gpr) == 0, "entry.asm");
_Static_assert(sizeof(struct vcpu) == 2 * PAGE_SIZE, "two pool pages");

/* ---- For the vendor's backend and the exit handlers: own core only -------------------------------------------------------- */

void vcpu_fetch_paging(struct vcpu *v);

/* How the guest executes now. */
static inline const struct vcpu_paging *vcpu_paging(struct vcpu *v)
{
	if (unlikely(!v->paging_valid))
		vcpu_fetch_paging(v);
	return &v->paging;
}

/* Continue after an instruction of `length` bytes: RIP, interrupt shadow, single-step trap. */
void vcpu_skip_slow(struct vcpu *v);
static inline void vcpu_skip(struct vcpu *v, unsigned length)
{
	v->rip += length;
	if (unlikely(v->shadow || (v->rflags & (1u << 8))))
		vcpu_skip_slow(v);
}

/*
 * An NMI waits, and the next instruction must be executed before it: the IRET of the last one's handler, or the one in the shadow
 * of MOV SS. A single step is made; _done when it is over.
 */
void vcpu_step_for_nmi(struct vcpu *v);
void vcpu_step_done(struct vcpu *v);

/* It stops, for a reason of which `stops` in its VM's status has a bit for each vCPU; the status event fires. Its own core. */
void vcpu_stop_and_tell(struct vcpu *v, uint64_t *stops);

/* Its debugger waits for this one of HILUM_DEBUG_*, by bit: it stops, and does not go on with what it was about to do. False: go on. */
bool vcpu_stop_for_debugger(struct vcpu *v, unsigned bit);

/* Raise an exception at the next entry; a second one makes a double fault as SDM vol. 3A, "Interrupt 8" tells. */
void vcpu_raise(struct vcpu *v, unsigned vector, bool has_error, uint32_t error_code);
static inline bool vcpu_vector_has_error(unsigned vector)
{
	return vector < 32 && (0x60227D00u >> vector & 1);
}
#define VCPU_RAISE_UD(v) vcpu_raise((v), 6, false, 0)
#define VCPU_RAISE_GP(v) vcpu_raise((v), 13, true, 0)

/*
 * Everything that must happen before an entry when a request is up: returns true if the vCPU can run now. On false its state
 * says why not.
 */
bool vcpu_prepare(struct vcpu *v);

/* The guest has touched its local APIC: something may be deliverable now. */
static inline void vcpu_apic_changed(struct vcpu *v)
{
	if (vlapic_has_request(&v->apic) || v->vm->extint)
		v->check_interrupts = true;
}

/* Something waits that may end HLT: whether it can is decided by vcpu_prepare. */
static inline bool vcpu_has_wake_up(const struct vcpu *v)
{
	return v->check_interrupts || v->pending_event != 0 || vlapic_pending(&v->apic) >= 0 || v->nmi_pending || v->extint_vector >= 0 ||
	       v->extint_message;
}

/*
 * What to inject at this entry, in EVENTINJ layout, or 0. `interruptible`: IF is set and there is no shadow. `window` tells that
 * something waits for that. Called when check_interrupts or pending_event is up.
 */
uint64_t vcpu_next_event(struct vcpu *v, bool interruptible, bool *window);

/* The window that vcpu_next_event asked for is open. */
void vcpu_window_opened(struct vcpu *v);

/* Take it off the core; if it runs on, it leaves the run loop first and is loaded anew. */
void vcpu_reload(struct vcpu *v);

/* ---- Any core ------------------------------------------------------------------------------------------------------------------ */

/* Raise requests and make the vCPU's core look at them. */
void vcpu_request(struct vcpu *v, uint32_t requests);

/* Into the inbox of its core, or what was its core a moment ago. */
void vcpu_post(struct vcpu *v, struct cpu *cpu);

/* ---- Object lock held ------------------------------------------------------------------------------------------------------------ */
must_check enum status vcpu_create(struct vm *vm, uint64_t index, uint64_t core, uint64_t weight, struct vcpu **out);
void vcpu_free(struct object *object);

/* Give it, which neither runs nor waits in a queue and is the caller's core's, to core `to`. */
void vcpu_move(struct vcpu *v, struct cpu *to);
/* It has come to this core: its timers too. */
void vcpu_arrive(struct vcpu *v);

/* Let it run; its VM's CPUID table is fixed from now on. */
void vcpu_run(struct vcpu *v);

/* Whether its core has let go of it and will not take it up again by itself: its state may be read and changed. */
bool vcpu_is_stopped(const struct vcpu *v);

/* Stop it and wait until its core has let go. Must not be the caller's own vCPU. */
void vcpu_stop(struct vcpu *v, struct cpu *self);

/* For vcpu_prepare: lets go of the core, then lets the others see that it has; sets the timers again that this took off it. */
void vcpu_park(struct vcpu *v);
void vcpu_unpark(struct vcpu *v);
/* INIT, a start-up IPI or both are asked for. */
void vcpu_start_up(struct vcpu *v, uint32_t requests);

/* Stopped vCPUs only. The state is in kernel memory, but its content comes from outside. STATUS_INVALID: impossible value. */
must_check enum status vcpu_set_state(struct vcpu *v, const struct hilum_vcpu_state *state, uint32_t mask);
void vcpu_get_state(struct vcpu *v, struct hilum_vcpu_state *state, uint32_t mask);

/* HC_VCPU_DEBUG of a stopped vCPU. */
int64_t vcpu_set_debug(struct vcpu *v, uint64_t stops);

/* INIT and power-up values (SDM vol. 3A, table 10-1). */
void vcpu_reset(struct vcpu *v, bool power_up);

#endif
