/*
 * The cores as the tests of kernel/ see them: plain variables instead of privileged instructions, and a test chooses which core it
 * is. Stands in for the real header by include order.
 */
#ifndef ARCH_X86_64_CPU_H
#define ARCH_X86_64_CPU_H

#include "arch/x86_64/desc.h"
#include "arch/x86_64/layout.h"
#include "arch/x86_64/status.h"

struct cpu;

struct cpu_arch {
	cpu_id_t id;
	uint32_t apic_id;
	uint8_t lock_rank, spec_ctrl;
	struct desc_tables *desc;
};

struct cpuid_regs {
	uint32_t eax, ebx, ecx, edx;
};

extern struct cpu *fake_self;
extern uint64_t fake_tsc, fake_msr_value, fake_xcr0, fake_port_value;
extern uint32_t fake_msr, fake_port;

/* What the machine's CPUID says. */
struct cpuid_regs fake_cpuid(uint32_t leaf, uint32_t subleaf);

/* Called wherever root mode spins: the other cores go on. */
void fake_others_run(void);

static inline struct cpu *cpu_self(void)
{
	return fake_self;
}

static inline struct cpu_arch *cpu_arch_self(void)
{
	return (struct cpu_arch *)fake_self;
}

static inline void outl(uint16_t port, uint32_t v)
{
	(void)port;
	(void)v;
}

static inline uint32_t inl(uint16_t port)
{
	(void)port;
	return UINT32_MAX;
}

static inline void cpu_flush_line(const void *p)
{
	(void)p;
}

static inline void cpu_pause(void)
{
	fake_others_run();
}

static inline uint64_t rdtsc(void)
{
	return fake_tsc;
}

/* Of tests that read MSRs. */
uint64_t fake_rdmsr(uint32_t msr);

static inline uint64_t rdmsr(uint32_t msr)
{
	return fake_rdmsr(msr);
}

must_check static inline enum status rdmsr_safe(uint32_t msr, uint64_t *value)
{
	*value = fake_rdmsr(msr);
	return STATUS_OK;
}

/* What sees each WRMSR, if a test has it. */
extern void (*fake_wrmsr)(uint32_t msr, uint64_t value) __attribute__((weak));

static inline void wrmsr(uint32_t msr, uint64_t value)
{
	fake_msr = msr;
	fake_msr_value = value;
	if (&fake_wrmsr != NULL && fake_wrmsr != NULL)
		fake_wrmsr(msr, value);
}

/* Of tests that link a vendor's backend. */
extern uint64_t fake_cr[5], fake_dr[8];

#define FAKE_REGISTER(name, at) \
	static inline uint64_t cpu_read_##name(void) \
	{ \
		return at; \
	} \
	static inline void cpu_write_##name(uint64_t value) \
	{ \
		at = value; \
	}
FAKE_REGISTER(cr0, fake_cr[0])
FAKE_REGISTER(cr2, fake_cr[2])
FAKE_REGISTER(cr3, fake_cr[3])
FAKE_REGISTER(cr4, fake_cr[4])
FAKE_REGISTER(dr0, fake_dr[0])
FAKE_REGISTER(dr1, fake_dr[1])
FAKE_REGISTER(dr2, fake_dr[2])
FAKE_REGISTER(dr3, fake_dr[3])
FAKE_REGISTER(dr6, fake_dr[6])

must_check static inline enum status xsetbv_safe(uint32_t index, uint64_t value)
{
	if (index != 0 || !(value & 1) || ((value & 4) && !(value & 2)))
		return STATUS_INVALID;
	fake_xcr0 = value;
	return STATUS_OK;
}

static inline struct cpuid_regs cpuid(uint32_t leaf, uint32_t subleaf)
{
	return fake_cpuid(leaf, subleaf);
}

static inline void fake_port_write(uint16_t port, uint32_t v)
{
	fake_port = port;
	fake_port_value = v;
}

#define RFLAGS_IF 0x200ull

#define outb(port, v) fake_port_write((port), (v))
#define outw(port, v) fake_port_write((port), (v))

#endif
