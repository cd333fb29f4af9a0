/*
 * The APIC timer: one-shot, periodic, TSC-deadline (SDM vol. 3A, "APIC Timer"). Never early is exact; late is
 * up to the machine.
 */
#include "tests/guest/lapic/local.h"
#include "tests/guest/lib/clock.h"
#include "tests/guest/lib/cpu.h"
#include "tests/guest/lib/lapic.h"
#include "tests/guest/lib/test.h"
#include "tests/guest/lib/text.h"
#include "tests/guest/lib/trap.h"

#define VECTOR      0x7B
#define DIVIDE_BY_1 0xB
#define TICK_TICKS  200000 /* of the timer, divided by 1 */

/* Divide configuration values for 2^n. */
static const uint8_t divide_value[8] = { 0xB, 0x0, 0x1, 0x2, 0x3, 0x8, 0x9, 0xA };

static void timer_begin(uint32_t lvt)
{
	irq_disable();
	trap_irq_reset();
	lapic_write(LAPIC_TIMER_INITIAL, 0);
	lapic_write(LAPIC_TIMER_DIVIDE, DIVIDE_BY_1);
	lapic_write(LAPIC_LVT_TIMER, lvt);
}

static void timer_end(void)
{
	irq_disable();
	lapic_write(LAPIC_LVT_TIMER, LAPIC_LVT_MASKED | VECTOR);
	lapic_write(LAPIC_TIMER_INITIAL, 0);
}

/* A time stamp and the count at that moment: the pair read closest together of a few. */
static void timer_sample(uint64_t *tsc, uint32_t *count)
{
	uint64_t least = UINT64_MAX;

	for (unsigned i = 0; i < 8; i++) {
		uint64_t before = rdtsc();
		uint32_t c = lapic_read(LAPIC_TIMER_CURRENT);
		uint64_t after = rdtsc();

		if (after - before >= least)
			continue;
		least = after - before;
		*tsc = before + (after - before) / 2;
		*count = c;
	}
}

/* Timer ticks per second, undivided, measured over 5 ms. */
static uint64_t timer_hz(unsigned log2_divide)
{
	uint64_t t0, t1;
	uint32_t c0, c1;

	lapic_write(LAPIC_TIMER_DIVIDE, divide_value[log2_divide]);
	lapic_write(LAPIC_TIMER_INITIAL, 0xFFFFFFFF);
	timer_sample(&t0, &c0);
	clock_delay_us(5000);
	timer_sample(&t1, &c1);
	return ((uint64_t)(c0 - c1) << log2_divide) * (clock_tsc_hz / 1000) / (t1 - t0) * 1000;
}

void timer_dividers(void)
{
	uint64_t base;

	timer_begin(LAPIC_LVT_MASKED | VECTOR);
	base = timer_hz(0);
	CHECK(base > 1000000, "%lu Hz", base);
	for (unsigned n = 1; n < 8 && base; n++) {
		uint64_t hz = 0;
		bool close = false;

		for (unsigned attempt = 0; attempt < 5 && !close; attempt++) {
			hz = timer_hz(n);
			close = hz > base - base / 20 && hz < base + base / 20;
		}
		CHECK(close, "divided by %u the timer's clock is %lu Hz, not %lu", 1u << n, hz, base);
	}
	timer_end();
}

void timer_one_shot(void)
{
	uint64_t hz, start, earliest, end;

	timer_begin(LAPIC_LVT_MASKED | VECTOR);
	hz = timer_hz(0);
	REQUIRE(hz > 1000000, "%lu Hz", hz);
	timer_begin(VECTOR);
	irq_enable();
	start = rdtsc();
	lapic_write(LAPIC_TIMER_INITIAL, (uint32_t)(hz / 200));
	CHECK_EQ(lapic_read(LAPIC_TIMER_INITIAL), (uint32_t)(hz / 200));
	CHECK(CLOCK_WAIT(trap_irq_count(VECTOR), WAIT_US), "no interrupt");
	end = rdtsc();
	earliest = clock_tsc_hz / 200;
	CHECK(end - start > earliest - earliest / 20, "after %lu us, not 5000", clock_us(end - start));
	CHECK_EQ(lapic_read(LAPIC_TIMER_CURRENT), 0);
	clock_delay_us(20000);
	CHECK(trap_irq_count(VECTOR) == 1, "%u interrupts, not 1", trap_irq_count(VECTOR));
	timer_end();
}

void timer_periodic(void)
{
	uint64_t hz, start, end, least;

	timer_begin(LAPIC_LVT_MASKED | VECTOR);
	hz = timer_hz(0);
	timer_begin(LAPIC_TIMER_PERIODIC | VECTOR);
	irq_enable();
	start = rdtsc();
	lapic_write(LAPIC_TIMER_INITIAL, (uint32_t)(hz / 1000));
	CHECK(CLOCK_WAIT(trap_irq_count(VECTOR) >= 10, WAIT_US), "%u interrupts, not 10", trap_irq_count(VECTOR));
	end = rdtsc();
	/* Ticks may be late and even merge, but ten periods cannot take less than nine and a half. */
	least = clock_tsc_hz / 1000 * 19 / 2;
	CHECK(end - start > least, "10 ticks of 1 ms took %lu us", clock_us(end - start));
	lapic_write(LAPIC_TIMER_INITIAL, 0);
	clock_delay_us(QUIET_US);
	trap_irq_reset();
	clock_delay_us(QUIET_US);
	CHECK_EQ(trap_irq_count(VECTOR), 0);
	timer_end();
}

