/*
 * The boot memory map: each byte must have the greatest type that any added range gives it.
 * UNIT_SOURCES: boot/memory_map.c
 * UNIT_FLAGS: -Itests/unit
 */
#include "cmocka_all.h"

#include <stdlib.h>
#include <string.h>

#include "arch/x86_64/features.h"
#include "boot/memory_map.h"

struct cpu_features cpu_features = { .phys_bits = 52 };

static struct boot_info info;

static int reset(void **state)
{
	(void)state;
	memset(&info, 0, sizeof(info));
	return 0;
}

static void add(hpa_t page, uint64_t pages, enum boot_range_type type)
{
	assert_int_equal(memory_map_add(&info, page << 12, pages << 12, type), STATUS_OK);
}

static void expect(uint32_t i, hpa_t page, uint64_t pages, enum boot_range_type type)
{
	assert_true(i < info.range_count);
	assert_int_equal(info.ranges[i].base, page << 12);
	assert_int_equal(info.ranges[i].bytes, pages << 12);
	assert_int_equal(info.ranges[i].type, type);
}

static void memory_map_add__neighbours_of_one_type__merged(void **state)
{
	(void)state;
	add(20, 10, BOOT_RANGE_FREE);
	add(0, 10, BOOT_RANGE_FREE);
	add(10, 10, BOOT_RANGE_FREE);
	assert_int_equal(info.range_count, 1);
	expect(0, 0, 30, BOOT_RANGE_FREE);
}

static void memory_map_add__greater_type_inside__splits(void **state)
{
	(void)state;
	add(0, 30, BOOT_RANGE_FREE);
	add(10, 5, BOOT_RANGE_KERNEL);
	assert_int_equal(info.range_count, 3);
	expect(0, 0, 10, BOOT_RANGE_FREE);
	expect(1, 10, 5, BOOT_RANGE_KERNEL);
	expect(2, 15, 15, BOOT_RANGE_FREE);
}

static void memory_map_add__lesser_type__fills_only_gaps(void **state)
{
	(void)state;
	add(10, 5, BOOT_RANGE_RESERVED);
	add(0, 30, BOOT_RANGE_FREE);
	assert_int_equal(info.range_count, 3);
	expect(1, 10, 5, BOOT_RANGE_RESERVED);
}

static void memory_map_add__unaligned__free_shrinks_and_others_grow(void **state)
{
	(void)state;
	assert_int_equal(memory_map_add(&info, 0x1001, 0x2FFE, BOOT_RANGE_FREE), STATUS_OK);
	expect(0, 2, 1, BOOT_RANGE_FREE);
	assert_int_equal(memory_map_add(&info, 0x2FFF, 2, BOOT_RANGE_MODULE), STATUS_OK);
	assert_int_equal(info.range_count, 1);
	expect(0, 2, 2, BOOT_RANGE_MODULE);
}

static void memory_map_add__free_of_less_than_a_page__nothing(void **state)
{
	(void)state;
	assert_int_equal(memory_map_add(&info, 0x1800, 0x1000, BOOT_RANGE_FREE), STATUS_OK);
	assert_int_equal(info.range_count, 0);
}

static void memory_map_add__wrapping_or_huge__cut_at_52_bits(void **state)
{
	(void)state;
	assert_int_equal(memory_map_add(&info, 0xFFFFFFFFFF000, UINT64_MAX, BOOT_RANGE_RESERVED), STATUS_OK);
	expect(0, 0xFFFFFFFFFF, 1, BOOT_RANGE_RESERVED);
	assert_int_equal(memory_map_add(&info, UINT64_MAX - 5, 5, BOOT_RANGE_RESERVED), STATUS_OK);
	assert_int_equal(info.range_count, 1);
}

static void memory_map_add__empty__nothing(void **state)
{
	(void)state;
	add(5, 0, BOOT_RANGE_RESERVED);
	assert_int_equal(info.range_count, 0);
}

