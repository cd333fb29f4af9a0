/*
 * Frames under memory objects that live: pages that are discarded, become one frame with others and private again, frames that move. Must
 * never free a frame whose contents are still somebody's, or let a place write to a frame that has another user. Takes no lock; see
 * mm/memory.h for whom the caller keeps away.
 */
#include "arch/x86_64/cpu.h"
#include "arch/x86_64/string.h"
#include "mm/memory.h"
#include "mm/window.h"

#define RW           (HILUM_MAP_READ | HILUM_MAP_WRITE)
#define PIECE_FRAMES (1u << FRAME_ORDER_2M)

/* ---- Places ---- */

static bool look_at(const struct memory *mem, uint64_t offset, unsigned rights, hpa_t *hpa, uint64_t *bytes)
{
	*bytes = PAGE_SIZE; /* of what is not there, too */
	return nested_pt_lookup(&mem->tree, offset, rights, hpa, bytes);
}

static unsigned order_of(uint64_t bytes)
{
	return bytes == PAGE_SIZE ? FRAME_ORDER_4K : FRAME_ORDER_2M;
}

static void place_clear(struct memory *mem, uint64_t offset, uint64_t bytes)
{
	struct nested_pt_garbage garbage = { 0 };

	nested_pt_unmap(&mem->tree, offset, bytes, &garbage);
	nested_pt_garbage_free(&mem->tree, &garbage);
}

/* Needs no memory: the tables above the place exist, as something was in it. */
static void place_set(struct memory *mem, uint64_t offset, hpa_t hpa, unsigned order, unsigned rights)
{
	place_clear(mem, offset, PAGE_SIZE << order);
	enum status status = nested_pt_install(&mem->tree, offset, hpa, order, rights);

	assert(status == STATUS_OK);
}

static uint64_t *show(unsigned slot, hpa_t hpa)
{
	return window_map(cpu_arch_self()->id, slot, hpa);
}

void memory_release_block(hpa_t hpa, unsigned order)
{
	if (frame_entry(hpa)->refs > 1)
		frame_add_refs(hpa, -1);
	else
		frame_free(hpa, order, FRAME_GUEST, frame_entry(hpa)->owner);
}

/* ---- Discarding ---- */

bool memory_discard(struct memory *mem, uint64_t from, uint64_t to, bool look)
{
	hpa_t hpa;

	for (uint64_t at = from, bytes; at < to; at += bytes) {
		if (!look_at(mem, at, HILUM_MAP_READ, &hpa, &bytes))
			continue;
		if (look)
			return true;
		memory_release_block(hpa, order_of(bytes));
		mem->resident -= bytes;
	}
	if (!look)
		place_clear(mem, from, to - from);
	return false;
}

/* ---- Sharing ---- */

#define WORDS            (PAGE_SIZE / sizeof(uint64_t))
#define WORD_AT(page, i) __atomic_load_n(&(page)[i], __ATOMIC_RELAXED) /* a guest may be writing */

uint64_t memory_digest(const struct memory *mem, uint64_t offset)
{
	uint64_t bytes, sum = 1;
	hpa_t hpa;

	if (!look_at(mem, offset, RW, &hpa, &bytes))
		return HILUM_DIGEST_NONE;
	const uint64_t *page = show(WINDOW_SLOT_READ, hpa);

	for (unsigned i = 0; i < WORDS; i++) /* the factor is odd: 2^64 over the golden ratio */
		sum = ((sum << 29 | sum >> 35) ^ WORD_AT(page, i)) * 0x9E3779B97F4A7C15ull;
	return sum | 1;
}

bool memory_is_shared(const struct memory *mem, uint64_t offset)
{
	uint64_t bytes;
	hpa_t hpa;

	return mem->flags & HILUM_MEMORY_SHARE && look_at(mem, offset, HILUM_MAP_READ, &hpa, &bytes) &&
	       !look_at(mem, offset, RW, &hpa, &bytes);
}

