/*
 * The emulator as a trapped guest meets it: trap page in, answer out, with the guest's page tables, RAM and
 * device registers. Real, protected and long mode; faults, repetition, page crossings, locks, and hostile
 * state.
 */
/* UNIT_SOURCES: drivers-vm/lib/insn_guest.c drivers-vm/lib/insn_emulate.c drivers-vm/lib/insn_operand.c */
/* UNIT_SOURCES: drivers-vm/lib/insn_string.c drivers-vm/lib/insn_alu.c drivers-vm/lib/insn_decode.c */
/* UNIT_SOURCES: drivers-vm/lib/insn_table.c drivers-vm/lib/guest_walk.c */
#include "drivers-vm/lib/insn_alu.h"
#include "drivers-vm/lib/insn_guest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#define RAM_BYTES  0x40000ull
#define PML4       0x1000ull
#define PDPT       0x2000ull
#define PD         0x3000ull
#define PT         0x4000ull
#define CODE       0x10000ull /* linear and physical */
#define DATA       0x20000ull /* linear and physical */
#define HOLE       0x30000ull /* linear: this page is not present */
#define DEVICE     0x38000ull /* linear, two pages */
#define DEVICE_GPA 0xFEB00000ull
#define ALL        7ull
#define RAX        0
#define RCX        1
#define RDX        2
#define RBX        3
#define RSP        4
#define RBP        5
#define RSI        6
#define RDI        7

#define ACCESSES_MAX 64u

struct access {
	bool write, port;
	uint64_t address;
	unsigned bytes;
	uint64_t value;
};

struct guest {
	_Alignas(4096) uint8_t ram[RAM_BYTES];
	struct hilum_trap trap;
	struct insn_guest_config config;
	struct access access[ACCESSES_MAX];
	unsigned accesses;  /* may exceed ACCESSES_MAX: the rest is only counted */
	uint64_t next_read; /* what the device answers */
	uint8_t *interfere; /* changed whenever RAM is looked up for a locked write */
	uint8_t xmm[16][16];
};

static struct guest g;

static void *ram(void *opaque, uint64_t gpa, uint64_t bytes)
{
	struct guest *guest = opaque;

	if (bytes > RAM_BYTES || gpa > RAM_BYTES - bytes)
		return NULL;
	if (guest->interfere && guest->ram + gpa == guest->interfere)
		++*guest->interfere;
	return guest->ram + gpa;
}

static void record(struct access access)
{
	if (g.accesses < ACCESSES_MAX)
		g.access[g.accesses] = access;
	g.accesses++;
}

static uint64_t mmio_read(void *opaque, uint64_t gpa, unsigned bytes)
{
	(void)opaque;
	assert_true(bytes == 1 || bytes == 2 || bytes == 4 || bytes == 8);
	assert_true(gpa % bytes == 0);
	record((struct access){ .address = gpa, .bytes = bytes });
	return g.next_read++;
}

static void mmio_write(void *opaque, uint64_t gpa, unsigned bytes, uint64_t value)
{
	(void)opaque;
	assert_true(bytes == 1 || bytes == 2 || bytes == 4 || bytes == 8);
	assert_true(gpa % bytes == 0);
	record((struct access){ .write = true, .address = gpa, .bytes = bytes, .value = value });
}

static uint32_t port_read(void *opaque, uint16_t port, unsigned bytes)
{
	(void)opaque;
	assert_true(bytes == 1 || bytes == 2 || bytes == 4);
	record((struct access){ .port = true, .address = port, .bytes = bytes });
	return (uint32_t)g.next_read++;
}

static void port_write(void *opaque, uint16_t port, unsigned bytes, uint32_t value)
{
	(void)opaque;
	record((struct access){ .port = true, .write = true, .address = port, .bytes = bytes, .value = value });
}

static void xmm_read(void *opaque, unsigned number, uint8_t value[16])
{
	(void)opaque;
	memcpy(value, g.xmm[number], 16);
}

static void xmm_write(void *opaque, unsigned number, const uint8_t value[16])
{
	(void)opaque;
	memcpy(g.xmm[number], value, 16);
}

static const struct insn_guest_host host = { ram, mmio_read, mmio_write, port_read, port_write, NULL, NULL };
static const struct insn_guest_host host_with_xmm = { ram, mmio_read, mmio_write, port_read, port_write, xmm_read, xmm_write };

static void put_8(uint64_t gpa, uint64_t value)
{
	memcpy(g.ram + gpa, &value, 8);
}

static uint64_t get(uint64_t gpa, unsigned bytes)
{
	uint64_t value = 0;

	memcpy(&value, g.ram + gpa, bytes);
	return value;
}

static struct hilum_segment flat(uint16_t selector, uint16_t attributes)
{
	return (struct hilum_segment){ .limit = 0xFFFFFFFF, .selector = selector, .attributes = attributes };
}

static void set_segments(uint16_t code_attributes, unsigned cpl)
{
	struct hilum_segment data = flat((uint16_t)(0x18 | cpl), (uint16_t)(0x0C93 | cpl << 5));

	g.trap.cs = flat((uint16_t)(0x10 | cpl), code_attributes);
	g.trap.ss = g.trap.ds = g.trap.es = g.trap.fs = g.trap.gs = data;
}

