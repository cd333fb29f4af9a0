/* What is asked of a vCPU, what its guest is interrupted by, and what happens before an entry. */
#include "kernel/vcpu.h"
#include "arch/x86_64/features.h"
#include "kernel/event.h"
#include "kernel/forward.h"
#include "kernel/pveoi.h"
#include "kernel/sched.h"
#include "kernel/start.h"
#include "kernel/virt_ops.h"

#define RFLAGS_TF (1ull << 8)

void vcpu_fetch_paging(struct vcpu *v)
{
	virt->fetch_paging(v);
	v->paging_valid = true;
}

void vcpu_step_for_nmi(struct vcpu *v)
{
	v->nmi_stepping = true;
	v->rflags |= RFLAGS_TF;
}

void vcpu_step_done(struct vcpu *v)
{
	v->nmi_stepping = false;
	v->nmi_blocked = false;
	v->rflags &= ~RFLAGS_TF;
	v->check_interrupts = true;
	(void)vcpu_stop_for_debugger(v, 1); /* whose step it may have been as well */
}

void vcpu_skip_slow(struct vcpu *v)
{
	if (v->shadow) {
		v->shadow = false;
		v->check_interrupts = true;
	}
	if (v->nmi_stepping) {
		vcpu_step_done(v);
	} else if (v->rflags & RFLAGS_TF) {
		virt->note_single_step(v);
		vcpu_raise(v, 1, false, 0);
	}
}

/* Contributory exceptions of SDM vol. 3A, table 6-4. */
static bool vector_contributes(unsigned vector)
{
	return vector == 0 || (vector >= 10 && vector <= 13);
}

void vcpu_stop_and_tell(struct vcpu *v, uint64_t *stops)
{
	__atomic_fetch_or(stops, 1ull << v->index, __ATOMIC_RELEASE);
	vcpu_request(v, VCPU_REQUEST_STOP);
	if (v->vm->status_event != NULL)
		event_signal(v->vm->status_event);
}

bool vcpu_stop_for_debugger(struct vcpu *v, unsigned bit)
{
	if (likely(!(v->debug >> bit & 1)))
		return false;
	v->debug_hits |= 1ull << bit;
	vcpu_stop_and_tell(v, &v->vm->status.debug_stops);
	return true;
}

void vcpu_raise(struct vcpu *v, unsigned vector, bool has_error, uint32_t error_code)
{
	uint64_t old = v->pending_event, kind = old & (EVENT_VALID | EVENT_TYPE_MASK);

	if (unlikely(vcpu_stop_for_debugger(v, vector)))
		return;
	if (kind == EVENT_VALID)
		v->extint_vector = old & 0xFF; /* already accepted by its controller: delivered after the exception */
	if (kind == (EVENT_VALID | EVENT_TYPE_NMI)) {
		v->nmi_pending = true;
		v->nmi_blocked = false;
	}
	if (kind == (EVENT_VALID | EVENT_TYPE_EXCEPTION)) {
		unsigned first = old & 0xFF;
		if (first == 8 && (vector == 14 || vector_contributes(vector))) {
			vm_crash(v, HILUM_CRASH_TRIPLE_FAULT, v->rip);
			return;
		}
		if ((vector_contributes(first) && vector_contributes(vector)) ||
		    (first == 14 && (vector == 14 || vector_contributes(vector)))) {
			vector = 8;
			has_error = true;
			error_code = 0;
		}
	}
	v->pending_event = EVENT_VALID | EVENT_TYPE_EXCEPTION | vector;
	if (has_error)
		v->pending_event |= EVENT_ERROR_VALID | (uint64_t)error_code << 32;
}

/* Nothing but an interrupt, and none whose end the CPU would not tell. */
static bool request_can_be_posted(const struct vcpu *v, uint32_t requests)
{
	uint64_t untold = 0;

	for (unsigned i = 0; i < 4; i++)
		untold |= __atomic_load_n(&v->apic.tmr[i], __ATOMIC_RELAXED) & ~__atomic_load_n(&v->eoi_exits[i], __ATOMIC_RELAXED);
	return requests == VCPU_REQUEST_INTERRUPT && untold == 0;
}

