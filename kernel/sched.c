/* A core's queues: who runs next, and for how long. No locks. */
#include "kernel/sched.h"
#include "kernel/forward.h"
#include "kernel/vcpu.h"
#include "kernel/virt_ops.h"

/* The one that runs may go on until `deadline_tsc`. */
static void slice_limit(struct cpu *cpu, uint64_t deadline_tsc)
{
	if (!queue_contains(&cpu->slice.node) || cpu->slice.node.key > deadline_tsc)
		cpu_timer_set(cpu, &cpu->slice, deadline_tsc);
}

/*
 * One of a higher rank waits for the guest on this core. A guest that halts before the delay is over, which is an exit more, has its turn
 * ended at once for the next so many times; then the delay is tried again, and if it halts again, for twice as many.
 */
static void urgent_waits(struct cpu *cpu, uint64_t now_tsc)
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
	if (v->rank == SCHED_BY_WEIGHT)
		v->virtual_time += ran * SCHED_WEIGHT_DEFAULT / v->weight;
	cpu->switched_tsc = now_tsc;
	if (unlikely(v->is_limited))
		sched_limit(cpu, v, ran, now_tsc);
}

void sched_end_wait(struct vcpu *v, uint64_t now_tsc)
{
	if (queue_contains(&v->run_node))
		v->stats.ready_tsc += now_tsc - v->ready_tsc;
}

static struct queue_node *first_by_weight(const struct cpu *cpu)
{
	struct queue_node *bound = cpu->fair.first, *loose = cpu->loose.first;

	return bound == NULL || (loose != NULL && loose->key < bound->key) ? loose : bound;
}

/* The core's virtual time: that of whoever is furthest behind. One that runs alone takes it along, though it is never picked anew. */
static void virtual_time_advance(struct cpu *cpu)
{
	const struct queue_node *first = first_by_weight(cpu);

	if (cpu->charged == NULL || cpu->charged->rank != SCHED_BY_WEIGHT)
		return;
	uint64_t least = cpu->charged->virtual_time;
	if (first != NULL && first->key < least)
		least = first->key;
	if (least > cpu->virtual_time)
		cpu->virtual_time = least;
}

void sched_remove(struct cpu *cpu, struct vcpu *v)
{
	if (v->by_weight) {
		v->by_weight = false;
		cpu->waiting -= v->weight;
		cpu->load -= v->weight;
		v->vm->waiting[cpu->arch.id]--;
	}
	queue_remove(&v->run_node);
	queue_remove(&v->refill_node);
	v->capped = SCHED_FREE;
	if (cpu->next == v)
		cpu->next = NULL;
}

/*
 * Its parameters are new, or it comes from another core, with a virtual time that is relative to that one's. False: it had to go on to
 * a core where it may run.
 */
static rare bool settle(struct cpu *cpu, struct vcpu *v, uint64_t now_tsc)
{
	(void)__atomic_fetch_and(&v->requests, ~VCPU_REQUEST_SCHEDULE, __ATOMIC_ACQ_REL);
	if (cpu->charged == v)
		sched_account(cpu, now_tsc);
	sched_end_wait(v, now_tsc);
	sched_remove(cpu, v);
	v->controls_stale = true;
	vcpu_reload(v);
	if (v->arrives) {
		v->virtual_time += cpu->virtual_time;
		v->virtual_time = (int64_t)v->virtual_time < 0 ? 0 : v->virtual_time;
		vcpu_arrive(v);
	}
	sched_limit_init(v, now_tsc);
	struct cpu *to = sched_fits(cpu, v) ? NULL : sched_place(v, cpu->arch.id);
	if (to == NULL)
		return true;
	sched_give(cpu, v, to, 0, now_tsc);
	return false;
}

