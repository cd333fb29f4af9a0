/*
 * Measures the TSC against a clock of known rate. See tsc.h.
 * ACPI 6.5, 4.8.3.3 Power Management Timer; IA-PC HPET 1.0a, 2.3.4.
 */
#include "arch/x86_64/tsc.h"
#include "arch/x86_64/acpi.h"
#include "arch/x86_64/lapic.h"
#include "arch/x86_64/log.h"
#include "arch/x86_64/panic.h"

sealed struct tsc_scale tsc_scale;

#define HPET_CAPABILITIES 0x00u
#define HPET_CONFIG       0x10u
#define HPET_COUNTER      0xF0u
#define HPET_PERIOD_MAX   100000000u /* femtoseconds */
#define PM_TIMER_HZ       3579545u

#define SAMPLE_TRIES      8u
#define WINDOW_PER_SECOND 40u /* measure for 25 ms: far below any clock's period */

/* A counter beside the TSC: the reference, whose rate is known, or the local APIC's timer. */
struct clock {
	const char *name;
	uint64_t (*read)(void);
	uint64_t mask, hz;
	uint64_t value, at_tsc;      /* the last reading */
	uint64_t passed, passed_tsc; /* between the last two */
};

static volatile uint8_t *hpet_registers;
static uint16_t pm_timer_port;

static uint64_t read_hpet(void)
{
	return *(volatile uint32_t *)(hpet_registers + HPET_COUNTER);
}

static uint64_t read_pm_timer(void)
{
	return inl(pm_timer_port);
}

static uint64_t read_lapic(void)
{
	return UINT32_MAX - lapic_timer_count();
}

static uint64_t mul_div(uint64_t a, uint64_t b, uint64_t divisor)
{
	uint64_t low, high;

	__asm__("mulq %3" : "=a"(low), "=d"(high) : "a"(a), "r"(b));
	assert(high < divisor);
	__asm__("divq %2" : "+a"(low), "+d"(high) : "r"(divisor));
	return low;
}

/* Reads the clock: the reading among a few that took the TSC the least time, so that an interruption between
 * the two does not count. */
static void clock_read(struct clock *c)
{
	uint64_t best = UINT64_MAX, value = 0, at_tsc = 0;

	for (uint32_t i = 0; i < SAMPLE_TRIES; i++) {
		uint64_t before = tsc_read_ordered();
		uint64_t v = c->read();
		uint64_t took = tsc_read_ordered() - before;

		if (took >= best)
			continue;
		best = took;
		value = v;
		at_tsc = before + took / 2;
	}
	c->passed = (value - c->value) & c->mask;
	c->passed_tsc = at_tsc - c->at_tsc;
	c->value = value;
	c->at_tsc = at_tsc;
}

/* A clock that stands still is no reference. */
static bool clock_counts(const struct clock *c)
{
	uint64_t start = c->read();

	for (uint32_t round = 0; round < 100000; round++)
		if (c->read() != start)
			return true;
	log_warn("%s does not count", c->name);
	return false;
}

static bool hpet_start(volatile void *registers, struct clock *c)
{
	hpet_registers = registers;
	uint32_t period = *(volatile uint32_t *)(hpet_registers + HPET_CAPABILITIES + 4);

	if (!period || period > HPET_PERIOD_MAX)
		return false;
	*c = (struct clock){ .name = "HPET", .read = read_hpet, .mask = UINT32_MAX, .hz = 1000000000000000ull / period };
	*(volatile uint32_t *)(hpet_registers + HPET_CONFIG) |= 1;
	return clock_counts(c);
}

static bool pm_timer_start(const struct acpi_info *acpi, struct clock *c)
{
	pm_timer_port = acpi->pm_timer;
	*c = (struct clock){
		.name = "ACPI PM timer", .read = read_pm_timer, .mask = acpi->pm_timer_32bit ? UINT32_MAX : 0xFFFFFF, .hz = PM_TIMER_HZ
	};
	return clock_counts(c);
}

static void set_scales(uint64_t hz, uint64_t lapic_hz)
{
	tsc_scale.hz = hz;
	tsc_scale.lapic_hz = lapic_hz;
	tsc_scale.ns_mul = mul_div(1000000000, 1ull << TSC_SCALE_SHIFT, hz);
	tsc_scale.tsc_mul = mul_div(hz, 1ull << TSC_SCALE_SHIFT, 1000000000);
	tsc_scale.lapic_mul = mul_div(lapic_hz, 1ull << TSC_SCALE_SHIFT, hz);
}

void tsc_calibrate(const struct acpi_info *acpi, volatile void *hpet)
{
	struct clock clock, lapic = { .read = read_lapic, .mask = UINT32_MAX };

	if (!(hpet && hpet_start(hpet, &clock)) && !(acpi->pm_timer && pm_timer_start(acpi, &clock)))
		boot_refuse("no working clock: neither HPET nor ACPI PM timer counts");
	lapic_timer_setup(0, 0);
	lapic_timer_start(UINT32_MAX);
	clock_read(&clock);
	clock_read(&lapic);
	while (((clock.read() - clock.value) & clock.mask) < clock.hz / WINDOW_PER_SECOND)
		cpu_pause();
	clock_read(&clock);
	clock_read(&lapic);
	lapic_timer_start(0);
	uint64_t hz = mul_div(clock.passed_tsc, clock.hz, clock.passed);

	if (hz < 1000000)
		boot_refuse("the time stamp counter runs at %lu Hz, which cannot be right", hz);
	set_scales(hz, mul_div(lapic.passed, hz, lapic.passed_tsc));
	log_info("TSC %lu.%03lu MHz, local APIC timer %lu.%03lu MHz, by %s", hz / 1000000, hz / 1000 % 1000, tsc_scale.lapic_hz / 1000000,
	         tsc_scale.lapic_hz / 1000 % 1000, clock.name);
}

void tsc_delay_us(uint64_t us)
{
	uint64_t end = rdtsc() + tsc_from_ns(us * 1000);

	while ((int64_t)(end - rdtsc()) > 0)
		cpu_pause();
}
