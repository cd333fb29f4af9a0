/*
 * The local APIC: EOI, self-IPI, timers, in either mode. Interrupts are on while these run.
 */
#include "tests/guest/bench/bench.h"
#include "tests/guest/lib/clock.h"
#include "tests/guest/lib/cpu.h"
#include "tests/guest/lib/lapic.h"
#include "tests/guest/lib/text.h"
#include "tests/guest/lib/trap.h"

#define VECTOR          0x41
#define ARMED_TICKS     100000
#define SPIN_LIMIT      100000000u
#define APIC_EOI_MMIO   (*(volatile uint32_t *)(LAPIC_BASE + LAPIC_EOI))
#define APIC_ICR_MMIO   (*(volatile uint32_t *)(LAPIC_BASE + LAPIC_ICR_LOW))
#define APIC_TPR_MMIO   (*(volatile uint32_t *)(LAPIC_BASE + LAPIC_TPR))
#define MSR_X2APIC_EOI  (MSR_X2APIC + LAPIC_EOI / 16)
#define MSR_X2APIC_SELF (MSR_X2APIC + LAPIC_SELF_IPI / 16)

static volatile unsigned taken;

static void take_only(struct trap_frame *f)
{
	(void)f;
	taken++;
}

static void take_and_eoi_mmio(struct trap_frame *f)
{
	(void)f;
	taken++;
	APIC_EOI_MMIO = 0;
}

static void take_and_eoi_msr(struct trap_frame *f)
{
	(void)f;
	taken++;
	wrmsr(MSR_X2APIC_EOI, 0);
}

/* Bounded, because an interrupt that never comes must not hang the bench. */
static void spin_until_taken(void)
{
	for (unsigned i = 0; !taken && i < SPIN_LIMIT; i++)
		compiler_barrier();
}

static void prepare_in_service(void)
{
	trap_set_handler(VECTOR, take_only);
	taken = 0;
	irq_enable();
	lapic_send(0, LAPIC_ICR_SELF | LAPIC_ICR_ASSERT | VECTOR);
	spin_until_taken();
}

static void op_eoi_mmio(void)
{
	APIC_EOI_MMIO = 0;
}

static void op_eoi_msr(void)
{
	wrmsr(MSR_X2APIC_EOI, 0);
}

static void prepare_self_ipi_mmio(void)
{
	trap_set_handler(VECTOR, take_and_eoi_mmio);
	taken = 0;
	irq_enable();
}

static void op_self_ipi_mmio(void)
{
	APIC_ICR_MMIO = LAPIC_ICR_SELF | LAPIC_ICR_ASSERT | VECTOR;
	spin_until_taken();
}

static void prepare_self_ipi_msr(void)
{
	trap_set_handler(VECTOR, take_and_eoi_msr);
	taken = 0;
	irq_enable();
}

static void op_self_ipi_msr(void)
{
	wrmsr(MSR_X2APIC_SELF, VECTOR);
	spin_until_taken();
}

static void op_tpr_mmio(void)
{
	APIC_TPR_MMIO = 0;
}

static void op_timer_set(void)
{
	lapic_write(LAPIC_TIMER_INITIAL, 0x7FFFFFFF);
}

static void prepare_timer_masked(void)
{
	lapic_write(LAPIC_LVT_TIMER, LAPIC_LVT_MASKED | VECTOR);
}

const struct bench_op bench_xapic_ops[] = {
	{ "eoi_mmio", op_eoi_mmio, prepare_in_service, NULL },
	{ "self_ipi", op_self_ipi_mmio, prepare_self_ipi_mmio, NULL },
	{ "tpr_mmio", op_tpr_mmio, NULL, NULL },
	{ "timer_initial_count_mmio", op_timer_set, prepare_timer_masked, NULL },
	{ NULL, NULL, NULL, NULL },
};

const struct bench_op bench_x2apic_ops[] = {
	{ "eoi_msr", op_eoi_msr, prepare_in_service, NULL },
	{ "self_ipi_msr", op_self_ipi_msr, prepare_self_ipi_msr, NULL },
	{ "timer_initial_count_msr", op_timer_set, prepare_timer_masked, NULL },
	{ NULL, NULL, NULL, NULL },
};

/*
 * One round of the TSC-deadline timer: arm, take, EOI. "immediate": a deadline that has passed; "armed": the
 * cost of arming plus what passes between the deadline and the end of the EOI.
 */
static uint64_t deadline_round(uint64_t ahead, uint64_t overhead)
{
	uint64_t start, armed, deadline, end;

	taken = 0;
	start = rdtsc();
	deadline = ahead ? start + ahead : 1;
	wrmsr(MSR_TSC_DEADLINE, deadline);
	armed = rdtsc();
	spin_until_taken();
	end = rdtsc();
	if (!ahead)
		return end - start - overhead;
	return (armed - start) + (end - deadline) - overhead;
}

static void deadline_report(const char *name, uint64_t ahead, unsigned count)
{
	uint64_t least = UINT64_MAX, sum = 0;

	for (unsigned i = 0; i < count; i++) {
		uint64_t ticks = deadline_round(ahead, bench_overhead());

		sum += ticks;
		least = ticks < least ? ticks : least;
	}
	bench_report(name, least, sum / count);
}

void bench_tsc_deadline(unsigned count)
{
	bool x2apic = guest_cpu_self()->x2apic;

	if (!lapic_has_tsc_deadline()) {
		text_print("SKIP tsc_deadline: not offered here\n");
		return;
	}
	trap_set_handler(VECTOR, x2apic ? take_and_eoi_msr : take_and_eoi_mmio);
	lapic_write(LAPIC_LVT_TIMER, LAPIC_TIMER_TSC_DEADLINE | VECTOR);
	irq_enable();
	deadline_report(x2apic ? "tsc_deadline_immediate_x2apic" : "tsc_deadline_immediate", 0, count);
	deadline_report(x2apic ? "tsc_deadline_x2apic" : "tsc_deadline", ARMED_TICKS, count);
	irq_disable();
	lapic_write(LAPIC_LVT_TIMER, LAPIC_LVT_MASKED | VECTOR);
}
