/* Stands in for the real header in the local APIC's unit tests: the time stamp counter is a variable. Found
 * by -iquote. */
#ifndef ARCH_X86_64_CPU_H
#define ARCH_X86_64_CPU_H

#include "arch/x86_64/types.h"

extern uint64_t fake_tsc;

static inline uint64_t rdtsc(void)
{
	return fake_tsc;
}

#endif
