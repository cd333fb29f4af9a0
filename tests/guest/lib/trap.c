/*
 * Descriptor tables and trap dispatch of the test guests. An exception that nobody expects ends the running
 * test (test.c catches it) or, outside any test, the guest, with its registers printed.
 */
#include "tests/guest/lib/trap.h"
#include "tests/guest/lib/cpu.h"
#include "tests/guest/lib/lapic.h"
#include "tests/guest/lib/test.h"
#include "tests/guest/lib/text.h"

struct trap_gate {
	uint16_t offset_low;
	uint16_t selector;
	uint8_t ist;
	uint8_t type;
	uint16_t offset_middle;
	uint32_t offset_high;
	uint32_t reserved;
};
static_assert(sizeof(struct trap_gate) == 16, "APM vol. 2, 64-bit gate descriptor");

struct trap_table_pointer {
	uint16_t limit;
	uint64_t base;
} __attribute__((packed));

struct guest_cpu guest_cpus[GUEST_MAX_CPUS];
uint8_t guest_stacks[GUEST_MAX_CPUS][GUEST_STACK_BYTES] __attribute__((aligned(GUEST_STACK_BYTES)));
static uint8_t trap_ist_stacks[GUEST_MAX_CPUS][2][GUEST_STACK_BYTES] __attribute__((aligned(GUEST_STACK_BYTES)));
static struct trap_gate trap_idt[256] __attribute__((aligned(16)));
static trap_handler_fn trap_handlers[256];

void trap_set_gate(unsigned vector, unsigned ist, unsigned type, unsigned dpl, bool present)
{
	uint64_t offset = (uint64_t)trap_stubs[vector];
	struct trap_gate gate = {
		.offset_low = (uint16_t)offset,
		.selector = SEL_CODE64,
		.ist = (uint8_t)ist,
		.type = (uint8_t)((present ? 0x80 : 0) | dpl << 5 | type),
		.offset_middle = (uint16_t)(offset >> 16),
		.offset_high = (uint32_t)(offset >> 32),
	};

	*(volatile struct trap_gate *)&trap_idt[vector] = gate;
}

static void trap_init_idt(void)
{
	for (unsigned v = 0; v < 256; v++)
		trap_set_gate(v, v == VEC_DF ? 1 : v == VEC_NMI ? 2 : 0, 0xE, v == VEC_BP ? 3 : 0, true);
}

static void trap_init_gdt(struct guest_cpu *cpu)
{
	uint64_t tss = (uint64_t)&cpu->tss, limit = sizeof(cpu->tss) - 1;
	const uint64_t gdt[GDT_ENTRIES] = {
		0,
		0x00AF9A000000FFFF, /* code, 64-bit */
		0x00CF92000000FFFF, /* data */
		0x00CF9A000000FFFF, /* code, 32-bit */
		0x00CFF2000000FFFF, /* user data */
		0x00AFFA000000FFFF, /* user code, 64-bit */
		0x00009A000000FFFF, /* code, 16-bit */
		0x000092000000FFFF, /* data, 16-bit */
		(limit & 0xFFFF) | (tss & 0xFFFFFF) << 16 | 0x89ull << 40 | (tss >> 24 & 0xFF) << 56,
		tss >> 32,
		0x00CF12000000FFFF, /* data, not present */
		0x00CFFA000000FFFF, /* user code, 32-bit */
	};

	memcpy(cpu->gdt, gdt, sizeof(gdt));
}

void trap_reload_tables(struct guest_cpu *cpu)
{
	struct trap_table_pointer gdt = { sizeof(cpu->gdt) - 1, (uint64_t)cpu->gdt };
	struct trap_table_pointer idt = { sizeof(trap_idt) - 1, (uint64_t)trap_idt };

	cpu->gdt[SEL_TSS / 8] &= ~(2ull << 40); /* LTR refuses a busy one */
	__asm__ volatile("lgdt %0; lidt %1" : : "m"(gdt), "m"(idt) : "memory");
	__asm__ volatile("ltr %w0" : : "r"(SEL_TSS));
	__asm__ volatile("mov %0, %%ds; mov %0, %%es; mov %0, %%ss" : : "r"(SEL_DATA));
	__asm__ volatile("pushq %0; leaq 1f(%%rip), %%rax; pushq %%rax; lretq; 1:" : : "i"(SEL_CODE64) : "rax", "memory");
}

uint64_t trap_stack_top(unsigned index)
{
	*(struct guest_cpu **)guest_stacks[index] = &guest_cpus[index];
	return (uint64_t)guest_stacks[index] + GUEST_STACK_BYTES;
}

void trap_init_cpu(unsigned index)
{
	struct guest_cpu *cpu = &guest_cpus[index];
	uint64_t top = trap_stack_top(index);

	if (!index)
		trap_init_idt();
	cpu->index = index;
	memset(&cpu->tss, 0, sizeof(cpu->tss));
	memset(cpu->tss.io_map, 0xFF, sizeof(cpu->tss.io_map));
	cpu->tss.io_map_base = offsetof(struct trap_tss, io_map);
	cpu->tss.rsp[0] = (uint32_t)top - GUEST_STACK_BYTES / 2; /* traps from ring 3 must not run over ring 0's frames */
	for (unsigned i = 0; i < 2; i++) {
		*(struct guest_cpu **)trap_ist_stacks[index][i] = cpu;
		cpu->tss.ist[i * 2] = (uint32_t)(uint64_t)trap_ist_stacks[index][i] + GUEST_STACK_BYTES;
	}
	trap_init_gdt(cpu);
	trap_reload_tables(cpu);
}

