/*
 * The priority queue of run queues and timers, against a plain array.
 *
 * UNIT_SOURCES: kernel/queue.c
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "kernel/queue.h"

#define NODES 64u

static struct queue queue;
static struct queue_node node[NODES];
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

/* Checks order, links and distances below `n`; returns the number of nodes. */
static unsigned count_below(struct queue_node *const *link, const struct queue_node *parent)
{
	const struct queue_node *n = *link;

	if (n == NULL)
		return 0;
	assert_ptr_equal(n->link, link);
	assert_ptr_equal(n->parent, parent);
	assert_true(parent == NULL || parent->key < n->key || (parent->key == n->key && parent->order < n->order));
	uint32_t left = n->child[0] != NULL ? n->child[0]->distance : 0, right = n->child[1] != NULL ? n->child[1]->distance : 0;
	assert_true(left >= right);
	assert_int_equal(n->distance, right + 1);
	return 1 + count_below(&n->child[0], n) + count_below(&n->child[1], n);
}

static unsigned count_nodes(void)
{
	return count_below(&queue.first, NULL);
}

static void check(void)
{
	uint64_t least = UINT64_MAX;
	unsigned count = 0;

	for (unsigned i = 0; i < NODES; i++) {
		assert_int_equal(queue_contains(&node[i]), is_in[i]);
		count += is_in[i];
		if (is_in[i] && key[i] < least)
			least = key[i];
	}
	assert_int_equal(count_nodes(), count);
	if (count == 0)
		assert_null(queue.first);
	else
		assert_int_equal(queue.first->key, least);
}

static void queue_random_use__against_an_array__agrees(void **state)
{
	(void)state;
	for (unsigned n = 0; n < 20000; n++) {
		unsigned i = random64() % NODES;
		if (random64() % 5 == 0 && queue.first != NULL)
			i = (unsigned)(queue.first - node); /* as timers and run queues do */
		if (is_in[i]) {
			queue_remove(&node[i]);
		} else {
			key[i] = random64() % 3 ? random64() % 50 : random64();
			queue_insert(&queue, &node[i], key[i]);
		}
		is_in[i] = !is_in[i];
		check();
	}
}

static void queue_remove__not_in_the_queue__nothing_happens(void **state)
{
	struct queue other = { 0 };
	struct queue_node a = { 0 }, b = { 0 };

	(void)state;
	queue_insert(&other, &a, 5);
	queue_remove(&b);
	assert_ptr_equal(other.first, &a);
	queue_remove(&a);
	queue_remove(&a);
	assert_null(other.first);
}

static void queue_insert__keys_at_the_ends__unsigned_order(void **state)
{
	static const uint64_t keys[] = { UINT64_MAX, 1ull << 63, 0, INT64_MAX };
	struct queue other = { 0 };
	struct queue_node n[4] = { { 0 } };

	(void)state;
	for (unsigned i = 0; i < 4; i++)
		queue_insert(&other, &n[i], keys[i]);
	assert_ptr_equal(other.first, &n[2]);
	queue_remove(&n[2]);
	assert_ptr_equal(other.first, &n[3]);
	queue_remove(&n[3]);
	assert_ptr_equal(other.first, &n[1]);
}

static void queue_insert__equal_keys__in_order_of_arrival(void **state)
{
	struct queue other = { 0 };

	(void)state;
	memset(node, 0, sizeof(node));
	for (unsigned i = 0; i < NODES; i++)
		queue_insert(&other, &node[i], 7 + (i % 3 == 0));
	for (unsigned i = 0; i < NODES; i += 5)
		queue_remove(&node[i]);
	for (unsigned wanted = 0; wanted < 2; wanted++)
		for (unsigned i = 0; i < NODES; i++) {
			if (i % 5 == 0 || (i % 3 == 0) != wanted)
				continue;
			assert_ptr_equal(other.first, &node[i]);
			queue_remove(&node[i]);
		}
	assert_null(other.first);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(queue_random_use__against_an_array__agrees),
		cmocka_unit_test(queue_remove__not_in_the_queue__nothing_happens),
		cmocka_unit_test(queue_insert__keys_at_the_ends__unsigned_order),
		cmocka_unit_test(queue_insert__equal_keys__in_order_of_arrival),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
