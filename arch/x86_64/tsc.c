/*
 * Measures the TSC against whatever independent clocks the machine has. See tsc.h.
 * ACPI 6.5, 4.8.3.3 Power Management Timer; IA-PC HPET 1.0a, 2.3.4.
 */
#include "arch/x86_64/tsc.h"
#include "arch/x86_64/acpi.h"
#include "arch/x86_64/lapic.h"
#include "arch/x86_64/log.h"
#include "arch/x86_64/panic.h"

struct tsc_scale tsc_scale;

#define HPET_CAPABILITIES 0x00u
#define HPET_CONFIG	  0x10u
#define HPET_COUNTER	  0xF0u
#define HPET_PERIOD_MAX	  100000000u /* femtoseconds */
#define PM_TIMER_HZ	  3579545u

#define SAMPLE_TRIES	  8u
#define WINDOW_PER_SECOND 40u /* measure for 25 ms: far below either clock's period */
#define ATTEMPTS	  3u
#define TOLERANCE	  200u /* references agree within 1/200 */

struct reference {
	const char *name;
	uint64_t hz, mask;
	uint64_t (*read)(void);
	uint64_t first, first_tsc;
	uint64_t measured_hz; /* of the TSC */
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

static uint64_t mul_div(uint64_t a, uint64_t b, uint64_t divisor)
{
	uint64_t low, high;

	__asm__("mulq %3" : "=a"(low), "=d"(high) : "a"(a), "r"(b));
	assert(high < divisor);
	__asm__("divq %2" : "+a"(low), "+d"(high) : "r"(divisor));
	return low;
}

/* The reading among a few that took the TSC the least time, so that an interruption between the two does not
 * count. */
static uint64_t sample(uint64_t (*read)(void), uint64_t *tsc)
{
	uint64_t best = UINT64_MAX, value = 0;

	*tsc = 0;
	for (uint32_t i = 0; i < SAMPLE_TRIES; i++) {
		uint64_t before = tsc_read_ordered();
		uint64_t v = read();
		uint64_t after = tsc_read_ordered();

		if (after - before >= best)
			continue;
		best = after - before;
		value = v;
		*tsc = before + best / 2;
	}
	return value;
}

/* A clock that stands still is no reference. */
static uint32_t add_reference(struct reference *refs, uint32_t count, const struct reference *added)
{
	uint64_t start = added->read();

	for (uint32_t round = 0; round < 100000; round++) {
		if (added->read() != start) {
			refs[count] = *added;
			return count + 1;
		}
	}
	log_warn("%s does not count", added->name);
	return count;
}

static uint32_t find_references(struct reference *refs, const struct acpi_info *acpi, volatile void *hpet)
{
	struct reference by_hpet = {.name = "HPET", .mask = UINT32_MAX, .read = read_hpet};
	const struct reference by_pm_timer = {
		.name = "ACPI PM timer",
		.hz = PM_TIMER_HZ,
		.mask = acpi->pm_timer_32bit ? UINT32_MAX : 0xFFFFFF,
		.read = read_pm_timer,
	};
	uint32_t n = 0;

	if (hpet) {
		hpet_registers = hpet;
		uint32_t period = *(volatile uint32_t *)(hpet_registers + HPET_CAPABILITIES + 4);

		*(volatile uint32_t *)(hpet_registers + HPET_CONFIG) |= 1;
		by_hpet.hz = period && period <= HPET_PERIOD_MAX ? 1000000000000000ull / period : 0;
		if (by_hpet.hz)
			n = add_reference(refs, n, &by_hpet);
	}
	if (acpi->pm_timer.base && acpi->pm_timer.space == 1 && acpi->pm_timer.base <= 0xFFFC) {
		pm_timer_port = (uint16_t)acpi->pm_timer.base;
		n = add_reference(refs, n, &by_pm_timer);
	}
	return n;
}

static uint64_t read_lapic(void)
{
	return lapic_timer_count();
}

static void measure(struct reference *refs, uint32_t count, uint64_t *lapic_ticks, uint64_t *lapic_tsc)
{
	uint64_t start_tsc, end_tsc, start, end, now;

	lapic_timer_setup(0, false);
	lapic_timer_start(UINT32_MAX);
	for (uint32_t i = 0; i < count; i++)
		refs[i].first = sample(refs[i].read, &refs[i].first_tsc);
	start = sample(read_lapic, &start_tsc);
	while (((refs[0].read() - refs[0].first) & refs[0].mask) < refs[0].hz / WINDOW_PER_SECOND)
		cpu_pause();
	end = sample(read_lapic, &end_tsc);
	lapic_timer_start(0);
	*lapic_ticks = start - end;
	*lapic_tsc = end_tsc - start_tsc;
	for (uint32_t i = 0; i < count; i++) {
		uint64_t ticks = (sample(refs[i].read, &now) - refs[i].first) & refs[i].mask;

		refs[i].measured_hz = ticks ? mul_div(now - refs[i].first_tsc, refs[i].hz, ticks) : 0;
	}
}

static bool agree(uint64_t a, uint64_t b)
{
	return (a > b ? a - b : b - a) <= b / TOLERANCE;
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
	struct reference refs[2];
	uint32_t count = find_references(refs, acpi, hpet);
	uint64_t ticks, ticks_tsc, hz = 0, other = 0;

	if (!count)
		boot_refuse("no working clock: neither HPET nor ACPI PM timer counts");
	for (uint32_t attempt = 0; attempt < ATTEMPTS && (!attempt || !agree(hz, other)); attempt++) {
		measure(refs, count, &ticks, &ticks_tsc);
		hz = refs[0].measured_hz;
		other = refs[count - 1].measured_hz;
	}
	if (!agree(hz, other))
		log_warn("by the %s the TSC runs at %lu kHz, not %lu", refs[1].name, other / 1000, hz / 1000);
	if (hz < 1000000)
		boot_refuse("the time stamp counter runs at %lu Hz, which cannot be right", hz);
	set_scales(hz, mul_div(ticks, hz, ticks_tsc));
	log_info("TSC %lu.%03lu MHz, local APIC timer %lu.%03lu MHz, by %s", hz / 1000000, hz / 1000 % 1000,
		 tsc_scale.lapic_hz / 1000000, tsc_scale.lapic_hz / 1000 % 1000, refs[0].name);
}

void tsc_delay_us(uint64_t us)
{
	uint64_t end = rdtsc() + tsc_from_ns(us * 1000);

	while ((int64_t)(end - rdtsc()) > 0)
		cpu_pause();
}
