/*
 * Intrusive list sorted by a 64-bit key, smallest first, equal keys in order of arrival: run queues and timers. Keys compare as
 * unsigned integers. Insertion walks past smaller keys, of which a core has as many as vCPUs at most. No locks: a queue belongs to
 * one core.
 */
#ifndef KERNEL_QUEUE_H
#define KERNEL_QUEUE_H

#include "arch/x86_64/types.h"

struct queue_node {
	uint64_t key;
	struct queue_node *next;
	struct queue_node **link; /* the pointer that points here; NULL while in no queue */
};

struct queue {
	struct queue_node *first; /* the smallest key, or NULL */
};

static inline bool queue_contains(const struct queue_node *node)
{
	return node->link != NULL;
}

/* Insert `node`, which is in no queue. */
static inline void queue_insert(struct queue *queue, struct queue_node *node, uint64_t key)
{
	struct queue_node **at = &queue->first;

	while (*at != NULL && (*at)->key <= key)
		at = &(*at)->next;
	node->key = key;
	node->next = *at;
	node->link = at;
	if (node->next != NULL)
		node->next->link = &node->next;
	*at = node;
}

/* Remove `node` from the queue that it is in, if it is in one. Its key stays. */
static inline void queue_remove(struct queue_node *node)
{
	if (node->link == NULL)
		return;
	*node->link = node->next;
	if (node->next != NULL)
		node->next->link = node->link;
	node->link = NULL;
}

#endif