/* Long mode with the map above: identity for 256 KiB but for the hole and the device. */
static void start_long_mode(void)
{
	memset(&g, 0, sizeof(g));
	g.config = (struct insn_guest_config){ .host = &host, .opaque = &g, .physical_bits = 40, .has_1g_pages = true };
	put_8(PML4, PDPT | ALL);
	put_8(PDPT, PD | ALL);
	put_8(PD, PT | ALL);
	for (uint64_t page = 0; page < RAM_BYTES; page += 4096)
		put_8(PT + page / 4096 * 8, page | ALL);
	put_8(PT + HOLE / 4096 * 8, 0);
	put_8(PT + DEVICE / 4096 * 8, DEVICE_GPA | ALL);
	put_8(PT + DEVICE / 4096 * 8 + 8, (DEVICE_GPA + 0x1000) | ALL);
	g.trap.kind = HILUM_TRAP_MMIO;
	g.trap.address = ~0ull; /* nobody's operand: every address is walked */
	g.trap.cr0 = CR0_PE | CR0_PG | CR0_WP;
	g.trap.cr3 = PML4;
	g.trap.cr4 = CR4_PAE;
	g.trap.efer = EFER_LMA | EFER_NXE;
	g.trap.rip = CODE;
	g.trap.rflags = 0x202;
	g.trap.gpr[RSP] = DATA + 0x800;
	set_segments(0x0A9B, 0);
}

/* 32-bit protected mode without paging; the device at its own address. */
static void start_protected_mode(void)
{
	start_long_mode();
	g.trap.cr0 = CR0_PE;
	g.trap.cr4 = 0;
	g.trap.efer = 0;
	set_segments(0x0C9B, 0);
}

/* Real mode: CS at 0x1000, DS and ES at 0x2000, SS at 0x2000, 64 KiB each. */
static void start_real_mode(void)
{
	struct hilum_segment data = { .base = DATA, .limit = 0xFFFF, .selector = DATA >> 4, .attributes = 0x93 };

	start_protected_mode();
	g.trap.cr0 = 0;
	g.trap.cs = (struct hilum_segment){ .base = CODE, .limit = 0xFFFF, .selector = CODE >> 4, .attributes = 0x9B };
	g.trap.ss = g.trap.ds = g.trap.es = g.trap.fs = g.trap.gs = data;
	g.trap.rip = 0;
}

#define RUN(...) run((const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ }))

static enum insn_result run(const uint8_t *code, unsigned bytes)
{
	uint64_t at = (g.trap.cs.base + g.trap.rip) & 0xFFFFFFFF;

	memcpy(g.ram + at, code, bytes);
	return insn_guest_emulate(&g.config, &g.trap);
}

static void assert_access(unsigned index, bool write, uint64_t address, unsigned bytes)
{
	assert_in_range(index, 0, g.accesses - 1);
	assert_int_equal(g.access[index].write, write);
	assert_true(g.access[index].address == address);
	assert_int_equal(g.access[index].bytes, bytes);
}

static void assert_exception(enum insn_result result, unsigned vector, uint32_t error_code)
{
	assert_int_equal(result, INSN_EXCEPTION);
	assert_int_equal(g.trap.reply, HILUM_REPLY_STATE | HILUM_REPLY_INJECT);
	assert_int_equal(g.trap.vector, vector);
	assert_int_equal(g.trap.error_code, error_code);
}

/* ---- Device registers ---- */

static void insn_guest_emulate__store_to_device__reaches_it_once(void **state)
{
	(void)state;
	start_long_mode();
	g.trap.gpr[RBX] = DEVICE;
	g.trap.gpr[RCX] = 0x1122334455667788;
	assert_int_equal(RUN(0x89, 0x4B, 0x10), INSN_DONE); /* mov [rbx+16], ecx */
	assert_int_equal(g.accesses, 1);
	assert_access(0, true, DEVICE_GPA + 16, 4);
	assert_int_equal(g.access[0].value, 0x55667788);
	assert_true(g.trap.rip == CODE + 3);
	assert_int_equal(g.trap.reply, HILUM_REPLY_STATE);
	assert_true(get(PT + DEVICE / 4096 * 8, 8) == (DEVICE_GPA | ALL | 0x60)); /* accessed and dirty */
}

static void insn_guest_emulate__loads_from_device__extend_as_the_instruction_says(void **state)
{
	(void)state;
	start_long_mode();
	g.trap.gpr[RBX] = DEVICE;
	g.trap.gpr[RCX] = ~0ull;
	g.next_read = 0x80;
	assert_int_equal(RUN(0x8B, 0x0B), INSN_DONE); /* mov ecx, [rbx] */
	assert_true(g.trap.gpr[RCX] == 0x80);
	g.next_read = 0x80;
	assert_int_equal(RUN(0x48, 0x0F, 0xBE, 0x0B), INSN_DONE); /* movsx rcx, byte [rbx] */
	assert_true(g.trap.gpr[RCX] == 0xFFFFFFFFFFFFFF80);
	g.next_read = 0x12;
	assert_int_equal(RUN(0x8A, 0x2B), INSN_DONE); /* mov ch, [rbx] */
	assert_true(g.trap.gpr[RCX] == 0xFFFFFFFFFFFF1280);
	g.next_read = 0x1234567890ABCDEF;
	assert_int_equal(RUN(0x48, 0x8B, 0x0B), INSN_DONE); /* mov rcx, [rbx] */
	assert_true(g.trap.gpr[RCX] == 0x1234567890ABCDEF);
	assert_int_equal(g.accesses, 4);
}