void timer_masked(void)
{
	timer_begin(LAPIC_LVT_MASKED | VECTOR);
	irq_enable();
	lapic_write(LAPIC_TIMER_INITIAL, TICK_TICKS);
	CHECK(CLOCK_WAIT(!lapic_read(LAPIC_TIMER_CURRENT), WAIT_US), "a masked timer does not count");
	clock_delay_us(QUIET_US);
	CHECK_EQ(trap_irq_count(VECTOR), 0);
	/* Unmasking after the end brings nothing. */
	lapic_write(LAPIC_LVT_TIMER, VECTOR);
	clock_delay_us(QUIET_US);
	CHECK_EQ(trap_irq_count(VECTOR), 0);
	timer_end();
}

void timer_stop(void)
{
	timer_begin(VECTOR);
	irq_enable();
	lapic_write(LAPIC_TIMER_INITIAL, 0x10000000);
	CHECK(lapic_read(LAPIC_TIMER_CURRENT) > 0, "the count is 0 at once");
	lapic_write(LAPIC_TIMER_INITIAL, 0);
	CHECK_EQ(lapic_read(LAPIC_TIMER_CURRENT), 0);
	clock_delay_us(QUIET_US);
	CHECK_EQ(trap_irq_count(VECTOR), 0);
	timer_end();
}

void timer_restart(void)
{
	uint32_t first, second;

	timer_begin(LAPIC_LVT_MASKED | VECTOR);
	lapic_write(LAPIC_TIMER_INITIAL, 0x70000000);
	clock_delay_us(1000);
	first = lapic_read(LAPIC_TIMER_CURRENT);
	lapic_write(LAPIC_TIMER_INITIAL, 0x7F000000);
	second = lapic_read(LAPIC_TIMER_CURRENT);
	CHECK(first < 0x70000000 && second > 0x70000000 && second <= 0x7F000000, "counts %x, %x", first, second);
	timer_end();
}

static bool without_deadline(void)
{
	if (lapic_has_tsc_deadline())
		return false;
	test_skip("no TSC-deadline timer");
	return true;
}

void timer_deadline(void)
{
	uint64_t deadline;

	if (without_deadline())
		return;
	timer_begin(LAPIC_TIMER_TSC_DEADLINE | VECTOR);
	irq_enable();
	for (unsigned i = 1; i <= 20; i++) {
		deadline = rdtsc() + clock_tsc_hz / 2000;
		wrmsr(MSR_TSC_DEADLINE, deadline);
		CHECK(rdmsr(MSR_TSC_DEADLINE) == deadline || trap_irq_count(VECTOR) == i, "the deadline reads back otherwise");
		REQUIRE(CLOCK_WAIT(trap_irq_count(VECTOR) == i, WAIT_US), "%u interrupts, not %u", trap_irq_count(VECTOR), i);
		CHECK(rdtsc() >= deadline, "early");
		CHECK_EQ(rdmsr(MSR_TSC_DEADLINE), 0);
	}
	timer_end();
}

void timer_deadline_past(void)
{
	if (without_deadline())
		return;
	timer_begin(LAPIC_TIMER_TSC_DEADLINE | VECTOR);
	irq_enable();
	for (unsigned i = 1; i <= 20; i++) {
		wrmsr(MSR_TSC_DEADLINE, i % 2 ? 1 : rdtsc() - 1000);
		REQUIRE(CLOCK_WAIT(trap_irq_count(VECTOR) == i, WAIT_US), "%u interrupts, not %u", trap_irq_count(VECTOR), i);
	}
	timer_end();
}

void timer_deadline_disarm(void)
{
	if (without_deadline())
		return;
	timer_begin(LAPIC_TIMER_TSC_DEADLINE | VECTOR);
	wrmsr(MSR_TSC_DEADLINE, rdtsc() + clock_tsc_hz);
	wrmsr(MSR_TSC_DEADLINE, 0);
	CHECK_EQ(rdmsr(MSR_TSC_DEADLINE), 0);
	irq_enable();
	clock_delay_us(QUIET_US);
	CHECK_EQ(trap_irq_count(VECTOR), 0);
	/* Masked: the time passes without an interrupt. */
	lapic_write(LAPIC_LVT_TIMER, LAPIC_LVT_MASKED | LAPIC_TIMER_TSC_DEADLINE | VECTOR);
	wrmsr(MSR_TSC_DEADLINE, rdtsc() + 1000);
	clock_delay_us(QUIET_US);
	CHECK_EQ(trap_irq_count(VECTOR), 0);
	timer_end();
}

void timer_deadline_modes(void)
{
	if (without_deadline())
		return;
	timer_begin(LAPIC_TIMER_TSC_DEADLINE | VECTOR);
	lapic_write(LAPIC_TIMER_INITIAL, 1000);
	CHECK_EQ(lapic_read(LAPIC_TIMER_CURRENT), 0);
	wrmsr(MSR_TSC_DEADLINE, rdtsc() + clock_tsc_hz);
	lapic_write(LAPIC_LVT_TIMER, VECTOR);
	lapic_write(LAPIC_LVT_TIMER, LAPIC_TIMER_TSC_DEADLINE | VECTOR);
	CHECK_EQ(rdmsr(MSR_TSC_DEADLINE), 0); /* leaving the mode disarms */
	lapic_write(LAPIC_LVT_TIMER, VECTOR);
	wrmsr(MSR_TSC_DEADLINE, rdtsc() + 1000);
	CHECK_EQ(rdmsr(MSR_TSC_DEADLINE), 0); /* ignored outside the mode */
	irq_enable();
	clock_delay_us(QUIET_US);
	CHECK_EQ(trap_irq_count(VECTOR), 0);
	timer_end();
}
