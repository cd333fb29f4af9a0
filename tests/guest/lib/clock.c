/*
 * TSC frequency from PIT channel 2 (8254 datasheet, mode 0; gate at port 0x61), read by the counter latch command.
 */
#include "tests/guest/lib/clock.h"
#include "tests/guest/lib/cpu.h"

#define PIT_HZ        1193182ull
#define PIT_CHANNEL2  0x42
#define PIT_CONTROL   0x43
#define PORT_61       0x61
#define PIT_TICKS     11932u /* 10 ms */
#define PIT_MAX_POLLS 100000u
#define SAMPLES       8
#define MEASUREMENTS  5

uint64_t clock_tsc_hz = 1000000000;

/* The counter, and the TSC when it was latched: the sample that took the shortest of some, as the host may take the CPU away. */
static uint16_t sample(uint64_t *tsc)
{
	uint64_t shortest = UINT64_MAX;
	uint16_t count = 0;

	for (unsigned n = 0; n < SAMPLES; n++) {
		uint64_t before = rdtsc(), after;
		uint16_t now;

		outb(PIT_CONTROL, 0x80);
		after = rdtsc();
		now = inb(PIT_CHANNEL2);
		now |= (uint16_t)(inb(PIT_CHANNEL2) << 8);
		if (after - before >= shortest)
			continue;
		shortest = after - before;
		*tsc = before + shortest / 2;
		count = now;
	}
	return count;
}

/* The TSC's frequency by some 10 ms of the PIT; 0 if there is none. */
static uint64_t measure(void)
{
	uint64_t start, end;
	uint16_t first, last;
	unsigned polls = 0;

	if (inb(PORT_61) == 0xFF) /* nobody is there */
		return 0;
	outb(PORT_61, (inb(PORT_61) & 0xFC) | 0x01);
	outb(PIT_CONTROL, 0xB0);
	outb(PIT_CHANNEL2, 0xFF);
	outb(PIT_CHANNEL2, 0xFF);
	first = sample(&start);
	do
		last = sample(&end);
	while ((uint16_t)(first - last) < PIT_TICKS && ++polls < PIT_MAX_POLLS);
	return polls < PIT_MAX_POLLS ? (end - start) * PIT_HZ / (uint16_t)(first - last) : 0;
}

/* The median: where the host was away for longer than the counter lasts, a measurement is far off. */
void clock_init(void)
{
	uint64_t sorted[MEASUREMENTS];

	for (unsigned n = 0; n < MEASUREMENTS; n++) {
		uint64_t hz = measure();
		unsigned at = n;

		if (!hz)
			return;
		for (; at > 0 && sorted[at - 1] > hz; at--)
			sorted[at] = sorted[at - 1];
		sorted[at] = hz;
	}
	clock_tsc_hz = sorted[MEASUREMENTS / 2];
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