static void insn_guest_emulate__read_modify_write_of_device__is_one_read_and_one_write(void **state)
{
	(void)state;
	start_long_mode();
	g.trap.gpr[RBX] = DEVICE;
	g.trap.gpr[RCX] = 0x0F;
	g.next_read = 0xF0;
	assert_int_equal(RUN(0xF0, 0x09, 0x0B), INSN_DONE); /* lock or [rbx], ecx */
	assert_int_equal(g.accesses, 2);
	assert_access(0, false, DEVICE_GPA, 4);
	assert_access(1, true, DEVICE_GPA, 4);
	assert_int_equal(g.access[1].value, 0xFF);
	g.next_read = 7;
	assert_int_equal(RUN(0x87, 0x0B), INSN_DONE); /* xchg [rbx], ecx */
	assert_int_equal(g.trap.gpr[RCX], 7);
	assert_int_equal(g.access[3].value, 0x0F);
	assert_int_equal(RUN(0xF7, 0x03, 1, 0, 0, 0), INSN_DONE); /* test dword [rbx], 1 */
	assert_int_equal(g.accesses, 5);
}

static void insn_guest_emulate__misaligned_device_access__is_split_into_aligned_ones(void **state)
{
	(void)state;
	start_long_mode();
	g.trap.gpr[RBX] = DEVICE + 0xFFD;
	g.trap.gpr[RCX] = 0x8877665544332211;
	assert_int_equal(RUN(0x48, 0x89, 0x0B), INSN_DONE); /* mov [rbx], rcx: three bytes, then five on the next page */
	assert_int_equal(g.accesses, 4);
	assert_access(0, true, DEVICE_GPA + 0xFFD, 1);
	assert_access(1, true, DEVICE_GPA + 0xFFE, 2);
	assert_access(2, true, DEVICE_GPA + 0x1000, 4);
	assert_access(3, true, DEVICE_GPA + 0x1004, 1);
	assert_int_equal(g.access[0].value, 0x11);
	assert_int_equal(g.access[1].value, 0x3322);
	assert_int_equal(g.access[2].value, 0x77665544);
	assert_int_equal(g.access[3].value, 0x88);
}

static void insn_guest_emulate__push_and_pop_of_device__use_the_stack(void **state)
{
	(void)state;
	start_long_mode();
	g.trap.gpr[RBX] = DEVICE;
	g.next_read = 0x1234;
	assert_int_equal(RUN(0xFF, 0x33), INSN_DONE); /* push qword [rbx] */
	assert_true(g.trap.gpr[RSP] == DATA + 0x7F8);
	assert_true(get(DATA + 0x7F8, 8) == 0x1234);
	assert_int_equal(RUN(0x8F, 0x43, 0x08), INSN_DONE); /* pop qword [rbx+8] */
	assert_true(g.trap.gpr[RSP] == DATA + 0x800);
	assert_access(1, true, DEVICE_GPA + 8, 8);
	assert_int_equal(g.access[1].value, 0x1234);
}

static void insn_guest_emulate__vector_move__needs_the_register_callbacks(void **state)
{
	(void)state;
	start_long_mode();
	g.trap.gpr[RBX] = DEVICE;
	assert_int_equal(RUN(0x0F, 0x11, 0x0B), INSN_UNSUPPORTED); /* movups [rbx], xmm1 */
	assert_int_equal(g.trap.vector, INSN_VECTOR_UD);
	assert_int_equal(g.trap.reply, HILUM_REPLY_STATE | HILUM_REPLY_INJECT);
	assert_true(g.trap.rip == CODE);
	assert_int_equal(g.accesses, 0);
	g.config.host = &host_with_xmm;
	memset(g.xmm[1], 0x11, 16);
	assert_int_equal(RUN(0x0F, 0x11, 0x0B), INSN_DONE);
	assert_int_equal(g.accesses, 2);
	assert_access(1, true, DEVICE_GPA + 8, 8);
	assert_true(g.access[1].value == 0x1111111111111111);
	g.next_read = 5;
	assert_int_equal(RUN(0x66, 0x44, 0x0F, 0x6F, 0x0B), INSN_DONE); /* movdqa xmm9, [rbx] */
	assert_int_equal(g.xmm[9][0], 5);
	assert_int_equal(g.xmm[9][8], 6);
	g.trap.gpr[RBX]++;
	assert_exception(RUN(0x66, 0x44, 0x0F, 0x6F, 0x0B), INSN_VECTOR_GP, 0);
}

static void insn_guest_emulate__bytes_from_the_cpu__are_used_instead_of_memory(void **state)
{
	static const uint8_t code[] = { 0x89, 0x0B };

	(void)state;
	start_long_mode();
	g.trap.gpr[RBX] = DEVICE;
	put_8(PT + CODE / 4096 * 8, 0);
	memcpy(g.trap.insn, code, sizeof(code));
	g.trap.insn_bytes = sizeof(code);
	assert_int_equal(insn_guest_emulate(&g.config, &g.trap), INSN_DONE);
	assert_access(0, true, DEVICE_GPA, 4);
}

