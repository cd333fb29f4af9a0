/* See insn_emulate.h. Fetch, decode, and the instructions that are no string instructions. */
#include "drivers-vm/lib/insn_emulate.h"
#include "drivers-vm/lib/insn_operand.h"

#define RCX          1u
#define RDX          2u
#define PAGE_BYTES   4096u
#define VECTOR_BYTES 16u

/* One instruction in execution. Flags are committed with RIP, when nothing can fail any more. */
struct execution {
	struct insn_context *c;
	struct insn insn;
	uint64_t next_rip;
	uint64_t rflags;
	uint64_t offset; /* effective address of the memory operand */
	uint64_t old;    /* the memory operand as it was read */
	bool locked;     /* write it back by compare-and-exchange against `old` */
};

static enum insn_result operand_read(struct execution *x, unsigned operand, unsigned bytes, unsigned access, uint64_t *value)
{
	enum insn_result result;

	switch (operand) {
	case INSN_OPERAND_RM:
		if (!x->insn.has_memory) {
			*value = insn_register_read(x->c, &x->insn, x->insn.rm, bytes);
			return INSN_DONE;
		}
		result = insn_memory_read(x->c, x->insn.segment, x->offset, bytes, access, value);
		x->old = *value;
		return result;
	case INSN_OPERAND_REG:
		*value = insn_register_read(x->c, &x->insn, x->insn.reg, bytes);
		return INSN_DONE;
	case INSN_OPERAND_ACCUMULATOR:
		*value = insn_register_read(x->c, &x->insn, 0, bytes);
		return INSN_DONE;
	case INSN_OPERAND_CL:
		*value = x->c->gpr[RCX] & 0xFF;
		return INSN_DONE;
	case INSN_OPERAND_DX:
		*value = x->c->gpr[RDX] & 0xFFFF;
		return INSN_DONE;
	case INSN_OPERAND_IMMEDIATE:
		*value = x->insn.immediate;
		return INSN_DONE;
	default:
		*value = 0;
		return INSN_DONE;
	}
}

static enum insn_result memory_write_locked(struct execution *x, unsigned bytes, uint64_t value)
{
	uint64_t linear;
	enum insn_result result = insn_linear_address(x->c, x->insn.segment, x->offset, bytes, GUEST_ACCESS_WRITE, &linear);

	if (result != INSN_DONE)
		return result;
	return x->c->host->compare_exchange(x->c, linear, x->old, value, bytes);
}

static enum insn_result operand_write(struct execution *x, unsigned operand, unsigned bytes, uint64_t value)
{
	if (operand == INSN_OPERAND_REG) {
		insn_register_write(x->c, &x->insn, x->insn.reg, bytes, value);
		return INSN_DONE;
	}
	if (operand == INSN_OPERAND_ACCUMULATOR) {
		insn_register_write(x->c, &x->insn, 0, bytes, value);
		return INSN_DONE;
	}
	if (!x->insn.has_memory) {
		insn_register_write(x->c, &x->insn, x->insn.rm, bytes, value);
		return INSN_DONE;
	}
	if (x->locked)
		return memory_write_locked(x, bytes, value);
	return insn_memory_write(x->c, x->insn.segment, x->offset, bytes, value);
}

static uint64_t swap_bytes(uint64_t value, unsigned bytes)
{
	return __builtin_bswap64(value) >> (64 - 8 * bytes);
}

/* The operations that give their destination a new value whatever it held. */
static enum insn_result execute_move(struct execution *x)
{
	const struct insn *insn = &x->insn;
	uint64_t value = 0;
	enum insn_result result;