static void memory_map_add__too_many_ranges__refused_and_unchanged(void **state)
{
	static struct boot_info before;

	(void)state;
	for (uint32_t i = 0; i < BOOT_RANGES_MAX; i++)
		add(i * 2, 1, BOOT_RANGE_FREE);
	before = info;
	assert_int_equal(memory_map_add(&info, 1 << 24, 4096, BOOT_RANGE_FREE), STATUS_NO_MEMORY);
	assert_memory_equal(&before, &info, sizeof(info));
	add(1, 1, BOOT_RANGE_FREE); /* closes a gap */
	assert_int_equal(info.range_count, BOOT_RANGES_MAX - 1);
}

/* Against a map with one byte a page. */
static void memory_map_add__random_ranges__as_the_plain_model(void **state)
{
	enum { PAGES = 64 };

	(void)state;
	srand(1);
	for (int round = 0; round < 3000; round++) {
		uint8_t model[PAGES] = { 0 };

		memset(&info, 0, sizeof(info));
		for (int n = 0; n < 12; n++) {
			uint32_t first = (uint32_t)rand() % PAGES, count = (uint32_t)rand() % (PAGES - first + 1);
			uint8_t type = (uint8_t)(1 + rand() % BOOT_RANGE_RESERVED);

			add(first, count, type);
			for (uint32_t i = first; i < first + count; i++)
				if (model[i] < type)
					model[i] = type;
		}
		for (uint32_t i = 0, r = 0; i < PAGES; i++) {
			while (r < info.range_count && (info.ranges[r].base + info.ranges[r].bytes) >> 12 <= i)
				r++;
			uint8_t type = r < info.range_count && info.ranges[r].base >> 12 <= i ? info.ranges[r].type : 0;

			assert_int_equal(type, model[i]);
		}
		for (uint32_t r = 1; r < info.range_count; r++) {
			const struct boot_range *a = &info.ranges[r - 1], *b = &info.ranges[r];

			assert_true(a->base + a->bytes < b->base || (a->base + a->bytes == b->base && a->type != b->type));
		}
	}
}

static void memory_map_find__several_free__highest_below_limit(void **state)
{
	(void)state;
	add(1, 5, BOOT_RANGE_FREE);
	add(20, 10, BOOT_RANGE_FREE);
	add(8, 2, BOOT_RANGE_RESERVED);
	assert_int_equal(memory_map_find(&info, PAGE_SIZE, PAGE_SIZE, 25 << 12), 24 << 12);
	assert_int_equal(memory_map_find(&info, PAGE_SIZE, PAGE_SIZE, 20 << 12), 5 << 12);
	assert_int_equal(memory_map_find(&info, PAGE_SIZE, PAGE_SIZE, 1 << 12), HPA_INVALID);
	assert_int_equal(memory_map_find(&info, 6 << 12, PAGE_SIZE, 64 << 12), 24 << 12);
	assert_int_equal(memory_map_find(&info, 11 << 12, PAGE_SIZE, 64 << 12), HPA_INVALID);
	assert_int_equal(memory_map_find(&info, 4 << 12, 4 << 12, 28 << 12), 24 << 12);
	assert_int_equal(memory_map_find(&info, 8 << 12, 8 << 12, 32 << 12), HPA_INVALID);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(memory_map_add__neighbours_of_one_type__merged, reset),
		cmocka_unit_test_setup(memory_map_add__greater_type_inside__splits, reset),
		cmocka_unit_test_setup(memory_map_add__lesser_type__fills_only_gaps, reset),
		cmocka_unit_test_setup(memory_map_add__unaligned__free_shrinks_and_others_grow, reset),
		cmocka_unit_test_setup(memory_map_add__free_of_less_than_a_page__nothing, reset),
		cmocka_unit_test_setup(memory_map_add__wrapping_or_huge__cut_at_52_bits, reset),
		cmocka_unit_test_setup(memory_map_add__empty__nothing, reset),
		cmocka_unit_test_setup(memory_map_add__too_many_ranges__refused_and_unchanged, reset),
		cmocka_unit_test_setup(memory_map_add__random_ranges__as_the_plain_model, reset),
		cmocka_unit_test_setup(memory_map_find__several_free__highest_below_limit, reset),
	};

	return cmocka_run_group_tests_name("memory_map", tests, NULL, NULL);
}
