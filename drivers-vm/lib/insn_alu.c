/* See insn_alu.h. */
#include "drivers-vm/lib/insn_alu.h"

static uint64_t flag_if(uint64_t flag, uint64_t condition)
{
	return condition ? flag : 0;
}

static uint64_t top_bit(uint64_t value, unsigned bytes)
{
	return value >> (8 * bytes - 1) & 1;
}

static uint64_t result_flags(uint64_t result, unsigned bytes)
{
	return flag_if(RFLAGS_PF, !__builtin_parity((unsigned)result & 0xFF)) | flag_if(RFLAGS_ZF, result == 0) |
	       flag_if(RFLAGS_SF, top_bit(result, bytes));
}

static void set_flags(uint64_t *rflags, uint64_t mask, uint64_t value)
{
	*rflags = (*rflags & ~mask) | (value & mask);
}

/* The carries out of each bit position follow from operands and result: SDM vol. 1, "Status Flags". */
static uint64_t alu_add(uint64_t a, uint64_t b, uint64_t carry, unsigned bytes, uint64_t mask, uint64_t *rflags)
{
	uint64_t result = (a + b + carry) & insn_mask(bytes);
	uint64_t carries = (a & b) | ((a | b) & ~result);

	set_flags(rflags, mask,
	          result_flags(result, bytes) | flag_if(RFLAGS_CF, top_bit(carries, bytes)) | flag_if(RFLAGS_AF, (a ^ b ^ result) & 0x10) |
	                  flag_if(RFLAGS_OF, top_bit((a ^ result) & (b ^ result), bytes)));
	return result;
}

static uint64_t alu_subtract(uint64_t a, uint64_t b, uint64_t borrow, unsigned bytes, uint64_t mask, uint64_t *rflags)
{
	uint64_t result = (a - b - borrow) & insn_mask(bytes);
	uint64_t borrows = (~a & b) | ((~a | b) & result);

	set_flags(rflags, mask,
	          result_flags(result, bytes) | flag_if(RFLAGS_CF, top_bit(borrows, bytes)) | flag_if(RFLAGS_AF, (a ^ b ^ result) & 0x10) |
	                  flag_if(RFLAGS_OF, top_bit((a ^ b) & (a ^ result), bytes)));
	return result;
}

static uint64_t alu_logic(uint64_t result, unsigned bytes, uint64_t *rflags)
{
	set_flags(rflags, RFLAGS_ARITHMETIC, result_flags(result, bytes));
	return result;
}

/* OF is defined for counts of 1 only; for others this gives what the formula for 1 gives. */
static uint64_t alu_shift(enum insn_operation operation, uint64_t a, unsigned count, unsigned bytes, uint64_t *rflags)
{
	unsigned bits = 8 * bytes;
	uint64_t result, carry, overflow;

	if (operation == INSN_SHL || operation == INSN_SAL) {
		result = count < bits ? a << count & insn_mask(bytes) : 0;
		carry = count <= bits ? a >> (bits - count) & 1 : 0;
		overflow = top_bit(result, bytes) ^ carry;
	} else if (operation == INSN_SHR) {
		result = count < bits ? a >> count : 0;
		carry = count <= bits ? a >> (count - 1) & 1 : 0;
		overflow = top_bit(a, bytes);
	} else {
		int64_t wide = (int64_t)insn_sign_extend(a, bytes);

		result = (uint64_t)(wide >> count) & insn_mask(bytes);
		carry = (uint64_t)(wide >> (count - 1)) & 1;
		overflow = 0;
	}
	set_flags(rflags, RFLAGS_ARITHMETIC & ~RFLAGS_AF,
	          result_flags(result, bytes) | flag_if(RFLAGS_CF, carry) | flag_if(RFLAGS_OF, overflow));
	return result;
}

static uint64_t alu_rotate(enum insn_operation operation, uint64_t a, unsigned count, unsigned bytes, uint64_t *rflags)
{
	unsigned bits = 8 * bytes;
	uint64_t result, carry, overflow;

	count %= bits;
	if (operation == INSN_ROR)
		count = (bits - count) % bits;
	result = count ? (a << count | a >> (bits - count)) & insn_mask(bytes) : a;
	if (operation == INSN_ROL) {
		carry = result & 1;
		overflow = top_bit(result, bytes) ^ carry;
	} else {
		carry = top_bit(result, bytes);
		overflow = carry ^ (result >> (bits - 2) & 1);
	}
	set_flags(rflags, RFLAGS_CF | RFLAGS_OF, flag_if(RFLAGS_CF, carry) | flag_if(RFLAGS_OF, overflow));
	return result;
}