static void insn_guest_emulate__operand_known_from_the_trap__is_not_walked_again(void **state)
{
	(void)state;
	start_long_mode();
	g.trap.gpr[RBX] = DEVICE + 8;
	g.trap.address = DEVICE_GPA + 8;
	g.trap.write = 1;
	assert_int_equal(RUN(0x89, 0x0B), INSN_DONE);
	assert_access(0, true, DEVICE_GPA + 8, 4);
	assert_true(get(PT + DEVICE / 4096 * 8, 8) == (DEVICE_GPA | ALL));
	g.trap.write = 0; /* a read is no proof that writing is allowed */
	put_8(PT + DEVICE / 4096 * 8, DEVICE_GPA | 5);
	assert_exception(RUN(0x01, 0x0B), INSN_VECTOR_PF, PAGE_FAULT_PRESENT | PAGE_FAULT_WRITE);
}

static void insn_guest_emulate__two_operands_at_the_same_page_offset__are_both_walked(void **state)
{
	(void)state;
	start_long_mode();
	g.trap.gpr[RSI] = DEVICE;
	g.trap.gpr[RDI] = DATA;
	g.trap.gpr[RCX] = 2;
	g.trap.address = DEVICE_GPA;
	g.next_read = 0x10;
	assert_int_equal(RUN(0xF3, 0x48, 0xA5), INSN_DONE); /* rep movsq */
	assert_int_equal(g.accesses, 2);
	assert_true(get(DATA, 8) == 0x10);
	assert_true(get(DATA + 8, 8) == 0x11);
}

/* ---- Repetition ---- */

static void insn_guest_emulate__long_repetition__is_done_in_bounded_steps(void **state)
{
	(void)state;
	start_long_mode();
	g.trap.gpr[RCX] = 1500;
	g.trap.gpr[RDI] = DEVICE;
	g.trap.gpr[RAX] = 0x77;
	assert_int_equal(RUN(0xF3, 0xAB), INSN_AGAIN); /* rep stosd */
	assert_int_equal(g.accesses, INSN_REPEAT_BYTES_MAX / 4);
	assert_int_equal(g.trap.gpr[RCX], 1500 - INSN_REPEAT_BYTES_MAX / 4);
	assert_true(g.trap.gpr[RDI] == DEVICE + INSN_REPEAT_BYTES_MAX);
	assert_true(g.trap.rip == CODE);
	assert_int_equal(g.trap.reply, HILUM_REPLY_STATE);
	assert_int_equal(insn_guest_emulate(&g.config, &g.trap), INSN_DONE);
	assert_int_equal(g.trap.gpr[RCX], 0);
	assert_true(g.trap.gpr[RDI] == DEVICE + 6000);
	assert_true(g.trap.rip == CODE + 2);
	assert_int_equal(g.accesses, 1500);
}

static void insn_guest_emulate__repetition_of_nothing__only_moves_on(void **state)
{
	(void)state;
	start_long_mode();
	g.trap.gpr[RDI] = HOLE;
	assert_int_equal(RUN(0xF3, 0xA4), INSN_DONE);
	assert_true(g.trap.rip == CODE + 2);
	g.trap.gpr[RCX] = 0xFFFFFFFF00000000;
	g.trap.rip = CODE;
	assert_int_equal(RUN(0x67, 0xF3, 0xA4), INSN_DONE); /* ECX counts */
	assert_true(g.trap.rip == CODE + 3);
}

static void insn_guest_emulate__fault_inside_repetition__keeps_what_was_done(void **state)
{
	(void)state;
	start_long_mode();
	g.trap.gpr[RCX] = 8;
	g.trap.gpr[RSI] = DEVICE;
	g.trap.gpr[RDI] = HOLE - 12;
	g.next_read = 0x100;
	assert_exception(RUN(0xF3, 0xA5), INSN_VECTOR_PF, PAGE_FAULT_WRITE); /* rep movsd */
	assert_true(g.trap.cr2 == HOLE);
	assert_int_equal(g.trap.gpr[RCX], 5);
	assert_true(g.trap.gpr[RSI] == DEVICE + 12);
	assert_true(g.trap.gpr[RDI] == HOLE);
	assert_true(g.trap.rip == CODE);
	assert_int_equal(g.accesses, 3); /* the device was not read for the element that had nowhere to go */
	assert_int_equal(get(HOLE - 4, 4), 0x102);
	put_8(PT + HOLE / 4096 * 8, HOLE | ALL);
	assert_int_equal(insn_guest_emulate(&g.config, &g.trap), INSN_DONE);
	assert_int_equal(get(HOLE + 16, 4), 0x107);
}

static void insn_guest_emulate__string_input_without_destination__reads_no_port(void **state)
{
	(void)state;
	start_long_mode();
	g.trap.kind = HILUM_TRAP_STRING;
	g.trap.gpr[RCX] = 4;
	g.trap.gpr[RDX] = 0x1F0;
	g.trap.gpr[RDI] = HOLE;
	assert_exception(RUN(0xF3, 0x66, 0x6D), INSN_VECTOR_PF, PAGE_FAULT_WRITE); /* rep insw */
	assert_int_equal(g.accesses, 0);
	assert_int_equal(g.trap.gpr[RCX], 4);
	g.trap.gpr[RDI] = DATA;
	g.next_read = 0xA0;
	assert_int_equal(insn_guest_emulate(&g.config, &g.trap), INSN_DONE);
	assert_int_equal(g.accesses, 4);
	assert_true(g.access[3].port);
	assert_access(3, false, 0x1F0, 2);
	assert_true(get(DATA, 8) == 0x00A300A200A100A0);
}