enum status memory_share(struct memory *a, uint64_t a_offset, struct memory *b, uint64_t b_offset, bool look)
{
	uint64_t bytes;
	hpa_t from, to;

	if (!look_at(a, a_offset, HILUM_MAP_READ, &from, &bytes) || !look_at(b, b_offset, RW, &to, &bytes) || from == to)
		return STATUS_NOT_FOUND;
	const uint64_t *x = show(WINDOW_SLOT_READ, from), *y = show(WINDOW_SLOT_ZERO, to);

	for (unsigned i = 0; i < WORDS; i++)
		if (WORD_AT(x, i) != WORD_AT(y, i))
			return STATUS_NOT_FOUND;
	if (look || frame_entry(from)->refs == UINT16_MAX)
		return look ? STATUS_OK : STATUS_BUSY;
	frame_add_refs(from, 1);
	place_set(a, a_offset, from, FRAME_ORDER_4K, HILUM_MAP_READ);
	place_set(b, b_offset, from, FRAME_ORDER_4K, HILUM_MAP_READ);
	memory_release_block(to, FRAME_ORDER_4K);
	return STATUS_OK;
}

/* ---- Moving ---- */

/* The block of 2^order frames at `offset` gets new ones outside the range, with the contents of what is there, which is given up. */
static enum status replace(struct memory *mem, uint64_t offset, unsigned order, uint64_t range)
{
	uint64_t bytes;
	hpa_t from, to;

	if (frame_alloc(order, FRAME_GUEST, mem->owner, range, &to) != STATUS_OK)
		return STATUS_NO_MEMORY;
	for (uint64_t at = 0; at < PAGE_SIZE << order && look_at(mem, offset + at, HILUM_MAP_READ, &from, &bytes); at += PAGE_SIZE) {
		memcpy(show(WINDOW_SLOT_ZERO, to + at), show(WINDOW_SLOT_READ, from), PAGE_SIZE);
		if (!((offset + at + PAGE_SIZE) & (bytes - 1))) /* the last of what was one block */
			memory_release_block(ALIGN_DOWN(from, bytes), order_of(bytes));
	}
	place_set(mem, offset, to, order, RW);
	return STATUS_OK;
}

enum status memory_unshare(struct memory *mem, uint64_t offset)
{
	uint64_t bytes;
	hpa_t from;

	if (!memory_is_shared(mem, offset) || !look_at(mem, offset, HILUM_MAP_READ, &from, &bytes))
		return STATUS_OK;
	if (frame_entry(from)->refs > 1)
		return replace(mem, offset, FRAME_ORDER_4K, FRAME_NOWHERE);
	place_set(mem, offset, from, FRAME_ORDER_4K, RW);
	return STATUS_OK;
}

enum status memory_move(struct memory *mem, uint64_t offset, uint64_t range, bool look, uint64_t *moved)
{
	uint64_t end = mem->bytes - offset < MEMORY_PIECE_BYTES ? mem->bytes : offset + MEMORY_PIECE_BYTES;
	unsigned singles = 0;
	enum status status = STATUS_OK;
	hpa_t hpa;

	*moved = 0;
	for (uint64_t at = offset, bytes; at < end && status == STATUS_OK; at += bytes) {
		if (!look_at(mem, at, HILUM_MAP_READ, &hpa, &bytes) || bytes > MEMORY_PIECE_BYTES)
			continue;
		singles += bytes == PAGE_SIZE;
		if (!frame_in_range(hpa, range) || frame_entry(hpa)->refs > 1)
			continue;
		status = look ? STATUS_OK : replace(mem, at, order_of(bytes), range);
		*moved += status == STATUS_OK ? bytes / PAGE_SIZE : 0;
	}
	if (range != FRAME_NOWHERE || singles != PIECE_FRAMES || memory_grain(mem) == PAGE_SIZE)
		return status;
	status = look ? STATUS_OK : replace(mem, offset, FRAME_ORDER_2M, FRAME_NOWHERE);
	*moved = status == STATUS_OK ? PIECE_FRAMES : 0;
	return status;
}
