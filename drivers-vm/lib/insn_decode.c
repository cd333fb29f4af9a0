/* See insn_decode.h. Must never read past `count`: all bytes come through take(). */
#include "drivers-vm/lib/insn_decode.h"
#include "drivers-vm/lib/insn_table.h"

#define REX_W 0x08
#define REX_R 0x04
#define REX_X 0x02
#define REX_B 0x01

struct decoder {
	const uint8_t *bytes;
	unsigned count;
	unsigned at;
	enum insn_mode mode;
	bool ended; /* a byte past the end was asked for */
	uint8_t rex;
	bool operand_prefix;
	uint8_t segment; /* override, or INSN_NO_REGISTER */
	uint8_t mod, rm; /* ModRM fields, without REX */
	struct insn insn;
};

/* Takes `bytes` bytes as a sign-extended number; zero, and d->ended, when they are not there. */
static int64_t take(struct decoder *d, unsigned bytes)
{
	uint64_t value = 0;

	if (d->count - d->at < bytes) {
		d->ended = true;
		return 0;
	}
	for (unsigned i = 0; i < bytes; i++)
		value |= (uint64_t)d->bytes[d->at++] << (8 * i);
	switch (bytes) {
	case 1:
		return (int8_t)value;
	case 2:
		return (int16_t)value;
	case 4:
		return (int32_t)value;
	}
	return (int64_t)value;
}

/* True if `byte` is a legacy prefix, which is then noted. */
static bool note_prefix(struct decoder *d, uint8_t byte)
{
	static const uint8_t override[] = { INSN_ES, INSN_CS, INSN_SS, INSN_DS };

	switch (byte) {
	case 0x26:
	case 0x2E:
	case 0x36:
	case 0x3E:
		if (d->mode != INSN_MODE_64) /* there they are ignored, and do not undo FS or GS */
			d->segment = override[(byte - 0x26) / 8];
		return true;
	case 0x64:
	case 0x65:
		d->segment = byte == 0x64 ? INSN_FS : INSN_GS;
		return true;
	case 0x66:
		d->operand_prefix = true;
		return true;
	case 0x67:
		d->insn.address_bytes = d->mode == INSN_MODE_32 ? 2 : 4;
		return true;
	case 0xF0:
		d->insn.lock = true;
		return true;
	case 0xF2:
	case 0xF3:
		d->insn.repeat = byte;
		return true;
	}
	return false;
}

/* Returns the first byte that is no prefix. A REX counts only directly before the opcode. */
static uint8_t take_prefixes(struct decoder *d)
{
	while (!d->ended) {
		uint8_t byte = (uint8_t)take(d, 1);

		if (d->mode == INSN_MODE_64 && (byte & 0xF0) == 0x40) {
			d->rex = byte;
			continue;
		}
		if (!note_prefix(d, byte)) {
			d->insn.has_rex = d->rex != 0;
			return byte;
		}
		d->rex = 0;
	}
	return 0;
}

/* SDM vol. 2, "16-Bit Addressing Forms with the ModR/M Byte". */
static void take_memory_16(struct decoder *d)
{
	static const uint8_t base[8] = { 3, 3, INSN_RBP, INSN_RBP, 6, 7, INSN_RBP, 3 };
	static const uint8_t index[4] = { 6, 7, 6, 7 };
	struct insn *insn = &d->insn;

	if (d->mod == 0 && d->rm == 6) {
		insn->displacement = take(d, 2);
		return;
	}
	insn->base = base[d->rm];
	if (d->rm < 4)
		insn->index = index[d->rm];
	if (d->mod != 0)
		insn->displacement = take(d, d->mod == 1 ? 1 : 2);
}

/* SDM vol. 2, "32-Bit Addressing Forms with the ModR/M Byte", "... with the SIB Byte". */
static void take_memory_32(struct decoder *d)
{
	struct insn *insn = &d->insn;
	uint8_t base = d->rm;

	if (base == 4) {
		uint8_t sib = (uint8_t)take(d, 1);
		uint8_t index = (sib >> 3 & 7) | (d->rex & REX_X ? 8 : 0);

		base = sib & 7;
		insn->scale = (uint8_t)(1u << (sib >> 6));
		if (index != INSN_RSP)
			insn->index = index;
	} else if (base == 5 && d->mod == 0 && d->mode == INSN_MODE_64) {
		insn->rip_relative = true;
	}
	if (base != 5 || d->mod != 0)
		insn->base = base | (d->rex & REX_B ? 8 : 0);
	if (d->mod == 1)
		insn->displacement = take(d, 1);
	else if (d->mod == 2 || insn->base == INSN_NO_REGISTER)
		insn->displacement = take(d, 4);
}

