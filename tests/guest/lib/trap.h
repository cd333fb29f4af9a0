/*
 * CPUs of a test guest, their descriptor tables, and what happens when one traps.
 *
 * Each CPU's stacks are GUEST_STACK_BYTES long and aligned so; the lowest word of each points to the CPU's
 * struct, so that guest_cpu_self() needs neither GS (tests change it) nor the local APIC (tests turn it off).
 */
#ifndef TESTS_GUEST_LIB_TRAP_H
#define TESTS_GUEST_LIB_TRAP_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GUEST_MAX_CPUS    8
#define GUEST_STACK_BYTES 0x4000ull

/* Selectors of every CPU's GDT. The order from 0x18 on is what SYSRET needs (STAR[63:48] = SEL_CODE32). */
#define SEL_CODE64      0x08
#define SEL_DATA        0x10
#define SEL_CODE32      0x18
#define SEL_USER_DATA   0x23
#define SEL_USER_CODE64 0x2B
#define SEL_CODE16      0x30
#define SEL_DATA16      0x38
#define SEL_TSS         0x40
#define SEL_ABSENT_DATA 0x50
#define GDT_ENTRIES     12

enum {
	VEC_DE = 0,
	VEC_DB = 1,
	VEC_NMI = 2,
	VEC_BP = 3,
	VEC_OF = 4,
	VEC_BR = 5,
	VEC_UD = 6,
	VEC_NM = 7,
	VEC_DF = 8,
	VEC_TS = 10,
	VEC_NP = 11,
	VEC_SS = 12,
	VEC_GP = 13,
	VEC_PF = 14,
	VEC_MF = 16,
	VEC_AC = 17,
	VEC_XM = 19,
	VEC_WAKE = 0xF0,     /* sent to an idle CPU that has work (smp.c) */
	VEC_SPURIOUS = 0xFF, /* never counted as in service, hence no EOI */
};

/* What trap.asm pushes; the tail is the CPU's. */
struct trap_frame {
	uint64_t r15, r14, r13, r12, r11, r10, r9, r8, rbp, rdi, rsi, rdx, rcx, rbx, rax;
	uint64_t vector, error;
	uint64_t rip, cs, rflags, rsp, ss;
};
static_assert(sizeof(struct trap_frame) == 22 * 8, "trap.asm pushes 22 words");

struct trap_tss {
	uint32_t reserved0;
	uint32_t rsp[6]; /* RSP0..2, low word first */
	uint32_t reserved1[2];
	uint32_t ist[14]; /* IST1..7, low word first */
	uint32_t reserved2[2];
	uint16_t reserved3;
	uint16_t io_map_base;
	uint8_t io_map[8193]; /* all ports, and the byte of ones that must follow */
} __attribute__((packed));
static_assert(offsetof(struct trap_tss, io_map) == 104, "APM vol. 2, 64-Bit Task State Segment");

struct guest_cpu {
	unsigned index;
	uint32_t apic_id;
	bool online;
	bool x2apic;                /* how lapic.c reaches this CPU's local APIC */
	uint64_t *catch_rsp;        /* slot of the innermost trap_catch(), NULL outside */
	struct trap_record *record; /* its record */
	uint32_t irq_count[256];    /* deliveries per vector without a handler of its own; volatile */
	uint8_t irq_log[64];        /* the vectors of the last ones, in order */
	uint32_t irq_logged;
	void (*work)(void *); /* smp.c: what this CPU is to run next, NULL when idle */
	void *work_arg;
	uint64_t gdt[GDT_ENTRIES];
	struct trap_tss tss __attribute__((aligned(16)));
};

/* What was known at the moment of a caught exception. */
struct trap_record {
	uint64_t vector, error, rip, cr2, rflags, rsp, cs, ss, dr6;
	uint64_t rax, rcx, rdx;
};

extern struct guest_cpu guest_cpus[GUEST_MAX_CPUS];
extern uint8_t guest_stacks[GUEST_MAX_CPUS][GUEST_STACK_BYTES];

static inline struct guest_cpu *guest_cpu_self(void)
{
	uint64_t rsp;

	__asm__ volatile("mov %%rsp, %0" : "=r"(rsp));
	return *(struct guest_cpu **)(rsp & ~(GUEST_STACK_BYTES - 1));
}

/* Loads GDT, TSS and the shared IDT on the calling CPU, which runs on guest_stacks[index] already. */
void trap_init_cpu(unsigned index);

/* As trap_init_cpu(), for a CPU that comes back from another mode. */
void trap_reload_tables(struct guest_cpu *cpu);

/* Top of the ordinary stack of CPU index; its struct is entered at the bottom. */
uint64_t trap_stack_top(unsigned index);

typedef void (*trap_handler_fn)(struct trap_frame *frame);

/*
 * Calls fn(frame) for every trap with this vector on any CPU; NULL restores the usual treatment: exceptions
 * go to the innermost trap_catch() or end the guest, interrupts are counted, logged and get an EOI, an NMI is
 * counted.
 */
void trap_set_handler(unsigned vector, trap_handler_fn fn);

/*
 * Runs fn(arg) and catches the first exception without a handler. Returns whether there was one, described in
 * *record. Interrupts stay as they were before; nests.
 */
bool trap_catch(void (*fn)(void *), void *arg, struct trap_record *record);

/*
 * Changes the stack-table slot of a vector's gate (0 none, 1 double fault's, 2 NMI's), type (0xE or 0xF) or
 * DPL.
 */
void trap_set_gate(unsigned vector, unsigned ist, unsigned type, unsigned dpl, bool present);

/* Deliveries of an interrupt vector on the calling CPU, and setting all of them and the log to zero. */
uint32_t trap_irq_count(unsigned vector);
void trap_irq_reset(void);

/* trap.asm */
bool trap_call(void (*fn)(void *), void *arg, uint64_t *rsp_slot);
void trap_resume(void);
void trap_handle(struct trap_frame *frame);
extern const uint8_t trap_stubs[256][16];

/* Guarded accesses: false when they raised an exception (its vector in *vector if not NULL). */
bool trap_rdmsr(uint32_t msr, uint64_t *value, unsigned *vector);
bool trap_wrmsr(uint32_t msr, uint64_t value, unsigned *vector);

#endif
