/*
 * insn_emulate against the CPU that runs the test: random instructions with random operands are executed
 * natively and by the emulator on the same memory at the same addresses; registers, defined flags and memory
 * must then be equal.
 */
/* UNIT_SOURCES: drivers-vm/lib/insn_emulate.c drivers-vm/lib/insn_operand.c drivers-vm/lib/insn_string.c */
/* UNIT_SOURCES: drivers-vm/lib/insn_alu.c drivers-vm/lib/insn_decode.c drivers-vm/lib/insn_table.c */
#include "tests/unit/insn_native.h"

static uint64_t random_state = 0x2545F4914F6CDD1Dull;

static uint64_t random_next(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

static void insn_emulate__random_instruction__does_what_the_cpu_does(void **state)
{
	unsigned seen[INSN_OUTS + 1] = { 0 }, runs = 0;

	(void)state;
	while (runs < 200000) {
		unsigned operation = compare_one();

		seen[operation]++;
		runs += operation != INSN_NONE;
	}
	for (unsigned operation = INSN_ADD; operation <= INSN_SCAS; operation++)
		if (operation != INSN_MOV_FROM_SEGMENT && operation != INSN_MOV_VECTOR && operation != INSN_IN && operation != INSN_OUT)
			assert_true(seen[operation] > 50);
}

static int set_up(void **state)
{
	(void)state;
	return make_memory() ? 0 : 1;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(insn_emulate__random_instruction__does_what_the_cpu_does),
	};

	return cmocka_run_group_tests_name("insn_native", tests, set_up, NULL);
}
