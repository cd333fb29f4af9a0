/* Breakpoints in memory, and what goes into the debug registers. */
#include "drivers-vm/control/gdb/inner.h"

#include <string.h>

/*
 * What stands in for the instruction: PUSH ES, which 64-bit mode does not have, so that it raises #UD there, at every privilege
 * level, in one byte. Other modes have no such byte but INT3, which QEMU 7.2's SVM does not intercept.
 */
#define OPCODE_LONG 0x06
#define OPCODE_INT3 0xCC

#define DR7_ENABLE(n)       (2ull << 2 * (n)) /* globally */
#define DR7_EXACT           (3ull << 8)
#define DR7_FIXED           (1ull << 10)
#define DR7_KIND(n, kind)   ((uint64_t)(kind) << (16 + 4 * (n)))
#define DR7_LENGTH(n, code) ((uint64_t)(code) << (18 + 4 * (n)))

static struct gdb_break *find(struct gdb_stub *stub, uint64_t gva)
{
	for (unsigned i = 0; i < GDB_BREAKS_MAX; i++)
		if (stub->breaks[i].used && stub->breaks[i].gva == gva)
			return &stub->breaks[i];
	return NULL;
}

/* Another one that is planted at the same place by another address. */
static const struct gdb_break *twin(const struct gdb_stub *stub, const struct gdb_break *of, uint64_t gpa)
{
	for (unsigned i = 0; i < GDB_BREAKS_MAX; i++) {
		const struct gdb_break *b = &stub->breaks[i];
		if (b != of && b->used && b->planted && b->gpa == gpa)
			return b;
	}
	return NULL;
}

static void plant(struct gdb_stub *stub, const struct hilum_vcpu_state *state, struct gdb_break *b)
{
	uint64_t gpa;
	uint8_t *ram = NULL;

	if (gdb_memory_translate(stub, state, b->gva, &gpa))
		ram = stub->target.ram(stub->target.opaque, gpa, 1);
	if (ram == NULL)
		return;
	const struct gdb_break *other = twin(stub, b, gpa);
	b->gpa = gpa;
	b->planted = true;
	b->original = other != NULL ? other->original : *ram;
	b->opcode = other != NULL ? other->opcode : gdb_is_long(state) ? OPCODE_LONG : OPCODE_INT3;
	*(volatile uint8_t *)ram = b->opcode;
}

bool gdb_break_insert(struct gdb_stub *stub, const struct hilum_vcpu_state *state, uint64_t gva)
{
	if (find(stub, gva) != NULL)
		return true;
	for (unsigned i = 0; i < GDB_BREAKS_MAX; i++) {
		struct gdb_break *b = &stub->breaks[i];
		if (b->used)
			continue;
		*b = (struct gdb_break){ .used = true, .gva = gva };
		plant(stub, state, b);
		return true;
	}
	return false;
}

static void take_out(struct gdb_stub *stub, struct gdb_break *b)
{
	uint8_t *ram = b->planted ? stub->target.ram(stub->target.opaque, b->gpa, 1) : NULL;

	/* A guest that has put something else there meanwhile keeps it. */
	if (ram != NULL && *ram == b->opcode && twin(stub, b, b->gpa) == NULL)
		*(volatile uint8_t *)ram = b->original;
	b->used = false;
}

void gdb_break_remove(struct gdb_stub *stub, uint64_t gva)
{
	struct gdb_break *b = find(stub, gva);

	if (b != NULL)
		take_out(stub, b);
}

void gdb_break_plant_waiting(struct gdb_stub *stub, const struct hilum_vcpu_state *state)
{
	for (unsigned i = 0; i < GDB_BREAKS_MAX; i++)
		if (stub->breaks[i].used && !stub->breaks[i].planted)
			plant(stub, state, &stub->breaks[i]);
}

bool gdb_break_is_hit(struct gdb_stub *stub, const struct hilum_vcpu_state *state)
{
	uint64_t gpa;

	return gdb_memory_translate(stub, state, gdb_linear_rip(state), &gpa) && twin(stub, NULL, gpa) != NULL;
}

