/*
 * insn_emulate against the CPU that runs this: instructions and operands as `random_next` has them, which whoever includes this brings (a
 * test with random ones, and fuzz_native.c), are executed natively and by the emulator on the same memory at the same addresses; registers,
 * defined flags and memory must then be equal.
 */
#ifndef TESTS_UNIT_INSN_NATIVE_H
#define TESTS_UNIT_INSN_NATIVE_H

#include "drivers-vm/lib/guest_walk.h"
#include "drivers-vm/lib/insn_alu.h"
#include "drivers-vm/lib/insn_emulate.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include <sys/mman.h>

static uint64_t random_next(void);

#define DATA_BYTES 8192u
#define RAX        0u
#define RCX        1u
#define RSI        6u
#define RDI        7u

struct native_state {
	uint64_t gpr[16];
	uint64_t rflags;
};

extern struct native_state native_state;
extern uint64_t native_host_rsp, native_code;
void native_run(void);
extern char native_return[];

struct native_state native_state;
uint64_t native_host_rsp, native_code;

/* Loads all registers, RSP included, jumps to native_code, which jumps to native_return, and stores them
 * again. */
__asm__(".text\n"
        "native_run:\n"
        "	push %rbp\n	push %rbx\n	push %r12\n	push %r13\n	push %r14\n	push %r15\n"
        "	mov %rsp, native_host_rsp(%rip)\n"
        "	pushq native_state+128(%rip)\n"
        "	popfq\n"
        "	mov native_state+0(%rip), %rax\n"
        "	mov native_state+8(%rip), %rcx\n"
        "	mov native_state+16(%rip), %rdx\n"
        "	mov native_state+24(%rip), %rbx\n"
        "	mov native_state+32(%rip), %rsp\n"
        "	mov native_state+40(%rip), %rbp\n"
        "	mov native_state+48(%rip), %rsi\n"
        "	mov native_state+56(%rip), %rdi\n"
        "	mov native_state+64(%rip), %r8\n"
        "	mov native_state+72(%rip), %r9\n"
        "	mov native_state+80(%rip), %r10\n"
        "	mov native_state+88(%rip), %r11\n"
        "	mov native_state+96(%rip), %r12\n"
        "	mov native_state+104(%rip), %r13\n"
        "	mov native_state+112(%rip), %r14\n"
        "	mov native_state+120(%rip), %r15\n"
        "	jmp *native_code(%rip)\n"
        "native_return:\n"
        "	mov %rax, native_state+0(%rip)\n"
        "	mov %rcx, native_state+8(%rip)\n"
        "	mov %rdx, native_state+16(%rip)\n"
        "	mov %rbx, native_state+24(%rip)\n"
        "	mov %rsp, native_state+32(%rip)\n"
        "	mov %rbp, native_state+40(%rip)\n"
        "	mov %rsi, native_state+48(%rip)\n"
        "	mov %rdi, native_state+56(%rip)\n"
        "	mov %r8, native_state+64(%rip)\n"
        "	mov %r9, native_state+72(%rip)\n"
        "	mov %r10, native_state+80(%rip)\n"
        "	mov %r11, native_state+88(%rip)\n"
        "	mov %r12, native_state+96(%rip)\n"
        "	mov %r13, native_state+104(%rip)\n"
        "	mov %r14, native_state+112(%rip)\n"
        "	mov %r15, native_state+120(%rip)\n"
        "	mov native_host_rsp(%rip), %rsp\n"
        "	pushfq\n"
        "	popq native_state+128(%rip)\n"
        "	cld\n"
        "	pop %r15\n	pop %r14\n	pop %r13\n	pop %r12\n	pop %rbx\n	pop %rbp\n"
        "	ret\n");

