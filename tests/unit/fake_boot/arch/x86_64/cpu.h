/* Stands in for the real header in boot's and arch's unit tests: one core, a clock and I/O ports made of
 * variables and functions that each test defines. Found by -iquote. */
#ifndef ARCH_X86_64_CPU_H
#define ARCH_X86_64_CPU_H

#include "arch/x86_64/layout.h"
#include "arch/x86_64/status.h"

struct cpu_arch {
	cpu_id_t id;
	uint8_t lock_rank;
};

extern struct cpu_arch fake_cpu;
extern uint64_t fake_cr3;

uint64_t rdtsc(void);
uint8_t inb(uint16_t port);
uint32_t inl(uint16_t port);
void outb(uint16_t port, uint8_t v);

static inline struct cpu_arch *cpu_arch_self(void)
{
	return &fake_cpu;
}

static inline uint64_t cpu_read_cr3(void)
{
	return fake_cr3;
}

static inline void cpu_flush_line(const void *p)
{
	(void)p;
}

static inline void cpu_pause(void)
{
}

#endif
