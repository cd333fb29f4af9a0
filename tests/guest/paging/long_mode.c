/*
 * Four-level paging (SDM vol. 3A, "4-Level Paging", "Translation Lookaside Buffers").
 */
#include "tests/guest/paging/local.h"
#include "tests/guest/lib/cpu.h"
#include "tests/guest/lib/test.h"
#include "tests/guest/lib/text.h"
#include "tests/guest/lib/trap.h"
#include "tests/guest/lib/vm.h"

#define PAGE_2M 0x200000ull
#define PAGE_1G 0x40000000ull

/* PML4 slot 2 and up are this file's own: slot n maps from n << 39. */
#define SLOT_ADDRESS(n) ((uint64_t)(n) << 39)

static void flush_all(void)
{
	write_cr3(read_cr3());
}

void paging_page_sizes(void)
{
	uint64_t *pdpt = guest_alloc_pages(1), *pd = guest_alloc_pages(1), *pt = guest_alloc_pages(1), *word = guest_alloc_pages(1);
	uint64_t physical = (uint64_t)word, base = SLOT_ADDRESS(2);
	bool gigabyte = cpuid(0x80000001, 0).edx >> 26 & 1;

	boot_pml4[2] = (uint64_t)pdpt | PTE_P | PTE_W;
	pdpt[0] = (uint64_t)pd | PTE_P | PTE_W;
	pdpt[1] = gigabyte ? PTE_P | PTE_W | PTE_PS : 0;
	pd[0] = (uint64_t)pt | PTE_P | PTE_W;
	pd[1] = (physical & ~(PAGE_2M - 1)) | PTE_P | PTE_W | PTE_PS;
	pt[5] = physical | PTE_P | PTE_W;
	for (uint64_t round = 0; round < 3; round++) {
		*word = 0x1234567800000000 | round;
		CHECK_EQ(*(volatile uint64_t *)(base + 5 * 4096), *word);
		CHECK_EQ(*(volatile uint64_t *)(base + PAGE_2M + (physical & (PAGE_2M - 1))), *word);
		if (gigabyte)
			CHECK_EQ(*(volatile uint64_t *)(base + PAGE_1G + (physical & (PAGE_1G - 1))), *word);
		*(volatile uint64_t *)(base + PAGE_2M + (physical & (PAGE_2M - 1))) = 0x55AA00 + round;
		CHECK_EQ(*(volatile uint64_t *)(base + 5 * 4096), 0x55AA00 + round);
	}
	if (!gigabyte)
		text_print("note: no 1 GiB pages here\n");
	boot_pml4[2] = 0;
	flush_all();
}

void paging_accessed_dirty(void)
{
	volatile uint8_t *page = vm_map(0, (uint64_t)guest_alloc_pages(1), PTE_P | PTE_W);
	volatile uint64_t *entry = vm_entry(0);

	CHECK_EQ(*entry & (PTE_A | PTE_D), 0);
	(void)*page;
	CHECK_EQ(*entry & (PTE_A | PTE_D), PTE_A);
	*page = 1;
	CHECK_EQ(*entry & (PTE_A | PTE_D), PTE_A | PTE_D);
	*entry &= ~(PTE_A | PTE_D);
	invlpg(page);
	(void)*page;
	CHECK_EQ(*entry & (PTE_A | PTE_D), PTE_A);
	*entry &= ~(PTE_A | PTE_D);
	invlpg(page);
	__asm__ volatile("lock incb %0" : "+m"(*page) : : "cc");
	CHECK_EQ(*entry & (PTE_A | PTE_D), PTE_A | PTE_D);
}

void paging_large_accessed_dirty(void)
{
	volatile uint64_t *pdpt = guest_alloc_pages(1), *pd = guest_alloc_pages(1);
	volatile uint8_t *byte = (uint8_t *)SLOT_ADDRESS(2) + 0x12345;

	boot_pml4[2] = (uint64_t)pdpt | PTE_P | PTE_W;
	pdpt[0] = (uint64_t)pd | PTE_P | PTE_W;
	pd[0] = PAGE_2M * 16 | PTE_P | PTE_W | PTE_PS; /* RAM beyond everything this guest uses */
	(void)*byte;
	CHECK_EQ(pd[0] & (PTE_A | PTE_D), PTE_A);
	CHECK_EQ(pdpt[0] & PTE_A, PTE_A);
	CHECK_EQ(boot_pml4[2] & PTE_A, PTE_A);
	*byte = 1;
	CHECK_EQ(pd[0] & (PTE_A | PTE_D), PTE_A | PTE_D);
	boot_pml4[2] = 0;
	flush_all();
}