static uint8_t *code; /* one page, executable */
static uint8_t *data; /* DATA_BYTES below 4 GiB, so that 32-bit addressing reaches it */
/* Random, but often one of the values at which flags change. */
static uint64_t random_operand(void)
{
	static const uint64_t edges[] = { 0,
		                          1,
		                          0x7F,
		                          0x80,
		                          0xFF,
		                          0x7FFF,
		                          0x8000,
		                          0xFFFF,
		                          0x7FFFFFFF,
		                          0x80000000,
		                          0xFFFFFFFF,
		                          0x7FFFFFFFFFFFFFFF,
		                          0x8000000000000000,
		                          ~0ull };

	if (random_next() % 3 == 0)
		return edges[random_next() % (sizeof(edges) / sizeof(edges[0]))];
	return random_next();
}

/* ---- The emulator's world: the test's own memory ---- */

static enum insn_result host_read(struct insn_context *c, uint64_t linear, void *buffer, unsigned bytes, unsigned access)
{
	(void)c;
	(void)access;
	memcpy(buffer, (const void *)linear, bytes);
	return INSN_DONE;
}

static enum insn_result host_write(struct insn_context *c, uint64_t linear, const void *buffer, unsigned bytes)
{
	(void)c;
	memcpy((void *)linear, buffer, bytes);
	return INSN_DONE;
}

static enum insn_result host_compare_exchange(struct insn_context *c, uint64_t linear, uint64_t expected, uint64_t desired, unsigned bytes)
{
	uint64_t now = 0;

	memcpy(&now, (const void *)linear, bytes);
	assert_true(now == expected);
	return host_write(c, linear, &desired, bytes);
}

static enum insn_result host_probe_write(struct insn_context *c, uint64_t linear, unsigned bytes)
{
	(void)c;
	(void)linear;
	(void)bytes;
	return INSN_DONE;
}

static const struct insn_host host = {
	.read = host_read,
	.write = host_write,
	.compare_exchange = host_compare_exchange,
	.probe_write = host_probe_write,
};

static void set_context(struct insn_context *c, const struct native_state *state)
{
	memset(c, 0, sizeof(*c));
	c->host = &host;
	memcpy(c->gpr, state->gpr, sizeof(c->gpr));
	c->rflags = state->rflags;
	c->rip = (uint64_t)code;
	c->cr0 = CR0_PE | CR0_PG;
	c->efer = EFER_LMA;
	c->segment[INSN_CS].attributes = 0x0A9B; /* 64-bit code */
	c->segment[INSN_CS].selector = 0x33;
}

/* ---- Random instructions ---- */

static bool operation_can_lock(unsigned operation)
{
	switch (operation) {
	case INSN_ADD ... INSN_XOR:
	case INSN_BTS ... INSN_BTC:
	case INSN_NOT ... INSN_DEC:
	case INSN_XCHG ... INSN_CMPXCHG:
		return true;
	}
	return false;
}

/* A prefix drawn as opcode shifts all that follows: only the addresses that were meant are run. */
static bool address_is_meant(const struct insn *insn)
{
	if (!insn->has_memory)
		return true;
	if (insn->base == INSN_NO_REGISTER)
		return insn->source == INSN_OPERAND_ACCUMULATOR || insn->destination == INSN_OPERAND_ACCUMULATOR;
	return (insn->base & 7) >= 3 && (insn->base & 7) <= 4 && insn->index == INSN_NO_REGISTER && insn->displacement >= -128 &&
	       insn->displacement < 128;
}

/* Writes an instruction at `code` and its description to `insn`. False if the bytes drawn make none that can
 * be run here. */