bool gdb_breaks_exist(const struct gdb_stub *stub)
{
	for (unsigned i = 0; i < GDB_BREAKS_MAX; i++)
		if (stub->breaks[i].used)
			return true;
	return false;
}

bool gdb_breaks_need_int3(const struct gdb_stub *stub)
{
	for (unsigned i = 0; i < GDB_BREAKS_MAX; i++) {
		const struct gdb_break *b = &stub->breaks[i];
		if (b->used && (!b->planted || b->opcode == OPCODE_INT3))
			return true;
	}
	return false;
}

bool gdb_breaks_wait(const struct gdb_stub *stub)
{
	for (unsigned i = 0; i < GDB_BREAKS_MAX; i++)
		if (stub->breaks[i].used && !stub->breaks[i].planted)
			return true;
	return false;
}

static struct gdb_watch *find_watch(struct gdb_stub *stub, const struct gdb_watch *like)
{
	for (unsigned i = 0; i < GDB_WATCHES_MAX; i++) {
		struct gdb_watch *w = &stub->watches[i];
		if (w->used && w->kind == like->kind && w->reads_only == like->reads_only && w->gva == like->gva && w->bytes == like->bytes)
			return w;
	}
	return NULL;
}

static bool is_possible(const struct gdb_watch *w)
{
	bool size = w->kind == GDB_WATCH_EXECUTE ? w->bytes == 1 : w->bytes == 1 || w->bytes == 2 || w->bytes == 4 || w->bytes == 8;

	return size && w->gva % w->bytes == 0;
}

bool gdb_watch_insert(struct gdb_stub *stub, enum gdb_watch_kind kind, bool reads_only, uint64_t gva, uint64_t bytes)
{
	const struct gdb_watch added = { true, reads_only, kind, gva, bytes > 8 ? 0 : (unsigned)bytes };

	if (added.bytes == 0 || !is_possible(&added))
		return false;
	if (find_watch(stub, &added) != NULL)
		return true;
	for (unsigned i = 0; i < GDB_WATCHES_MAX; i++) {
		if (stub->watches[i].used)
			continue;
		stub->watches[i] = added;
		return true;
	}
	return false;
}

void gdb_watch_remove(struct gdb_stub *stub, enum gdb_watch_kind kind, bool reads_only, uint64_t gva, uint64_t bytes)
{
	const struct gdb_watch like = { true, reads_only, kind, gva, bytes > 8 ? 0 : (unsigned)bytes };
	struct gdb_watch *w = find_watch(stub, &like);

	if (w != NULL)
		w->used = false;
}

bool gdb_watches_exist(const struct gdb_stub *stub)
{
	for (unsigned i = 0; i < GDB_WATCHES_MAX; i++)
		if (stub->watches[i].used)
			return true;
	return false;
}

/* SDM vol. 3B, 18.2.4: lengths 1, 2, 8 and 4 have the codes 0 to 3. */
uint64_t gdb_watch_dr7(const struct gdb_stub *stub)
{
	static const uint8_t codes[] = { [1] = 0, [2] = 1, [4] = 3, [8] = 2 };
	uint64_t dr7 = DR7_FIXED | DR7_EXACT;

	for (unsigned i = 0; i < GDB_WATCHES_MAX; i++) {
		const struct gdb_watch *w = &stub->watches[i];
		if (w->used)
			dr7 |= DR7_ENABLE(i) | DR7_KIND(i, w->kind) | DR7_LENGTH(i, codes[w->bytes]);
	}
	return dr7;
}

void gdb_points_remove_all(struct gdb_stub *stub)
{
	for (unsigned i = 0; i < GDB_BREAKS_MAX; i++)
		if (stub->breaks[i].used)
			take_out(stub, &stub->breaks[i]);
	memset(stub->watches, 0, sizeof(stub->watches));
}
