/* Audits for tests; they share no code with what they check. */
#include "audit.h"

#include <stdio.h>
#include <string.h>

#include "arch/x86_64/cpu.h"
#include "machine.h"
#include "mm/frame.h"
#include "mm/host_pt.h"

#define FRAMES (FAKE_RAM_BYTES / PAGE_SIZE)

static struct {
	uint64_t frames[FRAME_TYPE_COUNT];
	unsigned heads[FRAME_TYPE_COUNT][FRAME_ORDER_MAX + 1]; /* first blocks of free lists */
} seen;

static const struct frame *at(uint64_t number)
{
	return frame_entry(number * PAGE_SIZE);
}

static bool is_free(const struct frame *f)
{
	return f->type == FRAME_FREE || f->type == FRAME_POOL_FREE;
}

static bool same_list(const struct frame *f, uint64_t number)
{
	return at(number)->type == f->type && at(number)->order == f->order;
}

static bool audit_free(uint64_t number, const struct frame *f)
{
	unsigned order_max = f->type == FRAME_FREE ? FRAME_ORDER_1G : FRAME_ORDER_2M;

	seen.heads[f->type][f->order] += !f->prev;
	if (f->order < order_max && same_list(f, number ^ (1ull << f->order)))
		return false; /* its buddy is free too */
	if (f->next && (!same_list(f, f->next) || at(f->next)->prev != number))
		return false;
	return !f->prev || (same_list(f, f->prev) && at(f->prev)->next == number);
}

/* Frames in the block that begins here; 0: it is not well-formed. */
static uint64_t audit_block(uint64_t number)
{
	const struct frame *f = at(number);

	if (f->type == FRAME_ABSENT)
		return 1;
	if (f->type == FRAME_TAIL || f->type >= FRAME_TYPE_COUNT || f->order > FRAME_ORDER_MAX)
		return 0;
	uint64_t size = 1ull << f->order;

	if (number % size || (is_free(f) ? !audit_free(number, f) : !f->refs))
		return 0;
	for (uint64_t i = 1; i < size; i++) {
		if (at(number + i)->type != FRAME_TAIL)
			return 0;
	}
	seen.frames[f->type] += size;
	return size;
}

bool audit_frames(void)
{
	uint64_t total = 0;

	memset(&seen, 0, sizeof(seen));
	for (uint64_t number = 0, size; number < FRAMES; number += size) {
		size = audit_block(number);
		if (!size) {
			fprintf(stderr, "frame table: bad block at frame %#lx\n", number);
			return false;
		}
	}
	for (unsigned type = FRAME_FREE; type < FRAME_TYPE_COUNT; type++) {
		total += seen.frames[type];
		if (seen.frames[type] != frame_count(type)) {
			fprintf(stderr, "frame table: %lu frames of type %u, counted %lu\n", seen.frames[type], type, frame_count(type));
			return false;
		}
		for (unsigned order = 0; order <= FRAME_ORDER_MAX; order++) {
			if (seen.heads[type][order] > 1)
				return false;
		}
	}
	return total == frame_total;
}

struct walk {
	void (*visit)(void *context, uint64_t va, uint64_t bytes, hpa_t hpa, uint64_t flags);
	void *context;
};

static void walk_table(const struct walk *w, hpa_t table, unsigned level, uint64_t va)
{
	const uint64_t *entries = (const uint64_t *)(fake_ram + table);
	uint64_t bytes = 1ull << (12 + 9 * (level - 1));

	for (unsigned i = 0; i < 512; i++, va += bytes) {
		uint64_t e = entries[i], address = e & 0xFFFFFFFFFF000;

		if (level == 4 && i == 256)
			va |= 0xFFFFull << 48;
		if (e & 1 && (level == 1 || e & 0x80))
			w->visit(w->context, va, bytes, address, e & (HOST_PT_WRITE | HOST_PT_UNCACHED | HOST_PT_NO_EXECUTE));
		else if (e & 1)
			walk_table(w, address, level - 1, va);
	}
}

void audit_host_tables(void (*visit)(void *context, uint64_t va, uint64_t bytes, hpa_t hpa, uint64_t flags), void *context)
{
	struct walk w = { visit, context };

	walk_table(&w, fake_cr3, 4, 0);
}
