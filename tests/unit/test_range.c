/*
 * Range maps: lookups and copies against a plain table of keys, overlaps, ends of the number line, exhaustion.
 * UNIT_SOURCES: kernel/range.c
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

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
	const struct range added = {first, last, NULL, aux};
	struct range_map *copy;
	enum status status = range_copy_insert(map, &added, &copy);

	if (status == STATUS_OK) {
		range_map_free(map);
		map = copy;
	}
	return status;
}

static enum status take_out(uint64_t first, struct range *removed)
{
	struct range_map *copy;
	enum status status = range_copy_remove(map, first, removed, &copy);

	if (status == STATUS_OK) {
		range_map_free(map);
		map = copy;
	}
	return status;
}

static int tear_down(void **state)
{
	(void)state;
	range_map_free(map);
	map = NULL;
	pool_fails = false;
	for (unsigned i = 0; i < KEYS; i++)
		owner[i] = 0;
	return maps != 0;
}

static void check(void)
{
	for (unsigned i = 0; i < KEYS; i++) {
		const struct range *r = range_find(map, i);
		assert_int_equal(r != NULL ? r->aux : 0, owner[i]);
	}
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
	uint64_t first = random64() % KEYS;
	const struct range *r = range_find(map, first);
	struct range removed, expected = r != NULL ? *r : (struct range){0};
	bool starts = r != NULL && r->first == first;

	assert_int_equal(take_out(first, &removed), starts ? STATUS_OK : STATUS_NOT_FOUND);
	if (!starts)
		return;
	assert_int_equal(removed.aux, expected.aux);
	for (uint64_t i = expected.first; i <= expected.last; i++)
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

static void copy_insert__ends_of_the_number_line__found(void **state)
{
	(void)state;
	assert_int_equal(insert(UINT64_MAX, UINT64_MAX, 1), STATUS_OK);
	assert_int_equal(insert(0, 0, 2), STATUS_OK);
	assert_int_equal(insert(1, UINT64_MAX - 1, 3), STATUS_OK);
	assert_int_equal(range_find(map, UINT64_MAX)->aux, 1);
	assert_int_equal(range_find(map, 0)->aux, 2);
	assert_int_equal(range_find(map, UINT64_MAX - 1)->aux, 3);
	assert_int_equal(insert(0, UINT64_MAX, 4), STATUS_EXISTS);
	assert_int_equal(insert(5, 4, 4), STATUS_INVALID);
}

static void copy_insert__published_copy__is_not_touched(void **state)
{
	const struct range added = {10, 20, NULL, 7};
	struct range_map *copy;

	(void)state;
	assert_int_equal(insert(0, 5, 1), STATUS_OK);
	assert_int_equal(range_copy_insert(map, &added, &copy), STATUS_OK);
	assert_int_equal(map->count, 1);
	assert_null(range_find(map, 15));
	range_map_free(copy);
}

static void copies__no_memory__say_so(void **state)
{
	struct range removed = {.aux = 99};

	(void)state;
	assert_int_equal(insert(0, 5, 1), STATUS_OK);
	pool_fails = true;
	assert_int_equal(insert(10, 15, 2), STATUS_NO_MEMORY);
	assert_int_equal(take_out(0, &removed), STATUS_NO_MEMORY);
	assert_int_equal(removed.aux, 99);
	assert_int_equal(range_find(map, 3)->aux, 1);
}

static void copy_insert__too_many_for_a_map__no_memory(void **state)
{
	uint64_t most = ((PAGE_SIZE << RANGE_MAP_ORDER_MAX) - sizeof(struct range_map)) / sizeof(struct range);

	(void)state;
	for (uint64_t i = 0; i < most; i++)
		assert_int_equal(insert(2 * i, 2 * i, i), STATUS_OK);
	assert_int_equal(insert(2 * most, 2 * most, 0), STATUS_NO_MEMORY);
	assert_int_equal(map->count, most);
	assert_int_equal(range_find(map, 2 * most - 2)->aux, most - 1);
}

#define TEST(name) cmocka_unit_test_teardown(name, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(random_use__against_a_table__agrees),
		TEST(copy_insert__ends_of_the_number_line__found),
		TEST(copy_insert__published_copy__is_not_touched),
		TEST(copies__no_memory__say_so),
		TEST(copy_insert__too_many_for_a_map__no_memory),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
