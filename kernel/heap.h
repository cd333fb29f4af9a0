/*
 * Intrusive pairing heap, smallest 64-bit key first: insert and peek in constant time, removal in amortised O(log n). Used for run
 * queues and timers. Keys compare as unsigned integers. No locks: a heap belongs to one core.
 */
#ifndef KERNEL_HEAP_H
#define KERNEL_HEAP_H

#include "arch/x86_64/types.h"

struct heap_node {
	uint64_t key;
	struct heap_node *child;
	struct heap_node *sibling;
	struct heap_node **link; /* the pointer that points here; NULL while in no heap */
};

struct heap {
	struct heap_node *root;
};

static inline bool heap_contains(const struct heap_node *node)
{
	return node->link != NULL;
}

/* The node with the smallest key, or NULL. */
static inline struct heap_node *heap_first(const struct heap *heap)
{
	return heap->root;
}

/* Insert `node`, which is in no heap. */
void heap_insert(struct heap *heap, struct heap_node *node, uint64_t key);

/* Remove `node` if it is in the heap; nothing happens otherwise. */
void heap_remove(struct heap *heap, struct heap_node *node);

#endif
