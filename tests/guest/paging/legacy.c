/*
 * Protected mode without paging, 32-bit and PAE paging, real mode: reached from long mode and left again
 * (modes.asm).
 */
#include "tests/guest/paging/local.h"
#include "tests/guest/lib/clock.h"
#include "tests/guest/lib/cpu.h"
#include "tests/guest/lib/lapic.h"
#include "tests/guest/lib/test.h"
#include "tests/guest/lib/text.h"
#include "tests/guest/lib/trap.h"
#include "tests/guest/lib/vm.h"

#define PAGE_4M     0x400000u
#define WINDOW      0xA0000000u /* where these tests map things */
#define SCRATCH     0x3FF
#define REAL_VECTOR 0x61
#define CR0_FLAT    ((uint32_t)(CR0_PE | CR0_ET | CR0_NE | CR0_WP))
#define CR0_PAGED   ((uint32_t)(CR0_FLAT | CR0_PG))

/* movl $0x0C0FFEE0, %eax; ret */
static const uint8_t small_code[] = { 0xB8, 0xE0, 0xFE, 0x0F, 0x0C, 0xC3 };

static uint32_t low32(const volatile void *p)
{
	return (uint32_t)(uint64_t)p;
}

/* The 32-bit IDT: 32 interrupt gates. */
static uint64_t idt32[32];

static void run_ops(struct mode_op *ops, uint32_t cr0, uint32_t cr3, uint32_t cr4, uint32_t efer)
{
	struct mode_request request = {
		.entry = low32(mode_ops32),
		.cr0 = cr0,
		.cr3 = cr3,
		.cr4 = cr4,
		.efer = efer,
		.ops = low32(ops),
		.idt_limit = sizeof(idt32) - 1,
		.idt_base = low32(idt32),
	};

	for (unsigned v = 0; v < 32; v++) {
		uint64_t stub = low32(mode_trap_stubs32[v]);

		idt32[v] = (stub & 0xFFFF) | (uint64_t)SEL_CODE32 << 16 | 0x8Eull << 40 | (stub >> 16) << 48;
	}
	irq_disable();
	mode_call(&request);
}

void modes_protected_flat(void)
{
	uint32_t *page = guest_alloc_pages(1);
	struct mode_op ops[] = {
		{ OP_WRITE, low32(page), 0xFEEDF00D },
		{ OP_READ, low32(page), 0 },
		{ OP_CPUID, 0, 0 },
		{ OP_PORT, SCRATCH, 0x4D },
		{ OP_CALL, low32(small_code), 0 },
		{ OP_DIVIDE, 1000, 7 },
		{ OP_COPY, low32(page), low32(page) + 64 },
		{ OP_READ, 0xFEE00030, 0 }, /* device registers, LAPIC and IOAPIC */
		{ OP_WRITE, 0xFEC00000, 1 },
		{ OP_READ, 0xFEC00010, 0 },
		{ OP_END, 0, 0 },
	};

	page[3] = 0x77;
	run_ops(ops, CR0_FLAT, 0, 0, 0);
	CHECK_EQ(page[0], 0xFEEDF00D);
	CHECK_EQ(ops[1].value, 0xFEEDF00D);
	CHECK_EQ(ops[2].value, cpuid(0, 0).ebx);
	CHECK_EQ(ops[3].value, 0x4D);
	CHECK_EQ(ops[4].value, 0x0C0FFEE0);
	CHECK_EQ(ops[5].value, 142);
	CHECK_EQ(page[19], 0x77);
	CHECK_EQ(ops[7].value, *(volatile uint32_t *)0xFEE00030);
	CHECK_EQ(ops[9].value, *(volatile uint32_t *)0xFEC00010);
}

void modes_protected_exceptions(void)
{
	struct mode_op ops[] = {
		{ OP_DIVIDE, 1, 0 },
		{ 99, 0, 0 }, /* ud2 */
		{ OP_DIVIDE, 10, 5 },
		{ OP_END, 0, 0 },
	};

	run_ops(ops, CR0_FLAT, 0, 0, 0);
	CHECK_EQ(ops[0].value, OP_EXCEPTION(VEC_DE, 0));
	CHECK_EQ(ops[1].value, OP_EXCEPTION(VEC_UD, 0));
	CHECK_EQ(ops[2].value, 2);
}

/* A 32-bit page directory that maps the first GiB one to one by 4 MiB pages (PSE must be on). */
static volatile uint32_t *directory_identity(void)
{
	volatile uint32_t *directory = guest_alloc_pages(1);

	for (uint32_t i = 0; i < 256; i++)
		directory[i] = i * PAGE_4M | PTE_P | PTE_W | PTE_PS;
	return directory;
}