static volatile uint8_t *target;

static void write_target(void *unused)
{
	(void)unused;
	*target = 1;
}

static void read_target(void *unused)
{
	(void)unused;
	(void)*target;
}

static void call_target(void *unused)
{
	(void)unused;
	__asm__ volatile("call *%0" : : "r"(target) : "memory");
}

/* A right is the least of all levels'. */
void paging_write_protect(void)
{
	volatile uint64_t *pdpt = guest_alloc_pages(1), *pd = guest_alloc_pages(1), *pt = guest_alloc_pages(1);
	struct trap_record r;

	target = (uint8_t *)SLOT_ADDRESS(2);
	pt[0] = (uint64_t)guest_alloc_pages(1) | PTE_P | PTE_W;
	for (unsigned level = 0; level < 4; level++) {
		boot_pml4[2] = (uint64_t)pdpt | PTE_P | (level == 0 ? 0 : PTE_W);
		pdpt[0] = (uint64_t)pd | PTE_P | (level == 1 ? 0 : PTE_W);
		pd[0] = (uint64_t)pt | PTE_P | (level == 2 ? 0 : PTE_W);
		flush_all();
		if (level == 3) {
			write_target(NULL);
			continue;
		}
		REQUIRE(trap_catch(write_target, NULL, &r), "level %u: written", 4 - level);
		CHECK(r.vector == VEC_PF && r.error == 3, "level %u: vector %lu error %lx", 4 - level, r.vector, r.error);
	}
	boot_pml4[2] = 0;
	flush_all();
}

static bool has_feature_7(unsigned bit)
{
	return cpuid(0, 0).eax >= 7 && (cpuid(7, 0).ebx >> bit & 1);
}

void paging_smep(void)
{
	uint64_t cr4 = read_cr4();
	struct trap_record r;
	uint8_t *frame = guest_alloc_pages(1);

	if (!has_feature_7(7)) {
		test_skip("no SMEP");
		return;
	}
	frame[0] = 0xC3; /* ret */
	target = vm_map(0, (uint64_t)frame, PTE_P | PTE_U);
	call_target(NULL);
	write_cr4(cr4 | CR4_SMEP);
	REQUIRE(trap_catch(call_target, NULL, &r), "user code ran in ring 0");
	CHECK(r.vector == VEC_PF && r.error == 0x11 && r.cr2 == (uint64_t)target, "vector %lu error %lx cr2 %lx", r.vector, r.error, r.cr2);
	write_cr4(cr4);
	call_target(NULL);
}

static void read_target_with_ac(void *unused)
{
	(void)unused;
	__asm__ volatile("stac; movb (%0), %%al; clac" : : "r"(target) : "rax", "memory");
}

void paging_smap(void)
{
	uint64_t cr4 = read_cr4();
	struct trap_record r;

	if (!has_feature_7(20)) {
		test_skip("no SMAP");
		return;
	}
	target = vm_map(0, (uint64_t)guest_alloc_pages(1), PTE_P | PTE_W | PTE_U);
	write_cr4(cr4 | CR4_SMAP);
	CHECK(trap_catch(read_target, NULL, &r) && r.vector == VEC_PF && r.error == 1, "read: vector %lu error %lx", r.vector, r.error);
	CHECK(trap_catch(write_target, NULL, &r) && r.vector == VEC_PF && r.error == 3, "write: vector %lu error %lx", r.vector, r.error);
	CHECK(!trap_catch(read_target_with_ac, NULL, &r), "read with AC set: vector %lu error %lx", r.vector, r.error);
	write_cr4(cr4);
	read_target(NULL);
}

void paging_invlpg(void)
{
	uint64_t *frames[2] = { guest_alloc_pages(1), guest_alloc_pages(1) };
	volatile uint64_t *word = vm_map(0, (uint64_t)frames[0], PTE_P | PTE_W);

	*frames[0] = 100;
	*frames[1] = 101;
	for (unsigned i = 0; i < 50; i++) {
		CHECK_EQ(*word, 100 + i % 2);
		*vm_entry(0) = (uint64_t)frames[(i + 1) % 2] | PTE_P | PTE_W;
		invlpg(word);
	}
	/* From absent to present needs no flush. */
	(void)vm_map(0, 0, 0);
	*vm_entry(0) = (uint64_t)frames[1] | PTE_P;
	CHECK_EQ(*word, 101);
}

