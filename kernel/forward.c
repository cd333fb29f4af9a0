/*
 * The trap path. A trapping vCPU G keeps what it needs to complete the instruction in its own struct, out of the handler's
 * reach; the trap page carries the question and the answer and is believed in nothing else. While G is in a handler's inbox, queue
 * or hand, that place holds a reference to it. It is in one inbox or queue at most (trap_queued), even if its handler is replaced or
 * the control VM makes it run and trap again meanwhile: whoever finds it there looks whose it is now.
 */
#include "kernel/forward.h"
#include "arch/x86_64/features.h"
#include "arch/x86_64/string.h"
#include "kernel/sched.h"
#include "kernel/virt_ops.h"

/* Flags that an emulated instruction may change: status flags, DF, and what POPF-like instructions are not emulated for stays. */
#define RFLAGS_REPLY_MASK 0xCD5ull

/* Two rows of registers that lie alike in the trap page and in a vCPU's state: CR0 to EFER, ES to GS. */
#define TRAP_CONTROL_BYTES           (5 * sizeof(uint64_t))
#define TRAP_SEGMENT_BYTES           (6 * sizeof(struct hilum_segment))
#define ROW_BYTES(type, first, last) (offsetof(type, last) + sizeof(((type *)0)->last) - offsetof(type, first))
_Static_assert(ROW_BYTES(struct hilum_trap, cr0, efer) == TRAP_CONTROL_BYTES &&
                       ROW_BYTES(struct hilum_vcpu_state, cr0, efer) == TRAP_CONTROL_BYTES &&
                       ROW_BYTES(struct hilum_trap, es, gs) == TRAP_SEGMENT_BYTES &&
                       ROW_BYTES(struct hilum_vcpu_state, es, gs) == TRAP_SEGMENT_BYTES,
               "rows");

/* What an emulator needs; for the other kinds HC_WAIT's registers say it all. */
static void trap_page_fill(struct vcpu *g)
{
	const struct forward *f = &g->trapped;
	struct hilum_vcpu_state *s = &g->cpu->scratch.state;
	struct hilum_trap *t = g->trap;

	virt->get_state(g, s, HILUM_STATE_SEGMENTS | HILUM_STATE_CR);
	t->kind = f->kind;
	t->size = f->size;
	t->write = f->write;
	t->address = f->address;
	t->value = f->value;
	t->next_rip = f->next_rip;
	t->reply = 0;
	t->insn_bytes = 0;
	if (f->insn != NULL) {
		memcpy(t->insn, f->insn, f->insn_bytes); /* at most 15 */
		t->insn_bytes = f->insn_bytes;
	}
	memcpy(t->gpr, g->gpr, sizeof(t->gpr));
	t->rip = g->rip;
	t->rflags = g->rflags;
	memcpy(&t->cr0, &s->cr0, TRAP_CONTROL_BYTES);
	memcpy(&t->es, &s->es, TRAP_SEGMENT_BYTES);
}

/* HC_WAIT of handler `h` returns with the trap of `g`, for which it already holds a reference. */
static void wait_return_trap(struct vcpu *h, struct vcpu *g)
{
	if (h->trap_current != NULL)
		object_unref(&h->trap_current->object); /* taken and never answered: stays blocked */
	h->trap_current = g;
	h->gpr[0] = HILUM_WAIT_TRAP;
	h->gpr[2] = g->vm->badge;
	h->gpr[6] = g->index;
	h->gpr[7] = g->trapped.kind;
	h->gpr[8] = g->trapped.address;
	h->gpr[9] = g->trapped.size | (uint32_t)g->trapped.write << 8;
	h->gpr[10] = g->trapped.value;
}

static never_inline void inbox_put(struct vcpu *h, struct vcpu *g)
{
	__atomic_store_n(&g->trap_queued, true, __ATOMIC_RELAXED);
	g->trap_next = __atomic_load_n(&h->trap_inbox, __ATOMIC_RELAXED);
	while (!__atomic_compare_exchange_n(&h->trap_inbox, &g->trap_next, g, false, __ATOMIC_RELEASE, __ATOMIC_RELAXED))
		;
	vcpu_request(h, VCPU_REQUEST_TRAP);
}