void modes_paging_32(void)
{
	volatile uint32_t *directory = directory_identity(), *table = guest_alloc_pages(1), *page = guest_alloc_pages(1);
	volatile uint32_t *other = guest_alloc_pages(1);
	struct mode_op ops[] = {
		{ OP_READ, WINDOW + 0x3000, 0 },   { OP_WRITE, WINDOW + 0x3004, 0xABCD }, { OP_READ, WINDOW + 0x5000, 0 }, /* absent */
		{ OP_WRITE, WINDOW + 0x4000, 1 },                                                                          /* read-only */
		{ OP_WRITE, low32(&table[3]), 0 }, /* another frame for the first page */
		{ OP_INVLPG, WINDOW + 0x3000, 0 }, { OP_READ, WINDOW + 0x3000, 0 },       { OP_CALL, WINDOW + 0x6000, 0 }, { OP_END, 0, 0 },
	};

	directory[WINDOW / PAGE_4M] = low32(table) | PTE_P | PTE_W;
	table[3] = low32(page) | PTE_P | PTE_W;
	table[4] = low32(page) | PTE_P;
	table[6] = (low32(small_code) & ~0xFFFu) | PTE_P;
	ops[7].address += low32(small_code) & 0xFFF;
	ops[4].value = low32(other) | PTE_P | PTE_W;
	page[0] = 0x11112222;
	other[0] = 0x33334444;
	run_ops(ops, CR0_PAGED, low32(directory), CR4_PSE, 0);
	CHECK_EQ(ops[0].value, 0x11112222);
	CHECK_EQ(page[1], 0xABCD);
	CHECK_EQ(ops[2].value, OP_EXCEPTION(VEC_PF, 0));
	CHECK_EQ(ops[2].address, WINDOW + 0x5000);
	CHECK_EQ(ops[3].value, OP_EXCEPTION(VEC_PF, 3));
	CHECK_EQ(ops[6].value, 0x33334444);
	CHECK_EQ(ops[7].value, 0x0C0FFEE0);
	CHECK_EQ(table[3] & (PTE_A | PTE_D), PTE_A);
	CHECK_EQ(directory[WINDOW / PAGE_4M] & PTE_A, PTE_A);
}

void modes_paging_32_large(void)
{
	volatile uint32_t *directory = directory_identity(), *word = guest_alloc_pages(1);
	uint32_t offset = low32(word) & (PAGE_4M - 1);
	struct mode_op ops[] = {
		{ OP_READ, WINDOW + offset, 0 },
		{ OP_WRITE, WINDOW + offset + 4, 0x5151 },
		{ OP_READ, WINDOW + PAGE_4M, 0 },
		{ OP_END, 0, 0 },
	};

	directory[WINDOW / PAGE_4M] = (low32(word) & ~(PAGE_4M - 1)) | PTE_P | PTE_W | PTE_PS;
	word[0] = 0x98989898;
	run_ops(ops, CR0_PAGED, low32(directory), CR4_PSE, 0);
	CHECK_EQ(ops[0].value, 0x98989898);
	CHECK_EQ(word[1], 0x5151);
	CHECK_EQ(ops[2].value, OP_EXCEPTION(VEC_PF, 0));
	CHECK_EQ(directory[WINDOW / PAGE_4M] & (PTE_A | PTE_D), PTE_A | PTE_D);
}

/* PAE tables: the first GiB one to one by 2 MiB pages, WINDOW by a table of its own. */
struct pae {
	volatile uint64_t *pdpt, *window_pd, *window_pt;
};

static struct pae pae_identity(void)
{
	struct pae p = { guest_alloc_pages(1), guest_alloc_pages(1), guest_alloc_pages(1) };
	volatile uint64_t *pd = guest_alloc_pages(1);

	for (uint64_t i = 0; i < 512; i++)
		pd[i] = i << 21 | PTE_P | PTE_W | PTE_PS;
	p.pdpt[0] = (uint64_t)pd | PTE_P;
	p.pdpt[WINDOW >> 30] = (uint64_t)p.window_pd | PTE_P;
	p.window_pd[WINDOW >> 21 & 511] = (uint64_t)p.window_pt | PTE_P | PTE_W;
	return p;
}

void modes_paging_pae(void)
{
	struct pae p = pae_identity();
	volatile uint32_t *page = guest_alloc_pages(1);
	bool nx = cpuid(0x80000001, 0).edx >> 20 & 1;
	uint32_t code = WINDOW + 0x2000 + (low32(small_code) & 0xFFF);
	struct mode_op ops[] = {
		{ OP_READ, WINDOW + 0x1000, 0 },
		{ OP_WRITE, WINDOW + 0x1008, 0x7171 },
		{ OP_CALL, code, 0 },
		{ OP_CALL, code + 0x1000, 0 }, /* the same page with NX */
		{ OP_READ, WINDOW + 0x9000, 0 },
		{ OP_READ, WINDOW + 0x200000 + (low32(page) & 0x1FFFFF), 0 },
		{ OP_END, 0, 0 },
	};

	p.window_pt[1] = (uint64_t)page | PTE_P | PTE_W;
	p.window_pt[2] = ((uint64_t)small_code & ~0xFFFull) | PTE_P;
	p.window_pt[3] = p.window_pt[2] | (nx ? PTE_NX : 0);
	p.window_pd[(WINDOW >> 21 & 511) + 1] = ((uint64_t)page & ~0x1FFFFFull) | PTE_P | PTE_W | PTE_PS;
	page[0] = 0x61616161;
	run_ops(ops, CR0_PAGED, low32(p.pdpt), CR4_PAE, nx ? EFER_NXE : 0);
	CHECK_EQ(ops[0].value, 0x61616161);
	CHECK_EQ(page[2], 0x7171);
	CHECK_EQ(ops[2].value, 0x0C0FFEE0);
	if (nx)
		CHECK_EQ(ops[3].value, OP_EXCEPTION(VEC_PF, 0x11));
	CHECK_EQ(ops[4].value, OP_EXCEPTION(VEC_PF, 0));
	CHECK_EQ(ops[5].value, 0x61616161);
}

