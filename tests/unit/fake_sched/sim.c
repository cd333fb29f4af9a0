/* See sim.h. The loop of each core does what cpu_loop does, with time that passes from one event of the machine to the next. */
#include "tests/unit/fake_sched/sim.h"

#include "arch/x86_64/lapic.h"
#include "kernel/virt_ops.h"

struct sim_vcpu **sim_vcpus;
unsigned sim_count;
uint64_t sim_now, sim_decisions, sim_blocks, sim_blocks_max, sim_idle_beside_waiting_max;

struct cpu *cpu_table[CPU_MAX], *fake_self;
uint32_t cpu_count;
struct vm *vm_list;
struct tsc_scale tsc_scale = { .hz = SECOND, .ns_mul = 1ull << 32, .tsc_mul = 1ull << 32 };
uint64_t fake_tsc;
struct hilum_host_health host_health = { .threads = 2 };

static struct queue sleepers;
static bool pending[CPU_MAX], looks[CPU_MAX]; /* kicks; idle cores that were woken */
static uint64_t idle_since[CPU_MAX], blocks, state = 0x9E3779B97F4A7C15ull;

uint64_t sim_random(uint64_t below)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return below != 0 ? state % below : state;
}

/* ---- What the scheduler calls ---- */

/* The compiler calls this in each basic block of what is built with -fsanitize-coverage=trace-pc. */
void __sanitizer_cov_trace_pc(void) __attribute__((no_sanitize_coverage));
void __sanitizer_cov_trace_pc(void)
{
	blocks++;
}

static void watch_pause(struct vcpu *v, bool watch)
{
	(void)v;
	(void)watch;
}
static struct virt_ops ops = { .watch_pause = watch_pause };
struct virt_ops *virt = &ops;

void lapic_send(uint32_t apic_id, uint32_t command)
{
	assert_int_equal(command, LAPIC_FIXED + CPU_IRQ_KICK);
	pending[apic_id] = true;
}

void cpu_timer_set(struct cpu *cpu, struct cpu_timer *timer, uint64_t deadline)
{
	queue_remove(&timer->node);
	queue_insert(&cpu->timers, &timer->node, deadline);
}

void vcpu_reload(struct vcpu *v)
{
	(void)v;
}

static void inbox_put(struct vcpu *v)
{
	if (!v->in_inbox) {
		v->in_inbox = 1;
		v->inbox_next = v->cpu->inbox;
		v->cpu->inbox = v;
	}
	pending[v->cpu->arch.id] = true;
}

void vcpu_move(struct vcpu *v, struct cpu *to)
{
	assert_ptr_not_equal(v, v->cpu->current);
	assert_ptr_not_equal(v->cpu, to);
	sched_remove(v->cpu, v);
	v->arrives = true;
	v->requests |= VCPU_REQUEST_SCHEDULE;
	v->stats.migrations++;
	v->cpu = to;
	inbox_put(v);
}

void vcpu_arrive(struct vcpu *v)
{
	v->arrives = false;
}

void vcpu_request(struct vcpu *v, uint32_t requests)
{
	v->requests |= requests;
	inbox_put(v);
}

/* ---- Cores ---- */

static struct sim_vcpu *of(struct vcpu *v)
{
	return container_of(v, struct sim_vcpu, v);
}

/* A measured call of the scheduler. */
#define DECIDE(call) \
	do { \
		uint64_t before = blocks; \
		call; \
		sim_decisions++; \
		sim_blocks += blocks - before; \
		sim_blocks_max = blocks - before > sim_blocks_max ? blocks - before : sim_blocks_max; \
	} while (0)

static void new_burst(struct sim_vcpu *s)
{
	s->left = s->burst != 0 ? 1 + sim_random(s->burst) : UINT64_MAX;
}

