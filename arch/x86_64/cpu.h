/*
 * One core: single instructions as functions, and the part of struct cpu that this layer owns.
 *
 * A core finds itself by its stack, never by GS: FS and GS bases hold a guest's values while root mode runs,
 * and so may TR, LDTR and the syscall MSRs. For the same reason no interrupt stack table is used.
 */
#ifndef ARCH_X86_64_CPU_H
#define ARCH_X86_64_CPU_H

#include "arch/x86_64/layout.h"
#include "arch/x86_64/status.h"
#include "arch/x86_64/desc.h"

struct cpu;

/* First member of struct cpu. */
struct cpu_arch {
	cpu_id_t id;
	uint32_t apic_id;
	uint64_t stack_top; /* address just above its stack */
	uint8_t lock_rank;  /* of the lock taken last, see spinlock.h */
	uint8_t spec_ctrl;  /* what IA32_SPEC_CTRL holds */
	bool online;        /* it reached kernel_main */
	struct desc_tables *desc;
};

static inline struct cpu *cpu_self(void)
{
	uint64_t sp = (uint64_t)__builtin_frame_address(0);

	return *(struct cpu **)(sp & ~(STACK_BYTES - 1));
}

static inline struct cpu_arch *cpu_arch_self(void)
{
	return (struct cpu_arch *)cpu_self();
}

static inline void cpu_pause(void)
{
	__asm__ volatile("pause" ::: "memory");
}

#define RFLAGS_IF 0x200ull

static inline uint64_t rdmsr(uint32_t msr)
{
	uint32_t lo, hi;

	__asm__ volatile("rdmsr" : "=a"(lo), "=d"(hi) : "c"(msr) : "memory");
	return (uint64_t)hi << 32 | lo;
}

static inline void wrmsr(uint32_t msr, uint64_t value)
{
	__asm__ volatile("wrmsr" ::"c"(msr), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)) : "memory");
}

/*
 * An instruction that may fault, with its way out: the #GP handler finds the pair in section .fixup and
 * resumes at 2: with RSI = 1 (trap.c), which the asm statement must have as an operand set to 0 before.
 */
#define CPU_FIXUP(insn) \
	"1: " insn "\n2:\n" \
	".pushsection .fixup, \"a\"\n.long 1b - ., 2b - .\n.popsection\n"

/* As rdmsr, but STATUS_UNSUPPORTED where the MSR raises #GP; *value is then unchanged. */
must_check static inline enum status rdmsr_safe(uint32_t msr, uint64_t *value)
{
	uint64_t lo, hi, failed = 0;

	__asm__ volatile(CPU_FIXUP("rdmsr") : "=a"(lo), "=d"(hi), "+S"(failed) : "c"(msr) : "memory");
	if (failed)
		return STATUS_UNSUPPORTED;
	*value = hi << 32 | (uint32_t)lo;
	return STATUS_OK;
}

/* As xsetbv, but STATUS_INVALID where the value raises #GP. CR4.OSXSAVE must be set. */
must_check static inline enum status xsetbv_safe(uint32_t index, uint64_t value)
{
	uint64_t failed = 0;

	__asm__ volatile(CPU_FIXUP("xsetbv") : "+S"(failed) : "c"(index), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)) : "memory");
	return failed ? STATUS_INVALID : STATUS_OK;
}

static inline uint64_t xgetbv(uint32_t index)
{
	uint32_t lo, hi;

	__asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(index));
	return (uint64_t)hi << 32 | lo;
}

struct cpuid_regs {
	uint32_t eax, ebx, ecx, edx;
};

static inline struct cpuid_regs cpuid(uint32_t leaf, uint32_t subleaf)
{
	struct cpuid_regs r;

	__asm__ volatile("cpuid" : "=a"(r.eax), "=b"(r.ebx), "=c"(r.ecx), "=d"(r.edx) : "a"(leaf), "c"(subleaf));
	return r;
}

/* Not ordered against other instructions; see tsc_read_ordered in tsc.h. */
static inline uint64_t rdtsc(void)
{
	uint32_t lo, hi;

	__asm__ volatile("rdtsc" : "=a"(lo), "=d"(hi));
	return (uint64_t)hi << 32 | lo;
}

#define CPU_REGISTER_ACCESSORS(name) \
	static inline uint64_t cpu_read_##name(void) \
	{ \
		uint64_t v; \
		__asm__ volatile("mov %%" #name ", %0" : "=r"(v)::"memory"); \
		return v; \
	} \
	static inline void cpu_write_##name(uint64_t v) \
	{ \
		__asm__ volatile("mov %0, %%" #name ::"r"(v) : "memory"); \
	}

CPU_REGISTER_ACCESSORS(cr0)
CPU_REGISTER_ACCESSORS(cr2)
CPU_REGISTER_ACCESSORS(cr3)
CPU_REGISTER_ACCESSORS(cr4)
CPU_REGISTER_ACCESSORS(dr0)
CPU_REGISTER_ACCESSORS(dr1)
CPU_REGISTER_ACCESSORS(dr2)
CPU_REGISTER_ACCESSORS(dr3)
CPU_REGISTER_ACCESSORS(dr6)

static inline void cpu_invlpg(uint64_t va)
{
	__asm__ volatile("invlpg (%0)" ::"r"(va) : "memory");
}

/* Writes the line back to RAM, for hardware that does not look into the caches. */
static inline void cpu_flush_line(const void *p)
{
	__asm__ volatile("clflush %0" ::"m"(*(const char *)p) : "memory");
}

/* inb, outb, ...: one access to an I/O port. */
#define CPU_PORT_ACCESSORS(suffix, type) \
	static inline type in##suffix(uint16_t port) \
	{ \
		type v; \
		__asm__ volatile("in" #suffix " %1, %0" : "=a"(v) : "Nd"(port) : "memory"); \
		return v; \
	} \
	static inline void out##suffix(uint16_t port, type v) \
	{ \
		__asm__ volatile("out" #suffix " %0, %1" ::"a"(v), "Nd"(port) : "memory"); \
	}

CPU_PORT_ACCESSORS(b, uint8_t)
CPU_PORT_ACCESSORS(l, uint32_t)

#endif
