/* Arithmetic of the instruction emulator: results and RFLAGS of the integer operations. Pure. */
#ifndef DRIVERS_VM_LIB_INSN_ALU_H
#define DRIVERS_VM_LIB_INSN_ALU_H

#include <stdbool.h>
#include <stdint.h>

#include "drivers-vm/lib/insn_decode.h"

#define RFLAGS_CF (1ull << 0)
#define RFLAGS_PF (1ull << 2)
#define RFLAGS_AF (1ull << 4)
#define RFLAGS_ZF (1ull << 6)
#define RFLAGS_SF (1ull << 7)
#define RFLAGS_TF (1ull << 8)
#define RFLAGS_DF (1ull << 10)
#define RFLAGS_OF (1ull << 11)
#define RFLAGS_RF (1ull << 16)
#define RFLAGS_VM (1ull << 17)

#define RFLAGS_ARITHMETIC (RFLAGS_CF | RFLAGS_PF | RFLAGS_AF | RFLAGS_ZF | RFLAGS_SF | RFLAGS_OF)

/* All ones in the low `bytes` bytes; `bytes` is 1, 2, 4 or 8. */
static inline uint64_t insn_mask(unsigned bytes)
{
	return bytes == 8 ? ~0ull : (1ull << (8 * bytes)) - 1;
}

static inline uint64_t insn_sign_extend(uint64_t value, unsigned bytes)
{
	unsigned unused = 64 - 8 * bytes;

	return (uint64_t)((int64_t)(value << unused) >> unused);
}

/*
 * Applies `operation` (INSN_ADD to INSN_CMP, INSN_TEST, INSN_NOT, INSN_NEG, INSN_INC, INSN_DEC, a shift, a
 * bit test) to operands of `bytes` bytes and returns the result, cut to that size; CMP, TEST and BT return
 * `a`. `*rflags` gets the flags that the operation defines; those that it leaves undefined are cleared, and
 * kept by shifts, rotates and bit tests. Shift counts and bit numbers in `b` are masked here as the CPU does.
 * Source: SDM vol. 2, each instruction's page.
 */
uint64_t insn_alu(enum insn_operation operation, uint64_t a, uint64_t b, unsigned bytes, uint64_t *rflags);

/* True if condition code `condition` (0 to 15, as in Jcc) holds. SDM vol. 1, "EFLAGS Condition Codes". */
bool insn_condition(unsigned condition, uint64_t rflags);

#endif
