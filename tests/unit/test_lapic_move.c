/* lapic_move_decode on the encodings that guests use, on what it must refuse, and against Zydis. */
/* UNIT_SOURCES: arch/x86_64/insn_length.c */
/* UNIT_FLAGS: -Wl,--no-as-needed -lZydis */
#include "arch/x86_64/insn_length.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <Zydis/Zydis.h>

static bool decode(const uint8_t *bytes, unsigned count, enum insn_mode mode, struct lapic_move *move)
{
	uint8_t *copy = malloc(count ? count : 1); /* exact size: the sanitiser sees a read past it */
	bool ok;

	memcpy(copy, bytes, count);
	ok = lapic_move_decode(copy, count, mode, move);
	free(copy);
	return ok;
}

struct move_case {
	uint8_t bytes[INSN_MAX_BYTES];
	uint8_t count;
	uint8_t mode;
	struct lapic_move want;
};

static void lapic_move_decode__plain_move__gives_direction_register_and_length(void **state)
{
	static const struct move_case cases[] = {
		/* mov [rdi], esi */
		{ { 0x89, 0x37 }, 2, INSN_MODE_64, { true, 6, 2, 0 } },
		/* mov [r8+0x300], r15d */
		{ { 0x45, 0x89, 0xB8, 0x00, 0x03, 0, 0 }, 7, INSN_MODE_64, { true, 15, 7, 0 } },
		/* mov eax, [0xfffffffffee00020] by SIB */
		{ { 0x8B, 0x04, 0x25, 0x20, 0x00, 0xE0, 0xFE }, 7, INSN_MODE_64, { false, 0, 7, 0 } },
		/* mov r9d, [rip+4] */
		{ { 0x44, 0x8B, 0x0D, 4, 0, 0, 0 }, 7, INSN_MODE_64, { false, 9, 7, 0 } },
		/* mov dword [rax+0xb0], 0 */
		{ { 0xC7, 0x80, 0xB0, 0, 0, 0, 0, 0, 0, 0 }, 10, INSN_MODE_64, { true, 0xFF, 10, 0 } },
		/* mov dword [gs:rax], 0x12345678 */
		{ { 0x65, 0xC7, 0x00, 0x78, 0x56, 0x34, 0x12 }, 7, INSN_MODE_64, { true, 0xFF, 7, 0x12345678 } },
		/* mov [0xfee000b0], eax as moffs */
		{ { 0xA3, 0xB0, 0x00, 0xE0, 0xFE }, 5, INSN_MODE_32, { true, 0, 5, 0 } },
		{ { 0xA1, 0xB0, 0x00, 0xE0, 0xFE }, 5, INSN_MODE_32, { false, 0, 5, 0 } },
		{ { 0xA1, 1, 2, 3, 4, 5, 6, 7, 8 }, 9, INSN_MODE_64, { false, 0, 9, 0 } },
		{ { 0x67, 0xA1, 1, 2, 3, 4 }, 6, INSN_MODE_64, { false, 0, 6, 0 } },
		/* a prefix between REX and opcode voids the REX */
		{ { 0x4C, 0x64, 0x8B, 0x07 }, 4, INSN_MODE_64, { false, 0, 4, 0 } },
		/* 16-bit code needs the operand prefix; bx+si addressing, then 32-bit addressing */
		{ { 0x66, 0x89, 0x08 }, 3, INSN_MODE_16, { true, 1, 3, 0 } },
		{ { 0x66, 0x67, 0x8B, 0x93, 0, 0, 0, 0 }, 8, INSN_MODE_16, { false, 2, 8, 0 } },
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		struct lapic_move move = { 0 };

		assert_true(decode(cases[i].bytes, cases[i].count, cases[i].mode, &move));
		assert_int_equal(move.write, cases[i].want.write);
		assert_int_equal(move.reg, cases[i].want.reg);
		assert_int_equal(move.length, cases[i].want.length);
		assert_int_equal(move.imm, cases[i].want.imm);
		for (unsigned count = 0; count < cases[i].count; count++)
			assert_false(decode(cases[i].bytes, count, cases[i].mode, &move));
	}
}

static void lapic_move_decode__other_instruction__is_refused(void **state)
{
	static const struct move_case cases[] = {
		{ { 0x89, 0xC8 }, 2, INSN_MODE_64, { 0 } },                /* register to register */
		{ { 0x88, 0x07 }, 2, INSN_MODE_64, { 0 } },                /* 8 bits */
		{ { 0x66, 0x89, 0x07 }, 3, INSN_MODE_64, { 0 } },          /* 16 bits */
		{ { 0x48, 0x89, 0x07 }, 3, INSN_MODE_64, { 0 } },          /* 64 bits */
		{ { 0x89, 0x07 }, 2, INSN_MODE_16, { 0 } },                /* 16 bits */
		{ { 0xC7, 0x48, 0, 0, 0, 0, 0 }, 7, INSN_MODE_64, { 0 } }, /* C7 /1 */
		{ { 0xF0, 0x89, 0x07 }, 3, INSN_MODE_64, { 0 } },          /* LOCK */
		{ { 0x87, 0x07 }, 2, INSN_MODE_64, { 0 } },                /* XCHG */
		{ { 0xFF, 0x37 }, 2, INSN_MODE_64, { 0 } },                /* PUSH */
		{ { 0x0F, 0xB6, 0x07 }, 3, INSN_MODE_64, { 0 } },          /* MOVZX */
	};
	struct lapic_move move = { true, 0x5A, 0x5A, 0x5A5A5A5A };

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++)
		assert_false(decode(cases[i].bytes, cases[i].count, cases[i].mode, &move));
	assert_int_equal(move.imm, 0x5A5A5A5A);
	assert_int_equal(move.length, 0x5A);
}

