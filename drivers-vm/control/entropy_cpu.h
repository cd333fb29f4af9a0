/* The instructions behind drivers-vm/control/entropy.c, which its tests replace: RDSEED and RDRAND (SDM vol. 1, 7.3.17 Random Number
 * Generator Instructions), and the time stamp counter. */
#ifndef DRIVERS_VM_CONTROL_ENTROPY_CPU_H
#define DRIVERS_VM_CONTROL_ENTROPY_CPU_H

#include <stdbool.h>
#include <stdint.h>

enum entropy_cpu {
	ENTROPY_CPU_NONE,
	ENTROPY_CPU_RDRAND,
	ENTROPY_CPU_RDSEED,
};

#define ENTROPY_CPU_RDRAND_BIT 30u /* CPUID 1, ECX */
#define ENTROPY_CPU_RDSEED_BIT 18u /* CPUID 7, EBX */
#define ENTROPY_CPU_TRIES      1000u

static inline void entropy_cpu_id(uint32_t leaf, uint32_t r[4])
{
	__asm__ volatile("cpuid" : "=a"(r[0]), "=b"(r[1]), "=c"(r[2]), "=d"(r[3]) : "a"(leaf), "c"(0));
}

/* The better of those that the CPU has. */
static inline enum entropy_cpu entropy_cpu_find(void)
{
	uint32_t r[4];

	entropy_cpu_id(0, r);
	if (r[0] >= 7) {
		entropy_cpu_id(7, r);
		if (r[1] >> ENTROPY_CPU_RDSEED_BIT & 1)
			return ENTROPY_CPU_RDSEED;
	}
	entropy_cpu_id(1, r);
	return r[2] >> ENTROPY_CPU_RDRAND_BIT & 1 ? ENTROPY_CPU_RDRAND : ENTROPY_CPU_NONE;
}

/* False: the CPU has no number ready, time and again. */
static inline bool entropy_cpu_word(enum entropy_cpu with, uint64_t *word)
{
	uint8_t ok = 0;

	for (unsigned i = 0; i < ENTROPY_CPU_TRIES && !ok; i++) {
		if (with == ENTROPY_CPU_RDSEED)
			__asm__ volatile("rdseed %0; setc %1" : "=r"(*word), "=qm"(ok)::"cc");
		else
			__asm__ volatile("rdrand %0; setc %1" : "=r"(*word), "=qm"(ok)::"cc");
		if (!ok)
			__asm__ volatile("pause");
	}
	return ok;
}

static inline uint64_t entropy_cpu_tsc(void)
{
	uint32_t low, high;

	__asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
	return (uint64_t)high << 32 | low;
}

#endif
