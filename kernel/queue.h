/*
 * Intrusive priority queue by a 64-bit key, smallest first, equal keys in order of arrival: run queues and timers. Keys compare as
 * unsigned integers. A leftist tree: insertion and removal visit at most about 2 log2(n) nodes, whatever came before. No locks: a
 * queue belongs to one core.
 */
#ifndef KERNEL_QUEUE_H
#define KERNEL_QUEUE_H

#include "arch/x86_64/types.h"

struct queue_node {
	uint64_t key;
	uint64_t order;              /* of arrival in its queue */
	struct queue_node *child[2]; /* neither comes before it; the distance of the second is not the greater */
	struct queue_node *parent;   /* NULL: the first in the queue */
	struct queue_node **link;    /* the pointer that points here; NULL while in no queue */
	uint32_t distance;           /* nodes on the way down by child[1], this one included */
};

struct queue {
	struct queue_node *first; /* the smallest key, or NULL */
	uint64_t arrivals;
};

static inline bool queue_contains(const struct queue_node *node)
{
	return node->link != NULL;
}

/* Insert `node`, which is in no queue. */
void queue_insert(struct queue *queue, struct queue_node *node, uint64_t key);

void queue_take_out(struct queue_node *node);

/* Remove `node` from the queue that it is in, if it is in one. Its key stays. */
static inline void queue_remove(struct queue_node *node)
{
	if (node->link != NULL)
		queue_take_out(node);
}

#endif
