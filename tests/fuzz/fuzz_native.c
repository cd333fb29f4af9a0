/*
 * Fuzz target of the instruction emulator against the CPU that runs this: the input is what a random generator would say, first of the
 * instruction, then of registers, flags and memory. Properties: registers, defined flags and memory are the same after both.
 *
 * FUZZ_SOURCES: drivers-vm/lib/insn_emulate.c drivers-vm/lib/insn_operand.c drivers-vm/lib/insn_string.c
 * FUZZ_SOURCES: drivers-vm/lib/insn_alu.c drivers-vm/lib/insn_decode.c drivers-vm/lib/insn_table.c
 * FUZZ_FLAGS: -lcmocka -no-pie -fno-pie
 * FUZZ_OPTIONS: -max_len=256
 */
#include "tests/unit/insn_native.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t bytes);

static const uint8_t *left;
static size_t left_bytes;
static uint64_t mixed;

/* The low byte is the input's, so that small choices are the fuzzer's; when there is none left, what has been mixed of it goes on. */
static uint64_t random_next(void)
{
	mixed ^= mixed << 13;
	mixed ^= mixed >> 7;
	mixed ^= mixed << 17;
	if (left_bytes == 0)
		return mixed;
	left_bytes--;
	mixed += *left;
	return (mixed & ~0xFFull) | *left++;
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t bytes)
{
	if (!code && !make_memory())
		abort();
	left = input;
	left_bytes = bytes;
	mixed = 0x2545F4914F6CDD1Dull;
	compare_one();
	return 0;
}
