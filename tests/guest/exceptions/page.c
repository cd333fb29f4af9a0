/*
 * Page faults from ring 0, and faults within faults.
 */
#include "tests/guest/exceptions/exceptions.h"
#include "tests/guest/lib/cpu.h"
#include "tests/guest/lib/test.h"
#include "tests/guest/lib/vm.h"

/* Error code bits (SDM vol. 3A, "Page-Fault Exceptions"). */
#define PF_P    1u
#define PF_W    2u
#define PF_RSVD 8u
#define PF_I    16u

#define RESERVED_BIT (1ull << 51) /* above every supported physical address width here */

static volatile uint8_t *page;

static void page_read(void *unused)
{
	(void)unused;
	RAISE("mov %[p], %%rcx; 1: movb 0x123(%%rcx), %%dl", [p] "m"(page));
}

static void page_write(void *unused)
{
	(void)unused;
	RAISE("mov %[p], %%rcx; 1: movb %%dl, 0x123(%%rcx)", [p] "m"(page));
}

static void page_update(void *unused)
{
	(void)unused;
	RAISE("mov %[p], %%rcx; 1: incb 0x123(%%rcx)", [p] "m"(page));
}

static void page_execute(void *unused)
{
	(void)unused;
	__asm__ volatile("movq %1, %0; call *%1" : "=m"(expect_rip) : "r"(page + 0x123) : "rax", "memory");
}

static void expect_page_fault(const char *what, void (*fn)(void *), uint64_t error, uint64_t address)
{
	struct trap_record r;

	expect_rip = 0;
	if (!trap_catch(fn, NULL, &r)) {
		test_fail("%s: no exception", what);
		return;
	}
	CHECK(r.vector == VEC_PF, "%s: vector %lu", what, r.vector);
	CHECK(r.error == error, "%s: error code %lx, not %lx", what, r.error, error);
	CHECK(r.cr2 == address, "%s: CR2 %lx, not %lx", what, r.cr2, address);
	CHECK(r.rip == expect_rip, "%s: RIP %lx, not %lx", what, r.rip, expect_rip);
}

void faults_page(void)
{
	uint64_t frame = (uint64_t)guest_alloc_pages(1), address;

	page = vm_map(0, 0, 0);
	address = (uint64_t)page + 0x123;
	expect_page_fault("read, not present", page_read, 0, address);
	expect_page_fault("write, not present", page_write, PF_W, address);
	expect_page_fault("read-modify-write, not present", page_update, guest_on_tcg() ? 0 : PF_W, address);
	vm_map(0, frame, PTE_P);
	expect_page_fault("write, read-only", page_write, PF_P | PF_W, address);
	vm_map(0, frame, PTE_P | PTE_W | PTE_NX);
	expect_page_fault("execute, NX", page_execute, PF_P | PF_I, address);
	vm_map(0, frame | RESERVED_BIT, PTE_P | PTE_W);
	expect_page_fault("read, reserved bit", page_read, (guest_on_tcg() ? 0 : PF_P) | PF_RSVD, address);
	vm_map(0, frame, PTE_P);
	write_cr0(read_cr0() & ~CR0_WP);
	page_write(NULL);
	write_cr0(read_cr0() | CR0_WP);
	expect_page_fault("write, read-only, after WP came back", page_write, PF_P | PF_W, address);
}

static void page_read_crossing(void *unused)
{
	(void)unused;
	RAISE("mov %[p], %%rcx; 1: mov 0xFFC(%%rcx), %%rdx", [p] "m"(page));
}

static void page_write_crossing(void *unused)
{
	(void)unused;
	RAISE("mov %[p], %%rcx; 1: mov %%rdx, 0xFFC(%%rcx)", [p] "m"(page));
}

static void page_execute_crossing(void *unused)
{
	(void)unused;
	__asm__ volatile("movq %1, %0; call *%1" : "=m"(expect_rip) : "r"(page + 0xFFE) : "rax", "memory");
}

void faults_page_crossing(void)
{
	uint8_t *frame = guest_alloc_pages(1);
	uint64_t second;

	page = vm_map(0, (uint64_t)frame, PTE_P | PTE_W);
	second = (uint64_t)vm_map(0x1000, 0, 0);
	expect_page_fault("read into an absent page", page_read_crossing, 0, second);
	expect_page_fault("write into an absent page", page_write_crossing, PF_W, second);
	CHECK_EQ(*(uint32_t *)(frame + 0xFFC), 0); /* the write did nothing */
	frame[0xFFE] = 0xB8;                       /* mov $imm32, %eax */
	/* The I bit is set whenever NX is enabled (SDM vol. 3A, "Page-Fault Exceptions"). */
	expect_page_fault("instruction into an absent page", page_execute_crossing, PF_I, second);
}

DEFINE_RAISE(raise_gp, "mov $0x8000000000000000, %%rcx; 1: mov (%%rcx), %%rdx")

static void raise_with_bad_stack(void *unused)
{
	(void)unused;
	RAISE("xor %%ecx, %%ecx; movabs $0x8000010000, %%rsp; 1: mov 0x123(%%rsp), %%rdx", "i"(0));
}

/*
 * #DF comes when a contributory fault or #PF meets another (SDM vol. 3A, "Conditions for Generating a Double
 * Fault").
 */
void faults_double(void)
{
	trap_set_gate(VEC_GP, 0, 0xE, 0, false);
	expect_exception("#GP whose gate is absent", raise_gp, VEC_DF, 0);
	trap_set_gate(VEC_GP, 0, 0xE, 0, true);
	page = vm_map(0, 0, 0);
	trap_set_gate(VEC_PF, 0, 0xE, 0, false);
	expect_exception("#PF whose gate is absent", page_read, VEC_DF, 0);
	trap_set_gate(VEC_PF, 0, 0xE, 0, true);
	vm_map(0x10000, 0, 0);
	expect_exception("#PF on an absent stack", raise_with_bad_stack, VEC_DF, 0);
}

static void fault_inside(struct trap_frame *f)
{
	struct trap_record r;

	page = vm_map(0, 0, 0);
	if (!trap_catch(page_read, NULL, &r) || r.vector != VEC_PF)
		test_fail("no #PF inside the #UD handler");
	f->rip += 2; /* past ud2 */
}

static void raise_ud_and_go_on(void *unused)
{
	(void)unused;
	__asm__ volatile("mov $5, %%ecx; ud2; inc %%ecx; mov %%ecx, %0" : "=m"(expect_rip) : : "ecx", "memory");
}

void faults_nested(void)
{
	trap_set_handler(VEC_UD, fault_inside);
	expect_rip = 0;
	raise_ud_and_go_on(NULL);
	trap_set_handler(VEC_UD, NULL);
	CHECK_EQ(expect_rip, 6);
}
