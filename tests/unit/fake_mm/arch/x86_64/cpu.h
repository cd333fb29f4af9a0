/* One core without privileged instructions: they are counted instead. Stands in for the real header by
 * include order. */
#ifndef ARCH_X86_64_CPU_H
#define ARCH_X86_64_CPU_H

#include "arch/x86_64/layout.h"
#include "arch/x86_64/status.h"

struct cpu_arch {
	cpu_id_t id;
	uint8_t lock_rank;
};

extern __thread struct cpu_arch fake_cpu; /* each thread of a test is a core */
extern uint64_t fake_cr3, fake_invlpg_count, fake_invlpg_last;

static inline struct cpu_arch *cpu_arch_self(void)
{
	return &fake_cpu;
}

static inline void cpu_flush_line(const void *p)
{
	(void)p;
}

static inline void cpu_pause(void)
{
}

static inline void cpu_invlpg(uint64_t va)
{
	fake_invlpg_count++;
	fake_invlpg_last = va;
}

static inline void cpu_write_cr3(uint64_t value)
{
	fake_cr3 = value;
}

#endif
