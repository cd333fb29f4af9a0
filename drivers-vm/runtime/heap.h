/*
 * A heap over one region of memory: segregated free lists, immediate coalescing, 16-byte alignment. Damaged
 * headers and bad frees end the service VM (runtime_abort) instead of spreading. One thread only.
 */
#ifndef DRIVERS_VM_RUNTIME_HEAP_H
#define DRIVERS_VM_RUNTIME_HEAP_H

#include <stddef.h>
#include <stdint.h>

#define HEAP_BINS 64

struct heap_block;

struct heap {
	uintptr_t start, limit; /* first block, and the closing block's header */
	struct heap_block *bin[HEAP_BINS];
	uint64_t occupied; /* bit n: bin n is not empty */
	size_t free_bytes; /* headers included */
};

/* Makes [base, base + bytes) a heap; anything it held is gone. A region under 64 bytes gives a heap that is
 * always full. */
void heap_init(struct heap *heap, void *base, size_t bytes);

/* Returns `bytes` bytes aligned to `align` (a power of two), or NULL if there is no room or bytes or align
 * makes no sense. */
void *heap_alloc(struct heap *heap, size_t bytes, size_t align);

/* Gives a block back; NULL is allowed, anything else that heap_alloc() did not return aborts. */
void heap_free(struct heap *heap, void *block);

/* Usable size of a live block, at least what was asked for. */
size_t heap_block_bytes(struct heap *heap, const void *block);

/* Walks the whole heap and aborts at the first inconsistency; for tests and for diagnosis. */
void heap_check(const struct heap *heap);

/* The heap behind malloc(): call once before the first allocation. */
void heap_init_global(void *base, size_t bytes);
size_t heap_global_free_bytes(void);

#endif