static void insn_guest_emulate__string_output__goes_through_its_segment_and_direction(void **state)
{
	(void)state;
	start_long_mode();
	g.trap.gs.base = DATA;
	g.trap.gpr[RDX] = 0xFFFF0402;
	g.trap.gpr[RCX] = 3;
	g.trap.gpr[RSI] = 2;
	g.trap.rflags |= RFLAGS_DF;
	put_8(DATA, 0x332211);
	assert_int_equal(RUN(0x65, 0xF3, 0x6E), INSN_DONE); /* rep outs dx, byte gs:[rsi] */
	assert_int_equal(g.accesses, 3);
	assert_access(0, true, 0x0402, 1);
	assert_int_equal(g.access[0].value, 0x33);
	assert_int_equal(g.access[2].value, 0x11);
	assert_true(g.trap.gpr[RSI] == ~0ull);
}

static void insn_guest_emulate__compare_strings__stops_at_the_difference(void **state)
{
	(void)state;
	start_long_mode();
	memset(g.ram + DATA, 0x55, 32);
	g.ram[DATA + 4] = 0x54;
	g.trap.gpr[RAX] = 0x55;
	g.trap.gpr[RCX] = 16;
	g.trap.gpr[RDI] = DATA;
	assert_int_equal(RUN(0xF3, 0xAE), INSN_DONE); /* repe scasb */
	assert_int_equal(g.trap.gpr[RCX], 11);
	assert_true(g.trap.gpr[RDI] == DATA + 5);
	assert_int_equal(g.trap.rflags & (RFLAGS_ZF | RFLAGS_CF), 0);
}

static void insn_guest_emulate__trap_flag__asks_for_a_debug_exception_after_each_iteration(void **state)
{
	(void)state;
	start_long_mode();
	g.trap.rflags |= RFLAGS_TF;
	g.trap.gpr[RCX] = 2;
	g.trap.gpr[RDI] = DEVICE;
	assert_int_equal(RUN(0xF3, 0xAA), INSN_AGAIN);
	assert_int_equal(g.trap.gpr[RCX], 1);
	assert_int_equal(g.trap.reply, HILUM_REPLY_STATE | HILUM_REPLY_INJECT);
	assert_int_equal(g.trap.vector, 1);
	assert_int_equal(insn_guest_emulate(&g.config, &g.trap), INSN_DONE);
	assert_int_equal(g.trap.reply, HILUM_REPLY_STATE | HILUM_REPLY_INJECT);
	assert_true(g.trap.rip == CODE + 2);
}

static void insn_guest_emulate__done__clears_the_resume_flag(void **state)
{
	(void)state;
	start_long_mode();
	g.trap.rflags |= RFLAGS_RF;
	g.trap.gpr[RBX] = DEVICE;
	assert_int_equal(RUN(0x89, 0x0B), INSN_DONE);
	assert_int_equal(g.trap.rflags, 0x202);
}

/* ---- Faults ---- */

static void insn_guest_emulate__write_across_into_the_hole__writes_nothing(void **state)
{
	(void)state;
	start_long_mode();
	g.trap.gpr[RBX] = HOLE - 2;
	g.trap.gpr[RCX] = 0x11223344;
	assert_exception(RUN(0x89, 0x0B), INSN_VECTOR_PF, PAGE_FAULT_WRITE);
	assert_true(g.trap.cr2 == HOLE);
	assert_int_equal(get(HOLE - 2, 2), 0);
	assert_true(g.trap.rip == CODE);
}

static void insn_guest_emulate__user_mode_and_write_protection__are_respected(void **state)
{
	(void)state;
	start_long_mode();
	set_segments(0x0AFB, 3);
	put_8(PT + DEVICE / 4096 * 8, DEVICE_GPA | 3);
	g.trap.gpr[RBX] = DEVICE;
	assert_exception(RUN(0x8B, 0x0B), INSN_VECTOR_PF, PAGE_FAULT_PRESENT | PAGE_FAULT_USER);
	put_8(PT + DEVICE / 4096 * 8, DEVICE_GPA | 5);
	assert_int_equal(RUN(0x8B, 0x0B), INSN_DONE);
	assert_exception(RUN(0x01, 0x0B), INSN_VECTOR_PF, PAGE_FAULT_PRESENT | PAGE_FAULT_USER | PAGE_FAULT_WRITE);
	assert_int_equal(g.accesses, 1); /* add [rbx], ecx did not even read */
}

static void insn_guest_emulate__page_read_before__is_still_checked_for_writing(void **state)
{
	(void)state;
	start_long_mode();
	put_8(PT + DATA / 4096 * 8, DATA | 5); /* read-only */
	g.trap.gpr[RBX] = DATA;
	assert_exception(RUN(0xFF, 0x33), INSN_VECTOR_PF, PAGE_FAULT_PRESENT | PAGE_FAULT_WRITE); /* push [rbx] */
	assert_true(g.trap.cr2 == DATA + 0x7F8);
	assert_true(g.trap.gpr[RSP] == DATA + 0x800);
}

static enum insn_result no_memory(struct insn_context *c, uint64_t linear, void *buffer, unsigned bytes, unsigned access)
{
	(void)c;
	(void)linear;
	(void)buffer;
	(void)bytes;
	(void)access;
	return INSN_AGAIN;
}

