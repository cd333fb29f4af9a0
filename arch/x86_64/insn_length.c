/*
 * Instruction length, for the few instructions that exit by themselves, and plain moves. It must never read past `count`. A
 * guest may have changed the bytes since: what is none of those instructions has no length.
 */
#include "arch/x86_64/insn_length.h"
#include "arch/x86_64/string.h"

bool insn_read_prefixes(const uint8_t *bytes, unsigned count, enum insn_mode mode, struct insn_prefixes *out)
{
	struct insn_prefixes p = { .address_bytes = (unsigned)mode };

	/*@ loop invariant p.bytes <= count && p.bytes <= INSN_MAX_BYTES;
	  @ loop invariant p.address_bytes == 2 || p.address_bytes == 4 || p.address_bytes == 8;
	  @ loop assigns p;
	  @ loop variant INSN_MAX_BYTES - p.bytes;
	  @*/
	for (; p.bytes < count && p.bytes < INSN_MAX_BYTES; p.bytes++) {
		uint8_t byte = bytes[p.bytes];

		if (mode == INSN_MODE_64 && (byte & 0xF0) == 0x40) {
			p.rex = byte;
			continue;
		}
		if (byte == 0x66) {
			p.operand = true;
		} else if (byte == 0x67) {
			p.address_bytes = mode == INSN_MODE_32 ? 2 : 4;
		} else if (byte == 0xF0 || (byte & 0xFE) == 0xF2) {
			p.lock_or_repeat = true;
		} else if ((byte & 0xE7) != 0x26 && (byte & 0xFE) != 0x64) { /* no segment either: 26, 2E, 36, 3E, 64, 65 */
			*out = p;
			return true;
		}
		p.rex = 0; /* counts only directly before the opcode */
	}
	return false;
}

/* Bytes from the opcode on. */
/*@ requires count >= 1 && \valid_read(op + (0 .. count - 1));
  @ assigns \nothing;
  @ ensures \result <= 3;
  @*/
static unsigned opcode_bytes(const uint8_t *op, unsigned count)
{
	if (op[0] != 0x0F)
		return op[0] == 0xF4 || op[0] == 0x90 ? 1 : 0; /* HLT, PAUSE */
	if (count < 2)
		return 0;
	if (op[1] == 0x08 || op[1] == 0x09 || (op[1] & 0xFD) == 0x30 || op[1] == 0xA2) /* INVD, WBINVD, WRMSR, RDMSR, CPUID */
		return 2;
	if ((op[1] & 0xFC) == 0x20) /* MOV CR, DR: ModRM names registers whatever its mod says */
		return 3;
	return op[1] == 0x01 && count >= 3 && op[2] >= 0xC0 ? 3 : 0;
}

unsigned insn_length(const uint8_t *bytes, unsigned count, enum insn_mode mode)
{
	struct insn_prefixes p = { 0 };

	/* The frequent ones: CPUID, WRMSR, RDMSR */
	if (likely(count >= 2 && bytes[0] == 0x0F && (bytes[1] == 0xA2 || (bytes[1] & 0xFD) == 0x30)))
		return 2;
	if (count > INSN_MAX_BYTES)
		count = INSN_MAX_BYTES;
	if (unlikely(count == 0 || bytes[0] != 0x0F) && !insn_read_prefixes(bytes, count, mode, &p))
		return 0;
	unsigned rest = opcode_bytes(bytes + p.bytes, count - p.bytes);

	return rest != 0 && rest <= count - p.bytes ? p.bytes + rest : 0;
}

/* ---- Moves to and from the local APIC's page ---- */

#define OPCODE_MOV_STORE     0x89 /* r/m32, r32 */
#define OPCODE_MOV_LOAD      0x8B /* r32, r/m32 */
#define OPCODE_MOV_LOAD_RAX  0xA1 /* EAX, moffs32 */
#define OPCODE_MOV_STORE_RAX 0xA3 /* moffs32, EAX */
#define OPCODE_MOV_IMMEDIATE 0xC7 /* /0: r/m32, imm32 */
#define REX_W                0x08
#define REX_R                0x04

/* Of the ModRM byte with the SIB byte and displacement that follow it; 0: that is more than `count`. */
/*@ requires \valid_read(bytes + (0 .. count - 1));
  @ assigns \nothing;
  @ ensures \result <= 6 && \result <= count;
  @*/
static unsigned modrm_bytes(const uint8_t *bytes, unsigned count, unsigned address_bytes)
{
	unsigned mod, rm, length = 1;

	if (count == 0)
		return 0;
	mod = bytes[0] >> 6;
	rm = bytes[0] & 7;
	if (address_bytes == 2) {
		if (mod == 1)
			length += 1;
		else if (mod == 2 || (mod == 0 && rm == 6))
			length += 2;
	} else if (mod != 3) {
		if (rm == 4) {
			if (count < 2)
				return 0;
			rm = bytes[1] & 7; /* a SIB base of 5 takes a displacement as rm 5 does */
			length += 1;
		}
		if (mod == 1)
			length += 1;
		else if (mod == 2 || rm == 5)
			length += 4;
	}
	return length <= count ? length : 0;
}

bool lapic_move_decode(const uint8_t *bytes, unsigned count, enum insn_mode mode, struct lapic_move *move)
{
	struct insn_prefixes prefixes;
	struct lapic_move result = { .reg = LAPIC_MOVE_NO_REGISTER };
	unsigned at, length, tail = 0;
	uint8_t opcode;

	if (count > INSN_MAX_BYTES)
		count = INSN_MAX_BYTES;
	if (!insn_read_prefixes(bytes, count, mode, &prefixes) || prefixes.lock_or_repeat || (prefixes.rex & REX_W) ||
	    (mode == INSN_MODE_16) != prefixes.operand)
		return false;
	at = prefixes.bytes;
	opcode = bytes[at++];
	result.write = opcode != OPCODE_MOV_LOAD && opcode != OPCODE_MOV_LOAD_RAX;
	if (opcode == OPCODE_MOV_LOAD_RAX || opcode == OPCODE_MOV_STORE_RAX) {
		result.reg = 0;
		length = at + prefixes.address_bytes;
	} else if (opcode == OPCODE_MOV_STORE || opcode == OPCODE_MOV_LOAD || opcode == OPCODE_MOV_IMMEDIATE) {
		length = modrm_bytes(bytes + at, count - at, prefixes.address_bytes);
		if (length == 0 || bytes[at] >= 0xC0)
			return false;
		result.reg = (bytes[at] >> 3 & 7) | (prefixes.rex & REX_R) << 1;
		length += at;
		tail = opcode == OPCODE_MOV_IMMEDIATE ? 4 : 0;
	} else {
		return false;
	}
	if (length + tail > count)
		return false;
	if (tail != 0) {
		if (result.reg & 7)
			return false;
		result.reg = LAPIC_MOVE_NO_REGISTER;
		result.imm = (uint32_t)load_le(bytes + length, 4);
	}
	result.length = (uint8_t)(length + tail);
	*move = result;
	return true;
}
