/*
 * The heap described in heap.h. Blocks lie back to back:
 *
 *   | prev | size+used | payload ...          | prev | size+used | payload ... | prev | 0+used |
 *   ^ block                                    ^ block                         ^ closing block
 *
 * `prev` is the size of the block below (0 for the first), so both neighbours of a freed block are found in
 * O(1). A free block's payload begins with its list links. Bin n holds free blocks of 2^n .. 2^(n+1)-1 bytes.
 */
#include "drivers-vm/runtime/heap.h"
#include "drivers-vm/runtime/runtime.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define HEAP_ALIGN   16u
#define HEADER_BYTES 16u
#define MIN_BLOCK    (HEADER_BYTES + 16u)
#define USED         1ull
#define BIN_SCAN     16 /* blocks of the request's own bin that are tried before a larger bin is split */

struct heap_block {
	uint64_t prev_bytes;
	uint64_t bytes_used; /* size with header; bit 0: in use */
	struct heap_block *next, *prev;
};

static uint64_t block_bytes(const struct heap_block *block)
{
	return block->bytes_used & ~USED;
}

static bool block_used(const struct heap_block *block)
{
	return block->bytes_used & USED;
}

static struct heap_block *block_at(uintptr_t address)
{
	return (struct heap_block *)address;
}

static struct heap_block *block_after(const struct heap_block *block)
{
	return block_at((uintptr_t)block + block_bytes(block));
}

static unsigned bin_of(uint64_t bytes)
{
	return 63u - (unsigned)__builtin_clzll(bytes);
}

static void insert_free(struct heap *heap, struct heap_block *block)
{
	unsigned n = bin_of(block_bytes(block));

	block->prev = NULL;
	block->next = heap->bin[n];
	if (block->next != NULL)
		block->next->prev = block;
	heap->bin[n] = block;
	heap->occupied |= 1ull << n;
	heap->free_bytes += block_bytes(block);
}

static void remove_free(struct heap *heap, struct heap_block *block)
{
	unsigned n = bin_of(block_bytes(block));

	if (block->prev != NULL)
		block->prev->next = block->next;
	else
		heap->bin[n] = block->next;
	if (block->next != NULL)
		block->next->prev = block->prev;
	if (heap->bin[n] == NULL)
		heap->occupied &= ~(1ull << n);
	heap->free_bytes -= block_bytes(block);
}

static void set_size(struct heap_block *block, uint64_t bytes, uint64_t used)
{
	block->bytes_used = bytes | used;
	block_after(block)->prev_bytes = bytes;
}

void heap_init(struct heap *heap, void *base, size_t bytes)
{
	uintptr_t start = ((uintptr_t)base + HEAP_ALIGN - 1) & ~(uintptr_t)(HEAP_ALIGN - 1);
	uintptr_t end = ((uintptr_t)base + bytes) & ~(uintptr_t)(HEAP_ALIGN - 1);

	memset(heap, 0, sizeof(*heap));
	heap->start = start;
	heap->limit = start;
	if (bytes < MIN_BLOCK + HEADER_BYTES + HEAP_ALIGN)
		return;
	heap->limit = end - HEADER_BYTES;
	block_at(heap->limit)->bytes_used = USED;
	block_at(start)->prev_bytes = 0;
	set_size(block_at(start), heap->limit - start, 0);
	insert_free(heap, block_at(start));
}

/* First address inside a free block at which an aligned payload fits with a header; what lies before it can
 * be a block. */
static uintptr_t payload_in(const struct heap_block *block, size_t align)
{
	uintptr_t first = (uintptr_t)block + HEADER_BYTES;
	uintptr_t payload = (first + align - 1) & ~(uintptr_t)(align - 1);

	if (payload != first && payload - first < MIN_BLOCK)
		payload = (first + MIN_BLOCK + align - 1) & ~(uintptr_t)(align - 1);
	return payload;
}

static bool block_fits(const struct heap_block *block, uint64_t need, size_t align)
{
	uint64_t skipped = payload_in(block, align) - HEADER_BYTES - (uintptr_t)block;

	return skipped <= block_bytes(block) && block_bytes(block) - skipped >= need;
}

static struct heap_block *find_in_bin(struct heap *heap, unsigned n, uint64_t need, size_t align, unsigned scan)
{
	for (struct heap_block *block = heap->bin[n]; block != NULL && scan > 0; block = block->next, scan--)
		if (block_fits(block, need, align))
			return block;
	return NULL;
}

