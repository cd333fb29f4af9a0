/* See insn_guest.h. */
#include "drivers-vm/lib/insn_guest.h"

#include <stddef.h>
#include <string.h>

#define PAGE_BYTES   4096ull
#define VECTOR_DB    1u
#define CACHE_SIZE   4u /* source, destination, and room for an operand that crosses a page */
#define ACCESSES_MAX 2u /* pages that one operand touches */

_Static_assert(offsetof(struct hilum_trap, gs) - offsetof(struct hilum_trap, es) == 5 * sizeof(struct hilum_segment),
               "the trap page holds the segments in encoding order");

/* A translation that this emulation has already made: a repeated instruction asks for the same page again and
 * again. */
struct translation {
	uint64_t linear_page;
	uint64_t gpa_page;
	unsigned access;
	bool valid;
};

struct insn_guest {
	struct insn_context context;
	const struct insn_guest_config *config;
	struct guest_paging paging;
	struct translation cache[CACHE_SIZE];
	unsigned cache_next;
	/* Where the CPU found the operand on which the guest trapped, until the first operand has been looked
	 * up. */
	bool trap_known;
	bool trap_write;
	uint64_t trap_gpa;
};

/* An operand in guest-physical terms: one piece per page. */
struct piece {
	uint64_t gpa;
	unsigned bytes;
};

static struct insn_guest *guest_of(struct insn_context *c)
{
	return c->opaque;
}

/* ---- Guest-physical accesses ---- */

static bool walk_read(void *opaque, uint64_t gpa, unsigned bytes, uint64_t *value)
{
	const struct insn_guest_config *config = ((struct insn_guest *)opaque)->config;
	const void *ram = config->host->ram(config->opaque, gpa, bytes);

	if (!ram)
		return false;
	*value = bytes == 8 ? __atomic_load_n((const uint64_t *)ram, __ATOMIC_RELAXED)
	                    : __atomic_load_n((const uint32_t *)ram, __ATOMIC_RELAXED);
	return true;
}

