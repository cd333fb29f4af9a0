/* See timer.h. */
#include "arch/x86_64/timer.h"
#include "arch/x86_64/features.h"
#include "arch/x86_64/lapic.h"
#include "arch/x86_64/lapic_registers.h"
#include "arch/x86_64/tsc.h"

#define TICK_NS_MIN	 50000ull
#define TICK_NS_MAX	 1000000ull

void timer_init_core(unsigned vector)
{
	lapic_timer_setup(vector, cpu_features.tsc_deadline);
	if (cpu_features.tsc_deadline)
		wrmsr(MSR_IA32_TSC_DEADLINE, 0);
	else
		lapic_timer_start(0);
}

bool timer_set_ticking(bool on)
{
	struct cpu_arch *cpu = cpu_arch_self();

	if (!cpu_features.tcg || cpu_features.tsc_deadline || cpu->timer_ticks == on)
		return false;
	cpu->timer_ticks = on;
	lapic_timer_start(UINT32_MAX); /* a short count must never become a period: QEMU would make up for each one that passes */
	lapic_timer_set_periodic(on);
	return true;
}

void timer_set_deadline_tsc(uint64_t tsc)
{
	if (cpu_features.tsc_deadline) {
		wrmsr(MSR_IA32_TSC_DEADLINE, tsc ? tsc : 1); /* 0 would disarm */
		return;
	}
	int64_t left = (int64_t)(tsc - rdtsc());
	if (unlikely(cpu_arch_self()->timer_ticks)) {
		int64_t least = (int64_t)tsc_from_ns(TICK_NS_MIN), most = (int64_t)tsc_from_ns(TICK_NS_MAX);
		left = left < least ? least : left > most ? most : left;
	}
	/* One tick more, so that rounding never makes it early. */
	uint64_t ticks = left > 0 ? tsc_scale_by((uint64_t)left, tsc_scale.lapic_mul) + 1 : 1;

	lapic_timer_start(ticks < UINT32_MAX ? (uint32_t)ticks : UINT32_MAX);
}
