/* See insn_operand.h. */
#include "drivers-vm/lib/insn_operand.h"

/* struct hilum_segment.attributes: type in bits 3:0, then S, DPL, P; AVL, L, D/B, G (APM vol. 2, 15.5.1). */
#define SEGMENT_TYPE_WRITABLE 0x0002u /* data; readable for code */
#define SEGMENT_TYPE_DOWN     0x0004u /* data: expand-down */
#define SEGMENT_TYPE_CODE     0x0008u
#define SEGMENT_PRESENT       0x0080u
#define SEGMENT_LONG          0x0200u

enum insn_mode insn_context_mode(const struct insn_context *c)
{
	unsigned attributes = c->segment[INSN_CS].attributes;

	if (!(c->cr0 & CR0_PE) || (c->rflags & RFLAGS_VM))
		return INSN_MODE_16;
	if ((c->efer & EFER_LMA) && (attributes & SEGMENT_LONG))
		return INSN_MODE_64;
	return attributes & INSN_SEGMENT_BIG ? INSN_MODE_32 : INSN_MODE_16;
}

unsigned insn_context_cpl(const struct insn_context *c)
{
	if (!(c->cr0 & CR0_PE))
		return 0;
	/* CS and not SS: SYSRET leaves SS.DPL alone on AMD */
	return c->rflags & RFLAGS_VM ? 3 : c->segment[INSN_CS].selector & 3;
}

enum insn_result insn_raise(struct insn_context *c, unsigned vector)
{
	bool has_error_code = vector >= 10 && (c->cr0 & CR0_PE);

	c->exception = (struct insn_exception){ .vector = (uint8_t)vector, .has_error_code = has_error_code };
	return INSN_EXCEPTION;
}

static bool register_is_high_byte(const struct insn *insn, unsigned number, unsigned bytes)
{
	return bytes == 1 && !insn->has_rex && number >= 4 && number < 8;
}

uint64_t insn_register_read(const struct insn_context *c, const struct insn *insn, unsigned number, unsigned bytes)
{
	if (register_is_high_byte(insn, number, bytes))
		return c->gpr[number - 4] >> 8 & 0xFF;
	return c->gpr[number & 15] & insn_mask(bytes);
}

void insn_register_write(struct insn_context *c, const struct insn *insn, unsigned number, unsigned bytes, uint64_t value)
{
	uint64_t mask = insn_mask(bytes == 4 ? 8 : bytes), *gpr = &c->gpr[number & 15];

	value &= insn_mask(bytes);
	if (register_is_high_byte(insn, number, bytes)) {
		gpr = &c->gpr[number - 4];
		mask <<= 8;
		value <<= 8;
	}
	*gpr = (*gpr & ~mask) | value;
}

uint64_t insn_effective_address(const struct insn_context *c, const struct insn *insn, uint64_t next_rip)
{
	uint64_t address = (uint64_t)insn->displacement;

	if (insn->rip_relative)
		address += next_rip;
	if (insn->base != INSN_NO_REGISTER)
		address += c->gpr[insn->base & 15];
	if (insn->index != INSN_NO_REGISTER)
		address += c->gpr[insn->index & 15] * insn->scale;
	return address & insn_mask(insn->address_bytes);
}

static bool address_is_canonical(const struct insn_context *c, uint64_t linear)
{
	unsigned unused = c->cr4 & CR4_LA57 ? 7 : 16;

	return (uint64_t)((int64_t)(linear << unused) >> unused) == linear;
}

static bool segment_type_allows(const struct insn_context *c, const struct hilum_segment *segment, unsigned access)
{
	unsigned attributes = segment->attributes;

	if (!(c->cr0 & CR0_PE) || (c->rflags & RFLAGS_VM))
		return true;
	if (!(attributes & SEGMENT_PRESENT))
		return false;
	if (access & GUEST_ACCESS_FETCH)
		return true; /* CS was checked when it was loaded */
	if (attributes & SEGMENT_TYPE_CODE)
		return !(access & GUEST_ACCESS_WRITE) && (attributes & SEGMENT_TYPE_WRITABLE);
	return !(access & GUEST_ACCESS_WRITE) || (attributes & SEGMENT_TYPE_WRITABLE);
}

static bool segment_limit_allows(const struct hilum_segment *segment, uint64_t offset, unsigned bytes)
{
	uint64_t last = offset + bytes - 1;
	unsigned kind = segment->attributes & (SEGMENT_TYPE_CODE | SEGMENT_TYPE_DOWN);

	if (kind == SEGMENT_TYPE_DOWN)
		return offset > segment->limit && last <= (segment->attributes & INSN_SEGMENT_BIG ? 0xFFFFFFFFu : 0xFFFFu);
	return last <= segment->limit;
}

enum insn_result insn_linear_address(struct insn_context *c, unsigned segment, uint64_t offset, unsigned bytes, unsigned access,
                                     uint64_t *linear)
{
	const struct hilum_segment *s = &c->segment[segment];
	unsigned vector = segment == INSN_SS ? INSN_VECTOR_SS : INSN_VECTOR_GP;

	if (insn_context_mode(c) == INSN_MODE_64) {
		uint64_t address = offset + (segment >= INSN_FS ? s->base : 0);

		if (!address_is_canonical(c, address) || !address_is_canonical(c, address + bytes - 1))
			return insn_raise(c, vector);
		*linear = address;
		return INSN_DONE;
	}
	if (!segment_type_allows(c, s, access) || !segment_limit_allows(s, offset, bytes))
		return insn_raise(c, vector);
	*linear = (s->base + offset) & 0xFFFFFFFFu;
	return INSN_DONE;
}

/* #AC where the guest has asked for it: SDM vol. 3A, "Alignment Check Exception". */
static enum insn_result check_alignment(struct insn_context *c, uint64_t linear, unsigned bytes)
{
	if (!(c->rflags & RFLAGS_AC) || !(c->cr0 & CR0_AM) || !(linear & (bytes - 1)) || insn_context_cpl(c) != 3)
		return INSN_DONE;
	return insn_raise(c, INSN_VECTOR_AC);
}

enum insn_result insn_memory_read(struct insn_context *c, unsigned segment, uint64_t offset, unsigned bytes, unsigned access,
                                  uint64_t *value)
{
	uint64_t linear, read = 0;
	enum insn_result result = insn_linear_address(c, segment, offset, bytes, access, &linear);

	if (result == INSN_DONE)
		result = check_alignment(c, linear, bytes);
	if (result == INSN_DONE)
		result = c->host->read(c, linear, &read, bytes, access);
	if (result == INSN_DONE)
		*value = read;
	return result;
}

enum insn_result insn_memory_write(struct insn_context *c, unsigned segment, uint64_t offset, unsigned bytes, uint64_t value)
{
	uint64_t linear;
	enum insn_result result = insn_linear_address(c, segment, offset, bytes, GUEST_ACCESS_WRITE, &linear);

	if (result == INSN_DONE)
		result = check_alignment(c, linear, bytes);
	if (result == INSN_DONE)
		result = c->host->write(c, linear, &value, bytes);
	return result;
}