/* Compare-and-exchange of an aligned 1, 2, 4 or 8 bytes. */
static bool ram_compare_exchange(void *ram, unsigned bytes, uint64_t expected, uint64_t desired)
{
	uint8_t expected_8 = (uint8_t)expected;
	uint16_t expected_16 = (uint16_t)expected;
	uint32_t expected_32 = (uint32_t)expected;

	switch (bytes) {
	case 1:
		return __atomic_compare_exchange_n((uint8_t *)ram, &expected_8, (uint8_t)desired, false, __ATOMIC_SEQ_CST,
		                                   __ATOMIC_SEQ_CST);
	case 2:
		return __atomic_compare_exchange_n((uint16_t *)ram, &expected_16, (uint16_t)desired, false, __ATOMIC_SEQ_CST,
		                                   __ATOMIC_SEQ_CST);
	case 4:
		return __atomic_compare_exchange_n((uint32_t *)ram, &expected_32, (uint32_t)desired, false, __ATOMIC_SEQ_CST,
		                                   __ATOMIC_SEQ_CST);
	default:
		return __atomic_compare_exchange_n((uint64_t *)ram, &expected, desired, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
	}
}

static bool walk_compare_exchange(void *opaque, uint64_t gpa, unsigned bytes, uint64_t expected, uint64_t desired)
{
	const struct insn_guest_config *config = ((struct insn_guest *)opaque)->config;
	void *ram = config->host->ram(config->opaque, gpa, bytes);

	return ram && ram_compare_exchange(ram, bytes, expected, desired);
}

/* The largest naturally aligned access at `gpa` of at most `bytes`. */
static unsigned aligned_part(uint64_t gpa, unsigned bytes)
{
	unsigned part = 8;

	while (part > bytes || gpa % part != 0)
		part /= 2;
	return part;
}

static void physical_read(const struct insn_guest_config *config, uint64_t gpa, uint8_t *buffer, unsigned bytes)
{
	const void *ram = config->host->ram(config->opaque, gpa, bytes);

	if (ram) {
		memcpy(buffer, ram, bytes);
		return;
	}
	while (bytes > 0) {
		unsigned part = aligned_part(gpa, bytes);
		uint64_t value = config->host->mmio_read(config->opaque, gpa, part);

		memcpy(buffer, &value, part);
		buffer += part;
		gpa += part;
		bytes -= part;
	}
}

static void physical_write(const struct insn_guest_config *config, uint64_t gpa, const uint8_t *buffer, unsigned bytes)
{
	void *ram = config->host->ram(config->opaque, gpa, bytes);

	if (ram) {
		memcpy(ram, buffer, bytes);
		return;
	}
	while (bytes > 0) {
		unsigned part = aligned_part(gpa, bytes);
		uint64_t value = 0;

		memcpy(&value, buffer, part);
		config->host->mmio_write(config->opaque, gpa, part, value);
		buffer += part;
		gpa += part;
		bytes -= part;
	}
}

/* ---- Linear accesses ---- */

static enum insn_result raise_page_fault(struct insn_context *c, uint64_t linear, uint32_t error_code)
{
	c->exception = (struct insn_exception){ .vector = INSN_VECTOR_PF, .has_error_code = true, .error_code = error_code, .cr2 = linear };
	return INSN_EXCEPTION;
}

static void remember(struct insn_guest *guest, uint64_t linear, unsigned access, uint64_t gpa)
{
	struct translation *slot = &guest->cache[guest->cache_next++ % CACHE_SIZE];

	*slot = (struct translation){ linear / PAGE_BYTES, gpa / PAGE_BYTES, access, true };
}

/*
 * The CPU has translated the trapping operand, checked its rights and marked its page accessed: the walk need
 * not be repeated for an instruction that has no other operand. If a hostile guest has put another
 * instruction there meanwhile, that one reaches the trapped address, which the guest could reach anyway, and
 * no other.
 */
static bool known_from_trap(struct insn_guest *guest, uint64_t linear, unsigned access)
{
	bool known = guest->trap_known && guest->context.one_operand && !((linear ^ guest->trap_gpa) % PAGE_BYTES) &&
	             (guest->trap_write || !(access & GUEST_ACCESS_WRITE));

	guest->trap_known = false;
	return known;
}

static enum insn_result walk_tables(struct insn_guest *guest, uint64_t linear, unsigned access, uint64_t *gpa)
{
	const struct guest_walk_memory memory = { guest, walk_read, walk_compare_exchange };
	struct guest_walk_output out;
	uint32_t error = PAGE_FAULT_PRESENT | PAGE_FAULT_RESERVED;

	switch (guest_walk(&guest->paging, &memory, linear, access, &out)) {
	case GUEST_WALK_OK:
		*gpa = out.gpa;
		return INSN_DONE;
	case GUEST_WALK_RETRY:
		return INSN_AGAIN;
	case GUEST_WALK_FAULT:
		return raise_page_fault(&guest->context, linear, out.error_code);
	case GUEST_WALK_NO_RAM: /* a table in a hole reads all ones: reserved bits are set */
		break;
	}
	return raise_page_fault(&guest->context, linear, error | guest_walk_error_bits(&guest->paging, access));
}

static enum insn_result translate(struct insn_guest *guest, uint64_t linear, unsigned access, uint64_t *gpa)
{
	enum insn_result result;

	if (insn_context_cpl(&guest->context) == 3)
		access |= GUEST_ACCESS_USER;
	for (unsigned i = 0; i < CACHE_SIZE; i++) {
		const struct translation *slot = &guest->cache[i];

		if (slot->valid && slot->linear_page == linear / PAGE_BYTES && slot->access == access) {
			*gpa = slot->gpa_page * PAGE_BYTES + linear % PAGE_BYTES;
			return INSN_DONE;
		}
	}
	if (!(access & GUEST_ACCESS_FETCH) && known_from_trap(guest, linear, access)) {
		*gpa = guest->trap_gpa;
		result = INSN_DONE;
	} else {
		result = walk_tables(guest, linear, access, gpa);
	}
	if (result == INSN_DONE)
		remember(guest, linear, access, *gpa);
	return result;
}

/* All pages of an operand are translated before any is touched. */
static enum insn_result translate_operand(struct insn_guest *guest, uint64_t linear, unsigned bytes, unsigned access,
                                          struct piece pieces[ACCESSES_MAX], unsigned *count)
{
	unsigned first = (unsigned)(PAGE_BYTES - linear % PAGE_BYTES);
	enum insn_result result;

	*count = bytes > first ? 2 : 1;
	pieces[0].bytes = bytes > first ? first : bytes;
	result = translate(guest, linear, access, &pieces[0].gpa);
	if (result != INSN_DONE || *count == 1)
		return result;
	pieces[1].bytes = bytes - first;
	linear += first;
	if (insn_context_mode(&guest->context) != INSN_MODE_64)
		linear &= 0xFFFFFFFFu;
	return translate(guest, linear, access, &pieces[1].gpa);
}

static enum insn_result guest_read(struct insn_context *c, uint64_t linear, void *buffer, unsigned bytes, unsigned access)
{
	struct insn_guest *guest = guest_of(c);
	struct piece pieces[ACCESSES_MAX];
	unsigned count;
	enum insn_result result = translate_operand(guest, linear, bytes, access, pieces, &count);

	if (result != INSN_DONE)
		return result;
	physical_read(guest->config, pieces[0].gpa, buffer, pieces[0].bytes);
	if (count == 2)
		physical_read(guest->config, pieces[1].gpa, (uint8_t *)buffer + pieces[0].bytes, pieces[1].bytes);
	return INSN_DONE;
}

static enum insn_result guest_write(struct insn_context *c, uint64_t linear, const void *buffer, unsigned bytes)
{
	struct insn_guest *guest = guest_of(c);
	struct piece pieces[ACCESSES_MAX];
	unsigned count;
	enum insn_result result = translate_operand(guest, linear, bytes, GUEST_ACCESS_WRITE, pieces, &count);

	if (result != INSN_DONE)
		return result;
	physical_write(guest->config, pieces[0].gpa, buffer, pieces[0].bytes);
	if (count == 2)
		physical_write(guest->config, pieces[1].gpa, (const uint8_t *)buffer + pieces[0].bytes, pieces[1].bytes);
	return INSN_DONE;
}

/* A locked access that is not naturally aligned (a split lock) is done as a plain write. */
static enum insn_result guest_compare_exchange(struct insn_context *c, uint64_t linear, uint64_t expected, uint64_t desired, unsigned bytes)
{
	struct insn_guest *guest = guest_of(c);
	struct piece pieces[ACCESSES_MAX];
	unsigned count;
	enum insn_result result = translate_operand(guest, linear, bytes, GUEST_ACCESS_WRITE, pieces, &count);
	void *ram;

	if (result != INSN_DONE)
		return result;
	ram = guest->config->host->ram(guest->config->opaque, pieces[0].gpa, pieces[0].bytes);
	if (!ram || linear % bytes != 0)
		return guest_write(c, linear, &desired, bytes);
	return ram_compare_exchange(ram, bytes, expected, desired) ? INSN_DONE : INSN_AGAIN;
}

static enum insn_result guest_probe_write(struct insn_context *c, uint64_t linear, unsigned bytes)
{
	struct piece pieces[ACCESSES_MAX];
	unsigned count;

	return translate_operand(guest_of(c), linear, bytes, GUEST_ACCESS_WRITE, pieces, &count);
}

static uint32_t guest_port_read(struct insn_context *c, uint16_t port, unsigned bytes)
{
	const struct insn_guest_config *config = guest_of(c)->config;

	return config->host->port_read(config->opaque, port, bytes);
}

static void guest_port_write(struct insn_context *c, uint16_t port, unsigned bytes, uint32_t value)
{
	const struct insn_guest_config *config = guest_of(c)->config;

	config->host->port_write(config->opaque, port, bytes, value);
}

static bool guest_xmm_read(struct insn_context *c, unsigned number, uint8_t value[16])
{
	const struct insn_guest_config *config = guest_of(c)->config;

	if (!config->host->xmm_read)
		return false;
	config->host->xmm_read(config->opaque, number, value);
	return true;
}

static bool guest_xmm_write(struct insn_context *c, unsigned number, const uint8_t value[16])
{
	const struct insn_guest_config *config = guest_of(c)->config;

	if (!config->host->xmm_write)
		return false;
	config->host->xmm_write(config->opaque, number, value);
	return true;
}

static const struct insn_host guest_callbacks = {
	.read = guest_read,
	.write = guest_write,
	.compare_exchange = guest_compare_exchange,
	.probe_write = guest_probe_write,
	.port_read = guest_port_read,
	.port_write = guest_port_write,
	.xmm_read = guest_xmm_read,
	.xmm_write = guest_xmm_write,
};

/* ---- The trap page ---- */

static void load_context(struct insn_guest *guest, const struct hilum_trap *trap)
{
	struct insn_context *c = &guest->context;

	for (unsigned i = 0; i < CACHE_SIZE; i++)
		guest->cache[i].valid = false;
	guest->cache_next = 0;
	guest->trap_known = trap->kind == HILUM_TRAP_MMIO;
	guest->trap_write = trap->write != 0;
	guest->trap_gpa = trap->address;
	c->host = &guest_callbacks;
	c->opaque = guest;
	c->byte_count = trap->insn_bytes <= sizeof(c->bytes) ? trap->insn_bytes : 0;
	memcpy(c->bytes, trap->insn, sizeof(c->bytes));
	memcpy(c->gpr, trap->gpr, sizeof(c->gpr));
	memcpy(c->segment, &trap->es, sizeof(c->segment));
	c->rip = trap->rip;
	c->rflags = trap->rflags;
	c->cr0 = trap->cr0;
	c->cr3 = trap->cr3;
	c->cr4 = trap->cr4;
	c->efer = trap->efer;
	guest->paging = (struct guest_paging){ .cr0 = trap->cr0,
		                               .cr3 = trap->cr3,
		                               .cr4 = trap->cr4,
		                               .efer = trap->efer,
		                               .rflags = trap->rflags,
		                               .physical_bits = guest->config->physical_bits,
		                               .has_1g_pages = guest->config->has_1g_pages };
}

static void store_exception(struct hilum_trap *trap, unsigned vector, uint32_t error_code)
{
	trap->reply |= HILUM_REPLY_INJECT;
	trap->vector = vector;
	trap->error_code = error_code;
}

static void store_answer(const struct insn_context *c, enum insn_result result, struct hilum_trap *trap)
{
	memcpy(trap->gpr, c->gpr, sizeof(c->gpr));
	trap->rip = c->rip;
	trap->rflags = c->rflags;
	trap->reply = HILUM_REPLY_STATE;
	if (result == INSN_EXCEPTION) {
		store_exception(trap, c->exception.vector, c->exception.error_code);
		if (c->exception.vector == INSN_VECTOR_PF)
			trap->cr2 = c->exception.cr2;
	} else if (result == INSN_UNSUPPORTED) {
		store_exception(trap, INSN_VECTOR_UD, 0);
	} else if (c->single_step) {
		store_exception(trap, VECTOR_DB, 0);
	}
}

enum insn_result insn_guest_emulate(const struct insn_guest_config *config, struct hilum_trap *trap)
{
	struct insn_guest guest; /* not cleared as a whole: it is large, and this is the path of every device access */
	enum insn_result result;

	guest.config = config;
	load_context(&guest, trap);
	result = insn_emulate(&guest.context);
	store_answer(&guest.context, result, trap);
	return result;
}