static void insert_by_weight(struct cpu *cpu, struct vcpu *v, bool has_come, uint64_t now_tsc)
{
	charge(cpu, now_tsc); /* perhaps to `v` itself, which has just run */
	virtual_time_advance(cpu);
	/* A sleeper comes back with the core's virtual time: it neither owes nor is owed for the time it slept. */
	if (!has_come && (int64_t)(v->virtual_time - cpu->virtual_time) < 0)
		v->virtual_time = cpu->virtual_time;
	v->by_weight = true;
	cpu->waiting += v->weight;
	cpu->load += v->weight;
	v->vm->waiting[cpu->arch.id]++;
	queue_insert(v->cores & (v->cores - 1) ? &cpu->loose : &cpu->fair, &v->run_node, v->virtual_time);
	if (cpu->current == NULL)
		return;
	slice_limit(cpu, now_tsc + tsc_from_ns(SCHED_SLICE_NS));
	if (unlikely(sched_idle_cores != 0) && cpu->current->rank == SCHED_BY_WEIGHT)
		sched_share(cpu, now_tsc);
}

void sched_wake(struct cpu *cpu, struct vcpu *v, uint64_t now_tsc)
{
	bool has_come = false, is_new = false;

	if (v == cpu->current || v == cpu->next)
		return;
	if (unlikely(v->requests & VCPU_REQUEST_SCHEDULE)) {
		has_come = v->arrives;
		is_new = true;
		if (!settle(cpu, v, now_tsc))
			return;
	}
	if (queue_contains(&v->run_node))
		return;
	if (v->stopped && !(v->requests & VCPU_REQUEST_RUN))
		return; /* it may be freed at any time */
	if (unlikely(v->is_limited)) {
		if (v == cpu->charged)
			charge(cpu, now_tsc);
		else if (is_new)
			sched_limit(cpu, v, 0, now_tsc);
		if (v->capped != SCHED_FREE) {
			v->ready_tsc = v->capped == SCHED_CAPPED ? now_tsc : v->ready_tsc;
			v->capped = SCHED_CAPPED_AND_READY;
			return;
		}
	}
	v->ready_tsc = now_tsc;
	if (v->rank == SCHED_BY_WEIGHT) {
		insert_by_weight(cpu, v, has_come, now_tsc);
		return;
	}
	queue_insert(&cpu->realtime, &v->run_node, (uint64_t)v->rank << 63 | cpu->arrival++);
	if (cpu->current != NULL && cpu->current->rank > v->rank)
		urgent_waits(cpu, now_tsc);
	else if (cpu->current != NULL)
		slice_limit(cpu, now_tsc + tsc_from_ns(SCHED_SLICE_NS));
}

void sched_look(struct cpu *cpu)
{
	if (cpu->current == NULL)
		return;
	if (unlikely(sched_cores_are_one_vms) && !cpu->has_core)
		cpu->resched = true; /* it has just become so, or a service VM's runs */
	else if (cpu->has_core && __atomic_load_n(&cpu->first_thread->core_waiter, __ATOMIC_RELAXED) != NULL)
		slice_limit(cpu, rdtsc() + tsc_from_ns(SCHED_SLICE_NS));
	if (cpu->current->rank == SCHED_BY_WEIGHT && sched_idle_cores != 0)
		sched_share(cpu, rdtsc());
}

/* Some have waited long enough for their cap, or may run before others again. */
static rare void refill(struct cpu *cpu, uint64_t now_tsc)
{
	struct queue_node *node;

	while ((node = cpu->refills.first) != NULL && node->key <= now_tsc) {
		struct vcpu *v = container_of(node, struct vcpu, refill_node);
		bool waits = v->capped == SCHED_CAPPED_AND_READY || queue_contains(&v->run_node);
		if (v->capped == SCHED_CAPPED_AND_READY)
			v->stats.capped_tsc += now_tsc - v->ready_tsc;
		sched_end_wait(v, now_tsc);
		sched_remove(cpu, v);
		sched_limit(cpu, v, 0, now_tsc);
		if (waits)
			sched_wake(cpu, v, now_tsc);
	}
}

void sched_account(struct cpu *cpu, uint64_t now_tsc)
{
	charge(cpu, now_tsc);
	cpu->charged = NULL;
	if (unlikely(cpu->has_core))
		sched_core_leave(cpu);
}