/* Give the trap of `g` to the handler VM's vCPU for this core. */
static inline void hand_over(struct vcpu *g)
{
	struct cpu *cpu = g->cpu;
	struct vm *vm = __atomic_load_n(&g->vm->handler, __ATOMIC_ACQUIRE);
	struct vcpu *h = vm == NULL || vm->object.dead ? NULL : vm->by_core[cpu->arch.id];

	if (h == NULL && vm != NULL && !vm->object.dead)
		h = vm->vcpu[0];
	if (h == NULL)
		return; /* stays trapped until a handler is set */
	if (__atomic_load_n(&g->trap_queued, __ATOMIC_ACQUIRE))
		return; /* whoever has it there finds this trap */
	object_ref(&g->object);
	if (h->cpu == cpu && h->state == VCPU_WAITING && (h->requests | h->stopped) == 0) {
		wait_return_trap(h, g);
		h->state = VCPU_READY;
		if (unlikely(queue_contains(&h->run_node)))
			sched_remove(cpu, h);
		cpu->next = h;
		return;
	}
	inbox_put(h, g);
}

void forward_trap(struct vcpu *v)
{
	v->state = VCPU_TRAPPED;
	hand_over(v);
}

void forward_trap_with_state(struct vcpu *v)
{
	trap_page_fill(v);
	forward_trap(v);
}

void forward_again(struct vcpu *v)
{
	if (v->trapped.kind == HILUM_TRAP_STRING || v->trapped.kind == HILUM_TRAP_MMIO)
		trap_page_fill(v); /* a handler that is gone may have written there */
	forward_trap(v);
}

static void complete_port(struct vcpu *v)
{
	uint64_t value = v->trap->value;

	if (!v->trapped.write) {
		if (v->trapped.size == 4)
			v->gpr[0] = (uint32_t)value;
		else if (v->trapped.size == 2)
			v->gpr[0] = (v->gpr[0] & ~0xFFFFull) | (value & 0xFFFF);
		else
			v->gpr[0] = (v->gpr[0] & ~0xFFull) | (value & 0xFF);
	}
	vcpu_skip(v, (unsigned)(v->trapped.next_rip - v->rip));
}

static void complete_emulated(struct vcpu *v, uint32_t reply)
{
	const struct hilum_trap *t = v->trap;

	if (reply & HILUM_REPLY_STATE) {
		v->shadow = false;
		memcpy(v->gpr, t->gpr, sizeof(v->gpr));
		v->rip = t->rip;
		v->rflags = (v->rflags & ~RFLAGS_REPLY_MASK) | (t->rflags & RFLAGS_REPLY_MASK);
		v->check_interrupts = true;
	}
	if (reply & HILUM_REPLY_INJECT) {
		uint32_t vector = t->vector;
		if (vector > 31 || vector == 2) {
			vm_crash(v, HILUM_CRASH_BAD_REPLY, vector);
			return;
		}
		if (vector == 14)
			virt->set_cr2(v, t->cr2);
		if (vector == 1)
			virt->note_single_step(v);
		vcpu_raise(v, vector, vcpu_vector_has_error(vector) && (vcpu_paging(v)->cr0 & CR0_PE), t->error_code);
	}
}

void forward_complete(struct vcpu *v)
{
	v->state = VCPU_READY;
	switch (v->trapped.kind) {
	case HILUM_TRAP_PORT:
		complete_port(v);
		break;
	case HILUM_TRAP_STRING:
	case HILUM_TRAP_MMIO:
		complete_emulated(v, v->trap->reply);
		break;
	case HILUM_TRAP_INTACK: {
		uint64_t vector = v->trap->value;
		v->intack_pending = false;
		v->extint_vector = vector <= 0xFF ? (int16_t)vector : VCPU_NO_VECTOR;
		v->check_interrupts = true;
		break;
	}
	default:
		break;
	}
}

/* Make the inbox the queue, which is empty: oldest first. */
static void queue_refill(struct vcpu *h)
{
	struct vcpu *g = __atomic_exchange_n(&h->trap_inbox, NULL, __ATOMIC_ACQUIRE);
	struct vcpu *oldest = NULL;

	while (g != NULL) {
		struct vcpu *next = g->trap_next;
		g->trap_next = oldest;
		oldest = g;
		g = next;
	}
	h->trap_queue = oldest;
}

/* The oldest in the queue, with the queue's reference, or NULL. */
static struct vcpu *queue_take(struct vcpu *h)
{
	if (h->trap_queue == NULL && __atomic_load_n(&h->trap_inbox, __ATOMIC_RELAXED) != NULL)
		queue_refill(h);
	struct vcpu *g = h->trap_queue;
	if (g != NULL) {
		h->trap_queue = g->trap_next;
		__atomic_store_n(&g->trap_queued, false, __ATOMIC_SEQ_CST); /* before its trap is looked at */
	}
	return g;
}

