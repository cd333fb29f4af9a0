/*
 * Fuzz target of the emulator's decoder of instructions against Zydis: the first byte says the code's size, the rest is an instruction.
 * Property: insn_decode has the same length and operands where both know it, and reads nothing behind it. Root mode's decoder is
 * fuzz_length.c's: the two do not fit into one program.
 *
 * FUZZ_SOURCES: drivers-vm/lib/insn_decode.c drivers-vm/lib/insn_table.c
 * FUZZ_FLAGS: -lcmocka -lZydis
 * FUZZ_OPTIONS: -max_len=16
 */
#include "tests/unit/insn_zydis.h"
#include "tests/fuzz/zydis_sizes.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	uint8_t instruction[INSN_MAX_BYTES] = { 0 };
	ZydisDecoder decoder;

	if (bytes < 2)
		return 0;
	memcpy(instruction, data + 1, bytes - 1 < sizeof(instruction) ? bytes - 1 : sizeof(instruction));
	if (!ZYAN_SUCCESS(ZydisDecoderInit(&decoder, sizes[data[0] % 3].machine, sizes[data[0] % 3].width)))
		abort();
	compare_one(&decoder, instruction, sizes[data[0] % 3].mode);
	return 0;
}
