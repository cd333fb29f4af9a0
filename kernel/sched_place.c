/* Which core has a vCPU: HC_VCPU_SCHEDULE, idle cores, and fair shares of cores that are all busy. */
#include "kernel/sched.h"
#include "kernel/vcpu.h"

#define RESERVED_MAX 1000u /* per mille of a core */

uint64_t sched_idle_cores, sched_dedicated_cores;

static uint64_t bit_of(const struct cpu *cpu)
{
	return 1ull << cpu->arch.id;
}

static uint64_t cores_present(void)
{
	return ~0ull >> (64 - cpu_count);
}

bool sched_fits(const struct cpu *cpu, const struct vcpu *v)
{
	const struct vcpu *alone = __atomic_load_n(&cpu->dedicated, __ATOMIC_RELAXED);

	return v == alone || ((v->cores & bit_of(cpu)) && (alone == NULL || v->is_service));
}

static bool has_core_alone(const struct vcpu *v)
{
	return v->booked != NULL && v->booked->dedicated == v;
}

struct cpu *sched_place(const struct vcpu *v, uint32_t from)
{
	uint64_t cores = v->is_service || has_core_alone(v) ? v->cores : v->cores & ~sched_dedicated_cores;
	struct cpu *best = NULL;

	for (uint32_t i = 0; i < cpu_count; i++) {
		struct cpu *cpu = cpu_table[(from + i) % cpu_count];
		if ((cores & bit_of(cpu)) && (best == NULL || cpu->load < best->load))
			best = cpu;
	}
	return best;
}

enum status sched_init_vcpu(struct vcpu *v, uint64_t core, uint32_t weight)
{
	v->is_service = v->vm->flags & HILUM_VM_REALTIME;
	v->cores = core != HILUM_CORE_ANY ? 1ull << core : cores_present();
	v->cpu = sched_place(v, v->vm->id + v->index);
	if (v->cpu == NULL)
		return STATUS_BUSY;
	if (v->is_service)
		v->cores = bit_of(v->cpu);
	v->schedule = (struct hilum_schedule){ .weight = weight, .budget = v->is_service ? SCHED_BUDGET_DEFAULT : 0 };
	v->stats.core = v->cpu->arch.id;
	sched_limit_init(v, rdtsc());
	return STATUS_OK;
}

void sched_release(struct vcpu *v)
{
	struct cpu *cpu = v->booked;

	if (cpu == NULL)
		return;
	cpu->reserved -= v->schedule.reservation;
	v->booked = NULL;
	if (cpu->dedicated == v) {
		__atomic_store_n(&cpu->dedicated, NULL, __ATOMIC_RELAXED);
		sched_dedicated_cores &= ~bit_of(cpu);
	}
}

/* Whether every other guest's vCPU may run on a core that is nobody's alone, even without `taken`. */
static bool others_have_cores(const struct vcpu *v, uint64_t taken)
{
	for (struct vm *vm = vm_list; vm != NULL; vm = vm->next)
		VM_EACH_VCPU(vm, other)
	if (other != v && !other->is_service && !has_core_alone(other) && !(other->cores & ~(sched_dedicated_cores | taken)))
		return false;
	return true;
}

/* One of `cores` that can promise `reservation` to `v`, its own first, or NULL. */
static struct cpu *find_room(const struct vcpu *v, uint32_t reservation, uint64_t cores)
{
	for (uint32_t i = 0; i < cpu_count; i++) {
		struct cpu *cpu = cpu_table[(v->cpu->arch.id + i) % cpu_count];
		uint32_t others = cpu->reserved - (v->booked == cpu ? v->schedule.reservation : 0);
		if ((cores & bit_of(cpu)) && others + reservation <= RESERVED_MAX)
			return cpu;
	}
	return NULL;
}

static bool schedule_is_valid(const struct vcpu *v, const struct hilum_schedule *s, uint64_t cores)
{
	bool dedicated = s->flags & HILUM_SCHEDULE_DEDICATED;

	return s->weight != 0 && s->weight <= SCHED_WEIGHT_MAX && s->cap <= 1000 && s->reservation <= 1000 && s->budget <= 1000 &&
	       !(s->flags & ~HILUM_SCHEDULE_DEDICATED) && s->reserved == 0 && cores != 0 &&
	       (!dedicated || (s->cores != 0 && !(s->cores & (s->cores - 1)))) && !(v->is_service && (dedicated || s->reservation != 0));
}

/* The core is now its alone: who is there goes, but for service VMs' vCPUs, which work for it. */
static void dedicate(struct cpu *cpu, struct vcpu *v)
{
	sched_dedicated_cores |= bit_of(cpu);
	__atomic_store_n(&cpu->dedicated, v, __ATOMIC_RELEASE);
	for (struct vm *vm = vm_list; vm != NULL; vm = vm->next)
		VM_EACH_VCPU(vm, other)
	if (other != v && !other->is_service)
		vcpu_request(other, VCPU_REQUEST_SCHEDULE);
}

enum status sched_set(struct vcpu *v, const struct hilum_schedule *s)
{
	bool dedicated = s->flags & HILUM_SCHEDULE_DEDICATED;
	uint64_t cores = (s->cores != 0 ? s->cores : ~0ull) & cores_present();
	uint64_t open = cores & ~(sched_dedicated_cores & ~(has_core_alone(v) ? bit_of(v->booked) : 0));
	struct cpu *room = NULL;

