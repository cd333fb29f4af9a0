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

uint64_t clock_tsc_hz = 1000000000;

void clock_init(void)
{
	uint64_t start, end;
	unsigned polls = 0;

	outb(PORT_61, (inb(PORT_61) & 0xFC) | 0x01);
	outb(PIT_CONTROL, 0xB0);
	outb(PIT_CHANNEL2, (uint8_t)PIT_TICKS);
	outb(PIT_CHANNEL2, (uint8_t)(PIT_TICKS >> 8));
	start = rdtsc();
	/* No PIT: the port reads all ones at once. */
	if (inb(PORT_61) & 0x20)
		return;
	while (!(inb(PORT_61) & 0x20) && ++polls < PIT_MAX_POLLS)
		;
	end = rdtsc();
	if (polls < PIT_MAX_POLLS)
		clock_tsc_hz = (end - start) * PIT_HZ / PIT_TICKS;
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
