/* See lapic_move.h. Must never read past `count`. */
#include "arch/x86_64/lapic_move.h"

#define OPCODE_MOV_STORE     0x89 /* r/m32, r32 */
#define OPCODE_MOV_LOAD	     0x8B /* r32, r/m32 */
#define OPCODE_MOV_LOAD_RAX  0xA1 /* EAX, moffs32 */
#define OPCODE_MOV_STORE_RAX 0xA3 /* moffs32, EAX */
#define OPCODE_MOV_IMMEDIATE 0xC7 /* /0: r/m32, imm32 */
#define REX_W		     0x08
#define REX_R		     0x04

struct lapic_prefixes {
	unsigned bytes;
	unsigned address_bytes;
	uint8_t rex;
	bool operand_prefix;
};

/* Segment overrides change only the address. LOCK and REP end the scan and then fail as opcodes. */
static bool scan_prefixes(const uint8_t *bytes, unsigned count, enum insn_mode mode,
			  struct lapic_prefixes *out)
{
	unsigned at;

	for (at = 0; at < count; at++) {
		switch (bytes[at]) {
		case 0x26:
		case 0x2E:
		case 0x36:
		case 0x3E:
		case 0x64:
		case 0x65:
			out->rex = 0;
			continue;
		case 0x66:
			out->rex = 0;
			out->operand_prefix = true;
			continue;
		case 0x67:
			out->rex = 0;
			out->address_bytes = mode == INSN_MODE_32 ? 2 : 4;
			continue;
		}
		if (mode != INSN_MODE_64 || (bytes[at] & 0xF0) != 0x40) {
			out->bytes = at;
			return true;
		}
		out->rex = bytes[at];
	}
	return false;
}

static uint32_t load_imm32(const uint8_t *bytes)
{
	return bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

bool lapic_move_decode(const uint8_t *bytes, unsigned count, enum insn_mode mode, struct lapic_move *move)
{
	struct lapic_prefixes prefixes = {.address_bytes = (unsigned)mode};
	struct lapic_move result = {.reg = LAPIC_MOVE_NO_REGISTER};
	unsigned at, length, tail = 0;
	uint8_t opcode;

	if (count > INSN_MAX_BYTES)
		count = INSN_MAX_BYTES;
	if (!scan_prefixes(bytes, count, mode, &prefixes))
		return false;
	if ((prefixes.rex & REX_W) || (mode == INSN_MODE_16) != prefixes.operand_prefix)
		return false;
	at = prefixes.bytes;
	opcode = bytes[at++];
	result.write = opcode != OPCODE_MOV_LOAD && opcode != OPCODE_MOV_LOAD_RAX;
	if (opcode == OPCODE_MOV_LOAD_RAX || opcode == OPCODE_MOV_STORE_RAX) {
		result.reg = 0;
		length = at + prefixes.address_bytes;
	} else if (opcode == OPCODE_MOV_STORE || opcode == OPCODE_MOV_LOAD ||
		   opcode == OPCODE_MOV_IMMEDIATE) {
		length = insn_length_modrm(bytes + at, count - at, prefixes.address_bytes);
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
		result.imm = load_imm32(bytes + length);
	}
	result.length = (uint8_t)(length + tail);
	*move = result;
	return true;
}
