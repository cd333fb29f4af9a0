/* Pairing heap: M. Fredman et al., "The pairing heap: a new form of self-adjusting heap" (1986). */
#include "kernel/heap.h"

static void heap_attach(struct heap_node **link, struct heap_node *node)
{
	*link = node;
	if (node != NULL)
		node->link = link;
}

/* Join two trees; both are detached roots and may be NULL. */
static struct heap_node *heap_meld(struct heap_node *a, struct heap_node *b)
{
	if (a == NULL)
		return b;
	if (b == NULL)
		return a;
	if (b->key < a->key) {
		struct heap_node *t = a;
		a = b;
		b = t;
	}
	heap_attach(&b->sibling, a->child);
	heap_attach(&a->child, b);
	return a;
}

/* Meld a list of siblings: left to right in pairs, then right to left. */
static struct heap_node *heap_merge_pairs(struct heap_node *first)
{
	struct heap_node *pairs = NULL;

	while (first != NULL) {
		struct heap_node *a = first;
		struct heap_node *b = a->sibling;
		first = b != NULL ? b->sibling : NULL;
		a->sibling = NULL;
		if (b != NULL)
			b->sibling = NULL;
		a = heap_meld(a, b);
		a->sibling = pairs;
		pairs = a;
	}
	struct heap_node *root = NULL;
	while (pairs != NULL) {
		struct heap_node *next = pairs->sibling;
		pairs->sibling = NULL;
		root = heap_meld(root, pairs);
		pairs = next;
	}
	return root;
}

void heap_insert(struct heap *heap, struct heap_node *node, uint64_t key)
{
	node->key = key;
	node->child = NULL;
	node->sibling = NULL;
	heap_attach(&heap->root, heap_meld(heap->root, node));
}

void heap_remove(struct heap *heap, struct heap_node *node)
{
	if (node->link == NULL)
		return;
	heap_attach(node->link, node->sibling);
	node->sibling = NULL;
	struct heap_node *rest = heap_merge_pairs(node->child);
	heap_attach(&heap->root, heap_meld(heap->root, rest));
	node->child = NULL;
	node->link = NULL;
}
