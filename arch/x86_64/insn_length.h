/*
 * Length of one x86 instruction that exits, for CPUs that save no next RIP, and the pieces of the format that
 * root mode needs. Pure: reads only the bytes it is given, which come from a guest and may be anything.
 */
#ifndef ARCH_X86_64_INSN_LENGTH_H
#define ARCH_X86_64_INSN_LENGTH_H

#include "arch/x86_64/types.h"

#define INSN_MAX_BYTES 15u

/* Code size: CS.L in long mode, else CS.D. The value is the default address size in bytes. */
enum insn_mode { INSN_MODE_16 = 2, INSN_MODE_32 = 4, INSN_MODE_64 = 8 };

struct insn_prefixes {
	unsigned bytes;         /* of all prefixes: the opcode's place */
	unsigned address_bytes; /* 2, 4 or 8 */
	uint8_t rex;            /* 0: none directly before the opcode */
	bool operand;           /* 66 */
	bool lock_or_repeat;    /* F0, F2, F3 */
};

/* Reads the prefixes at `bytes`, of which `count` may be read. False: no opcode follows within them. */
/*@ requires \valid_read(bytes + (0 .. count - 1)) && \valid(out) && \separated(bytes + (0 .. count - 1), out);
  @ requires mode == INSN_MODE_16 || mode == INSN_MODE_32 || mode == INSN_MODE_64;
  @ assigns *out;
  @ ensures \result ==> out->bytes < count && out->bytes < INSN_MAX_BYTES;
  @ ensures \result ==> out->address_bytes == 2 || out->address_bytes == 4 || out->address_bytes == 8;
  @ ensures !\result ==> *out == \old(*out);
  @*/
bool insn_read_prefixes(const uint8_t *bytes, unsigned count, enum insn_mode mode, struct insn_prefixes *out);

/*
 * Returns the length in bytes, 1 to 15, of the instruction at `bytes`, of which `count` may be read, if it is
 * one of HLT, PAUSE, CPUID, RDMSR, WRMSR, INVD, WBINVD, MOV to and from control and debug registers, and what
 * 0F 01 encodes without memory (XSETBV, VMMCALL). Returns 0 for any other, and when it does not end within
 * them or within 15 bytes. Source: SDM vol. 2, "Instruction Format" and appendix A, "Opcode Map".
 */
/*@ requires \valid_read(bytes + (0 .. count - 1));
  @ requires mode == INSN_MODE_16 || mode == INSN_MODE_32 || mode == INSN_MODE_64;
  @ assigns \nothing;
  @ ensures \result <= INSN_MAX_BYTES && \result <= count;
  @*/
unsigned insn_length(const uint8_t *bytes, unsigned count, enum insn_mode mode);

/*
 * Decodes the plain 32-bit moves with which guests reach the local APIC's page, so that such an access never
 * leaves root mode. The address is known from the exit and is not computed.
 */
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
/*@ requires \valid_read(bytes + (0 .. count - 1)) && \valid(move) && \separated(bytes + (0 .. count - 1), move);
  @ requires mode == INSN_MODE_16 || mode == INSN_MODE_32 || mode == INSN_MODE_64;
  @ assigns *move;
  @ ensures \result ==> 1 <= move->length <= INSN_MAX_BYTES && move->length <= count;
  @ ensures !\result ==> *move == \old(*move);
  @*/
bool lapic_move_decode(const uint8_t *bytes, unsigned count, enum insn_mode mode, struct lapic_move *move);

#endif
