/*
 * insn_length against Zydis: the instructions that exit behind random prefixes, in three modes.
 */
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
	bytes[14] = 0x0F;
	bytes[15] = 0xA2;
	assert_int_equal(length_of(bytes, 32, INSN_MODE_64), 0);
}

static void insn_length__instruction_that_does_not_exit__is_zero(void **state)
{
	static const uint8_t others[][3] = { { 0x89, 0x00 }, { 0xC3 }, { 0x0F, 0x05 }, { 0x0F, 0x01, 0x38 }, { 0x40, 0x0F, 0x84 } };
	uint8_t bytes[INSN_MAX_BYTES] = { 0 };

	(void)state;
	for (unsigned i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		memcpy(bytes, others[i], sizeof(others[i]));
		assert_int_equal(length_of(bytes, sizeof(bytes), INSN_MODE_64), 0);
	}
}

static const uint8_t exiting[][2] = { { 0xF4 },       { 0x90 },       { 0x0F, 0xA2 }, { 0x0F, 0x30 }, { 0x0F, 0x32 }, { 0x0F, 0x08 },
	                              { 0x0F, 0x09 }, { 0x0F, 0x20 }, { 0x0F, 0x21 }, { 0x0F, 0x22 }, { 0x0F, 0x23 }, { 0x0F, 0x01 } };

/* Up to six prefixes, an instruction that exits, and random bytes. */
static void random_instruction(uint8_t bytes[INSN_MAX_BYTES], enum insn_mode mode)
{
	static const uint8_t lead[] = { 0x66, 0x67, 0xF2, 0xF3, 0x2E, 0x64, 0x26, 0x36, 0x3E, 0x65, 0xF0, 0x48, 0x41 }; /* REX last */
	const uint8_t *opcode = exiting[random_next() % (sizeof(exiting) / 2)];
	unsigned at = 0, count = random_next() % 7;

	while (at < count)
		bytes[at++] = lead[random_next() % (sizeof(lead) - (mode == INSN_MODE_64 ? 0 : 2))];
	bytes[at++] = opcode[0];
	if (opcode[1])
		bytes[at++] = opcode[1];
	if (opcode[1] == 0x01)
		bytes[at++] = (uint8_t)(0xC0 | random_next());
	while (at < INSN_MAX_BYTES)
		bytes[at++] = (uint8_t)(random_next() >> 24);
}

static void compare_with_zydis(ZydisMachineMode machine, ZydisStackWidth width, enum insn_mode mode, unsigned rounds)
{
	ZydisDecoder decoder;
	ZydisDecodedInstruction decoded;
	uint8_t bytes[INSN_MAX_BYTES];
	unsigned accepted = 0;

	assert_true(ZYAN_SUCCESS(ZydisDecoderInit(&decoder, machine, width)));
	for (unsigned i = 0; i < rounds; i++) {
		unsigned length;

		random_instruction(bytes, mode);
		length = length_of(bytes, sizeof(bytes), mode);
		assert_in_range(length, 0, INSN_MAX_BYTES);
		if (!ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(&decoder, NULL, bytes, sizeof(bytes), &decoded)))
			continue;
		accepted++;
		if (length != decoded.length)
			print_bytes(ZydisMnemonicGetString(decoded.mnemonic), bytes, sizeof(bytes), mode);
		assert_int_equal(length, decoded.length);
		assert_int_equal(length_of(bytes, length, mode), length);
		for (unsigned count = 0; count < length; count++)
			assert_int_equal(length_of(bytes, count, mode), 0);
	}
	assert_true(accepted > rounds / 8);
}

static void insn_length__random_prefixes__agree_with_zydis(void **state)
{
	(void)state;
	compare_with_zydis(ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64, INSN_MODE_64, 100000);
	compare_with_zydis(ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32, INSN_MODE_32, 100000);
	compare_with_zydis(ZYDIS_MACHINE_MODE_LEGACY_16, ZYDIS_STACK_WIDTH_16, INSN_MODE_16, 100000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(insn_length__more_than_15_bytes__is_zero),
		cmocka_unit_test(insn_length__instruction_that_does_not_exit__is_zero),
		cmocka_unit_test(insn_length__random_prefixes__agree_with_zydis),
	};

	return cmocka_run_group_tests_name("insn_length", tests, NULL, NULL);
}
