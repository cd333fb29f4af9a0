/*
 * Instruction length, for the few instructions that exit by themselves. It must never read past `count`. A
 * guest may have changed the bytes since: what is none of those instructions has no length.
 */
#include "arch/x86_64/insn_length.h"

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
		switch (byte) {
		case 0x26: /* segments */
		case 0x2E:
		case 0x36:
		case 0x3E:
		case 0x64:
		case 0x65:
			break;
		case 0x66:
			p.operand = true;
			break;
		case 0x67:
			p.address_bytes = mode == INSN_MODE_32 ? 2 : 4;
			break;
		case 0xF0:
		case 0xF2:
		case 0xF3:
			p.lock_or_repeat = true;
			break;
		default:
			*out = p;
			return true;
		}
		p.rex = 0; /* counts only directly before the opcode */
	}
	return false;
}

unsigned insn_length_modrm(const uint8_t *bytes, unsigned count, unsigned address_bytes)
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
	switch (op[1]) {
	case 0x08: /* INVD, WBINVD, WRMSR, RDMSR, CPUID */
	case 0x09:
	case 0x30:
	case 0x32:
	case 0xA2:
		return 2;
	case 0x20: /* MOV CR, DR: ModRM names registers whatever its mod says */
	case 0x21:
	case 0x22:
	case 0x23:
		return 3;
	case 0x01:
		return count >= 3 && op[2] >= 0xC0 ? 3 : 0;
	default:
		return 0;
	}
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