void vcpu_post(struct vcpu *v, struct cpu *cpu)
{
	if (__atomic_exchange_n(&v->in_inbox, 1, __ATOMIC_ACQ_REL) == 0) {
		object_ref(&v->object); /* the inbox's: no grace period waits for the kick to be taken */
		v->inbox_next = __atomic_load_n(&cpu->inbox, __ATOMIC_RELAXED);
		while (!__atomic_compare_exchange_n(&cpu->inbox, &v->inbox_next, v, false, __ATOMIC_RELEASE, __ATOMIC_RELAXED))
			;
	}
	cpu_kick(cpu);
}

void vcpu_request(struct vcpu *v, uint32_t requests)
{
	struct cpu *self = cpu_self();
	uint32_t old = __atomic_fetch_or(&v->requests, requests, __ATOMIC_ACQ_REL);
	struct cpu *cpu = __atomic_load_n(&v->cpu, __ATOMIC_ACQUIRE);

	if (cpu == self) {
		if (v != self->current)
			sched_wake(self, v, rdtsc());
		return;
	}
	/* Set before `posting` is read: pairs with the backend, which clears that before the core's last look at the requests. */
	if (unlikely(__atomic_load_n(&v->posting, __ATOMIC_SEQ_CST))) {
		if (request_can_be_posted(v, requests)) {
			lapic_send(cpu->arch.apic_id, LAPIC_FIXED + CPU_IRQ_POSTED);
			return;
		}
	} else if ((old & requests) == requests) {
		return; /* whoever raised them has kicked */
	}
	vcpu_post(v, cpu);
}

/* The local APIC model's way to its vCPU. The one that runs here looks before its next entry anyway. */
void vlapic_notify(struct vlapic *target, enum vlapic_notice what)
{
	struct vcpu *v = container_of(target, struct vcpu, apic);

	if (v == cpu_self()->current && what == VLAPIC_NOTIFY_INTR)
		v->check_interrupts = true;
	else
		vcpu_request(v, 1u << what);
}

void vlapic_timer_set(struct vlapic *apic, uint64_t host_tsc)
{
	struct vcpu *v = container_of(apic, struct vcpu, apic);

	cpu_timer_set(v->cpu, &v->apic_timer, host_tsc);
}

void vlapic_timer_cancel(struct vlapic *apic)
{
	cpu_timer_cancel(&container_of(apic, struct vcpu, apic)->apic_timer);
}

void vlapic_eoi_level(struct vlapic *apic, uint8_t vector)
{
	struct vcpu *v = container_of(apic, struct vcpu, apic);

	v->eoi_pending[vector >> 6] |= 1ull << (vector & 63);
	vcpu_request(v, VCPU_REQUEST_EOI);
}

/* One level-triggered EOI to the IOAPIC model; the rest stay requested. */
static void prepare_eoi(struct vcpu *v)
{
	for (unsigned i = 0; i < 4; i++) {
		if (v->eoi_pending[i] == 0)
			continue;
		unsigned vector = i * 64 + (unsigned)__builtin_ctzll(v->eoi_pending[i]);
		v->eoi_pending[i] &= v->eoi_pending[i] - 1;
		v->deferred |= VCPU_REQUEST_EOI;
		if (v->vm->handler != NULL) {
			v->trapped = (struct forward){ .kind = HILUM_TRAP_EOI, .value = vector };
			forward_trap(v);
		}
		return;
	}
}

static bool extint_waits(struct vcpu *v)
{
	if (v->intack_pending || v->extint_vector != VCPU_NO_VECTOR || v->vm->handler == NULL)
		return false; /* asked already, or nobody to ask */
	return v->extint_message || (v->index == 0 && v->vm->extint && vlapic_accepts_extint(&v->apic));
}

static void prepare_interrupts(struct vcpu *v)
{
	if (v->state == VCPU_HALTED &&
	    ((v->nmi_pending && !v->nmi_blocked) || v->pending_event != 0 ||
	     ((v->rflags & RFLAGS_IF) && (vlapic_pending(&v->apic) >= 0 || extint_waits(v) || v->extint_vector >= 0))))
		v->state = VCPU_READY;
	if (v->state == VCPU_READY && extint_waits(v) && (v->rflags & RFLAGS_IF) && !v->shadow && v->pending_event == 0) {
		v->intack_pending = true;
		v->extint_message = false;
		v->trapped = (struct forward){ .kind = HILUM_TRAP_INTACK };
		forward_trap(v);
	}
}