void sched_spins(struct vcpu *v)
{
	struct cpu *cpu = v->cpu;
	struct vm *vm = v->vm;

	v->spun = v->pauses_unfiltered; /* it may not be in a loop at all */
	if (cpu->realtime.first == NULL && first_by_weight(cpu) == NULL)
		return;
	cpu->resched = true;
	for (uint32_t i = 1; vm->waiting[cpu->arch.id] != 0 && i < HILUM_MAX_VCPUS; i++) {
		struct vcpu *other = vm->vcpu[(v->index + i) % HILUM_MAX_VCPUS];
		if (other != NULL && other->cpu == cpu && other->by_weight && other->state == VCPU_READY) {
			cpu->favoured = other; /* until the pick that follows: no interrupt comes between */
			return;
		}
	}
}

/* The favoured one instead of `v`, unless it would be too far ahead then. */
static rare struct vcpu *favour(struct cpu *cpu, struct vcpu *v)
{
	struct vcpu *other = cpu->favoured;
	uint64_t slice = tsc_from_ns(SCHED_SLICE_NS) * SCHED_WEIGHT_DEFAULT;

	cpu->favoured = NULL; /* it may end before it is looked at again */
	bool waits_here = v != NULL && v->by_weight && other->cpu == cpu && other->by_weight;
	return waits_here && other->virtual_time - v->virtual_time < slice / other->weight ? other : v;
}

/* What others may know; and what waits on is theirs if they have time. */
static void publish(struct cpu *cpu, const struct vcpu *v, uint64_t now_tsc)
{
	cpu->load = cpu->waiting + (v->rank == SCHED_BY_WEIGHT ? v->weight : 0);
	cpu->frame = cpu->virtual_time + (uint64_t)cpu->frame_offset;
	cpu->frame_tsc = now_tsc;
	if (unlikely(sched_idle_cores >> cpu->arch.id & 1))
		__atomic_fetch_and(&sched_idle_cores, ~(1ull << cpu->arch.id), __ATOMIC_RELAXED);
	if (cpu->loose.first == NULL)
		return;
	sched_share(cpu, now_tsc);
	if (cpu->loose.first != NULL && (int64_t)(now_tsc - cpu->balance_tsc) >= 0)
		sched_balance(cpu, now_tsc);
}

struct vcpu *sched_pick(struct cpu *cpu, uint64_t now_tsc)
{
	if (unlikely(cpu->refills.first != NULL))
		refill(cpu, now_tsc);
	struct queue_node *node = cpu->realtime.first != NULL ? cpu->realtime.first : first_by_weight(cpu);
	struct vcpu *v = node != NULL ? container_of(node, struct vcpu, run_node) : NULL;
	if (unlikely(cpu->favoured != NULL))
		v = favour(cpu, v);
	if (v == NULL || (unlikely(sched_cores_are_one_vms) && !sched_core_enter(cpu, v))) {
		if (cpu->refills.first != NULL)
			slice_limit(cpu, cpu->refills.first->key);
		if (v != NULL)
			sched_share(cpu, now_tsc);
		else if (cpu_count > 1)
			sched_rest(cpu);
		return NULL;
	}
	sched_remove(cpu, v);
	/* Not by one that is favoured, and ahead: others would be taken for sleepers, and lose what they are owed. */
	if (v->rank == SCHED_BY_WEIGHT && &v->run_node == node && v->virtual_time > cpu->virtual_time)
		cpu->virtual_time = v->virtual_time;
	v->stats.ready_tsc += now_tsc - v->ready_tsc;
	v->stats.switches++;
	cpu->charged = v;
	cpu->switched_tsc = now_tsc;
	forward_on_own_time(v);
	if (cpu_count > 1)
		publish(cpu, v, now_tsc);
	if (unlikely((v->vm->waiting[cpu->arch.id] != 0 && !v->spun) != v->watches_pause)) {
		v->watches_pause = !v->watches_pause;
		if (virt->watch_pause)
			virt->watch_pause(v, v->watches_pause);
	}
	if (cpu->fair.first != NULL || cpu->loose.first != NULL || cpu->realtime.first != NULL)
		slice_limit(cpu, now_tsc + tsc_from_ns(v->spun ? SCHED_SPUN_NS : SCHED_SLICE_NS));
	else
		cpu_timer_cancel(&cpu->slice);
	if (unlikely(v->cap.rate != 0))
		slice_limit(cpu, now_tsc + sched_limit_left(v));
	if (unlikely(cpu->refills.first != NULL))
		slice_limit(cpu, cpu->refills.first->key);
	v->spun = false;
	return v;
}
