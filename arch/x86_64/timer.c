/* See timer.h. */
#include "arch/x86_64/timer.h"
#include "arch/x86_64/features.h"
#include "arch/x86_64/lapic.h"
#include "arch/x86_64/lapic_registers.h"
#include "arch/x86_64/tsc.h"

/* Of a ticking timer. A period that is too short never ends under QEMU, which makes up for each one that passes. */
#define TICK_NS_MIN 50000ull
#define TICK_NS_MAX 2000000ull

/* Under QEMU's TCG: see timer.h. */
static bool timer_ticks(void)
{
	return cpu_features.tcg && !cpu_features.tsc_deadline;
}

void timer_init_core(unsigned vector)
{
	lapic_timer_setup(vector, cpu_features.tsc_deadline ? APIC_LVT_TIMER_DEADLINE : timer_ticks() ? APIC_LVT_TIMER_PERIODIC : 0);
	timer_set_deadline_tsc(TIMER_NEVER);
}

void timer_set_deadline_tsc(uint64_t tsc)
{
	if (cpu_features.tsc_deadline) {
		wrmsr(MSR_IA32_TSC_DEADLINE, tsc ? tsc : 1); /* 0 would disarm */
		return;
	}
	int64_t left = (int64_t)(tsc - rdtsc());
	if (timer_ticks()) {
		int64_t least = (int64_t)tsc_from_ns(TICK_NS_MIN), most = (int64_t)tsc_from_ns(TICK_NS_MAX);
		left = left < least ? least : left > most ? most : left;
	}
	/* One tick more, so that rounding never makes it early. */
	uint64_t ticks = left > 0 ? tsc_scale_by((uint64_t)left, tsc_scale.lapic_mul) + 1 : 1;

	lapic_timer_start(ticks < UINT32_MAX ? (uint32_t)ticks : UINT32_MAX);
}