/* The CPU reads the four PDPTEs when CR3 is written: a change becomes visible by a CR3 write. */
void modes_pae_pdptes(void)
{
	struct pae p = pae_identity(), q = pae_identity();
	volatile uint32_t *pages[2] = { guest_alloc_pages(1), guest_alloc_pages(1) };
	struct mode_op ops[] = {
		{ OP_READ, WINDOW, 0 },
		{ OP_WRITE, low32(&p.pdpt[WINDOW >> 30]), low32(q.window_pd) | PTE_P },
		{ OP_CR3, low32(p.pdpt), 0 },
		{ OP_READ, WINDOW, 0 },
		{ OP_CR3, low32(q.pdpt), 0 },
		{ OP_READ, WINDOW, 0 },
		{ OP_END, 0, 0 },
	};

	p.window_pt[0] = (uint64_t)pages[0] | PTE_P | PTE_W;
	q.window_pt[0] = (uint64_t)pages[1] | PTE_P | PTE_W;
	pages[0][0] = 0xAAAA;
	pages[1][0] = 0xBBBB;
	run_ops(ops, CR0_PAGED, low32(p.pdpt), CR4_PAE, 0);
	CHECK_EQ(ops[0].value, 0xAAAA);
	CHECK_EQ(ops[3].value, 0xBBBB);
	CHECK_EQ(ops[5].value, 0xBBBB);
}

static const struct real_results *run_real(void)
{
	static uint8_t low_memory[0x400];
	const struct mode_request request = { .entry = low32(mode_real), .cr0 = CR0_FLAT, .idt_limit = 0 };
	size_t bytes = (size_t)(real_code_end - real_code);
	volatile uint8_t *zero = (volatile uint8_t *)0;

	/* The interrupt vector table may be the firmware's: put back afterwards. */
	__asm__("" : "+r"(zero));
	for (unsigned i = 0; i < sizeof(low_memory); i++)
		low_memory[i] = zero[i];
	memcpy((void *)(uint64_t)REAL_BASE, real_code, bytes);
	irq_disable();
	mode_call(&request);
	for (unsigned i = 0; i < sizeof(low_memory); i++)
		zero[i] = low_memory[i];
	return (const struct real_results *)((uint64_t)REAL_BASE + bytes - sizeof(struct real_results));
}

void modes_real(void)
{
	const struct real_results *r = run_real();

	CHECK_EQ(r->done, REAL_DONE);
	CHECK_EQ(r->int60, 2);
	CHECK_EQ(r->faults, 2);
	CHECK_EQ(r->int61, 0);
	CHECK_EQ(*(volatile uint32_t *)0x12350, 0xC0DEC0DE);
	CHECK_EQ(r->cpuid_ebx, cpuid(0, 0).ebx);
	CHECK_EQ(r->port, 0x6B);
	CHECK_EQ(r->ins[0] | r->ins[1] << 8 | r->ins[2] << 16 | r->ins[3] << 24, 0x006B6B6B);
	CHECK_EQ(r->ins_di, low32(r->ins) + 3);
	CHECK_EQ(r->outs, 0x7D);
	CHECK_EQ(r->lapic_version, *(volatile uint32_t *)0xFEE00030);
	CHECK_EQ(r->ioapic_version >> 16 & 0xFF, 23);
	CHECK_EQ(r->msw & 1, 0);
}

/* An interrupt that is pending when real mode begins arrives through the vector table at 0. */
void modes_real_interrupt(void)
{
	const struct real_results *r;

	irq_disable();
	lapic_send(0, LAPIC_ICR_SELF | LAPIC_ICR_ASSERT | REAL_VECTOR);
	REQUIRE(CLOCK_WAIT(lapic_vector_bit(LAPIC_IRR, REAL_VECTOR), 1000000), "not pending");
	r = run_real();
	CHECK_EQ(r->done, REAL_DONE);
	CHECK_EQ(r->int61, 1);
	CHECK_EQ(r->int60, 2);
	CHECK(lapic_vector_bit(LAPIC_ISR, REAL_VECTOR), "not in service");
	lapic_eoi();
}

void modes_switching(void)
{
	for (unsigned i = 0; i < 10; i++) {
		modes_protected_flat();
		modes_paging_32();
		modes_paging_pae();
		modes_real();
		paging_cr3_switch();
	}
}