static bool is_handler_of(const struct vcpu *h, const struct vcpu *g)
{
	return __atomic_load_n(&g->vm->handler, __ATOMIC_ACQUIRE) == h->vm;
}

/* Something to return for HC_WAIT? */
static never_inline bool wait_poll_slowly(struct vcpu *h)
{
	struct vcpu *g;

	while ((g = queue_take(h)) != NULL) {
		if (is_handler_of(h, g)) {
			wait_return_trap(h, g);
			forward_on_own_time(h);
			return true;
		}
		vcpu_request(g, VCPU_REQUEST_RETRAP); /* to the handler that it has now */
		object_unref(&g->object);
	}
	uint64_t *pending = h->vm->shared->pending[h->index];
	if ((__atomic_load_n(&pending[0], __ATOMIC_ACQUIRE) | __atomic_load_n(&pending[1], __ATOMIC_ACQUIRE)) != 0) {
		h->gpr[0] = HILUM_WAIT_EVENT;
		return true;
	}
	return false;
}

static inline bool wait_poll(struct vcpu *h)
{
	const uint64_t *pending = h->vm->shared->pending[h->index];

	if ((__atomic_load_n(&pending[0], __ATOMIC_RELAXED) | __atomic_load_n(&pending[1], __ATOMIC_RELAXED)) == 0 &&
	    h->trap_queue == NULL && __atomic_load_n(&h->trap_inbox, __ATOMIC_RELAXED) == NULL)
		return false;
	return wait_poll_slowly(h);
}

/* Answer the trap that `h` took last. Returns its vCPU if it may run on this core at once. */
static struct vcpu *reply_current(struct vcpu *h)
{
	struct vcpu *g = h->trap_current;

	if (g == NULL)
		return NULL;
	h->trap_current = NULL;
	if (!is_handler_of(h, g)) { /* not any more */
		object_unref(&g->object);
		return NULL;
	}
	bool here = g->cpu == h->cpu && (g->requests | g->deferred | g->stopped) == 0 && g->state == VCPU_TRAPPED;
	if (here) {
		if (unlikely(queue_contains(&g->run_node)))
			sched_remove(h->cpu, g);
		forward_complete(g);
	} else {
		vcpu_request(g, VCPU_REQUEST_REPLY);
	}
	object_unref(&g->object);
	/* The answer may have raised a request (a crash): the run queue has it then. */
	return here && g->state == VCPU_READY && g->requests == 0 ? g : NULL;
}

bool forward_wait(struct vcpu *v, uint64_t flags, uint64_t deadline_tsc)
{
	struct cpu *cpu = v->cpu;
	struct vcpu *answered = flags & HILUM_WAIT_REPLY ? reply_current(v) : NULL;

	if (wait_poll(v)) {
		if (answered != NULL)
			sched_wake(cpu, answered, rdtsc());
		return true;
	}
	if (answered != NULL)
		cpu->next = answered; /* before the deadline check: it costs nobody */
	/* A call that ends otherwise leaves its timer armed: the next one mostly has the same deadline. */
	if (unlikely(v->wait_timer.node.key != deadline_tsc)) {
		if (deadline_tsc != 0 && deadline_tsc <= rdtsc()) {
			if (answered != NULL) {
				cpu->next = NULL;
				sched_wake(cpu, answered, rdtsc());
			}
			v->gpr[0] = HILUM_WAIT_TIMEOUT;
			return true;
		}
		cpu_timer_cancel(&v->wait_timer);
		if (deadline_tsc != 0)
			cpu_timer_set(cpu, &v->wait_timer, deadline_tsc);
	}
	v->state = VCPU_WAITING;
	return false;
}

bool forward_wake(struct vcpu *v, uint32_t requests)
{
	if (!wait_poll(v)) {
		if (!(requests & VCPU_REQUEST_WAIT_TIMER))
			return false;
		v->gpr[0] = HILUM_WAIT_TIMEOUT;
	}
	v->state = VCPU_READY;
	return true;
}

void forward_abandon(struct vcpu *v)
{
	struct vcpu *g = v->trap_current;

	v->trap_current = NULL;
	if (g != NULL)
		object_unref(&g->object);
	while ((g = queue_take(v)) != NULL)
		object_unref(&g->object);
}