/* Good fit cheaply: a bounded look at each fitting bin upward, then an unbounded one before giving up. */
static struct heap_block *find_free(struct heap *heap, uint64_t need, size_t align)
{
	const unsigned scans[] = { BIN_SCAN, ~0u };

	for (unsigned pass = 0; pass < 2; pass++) {
		uint64_t bins = heap->occupied & (~0ull << bin_of(need));

		for (; bins != 0; bins &= bins - 1) {
			unsigned n = (unsigned)__builtin_ctzll(bins);
			struct heap_block *block = find_in_bin(heap, n, need, align, scans[pass]);

			if (block != NULL)
				return block;
		}
	}
	return NULL;
}

/* Cuts the used block [payload's header, need bytes) out of a free block; the rest stays free. */
static void *carve(struct heap *heap, struct heap_block *block, uint64_t need, size_t align)
{
	uintptr_t payload = payload_in(block, align);
	uint64_t skipped = payload - HEADER_BYTES - (uintptr_t)block;
	uint64_t left = block_bytes(block) - skipped;
	struct heap_block *out = block_at(payload - HEADER_BYTES);

	remove_free(heap, block);
	if (skipped > 0) {
		set_size(block, skipped, 0);
		insert_free(heap, block);
	}
	if (left - need < MIN_BLOCK) {
		set_size(out, left, USED);
		return (void *)payload;
	}
	set_size(out, need, USED);
	set_size(block_after(out), left - need, 0);
	insert_free(heap, block_after(out));
	return (void *)payload;
}

void *heap_alloc(struct heap *heap, size_t bytes, size_t align)
{
	if (align < HEAP_ALIGN)
		align = HEAP_ALIGN;
	if (bytes > heap->limit - heap->start || align > (1ull << 40) || (align & (align - 1)) != 0)
		return NULL;
	uint64_t need = (bytes + HEADER_BYTES + HEAP_ALIGN - 1) & ~(uint64_t)(HEAP_ALIGN - 1);

	if (need < MIN_BLOCK)
		need = MIN_BLOCK;
	struct heap_block *block = find_free(heap, need, align);

	return block == NULL ? NULL : carve(heap, block, need, align);
}

/* The header of a live block, or abort: every use of a caller's pointer passes here. */
static struct heap_block *live_block(const struct heap *heap, const void *payload)
{
	uintptr_t address = (uintptr_t)payload - HEADER_BYTES;

	if (address < heap->start || address >= heap->limit || address % HEAP_ALIGN != 0)
		runtime_abort("heap: pointer is not from this heap");
	struct heap_block *block = block_at(address);
	uint64_t bytes = block_bytes(block);

	if (!block_used(block) || bytes < MIN_BLOCK || bytes > heap->limit - address || block_after(block)->prev_bytes != bytes)
		runtime_abort("heap: block freed twice or header overwritten");
	return block;
}

void heap_free(struct heap *heap, void *payload)
{
	if (payload == NULL)
		return;
	struct heap_block *block = live_block(heap, payload);
	struct heap_block *after = block_after(block);
	uint64_t bytes = block_bytes(block);

	if (!block_used(after)) {
		remove_free(heap, after);
		bytes += block_bytes(after);
	}
	if (block->prev_bytes != 0) {
		struct heap_block *before = block_at((uintptr_t)block - block->prev_bytes);

		if (block_bytes(before) != block->prev_bytes)
			runtime_abort("heap: header overwritten");
		if (!block_used(before)) {
			remove_free(heap, before);
			bytes += block_bytes(before);
			block = before;
		}
	}
	set_size(block, bytes, 0);
	insert_free(heap, block);
}

size_t heap_block_bytes(struct heap *heap, const void *payload)
{
	return block_bytes(live_block(heap, payload)) - HEADER_BYTES;
}

void heap_check(const struct heap *heap)
{
	uint64_t before = 0;
	uint64_t free_bytes = 0;
	bool before_free = false;

	for (uintptr_t at = heap->start; at < heap->limit;) {
		const struct heap_block *block = block_at(at);

		if (block->prev_bytes != before || block_bytes(block) < MIN_BLOCK || block_bytes(block) > heap->limit - at ||
		    (before_free && !block_used(block)))
			runtime_abort("heap: inconsistent");
		before = block_bytes(block);
		before_free = !block_used(block);
		free_bytes += before_free ? before : 0;
		at += before;
	}
	if (free_bytes != heap->free_bytes)
		runtime_abort("heap: free bytes do not add up");
}