static void take_modrm(struct decoder *d)
{
	uint8_t modrm = (uint8_t)take(d, 1);
	struct insn *insn = &d->insn;

	d->mod = modrm >> 6;
	d->rm = modrm & 7;
	insn->reg = (modrm >> 3 & 7) | (d->rex & REX_R ? 8 : 0);
	if (d->mod == 3) {
		insn->rm = d->rm | (d->rex & REX_B ? 8 : 0);
		return;
	}
	insn->has_memory = true;
	if (insn->address_bytes == 2)
		take_memory_16(d);
	else
		take_memory_32(d);
	if (insn->base == INSN_RBP || insn->base == INSN_RSP)
		insn->segment = INSN_SS;
}

/* Which operation ModRM.reg chooses in a group, and what that choice changes. */
static void resolve_group(struct decoder *d, struct insn_table_entry *entry)
{
	static const uint8_t group_3[8] = { INSN_TEST, INSN_TEST, INSN_NOT, INSN_NEG };
	static const uint8_t group_5[8] = { INSN_INC, INSN_DEC, 0, 0, 0, 0, INSN_PUSH, 0 };
	unsigned choice = d->insn.reg & 7;

	switch (entry->operation) {
	case INSN_GROUP_1:
		entry->operation = (uint8_t)(INSN_ADD + choice);
		break;
	case INSN_GROUP_1A:
		entry->operation = choice == 0 ? INSN_POP : INSN_NONE;
		break;
	case INSN_GROUP_2:
		entry->operation = (uint8_t)(INSN_ROL + choice);
		break;
	case INSN_GROUP_3:
		entry->operation = group_3[choice];
		if (entry->operation == INSN_TEST) {
			entry->form = INSN_FORM_RM_IMM;
			entry->flags |= entry->flags & INSN_TABLE_BYTE ? INSN_TABLE_IMM8 : 0;
		}
		break;
	case INSN_GROUP_4:
		entry->operation = choice < 2 ? group_5[choice] : INSN_NONE;
		break;
	case INSN_GROUP_5:
		entry->operation = group_5[choice];
		entry->flags |= entry->operation == INSN_PUSH ? INSN_TABLE_STACK : 0;
		break;
	case INSN_GROUP_8:
		entry->operation = choice >= 4 ? (uint8_t)(INSN_BT + choice - 4) : INSN_NONE;
		break;
	case INSN_GROUP_11:
		entry->operation = choice == 0 ? INSN_MOV : INSN_NONE;
		break;
	}
}

static void set_sizes(struct decoder *d, unsigned flags)
{
	struct insn *insn = &d->insn;
	bool small = (d->mode == INSN_MODE_16) != d->operand_prefix;

	if (flags & INSN_TABLE_BYTE)
		insn->bytes = 1;
	else if (d->rex & REX_W)
		insn->bytes = flags & INSN_TABLE_MAX_32 ? 4 : 8;
	else if (small && !(flags & INSN_TABLE_MIN_32))
		insn->bytes = 2;
	else
		insn->bytes = (flags & INSN_TABLE_STACK) && d->mode == INSN_MODE_64 ? 8 : 4;
	insn->source_bytes = insn->bytes;
	if (flags & INSN_TABLE_SOURCE8)
		insn->source_bytes = 1;
	else if (flags & INSN_TABLE_SOURCE16)
		insn->source_bytes = 2;
	else if ((flags & INSN_TABLE_MOVSXD) && insn->bytes > 4)
		insn->source_bytes = 4;
}

static bool form_has_modrm(unsigned form)
{
	return form >= INSN_FORM_RM_REG && form <= INSN_FORM_RM_CL;
}

/* Operands by form; takes the immediate or the address that follows. */
static void set_operands(struct decoder *d, unsigned form, unsigned flags)
{
	static const uint8_t operands[][2] = {
		[INSN_FORM_RM_REG] = { INSN_OPERAND_RM, INSN_OPERAND_REG },
		[INSN_FORM_REG_RM] = { INSN_OPERAND_REG, INSN_OPERAND_RM },
		[INSN_FORM_RM] = { INSN_OPERAND_RM, INSN_OPERAND_NONE },
		[INSN_FORM_RM_IMM] = { INSN_OPERAND_RM, INSN_OPERAND_IMMEDIATE },
		[INSN_FORM_RM_ONE] = { INSN_OPERAND_RM, INSN_OPERAND_IMMEDIATE },
		[INSN_FORM_RM_CL] = { INSN_OPERAND_RM, INSN_OPERAND_CL },
		[INSN_FORM_ACC_OFFSET] = { INSN_OPERAND_ACCUMULATOR, INSN_OPERAND_RM },
		[INSN_FORM_OFFSET_ACC] = { INSN_OPERAND_RM, INSN_OPERAND_ACCUMULATOR },
		[INSN_FORM_STRING] = { INSN_OPERAND_NONE, INSN_OPERAND_NONE },
		[INSN_FORM_ACC_IMM] = { INSN_OPERAND_ACCUMULATOR, INSN_OPERAND_IMMEDIATE },
		[INSN_FORM_IMM_ACC] = { INSN_OPERAND_IMMEDIATE, INSN_OPERAND_ACCUMULATOR },
		[INSN_FORM_ACC_DX] = { INSN_OPERAND_ACCUMULATOR, INSN_OPERAND_DX },
		[INSN_FORM_DX_ACC] = { INSN_OPERAND_DX, INSN_OPERAND_ACCUMULATOR },
	};
	struct insn *insn = &d->insn;

	insn->destination = operands[form][0];
	insn->source = operands[form][1];
	if (form == INSN_FORM_ACC_OFFSET || form == INSN_FORM_OFFSET_ACC) {
		insn->has_memory = true;
		insn->displacement = take(d, insn->address_bytes);
	} else if (form == INSN_FORM_RM_ONE) {
		insn->immediate = 1;
	} else if (form == INSN_FORM_ACC_IMM || form == INSN_FORM_IMM_ACC) {
		insn->immediate = (uint8_t)take(d, 1);
	} else if (form == INSN_FORM_RM_IMM) {
		bool short_form = flags & INSN_TABLE_IMM8;

		insn->immediate = (uint64_t)take(d, short_form ? 1 : insn->bytes > 4 ? 4 : insn->bytes);
	}
}

