/*
 * Fuzz target of root mode's instruction lengths against Zydis: the first byte says the code's size, the rest is an instruction.
 * Properties: an instruction that exits has Zydis's length, nothing shorter has one, nothing that does not exit has one, and no byte behind
 * `count` is read (the sanitiser sees it).
 *
 * FUZZ_SOURCES: arch/x86_64/insn_length.c
 * FUZZ_FLAGS: -lZydis
 * FUZZ_OPTIONS: -max_len=16
 */
#include "arch/x86_64/insn_length.h"
#include "tests/fuzz/zydis_sizes.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static unsigned length_of(const uint8_t *bytes, unsigned count, enum insn_mode mode)
{
	uint8_t *exact = malloc(count ? count : 1);

	if (!exact)
		abort();
	memcpy(exact, bytes, count);
	unsigned length = insn_length(exact, count, mode);
	free(exact);
	return length;
}

/* Must an instruction that Zydis calls so have a length? The register forms of 0F 01 do, whatever they are. */
static bool exits(const ZydisDecodedInstruction *z)
{
	switch (z->mnemonic) {
	case ZYDIS_MNEMONIC_HLT:
	case ZYDIS_MNEMONIC_PAUSE:
	case ZYDIS_MNEMONIC_CPUID:
	case ZYDIS_MNEMONIC_RDMSR:
	case ZYDIS_MNEMONIC_WRMSR:
	case ZYDIS_MNEMONIC_INVD:
	case ZYDIS_MNEMONIC_WBINVD:
		return true;
	default:
		return z->opcode_map == ZYDIS_OPCODE_MAP_0F && z->encoding == ZYDIS_INSTRUCTION_ENCODING_LEGACY &&
		       ((z->opcode >= 0x20 && z->opcode <= 0x23) || (z->opcode == 0x01 && z->raw.modrm.mod == 3));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	uint8_t instruction[INSN_MAX_BYTES] = { 0 };
	ZydisDecodedInstruction z;
	ZydisDecoder decoder;

	if (bytes < 2)
		return 0;
	enum insn_mode mode = sizes[data[0] % 3].mode;
	memcpy(instruction, data + 1, bytes - 1 < sizeof(instruction) ? bytes - 1 : sizeof(instruction));
	unsigned length = length_of(instruction, sizeof(instruction), mode);
	for (unsigned count = 0; count < sizeof(instruction); count++)
		if (length_of(instruction, count, mode) != (count < length ? 0 : length))
			abort();
	if (!ZYAN_SUCCESS(ZydisDecoderInit(&decoder, sizes[data[0] % 3].machine, sizes[data[0] % 3].width)))
		abort();
	if (!ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(&decoder, NULL, instruction, sizeof(instruction), &z)))
		return 0;
	if (length ? length != z.length : exits(&z))
		abort();
	return 0;
}
