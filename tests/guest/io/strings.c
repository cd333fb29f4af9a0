/*
 * INS and OUTS, with and without REP: data, registers afterwards, pages in between. The UART's scratch
 * register and the PCI data port are the devices: both give back the same at every read.
 */
#include "tests/guest/io/local.h"
#include "tests/guest/lib/cpu.h"
#include "tests/guest/lib/pci.h"
#include "tests/guest/lib/test.h"
#include "tests/guest/lib/text.h"
#include "tests/guest/lib/trap.h"
#include "tests/guest/lib/vm.h"

#define SCRATCH 0x3FF
#define FIRST   0x0000 /* offsets of two adjacent pages with a hole behind */
#define SECOND  0x1000

static uint8_t buffer[256];

void strings_outs(void)
{
	uint64_t count = 5;
	const uint8_t *at = buffer;

	for (unsigned i = 0; i < sizeof(buffer); i++)
		buffer[i] = (uint8_t)(i + 1);
	__asm__ volatile("cld; rep outsb" : "+S"(at), "+c"(count) : "d"(SCRATCH) : "memory");
	CHECK_EQ(at - buffer, 5);
	CHECK_EQ(count, 0);
	CHECK_EQ(inb(SCRATCH), 5);
	__asm__ volatile("cld; rep outsb" : "+S"(at), "+c"(count) : "d"(SCRATCH) : "memory");
	CHECK_EQ(at - buffer, 5); /* a count of zero does nothing */
	__asm__ volatile("cld; outsb" : "+S"(at) : "d"(SCRATCH) : "memory");
	CHECK_EQ(at - buffer, 6);
	CHECK_EQ(inb(SCRATCH), 6);
	*(uint32_t *)buffer = 0x80000008;
	at = buffer;
	__asm__ volatile("cld; outsl" : "+S"(at) : "d"(PCI_ADDRESS_PORT) : "memory");
	CHECK_EQ(at - buffer, 4);
	CHECK_EQ(inl(PCI_ADDRESS_PORT), 0x80000008);
}

void strings_ins(void)
{
	uint32_t id = pci_read(0, 0, 0);
	uint8_t *at = buffer;
	uint64_t count = 9;

	memset(buffer, 0, sizeof(buffer));
	outb(SCRATCH, 0x7E);
	__asm__ volatile("cld; rep insb" : "+D"(at), "+c"(count) : "d"(SCRATCH) : "memory");
	CHECK_EQ(at - buffer, 9);
	CHECK_EQ(count, 0);
	for (unsigned i = 0; i < 10; i++)
		CHECK(buffer[i] == (i < 9 ? 0x7E : 0), "byte %u is %x", i, buffer[i]);
	count = 3;
	at = buffer;
	__asm__ volatile("cld; rep insl" : "+D"(at), "+c"(count) : "d"(PCI_DATA_PORT) : "memory");
	CHECK_EQ(at - buffer, 12);
	for (unsigned i = 0; i < 3; i++)
		CHECK_EQ(((uint32_t *)buffer)[i], id);
	at = buffer + 100;
	__asm__ volatile("cld; insw" : "+D"(at) : "d"(PCI_DATA_PORT) : "memory");
	CHECK_EQ(*(uint16_t *)(buffer + 100), id & 0xFFFF);
	CHECK_EQ(at - buffer, 102);
}

void strings_backward(void)
{
	uint8_t *at = buffer + 20;
	uint64_t count = 4;

	memset(buffer, 0, sizeof(buffer));
	outb(SCRATCH, 0x3C);
	__asm__ volatile("std; rep insb; cld" : "+D"(at), "+c"(count) : "d"(SCRATCH) : "memory", "cc");
	CHECK_EQ(at - buffer, 16);
	for (unsigned i = 15; i < 22; i++)
		CHECK(buffer[i] == (i >= 17 && i <= 20 ? 0x3C : 0), "byte %u is %x", i, buffer[i]);
}