	if (insn->operation == INSN_SET)
		return operand_write(x, insn->destination, 1, insn_condition(insn->condition, x->c->rflags));
	if (insn->operation == INSN_MOV_FROM_SEGMENT)
		return operand_write(x, insn->destination, 2, x->c->segment[insn->reg].selector);
	result = operand_read(x, insn->source, insn->source_bytes, 0, &value);
	if (result != INSN_DONE)
		return result;
	if (insn->operation == INSN_MOVSX)
		value = insn_sign_extend(value, insn->source_bytes);
	else if (insn->operation == INSN_MOVBE)
		value = swap_bytes(value, insn->bytes);
	else if (insn->operation == INSN_CMOV && !insn_condition(insn->condition, x->c->rflags))
		value = insn_register_read(x->c, insn, insn->reg, insn->bytes); /* a 32-bit one still zero-extends */
	return operand_write(x, insn->destination, insn->bytes, value);
}

static bool operation_only_tests(unsigned operation)
{
	return operation == INSN_CMP || operation == INSN_TEST || operation == INSN_BT;
}

/* A bit number in a register reaches beyond the operand: it moves the address by whole operands, up or down.
 */
static void apply_bit_offset(struct execution *x, uint64_t bit)
{
	unsigned bytes = x->insn.bytes;
	int64_t operands = (int64_t)insn_sign_extend(bit, bytes) >> (bytes == 8 ? 6 : bytes == 4 ? 5 : 4);

	x->offset = (x->offset + (uint64_t)operands * bytes) & insn_mask(x->insn.address_bytes);
}

static enum insn_result execute_arithmetic(struct execution *x)
{
	const struct insn *insn = &x->insn;
	bool bit_test = insn->operation >= INSN_BT && insn->operation <= INSN_BTC;
	bool writes = !operation_only_tests(insn->operation);
	uint64_t a = 0, b = 0, value;
	enum insn_result result = operand_read(x, insn->source, insn->bytes, 0, &b);

	if (result != INSN_DONE)
		return result;
	if (bit_test && insn->has_memory && insn->source == INSN_OPERAND_REG)
		apply_bit_offset(x, b);
	result = operand_read(x, insn->destination, insn->bytes, writes ? GUEST_ACCESS_WRITE : 0, &a);
	if (result != INSN_DONE)
		return result;
	value = insn_alu(insn->operation, a, b, insn->bytes, &x->rflags);
	return writes ? operand_write(x, insn->destination, insn->bytes, value) : INSN_DONE;
}

/* XCHG and XADD: memory first, since that can fail; the register gets what memory held. */
static enum insn_result execute_exchange(struct execution *x)
{
	const struct insn *insn = &x->insn;
	uint64_t old = 0, value = insn_register_read(x->c, insn, insn->reg, insn->bytes);
	enum insn_result result = operand_read(x, INSN_OPERAND_RM, insn->bytes, GUEST_ACCESS_WRITE, &old);

	if (result != INSN_DONE)
		return result;
	if (insn->operation == INSN_XADD)
		value = insn_alu(INSN_ADD, old, value, insn->bytes, &x->rflags);
	if (insn->has_memory) {
		result = operand_write(x, INSN_OPERAND_RM, insn->bytes, value);
		if (result == INSN_DONE)
			insn_register_write(x->c, insn, insn->reg, insn->bytes, old);
		return result;
	}
	insn_register_write(x->c, insn, insn->reg, insn->bytes, old);
	return operand_write(x, INSN_OPERAND_RM, insn->bytes, value);
}

/* Memory is written in both cases, with its old value when the comparison fails, as the CPU does. */
static enum insn_result execute_compare_exchange(struct execution *x)
{
	const struct insn *insn = &x->insn;
	uint64_t old = 0, accumulator = insn_register_read(x->c, insn, 0, insn->bytes);
	uint64_t value = insn_register_read(x->c, insn, insn->reg, insn->bytes);
	enum insn_result result = operand_read(x, INSN_OPERAND_RM, insn->bytes, GUEST_ACCESS_WRITE, &old);
	bool equal = old == accumulator;

