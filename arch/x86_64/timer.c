/* See timer.h. */
#include "arch/x86_64/timer.h"
#include "arch/x86_64/features.h"
#include "arch/x86_64/lapic.h"
#include "arch/x86_64/tsc.h"

#define MSR_TSC_DEADLINE 0x6E0u

void timer_init_core(unsigned vector)
{
	lapic_timer_setup(vector, cpu_features.tsc_deadline);
	if (cpu_features.tsc_deadline)
		wrmsr(MSR_TSC_DEADLINE, 0);
	else
		lapic_timer_start(0);
}

void timer_set_deadline_tsc(uint64_t tsc)
{
	if (cpu_features.tsc_deadline) {
		wrmsr(MSR_TSC_DEADLINE, tsc ? tsc : 1); /* 0 would disarm */
		return;
	}
	int64_t left = (int64_t)(tsc - rdtsc());
	/* One tick more, so that rounding never makes it early. */
	uint64_t ticks = left > 0 ? tsc_scale_by((uint64_t)left, tsc_scale.lapic_mul) + 1 : 1;

	lapic_timer_start(ticks < UINT32_MAX ? (uint32_t)ticks : UINT32_MAX);
}