static bool draw_instruction(struct insn *insn)
{
	static const uint8_t modrm_rm[] = { 0x43, 0x44 }; /* [rbx or r11 + disp8], [SIB + disp8] */
	unsigned at = 0, modrm_at;
	bool two_bytes = random_next() % 3 == 0, memory = random_next() % 4 != 0;
	bool lock = random_next() % 8 == 0;

	if (random_next() % 4 == 0)
		code[at++] = 0x66;
	if (random_next() % 8 == 0)
		code[at++] = 0x67;
	if (lock)
		code[at++] = 0xF0;
	else if (random_next() % 4 == 0)
		code[at++] = 0xF2 | random_next() % 2;
	if (random_next() % 2)
		code[at++] = 0x40 | (random_next() & 0xD); /* never REX.X: there is no index */
	if (two_bytes)
		code[at++] = 0x0F;
	code[at++] = (uint8_t)random_next();
	if (two_bytes && code[at - 1] == 0x38)
		code[at++] = 0xF0 | random_next() % 2;
	modrm_at = at;
	for (unsigned i = at; i < 24; i++)
		code[i] = (uint8_t)random_next();
	if (memory) {
		code[modrm_at] = modrm_rm[random_next() % 2] | (random_next() & 0x38);
		code[modrm_at + 1] = (code[modrm_at] & 7) == 4 ? 0x24 : code[modrm_at + 1];
	} else {
		code[modrm_at] |= 0xC0;
	}
	if (insn_decode(code, INSN_MAX_BYTES, INSN_MODE_64, insn) != INSN_DECODE_OK)
		return false;
	if (insn->lock && !(insn->has_memory && insn->destination == INSN_OPERAND_RM && operation_can_lock(insn->operation)))
		return false;
	if (insn->repeat && insn->operation < INSN_MOVS)
		return false;
	if (insn->operation == INSN_MOVNTI && code[0] == 0x66)
		return false; /* undefined */
	switch (insn->operation) {
	case INSN_IN:
	case INSN_OUT:
	case INSN_INS:
	case INSN_OUTS:
	case INSN_MOV_VECTOR:
	case INSN_MOV_FROM_SEGMENT:
		return false;
	}
	return insn->segment < INSN_FS && address_is_meant(insn);
}

static bool is_bit_test(const struct insn *insn)
{
	return insn->operation >= INSN_BT && insn->operation <= INSN_BTC;
}

/* Random registers and memory, with addresses where the instruction needs them. False if it needs one
 * register for two things. */
static bool draw_operands(const struct insn *insn, struct native_state *state)
{
	const uint64_t flags = RFLAGS_ARITHMETIC | RFLAGS_DF;

	for (unsigned i = 0; i < DATA_BYTES; i += 8)
		*(uint64_t *)(data + i) = random_operand();
	for (unsigned i = 0; i < 16; i++)
		state->gpr[i] = random_operand();
	state->rflags = 0x202 | (random_next() & flags);
	state->gpr[INSN_RSP] = (uint64_t)data + 4096 + random_next() % 64;
	if (insn->operation >= INSN_MOVS) {
		state->gpr[RSI] = (uint64_t)data + 2048 + random_next() % 256;
		state->gpr[RDI] = (uint64_t)data + 3072 + random_next() % 256;
		if (random_next() % 2) /* equal strings, so that comparisons run on */
			memcpy(data, data + DATA_BYTES / 2, DATA_BYTES / 2);
		if (random_next() % 2)
			memset(data, (int)state->gpr[RAX], DATA_BYTES);
		if (insn->repeat)
			state->gpr[RCX] = random_next() % 20;
		return true;
	}
	if (!insn->has_memory)
		return true;
	if (insn->base == INSN_NO_REGISTER) { /* MOV with an address in the instruction */
		uint64_t address = (uint64_t)data + random_next() % 4000;

		memcpy(code + insn->length - insn->address_bytes, &address, insn->address_bytes);
		return true;
	}
	if (is_bit_test(insn) && insn->source == INSN_OPERAND_REG) {
		if (insn->reg == insn->base)
			return false;
		state->gpr[insn->reg] = (state->gpr[insn->reg] % 4096) - 2048;
	}
	state->gpr[insn->base] = (uint64_t)data + 4096 + random_next() % 64;
	if (insn->operation == INSN_CMPXCHG && random_next() % 2)
		memcpy(&state->gpr[RAX], (void *)(state->gpr[insn->base] + (uint64_t)insn->displacement), 8);
	return true;
}