static void take_inbox(struct cpu *cpu)
{
	struct vcpu *v = cpu->inbox;

	cpu->inbox = NULL;
	looks[cpu->arch.id] = true;
	while (v != NULL) {
		struct vcpu *next = v->inbox_next;
		v->in_inbox = 0;
		if (v->cpu != cpu)
			inbox_put(v);
		else if (v == cpu->current)
			cpu->resched |= v->requests != 0;
		else
			DECIDE(sched_wake(cpu, v, sim_now));
		v = next;
	}
	DECIDE(sched_look(cpu));
}

static void choose(struct cpu *cpu)
{
	struct vcpu *v = cpu->current;

	cpu->current = NULL;
	cpu->resched = false;
	if (v != NULL && (v->state == VCPU_READY || v->requests != 0)) {
		of(v)->since = sim_now;
		DECIDE(sched_wake(cpu, v, sim_now));
	}
	sched_account(cpu, sim_now);
	DECIDE(v = sched_pick(cpu, sim_now));
	if (v == NULL)
		return;
	struct sim_vcpu *s = of(v);
	assert_true(v->state == VCPU_READY && sched_fits(cpu, v));
	if (v->cap.rate == 0 && sim_now - s->since > s->longest_wait)
		s->longest_wait = sim_now - s->since;
	cpu->current = v;
}

/* All that is to do at this moment. */
static void settle(void)
{
	bool busy = true;

	for (unsigned rounds = 0; busy; rounds++) {
		busy = false;
		assert_true(rounds < 1000);
		for (unsigned i = 0; i < cpu_count; i++) {
			struct cpu *cpu = fake_self = cpu_table[i];
			if (pending[i]) {
				pending[i] = false;
				take_inbox(cpu);
				busy = true;
			}
			if (cpu->resched || (cpu->current == NULL && looks[i])) {
				looks[i] = false;
				choose(cpu);
				busy |= cpu->current != NULL || cpu->resched;
			}
		}
	}
}

static uint64_t next_event(uint64_t end)
{
	for (unsigned i = 0; i < cpu_count; i++) {
		const struct cpu *cpu = cpu_table[i];
		if (cpu->timers.first != NULL && cpu->timers.first->key < end)
			end = cpu->timers.first->key;
		if (cpu->current != NULL && of(cpu->current)->left < end - sim_now)
			end = sim_now + of(cpu->current)->left;
	}
	if (sleepers.first != NULL && sleepers.first->key < end)
		end = sleepers.first->key;
	return end > sim_now ? end : sim_now;
}

/* Whether one waits elsewhere that core `i` might run. */
static bool waits_for(unsigned i)
{
	for (unsigned k = 0; k < cpu_count; k++)
		if (cpu_table[k]->loose.first != NULL &&
		    sched_fits(cpu_table[i], container_of(cpu_table[k]->loose.first, struct vcpu, run_node)))
			return true;
	return false;
}

static void check_threads(const struct cpu *cpu)
{
	const struct vcpu *a = cpu->current, *b = cpu->first_thread->current;

	assert_true(a == NULL || b == NULL || a->is_service || b->is_service || a->vm == b->vm);
}

static void pass_time(uint64_t to)
{
	for (unsigned i = 0; i < cpu_count && sched_cores_are_one_vms; i++)
		check_threads(cpu_table[i]);
	for (unsigned i = 0; i < cpu_count; i++) {
		struct vcpu *v = cpu_table[i]->current;
		if (v != NULL || !waits_for(i)) {
			idle_since[i] = to;
		} else if (to - idle_since[i] > sim_idle_beside_waiting_max) {
			sim_idle_beside_waiting_max = to - idle_since[i];
		}
		if (v == NULL || to == sim_now)
			continue;
		of(v)->ran += to - sim_now;
		of(v)->left -= to - sim_now;
		if (of(v)->log != NULL)
			of(v)->log(of(v), sim_now, to);
	}
	sim_now = fake_tsc = to;
}

