/*
 * Time for the test guests: the TSC, measured once against the PIT. Emulators on a busy machine run late,
 * never early: tests hold lower bounds exactly and upper bounds loosely.
 */
#ifndef TESTS_GUEST_LIB_CLOCK_H
#define TESTS_GUEST_LIB_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

extern uint64_t clock_tsc_hz;

/* Measures clock_tsc_hz over 10 ms of PIT channel 2; 1 GHz where no PIT answers. */
void clock_init(void);

/* TSC value that lies this far ahead. */
uint64_t clock_after_us(uint64_t us);
bool clock_passed(uint64_t deadline_tsc);
uint64_t clock_us(uint64_t tsc_ticks);

void clock_delay_us(uint64_t us);

/*
 * Waits (PAUSE, interrupts as they are) until condition holds or the time is up; the value is the
 * condition's.
 */
#define CLOCK_WAIT(condition, timeout_us) \
	({ \
		uint64_t clock_deadline = clock_after_us(timeout_us); \
		bool clock_held; \
		while (!(clock_held = (condition)) && !clock_passed(clock_deadline)) \
			cpu_relax(); \
		clock_held || (condition); \
	})

#endif
