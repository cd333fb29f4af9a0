/* See lapic_move.h. Must never read past `count`. */
#include "arch/x86_64/lapic_move.h"
#include "arch/x86_64/string.h"

#define OPCODE_MOV_STORE     0x89 /* r/m32, r32 */
#define OPCODE_MOV_LOAD      0x8B /* r32, r/m32 */
#define OPCODE_MOV_LOAD_RAX  0xA1 /* EAX, moffs32 */
#define OPCODE_MOV_STORE_RAX 0xA3 /* moffs32, EAX */
#define OPCODE_MOV_IMMEDIATE 0xC7 /* /0: r/m32, imm32 */
#define REX_W                0x08
#define REX_R                0x04

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
		result.imm = (uint32_t)load_le(bytes + length, 4);
	}
	result.length = (uint8_t)(length + tail);
	*move = result;
	return true;
}
