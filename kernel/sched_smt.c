/*
 * Core scheduling: hyper-threads of one core run guests' vCPUs of one VM only, or nothing. Service VMs' vCPUs are let in beside any.
 * The threads of a core share one word, in the first one's struct cpu: whose core it is, and how many threads run that VM. A thread that
 * is refused waits for the core: whoever has it then gives it up at the end of a slice, and is refused until that thread has had it.
 */
#include "kernel/sched.h"
#include "arch/x86_64/trap.h"
#include "kernel/vcpu.h"

#define INSIDE 0xFFull /* threads; the VM's id + 1 is above them */

bool sched_cores_are_one_vms;

static void kick_others(const struct cpu *cpu)
{
	for (uint32_t i = 0; i < cpu_count; i++)
		if (cpu_table[i] != cpu && cpu_table[i]->first_thread == cpu->first_thread)
			cpu_kick(cpu_table[i]);
}

static uint64_t word_when_inside(const struct cpu *cpu, const struct vcpu *v, uint64_t word)
{
	uint64_t vm = ((uint64_t)v->vm->id + 1) << 8;
	const struct cpu *waiter = __atomic_load_n(&cpu->first_thread->core_waiter, __ATOMIC_RELAXED);

	if (((word & INSIDE) != 0 && (word & ~INSIDE) != vm) || (waiter != NULL && waiter != cpu))
		return 0;
	return vm | ((word & INSIDE) + 1);
}

bool sched_core_enter(struct cpu *cpu, const struct vcpu *v)
{
	struct cpu *first = cpu->first_thread, *nobody = NULL;

	if (!sched_cores_are_one_vms || v->is_service)
		return true;
	uint64_t old = __atomic_load_n(&first->core_word, __ATOMIC_RELAXED), new;
	while ((new = word_when_inside(cpu, v, old)) != 0) {
		if (!__atomic_compare_exchange_n(&first->core_word, &old, new, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
			continue;
		cpu->has_core = true;
		sched_core_forget(cpu);
		return true;
	}
	(void)__atomic_compare_exchange_n(&first->core_waiter, &nobody, cpu, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
	kick_others(cpu);
	return false;
}

void sched_core_leave(struct cpu *cpu)
{
	cpu->has_core = false;
	if ((__atomic_fetch_sub(&cpu->first_thread->core_word, 1, __ATOMIC_ACQ_REL) & INSIDE) == 1)
		kick_others(cpu);
}

void sched_core_forget(struct cpu *cpu)
{
	struct cpu *waiter = cpu;

	if (cpu->first_thread != NULL &&
	    __atomic_compare_exchange_n(&cpu->first_thread->core_waiter, &waiter, NULL, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
		kick_others(cpu);
}

void sched_core_set(bool on)
{
	uint32_t threads = 1;

	while (threads < host_health.threads)
		threads *= 2;
	for (uint32_t i = 0; i < cpu_count; i++)
		for (uint32_t j = i + 1; j-- > 0;)
			if (cpu_table[j]->arch.apic_id / threads == cpu_table[i]->arch.apic_id / threads)
				cpu_table[i]->first_thread = cpu_table[j];
	__atomic_store_n(&sched_cores_are_one_vms, on, __ATOMIC_SEQ_CST);
	for (uint32_t i = 0; i < cpu_count; i++)
		cpu_kick(cpu_table[i]); /* who runs without having asked leaves its core */
}
