/*
 * A guest's memory map: sizes at the edges, and what counts as RAM.
 * UNIT_SOURCES: drivers-vm/control/guest_map.c
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "drivers-vm/control/guest_map.h"
#include "drivers-vm/lib/platform.h"

#define GIB 0x40000000ull

static void guest_map_build__any_size__is_sorted_disjoint_and_complete(void **state)
{
	static const uint64_t sizes[] = {
		GUEST_MAP_RAM_MIN, 256ull << 20,     3 * GIB - GUEST_MAP_RAM_UNIT, 3 * GIB, 3 * GIB + GUEST_MAP_RAM_UNIT,
		64 * GIB,          GUEST_MAP_RAM_MAX
	};
	struct guest_map map;

	(void)state;
	for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		uint64_t end = 0;
		uint64_t ram_from_1_mib = 0;

		assert_true(guest_map_build(sizes[i], &map));
		assert_true(map.count <= GUEST_MAP_ENTRIES);
		for (unsigned k = 0; k < map.count; k++) {
			assert_true(map.entry[k].base >= end);
			assert_true(map.entry[k].bytes > 0);
			end = map.entry[k].base + map.entry[k].bytes;
			if (map.entry[k].type == GUEST_MAP_RAM && map.entry[k].base >= 0x100000)
				ram_from_1_mib += map.entry[k].bytes;
		}
		assert_int_equal(ram_from_1_mib, sizes[i] - 0x100000);
		assert_int_equal(map.low_bytes + map.high_bytes, sizes[i]);
		assert_true(map.low_bytes <= PLATFORM_LOW_RAM_LIMIT);
	}
}

static void guest_map_build__impossible_sizes__are_refused(void **state)
{
	struct guest_map map = { .count = 77 };

	(void)state;
	assert_false(guest_map_build(0, &map));
	assert_false(guest_map_build(GUEST_MAP_RAM_MIN - 4096, &map));
	assert_false(guest_map_build(3 << 20, &map));
	assert_false(guest_map_build(GUEST_MAP_RAM_MAX + GUEST_MAP_RAM_UNIT, &map));
	assert_false(guest_map_build(UINT64_MAX, &map));
	assert_int_equal(map.count, 77);
}

static void guest_map_is_ram__edges__are_exact(void **state)
{
	struct guest_map map;

	(void)state;
	assert_true(guest_map_build(4 * GIB, &map));
	assert_true(guest_map_is_ram(&map, 0, 0xA0000));
	assert_false(guest_map_is_ram(&map, 0, 0xA0001));
	assert_false(guest_map_is_ram(&map, PLATFORM_ACPI_BASE, 1));
	assert_true(guest_map_is_ram(&map, 0x100000, 3 * GIB - 0x100000));
	assert_false(guest_map_is_ram(&map, 3 * GIB - 1, 2));
	assert_true(guest_map_is_ram(&map, 4 * GIB, GIB));
	assert_false(guest_map_is_ram(&map, 4 * GIB, GIB + 1));
	assert_false(guest_map_is_ram(&map, 0x100000, UINT64_MAX));
	assert_false(guest_map_is_ram(&map, UINT64_MAX, 1));
	assert_false(guest_map_is_ram(&map, UINT64_MAX, UINT64_MAX));
}

static void guest_map_channel__any_size__is_above_all_ram(void **state)
{
	struct guest_map map;

	(void)state;
	assert_true(guest_map_build(GUEST_MAP_RAM_MIN, &map));
	assert_int_equal(guest_map_channel(&map, 0), 4 * GIB);
	assert_int_equal(guest_map_channel(&map, 3), 7 * GIB);
	assert_true(guest_map_build(3 * GIB + GUEST_MAP_RAM_UNIT, &map));
	assert_int_equal(guest_map_channel(&map, 0), 5 * GIB);
	assert_true(guest_map_build(4 * GIB, &map));
	assert_int_equal(guest_map_channel(&map, 1), 6 * GIB);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(guest_map_channel__any_size__is_above_all_ram),
		cmocka_unit_test(guest_map_build__any_size__is_sorted_disjoint_and_complete),
		cmocka_unit_test(guest_map_build__impossible_sizes__are_refused),
		cmocka_unit_test(guest_map_is_ram__edges__are_exact),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
