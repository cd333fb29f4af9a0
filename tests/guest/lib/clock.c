/*
 * TSC frequency from PIT channel 2 (8254 datasheet, mode 0; gate and output at port 0x61).
 */
#include "tests/guest/lib/clock.h"
#include "tests/guest/lib/cpu.h"

#define PIT_HZ        1193182ull
#define PIT_CHANNEL2  0x42
#define PIT_CONTROL   0x43
#define PORT_61       0x61
#define PIT_TICKS     11932u /* 10 ms */
#define PIT_MAX_POLLS 4000000u
#define MEASUREMENTS  12

uint64_t clock_tsc_hz = 1000000000;

/* TSC ticks in PIT_TICKS of the PIT; 0 if there is none. */
static uint64_t measure(void)
{
	uint64_t start;
	unsigned polls = 0;

	outb(PORT_61, (inb(PORT_61) & 0xFC) | 0x01);
	outb(PIT_CONTROL, 0xB0);
	outb(PIT_CHANNEL2, (uint8_t)PIT_TICKS);
	outb(PIT_CHANNEL2, (uint8_t)(PIT_TICKS >> 8));
	start = rdtsc();
	/* No PIT: the port reads all ones at once. */
	if (inb(PORT_61) & 0x20)
		return 0;
	while (!(inb(PORT_61) & 0x20) && ++polls < PIT_MAX_POLLS)
		;
	return polls < PIT_MAX_POLLS ? rdtsc() - start : 0;
}

/*
 * The second shortest: a host that takes the CPU away makes measurements too long, often, or too short, when that falls between
 * the counter's start and the first reading, rarely.
 */
void clock_init(void)
{
	uint64_t sorted[MEASUREMENTS];

	for (unsigned n = 0; n < MEASUREMENTS; n++) {
		uint64_t ticks = measure();
		unsigned at = n;

		if (!ticks)
			return;
		for (; at > 0 && sorted[at - 1] > ticks; at--)
			sorted[at] = sorted[at - 1];
		sorted[at] = ticks;
	}
	clock_tsc_hz = sorted[1] * PIT_HZ / PIT_TICKS;
}

uint64_t clock_after_us(uint64_t us)
{
	return rdtsc() + us * (clock_tsc_hz / 1000) / 1000;
}

bool clock_passed(uint64_t deadline_tsc)
{
	return (int64_t)(rdtsc() - deadline_tsc) >= 0;
}

uint64_t clock_us(uint64_t tsc_ticks)
{
	return tsc_ticks * 1000 / (clock_tsc_hz / 1000);
}

void clock_delay_us(uint64_t us)
{
	uint64_t deadline = clock_after_us(us);

	while (!clock_passed(deadline))
		cpu_relax();
}