	if (!schedule_is_valid(v, s, cores))
		return STATUS_INVALID;
	if (!v->is_service && (open == 0 || (dedicated && !others_have_cores(v, open))))
		return STATUS_BUSY;
	if ((dedicated || s->reservation != 0) && (room = find_room(v, s->reservation, open)) == NULL)
		return STATUS_BUSY;
	sched_release(v);
	if (room != NULL)
		cores = bit_of(room);
	else if (v->is_service) /* handlers stay where guests look for them */
		cores = s->cores == 0 || (cores & bit_of(v->cpu)) ? bit_of(v->cpu) : cores & (0 - cores);
	v->booked = room;
	if (room != NULL)
		room->reserved += s->reservation;
	v->schedule = *s;
	v->cores = cores;
	if (dedicated)
		dedicate(room, v);
	vcpu_request(v, VCPU_REQUEST_SCHEDULE);
	return STATUS_OK;
}

void sched_give(struct cpu *cpu, struct vcpu *v, struct cpu *to, uint64_t credit, uint64_t now_tsc)
{
	if (cpu->charged == v)
		sched_account(cpu, now_tsc); /* before its virtual time is taken */
	sched_end_wait(v, now_tsc);
	v->virtual_time -= cpu->virtual_time + credit + 1; /* before its equals there: it may have waited long here */
	vcpu_move(v, to);
}

void sched_share(struct cpu *cpu, uint64_t now_tsc)
{
	while (cpu->loose.first != NULL) {
		struct vcpu *v = container_of(cpu->loose.first, struct vcpu, run_node);
		uint64_t idle = __atomic_load_n(&sched_idle_cores, __ATOMIC_RELAXED) & v->cores & ~bit_of(cpu);
		uint64_t one = idle & (0 - idle);
		if (idle == 0)
			return;
		if (__atomic_fetch_and(&sched_idle_cores, ~one, __ATOMIC_ACQ_REL) & one) /* else another core was first */
			sched_give(cpu, v, cpu_table[__builtin_ctzll(one)], 0, now_tsc);
	}
}

/*
 * Whoever gives work away looks at sched_idle_cores after he has queued it, and this core at the queues after it has set its bit. If both see
 * too little, which no barrier forbids, the work waits until that core chooses next: a slice at most.
 */
void sched_rest(struct cpu *cpu)
{
	cpu->load = 0;
	if (unlikely(sched_cores_are_one_vms))
		sched_core_forget(cpu);
	if (cpu->dedicated != NULL || (__atomic_load_n(&sched_idle_cores, __ATOMIC_RELAXED) & bit_of(cpu)))
		return;
	__atomic_fetch_or(&sched_idle_cores, bit_of(cpu), __ATOMIC_SEQ_CST);
	for (uint32_t i = 1; i < cpu_count; i++) {
		struct cpu *other = cpu_table[(cpu->arch.id + i) % cpu_count];
		if (__atomic_load_n(&other->loose.first, __ATOMIC_RELAXED) != NULL) {
			cpu_kick(other);
			return;
		}
	}
}

/* How far a core's virtual time has come, as far as others can tell. */
static uint64_t frame_of(const struct cpu *cpu, uint64_t now)
{
	uint64_t load = __atomic_load_n(&cpu->load, __ATOMIC_RELAXED);
	int64_t since = (int64_t)(now - __atomic_load_n(&cpu->frame_tsc, __ATOMIC_RELAXED));

	return __atomic_load_n(&cpu->frame, __ATOMIC_RELAXED) +
	       (load != 0 && since > 0 ? (uint64_t)since * SCHED_WEIGHT_DEFAULT / load : 0);
}

/*
 * Those who share a heavier core fall behind those of a lighter one. The one that waits longest here goes where it makes the two
 * more alike; or if it makes them the other way round, or they lie far apart, when this core is behind: so they take turns. It takes the
 * difference with it as a start, and gets what it has missed. What goes beyond a slice's worth is forgotten.
 */
void sched_balance(struct cpu *cpu, uint64_t now_tsc)
{
	struct vcpu *v = container_of(cpu->loose.first, struct vcpu, run_node);
	int64_t limit = (int64_t)tsc_from_ns(SCHED_SLICE_NS), ahead, most = 0;
	struct cpu *best = NULL;

	cpu->balance_tsc = now_tsc + tsc_from_ns(SCHED_BALANCE_NS);
	for (uint32_t i = 1; i < cpu_count; i++) {
		struct cpu *other = cpu_table[(cpu->arch.id + i) % cpu_count];
		uint64_t load = other->load + v->weight;
		if (!sched_fits(other, v) || load > cpu->load + v->weight)
			continue;
		ahead = (int64_t)(frame_of(other, now_tsc) - cpu->frame);
		if (best == NULL || ahead > most) {
			best = other;
			most = ahead;
		}
	}
	if (best == NULL)
		return;
	ahead = most > limit ? limit : most < -limit ? -limit : most;
	cpu->frame_offset += most - ahead;
	uint64_t load = best->load + v->weight;
	if (load < cpu->load || (ahead > 0 && (load == cpu->load || ahead > limit / 2)))
		sched_give(cpu, v, best, ahead > 0 ? (uint64_t)ahead : 0, now_tsc);
}
