/* The CPU's random numbers and clock, as a test says. */
#ifndef DRIVERS_VM_CONTROL_ENTROPY_CPU_H
#define DRIVERS_VM_CONTROL_ENTROPY_CPU_H

#include <stdbool.h>
#include <stdint.h>

enum entropy_cpu {
	ENTROPY_CPU_NONE,
	ENTROPY_CPU_RDRAND,
	ENTROPY_CPU_RDSEED,
};

extern enum entropy_cpu fake_cpu;
extern bool (*fake_word)(uint64_t *word);
extern uint64_t (*fake_tsc)(void);

static inline enum entropy_cpu entropy_cpu_find(void)
{
	return fake_cpu;
}

static inline bool entropy_cpu_word(enum entropy_cpu with, uint64_t *word)
{
	(void)with;
	return fake_word(word);
}

static inline uint64_t entropy_cpu_tsc(void)
{
	return fake_tsc();
}

#endif