bool vcpu_prepare(struct vcpu *v)
{
	bool starts = v->stopped && (v->requests & VCPU_REQUEST_RUN);

	if (starts)
		v->stopped = 0; /* before the request goes: see vcpu_is_stopped */
	uint32_t r = __atomic_exchange_n(&v->requests, 0, __ATOMIC_ACQ_REL) | v->deferred;
	v->deferred = 0;
	if (starts)
		vcpu_unpark(v);
	if (unlikely(r & VCPU_REQUEST_SCHEDULE)) { /* for sched_wake, when it has left the core */
		(void)__atomic_fetch_or(&v->requests, VCPU_REQUEST_SCHEDULE, __ATOMIC_ACQ_REL);
		v->cpu->resched = true;
	}
	if (r & VCPU_REQUEST_STOP || v->stopped) {
		v->deferred = r & ~(VCPU_REQUEST_STOP | VCPU_REQUEST_RUN | VCPU_REQUEST_SCHEDULE);
		if (!v->stopped)
			vcpu_park(v);
		if (unlikely(v->vm->id == VM_ID_CONTROL && v->vm->status.state == HILUM_VM_CRASHED))
			control_vm_restart(v);
		return false;
	}
	if ((r & VCPU_REQUEST_REPLY) && v->state == VCPU_TRAPPED)
		forward_complete(v);
	if ((r & VCPU_REQUEST_RETRAP) && v->state == VCPU_TRAPPED)
		forward_again(v);
	if ((r & (VCPU_REQUEST_EVENT | VCPU_REQUEST_TRAP | VCPU_REQUEST_WAIT_TIMER)) && v->state == VCPU_WAITING)
		forward_wake(v, r);
	if (unlikely(r & (VCPU_REQUEST_INIT | VCPU_REQUEST_SIPI)))
		vcpu_start_up(v, r);
	if (r & VCPU_REQUEST_APIC_TIMER)
		vlapic_timer_expired(&v->apic);
	if (r & VCPU_REQUEST_NMI)
		v->nmi_pending = true;
	if ((r & VCPU_REQUEST_EOI) && v->state == VCPU_READY)
		prepare_eoi(v);
	else
		v->deferred |= r & VCPU_REQUEST_EOI;
	if (r & VCPU_REQUEST_KICK) {
		v->kicked = v->state != VCPU_HALTED;
		v->state = v->kicked ? v->state : VCPU_READY;
	}
	if (r & VCPU_REQUEST_EXTINT)
		v->extint_message = true;
	if (r & (VCPU_REQUEST_INTERRUPT | VCPU_REQUEST_NMI | VCPU_REQUEST_APIC_TIMER | VCPU_REQUEST_EXTINT)) {
		v->check_interrupts = true;
		prepare_interrupts(v);
	}
	return v->state == VCPU_READY && !v->stopped && !(v->requests & VCPU_REQUEST_STOP); /* its debugger's, or for a bad answer */
}

uint64_t vcpu_next_event(struct vcpu *v, bool interruptible, bool *window)
{
	*window = false;
	if (v->pending_event != 0) {
		uint64_t event = v->pending_event;
		v->pending_event = 0;
		v->check_interrupts = true;
		*window = v->extint_vector >= 0 || vlapic_pending(&v->apic) >= 0 || extint_waits(v);
		return event;
	}
	v->check_interrupts = false;
	/* One that came before the handler's IRET is executed would overwrite the frame that this returns by. */
	if (v->nmi_pending && !v->nmi_blocked && !v->shadow && v->rip != v->nmi_return) {
		v->nmi_pending = false;
		v->nmi_blocked = true;
		v->check_interrupts = true;
		return EVENT_VALID | EVENT_TYPE_NMI | 2;
	}
	if (v->extint_vector >= 0) {
		*window = !interruptible;
		if (!interruptible)
			return 0;
		uint64_t vector = (uint64_t)v->extint_vector;
		v->extint_vector = VCPU_NO_VECTOR;
		v->stats.injected++;
		return EVENT_VALID | vector;
	}
	int vector = vlapic_pending(&v->apic);
	if (vector >= 0 && interruptible) {
		vlapic_take(&v->apic, (unsigned)vector);
		if (v->kvm[KVM_PV_EOI] & 1)
			pveoi_offer(v, (unsigned)vector);
		v->stats.injected++;
		return EVENT_VALID | (uint64_t)vector;
	}
	*window = vector >= 0 || extint_waits(v);
	return 0;
}

void vcpu_window_opened(struct vcpu *v)
{
	v->check_interrupts = true;
	if (extint_waits(v))
		vcpu_request(v, VCPU_REQUEST_INTERRUPT); /* its vector must be asked for before the next entry */
}
