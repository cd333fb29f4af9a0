/* insn_decode against Zydis: every field, on random encodings of every opcode, in three code sizes. */
/* UNIT_SOURCES: drivers-vm/lib/insn_decode.c drivers-vm/lib/insn_table.c */
/* UNIT_FLAGS: -Wl,--no-as-needed -lZydis */
#include "tests/unit/insn_zydis.h"

static uint64_t random_state = 0xD1B54A32D192ED03ull;

static int report_failure(void **state)
{
	(void)state;
	if (comparing) {
		print_error("bytes:");
		for (unsigned i = 0; i < sizeof(current); i++)
			print_error(" %02x", current[i]);
		print_error("\n");
	}
	comparing = false;
	return 0;
}

static uint32_t random_next(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (uint32_t)(random_state >> 16);
}

static void random_instruction(uint8_t bytes[INSN_MAX_BYTES])
{
	static const uint8_t lead[] = { 0x66, 0x67, 0xF2, 0xF3, 0x2E, 0x36, 0x64, 0x65, 0x26, 0xF0 };
	unsigned at = 0, prefixes = random_next() % 4;

	while (at < prefixes)
		bytes[at++] = lead[random_next() % sizeof(lead)];
	if (random_next() % 2)
		bytes[at++] = 0x40 | random_next() % 16;
	switch (random_next() % 8) {
	case 0:
	case 1:
		bytes[at++] = 0x0F;
		break;
	case 2:
		bytes[at++] = 0x0F;
		bytes[at++] = 0x38;
		bytes[at++] = 0xF0 | random_next() % 2;
		break;
	}
	while (at < INSN_MAX_BYTES)
		bytes[at++] = (uint8_t)random_next();
}

static void compare(ZydisMachineMode machine, ZydisStackWidth width, enum insn_mode mode, unsigned rounds)
{
	ZydisDecoder decoder;
	unsigned seen[INSN_OUTS + 1] = { 0 };

	assert_true(ZYAN_SUCCESS(ZydisDecoderInit(&decoder, machine, width)));
	for (unsigned i = 0; i < rounds; i++) {
		uint8_t bytes[INSN_MAX_BYTES];

		random_instruction(bytes);
		seen[compare_one(&decoder, bytes, mode)]++;
	}
	for (unsigned operation = INSN_ADD; operation <= INSN_OUTS; operation++)
		assert_true(seen[operation] > 0 || operation == INSN_MOV_FROM_SEGMENT);
}

static void insn_decode__random_64_bit_code__agrees_with_zydis(void **state)
{
	(void)state;
	compare(ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64, INSN_MODE_64, 600000);
}

static void insn_decode__random_32_bit_code__agrees_with_zydis(void **state)
{
	(void)state;
	compare(ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32, INSN_MODE_32, 600000);
}

static void insn_decode__random_16_bit_code__agrees_with_zydis(void **state)
{
	(void)state;
	compare(ZYDIS_MACHINE_MODE_LEGACY_16, ZYDIS_STACK_WIDTH_16, INSN_MODE_16, 600000);
}

static void insn_decode__unsupported_instruction__is_refused_and_output_kept(void **state)
{
	static const uint8_t codes[][4] = {
		{ 0x0F, 0xA2 }, { 0xC5, 0xFA, 0x6F, 0x00 }, { 0xF7, 0x20 }, { 0x8E, 0x18 }, { 0xFF, 0x10 }, { 0x0F, 0x28, 0xC1 },
	};
	struct insn insn;

	(void)state;
	memset(&insn, 0x5A, sizeof(insn));
	for (unsigned i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
		assert_int_equal(decode(codes[i], sizeof(codes[i]), INSN_MODE_64, &insn), INSN_DECODE_UNSUPPORTED);
	assert_int_equal(insn.length, 0x5A);
}

static void insn_decode__endless_prefixes__are_refused(void **state)
{
	uint8_t bytes[20];
	struct insn insn;

	(void)state;
	memset(bytes, 0x66, sizeof(bytes));
	assert_int_equal(decode(bytes, 14, INSN_MODE_64, &insn), INSN_DECODE_SHORT);
	assert_int_equal(decode(bytes, 15, INSN_MODE_64, &insn), INSN_DECODE_UNSUPPORTED);
	assert_int_equal(decode(bytes, 20, INSN_MODE_64, &insn), INSN_DECODE_UNSUPPORTED);
	assert_int_equal(decode(bytes, 0, INSN_MODE_64, &insn), INSN_DECODE_SHORT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(insn_decode__random_64_bit_code__agrees_with_zydis, report_failure),
		cmocka_unit_test_teardown(insn_decode__random_32_bit_code__agrees_with_zydis, report_failure),
		cmocka_unit_test_teardown(insn_decode__random_16_bit_code__agrees_with_zydis, report_failure),
		cmocka_unit_test(insn_decode__unsupported_instruction__is_refused_and_output_kept),
		cmocka_unit_test(insn_decode__endless_prefixes__are_refused),
	};

	return cmocka_run_group_tests_name("insn_decode", tests, NULL, NULL);
}
