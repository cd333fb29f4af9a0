/*
 * The frame table and buddy allocator.
 */
/* UNIT_SOURCES: mm/frame.c tests/unit/fake_mm/machine.c tests/unit/fake_mm/audit.c */
/* UNIT_FLAGS: -iquote tests/unit/fake_mm */
#include "audit.h"
#include "machine.h"

#include <string.h>

#include "mm/frame.h"

static uint64_t free_at_start;

static void frame_init__machine_map__every_frame_is_counted_once(void **state)
{
	uint64_t known = 0;

	(void)state;
	for (uint32_t i = 0; i < fake_boot_info.range_count; i++) {
		const struct boot_range *r = &fake_boot_info.ranges[i];

		known += r->type < BOOT_RANGE_RESERVED ? r->bytes / PAGE_SIZE : 0;
	}
	assert_int_equal(frame_total, known);
	assert_int_equal(frame_count(FRAME_MODULE), (FAKE_MODULE_END - FAKE_MODULE_BASE) / PAGE_SIZE);
	assert_int_equal(frame_count(FRAME_KERNEL), 10);
	assert_int_equal(free_at_start, known - 10 - frame_count(FRAME_MODULE));
	assert_true(audit_frames());
}

static void frame_lookup__holes_and_blocks__finds_heads_only_in_ram(void **state)
{
	hpa_t head, block;

	(void)state;
	assert_null(frame_lookup(0x9F000, NULL));
	assert_null(frame_lookup(0xFEC00000, NULL));
	assert_null(frame_lookup(3ull << 30, NULL));
	assert_null(frame_lookup(7ull << 30, NULL));
	assert_null(frame_lookup(~0ull, NULL));
	assert_int_equal(frame_lookup(FAKE_MODULE_BASE + 0x5123, NULL)->type, FRAME_MODULE);
	assert_int_equal(frame_alloc(FRAME_ORDER_2M, FRAME_GUEST, 7, FRAME_NOWHERE, &block), STATUS_OK);
	assert_int_equal(frame_lookup(block + 0x1FF000, &head)->owner, 7);
	assert_int_equal(head, block);
	frame_free(block, FRAME_ORDER_2M, FRAME_GUEST, 7);
	assert_int_equal(frame_lookup(block, NULL)->type, FRAME_FREE);
}

static void frame_alloc__small_orders__keep_large_blocks_whole(void **state)
{
	hpa_t large, small[64];

	(void)state;
	for (unsigned i = 0; i < 64; i++)
		assert_int_equal(frame_alloc(0, FRAME_GUEST, 1, FRAME_NOWHERE, &small[i]), STATUS_OK);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(frame_alloc(FRAME_ORDER_1G, FRAME_GUEST, 2, FRAME_NOWHERE, &large), STATUS_OK);
	for (unsigned i = 0; i < 64; i++)
		frame_free(small[i], 0, FRAME_GUEST, 1);
	assert_int_equal(frame_alloc(FRAME_ORDER_1G, FRAME_GUEST, 2, FRAME_NOWHERE, &large), STATUS_NO_MEMORY);
	frame_free(1ull << 30, FRAME_ORDER_1G, FRAME_GUEST, 2);
	frame_free(4ull << 30, FRAME_ORDER_1G, FRAME_GUEST, 2);
	frame_free(5ull << 30, FRAME_ORDER_1G, FRAME_GUEST, 2);
	assert_int_equal(frame_count(FRAME_FREE), free_at_start);
	assert_true(audit_frames());
}

static void frame_alloc__until_exhausted__gives_each_frame_once(void **state)
{
	hpa_t *all = malloc(free_at_start * sizeof(*all));
	uint8_t *seen = calloc(FAKE_RAM_BYTES / PAGE_SIZE, 1);
	uint64_t n = 0;

	(void)state;
	while (frame_alloc(0, FRAME_GUEST, 9, FRAME_NOWHERE, &all[n]) == STATUS_OK) {
		assert_int_equal(seen[all[n] / PAGE_SIZE]++, 0);
		n++;
	}
	assert_int_equal(n, free_at_start);
	assert_true(audit_frames());
	while (n--)
		frame_free(all[n], 0, FRAME_GUEST, 9);
	assert_int_equal(frame_count(FRAME_FREE), free_at_start);
	assert_true(audit_frames());
	free(all);
	free(seen);
}