	if (result != INSN_DONE)
		return result;
	insn_alu(INSN_CMP, accumulator, old, insn->bytes, &x->rflags);
	if (equal || insn->has_memory)
		result = operand_write(x, INSN_OPERAND_RM, insn->bytes, equal ? value : old);
	if (result == INSN_DONE && !equal)
		insn_register_write(x->c, insn, 0, insn->bytes, old);
	return result;
}

static unsigned stack_address_bytes(const struct insn_context *c)
{
	if (insn_context_mode(c) == INSN_MODE_64)
		return 8;
	return c->segment[INSN_SS].attributes & INSN_SEGMENT_BIG ? 4 : 2;
}

static enum insn_result execute_push(struct execution *x)
{
	unsigned width = stack_address_bytes(x->c), bytes = x->insn.bytes;
	uint64_t value = 0, top = (x->c->gpr[INSN_RSP] - bytes) & insn_mask(width);
	enum insn_result result = operand_read(x, INSN_OPERAND_RM, bytes, 0, &value);

	if (result == INSN_DONE)
		result = insn_memory_write(x->c, INSN_SS, top, bytes, value);
	if (result == INSN_DONE)
		insn_register_write(x->c, &x->insn, INSN_RSP, width, top);
	return result;
}

/* The destination's address is computed with RSP already moved. SDM vol. 2, "POP". */
static enum insn_result execute_pop(struct execution *x)
{
	unsigned width = stack_address_bytes(x->c), bytes = x->insn.bytes;
	uint64_t value = 0, rsp = x->c->gpr[INSN_RSP];
	enum insn_result result = insn_memory_read(x->c, INSN_SS, rsp & insn_mask(width), bytes, 0, &value);

	if (result != INSN_DONE)
		return result;
	insn_register_write(x->c, &x->insn, INSN_RSP, width, rsp + bytes);
	x->offset = insn_effective_address(x->c, &x->insn, x->next_rip);
	result = operand_write(x, INSN_OPERAND_RM, bytes, value);
	if (result != INSN_DONE)
		x->c->gpr[INSN_RSP] = rsp;
	return result;
}

static enum insn_result execute_vector_move(struct execution *x)
{
	const struct insn_host *host = x->c->host;
	bool write = x->insn.destination == INSN_OPERAND_RM;
	uint8_t value[VECTOR_BYTES];
	uint64_t linear;
	enum insn_result result;

	/* read in any case: whether the registers can be reached must be known before memory is */
	if (!host->xmm_read(x->c, x->insn.reg, value))
		return INSN_UNSUPPORTED;
	result = insn_linear_address(x->c, x->insn.segment, x->offset, VECTOR_BYTES, write ? GUEST_ACCESS_WRITE : 0, &linear);
	if (result != INSN_DONE)
		return result;
	if (x->insn.aligned && linear % VECTOR_BYTES != 0)
		return insn_raise(x->c, INSN_VECTOR_GP);
	if (write)
		return host->write(x->c, linear, value, VECTOR_BYTES);
	result = host->read(x->c, linear, value, VECTOR_BYTES, 0);
	if (result == INSN_DONE && !host->xmm_write(x->c, x->insn.reg, value))
		return INSN_UNSUPPORTED;
	return result;
}

static enum insn_result execute_port(struct execution *x)
{
	const struct insn *insn = &x->insn;
	bool in = insn->operation == INSN_IN;
	uint64_t port = 0;

	operand_read(x, in ? insn->source : insn->destination, 2, 0, &port);
	if (in)
		return operand_write(x, INSN_OPERAND_ACCUMULATOR, insn->bytes, x->c->host->port_read(x->c, (uint16_t)port, insn->bytes));
	x->c->host->port_write(x->c, (uint16_t)port, insn->bytes, (uint32_t)insn_register_read(x->c, insn, 0, insn->bytes));
	return INSN_DONE;
}