static void insn_emulate__exception__has_an_error_code_outside_real_mode_only(void **state)
{
	static const struct insn_host nowhere = { .read = no_memory };
	struct insn_context c = { .host = &nowhere, .bytes = { 0x8B, 0x0F }, .byte_count = 2 }; /* mov ecx, [bx] */

	(void)state;
	c.gpr[RBX] = 1;
	assert_int_equal(insn_emulate(&c), INSN_EXCEPTION);
	assert_int_equal(c.exception.vector, INSN_VECTOR_GP);
	assert_false(c.exception.has_error_code);
	c.cr0 = CR0_PE;
	assert_int_equal(insn_emulate(&c), INSN_EXCEPTION);
	assert_true(c.exception.has_error_code);
}

static void insn_guest_emulate__instruction_across_pages__fetches_both(void **state)
{
	(void)state;
	start_long_mode();
	g.trap.rip = CODE + 0x1000 - 3;
	g.trap.gpr[RBX] = DEVICE;
	assert_int_equal(RUN(0xC7, 0x43, 0x04, 0x78, 0x56, 0x34, 0x12), INSN_DONE); /* mov dword [rbx+4], imm */
	assert_int_equal(g.access[0].value, 0x12345678);
	g.trap.rip = CODE + 0x1000 - 3;
	put_8(PT + CODE / 4096 * 8 + 8, 0);
	assert_exception(insn_guest_emulate(&g.config, &g.trap), INSN_VECTOR_PF, PAGE_FAULT_FETCH);
	assert_true(g.trap.cr2 == CODE + 0x1000);
	g.trap.rip = CODE + 0x1000 - 2; /* an instruction that ends with the page needs no second one */
	assert_int_equal(RUN(0x89, 0x0B), INSN_DONE);
}

static void insn_guest_emulate__non_canonical_address__is_gp_or_ss(void **state)
{
	(void)state;
	start_long_mode();
	g.trap.gpr[RBX] = g.trap.gpr[RBP] = 0x0000800000000000;
	assert_exception(RUN(0x8B, 0x0B), INSN_VECTOR_GP, 0);
	assert_exception(RUN(0x8B, 0x4D, 0x00), INSN_VECTOR_SS, 0);
	g.trap.gpr[RBX] = 0x00007FFFFFFFFFFE;
	assert_exception(RUN(0x8B, 0x0B), INSN_VECTOR_GP, 0);
}

static void insn_guest_emulate__page_table_outside_ram__is_a_reserved_bit_fault(void **state)
{
	(void)state;
	start_long_mode();
	put_8(PDPT, 0xFEE00000 | ALL);
	g.trap.gpr[RBX] = DEVICE;
	memcpy(g.trap.insn, "\x89\x0B", 2);
	g.trap.insn_bytes = 2;
	assert_exception(insn_guest_emulate(&g.config, &g.trap), INSN_VECTOR_PF,
	                 PAGE_FAULT_PRESENT | PAGE_FAULT_RESERVED | PAGE_FAULT_WRITE);
}

static void insn_guest_emulate__alignment_check__applies_to_user_mode_only(void **state)
{
	(void)state;
	start_long_mode();
	g.trap.cr0 |= CR0_AM;
	g.trap.rflags |= RFLAGS_AC;
	g.trap.gpr[RBX] = DEVICE + 2;
	assert_int_equal(RUN(0x8B, 0x0B), INSN_DONE);
	set_segments(0x0AFB, 3);
	assert_exception(RUN(0x8B, 0x0B), INSN_VECTOR_AC, 0);
}

static void insn_guest_emulate__locked_write_lost_to_another_vcpu__tries_again(void **state)
{
	(void)state;
	start_long_mode();
	g.trap.gpr[RBX] = DATA;
	g.interfere = g.ram + DATA;
	assert_int_equal(RUN(0xF0, 0xFF, 0x03), INSN_AGAIN); /* lock inc dword [rbx] */
	assert_true(g.trap.rip == CODE);
	assert_int_equal(g.trap.rflags, 0x202);
	g.interfere = NULL;
	put_8(DATA, 41);
	assert_int_equal(insn_guest_emulate(&g.config, &g.trap), INSN_DONE);
	assert_int_equal(get(DATA, 4), 42);
}

/* ---- Protected and real mode ---- */

static void insn_guest_emulate__protected_mode__checks_limit_and_type(void **state)
{
	(void)state;
	start_protected_mode();
	g.trap.gpr[RBX] = (uint32_t)DEVICE_GPA;
	assert_int_equal(RUN(0x89, 0x0B), INSN_DONE);
	assert_access(0, true, DEVICE_GPA, 4);
	g.trap.ds.limit = (uint32_t)DEVICE_GPA + 2;
	assert_exception(RUN(0x89, 0x0B), INSN_VECTOR_GP, 0);
	assert_int_equal(RUN(0x88, 0x0B), INSN_DONE);
	g.trap.ds = flat(0x18, 0x0C91); /* read-only */
	assert_exception(RUN(0x89, 0x0B), INSN_VECTOR_GP, 0);
	assert_int_equal(RUN(0x8B, 0x0B), INSN_DONE);
	g.trap.ds = flat(0x18, 0x0C99); /* execute-only code */
	assert_exception(RUN(0x8B, 0x0B), INSN_VECTOR_GP, 0);
	g.trap.ds = flat(0, 0); /* null */
	assert_exception(RUN(0x8B, 0x0B), INSN_VECTOR_GP, 0);
	g.trap.ss.limit = 0xFFF;
	g.trap.gpr[RBP] = 0x1000;
	assert_exception(RUN(0x8B, 0x4D, 0x00), INSN_VECTOR_SS, 0);
}

