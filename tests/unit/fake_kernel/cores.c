/* The fake machine's cores: each runs the real main loop. */
#include "tests/unit/fake_kernel/machine.h"
#include "kernel/pveoi.h"

#define SPINS_MAX 1000000u

uint64_t (*fake_guest)(struct vcpu *v);
bool fake_others_are_late;
void (*fake_on_spin)(void);

static jmp_buf *way_out[CORES_MAX]; /* of the core's main loop while it is in it */
static unsigned entries_left[CORES_MAX], spins;

static unsigned id_of(const struct cpu *cpu)
{
	return cpu->arch.id;
}

void fake_become(unsigned id)
{
	fake_self = cpu_table[id];
}

static bool interrupt_pending(unsigned id)
{
	return fake_kick_pending[id] || (fake_deadline[id] != 0 && fake_deadline[id] <= fake_tsc);
}

static void take_interrupts(unsigned id)
{
	while (interrupt_pending(id)) {
		bool timer = fake_deadline[id] != 0 && fake_deadline[id] <= fake_tsc;
		if (timer)
			fake_deadline[id] = 0;
		else
			fake_kick_pending[id] = false;
		fake_irq[timer ? CPU_IRQ_TIMER : CPU_IRQ_KICK](timer ? CPU_IRQ_TIMER : CPU_IRQ_KICK);
	}
}

void fake_run(unsigned id, unsigned entries)
{
	struct cpu *self = fake_self;
	jmp_buf here;

	assert_null(way_out[id]);
	fake_become(id);
	take_interrupts(id);
	way_out[id] = &here;
	entries_left[id] = entries;
	if (setjmp(here) == 0)
		cpu_loop(fake_self);
	way_out[id] = NULL;
	fake_self = self;
}

_Noreturn static void leave(struct cpu *cpu)
{
	cpu->epoch++;
	longjmp(*way_out[id_of(cpu)], 1);
}

void fake_others_run(void)
{
	struct cpu *self = fake_self;

	if (fake_on_spin != NULL)
		fake_on_spin();
	if (++spins > SPINS_MAX)
		fail_msg("core %u spins for ever", id_of(self));
	for (unsigned i = 0; i < cpu_count; i++) {
		if (cpu_table[i] == self || way_out[i] != NULL)
			continue;
		if (!fake_others_are_late)
			fake_run(i, 1);
		cpu_table[i]->epoch++;
	}
	fake_self = self;
}

static bool core_has_work(unsigned id)
{
	struct cpu *cpu = cpu_table[id];

	return interrupt_pending(id) || cpu->next != NULL || cpu->fair.first != NULL || cpu->loose.first != NULL ||
	       cpu->realtime.first != NULL;
}

void fake_settle(void)
{
	for (unsigned round = 0, busy = 1; busy; round++) {
		busy = 0;
		for (unsigned i = 0; i < cpu_count; i++)
			if (core_has_work(i)) {
				fake_run(i, 100);
				busy = 1;
			}
		if (round > 1000)
			fail_msg("the machine does not settle");
	}
	spins = 0;
}

void fake_advance(uint64_t ticks)
{
	struct cpu *self = fake_self;
	uint64_t end = fake_tsc + ticks;

	for (;;) {
		unsigned first = cpu_count;
		for (unsigned i = 0; i < cpu_count; i++)
			if (fake_deadline[i] != 0 && fake_deadline[i] <= end &&
			    (first == cpu_count || fake_deadline[i] < fake_deadline[first]))
				first = i;
		if (first == cpu_count)
			break;
		if (fake_deadline[first] > fake_tsc)
			fake_tsc = fake_deadline[first];
		fake_become(first);
		take_interrupts(first);
	}
	fake_tsc = end;
	fake_self = self;
}

/* Let the guest have its ticks, or as many as there are before the core's timer. */
static void pass_time(unsigned id, uint64_t ticks)
{
	if (fake_deadline[id] != 0 && fake_deadline[id] > fake_tsc && fake_deadline[id] - fake_tsc < ticks)
		ticks = fake_deadline[id] - fake_tsc;
	fake_tsc += ticks;
}

void fake_after_exit(struct vcpu *v, uint64_t ticks)
{
	struct cpu *cpu = v->cpu;
	unsigned id = id_of(cpu);

	pass_time(id, ticks);
	pveoi_after_exit(v);
	take_interrupts(id);
	if (--entries_left[id] != 0)
		return;
	cpu->current = NULL; /* as the main loop does */
	if ((v->state == VCPU_READY && !v->stopped) || v->requests != 0)
		sched_wake(cpu, v, fake_tsc);
	leave(cpu);
}

void fake_idle(struct cpu *cpu)
{
	if (!interrupt_pending(id_of(cpu)))
		leave(cpu);
	take_interrupts(id_of(cpu));
}

void fake_cores_boot(unsigned cores)
{
	assert_true(cores <= CORES_MAX);
	fake_guest = NULL;
	fake_others_are_late = false;
	spins = 0;
	cpu_count = cores;
	sched_idle_cores = sched_dedicated_cores = 0;
	for (unsigned i = 0; i < cores; i++) {
		cpu_table[i] = calloc(1, sizeof(struct cpu));
		cpu_table[i]->arch = (struct cpu_arch){ .id = i, .apic_id = i };
		way_out[i] = NULL;
	}
	cpu_init_interrupts();
	fake_become(0);
}

void fake_cores_end(void)
{
	for (unsigned i = 0; i < cpu_count; i++) {
		assert_null(cpu_table[i]->timers.first == &cpu_table[i]->slice.node ? NULL : cpu_table[i]->timers.first);
		assert_null(cpu_table[i]->fair.first);
		assert_null(cpu_table[i]->loose.first);
		assert_null(cpu_table[i]->refills.first);
		assert_int_equal(cpu_table[i]->waiting, 0);
		assert_int_equal(cpu_table[i]->reserved, 0);
		assert_null(cpu_table[i]->realtime.first);
		free(cpu_table[i]);
		cpu_table[i] = NULL;
	}
	cpu_count = 0;
	fake_self = NULL;
}