void paging_cr3_flush(void)
{
	uint64_t *frames[2] = { guest_alloc_pages(1), guest_alloc_pages(1) };
	volatile uint64_t *word = vm_map(0, (uint64_t)frames[0], PTE_P | PTE_W);

	*frames[0] = 100;
	*frames[1] = 101;
	for (unsigned i = 0; i < 50; i++) {
		CHECK_EQ(*word, 100 + i % 2);
		*vm_entry(0) = (uint64_t)frames[(i + 1) % 2] | PTE_P | PTE_W;
		flush_all();
	}
	(void)vm_map(0, 0, 0);
}

/* Toggling CR4.PGE flushes global entries too. */
void paging_global_flush(void)
{
	uint64_t *frames[2] = { guest_alloc_pages(1), guest_alloc_pages(1) }, cr4 = read_cr4();
	volatile uint64_t *word;

	write_cr4(cr4 | CR4_PGE);
	word = vm_map(0, (uint64_t)frames[0], PTE_P | PTE_W | PTE_G);
	*frames[0] = 100;
	*frames[1] = 101;
	for (unsigned i = 0; i < 50; i++) {
		CHECK_EQ(*word, 100 + i % 2);
		*vm_entry(0) = (uint64_t)frames[(i + 1) % 2] | PTE_P | PTE_W | PTE_G;
		if (i & 4) {
			invlpg(word);
		} else {
			write_cr4(cr4);
			write_cr4(cr4 | CR4_PGE);
		}
	}
	(void)vm_map(0, 0, 0);
	write_cr4(cr4);
}

/* Two address spaces with one address between them. */
void paging_cr3_switch(void)
{
	uint64_t *other = guest_alloc_pages(1), *frames[2] = { guest_alloc_pages(1), guest_alloc_pages(1) }, cr3 = read_cr3();
	volatile uint64_t *pdpt[2], *word = (uint64_t *)SLOT_ADDRESS(3);

	for (unsigned i = 0; i < 2; i++) {
		uint64_t *pd = guest_alloc_pages(1), *pt = guest_alloc_pages(1);

		pdpt[i] = guest_alloc_pages(1);
		pdpt[i][0] = (uint64_t)pd | PTE_P | PTE_W;
		pd[0] = (uint64_t)pt | PTE_P | PTE_W;
		pt[0] = (uint64_t)frames[i] | PTE_P | PTE_W;
		*frames[i] = 500 + i;
	}
	boot_pml4[3] = (uint64_t)pdpt[0] | PTE_P | PTE_W;
	for (unsigned i = 0; i < 512; i++)
		other[i] = boot_pml4[i];
	other[3] = (uint64_t)pdpt[1] | PTE_P | PTE_W;
	for (unsigned i = 0; i < 100; i++) {
		write_cr3(i & 1 ? (uint64_t)other : cr3);
		REQUIRE(*word == 500 + (i & 1), "round %u: %lu", i, *word);
	}
	write_cr3(cr3);
	boot_pml4[3] = 0;
	flush_all();
}

/* A tag keeps its translations across the switch; a CR3 write without bit 63 flushes its tag's. */
void paging_pcid(void)
{
	uint64_t *frames[2] = { guest_alloc_pages(1), guest_alloc_pages(1) }, cr3 = read_cr3(), cr4 = read_cr4();
	volatile uint64_t *word = vm_map(0, (uint64_t)frames[0], PTE_P | PTE_W);

	if (!(cpuid(1, 0).ecx >> 17 & 1)) {
		test_skip("no PCID");
		return;
	}
	*frames[0] = 100;
	*frames[1] = 101;
	write_cr4(cr4 | CR4_PCIDE);
	write_cr3(cr3 | 1);
	CHECK_EQ(*word, 100);
	write_cr3(cr3 | 2);
	CHECK_EQ(*word, 100);
	*vm_entry(0) = (uint64_t)frames[1] | PTE_P | PTE_W;
	write_cr3(cr3 | 1);
	CHECK_EQ(*word, 101);
	write_cr3(cr3 | 2);
	CHECK_EQ(*word, 101);
	CHECK_EQ(read_cr3(), cr3 | 2);
	write_cr3(cr3 | 1 | 1ull << 63);
	CHECK_EQ(read_cr3(), cr3 | 1); /* bit 63 is not stored */
	write_cr3(cr3);
	write_cr4(cr4);
	(void)vm_map(0, 0, 0);
}