static void insn_guest_emulate__expand_down_segment__allows_above_its_limit(void **state)
{
	(void)state;
	start_protected_mode();
	g.trap.ds = flat(0x18, 0x0C97);
	g.trap.ds.limit = 0xFFFF;
	g.trap.gpr[RBX] = 0x10000;
	assert_int_equal(RUN(0x8B, 0x0B), INSN_DONE);
	g.trap.gpr[RBX] = 0xFFFF;
	assert_exception(RUN(0x8B, 0x0B), INSN_VECTOR_GP, 0);
	g.trap.ds.attributes = 0x0097; /* 16-bit: upper bound 64 KiB */
	g.trap.ds.limit = 0xFFF;
	g.trap.gpr[RBX] = 0xFFFD;
	assert_exception(RUN(0x8B, 0x0B), INSN_VECTOR_GP, 0);
	g.trap.gpr[RBX] = 0xFFFC;
	assert_int_equal(RUN(0x8B, 0x0B), INSN_DONE);
}

static void insn_guest_emulate__protected_mode_linear_address__wraps_at_4_gib(void **state)
{
	(void)state;
	start_protected_mode();
	g.trap.ds.base = 0xFFFFF000;
	g.trap.gpr[RBX] = 0x1000 + DATA;
	put_8(DATA, 0x1234);
	assert_int_equal(RUN(0x8B, 0x0B), INSN_DONE);
	assert_int_equal(g.trap.gpr[RCX], 0x1234);
}

static void insn_guest_emulate__real_mode__uses_segments_16_bits_and_no_error_code(void **state)
{
	(void)state;
	start_real_mode();
	g.trap.ds.base = DEVICE_GPA;
	g.trap.gpr[RBX] = 0xABCD0010;
	g.trap.gpr[RSI] = 4;
	g.trap.gpr[RAX] = 0xFFFF1234;
	assert_int_equal(RUN(0x89, 0x00), INSN_DONE); /* mov [bx+si], ax */
	assert_access(0, true, DEVICE_GPA + 0x14, 2);
	assert_int_equal(g.access[0].value, 0x1234);
	assert_int_equal(g.trap.rip, 2);
	g.trap.gpr[RBX] = 0xFFFB;
	assert_exception(RUN(0x89, 0x00), INSN_VECTOR_GP, 0);
	g.trap.gpr[RSP] = 0x100;
	g.trap.gpr[RBX] = 0;
	g.trap.gpr[RSI] = 0;
	g.next_read = 0x4321;
	assert_int_equal(RUN(0xFF, 0x30), INSN_DONE); /* push word [bx+si] */
	assert_int_equal(g.trap.gpr[RSP], 0xFE);
	assert_int_equal(get(DATA + 0xFE, 2), 0x4321);
	g.trap.gpr[RCX] = 0x00020000 | 3;
	g.trap.gpr[RDI] = 0xFFFF0100;
	assert_int_equal(RUN(0xF3, 0xAA), INSN_DONE); /* rep stosb: CX counts */
	assert_int_equal(g.trap.gpr[RCX], 0x00020000);
	assert_true(g.trap.gpr[RDI] == 0xFFFF0103);
}

static void insn_guest_emulate__32_bit_string_in_64_bit_code__clears_upper_halves(void **state)
{
	(void)state;
	start_long_mode();
	g.trap.gpr[RCX] = 0xFFFFFFFF00000002;
	g.trap.gpr[RDI] = 0xFFFFFFFF00000000 | DEVICE;
	assert_int_equal(RUN(0x67, 0xF3, 0xAA), INSN_DONE);
	assert_true(g.trap.gpr[RCX] == 0);
	assert_true(g.trap.gpr[RDI] == DEVICE + 2);
}

static void insn_guest_emulate__selector_store__is_16_bits(void **state)
{
	(void)state;
	start_long_mode();
	g.trap.gpr[RBX] = DEVICE;
	g.trap.gs.selector = 0x2B;
	assert_int_equal(RUN(0x48, 0x8C, 0x2B), INSN_DONE); /* mov [rbx], gs */
	assert_access(0, true, DEVICE_GPA, 2);
	assert_int_equal(g.access[0].value, 0x2B);
}

static void insn_guest_emulate__port_instructions__use_dx_immediate_and_width(void **state)
{
	(void)state;
	start_long_mode();
	g.trap.gpr[RAX] = 0x1122334455667788;
	g.trap.gpr[RDX] = 0xFFFF03F8;
	assert_int_equal(RUN(0xEE), INSN_DONE); /* out dx, al */
	assert_access(0, true, 0x3F8, 1);
	assert_int_equal(g.access[0].value, 0x88);
	g.next_read = 0xFFFF;
	assert_int_equal(RUN(0x66, 0xE5, 0x71), INSN_DONE); /* in ax, 0x71 */
	assert_access(1, false, 0x71, 2);
	assert_true(g.trap.gpr[RAX] == 0x112233445566FFFF);
	g.next_read = 1;
	assert_int_equal(RUN(0xED), INSN_DONE); /* in eax, dx */
	assert_true(g.trap.gpr[RAX] == 1);
}

/* ---- Hostile state ---- */

static uint64_t random_state = 0x853C49E6748FEA9Bull;

