/*
 * The pairing heap of run queues and timers, against a plain array.
 * UNIT_SOURCES: kernel/heap.c
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "kernel/heap.h"

#define NODES 64u

static struct heap heap;
static struct heap_node node[NODES];
static bool is_in[NODES];
static uint64_t key[NODES];
static uint64_t random_state = 0x9E3779B97F4A7C15ull;

static uint64_t random64(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

/* Nodes of the tree below `n` and its siblings; checks order and back links. */
static unsigned count_tree(const struct heap_node *n, struct heap_node *const *link, uint64_t least)
{
	unsigned count = 0;

	for (; n != NULL; link = &n->sibling, n = n->sibling) {
		assert_ptr_equal(n->link, link);
		assert_true(n->key >= least);
		count += 1 + count_tree(n->child, &n->child, n->key);
	}
	return count;
}

static void check(void)
{
	uint64_t least = UINT64_MAX;
	unsigned count = 0;

	for (unsigned i = 0; i < NODES; i++) {
		assert_int_equal(heap_contains(&node[i]), is_in[i]);
		count += is_in[i];
		if (is_in[i] && key[i] < least)
			least = key[i];
	}
	assert_int_equal(count_tree(heap.root, &heap.root, 0), count);
	if (count == 0)
		assert_null(heap_first(&heap));
	else
		assert_int_equal(heap_first(&heap)->key, least);
}

static void heap_random_use__against_an_array__agrees(void **state)
{
	(void)state;
	for (unsigned n = 0; n < 20000; n++) {
		unsigned i = random64() % NODES;
		if (random64() % 5 == 0 && heap_first(&heap) != NULL)
			i = (unsigned)(heap_first(&heap) - node); /* as timers and run queues do */
		if (is_in[i]) {
			heap_remove(&heap, &node[i]);
		} else {
			key[i] = random64() % 3 ? random64() % 50 : random64();
			heap_insert(&heap, &node[i], key[i]);
		}
		is_in[i] = !is_in[i];
		check();
	}
}

static void heap_remove__not_in_the_heap__nothing_happens(void **state)
{
	struct heap other = {0};
	struct heap_node a = {0}, b = {0};

	(void)state;
	heap_insert(&other, &a, 5);
	heap_remove(&other, &b);
	assert_ptr_equal(heap_first(&other), &a);
	heap_remove(&other, &a);
	heap_remove(&other, &a);
	assert_null(heap_first(&other));
}

static void heap_first__keys_at_the_ends__unsigned_order(void **state)
{
	static const uint64_t keys[] = {UINT64_MAX, 1ull << 63, 0, INT64_MAX};
	struct heap other = {0};
	struct heap_node n[4] = {{0}};

	(void)state;
	for (unsigned i = 0; i < 4; i++)
		heap_insert(&other, &n[i], keys[i]);
	assert_ptr_equal(heap_first(&other), &n[2]);
	heap_remove(&other, &n[2]);
	assert_ptr_equal(heap_first(&other), &n[3]);
	heap_remove(&other, &n[3]);
	assert_ptr_equal(heap_first(&other), &n[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(heap_random_use__against_an_array__agrees),
		cmocka_unit_test(heap_remove__not_in_the_heap__nothing_happens),
		cmocka_unit_test(heap_first__keys_at_the_ends__unsigned_order),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
