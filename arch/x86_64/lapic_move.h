/*
 * Decodes the plain 32-bit moves with which guests reach the local APIC's page, so that such an access never
 * leaves root mode. The address is known from the exit and is not computed. Pure.
 */
#ifndef ARCH_X86_64_LAPIC_MOVE_H
#define ARCH_X86_64_LAPIC_MOVE_H

#include "arch/x86_64/insn_length.h"

#define LAPIC_MOVE_NO_REGISTER 0xFFu

struct lapic_move {
	bool write;     /* to the APIC; else from it into `reg` */
	uint8_t reg;    /* 0 (RAX) to 15 (R15) in the CPU's numbering, or LAPIC_MOVE_NO_REGISTER: write `imm` */
	uint8_t length; /* of the instruction, bytes */
	uint32_t imm;
};

/*
 * Decodes MOV with a 32-bit memory operand (89, 8B, C7 /0, A1, A3) from `count` guest bytes. Returns false,
 * with `*move` unchanged, for any other instruction and for bytes that end early: the caller forwards those
 * to the full emulator. A read zero-extends into the 64-bit register. Source: SDM vol. 2, "MOV-Move".
 */
bool lapic_move_decode(const uint8_t *bytes, unsigned count, enum insn_mode mode, struct lapic_move *move);

#endif