void trap_set_handler(unsigned vector, trap_handler_fn fn)
{
	__atomic_store_n(&trap_handlers[vector], fn, __ATOMIC_RELEASE);
}

uint32_t trap_irq_count(unsigned vector)
{
	return *(volatile uint32_t *)&guest_cpu_self()->irq_count[vector];
}

void trap_irq_reset(void)
{
	struct guest_cpu *cpu = guest_cpu_self();

	memset(cpu->irq_count, 0, sizeof(cpu->irq_count));
	cpu->irq_logged = 0;
	compiler_barrier();
}

static void trap_count_interrupt(struct guest_cpu *cpu, unsigned vector)
{
	cpu->irq_count[vector]++;
	cpu->irq_log[cpu->irq_logged++ % sizeof(cpu->irq_log)] = (uint8_t)vector;
	if (vector != VEC_SPURIOUS && vector != VEC_NMI)
		lapic_eoi();
}

static void trap_die(const struct trap_frame *f)
{
	text_print("FATAL cpu %u: vector %lu error %lx rip %lx cs %lx rflags %lx rsp %lx ss %lx cr2 %lx\n", guest_cpu_self()->index,
	           f->vector, f->error, f->rip, f->cs, f->rflags, f->rsp, f->ss, read_cr2());
	text_print("rax %lx rbx %lx rcx %lx rdx %lx rsi %lx rdi %lx rbp %lx r8 %lx r9 %lx r10 %lx r11 %lx "
	           "r12 %lx\n",
	           f->rax, f->rbx, f->rcx, f->rdx, f->rsi, f->rdi, f->rbp, f->r8, f->r9, f->r10, f->r11, f->r12);
	test_exit(false);
}

void trap_handle(struct trap_frame *f)
{
	struct guest_cpu *cpu = guest_cpu_self();
	trap_handler_fn fn = __atomic_load_n(&trap_handlers[f->vector], __ATOMIC_ACQUIRE);
	uint64_t *rsp = cpu->catch_rsp;

	if (fn) {
		fn(f);
		return;
	}
	if (f->vector >= 32 || f->vector == VEC_NMI) {
		trap_count_interrupt(cpu, (unsigned)f->vector);
		return;
	}
	if (!rsp)
		trap_die(f);
	*cpu->record = (struct trap_record){
		.vector = f->vector,
		.error = f->error,
		.rip = f->rip,
		.cr2 = read_cr2(),
		.rflags = f->rflags,
		.rsp = f->rsp,
		.cs = f->cs,
		.ss = f->ss,
		.dr6 = read_dr6(),
		.rax = f->rax,
		.rcx = f->rcx,
		.rdx = f->rdx,
	};
	f->rip = (uint64_t)trap_resume;
	f->rsp = *rsp;
	f->cs = SEL_CODE64;
	f->ss = SEL_DATA;
	f->rflags = 2;
}

bool trap_catch(void (*fn)(void *), void *arg, struct trap_record *record)
{
	struct guest_cpu *cpu = guest_cpu_self();
	uint64_t *outer_rsp = cpu->catch_rsp, slot = 0, flags = read_rflags();
	struct trap_record *outer_record = cpu->record;
	bool trapped;

	cpu->record = record;
	cpu->catch_rsp = &slot;
	compiler_barrier();
	trapped = trap_call(fn, arg, &slot);
	compiler_barrier();
	cpu->catch_rsp = outer_rsp;
	cpu->record = outer_record;
	if (trapped && (flags & RFLAGS_IF))
		irq_enable();
	return trapped;
}

struct trap_msr {
	uint32_t msr;
	uint64_t value;
};

static void trap_do_rdmsr(void *arg)
{
	struct trap_msr *m = arg;

	m->value = rdmsr(m->msr);
}

static void trap_do_wrmsr(void *arg)
{
	struct trap_msr *m = arg;

	wrmsr(m->msr, m->value);
}

static bool trap_msr(void (*fn)(void *), struct trap_msr *m, unsigned *vector)
{
	struct trap_record record;

	if (!trap_catch(fn, m, &record))
		return true;
	if (vector)
		*vector = (unsigned)record.vector;
	return false;
}

bool trap_rdmsr(uint32_t msr, uint64_t *value, unsigned *vector)
{
	struct trap_msr m = { msr, 0 };
	bool ok = trap_msr(trap_do_rdmsr, &m, vector);

	*value = m.value;
	return ok;
}

bool trap_wrmsr(uint32_t msr, uint64_t value, unsigned *vector)
{
	struct trap_msr m = { msr, value };

	return trap_msr(trap_do_wrmsr, &m, vector);
}
