/* insn_decode against Zydis, every field: for the test with random instructions and the fuzz target (fuzz_decode.c). */
#ifndef TESTS_UNIT_INSN_ZYDIS_H
#define TESTS_UNIT_INSN_ZYDIS_H

#include "drivers-vm/lib/insn_decode.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <Zydis/Zydis.h>

static uint8_t current[INSN_MAX_BYTES]; /* the instruction under comparison, for the report of a failure */
static bool comparing;

/* A copy of exactly `count` bytes on the heap, so that the sanitiser sees a read past them. */
static enum insn_decode_result decode(const uint8_t *bytes, unsigned count, enum insn_mode mode, struct insn *insn)
{
	uint8_t *copy = malloc(count ? count : 1);
	enum insn_decode_result result;

	memcpy(copy, bytes, count);
	result = insn_decode(copy, count, mode, insn);
	free(copy);
	return result;
}

static enum insn_operation expected_operation(ZydisMnemonic mnemonic)
{
	static const struct {
		ZydisMnemonic mnemonic;
		enum insn_operation operation;
	} table[] = {
		{ ZYDIS_MNEMONIC_ADD, INSN_ADD },
		{ ZYDIS_MNEMONIC_OR, INSN_OR },
		{ ZYDIS_MNEMONIC_ADC, INSN_ADC },
		{ ZYDIS_MNEMONIC_SBB, INSN_SBB },
		{ ZYDIS_MNEMONIC_AND, INSN_AND },
		{ ZYDIS_MNEMONIC_SUB, INSN_SUB },
		{ ZYDIS_MNEMONIC_XOR, INSN_XOR },
		{ ZYDIS_MNEMONIC_CMP, INSN_CMP },
		{ ZYDIS_MNEMONIC_ROL, INSN_ROL },
		{ ZYDIS_MNEMONIC_ROR, INSN_ROR },
		{ ZYDIS_MNEMONIC_RCL, INSN_RCL },
		{ ZYDIS_MNEMONIC_RCR, INSN_RCR },
		{ ZYDIS_MNEMONIC_SHL, INSN_SHL },
		{ ZYDIS_MNEMONIC_SHR, INSN_SHR },
		{ ZYDIS_MNEMONIC_SAR, INSN_SAR },
		{ ZYDIS_MNEMONIC_BT, INSN_BT },
		{ ZYDIS_MNEMONIC_BTS, INSN_BTS },
		{ ZYDIS_MNEMONIC_BTR, INSN_BTR },
		{ ZYDIS_MNEMONIC_BTC, INSN_BTC },
		{ ZYDIS_MNEMONIC_TEST, INSN_TEST },
		{ ZYDIS_MNEMONIC_NOT, INSN_NOT },
		{ ZYDIS_MNEMONIC_NEG, INSN_NEG },
		{ ZYDIS_MNEMONIC_INC, INSN_INC },
		{ ZYDIS_MNEMONIC_DEC, INSN_DEC },
		{ ZYDIS_MNEMONIC_MOV, INSN_MOV },
		{ ZYDIS_MNEMONIC_MOVNTI, INSN_MOVNTI },
		{ ZYDIS_MNEMONIC_MOVZX, INSN_MOVZX },
		{ ZYDIS_MNEMONIC_MOVSX, INSN_MOVSX },
		{ ZYDIS_MNEMONIC_MOVSXD, INSN_MOVSX },
		{ ZYDIS_MNEMONIC_MOVBE, INSN_MOVBE },
		{ ZYDIS_MNEMONIC_XCHG, INSN_XCHG },
		{ ZYDIS_MNEMONIC_XADD, INSN_XADD },
		{ ZYDIS_MNEMONIC_CMPXCHG, INSN_CMPXCHG },
		{ ZYDIS_MNEMONIC_PUSH, INSN_PUSH },
		{ ZYDIS_MNEMONIC_POP, INSN_POP },
		{ ZYDIS_MNEMONIC_MOVUPS, INSN_MOV_VECTOR },
		{ ZYDIS_MNEMONIC_MOVUPD, INSN_MOV_VECTOR },
		{ ZYDIS_MNEMONIC_MOVAPS, INSN_MOV_VECTOR },
		{ ZYDIS_MNEMONIC_MOVAPD, INSN_MOV_VECTOR },
		{ ZYDIS_MNEMONIC_MOVDQA, INSN_MOV_VECTOR },
		{ ZYDIS_MNEMONIC_MOVDQU, INSN_MOV_VECTOR },
		{ ZYDIS_MNEMONIC_MOVNTDQ, INSN_MOV_VECTOR },
		{ ZYDIS_MNEMONIC_MOVNTPS, INSN_MOV_VECTOR },
		{ ZYDIS_MNEMONIC_MOVNTPD, INSN_MOV_VECTOR },
		{ ZYDIS_MNEMONIC_MOVSB, INSN_MOVS },
		{ ZYDIS_MNEMONIC_MOVSW, INSN_MOVS },
		{ ZYDIS_MNEMONIC_MOVSD, INSN_MOVS },
		{ ZYDIS_MNEMONIC_MOVSQ, INSN_MOVS },
		{ ZYDIS_MNEMONIC_CMPSB, INSN_CMPS },
		{ ZYDIS_MNEMONIC_CMPSW, INSN_CMPS },
		{ ZYDIS_MNEMONIC_CMPSD, INSN_CMPS },
		{ ZYDIS_MNEMONIC_CMPSQ, INSN_CMPS },
		{ ZYDIS_MNEMONIC_STOSB, INSN_STOS },
		{ ZYDIS_MNEMONIC_STOSW, INSN_STOS },
		{ ZYDIS_MNEMONIC_STOSD, INSN_STOS },
		{ ZYDIS_MNEMONIC_STOSQ, INSN_STOS },
		{ ZYDIS_MNEMONIC_LODSB, INSN_LODS },
		{ ZYDIS_MNEMONIC_LODSW, INSN_LODS },
		{ ZYDIS_MNEMONIC_LODSD, INSN_LODS },
		{ ZYDIS_MNEMONIC_LODSQ, INSN_LODS },
		{ ZYDIS_MNEMONIC_SCASB, INSN_SCAS },
		{ ZYDIS_MNEMONIC_SCASW, INSN_SCAS },
		{ ZYDIS_MNEMONIC_SCASD, INSN_SCAS },
		{ ZYDIS_MNEMONIC_SCASQ, INSN_SCAS },
		{ ZYDIS_MNEMONIC_IN, INSN_IN },
		{ ZYDIS_MNEMONIC_OUT, INSN_OUT },
		{ ZYDIS_MNEMONIC_INSB, INSN_INS },
		{ ZYDIS_MNEMONIC_INSW, INSN_INS },
		{ ZYDIS_MNEMONIC_INSD, INSN_INS },
		{ ZYDIS_MNEMONIC_OUTSB, INSN_OUTS },
		{ ZYDIS_MNEMONIC_OUTSW, INSN_OUTS },
		{ ZYDIS_MNEMONIC_OUTSD, INSN_OUTS },
	};
	const char *name = ZydisMnemonicGetString(mnemonic);