static uint64_t random_next(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

static void insn_guest_emulate__random_state__ends_in_bounded_work(void **state)
{
	static const uint64_t control[] = { 0, CR0_PE, CR0_PE | CR0_PG, CR0_PE | CR0_PG | CR0_WP | CR0_AM };

	(void)state;
	for (unsigned round = 0; round < 60000; round++) {
		struct hilum_trap *trap = &g.trap;
		enum insn_result result;
		uint64_t rip;

		if (round % 4 == 0)
			start_real_mode();
		else
			start_long_mode();
		for (unsigned i = 0; i < 16; i++)
			trap->gpr[i] = random_next() >> (random_next() % 64);
		if (round % 8 >= 4) {
			trap->cr0 = control[random_next() % 4];
			trap->efer = random_next() % 2 ? EFER_LMA : EFER_NXE;
			trap->cr4 = random_next();
			trap->rflags = random_next();
			trap->cs.attributes = (uint16_t)random_next();
			trap->ds.limit = (uint32_t)random_next();
			trap->es.base = random_next();
			trap->rip = random_next() % 2 ? random_next() : trap->rip;
			put_8(PT + 8 * (random_next() % 64), random_next());
		}
		for (unsigned i = 0; i < 16; i++)
			trap->insn[i] = (uint8_t)(random_next() >> 24);
		if (random_next() % 4 == 0)
			trap->insn[0] = 0xF3;
		trap->insn_bytes = random_next() % 4 ? 15 : (uint32_t)random_next();
		memcpy(g.ram + CODE, trap->insn, 15);
		rip = trap->rip;
		result = insn_guest_emulate(&g.config, trap);
		assert_true(g.accesses <= 4 * INSN_REPEAT_BYTES_MAX);
		if (result != INSN_DONE)
			assert_true(trap->rip == rip);
		if (result == INSN_EXCEPTION)
			assert_in_range(trap->vector, 0, 31);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(insn_guest_emulate__store_to_device__reaches_it_once),
		cmocka_unit_test(insn_guest_emulate__loads_from_device__extend_as_the_instruction_says),
		cmocka_unit_test(insn_guest_emulate__read_modify_write_of_device__is_one_read_and_one_write),
		cmocka_unit_test(insn_guest_emulate__misaligned_device_access__is_split_into_aligned_ones),
		cmocka_unit_test(insn_guest_emulate__push_and_pop_of_device__use_the_stack),
		cmocka_unit_test(insn_guest_emulate__vector_move__needs_the_register_callbacks),
		cmocka_unit_test(insn_guest_emulate__bytes_from_the_cpu__are_used_instead_of_memory),
		cmocka_unit_test(insn_guest_emulate__operand_known_from_the_trap__is_not_walked_again),
		cmocka_unit_test(insn_guest_emulate__two_operands_at_the_same_page_offset__are_both_walked),
		cmocka_unit_test(insn_guest_emulate__long_repetition__is_done_in_bounded_steps),
		cmocka_unit_test(insn_guest_emulate__repetition_of_nothing__only_moves_on),
		cmocka_unit_test(insn_guest_emulate__fault_inside_repetition__keeps_what_was_done),
		cmocka_unit_test(insn_guest_emulate__string_input_without_destination__reads_no_port),
		cmocka_unit_test(insn_guest_emulate__string_output__goes_through_its_segment_and_direction),
		cmocka_unit_test(insn_guest_emulate__compare_strings__stops_at_the_difference),
		cmocka_unit_test(insn_guest_emulate__trap_flag__asks_for_a_debug_exception_after_each_iteration),
		cmocka_unit_test(insn_guest_emulate__done__clears_the_resume_flag),
		cmocka_unit_test(insn_guest_emulate__write_across_into_the_hole__writes_nothing),
		cmocka_unit_test(insn_guest_emulate__user_mode_and_write_protection__are_respected),
		cmocka_unit_test(insn_guest_emulate__page_read_before__is_still_checked_for_writing),
		cmocka_unit_test(insn_emulate__exception__has_an_error_code_outside_real_mode_only),
		cmocka_unit_test(insn_guest_emulate__instruction_across_pages__fetches_both),
		cmocka_unit_test(insn_guest_emulate__non_canonical_address__is_gp_or_ss),
		cmocka_unit_test(insn_guest_emulate__page_table_outside_ram__is_a_reserved_bit_fault),
		cmocka_unit_test(insn_guest_emulate__alignment_check__applies_to_user_mode_only),
		cmocka_unit_test(insn_guest_emulate__locked_write_lost_to_another_vcpu__tries_again),
		cmocka_unit_test(insn_guest_emulate__protected_mode__checks_limit_and_type),
		cmocka_unit_test(insn_guest_emulate__expand_down_segment__allows_above_its_limit),
		cmocka_unit_test(insn_guest_emulate__protected_mode_linear_address__wraps_at_4_gib),
		cmocka_unit_test(insn_guest_emulate__real_mode__uses_segments_16_bits_and_no_error_code),
		cmocka_unit_test(insn_guest_emulate__32_bit_string_in_64_bit_code__clears_upper_halves),
		cmocka_unit_test(insn_guest_emulate__selector_store__is_16_bits),
		cmocka_unit_test(insn_guest_emulate__port_instructions__use_dx_immediate_and_width),
		cmocka_unit_test(insn_guest_emulate__random_state__ends_in_bounded_work),
	};

	return cmocka_run_group_tests_name("insn_guest", tests, NULL, NULL);
}