/* Flags that the manual defines after `insn` with these operands. */
static uint64_t defined_flags(const struct insn *insn, const struct native_state *before)
{
	uint64_t all = RFLAGS_ARITHMETIC | RFLAGS_DF, bits = 8u * insn->bytes;
	uint64_t count = insn->source == INSN_OPERAND_CL ? before->gpr[RCX] & 0xFF : insn->immediate;

	count &= insn->bytes == 8 ? 63 : 31;
	switch (insn->operation) {
	case INSN_AND:
	case INSN_OR:
	case INSN_XOR:
	case INSN_TEST:
		return all & ~RFLAGS_AF;
	case INSN_BT ... INSN_BTC:
		return all & ~(RFLAGS_OF | RFLAGS_SF | RFLAGS_AF | RFLAGS_PF);
	case INSN_ROL ... INSN_RCR:
		return count > 1 ? all & ~RFLAGS_OF : all;
	case INSN_SHL ... INSN_SAR:
		if (count == 0)
			return all;
		all &= ~RFLAGS_AF;
		if (count > 1)
			all &= ~RFLAGS_OF;
		if (count > bits || (count == bits && insn->bytes < 4))
			all &= ~RFLAGS_CF;
		return all;
	}
	return all;
}

/* The instruction, then a jump back through an absolute address. */
static void run_natively(const struct insn *insn, const struct native_state *before)
{
	static const uint8_t jump[] = { 0xFF, 0x25, 0, 0, 0, 0 };
	uint8_t kept[24];
	uint64_t target = (uint64_t)native_return;

	memcpy(kept, code, sizeof(kept));
	memcpy(code + insn->length, jump, sizeof(jump));
	memcpy(code + insn->length + sizeof(jump), &target, sizeof(target));
	native_state = *before;
	native_code = (uint64_t)code;
	native_run();
	memcpy(code, kept, sizeof(kept));
}

static bool states_equal(const struct insn_context *c, uint64_t flags)
{
	return memcmp(c->gpr, native_state.gpr, sizeof(c->gpr)) == 0 && ((c->rflags ^ native_state.rflags) & flags) == 0;
}

static void print_difference(const struct insn *insn, const struct native_state *before, const struct insn_context *c)
{
	print_error("bytes:");
	for (unsigned i = 0; i < insn->length; i++)
		print_error(" %02x", code[i]);
	print_error("\nrflags %lx: native %lx, emulated %lx\n", before->rflags, native_state.rflags, c->rflags);
	for (unsigned i = 0; i < 16; i++)
		print_error("r%u %lx: native %lx, emulated %lx\n", i, before->gpr[i], native_state.gpr[i], c->gpr[i]);
}

/* Draws an instruction and what it works on, and runs it natively and by the emulator. Returns its operation; INSN_NONE: nothing was run.
 */
static unsigned compare_one(void)
{
	static uint8_t before_data[DATA_BYTES], native_data[DATA_BYTES];
	struct native_state before;
	struct insn_context c;
	struct insn insn;
	bool equal;

	if (!draw_instruction(&insn) || !draw_operands(&insn, &before))
		return INSN_NONE;
	memcpy(before_data, data, DATA_BYTES);
	run_natively(&insn, &before);
	memcpy(native_data, data, DATA_BYTES);
	memcpy(data, before_data, DATA_BYTES);
	set_context(&c, &before);
	assert_int_equal(insn_emulate(&c), INSN_DONE);
	assert_true(c.rip == (uint64_t)code + insn.length);
	equal = states_equal(&c, defined_flags(&insn, &before)) && memcmp(native_data, data, DATA_BYTES) == 0;
	if (!equal)
		print_difference(&insn, &before, &c);
	assert_true(equal);
	return insn.operation;
}

static bool make_memory(void)
{
	code = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	data = mmap(NULL, DATA_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	return code != MAP_FAILED && data != MAP_FAILED;
}

#endif
