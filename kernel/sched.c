/* Weighted fair queues, one pair per core. No locks, no policy beyond weights. */
#include "kernel/sched.h"
#include "kernel/vcpu.h"

static struct vcpu *vcpu_of(struct queue_node *node)
{
	return container_of(node, struct vcpu, run_node);
}

/* The one that runs may go on until `deadline_tsc`. */
static void slice_limit(struct cpu *cpu, uint64_t deadline_tsc)
{
	if (!queue_contains(&cpu->slice.node) || cpu->slice.node.key > deadline_tsc)
		cpu_timer_set(cpu, &cpu->slice, deadline_tsc);
}

/*
 * A real-time vCPU waits for the guest on this core. One that halts before the delay is over, which is an exit more, has its turn ended at
 * once for the next so many times; then the delay is tried again, and if the guest halts again, for twice as many.
 */
static void realtime_waits(struct cpu *cpu, uint64_t now_tsc)
{
	struct vcpu *guest = cpu->current;

	if (guest->prompt_left != 0) {
		guest->prompt_left--;
		cpu->resched = true;
	} else {
		slice_limit(cpu, now_tsc + tsc_from_ns(SCHED_REALTIME_DELAY_NS));
	}
}

void sched_guest_halts(struct vcpu *guest)
{
	if (guest->cpu->realtime.first == NULL || guest->prompt_left != 0)
		return;
	guest->prompt_run = guest->prompt_run < SCHED_PROMPT_MAX ? 2 * guest->prompt_run + 1 : SCHED_PROMPT_MAX;
	guest->prompt_left = guest->prompt_run;
}

/* The one that pays for the core's time has used it up to now. */
static void charge(struct cpu *cpu, uint64_t now_tsc)
{
	struct vcpu *v = cpu->charged;

	if (v == NULL)
		return;
	uint64_t ran = now_tsc - cpu->switched_tsc;
	v->stats.run_tsc += ran;
	v->virtual_time += ran * SCHED_WEIGHT_DEFAULT / v->weight;
	cpu->switched_tsc = now_tsc;
}

/* The core's virtual time: that of whoever is furthest behind. One that runs alone takes it along, though it is never picked anew. */
static void virtual_time_advance(struct cpu *cpu)
{
	const struct queue_node *first = cpu->fair.first;

	if (cpu->charged == NULL || cpu->charged->realtime)
		return;
	uint64_t least = cpu->charged->virtual_time;
	if (first != NULL && first->key < least)
		least = first->key;
	if (least > cpu->virtual_time)
		cpu->virtual_time = least;
}

void sched_wake(struct cpu *cpu, struct vcpu *v, uint64_t now_tsc)
{
	if (v == cpu->current || v == cpu->next || queue_contains(&v->run_node))
		return;
	if (v->stopped && !(v->requests & VCPU_REQUEST_RUN))
		return; /* it may be freed at any time */
	v->ready_tsc = now_tsc;
	if (v->realtime) {
		queue_insert(&cpu->realtime, &v->run_node, cpu->arrival++);
		if (cpu->current != NULL && !cpu->current->realtime)
			realtime_waits(cpu, now_tsc);
		else if (cpu->current != NULL)
			slice_limit(cpu, now_tsc + tsc_from_ns(SCHED_SLICE_NS));
		return;
	}
	charge(cpu, now_tsc); /* perhaps to `v` itself, which has just run */
	virtual_time_advance(cpu);
	/* A sleeper comes back with the core's virtual time: it neither owes nor is owed for the time it slept. */
	if ((int64_t)(v->virtual_time - cpu->virtual_time) < 0)
		v->virtual_time = cpu->virtual_time;
	queue_insert(&cpu->fair, &v->run_node, v->virtual_time);
	if (cpu->current != NULL)
		slice_limit(cpu, now_tsc + tsc_from_ns(SCHED_SLICE_NS));
}

void sched_remove(struct cpu *cpu, struct vcpu *v)
{
	queue_remove(&v->run_node);
	if (cpu->next == v)
		cpu->next = NULL;
}

void sched_account(struct cpu *cpu, uint64_t now_tsc)
{
	charge(cpu, now_tsc);
	cpu->charged = NULL;
}

struct vcpu *sched_pick(struct cpu *cpu, uint64_t now_tsc)
{
	struct queue_node *node = cpu->realtime.first != NULL ? cpu->realtime.first : cpu->fair.first;

	if (node == NULL)
		return NULL;
	queue_remove(node);
	struct vcpu *v = vcpu_of(node);
	if (!v->realtime)
		cpu->virtual_time = v->virtual_time;
	v->stats.ready_tsc += now_tsc - v->ready_tsc;
	v->stats.switches++;
	cpu->charged = v;
	cpu->switched_tsc = now_tsc;
	if (cpu->fair.first != NULL || cpu->realtime.first != NULL)
		slice_limit(cpu, now_tsc + tsc_from_ns(SCHED_SLICE_NS));
	else
		cpu_timer_cancel(&cpu->slice);
	return v;
}
