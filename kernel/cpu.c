/*
 * Each core's timers and its main loop. Root mode runs with no interrupt taken except inside virt->run's and virt->idle's windows,
 * so the interrupt handlers here never meet half-changed state.
 */
#include "kernel/cpu.h"
#include "arch/x86_64/panic.h"
#include "arch/x86_64/speculation.h"
#include "arch/x86_64/lapic.h"
#include "arch/x86_64/trap.h"
#include "kernel/event.h"
#include "kernel/pvclock.h"
#include "kernel/sched.h"
#include "kernel/start.h"
#include "kernel/virt_ops.h"
#include "mm/window.h"

sealed struct cpu *cpu_table[CPU_MAX];
sealed uint32_t cpu_count;

/* The hardware timer only ever moves to an earlier point; one that turns out to be too early is set again when it fires. */
static void timer_program(struct cpu *cpu)
{
	const struct queue_node *first = cpu->timers.first;

	if (first != NULL && (cpu->armed == 0 || first->key < cpu->armed)) {
		cpu->armed = first->key;
		timer_set_deadline_tsc(first->key);
	}
}

void cpu_timer_set(struct cpu *cpu, struct cpu_timer *timer, uint64_t deadline_tsc)
{
	queue_remove(&timer->node);
	timer->node.key = deadline_tsc;
	if (timer->vcpu != NULL && timer->vcpu->stopped)
		return;
	queue_insert(&cpu->timers, &timer->node, deadline_tsc);
	timer_program(cpu);
}

static void timer_interrupt(unsigned vector)
{
	struct cpu *cpu = cpu_self();
	uint64_t now = rdtsc();
	struct queue_node *node;

	(void)vector;
	while ((node = cpu->timers.first) != NULL && node->key <= now) {
		struct cpu_timer *timer = container_of(node, struct cpu_timer, node);
		cpu_timer_cancel(timer);
		if (timer->vcpu != NULL) {
			vcpu_request(timer->vcpu, timer->request);
			continue;
		}
		cpu->resched = true;
		if (cpu->current != NULL)
			cpu->current->prompt_run = 0; /* it had more to do */
	}
	cpu->armed = node != NULL ? node->key : 0;
	timer_set_deadline_tsc(node != NULL ? node->key : TIMER_NEVER);
}

void cpu_take_inbox(struct cpu *cpu)
{
	struct vcpu *v = __atomic_exchange_n(&cpu->inbox, NULL, __ATOMIC_ACQUIRE);
	uint64_t now = rdtsc();

	while (v != NULL) {
		struct vcpu *next = v->inbox_next;
		(void)__atomic_exchange_n(&v->in_inbox, 0, __ATOMIC_SEQ_CST); /* before its core and its requests are read */
		struct cpu *owner = __atomic_load_n(&v->cpu, __ATOMIC_ACQUIRE);
		if (unlikely(owner != cpu)) {
			vcpu_post(v, owner);
		} else if (v != cpu->current && (v->requests & VCPU_REQUEST_STOP)) {
			sched_remove(cpu, v); /* another core waits for this: it must not queue behind a busy real-time vCPU */
			bool runs = vcpu_prepare(v);
			assert(!runs);
		} else {
			sched_wake(cpu, v, now);
		}
		object_unref(&v->object);
		v = next;
	}
}

/* Another core put vCPUs of this core into the inbox, or wants this core to pass a quiescent point. */
static void kick_interrupt(unsigned vector)
{
	struct cpu *cpu = cpu_self();

	(void)vector;
	if (unlikely(cpu->health_asked))
		(void)machine_check_take(cpu->health_asked = false);
	cpu_take_inbox(cpu);
	sched_look(cpu);
}

void cpu_init_interrupts(void)
{
	irq_set_handler(CPU_IRQ_TIMER, timer_interrupt);
	irq_set_handler(CPU_IRQ_KICK, kick_interrupt);
	irq_set_handler(CPU_IRQ_POSTED, kick_interrupt); /* was sent to a guest that has just been left */
	for (unsigned vector = CPU_IRQ_DEVICE_FIRST; vector <= CPU_IRQ_DEVICE_LAST; vector++)
		irq_set_handler(vector, irq_device_interrupt);
}

/*
 * Service VMs predict no indirect branch (they are built so), and may know what guests hold: only a guest's entry after another VM is
 * a matter of secrets, and what the last guest taught the predictors only one of another guest's.
 */
static never_inline void change_vm(struct cpu *cpu, const struct vcpu *v)
{
	cpu->last_vm = v->vm->id;
	if (v->vm->flags & HILUM_VM_REALTIME)
		return;
	speculation_change_vm(cpu->last_guest != v->vm->id);
	cpu->last_guest = v->vm->id;
}

static void cpu_switch_to(struct cpu *cpu, struct vcpu *v)
{
	if (likely(cpu->loaded != NULL))
		virt->unload(cpu->loaded);
	window_clear(cpu->arch.id);
	if (unlikely(host_health.defences != 0 && cpu->last_vm != v->vm->id))
		change_vm(cpu, v);
	virt->load(v);
	cpu->loaded = v;
}

_Noreturn void cpu_loop(struct cpu *cpu)
{
	for (;;) {
		struct vcpu *v = cpu->next;

		cpu->next = NULL;
		if (v == NULL || unlikely(cpu->resched)) { /* else: a direct switch, on charged's time */
			uint64_t now = rdtsc();
			cpu->resched = false;
			if (v != NULL)
				sched_wake(cpu, v, now); /* the slice is over: it waits for its turn as others do */
			sched_account(cpu, now);
			v = sched_pick(cpu, now);
			if (v != NULL && (v->kvm[KVM_STEAL_TIME] & 1))
				pvclock_update_steal(v);
		}
		if (v == NULL) {
			virt->idle(cpu);
			cpu->epoch++;
			continue;
		}
		cpu->current = v;
		if (v->requests == 0 || vcpu_prepare(v)) {
			if (cpu->loaded != v)
				cpu_switch_to(cpu, v);
			virt->run(v);
		}
		cpu->current = NULL;
		if ((v->state == VCPU_READY && !v->stopped) || v->requests != 0) /* some may be raised after its last look */
			sched_wake(cpu, v, rdtsc());
	}
}