static void frame_alloc_and_free__random_orders__table_stays_sound(void **state)
{
	static struct {
		hpa_t hpa;
		unsigned order;
		bool pool;
	} held[600];
	unsigned n = 0;
	hpa_t block;

	(void)state;
	for (unsigned i = 0; i < 4; i++) { /* something in the second zone */
		assert_int_equal(frame_alloc(FRAME_ORDER_2M, FRAME_KERNEL, FRAME_OWNER_KERNEL, FRAME_NOWHERE, &block), STATUS_OK);
		frame_pool_donate(block, FRAME_ORDER_2M);
	}
	for (unsigned step = 0; step < 40000; step++) {
		uint64_t r = fake_random();

		if (n < ARRAY_SIZE(held) && r & 1) {
			bool pool = r >> 8 & 1;
			unsigned order = (unsigned)(r >> 16) % (pool ? 4 : r >> 40 & 63 ? 10 : 19);
			enum status s = pool ? frame_alloc(order, FRAME_POOL, FRAME_OWNER_KERNEL, FRAME_NOWHERE, &block)
			                     : frame_alloc(order, FRAME_GUEST, 5, FRAME_NOWHERE, &block);

			if (s != STATUS_OK)
				continue;
			assert_int_equal(block & ((PAGE_SIZE << order) - 1), 0);
			held[n].hpa = block;
			held[n].order = order;
			held[n++].pool = pool;
		} else if (n) {
			unsigned i = (unsigned)(r >> 16) % n;

			if (held[i].pool)
				frame_free(held[i].hpa, held[i].order, FRAME_POOL, FRAME_OWNER_KERNEL);
			else
				frame_free(held[i].hpa, held[i].order, FRAME_GUEST, 5);
			held[i] = held[--n];
		}
		if (step % 4000 == 0)
			assert_true(audit_frames());
	}
	while (n--) {
		if (held[n].pool)
			frame_free(held[n].hpa, held[n].order, FRAME_POOL, FRAME_OWNER_KERNEL);
		else
			frame_free(held[n].hpa, held[n].order, FRAME_GUEST, 5);
	}
	assert_true(audit_frames());
	assert_int_equal(frame_count(FRAME_POOL_FREE), 4 * 512);
	assert_int_equal(frame_count(FRAME_FREE), free_at_start - 4 * 512);
}

static void frame_free__wrong_order_owner_type_or_twice__panics(void **state)
{
	hpa_t hpa;

	(void)state;
	assert_int_equal(frame_alloc(3, FRAME_GUEST, 5, FRAME_NOWHERE, &hpa), STATUS_OK);
	expect_panic(frame_free(hpa, 3, FRAME_GUEST, 6));
	expect_panic(frame_free(hpa, 3, FRAME_POOL, 5));
	expect_panic(frame_free(hpa, 2, FRAME_GUEST, 5));
	expect_panic(frame_free(hpa + PAGE_SIZE, 0, FRAME_GUEST, 5));
	expect_panic(frame_free(3ull << 30, 0, FRAME_GUEST, 5));
	frame_add_refs(hpa, 1);
	expect_panic(frame_free(hpa, 3, FRAME_GUEST, 5));
	frame_add_refs(hpa, -1);
	expect_panic(frame_add_refs(hpa, -1));
	frame_free(hpa, 3, FRAME_GUEST, 5);
	expect_panic(frame_free(hpa, 3, FRAME_GUEST, 5));
	assert_true(audit_frames());
}

static void audit_frames__damaged_table__tells(void **state)
{
	hpa_t hpa;

	(void)state;
	assert_int_equal(frame_alloc(2, FRAME_GUEST, 5, FRAME_NOWHERE, &hpa), STATUS_OK);
	frame_entry(hpa + PAGE_SIZE)->type = FRAME_FREE;
	assert_false(audit_frames());
	frame_entry(hpa + PAGE_SIZE)->type = FRAME_TAIL;
	frame_entry(hpa)->type = FRAME_KERNEL;
	assert_false(audit_frames());
	frame_entry(hpa)->type = FRAME_GUEST;
	frame_entry(hpa)->order = 1;
	assert_false(audit_frames());
	frame_entry(hpa)->order = 2;
	assert_true(audit_frames());
	frame_free(hpa, 2, FRAME_GUEST, 5);
}

static int boot(void **state)
{
	(void)state;
	fake_machine_boot();
	free_at_start = frame_count(FRAME_FREE);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(frame_init__machine_map__every_frame_is_counted_once),
		cmocka_unit_test(frame_lookup__holes_and_blocks__finds_heads_only_in_ram),
		cmocka_unit_test(frame_alloc__small_orders__keep_large_blocks_whole),
		cmocka_unit_test(frame_alloc__until_exhausted__gives_each_frame_once),
		cmocka_unit_test(frame_alloc_and_free__random_orders__table_stays_sound),
		cmocka_unit_test(frame_free__wrong_order_owner_type_or_twice__panics),
		cmocka_unit_test(audit_frames__damaged_table__tells),
	};

	return cmocka_run_group_tests(tests, boot, NULL);
}
