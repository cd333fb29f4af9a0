/* The code sizes of the fuzz targets beside Zydis, with the name that each has there. Root mode's and the emulator's decoder both call them
 * enum insn_mode: the includer has included one. */
#ifndef TESTS_FUZZ_ZYDIS_SIZES_H
#define TESTS_FUZZ_ZYDIS_SIZES_H

#include <Zydis/Zydis.h>

static const struct {
	ZydisMachineMode machine;
	ZydisStackWidth width;
	enum insn_mode mode;
} sizes[] = {
	{ ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64, INSN_MODE_64 },
	{ ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32, INSN_MODE_32 },
	{ ZYDIS_MACHINE_MODE_LEGACY_16, ZYDIS_STACK_WIDTH_16, INSN_MODE_16 },
};

#endif