/* What Zydis says of a 32-bit MOV between memory and a register or immediate; false for all else. */
static bool expected_move(const ZydisDecodedInstruction *insn, const ZydisDecodedOperand *op, struct lapic_move *move)
{
	unsigned memory, other;

	if (insn->mnemonic != ZYDIS_MNEMONIC_MOV || insn->opcode_map != ZYDIS_OPCODE_MAP_DEFAULT)
		return false;
	memory = op[0].type == ZYDIS_OPERAND_TYPE_MEMORY ? 0 : 1;
	other = 1 - memory;
	if (op[memory].type != ZYDIS_OPERAND_TYPE_MEMORY || op[memory].size != 32)
		return false;
	if (op[other].type == ZYDIS_OPERAND_TYPE_REGISTER && ZydisRegisterGetClass(op[other].reg.value) != ZYDIS_REGCLASS_GPR32)
		return false;
	if (insn->attributes &
	    (ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPNE | ZYDIS_ATTRIB_HAS_LOCK | ZYDIS_ATTRIB_HAS_XACQUIRE | ZYDIS_ATTRIB_HAS_XRELEASE))
		return false;
	for (unsigned i = 0; i < insn->raw.prefix_count; i++)
		if (insn->raw.prefixes[i].value == 0xF2 || insn->raw.prefixes[i].value == 0xF3)
			return false;
	*move = (struct lapic_move){ .write = memory == 0, .length = insn->length };
	if (op[other].type == ZYDIS_OPERAND_TYPE_IMMEDIATE) {
		move->reg = LAPIC_MOVE_NO_REGISTER;
		move->imm = (uint32_t)op[other].imm.value.u;
	} else {
		move->reg = (uint8_t)(op[other].reg.value - ZYDIS_REGISTER_EAX);
	}
	return true;
}

static void compare_with_zydis(ZydisMachineMode machine, ZydisStackWidth width, enum insn_mode mode)
{
	static const uint8_t opcodes[] = { 0x89, 0x8B, 0xC7, 0xA1, 0xA3, 0x88, 0x8A, 0x87, 0xA0, 0x8C };
	static const uint8_t lead[] = { 0x66, 0x67, 0x48, 0x44, 0x41, 0x64, 0x2E, 0xF2, 0xF3, 0xF0 };
	ZydisDecoder decoder;
	ZydisDecodedInstruction insn;
	ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
	unsigned moves = 0;

	assert_true(ZYAN_SUCCESS(ZydisDecoderInit(&decoder, machine, width)));
	srand(1);
	for (unsigned i = 0; i < 200000; i++) {
		uint8_t bytes[INSN_MAX_BYTES];
		struct lapic_move want = { 0 }, got = { 0 };
		unsigned at = 0, prefixes = (unsigned)rand() % 3;
		bool wanted = false;

		for (unsigned k = 0; k < sizeof(bytes); k++)
			bytes[k] = (uint8_t)(rand() >> 8);
		while (at < prefixes)
			bytes[at++] = lead[(unsigned)rand() % sizeof(lead)];
		bytes[at] = opcodes[(unsigned)rand() % sizeof(opcodes)];
		if (ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, bytes, sizeof(bytes), &insn, operands)))
			wanted = expected_move(&insn, operands, &want);
		assert_int_equal(decode(bytes, sizeof(bytes), mode, &got), wanted);
		if (!wanted)
			continue;
		moves++;
		assert_int_equal(got.write, want.write);
		assert_int_equal(got.reg, want.reg);
		assert_int_equal(got.length, want.length);
		assert_int_equal(got.imm, want.imm);
	}
	assert_true(moves > 2000);
}

static void lapic_move_decode__random_bytes__agree_with_zydis(void **state)
{
	(void)state;
	compare_with_zydis(ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64, INSN_MODE_64);
	compare_with_zydis(ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32, INSN_MODE_32);
	compare_with_zydis(ZYDIS_MACHINE_MODE_LEGACY_16, ZYDIS_STACK_WIDTH_16, INSN_MODE_16);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lapic_move_decode__plain_move__gives_direction_register_and_length),
		cmocka_unit_test(lapic_move_decode__other_instruction__is_refused),
		cmocka_unit_test(lapic_move_decode__random_bytes__agree_with_zydis),
	};

	return cmocka_run_group_tests_name("lapic_move", tests, NULL, NULL);
}
