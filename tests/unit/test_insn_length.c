/*
 * insn_length against two witnesses: nasm (every record of insn_length_cases.asm) and Zydis (random bytes in
 * three modes).
 */
/* UNIT_SOURCES: arch/x86_64/insn_length.c build/unit/insn_length_cases.o */
/* UNIT_FLAGS: -Wl,--no-as-needed -lZydis */
#include "arch/x86_64/insn_length.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <Zydis/Zydis.h>

extern const uint8_t insn_length_cases[];

static uint64_t random_state = 0x9E3779B97F4A7C15ull;

static uint64_t random_next(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

/* A copy of exactly `count` bytes on the heap, so that the sanitiser sees a read past them. */
static unsigned length_of(const uint8_t *bytes, unsigned count, enum insn_mode mode)
{
	uint8_t *copy = malloc(count ? count : 1);
	unsigned length;

	memcpy(copy, bytes, count);
	length = insn_length(copy, count, mode);
	free(copy);
	return length;
}

static void print_bytes(const char *what, const uint8_t *bytes, unsigned count, unsigned mode)
{
	print_error("%s, mode %u:", what, mode);
	for (unsigned i = 0; i < count; i++)
		print_error(" %02x", bytes[i]);
	print_error("\n");
}

static void insn_length__assembled_instruction__equals_assembler(void **state)
{
	unsigned cases = 0;
	uint8_t padded[INSN_MAX_BYTES];

	(void)state;
	for (const uint8_t *c = insn_length_cases; c[0] != 0; c += 2 + c[1], cases++) {
		assert_in_range(c[1], 1, INSN_MAX_BYTES);
		memset(padded, 0xCC, sizeof(padded));
		memcpy(padded, c + 2, c[1]);
		if (length_of(c + 2, c[1], c[0]) != c[1] || length_of(padded, sizeof(padded), c[0]) != c[1])
			print_bytes("differs", c + 2, c[1], c[0]);
		assert_int_equal(length_of(c + 2, c[1], c[0]), c[1]);
		assert_int_equal(length_of(padded, sizeof(padded), c[0]), c[1]);
	}
	assert_true(cases > 500);
}

static void insn_length__truncated_instruction__is_zero(void **state)
{
	(void)state;
	for (const uint8_t *c = insn_length_cases; c[0] != 0; c += 2 + c[1])
		for (unsigned count = 0; count < c[1]; count++)
			assert_int_equal(length_of(c + 2, count, c[0]), 0);
}

static void insn_length__more_than_15_bytes__is_zero(void **state)
{
	uint8_t bytes[32];

	(void)state;
	memset(bytes, 0x66, sizeof(bytes));
	bytes[14] = 0x90;
	assert_int_equal(length_of(bytes, 32, INSN_MODE_64), 15);
	bytes[14] = 0x66;
	bytes[15] = 0x90;
	assert_int_equal(length_of(bytes, 32, INSN_MODE_64), 0);
	memset(bytes, 0x2E, sizeof(bytes));
	bytes[9] = 0xC7; /* nine prefixes, opcode, ModRM, imm32: 15 bytes; with a displacement too many */
	bytes[10] = 0x00;
	assert_int_equal(length_of(bytes, 32, INSN_MODE_64), 15);
	bytes[10] = 0x40;
	assert_int_equal(length_of(bytes, 32, INSN_MODE_64), 0);
}

static void insn_length__opcode_undefined_in_64_bit_code__is_zero(void **state)
{
	static const uint8_t opcodes[] = {0x06, 0x0E, 0x17, 0x27, 0x37, 0x60,
					  0x82, 0x9A, 0xCE, 0xD4, 0xD6, 0xEA};
	uint8_t bytes[INSN_MAX_BYTES] = {0};

	(void)state;
	for (unsigned i = 0; i < sizeof(opcodes); i++) {
		bytes[0] = opcodes[i];
		assert_int_equal(length_of(bytes, sizeof(bytes), INSN_MODE_64), 0);
		assert_int_not_equal(length_of(bytes, sizeof(bytes), INSN_MODE_32), 0);
	}
}

/* Random bytes led by what makes decoding hard: prefixes, escapes, vector prefixes. */
static void random_instruction(uint8_t bytes[INSN_MAX_BYTES])
{
	static const uint8_t lead[] = {0x0F, 0x66, 0x67, 0xF2, 0xF3, 0x2E, 0x64,
				       0x48, 0x41, 0xC4, 0xC5, 0x62, 0x8F, 0xF0};
	unsigned at = 0, count = random_next() % 4;

	while (at < count)
		bytes[at++] = lead[random_next() % sizeof(lead)];
	if (random_next() % 3 == 0)
		bytes[at++] = 0x0F;
	while (at < INSN_MAX_BYTES)
		bytes[at++] = (uint8_t)(random_next() >> 24);
}

static void compare_with_zydis(ZydisMachineMode machine, ZydisStackWidth width, enum insn_mode mode,
			       unsigned rounds)
{
	ZydisDecoder decoder;
	ZydisDecodedInstruction decoded;
	uint8_t bytes[INSN_MAX_BYTES];
	unsigned accepted = 0;

	assert_true(ZYAN_SUCCESS(ZydisDecoderInit(&decoder, machine, width)));
	for (unsigned i = 0; i < rounds; i++) {
		unsigned length;

		random_instruction(bytes);
		length = length_of(bytes, sizeof(bytes), mode);
		assert_in_range(length, 0, INSN_MAX_BYTES);
		if (!ZYAN_SUCCESS(
			    ZydisDecoderDecodeInstruction(&decoder, NULL, bytes, sizeof(bytes), &decoded)))
			continue;
		if (decoded.meta.isa_set >= ZYDIS_ISA_SET_KNCE && decoded.meta.isa_set <= ZYDIS_ISA_SET_KNCV)
			continue; /* Knights Corner's branches break VEX's rule; no server or client has them
				   */
		accepted++;
		if (length != decoded.length)
			print_bytes(ZydisMnemonicGetString(decoded.mnemonic), bytes, sizeof(bytes), mode);
		assert_int_equal(length, decoded.length);
		assert_int_equal(length_of(bytes, length, mode), length);
	}
	assert_true(accepted > rounds / 4);
}

static void insn_length__random_bytes__agree_with_zydis(void **state)
{
	(void)state;
	compare_with_zydis(ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64, INSN_MODE_64, 600000);
	compare_with_zydis(ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32, INSN_MODE_32, 400000);
	compare_with_zydis(ZYDIS_MACHINE_MODE_LEGACY_16, ZYDIS_STACK_WIDTH_16, INSN_MODE_16, 400000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(insn_length__assembled_instruction__equals_assembler),
		cmocka_unit_test(insn_length__truncated_instruction__is_zero),
		cmocka_unit_test(insn_length__more_than_15_bytes__is_zero),
		cmocka_unit_test(insn_length__opcode_undefined_in_64_bit_code__is_zero),
		cmocka_unit_test(insn_length__random_bytes__agree_with_zydis),
	};

	return cmocka_run_group_tests_name("insn_length", tests, NULL, NULL);
}
