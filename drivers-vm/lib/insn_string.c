/* String instructions of the emulator, with their repeat prefixes: one iteration at a time, a bounded number
 * per call. */
#include "drivers-vm/lib/insn_operand.h"

#define RCX 1u
#define RDX 2u
#define RSI 6u
#define RDI 7u

/* Moves RSI or RDI on by one element, in the direction of DF, within the address size. */
static void advance(struct insn_context *c, const struct insn *insn, unsigned number)
{
	uint64_t step = c->rflags & RFLAGS_DF ? -(uint64_t)insn->bytes : insn->bytes;

	insn_register_write(c, insn, number, insn->address_bytes, c->gpr[number] + step);
}

static uint64_t pointer(const struct insn_context *c, const struct insn *insn, unsigned number)
{
	return insn_register_read(c, insn, number, insn->address_bytes);
}

static enum insn_result read_source(struct insn_context *c, const struct insn *insn, uint64_t *value)
{
	return insn_memory_read(c, insn->segment, pointer(c, insn, RSI), insn->bytes, 0, value);
}

static enum insn_result read_destination(struct insn_context *c, const struct insn *insn, uint64_t *value)
{
	return insn_memory_read(c, INSN_ES, pointer(c, insn, RDI), insn->bytes, 0, value);
}

static enum insn_result write_destination(struct insn_context *c, const struct insn *insn, uint64_t value)
{
	return insn_memory_write(c, INSN_ES, pointer(c, insn, RDI), insn->bytes, value);
}

/* Reading a device register or a port may change it: be sure first that the value has a place to go. */
static enum insn_result probe_destination(struct insn_context *c, const struct insn *insn)
{
	uint64_t linear;
	enum insn_result result = insn_linear_address(c, INSN_ES, pointer(c, insn, RDI), insn->bytes, GUEST_ACCESS_WRITE, &linear);

	return result == INSN_DONE ? c->host->probe_write(c, linear, insn->bytes) : result;
}

static enum insn_result move_once(struct insn_context *c, const struct insn *insn)
{
	uint64_t value = 0;
	enum insn_result result = probe_destination(c, insn);

	if (result == INSN_DONE)
		result = read_source(c, insn, &value);
	if (result == INSN_DONE)
		result = write_destination(c, insn, value);
	if (result != INSN_DONE)
		return result;
	advance(c, insn, RSI);
	advance(c, insn, RDI);
	return INSN_DONE;
}

static enum insn_result compare_once(struct insn_context *c, const struct insn *insn)
{
	uint64_t first = c->gpr[0], second = 0;
	enum insn_result result = INSN_DONE;

	if (insn->operation == INSN_CMPS)
		result = read_source(c, insn, &first);
	if (result == INSN_DONE)
		result = read_destination(c, insn, &second);
	if (result != INSN_DONE)
		return result;
	insn_alu(INSN_CMP, first, second, insn->bytes, &c->rflags);
	if (insn->operation == INSN_CMPS)
		advance(c, insn, RSI);
	advance(c, insn, RDI);
	return INSN_DONE;
}

static enum insn_result store_once(struct insn_context *c, const struct insn *insn)
{
	enum insn_result result = write_destination(c, insn, insn_register_read(c, insn, 0, insn->bytes));

	if (result == INSN_DONE)
		advance(c, insn, RDI);
	return result;
}

static enum insn_result load_once(struct insn_context *c, const struct insn *insn)
{
	uint64_t value = 0;
	enum insn_result result = read_source(c, insn, &value);

	if (result != INSN_DONE)
		return result;
	insn_register_write(c, insn, 0, insn->bytes, value);
	advance(c, insn, RSI);
	return INSN_DONE;
}

static enum insn_result port_in_once(struct insn_context *c, const struct insn *insn)
{
	enum insn_result result = probe_destination(c, insn);
	uint32_t value;

	if (result != INSN_DONE)
		return result;
	value = c->host->port_read(c, (uint16_t)c->gpr[RDX], insn->bytes);
	result = write_destination(c, insn, value);
	if (result == INSN_DONE)
		advance(c, insn, RDI);
	return result;
}

static enum insn_result port_out_once(struct insn_context *c, const struct insn *insn)
{
	uint64_t value = 0;
	enum insn_result result = read_source(c, insn, &value);

	if (result != INSN_DONE)
		return result;
	c->host->port_write(c, (uint16_t)c->gpr[RDX], insn->bytes, (uint32_t)value);
	advance(c, insn, RSI);
	return INSN_DONE;
}

static enum insn_result iterate(struct insn_context *c, const struct insn *insn)
{
	switch (insn->operation) {
	case INSN_MOVS:
		return move_once(c, insn);
	case INSN_CMPS:
	case INSN_SCAS:
		return compare_once(c, insn);
	case INSN_STOS:
		return store_once(c, insn);
	case INSN_LODS:
		return load_once(c, insn);
	case INSN_INS:
		return port_in_once(c, insn);
	case INSN_OUTS:
		return port_out_once(c, insn);
	}
	return INSN_UNSUPPORTED;
}

/* After an iteration: does ZF end a repeated comparison? F3 repeats while equal, F2 while unequal. */
static bool comparison_ends(const struct insn_context *c, const struct insn *insn)
{
	bool equal = c->rflags & RFLAGS_ZF;

	if (insn->operation != INSN_CMPS && insn->operation != INSN_SCAS)
		return false;
	return equal != (insn->repeat == 0xF3);
}

enum insn_result insn_emulate_string(struct insn_context *c, const struct insn *insn)
{
	unsigned width = insn->address_bytes;

	if (!insn->repeat)
		return iterate(c, insn);
	for (unsigned moved = 0; insn_register_read(c, insn, RCX, width) != 0; moved += insn->bytes) {
		enum insn_result result;

		c->single_step = moved > 0 && (c->rflags & RFLAGS_TF); /* each iteration traps */
		if (c->single_step || moved >= INSN_REPEAT_BYTES_MAX)
			return INSN_AGAIN;
		result = iterate(c, insn);
		if (result != INSN_DONE)
			return result;
		insn_register_write(c, insn, RCX, width, c->gpr[RCX] - 1);
		if (comparison_ends(c, insn))
			break;
	}
	return INSN_DONE;
}