/* A step at a time: the ring is one bit wider than the operand, and the count is 63 at most. */
static uint64_t alu_rotate_carry(enum insn_operation operation, uint64_t a, unsigned count, unsigned bytes, uint64_t *rflags)
{
	unsigned bits = 8 * bytes;
	uint64_t carry = *rflags & RFLAGS_CF, overflow;

	for (count %= bits + 1; count > 0; count--) {
		uint64_t out;

		if (operation == INSN_RCL) {
			out = top_bit(a, bytes);
			a = (a << 1 | carry) & insn_mask(bytes);
		} else {
			out = a & 1;
			a = a >> 1 | carry << (bits - 1);
		}
		carry = out;
	}
	if (operation == INSN_RCL)
		overflow = top_bit(a, bytes) ^ carry;
	else
		overflow = top_bit(a, bytes) ^ (a >> (bits - 2) & 1);
	set_flags(rflags, RFLAGS_CF | RFLAGS_OF, flag_if(RFLAGS_CF, carry) | flag_if(RFLAGS_OF, overflow));
	return a;
}

static uint64_t alu_shift_or_rotate(enum insn_operation operation, uint64_t a, uint64_t b, unsigned bytes, uint64_t *rflags)
{
	unsigned count = b & (bytes == 8 ? 63 : 31);

	if (count == 0)
		return a;
	switch (operation) {
	case INSN_ROL:
	case INSN_ROR:
		return alu_rotate(operation, a, count, bytes, rflags);
	case INSN_RCL:
	case INSN_RCR:
		return alu_rotate_carry(operation, a, count, bytes, rflags);
	default:
		return alu_shift(operation, a, count, bytes, rflags);
	}
}

static uint64_t alu_bit(enum insn_operation operation, uint64_t a, uint64_t b, unsigned bytes, uint64_t *rflags)
{
	uint64_t bit = 1ull << (b & (8 * bytes - 1));

	set_flags(rflags, RFLAGS_CF, flag_if(RFLAGS_CF, a & bit));
	switch (operation) {
	case INSN_BTS:
		return a | bit;
	case INSN_BTR:
		return a & ~bit;
	case INSN_BTC:
		return a ^ bit;
	default:
		return a;
	}
}

static uint64_t alu_sum_or_difference(enum insn_operation operation, uint64_t a, uint64_t b, unsigned bytes, uint64_t *rflags)
{
	const uint64_t all = RFLAGS_ARITHMETIC;
	uint64_t carry = *rflags & RFLAGS_CF;

	switch (operation) {
	case INSN_ADD:
		return alu_add(a, b, 0, bytes, all, rflags);
	case INSN_ADC:
		return alu_add(a, b, carry, bytes, all, rflags);
	case INSN_INC:
		return alu_add(a, 1, 0, bytes, all & ~RFLAGS_CF, rflags);
	case INSN_SBB:
		return alu_subtract(a, b, carry, bytes, all, rflags);
	case INSN_DEC:
		return alu_subtract(a, 1, 0, bytes, all & ~RFLAGS_CF, rflags);
	case INSN_NEG:
		return alu_subtract(0, a, 0, bytes, all, rflags);
	default: /* SUB, CMP */
		return alu_subtract(a, b, 0, bytes, all, rflags);
	}
}

uint64_t insn_alu(enum insn_operation operation, uint64_t a, uint64_t b, unsigned bytes, uint64_t *rflags)
{
	a &= insn_mask(bytes);
	b &= insn_mask(bytes);
	switch (operation) {
	case INSN_OR:
		return alu_logic(a | b, bytes, rflags);
	case INSN_AND:
		return alu_logic(a & b, bytes, rflags);
	case INSN_XOR:
		return alu_logic(a ^ b, bytes, rflags);
	case INSN_TEST:
		alu_logic(a & b, bytes, rflags);
		return a;
	case INSN_NOT:
		return ~a & insn_mask(bytes);
	case INSN_ROL ... INSN_SAR:
		return alu_shift_or_rotate(operation, a, b, bytes, rflags);
	case INSN_BT ... INSN_BTC:
		return alu_bit(operation, a, b, bytes, rflags);
	case INSN_CMP:
		alu_sum_or_difference(operation, a, b, bytes, rflags);
		return a;
	default:
		return alu_sum_or_difference(operation, a, b, bytes, rflags);
	}
}

bool insn_condition(unsigned condition, uint64_t rflags)
{
	bool carry = rflags & RFLAGS_CF, zero = rflags & RFLAGS_ZF;
	bool less = !(rflags & RFLAGS_SF) != !(rflags & RFLAGS_OF);
	bool holds = false;

	switch (condition >> 1) {
	case 0:
		holds = rflags & RFLAGS_OF;
		break;
	case 1:
		holds = carry;
		break;
	case 2:
		holds = zero;
		break;
	case 3:
		holds = carry || zero;
		break;
	case 4:
		holds = rflags & RFLAGS_SF;
		break;
	case 5:
		holds = rflags & RFLAGS_PF;
		break;
	case 6:
		holds = less;
		break;
	case 7:
		holds = less || zero;
		break;
	}
	return holds != (condition & 1);
}