static enum insn_result execute(struct execution *x)
{
	switch (x->insn.operation) {
	case INSN_ADD ... INSN_DEC:
		return execute_arithmetic(x);
	case INSN_MOV ... INSN_MOVBE:
	case INSN_CMOV:
	case INSN_SET:
		return execute_move(x);
	case INSN_XCHG:
	case INSN_XADD:
		return execute_exchange(x);
	case INSN_CMPXCHG:
		return execute_compare_exchange(x);
	case INSN_PUSH:
		return execute_push(x);
	case INSN_POP:
		return execute_pop(x);
	case INSN_MOV_VECTOR:
		return execute_vector_move(x);
	case INSN_IN:
	case INSN_OUT:
		return execute_port(x);
	default:
		return INSN_UNSUPPORTED;
	}
}

/* Limits and rights of the fetch itself were checked by the CPU. A second page is read only when the first
 * does not do. */
static enum insn_result fetch_and_decode(struct insn_context *c, enum insn_mode mode, struct insn *insn)
{
	uint64_t linear = mode == INSN_MODE_64 ? c->rip : (c->segment[INSN_CS].base + c->rip) & 0xFFFFFFFFu;
	unsigned first = PAGE_BYTES - (unsigned)(linear & (PAGE_BYTES - 1));
	uint8_t bytes[INSN_MAX_BYTES];
	enum insn_result result;

	if (c->byte_count && insn_decode(c->bytes, c->byte_count, mode, insn) == INSN_DECODE_OK)
		return INSN_DONE;
	if (first > INSN_MAX_BYTES)
		first = INSN_MAX_BYTES;
	result = c->host->read(c, linear, bytes, first, GUEST_ACCESS_FETCH);
	if (result != INSN_DONE)
		return result;
	switch (insn_decode(bytes, first, mode, insn)) {
	case INSN_DECODE_OK:
		return INSN_DONE;
	case INSN_DECODE_UNSUPPORTED:
		return INSN_UNSUPPORTED;
	case INSN_DECODE_SHORT:
		break;
	}
	result = c->host->read(c, linear + first, bytes + first, INSN_MAX_BYTES - first, GUEST_ACCESS_FETCH);
	if (result != INSN_DONE)
		return result;
	return insn_decode(bytes, INSN_MAX_BYTES, mode, insn) == INSN_DECODE_OK ? INSN_DONE : INSN_UNSUPPORTED;
}

static bool has_one_memory_operand(const struct insn *insn)
{
	switch (insn->operation) {
	case INSN_PUSH:
	case INSN_POP:
	case INSN_MOVS:
	case INSN_CMPS:
		return false;
	}
	return true;
}

static enum insn_result execute_general(struct execution *x)
{
	x->rflags = x->c->rflags;
	x->locked = x->insn.has_memory && (x->insn.lock || x->insn.operation == INSN_XCHG);
	if (x->insn.has_memory)
		x->offset = insn_effective_address(x->c, &x->insn, x->next_rip);
	return execute(x);
}

enum insn_result insn_emulate(struct insn_context *c)
{
	enum insn_mode mode = insn_context_mode(c);
	struct execution x;
	enum insn_result result = fetch_and_decode(c, mode, &x.insn);

	c->single_step = false;
	if (result != INSN_DONE)
		return result;
	x.c = c;
	x.next_rip = c->rip + x.insn.length;
	if (mode != INSN_MODE_64)
		x.next_rip &= 0xFFFFFFFFu;
	c->one_operand = has_one_memory_operand(&x.insn);
	if (x.insn.operation >= INSN_MOVS) {
		result = insn_emulate_string(c, &x.insn);
		x.rflags = c->rflags;
	} else {
		result = execute_general(&x);
	}
	if (result == INSN_DONE) {
		c->rip = x.next_rip;
		c->single_step = x.rflags & RFLAGS_TF;
		c->rflags = x.rflags & ~RFLAGS_RF;
	}
	return result;
}
