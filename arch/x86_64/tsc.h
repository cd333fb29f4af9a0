/* Time: the TSC's measured rate and conversions. CPUID's own figure (leaf 15h) is not trusted. */
#ifndef ARCH_X86_64_TSC_H
#define ARCH_X86_64_TSC_H

#include "arch/x86_64/cpu.h"

struct acpi_info;

/* Read-only after tsc_calibrate. ns = (tsc * mul) >> shift, both ways with the 128-bit product. */
struct tsc_scale {
	uint64_t hz;
	uint64_t lapic_hz;                   /* of the local APIC's timer at divide by 1 */
	uint64_t ns_mul, tsc_mul, lapic_mul; /* tsc->ns, ns->tsc, tsc->lapic ticks; all >> TSC_SCALE_SHIFT */
};

#define TSC_SCALE_SHIFT 32u

extern struct tsc_scale tsc_scale;

/*
 * Measures TSC and local APIC timer against HPET (`hpet`: its registers or NULL), where that does not count against the ACPI PM timer.
 * Once, on the boot core, interrupts off.
 */
void tsc_calibrate(const struct acpi_info *acpi, volatile void *hpet);

static inline uint64_t tsc_hz(void)
{
	return tsc_scale.hz;
}

static inline uint64_t tsc_scale_by(uint64_t value, uint64_t mul)
{
	return (uint64_t)((unsigned __int128)value * mul >> TSC_SCALE_SHIFT);
}

static inline uint64_t tsc_to_ns(uint64_t tsc)
{
	return tsc_scale_by(tsc, tsc_scale.ns_mul);
}

static inline uint64_t tsc_from_ns(uint64_t ns)
{
	return tsc_scale_by(ns, tsc_scale.tsc_mul);
}

/* Not before earlier loads, not after later ones. */
static inline uint64_t tsc_read_ordered(void)
{
	__asm__ volatile("lfence" ::: "memory");
	return rdtsc();
}

/* Busy-waits. */
void tsc_delay_us(uint64_t us);

#endif