static void take_events(void)
{
	for (unsigned i = 0; i < cpu_count; i++) {
		struct cpu *cpu = fake_self = cpu_table[i];
		if (cpu->timers.first != NULL && cpu->timers.first->key <= sim_now) {
			cpu_timer_cancel(&cpu->slice);
			cpu->resched = true;
		}
		if (cpu->current == NULL || of(cpu->current)->left != 0)
			continue;
		struct sim_vcpu *s = of(cpu->current);
		s->v.state = VCPU_HALTED;
		sched_guest_halts(&s->v);
		queue_insert(&sleepers, &s->wake, sim_now + 1 + sim_random(s->sleep));
		cpu->resched = true;
	}
	while (sleepers.first != NULL && sleepers.first->key <= sim_now) {
		struct sim_vcpu *s = container_of(sleepers.first, struct sim_vcpu, wake);
		queue_remove(&s->wake);
		new_burst(s);
		s->since = sim_now;
		s->v.state = VCPU_READY;
		fake_self = s->v.cpu;
		looks[fake_self->arch.id] = true;
		if (s->v.cpu->current != &s->v)
			DECIDE(sched_wake(s->v.cpu, &s->v, sim_now));
	}
}

void sim_run(uint64_t ticks)
{
	uint64_t end = sim_now + ticks;

	settle();
	while (sim_now < end) {
		pass_time(next_event(end));
		take_events();
		settle();
	}
}

/* ---- Setting up ---- */

void sim_start(unsigned cores)
{
	cpu_count = cores;
	sim_count = 0;
	sim_now = fake_tsc = SECOND;
	sched_idle_cores = sched_dedicated_cores = 0;
	sleepers = (struct queue){ 0 };
	for (unsigned i = 0; i < cores; i++) {
		cpu_table[i] = calloc(1, sizeof(struct cpu));
		cpu_table[i]->arch = (struct cpu_arch){ .id = i, .apic_id = i };
		pending[i] = false;
		looks[i] = true;
	}
	sched_cores_are_one_vms = false;
	sim_vcpus = calloc(10001, sizeof(*sim_vcpus));
	sim_measure();
}

void sim_end(void)
{
	while (vm_list != NULL) {
		struct vm *next = vm_list->next;
		free(vm_list);
		vm_list = next;
	}
	for (unsigned i = 0; i < sim_count; i++)
		free(sim_vcpus[i]);
	free(sim_vcpus);
	for (unsigned i = 0; i < cpu_count; i++)
		free(cpu_table[i]);
}

void sim_measure(void)
{
	sim_decisions = sim_blocks = sim_blocks_max = sim_idle_beside_waiting_max = 0;
	for (unsigned i = 0; i < cpu_count; i++)
		idle_since[i] = sim_now;
	for (unsigned i = 0; i < sim_count; i++)
		sim_vcpus[i]->ran = sim_vcpus[i]->longest_wait = 0;
}

struct sim_vcpu *sim_add(uint32_t weight, uint64_t core, uint32_t vm_flags, struct vm *vm)
{
	struct sim_vcpu *s = aligned_alloc(4096, sizeof(*s) + (4096 - sizeof(*s) % 4096) % 4096);

	memset(s, 0, offsetof(struct sim_vcpu, v.xsave));
	memset((uint8_t *)s + offsetof(struct sim_vcpu, v) + sizeof(s->v), 0, sizeof(*s) - offsetof(struct sim_vcpu, v) - sizeof(s->v));
	if (vm == NULL) {
		vm = calloc(1, sizeof(*vm));
		vm->id = sim_count;
		vm->flags = vm_flags;
		vm->next = vm_list;
		vm_list = vm;
	}
	s->v.vm = vm;
	while (vm->vcpu[s->v.index] != NULL)
		s->v.index++;
	vm->vcpu[s->v.index] = &s->v;
	assert_int_equal(sched_init_vcpu(&s->v, core, weight), STATUS_OK);
	s->since = sim_now;
	new_burst(s);
	sim_vcpus[sim_count++] = s;
	vcpu_request(&s->v, VCPU_REQUEST_SCHEDULE);
	return s;
}

enum status sim_set(struct sim_vcpu *s, const struct hilum_schedule *schedule)
{
	return sched_set(&s->v, schedule);
}