/* The two pages are adjacent in the address space only. */
void strings_crossing(void)
{
	uint8_t *frames[3] = { guest_alloc_pages(1), guest_alloc_pages(1), guest_alloc_pages(1) };
	uint8_t *at = (uint8_t *)vm_map(FIRST, (uint64_t)frames[2], PTE_P | PTE_W) + 4096 - 5;
	uint64_t count = 12;

	(void)vm_map(SECOND, (uint64_t)frames[0], PTE_P | PTE_W);
	outb(SCRATCH, 0x99);
	__asm__ volatile("cld; rep insb" : "+D"(at), "+c"(count) : "d"(SCRATCH) : "memory");
	CHECK_EQ(count, 0);
	for (unsigned i = 0; i < 5; i++)
		CHECK_EQ(frames[2][4091 + i], 0x99);
	for (unsigned i = 0; i < 8; i++)
		CHECK_EQ(frames[0][i], i < 7 ? 0x99 : 0);
	CHECK_EQ(frames[1][0], 0);
	/* One datum across the pages. */
	(void)pci_read(0, 0, 0);
	at = (uint8_t *)VM_BASE + FIRST + 4094;
	__asm__ volatile("cld; insl" : "+D"(at) : "d"(PCI_DATA_PORT) : "memory");
	CHECK_EQ(*(uint16_t *)(frames[2] + 4094) | (uint32_t) * (uint16_t *)frames[0] << 16, pci_read(0, 0, 0));
}

struct string_state {
	uint64_t rdi, rcx;
};

static struct string_state seen;

static void note_state(struct trap_frame *f)
{
	seen.rdi = f->rdi;
	seen.rcx = f->rcx;
	vm_map(SECOND, (uint64_t)guest_alloc_pages(1), PTE_P | PTE_W);
}

/*
 * A fault in the middle: what was done stays done, the registers point at the rest, and the instruction goes
 * on afterwards.
 */
void strings_fault(void)
{
	uint8_t *frame = guest_alloc_pages(1), *at = (uint8_t *)vm_map(FIRST, (uint64_t)frame, PTE_P | PTE_W) + 4096 - 3;
	uint64_t count = 10;

	(void)vm_map(SECOND, 0, 0);
	outb(SCRATCH, 0x42);
	seen.rcx = 0;
	trap_set_handler(VEC_PF, note_state);
	__asm__ volatile("cld; rep insb" : "+D"(at), "+c"(count) : "d"(SCRATCH) : "memory");
	trap_set_handler(VEC_PF, NULL);
	CHECK_EQ(seen.rcx, 7);
	CHECK_EQ(seen.rdi, VM_BASE + SECOND);
	CHECK_EQ(count, 0);
	CHECK_EQ((uint64_t)at, VM_BASE + SECOND + 7);
	CHECK_EQ(frame[4095], 0x42);
	CHECK_EQ(*(uint8_t *)(VM_BASE + SECOND + 6), 0x42);
	CHECK_EQ(*(uint8_t *)(VM_BASE + SECOND + 7), 0);
}

static void ins_to_first(void *unused)
{
	uint64_t at = VM_BASE + FIRST;

	(void)unused;
	__asm__ volatile("cld; insb" : "+D"(at) : "d"(SCRATCH) : "memory");
}

static bool cr2_is(const struct trap_record *r, uint64_t address)
{
	return r->cr2 == address || test_flaw_known("cr2_not_loaded");
}

void strings_read_only(void)
{
	struct trap_record r;

	vm_map(FIRST, (uint64_t)guest_alloc_pages(1), PTE_P);
	REQUIRE(trap_catch(ins_to_first, NULL, &r), "no exception");
	CHECK(r.vector == VEC_PF && r.error == 3 && cr2_is(&r, VM_BASE + FIRST), "vector %lu error %lx cr2 %lx", r.vector, r.error, r.cr2);
	vm_map(FIRST, 0, 0);
	REQUIRE(trap_catch(ins_to_first, NULL, &r), "no exception");
	CHECK(r.vector == VEC_PF && r.error == 2 && cr2_is(&r, VM_BASE + FIRST), "vector %lu error %lx cr2 %lx", r.vector, r.error, r.cr2);
}

/* 32-bit addresses by prefix: only EDI and ECX count, and their upper halves are cleared. */
void strings_address_size(void)
{
	uint64_t at = (uint64_t)buffer | 0xABCD00000000, count = 0xFFFF00000002;

	memset(buffer, 0, sizeof(buffer));
	outb(SCRATCH, 0x21);
	__asm__ volatile("cld; .byte 0x67; rep insb" : "+D"(at), "+c"(count) : "d"(SCRATCH) : "memory");
	CHECK_EQ(buffer[0] | buffer[1] << 8 | buffer[2] << 16, 0x2121);
	CHECK_EQ(at, (uint64_t)buffer + 2);
	CHECK_EQ(count, 0);
}
