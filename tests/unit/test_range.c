/*
 * Range maps: insertion and removal against a plain table of keys, overlaps, ends of the number line, exhaustion.
 * UNIT_SOURCES: kernel/range.c
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "kernel/object.h"
#include "kernel/range.h"
#include "mm/pool.h"

#define KEYS 256u

static bool pool_fails;
static unsigned maps;

void *pool_alloc_pages(unsigned order)
{
	if (pool_fails)
		return NULL;
	maps++;
	return calloc(1, PAGE_SIZE << order);
}

void pool_free_pages(void *pages, unsigned order)
{
	(void)order;
	maps -= pages != NULL;
	free(pages);
}

static unsigned quiesces;
static struct object target;

void object_quiesce(struct cpu *self)
{
	(void)self;
	quiesces++;
}

void object_unref(struct object *object)
{
	object->refs--;
}

static uint64_t random64(void)
{
	static uint64_t state = 88172645463325252ull;

	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

static struct range_map *map;
static uint64_t owner[KEYS]; /* aux of the range that holds the key; 0: none */

static enum status insert(uint64_t first, uint64_t last, uint64_t aux)
{
	const struct range added = { first, last, &target, aux << 12 | RANGE_HIDDEN };
	struct range *place;
	enum status status = range_insert(&map, &added, NULL, &place);

	if (status == STATUS_OK) {
		assert_null(range_find(map, first));
		range_show(place);
	}
	return status;
}

static uint64_t aux_of(uint64_t key)
{
	const struct range *r = range_find(map, key);

	return r != NULL ? r->aux >> 12 : 0;
}

static int tear_down(void **state)
{
	(void)state;
	range_clear(&map);
	assert_int_equal(target.refs, 0);
	pool_fails = false;
	for (unsigned i = 0; i < KEYS; i++)
		owner[i] = 0;
	return maps != 0;
}

static void check(void)
{
	for (unsigned i = 0; i < KEYS; i++)
		assert_int_equal(aux_of(i), owner[i]);
	assert_null(range_find(map, KEYS));
	assert_null(range_find(map, UINT64_MAX));
	for (uint32_t i = 1; map != NULL && i < map->count; i++)
		assert_true(map->range[i - 1].last < map->range[i].first);
}

static void random_insert(uint64_t aux)
{
	uint64_t first = random64() % KEYS, last = first + random64() % 8;
	bool is_free = true;

	for (uint64_t i = first; i <= last; i++)
		is_free &= i < KEYS && owner[i] == 0;
	if (last >= KEYS)
		return;
	assert_int_equal(insert(first, last, aux), is_free ? STATUS_OK : STATUS_EXISTS);
	for (uint64_t i = first; is_free && i <= last; i++)
		owner[i] = aux;
}

static void random_remove(void)
{
	struct range *r = range_find(map, random64() % KEYS);
	unsigned before = quiesces;

	if (r == NULL)
		return;
	range_remove(r, NULL);
	assert_int_equal(quiesces, before + 1);
	object_unref(r->target);
	for (uint64_t i = r->first; i <= r->last; i++)
		owner[i] = 0;
}

static void random_use__against_a_table__agrees(void **state)
{
	(void)state;
	for (uint64_t n = 1; n < 5000; n++) {
		if (random64() % 3)
			random_insert(n);
		else
			random_remove();
		check();
	}
}

static void insert__ends_of_the_number_line__found(void **state)
{
	(void)state;
	assert_int_equal(insert(UINT64_MAX, UINT64_MAX, 1), STATUS_OK);
	assert_int_equal(insert(0, 0, 2), STATUS_OK);
	assert_int_equal(insert(1, UINT64_MAX - 1, 3), STATUS_OK);
	assert_int_equal(aux_of(UINT64_MAX), 1);
	assert_int_equal(aux_of(0), 2);
	assert_int_equal(aux_of(UINT64_MAX - 1), 3);
	assert_int_equal(insert(0, UINT64_MAX, 4), STATUS_EXISTS);
	assert_int_equal(insert(5, 4, 4), STATUS_INVALID);
}

static void insert__hidden_one__is_in_nobodys_way(void **state)
{
	const struct range hidden = { 10, 20, &target, RANGE_HIDDEN };
	struct range *place;

	(void)state;
	assert_int_equal(range_insert(&map, &hidden, NULL, &place), STATUS_OK);
	assert_null(range_find(map, 15));
	assert_int_equal(insert(15, 16, 3), STATUS_OK);
	assert_int_equal(map->count, 1);
	assert_int_equal(aux_of(15), 3);
}

static void insert__map_that_a_reader_has__stays_until_the_grace_period(void **state)
{
	unsigned before;

	(void)state;
	assert_int_equal(insert(0, 5, 1), STATUS_OK);
	before = quiesces;
	assert_int_equal(insert(10, 15, 2), STATUS_OK);
	assert_int_equal(quiesces, before + 1);
	assert_int_equal(maps, 1);
}

static void no_memory__insertion_fails_and_removal_does_not(void **state)
{
	(void)state;
	assert_int_equal(insert(0, 5, 1), STATUS_OK);
	pool_fails = true;
	assert_int_equal(insert(10, 15, 2), STATUS_NO_MEMORY);
	assert_int_equal(target.refs, 1);
	assert_int_equal(aux_of(3), 1);
	range_remove(range_find(map, 3), NULL);
	object_unref(&target);
	assert_null(range_find(map, 3));
}

static void insert__map_is_full__no_memory_until_one_is_removed(void **state)
{
	uint64_t most = ((PAGE_SIZE << RANGE_MAP_ORDER_MAX) - sizeof(struct range_map)) / sizeof(struct range);

	(void)state;
	for (uint64_t i = 0; i < most; i++)
		assert_int_equal(insert(2 * i, 2 * i, i + 1), STATUS_OK);
	assert_int_equal(insert(2 * most, 2 * most, 1), STATUS_NO_MEMORY);
	assert_int_equal(map->count, most);
	assert_int_equal(aux_of(2 * most - 2), most);
	range_remove(range_find(map, 6), NULL);
	object_unref(&target);
	assert_int_equal(insert(2 * most, 2 * most, 1), STATUS_OK);
	assert_int_equal(aux_of(6), 0);
}

#define TEST(name) cmocka_unit_test_teardown(name, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(random_use__against_a_table__agrees),
		TEST(insert__ends_of_the_number_line__found),
		TEST(insert__hidden_one__is_in_nobodys_way),
		TEST(insert__map_that_a_reader_has__stays_until_the_grace_period),
		TEST(no_memory__insertion_fails_and_removal_does_not),
		TEST(insert__map_is_full__no_memory_until_one_is_removed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