/* 0F opcodes whose meaning a mandatory prefix chooses. False if this is none of them. */
static bool find_vector(struct decoder *d, uint8_t opcode, struct insn_table_entry *entry)
{
	uint8_t prefix = d->insn.repeat ? d->insn.repeat : d->operand_prefix ? 0x66 : 0;

	for (unsigned i = 0; i < insn_table_vector_count; i++) {
		const struct insn_vector_entry *v = &insn_table_vector[i];

		if (v->opcode == opcode && v->prefix == prefix) {
			*entry = (struct insn_table_entry){ .operation = INSN_MOV_VECTOR, .form = v->form };
			d->insn.aligned = v->aligned;
			return true;
		}
	}
	return false;
}

static struct insn_table_entry find_0f(struct decoder *d)
{
	uint8_t opcode = (uint8_t)take(d, 1);
	struct insn_table_entry entry = insn_table_0f[opcode];

	d->insn.condition = opcode & 0x0F;
	if (opcode == 0x38) {
		opcode = (uint8_t)take(d, 1);
		if ((opcode == 0xF0 || opcode == 0xF1) && d->insn.repeat != 0xF2) /* with F2: CRC32 */
			entry = (struct insn_table_entry){ .operation = INSN_MOVBE,
				                           .form = opcode == 0xF0 ? INSN_FORM_REG_RM : INSN_FORM_RM_REG };
		return entry;
	}
	if (entry.operation == INSN_NONE)
		find_vector(d, opcode, &entry);
	return entry;
}

/* What holds of single operations beyond what their table entry can say. */
static bool finish_operation(struct decoder *d)
{
	struct insn *insn = &d->insn;

	switch (insn->operation) {
	case INSN_NONE:
		return false;
	case INSN_MOV_VECTOR:
		insn->bytes = insn->source_bytes = 16;
		return insn->has_memory;
	case INSN_MOVBE:
	case INSN_MOVNTI:
		return insn->has_memory;
	case INSN_MOV_FROM_SEGMENT: /* memory always gets 16 bits; the register form does not concern us */
		insn->bytes = insn->source_bytes = 2;
		insn->reg &= 7;
		return insn->has_memory && insn->reg <= INSN_GS;
	}
	return true;
}

enum insn_decode_result insn_decode(const uint8_t *bytes, unsigned count, enum insn_mode mode, struct insn *out)
{
	struct decoder d = {
		.bytes = bytes, .count = count < INSN_MAX_BYTES ? count : INSN_MAX_BYTES, .mode = mode, .segment = INSN_NO_REGISTER
	};
	struct insn_table_entry entry;
	uint8_t opcode;

	d.insn.address_bytes = (uint8_t)mode;
	d.insn.base = d.insn.index = INSN_NO_REGISTER;
	d.insn.scale = 1;
	d.insn.segment = INSN_DS;
	opcode = take_prefixes(&d);
	entry = opcode == 0x0F ? find_0f(&d) : insn_table_one_byte[opcode];
	if (form_has_modrm(entry.form))
		take_modrm(&d);
	if (entry.operation >= INSN_GROUP_FIRST)
		resolve_group(&d, &entry);
	if ((entry.flags & INSN_TABLE_MOVSXD) && mode != INSN_MODE_64)
		entry.operation = INSN_NONE;
	d.insn.operation = entry.operation;
	set_sizes(&d, entry.flags);
	set_operands(&d, entry.form, entry.flags);
	if (d.ended)
		return count < INSN_MAX_BYTES ? INSN_DECODE_SHORT : INSN_DECODE_UNSUPPORTED;
	if (!finish_operation(&d))
		return INSN_DECODE_UNSUPPORTED;
	if (d.segment != INSN_NO_REGISTER)
		d.insn.segment = d.segment;
	d.insn.length = (uint8_t)d.at;
	*out = d.insn;
	return INSN_DECODE_OK;
}
