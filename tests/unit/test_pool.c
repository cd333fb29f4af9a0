/*
 * The kernel's pool: pages, small objects, growth and exhaustion.
 */
/* UNIT_SOURCES: mm/pool.c mm/frame.c tests/unit/fake_mm/machine.c tests/unit/fake_mm/audit.c */
/* UNIT_FLAGS: -iquote tests/unit/fake_mm */
#include "audit.h"
#include "machine.h"

#include <string.h>

#include "mm/frame.h"
#include "mm/host_pt.h"
#include "mm/pool.h"

static uint64_t free_bytes(void)
{
	return frame_count(FRAME_POOL_FREE) * PAGE_SIZE;
}

static uint64_t all_bytes(void)
{
	return frame_count(FRAME_POOL) * PAGE_SIZE + free_bytes();
}

static unsigned blocks_mapped;

void host_pt_map_block(uint64_t va, hpa_t hpa)
{
	assert_int_equal(hpa & ((2ull << 20) - 1), 0);
	assert_int_equal(va, POOL_BASE + hpa);
	blocks_mapped++;
}

static bool is_zero(const uint8_t *p, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++) {
		if (p[i])
			return false;
	}
	return true;
}

static void pool_alloc_page__after_use__is_zeroed_again(void **state)
{
	uint8_t *page = pool_alloc_page();

	(void)state;
	assert_true(is_zero(page, PAGE_SIZE));
	memset(page, 0xA5, PAGE_SIZE);
	pool_free_page(page);
	assert_ptr_equal(pool_alloc_page(), page);
	assert_true(is_zero(page, PAGE_SIZE));
	assert_ptr_equal(pool_va(pool_hpa(page)), page);
	pool_free_page(page);
}

static void pool_alloc_pages__each_order__contiguous_and_aligned(void **state)
{
	(void)state;
	for (unsigned order = 0; order <= POOL_ORDER_MAX; order++) {
		uint8_t *pages = pool_alloc_pages(order);

		assert_int_equal(pool_hpa(pages) & ((PAGE_SIZE << order) - 1), 0);
		assert_true(is_zero(pages, PAGE_SIZE << order));
		memset(pages, 0xFF, PAGE_SIZE << order);
		pool_free_pages(pages, order);
	}
	expect_panic(pool_free_pages(pool_alloc_pages(POOL_ORDER_MAX + 1), 0));
	assert_true(audit_frames());
}

static void pool_alloc__each_size__aligned_zeroed_and_apart(void **state)
{
	static uint8_t *objects[300];
	static const size_t sizes[] = { 1, 31, 32, 33, 64, 100, POOL_OBJECT_BYTES };
	uint64_t free_before = free_bytes(), all_before = all_bytes();

	(void)state;
	for (unsigned s = 0; s < ARRAY_SIZE(sizes); s++) {
		for (unsigned i = 0; i < ARRAY_SIZE(objects); i++) {
			objects[i] = pool_alloc(sizes[s]);
			assert_int_equal((uint64_t)objects[i] & (POOL_OBJECT_BYTES - 1), 0);
			assert_true(is_zero(objects[i], POOL_OBJECT_BYTES));
			memset(objects[i], (int)i, sizes[s]);
		}
		for (unsigned i = 0; i < ARRAY_SIZE(objects); i++) {
			assert_int_equal(objects[i][0], (uint8_t)i);
			assert_int_equal(objects[i][sizes[s] - 1], (uint8_t)i);
		}
		/* In another order than they came. */
		for (unsigned i = 0; i < ARRAY_SIZE(objects); i++)
			pool_free(objects[i * 7 % ARRAY_SIZE(objects)]);
	}
	/* What was freed serves again. */
	assert_int_equal(all_bytes(), all_before);
	assert_true(free_before - free_bytes() <= ARRAY_SIZE(objects) * POOL_OBJECT_BYTES + PAGE_SIZE);
	assert_true(audit_frames());
}

static void pool_alloc__random_use__never_overlaps(void **state)
{
	static struct {
		uint32_t *at;
		size_t bytes;
	} held[500];
	unsigned n = 0;

	(void)state;
	for (unsigned step = 0; step < 30000; step++) {
		uint64_t r = fake_random();

		if (n < ARRAY_SIZE(held) && r & 1) {
			held[n].bytes = 4 + (r >> 8) % (POOL_OBJECT_BYTES - 3);
			held[n].at = pool_alloc(held[n].bytes);
			assert_true(is_zero((uint8_t *)held[n].at, held[n].bytes));
			memset(held[n].at, 0xEE, held[n].bytes);
			*held[n].at = n;
			n++;
		} else if (n) {
			unsigned i = (unsigned)(r >> 8) % n;

			assert_int_equal(*held[i].at, i);
			pool_free(held[i].at);
			held[i] = held[--n];
			if (i < n)
				*held[i].at = i;
		}
	}
	while (n--)
		pool_free(held[n].at);
	assert_true(audit_frames());
}

static void pool_free__misaligned_object_or_page_twice__panics(void **state)
{
	uint8_t *object = pool_alloc(64), *other = pool_alloc(64), *page = pool_alloc_page();

	(void)state;
	expect_panic(pool_free(object + 32));
	expect_panic(pool_free(pool_alloc(POOL_OBJECT_BYTES + 1)));
	expect_panic(pool_free_pages(page, 1));
	pool_free(object);
	pool_free(other);
	pool_free_page(page);
	expect_panic(pool_free_page(page));
	pool_free(NULL);
	pool_free_page(NULL);
}

static void pool_alloc__machine_exhausted__null_and_sound(void **state)
{
	uint64_t *chain = NULL, *page;
	unsigned mapped_before = blocks_mapped;
	uint64_t used_before = frame_count(FRAME_POOL);
	hpa_t hpa;

	(void)state;
	while (frame_alloc(FRAME_ORDER_2M + 2, FRAME_GUEST, 1, FRAME_NOWHERE, &hpa) == STATUS_OK) {
	}
	while ((page = pool_alloc_page()) != NULL) {
		*page = (uint64_t)chain;
		chain = page;
	}
	assert_true(blocks_mapped > mapped_before);
	while (pool_alloc(32)) {
	}
	assert_null(pool_alloc_pages(3));
	assert_int_equal(free_bytes(), 0);
	while (chain) {
		page = chain;
		chain = (uint64_t *)*page;
		pool_free_page(page);
	}
	assert_int_equal(frame_count(FRAME_POOL), used_before);
	assert_non_null(pool_alloc(32));
	assert_true(audit_frames());
}

static int boot(void **state)
{
	(void)state;
	fake_machine_boot();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pool_alloc_page__after_use__is_zeroed_again),
		cmocka_unit_test(pool_alloc_pages__each_order__contiguous_and_aligned),
		cmocka_unit_test(pool_alloc__each_size__aligned_zeroed_and_apart),
		cmocka_unit_test(pool_alloc__random_use__never_overlaps),
		cmocka_unit_test(pool_free__misaligned_object_or_page_twice__panics),
		cmocka_unit_test(pool_alloc__machine_exhausted__null_and_sound),
	};

	return cmocka_run_group_tests(tests, boot, NULL);
}
