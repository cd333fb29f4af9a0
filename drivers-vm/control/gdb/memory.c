/*
 * The guest's memory as its debugger sees it: through the page tables that a vCPU has in force, but with no regard to rights, and
 * without the opcodes of breakpoints. Nothing that the guest could notice is changed by reading: no accessed bits.
 */
#include "drivers-vm/control/gdb/inner.h"
#include "drivers-vm/control/gdb/registers.h"
#include "drivers-vm/lib/guest_walk.h"

#include <string.h>

#define PAGE_BYTES 4096ull

struct hilum_vcpu_state *gdb_state_of(struct gdb_stub *stub, unsigned vcpu)
{
	if (stub->held == vcpu)
		return &stub->state;
	stub->held = HILUM_MAX_VCPUS;
	if (!stub->target.get_state(stub->target.opaque, vcpu, &stub->state))
		return NULL;
	stub->held = vcpu;
	return &stub->state;
}

bool gdb_is_long(const struct hilum_vcpu_state *state)
{
	return (state->efer & EFER_LMA) && (state->cs.attributes & GDB_CODE_IS_LONG);
}

uint64_t gdb_linear_rip(const struct hilum_vcpu_state *state)
{
	return gdb_is_long(state) ? state->rip : (uint32_t)(state->cs.base + (uint32_t)state->rip);
}

static bool read_entry(void *opaque, uint64_t gpa, unsigned bytes, uint64_t *value)
{
	const struct gdb_target *target = opaque;
	const uint8_t *ram = target->ram(target->opaque, gpa, bytes);

	if (ram == NULL)
		return false;
	*value = 0;
	memcpy(value, ram, bytes);
	return true;
}

/* The walk would set accessed bits: it is told that it has, and nothing is written. */
static bool keep_entry(void *opaque, uint64_t gpa, unsigned bytes, uint64_t expected, uint64_t desired)
{
	(void)opaque;
	(void)gpa;
	(void)bytes;
	(void)expected;
	(void)desired;
	return true;
}

bool gdb_memory_translate(struct gdb_stub *stub, const struct hilum_vcpu_state *state, uint64_t gva, uint64_t *gpa)
{
	struct guest_walk_memory memory = { .opaque = &stub->target, .read = read_entry, .compare_exchange = keep_entry };
	struct guest_paging paging = {
		.cr0 = state->cr0,
		.cr3 = state->cr3,
		.cr4 = state->cr4 & ~(CR4_SMAP | CR4_SMEP),
		.efer = state->efer,
		.rflags = state->rflags,
		.physical_bits = stub->target.physical_bits,
		.has_1g_pages = true,
	};
	struct guest_walk_output out;

	if ((state->efer & EFER_LMA) && !(state->cr4 & CR4_LA57) && (uint64_t)((int64_t)(gva << 16) >> 16) != gva)
		return false;
	if (guest_walk(&paging, &memory, gva, 0, &out) != GUEST_WALK_OK)
		return false;
	*gpa = out.gpa;
	return true;
}

static const struct gdb_break *planted_at(const struct gdb_stub *stub, uint64_t gpa)
{
	for (unsigned i = 0; i < GDB_BREAKS_MAX; i++)
		if (stub->breaks[i].used && stub->breaks[i].planted && stub->breaks[i].gpa == gpa)
			return &stub->breaks[i];
	return NULL;
}

static size_t rest_of_page(uint64_t address, size_t count)
{
	uint64_t rest = PAGE_BYTES - address % PAGE_BYTES;

	return count < rest ? count : (size_t)rest;
}

/* Within a page. */
static bool read_page(struct gdb_stub *stub, uint64_t gpa, uint8_t *to, size_t count)
{
	const uint8_t *ram = stub->target.ram(stub->target.opaque, gpa, count);

	if (ram == NULL)
		return false;
	memcpy(to, ram, count);
	for (unsigned i = 0; i < GDB_BREAKS_MAX; i++) {
		const struct gdb_break *b = &stub->breaks[i];
		if (b->used && b->planted && b->gpa - gpa < count && to[b->gpa - gpa] == b->opcode)
			to[b->gpa - gpa] = b->original;
	}
	return true;
}

static bool write_page(struct gdb_stub *stub, uint64_t gpa, const uint8_t *from, size_t count)
{
	uint8_t *ram = stub->target.ram(stub->target.opaque, gpa, count);

	if (ram == NULL)
		return false;
	for (size_t i = 0; i < count; i++) {
		if (planted_at(stub, gpa + i) == NULL) {
			ram[i] = from[i];
			continue;
		}
		for (unsigned n = 0; n < GDB_BREAKS_MAX; n++) /* there may be several, by several addresses */
			if (stub->breaks[n].used && stub->breaks[n].planted && stub->breaks[n].gpa == gpa + i)
				stub->breaks[n].original = from[i];
	}
	return true;
}

bool gdb_memory_read_physical(struct gdb_stub *stub, uint64_t gpa, uint8_t *to, size_t count)
{
	while (count != 0) {
		size_t n = rest_of_page(gpa, count);
		if (!read_page(stub, gpa, to, n))
			return false;
		gpa += n;
		to += n;
		count -= n;
	}
	return true;
}

bool gdb_memory_read(struct gdb_stub *stub, const struct hilum_vcpu_state *state, uint64_t gva, uint8_t *to, size_t count)
{
	while (count != 0) {
		uint64_t gpa;
		size_t n = rest_of_page(gva, count);
		if (!gdb_memory_translate(stub, state, gva, &gpa) || !read_page(stub, gpa, to, n))
			return false;
		gva += n;
		to += n;
		count -= n;
	}
	return true;
}

bool gdb_memory_write(struct gdb_stub *stub, const struct hilum_vcpu_state *state, uint64_t gva, const uint8_t *from, size_t count)
{
	while (count != 0) {
		uint64_t gpa;
		size_t n = rest_of_page(gva, count);
		if (!gdb_memory_translate(stub, state, gva, &gpa) || !write_page(stub, gpa, from, n))
			return false;
		gva += n;
		from += n;
		count -= n;
	}
	return true;
}
