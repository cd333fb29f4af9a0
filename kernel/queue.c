/* Leftist trees (Crane 1972; Knuth, The Art of Computer Programming, vol. 3, 5.2.3), with parent pointers for removal. */
#include "kernel/queue.h"

static uint32_t distance_of(const struct queue_node *node)
{
	return node != NULL ? node->distance : 0;
}

static bool comes_before(const struct queue_node *a, const struct queue_node *b)
{
	return a->key < b->key || (a->key == b->key && a->order < b->order);
}

static void attach(struct queue_node **link, struct queue_node *parent, struct queue_node *node)
{
	*link = node;
	if (node != NULL) {
		node->link = link;
		node->parent = parent;
	}
}

/* Order the children of `node` and tell whether its own distance has changed. */
static bool settle(struct queue_node *node)
{
	struct queue_node *left = node->child[0], *right = node->child[1];
	uint32_t old = node->distance;

	if (distance_of(left) < distance_of(right)) {
		attach(&node->child[0], node, right);
		attach(&node->child[1], node, left);
	}
	node->distance = distance_of(node->child[1]) + 1;
	return node->distance != old;
}

/* Merge two trees and hang the result under `parent`, at `link`. Each changed distance on the way up is greater than the one before. */
static void merge(struct queue_node **link, struct queue_node *parent, struct queue_node *a, struct queue_node *b)
{
	struct queue_node *at = parent;

	while (a != NULL && b != NULL) {
		struct queue_node *first = comes_before(b, a) ? b : a;
		b = first == a ? b : a;
		attach(link, at, first);
		at = first;
		link = &first->child[1];
		a = *link;
	}
	attach(link, at, a != NULL ? a : b);
	for (; at != parent; at = at->parent)
		(void)settle(at);
	while (at != NULL && settle(at))
		at = at->parent;
}

void queue_insert(struct queue *queue, struct queue_node *node, uint64_t key)
{
	struct queue_node *first = queue->first;

	node->key = key;
	node->order = queue->arrivals++;
	node->child[1] = NULL;
	node->distance = 1;
	if (first != NULL && key >= first->key) {
		node->child[0] = NULL;
		merge(&queue->first, NULL, first, node);
		return;
	}
	attach(&node->child[0], node, first); /* the new first: what was there is below it */
	attach(&queue->first, NULL, node);
}

void queue_take_out(struct queue_node *node)
{
	struct queue_node **link = node->link;

	node->link = NULL;
	if (node->child[1] == NULL && node->parent == NULL) /* the first of one or two: so are most timers */
		attach(link, NULL, node->child[0]);
	else
		merge(link, node->parent, node->child[0], node->child[1]);
}