	for (unsigned i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		if (table[i].mnemonic == mnemonic)
			return table[i].operation;
	if (strncmp(name, "cmov", 4) == 0)
		return INSN_CMOV;
	if (strncmp(name, "set", 3) == 0 && strcmp(name, "setssbsy") != 0)
		return INSN_SET;
	return INSN_NONE;
}

static bool is_string(const struct insn *insn)
{
	return insn->operation >= INSN_MOVS;
}

/* The explicit memory operand, or NULL. */
static const ZydisDecodedOperand *memory_operand(const ZydisDecodedInstruction *z, const ZydisDecodedOperand *operands)
{
	for (unsigned i = 0; i < z->operand_count; i++)
		if (operands[i].type == ZYDIS_OPERAND_TYPE_MEMORY && operands[i].visibility != ZYDIS_OPERAND_VISIBILITY_HIDDEN)
			return &operands[i];
	return NULL;
}

static void check_memory(const struct insn *insn, const ZydisDecodedInstruction *z, const ZydisDecodedOperand *op)
{
	const ZydisDecodedOperandMem *mem = &op->mem;
	bool rip = mem->base == ZYDIS_REGISTER_RIP || mem->base == ZYDIS_REGISTER_EIP;

	assert_true(insn->has_memory);
	assert_int_equal(insn->address_bytes, z->address_width / 8);
	assert_int_equal(insn->rip_relative, rip);
	if (mem->base == ZYDIS_REGISTER_NONE || rip)
		assert_int_equal(insn->base, INSN_NO_REGISTER);
	else
		assert_int_equal(insn->base, ZydisRegisterGetId(mem->base));
	if (mem->index == ZYDIS_REGISTER_NONE) {
		assert_int_equal(insn->index, INSN_NO_REGISTER);
	} else {
		assert_int_equal(insn->index, ZydisRegisterGetId(mem->index));
		assert_int_equal(insn->scale, mem->scale);
	}
	if (mem->base == ZYDIS_REGISTER_NONE && z->address_width < 64) { /* an absolute address: the width counts */
		uint64_t mask = z->address_width == 16 ? 0xFFFF : 0xFFFFFFFF;

		assert_int_equal((uint64_t)insn->displacement & mask, (uint64_t)mem->disp.value & mask);
	} else {
		assert_true(insn->displacement == (mem->disp.has_displacement ? mem->disp.value : 0));
	}
	assert_int_equal(op->size / 8, insn->source == INSN_OPERAND_RM ? insn->source_bytes : insn->bytes);
}

static void check_segment(const struct insn *insn, const ZydisDecodedOperand *op)
{
	assert_int_equal(insn->segment, ZydisRegisterGetId(op->mem.segment));
}

static unsigned register_number(const struct insn *insn, ZydisRegister reg)
{
	unsigned id = (unsigned)ZydisRegisterGetId(reg);

	(void)insn;
	if (ZydisRegisterGetClass(reg) == ZYDIS_REGCLASS_GPR8) {
		/* Zydis numbers AL..BL, AH..BH, SPL..DIL, R8B..: bring both kinds of 4 to 7 together */
		if (reg >= ZYDIS_REGISTER_AH && reg <= ZYDIS_REGISTER_BH)
			return 4 + (unsigned)(reg - ZYDIS_REGISTER_AH);
		if (reg >= ZYDIS_REGISTER_SPL && reg <= ZYDIS_REGISTER_DIL)
			return 4 + (unsigned)(reg - ZYDIS_REGISTER_SPL);
		if (reg >= ZYDIS_REGISTER_R8B)
			return 8 + (unsigned)(reg - ZYDIS_REGISTER_R8B);
		return (unsigned)(reg - ZYDIS_REGISTER_AL);
	}
	return id;
}

static void check_operand(const struct insn *insn, unsigned kind, unsigned bytes, const ZydisDecodedOperand *op)
{
	switch (op->type) {
	case ZYDIS_OPERAND_TYPE_REGISTER:
		if (kind == INSN_OPERAND_ACCUMULATOR)
			assert_int_equal(register_number(insn, op->reg.value), 0);
		else if (kind == INSN_OPERAND_CL)
			assert_int_equal(op->reg.value, ZYDIS_REGISTER_CL);
		else if (kind == INSN_OPERAND_DX)
			assert_int_equal(op->reg.value, ZYDIS_REGISTER_DX);
		else if (kind == INSN_OPERAND_REG)
			assert_int_equal(register_number(insn, op->reg.value), insn->reg);
		else
			assert_int_equal(register_number(insn, op->reg.value), insn->rm);
		if (op->size == 8 && kind <= INSN_OPERAND_REG && register_number(insn, op->reg.value) / 4 == 1)
			assert_int_equal(insn->has_rex, op->reg.value >= ZYDIS_REGISTER_SPL);
		if (kind != INSN_OPERAND_CL && kind != INSN_OPERAND_DX)
			assert_int_equal(op->size / 8, bytes);
		break;
	case ZYDIS_OPERAND_TYPE_IMMEDIATE:
		assert_int_equal(kind, INSN_OPERAND_IMMEDIATE);
		/* Zydis shows some immediates unsigned: within the operand's, or the count's, size both are
		 * the same */
		if (insn->operation >= INSN_ROL && insn->operation <= INSN_BTC)
			assert_int_equal(insn->immediate & 0xFF, op->imm.value.u & 0xFF);
		else if (bytes < 8)
			assert_int_equal(insn->immediate & ((1ull << (8 * bytes)) - 1), op->imm.value.u & ((1ull << (8 * bytes)) - 1));
		else
			assert_int_equal(insn->immediate, op->imm.value.u);
		break;
	default:
		break;
	}
}

static void check_instruction(const struct insn *insn, const ZydisDecodedInstruction *z, const ZydisDecodedOperand *operands)
{
	const ZydisDecodedOperand *memory = memory_operand(z, operands);
	bool io = insn->operation == INSN_IN || insn->operation == INSN_OUT;

	assert_int_equal(insn->length, z->length);
	if (insn->operation == INSN_SAL)
		assert_int_equal(expected_operation(z->mnemonic), INSN_SHL);
	else
		assert_int_equal(insn->operation, expected_operation(z->mnemonic));
	if (insn->operation == INSN_CMOV || insn->operation == INSN_SET)
		assert_int_equal(insn->condition, z->opcode & 15);
	if (is_string(insn)) {
		for (unsigned i = 0; !memory && i < z->operand_count; i++)
			if (operands[i].type == ZYDIS_OPERAND_TYPE_MEMORY)
				memory = &operands[i];
		assert_non_null(memory);
		assert_int_equal(insn->address_bytes, z->address_width / 8);
		assert_int_equal(memory->size / 8, insn->bytes);
		if (insn->operation != INSN_STOS && insn->operation != INSN_SCAS && insn->operation != INSN_INS)
			for (unsigned i = 0; i < z->operand_count; i++)
				if (operands[i].type == ZYDIS_OPERAND_TYPE_MEMORY && ZydisRegisterGetId(operands[i].mem.base) == 6)
					check_segment(insn, &operands[i]);
		return;
	}
	if (memory) {
		check_memory(insn, z, memory);
		check_segment(insn, memory);
	} else {
		assert_false(insn->has_memory);
	}
	check_operand(insn, insn->destination, insn->bytes, &operands[0]);
	if (insn->source != INSN_OPERAND_NONE && !io)
		check_operand(insn, insn->source, insn->source_bytes, &operands[1]);
	assert_int_equal(insn->lock, (z->attributes & ZYDIS_ATTRIB_HAS_LOCK) != 0);
}

/* Register forms that the decoder leaves to the CPU, and forms whose memory operand Zydis writes otherwise.
 */
static bool left_out(const ZydisDecodedInstruction *z, const ZydisDecodedOperand *operands)
{
	const ZydisDecodedOperand *memory = memory_operand(z, operands);

	if (z->encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY || expected_operation(z->mnemonic) == INSN_NONE)
		return true;
	if (z->mnemonic == ZYDIS_MNEMONIC_MOVSD && z->opcode_map == ZYDIS_OPCODE_MAP_0F)
		return true; /* the SSE namesake */
	if (z->opcode_map == ZYDIS_OPCODE_MAP_DEFAULT && z->opcode == 0x82)
		return true; /* the alias of 80 that no assembler makes */
	if (z->mnemonic == ZYDIS_MNEMONIC_CMPSD && z->opcode_map == ZYDIS_OPCODE_MAP_0F)
		return true;
	if (z->mnemonic == ZYDIS_MNEMONIC_MOV && memory && operands[0].type == ZYDIS_OPERAND_TYPE_REGISTER &&
	    ZydisRegisterGetClass(operands[0].reg.value) == ZYDIS_REGCLASS_SEGMENT)
		return true;
	return !memory && z->mnemonic != ZYDIS_MNEMONIC_IN && z->mnemonic != ZYDIS_MNEMONIC_OUT;
}

/* Decodes these bytes with both, and compares. Returns the operation, INSN_NONE where there is nothing to compare. */
static unsigned compare_one(const ZydisDecoder *decoder, const uint8_t bytes[INSN_MAX_BYTES], enum insn_mode mode)
{
	ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
	ZydisDecodedInstruction z;
	struct insn insn;
	enum insn_decode_result result = decode(bytes, INSN_MAX_BYTES, mode, &insn);

	if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(decoder, bytes, INSN_MAX_BYTES, &z, operands)))
		return INSN_NONE;
	if (z.mnemonic == ZYDIS_MNEMONIC_NOP || z.mnemonic == ZYDIS_MNEMONIC_PAUSE)
		return INSN_NONE;
	if (z.mnemonic == ZYDIS_MNEMONIC_MOVSXD && z.operand_width == 16)
		return INSN_NONE; /* Intel reads 16 bits, AMD and Zydis 32 */
	if (mode == INSN_MODE_64 && z.address_width == 32 && z.raw.modrm.mod == 0 && z.raw.modrm.rm == 4 && z.raw.sib.base == 5 &&
	    z.raw.rex.B)
		return INSN_NONE; /* no base register whatever REX.B says (SDM vol. 2, 2.2.1.2); Zydis 4.0 shows R13D */
	if (result != INSN_DECODE_OK && left_out(&z, operands))
		return INSN_NONE;
	if (result == INSN_DECODE_OK && insn.operation == INSN_MOV_FROM_SEGMENT) {
		assert_int_equal(z.mnemonic, ZYDIS_MNEMONIC_MOV);
		assert_int_equal(insn.length, z.length);
		return INSN_NONE;
	}
	memcpy(current, bytes, sizeof(current));
	comparing = true;
	assert_int_equal(result, INSN_DECODE_OK);
	check_instruction(&insn, &z, operands);
	assert_int_equal(decode(bytes, insn.length - 1u, mode, &insn), INSN_DECODE_SHORT);
	assert_int_equal(decode(bytes, insn.length, mode, &insn), INSN_DECODE_OK);
	comparing = false;
	return insn.operation;
}

#endif
