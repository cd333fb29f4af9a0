/*
 * Memory objects on the real frame allocator, pool and nested tables: shapes, mapping, population, and every
 * allocation failing.
 */
/* clang-format off */
/* UNIT_SOURCES: mm/memory.c mm/memory_frames.c mm/mmio.c mm/nested_pt.c mm/frame.c mm/pool.c tests/unit/fake_mm/machine.c tests/unit/fake_mm/audit.c tests/unit/fake_mm/fail.c */
/* UNIT_FLAGS: -iquote tests/unit/fake_mm @tests/unit/fake_mm/fail.wrap */
/* clang-format on */
#include "audit.h"
#include "machine.h"

#include <pthread.h>
#include <string.h>

#include "fail.h"
#include "arch/x86_64/features.h"
#include "mm/frame.h"
#include "mm/host_pt.h"
#include "mm/memory.h"
#include "mm/pool.h"
#include "mm/window.h"

#define KIB   1024ull
#define MIB   (1024 * KIB)
#define GIB   (1024 * MIB)
#define RW    (HILUM_MAP_READ | HILUM_MAP_WRITE)
#define RWX   (HILUM_MAP_READ | HILUM_MAP_WRITE | HILUM_MAP_EXECUTE)
#define OWNER 17u

static struct nested_pt npt;
static uint64_t free_at_start, guest_at_start, pool_at_start;

/* ---- Which frames are zero ---- */

static uint8_t is_zeroed[FAKE_RAM_BYTES / PAGE_SIZE];

void fake_frames_taken(hpa_t hpa, unsigned order)
{
	memset(&is_zeroed[hpa / PAGE_SIZE], 0, 1ull << order);
}

void window_zero_frames(hpa_t hpa, unsigned order)
{
	memset(&is_zeroed[hpa / PAGE_SIZE], 1, 1ull << order);
}

/* Windows show what is there anyway. */
void *window_show(struct window_core *w, cpu_id_t cpu, unsigned slot, hpa_t frame)
{
	(void)w;
	(void)cpu;
	(void)slot;
	return fake_ram + frame;
}
struct window_core window_cores[CPU_MAX];

void host_pt_map_block(uint64_t va, hpa_t hpa)
{
	(void)va;
	(void)hpa;
}

/* ---- Helpers ---- */

/* One of a few that a test may have at once. */
static struct memory *place(void)
{
	static struct memory places[4];
	static unsigned next;

	return &places[next++ % ARRAY_SIZE(places)];
}

static struct memory *create(uint64_t bytes, uint32_t flags)
{
	struct memory *mem = place();

	assert_int_equal(memory_create(bytes, flags, OWNER, mem), STATUS_OK);
	return mem;
}

static void assert_order(struct memory *mem, uint64_t index, unsigned expected)
{
	uint64_t bytes = 99;
	hpa_t hpa = 0;

	assert_int_equal(memory_get(mem, index * PAGE_SIZE, FRAME_ORDER_4K, &hpa, &bytes), STATUS_OK);
	assert_int_equal(bytes, PAGE_SIZE << expected);
	assert_true(is_zeroed[hpa / PAGE_SIZE]);
	assert_int_equal(frame_lookup(hpa, NULL)->owner, OWNER);
	assert_int_equal(frame_lookup(hpa, NULL)->order, expected);
}

static bool mapped(gpa_t gpa, hpa_t *hpa, uint64_t *bytes)
{
	return nested_pt_lookup(&npt, gpa, HILUM_MAP_READ, hpa, bytes);
}

static void assert_mapped(gpa_t gpa, struct memory *mem, uint64_t index, uint64_t page_bytes)
{
	uint64_t bytes = 0, block;
	hpa_t hpa = 0, expected = 1;

	assert_int_equal(memory_get(mem, index * PAGE_SIZE, FRAME_ORDER_4K, &expected, &block), STATUS_OK);
	assert_true(mapped(gpa, &hpa, &bytes));
	assert_int_equal(hpa, expected);
	assert_int_equal(bytes, page_bytes);
}

static void assert_unmapped(gpa_t gpa)
{
	uint64_t bytes;
	hpa_t hpa;

	assert_false(mapped(gpa, &hpa, &bytes));
}

static void unmap_all(void)
{
	struct nested_pt_garbage garbage = { 0 };

	nested_pt_unmap(&npt, 0, NESTED_PT_GPA_LIMIT, &garbage);
	nested_pt_garbage_free(&npt, &garbage);
}

/* ---- Shape ---- */

static void create__mixed_size__largest_blocks_first(void **state)
{
	struct memory *mem = create(GIB + 4 * MIB + 12 * KIB, 0);
	uint64_t bytes;
	hpa_t hpa;

	(void)state;
	assert_order(mem, 0, FRAME_ORDER_1G);
	assert_order(mem, 262143, FRAME_ORDER_1G);
	assert_order(mem, 262144, FRAME_ORDER_2M);
	assert_order(mem, 262144 + 1023, FRAME_ORDER_2M);
	assert_order(mem, 262144 + 1024, FRAME_ORDER_4K);
	assert_order(mem, 262144 + 1026, FRAME_ORDER_4K);
	assert_int_equal(memory_get(mem, mem->bytes, FRAME_ORDER_4K, &hpa, &bytes), STATUS_INVALID);
	assert_int_equal(mem->bytes, GIB + 4 * MIB + 12 * KIB);
	assert_int_equal(frame_count(FRAME_GUEST) * PAGE_SIZE, mem->bytes);
	memory_destroy(mem);
}

static void create__4k_flag__uses_single_frames(void **state)
{
	struct memory *mem = create(4 * MIB, HILUM_MEMORY_4K_PAGES);

	(void)state;
	assert_order(mem, 0, FRAME_ORDER_4K);
	assert_order(mem, 1023, FRAME_ORDER_4K);
	memory_destroy(mem);
}

static void create__bad_arguments__invalid(void **state)
{
	struct memory *mem = place();

	(void)state;
	assert_int_equal(memory_create(0, 0, OWNER, mem), STATUS_INVALID);
	assert_int_equal(memory_create(100, 0, OWNER, mem), STATUS_INVALID);
	assert_int_equal(memory_create(MEMORY_BYTES_MAX + PAGE_SIZE, 0, OWNER, mem), STATUS_INVALID);
	assert_int_equal(memory_create(PAGE_SIZE, 4, OWNER, mem), STATUS_INVALID);
	assert_int_equal(memory_create(~PAGE_MASK, 0, OWNER, mem), STATUS_INVALID);
}

static void create__more_than_the_machine_has__gives_all_back(void **state)
{
	struct memory *mem = place();

	(void)state;
	assert_int_equal(memory_create(6 * GIB, 0, OWNER, mem), STATUS_NO_MEMORY);
	assert_int_equal(memory_create(MEMORY_BYTES_MAX, 0, OWNER, mem), STATUS_NO_MEMORY);
	assert_int_equal(frame_count(FRAME_GUEST), 0);
}

static void create__fragmented_machine__falls_back_to_smaller_blocks(void **state)
{
	static hpa_t taken[4096];
	struct memory *mem;
	unsigned n = 0;

	(void)state;
	while (frame_alloc(FRAME_ORDER_2M, FRAME_KERNEL, 0, FRAME_NOWHERE, &taken[n]) == STATUS_OK)
		n++;
	frame_free(taken[--n], FRAME_ORDER_2M, FRAME_KERNEL, 0);
	mem = create(2 * MIB + 256 * KIB, 0);
	assert_order(mem, 0, FRAME_ORDER_2M);
	assert_order(mem, 512, FRAME_ORDER_4K);
	memory_destroy(mem);
	while (n)
		frame_free(taken[--n], FRAME_ORDER_2M, FRAME_KERNEL, 0);
}

static void create__lazy__takes_frames_on_first_use_only(void **state)
{
	struct memory *mem = create(64 * MIB, HILUM_MEMORY_LAZY);
	uint64_t bytes;
	hpa_t hpa = 0, again = 0;

	(void)state;
	assert_int_equal(frame_count(FRAME_GUEST), 0);
	assert_int_equal(memory_get(mem, 700 * PAGE_SIZE + 5, FRAME_ORDER_4K, &hpa, &bytes), STATUS_OK);
	assert_int_equal(hpa & PAGE_MASK, 5);
	assert_int_equal(bytes, PAGE_SIZE);
	assert_int_equal(memory_get(mem, 700 * PAGE_SIZE + 5, FRAME_ORDER_2M, &again, &bytes), STATUS_OK);
	assert_int_equal(again, hpa);
	assert_order(mem, 700, 0);
	assert_int_equal(frame_count(FRAME_GUEST), 1);
	memory_destroy(mem);
}

static void create__256_mib__costs_little(void **state)
{
	struct memory *mem = create(256 * MIB, 0);

	(void)state;
	assert_true(frame_count(FRAME_POOL) <= pool_at_start + 1 + 3);
	memory_destroy(mem);
}

/* ---- Wrapping ---- */

static void wrap_frames__module__maps_read_only_and_keeps_frames(void **state)
{
	uint64_t bytes = FAKE_MODULE_END - FAKE_MODULE_BASE;
	struct memory *mem = place(), *second = place();
	uint64_t block;
	hpa_t hpa;

	(void)state;
	assert_int_equal(memory_wrap_frames(FAKE_MODULE_BASE, bytes, false, mem), STATUS_OK);
	assert_int_equal(memory_wrap_frames(FAKE_MODULE_BASE, bytes, false, second), STATUS_OK);
	assert_int_equal(frame_lookup(FAKE_MODULE_BASE, NULL)->refs, 3);
	assert_int_equal(memory_get(mem, 3 * PAGE_SIZE, FRAME_ORDER_2M, &hpa, &block), STATUS_OK);
	assert_int_equal(hpa, FAKE_MODULE_BASE + 3 * PAGE_SIZE);
	assert_int_equal(block, PAGE_SIZE);
	assert_int_equal(memory_map(&npt, mem, 0, 0, bytes, RW), STATUS_DENIED);
	assert_int_equal(memory_map(&npt, mem, 0, 0, bytes, HILUM_MAP_READ), STATUS_OK);
	assert_mapped(0, mem, 0, 2 * MIB);
	assert_mapped(bytes - PAGE_SIZE, mem, bytes / PAGE_SIZE - 1, 4 * KIB);
	memory_destroy(mem);
	memory_destroy(second);
	assert_int_equal(frame_lookup(FAKE_MODULE_BASE, NULL)->refs, 1);
	assert_int_equal(frame_lookup(FAKE_MODULE_BASE, NULL)->type, FRAME_MODULE);
	unmap_all();
}

static void wrap_device__beyond_what_the_machine_can_address__invalid(void **state)
{
	const hpa_t end = 1ull << cpu_features.phys_bits;
	struct memory *mem = place();

	(void)state;
	assert_int_equal(memory_wrap_device(end - PAGE_SIZE, PAGE_SIZE, mem), STATUS_OK);
	assert_int_equal(memory_wrap_device(end - PAGE_SIZE, 2 * PAGE_SIZE, mem), STATUS_INVALID);
	assert_int_equal(memory_wrap_device(end, PAGE_SIZE, mem), STATUS_INVALID);
	assert_int_equal(memory_wrap_device(~PAGE_MASK, PAGE_SIZE, mem), STATUS_INVALID);
}

static void wrap_frames__not_ram__invalid(void **state)
{
	struct memory *mem = place();

	(void)state;
	assert_int_equal(memory_wrap_frames(0xFEC00000, PAGE_SIZE, true, mem), STATUS_INVALID);
	assert_int_equal(memory_wrap_frames(0x9E000, 4 * PAGE_SIZE, true, mem), STATUS_INVALID);
	assert_int_equal(memory_wrap_frames(FAKE_MODULE_BASE + 1, PAGE_SIZE, true, mem), STATUS_INVALID);
	assert_int_equal(memory_wrap_frames(FAKE_MODULE_BASE, 0, true, mem), STATUS_INVALID);
}

static void wrap_frames__pool_page_while_referenced__cannot_be_freed(void **state)
{
	void *page = pool_alloc_page();
	struct memory *mem = place();

	(void)state;
	assert_int_equal(memory_wrap_frames(pool_hpa(page), PAGE_SIZE, true, mem), STATUS_OK);
	assert_int_equal(memory_map(&npt, mem, 0x80000000, 0, PAGE_SIZE, RW), STATUS_OK);
	assert_mapped(0x80000000, mem, 0, PAGE_SIZE);
	expect_panic(pool_free_page(page));
	unmap_all();
	memory_destroy(mem);
	pool_free_page(page);
}

/* ---- Mapping ---- */

static void map__pieces_around_a_hole__large_pages_where_aligned(void **state)
{
	struct memory *mem = create(64 * MIB, 0);

	(void)state;
	assert_int_equal(memory_map(&npt, mem, 0, 0, 640 * KIB, RWX), STATUS_OK);
	assert_int_equal(memory_map(&npt, mem, MIB, MIB, 63 * MIB, RWX), STATUS_OK);
	assert_mapped(0x9F000, mem, 0x9F, 4 * KIB);
	assert_unmapped(0xA0000);
	assert_mapped(MIB, mem, 256, 4 * KIB);
	assert_mapped(2 * MIB, mem, 512, 2 * MIB);
	assert_mapped(64 * MIB - PAGE_SIZE, mem, 16383, 2 * MIB);
	unmap_all();
	memory_destroy(mem);
}

/* ---- Faults ---- */

static void fault__aligned_lazy__installs_2m(void **state)
{
	struct memory *mem = create(16 * MIB, HILUM_MEMORY_LAZY);
	struct memory_mapping m = { mem, 32 * MIB, 14 * MIB, 2 * MIB, RWX };

	(void)state;
	assert_int_equal(memory_map(&npt, mem, m.gpa, m.offset, m.bytes, m.rights), STATUS_OK);
	assert_unmapped(m.gpa);
	assert_int_equal(memory_populate_fault(&npt, &m, m.gpa + 0x12345), STATUS_OK);
	assert_mapped(m.gpa, mem, 512, 2 * MIB);
	assert_order(mem, 512, FRAME_ORDER_2M);
	assert_int_equal(memory_populate_fault(&npt, &m, m.gpa + 0x12345), STATUS_OK);
	assert_int_equal(frame_count(FRAME_GUEST) * PAGE_SIZE, 2 * MIB);
	unmap_all();
	memory_destroy(mem);
}

static void fault__unaligned_small_or_4k_only__installs_4k(void **state)
{
	struct memory *mem = create(16 * MIB, HILUM_MEMORY_LAZY);
	struct memory *small = create(16 * MIB, HILUM_MEMORY_LAZY | HILUM_MEMORY_4K_PAGES);
	struct memory_mapping shifted = { mem, 33 * MIB, 8 * MIB, 0, RW };
	struct memory_mapping inside = { mem, 64 * MIB + 4 * KIB, 2 * MIB, 8 * MIB + 4 * KIB, RW };
	struct memory_mapping single = { small, 128 * MIB, 16 * MIB, 0, RW };

	(void)state;
	assert_int_equal(memory_populate_fault(&npt, &shifted, 34 * MIB + 5), STATUS_OK);
	assert_mapped(34 * MIB, mem, 256, 4 * KIB);
	assert_unmapped(34 * MIB + 4 * KIB);
	assert_int_equal(memory_populate_fault(&npt, &inside, 64 * MIB + 4 * KIB), STATUS_OK);
	assert_mapped(64 * MIB + 4 * KIB, mem, 2049, 4 * KIB);
	assert_int_equal(memory_populate_fault(&npt, &single, 130 * MIB), STATUS_OK);
	assert_mapped(130 * MIB, small, 512, 4 * KIB);
	assert_int_equal(frame_count(FRAME_GUEST), 3);
	unmap_all();
	memory_destroy(mem);
	memory_destroy(small);
}

static void fault__table_in_the_way__falls_back_to_4k(void **state)
{
	struct memory *mem = create(4 * MIB, HILUM_MEMORY_LAZY);
	struct memory_mapping m = { mem, 0, 4 * MIB, 0, RW };
	struct nested_pt_garbage garbage = { 0 };

	(void)state;
	assert_int_equal(nested_pt_map(&npt, 2 * MIB, FAKE_MODULE_BASE, PAGE_SIZE, HILUM_MAP_READ), STATUS_OK);
	nested_pt_unmap(&npt, 2 * MIB, PAGE_SIZE, &garbage);
	assert_int_equal(memory_populate_fault(&npt, &m, 2 * MIB + 0x7000), STATUS_OK);
	assert_mapped(2 * MIB + 0x7000, mem, 519, 4 * KIB);
	assert_int_equal(memory_populate_fault(&npt, &m, 2 * MIB + 0x8000), STATUS_OK);
	assert_mapped(2 * MIB + 0x8000, mem, 520, 4 * KIB);
	unmap_all();
	memory_destroy(mem);
}

static void fault__no_2m_frame_left__installs_4k(void **state)
{
	struct memory *mem = create(4 * MIB, HILUM_MEMORY_LAZY);
	struct memory_mapping m = { mem, 0, 4 * MIB, 0, RW };

	(void)state;
	failing_order_min = FRAME_ORDER_2M;
	assert_int_equal(memory_populate_fault(&npt, &m, 0x7000), STATUS_OK);
	failing_order_min = FAILING_NONE;
	assert_mapped(0x7000, mem, 7, 4 * KIB);
	assert_int_equal(memory_populate_fault(&npt, &m, 0x8000), STATUS_OK);
	assert_mapped(0x8000, mem, 8, 4 * KIB);
	unmap_all();
	memory_destroy(mem);
}

/* ---- Every allocation fails once ---- */

static void create__every_failed_allocation__gives_all_back(void **state)
{
	static const struct {
		uint64_t bytes;
		uint32_t flags;
	} cases[] = { { GIB + 4 * MIB + 12 * KIB, 0 }, { 3 * MIB, HILUM_MEMORY_4K_PAGES }, { 2 * GIB, HILUM_MEMORY_LAZY } };
	struct memory *mem = place();

	(void)state;
	for (unsigned c = 0; c < ARRAY_SIZE(cases); c++) {
		for (int n = 0;; n++) {
			uint64_t pages = frame_count(FRAME_POOL);

			failing_after = n;
			enum status status = memory_create(cases[c].bytes, cases[c].flags, OWNER, mem);
			bool failed = failing_after == FAILING_DONE;

			failing_after = FAILING_NONE;
			if (status == STATUS_OK)
				memory_destroy(mem);
			assert_int_equal(frame_count(FRAME_GUEST), 0);
			assert_int_equal(frame_count(FRAME_POOL), pages);
			if (!failed) {
				assert_int_equal(status, STATUS_OK);
				break;
			}
		}
	}
}

static void map_and_fault__every_failed_allocation__loses_nothing(void **state)
{
	struct memory *mem = create(6 * MIB, 0), *lazy = create(6 * MIB, HILUM_MEMORY_LAZY);
	struct memory_mapping m = { lazy, 512 * GIB + MIB, 4 * MIB, 0, RW };
	enum status status = STATUS_NO_MEMORY;

	(void)state;
	for (int n = 0; status != STATUS_OK; n++) {
		failing_after = n;
		status = memory_map(&npt, mem, GIB + MIB, 0, 6 * MIB, RW);
		failing_after = FAILING_NONE;
		if (status != STATUS_OK) {
			assert_int_equal(status, STATUS_NO_MEMORY);
			unmap_all();
			assert_int_equal(npt.table_pages, 1);
		}
	}
	assert_mapped(GIB + MIB, mem, 0, 4 * KIB);
	status = STATUS_NO_MEMORY;
	for (int n = 0; status != STATUS_OK; n++) {
		failing_after = n;
		status = memory_populate_fault(&npt, &m, m.gpa + 0x3000);
		failing_after = FAILING_NONE;
		assert_true(status == STATUS_OK || status == STATUS_NO_MEMORY);
	}
	assert_mapped(m.gpa + 0x3000, lazy, 3, 4 * KIB);
	assert_int_equal(frame_count(FRAME_GUEST) * PAGE_SIZE, 6 * MIB + PAGE_SIZE);
	unmap_all();
	memory_destroy(mem);
	memory_destroy(lazy);
}

/* ---- Cores against each other ---- */

static void *fault_everywhere(void *mapping)
{
	const struct memory_mapping *m = mapping;

	for (uint64_t at = 0; at < m->bytes; at += PAGE_SIZE) {
		if (memory_populate_fault(&npt, m, m->gpa + at) != STATUS_OK)
			return NULL;
	}
	return mapping;
}

static void fault__four_cores_at_once__each_page_has_one_frame(void **state)
{
	struct memory *mem = create(16 * MIB, HILUM_MEMORY_LAZY);
	/* Two alignments of the same memory: 2 MiB and 4 KiB population meet. */
	struct memory_mapping m[2] = { { mem, 0, 16 * MIB, 0, RW }, { mem, GIB + MIB, 15 * MIB, 0, RW } };
	pthread_t threads[4];
	void *done;

	(void)state;
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, fault_everywhere, &m[i & 1]), 0);
	for (unsigned i = 0; i < 4; i++) {
		pthread_join(threads[i], &done);
		assert_non_null(done);
	}
	assert_int_equal(frame_count(FRAME_GUEST) * PAGE_SIZE, 16 * MIB);
	for (uint64_t i = 0; i < 15 * MIB / PAGE_SIZE; i++) {
		hpa_t a = 0, b = 1;
		uint64_t bytes;

		assert_true(mapped(i * PAGE_SIZE, &a, &bytes));
		assert_true(mapped(GIB + MIB + i * PAGE_SIZE, &b, &bytes));
		assert_int_equal(a, b);
		assert_true(is_zeroed[a / PAGE_SIZE]);
	}
	unmap_all();
	memory_destroy(mem);
}

/* ---- Set-up ---- */

static int set_up(void **state)
{
	(void)state;
	pool_at_start = frame_count(FRAME_POOL);
	guest_at_start = frame_count(FRAME_GUEST);
	free_at_start = frame_count(FRAME_FREE) + frame_count(FRAME_POOL_FREE);
	return nested_pt_init(&npt, &nested_pt_format) == STATUS_OK ? 0 : -1;
}

/* Every case gives back all it took. */
static int tear_down(void **state)
{
	(void)state;
	failing_after = failing_order_min = FAILING_NONE;
	nested_pt_destroy(&npt, NULL);
	bool same = frame_count(FRAME_POOL) == pool_at_start && frame_count(FRAME_GUEST) == guest_at_start &&
	            frame_count(FRAME_FREE) + frame_count(FRAME_POOL_FREE) == free_at_start;

	return same && audit_frames() ? 0 : -1;
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	static const struct nested_pt_format format = {
		.table = 7,
		.leaf = { 0, 0x31, 0, 0x33, 0, 0x35, 0, 0x37 },
	};
	const struct CMUnitTest tests[] = {
		CASE(create__mixed_size__largest_blocks_first),
		CASE(create__4k_flag__uses_single_frames),
		CASE(create__bad_arguments__invalid),
		CASE(create__more_than_the_machine_has__gives_all_back),
		CASE(create__fragmented_machine__falls_back_to_smaller_blocks),
		CASE(create__lazy__takes_frames_on_first_use_only),
		CASE(create__256_mib__costs_little),
		CASE(wrap_frames__module__maps_read_only_and_keeps_frames),
		CASE(wrap_device__beyond_what_the_machine_can_address__invalid),
		CASE(wrap_frames__not_ram__invalid),
		CASE(wrap_frames__pool_page_while_referenced__cannot_be_freed),
		CASE(map__pieces_around_a_hole__large_pages_where_aligned),
		CASE(fault__aligned_lazy__installs_2m),
		CASE(fault__unaligned_small_or_4k_only__installs_4k),
		CASE(fault__table_in_the_way__falls_back_to_4k),
		CASE(fault__no_2m_frame_left__installs_4k),
		CASE(create__every_failed_allocation__gives_all_back),
		CASE(map_and_fault__every_failed_allocation__loses_nothing),
		CASE(fault__four_cores_at_once__each_page_has_one_frame),
	};

	fake_machine_boot();
	nested_pt_set_format(&format, 3);
	memory_destroy(create(PAGE_SIZE, 0)); /* the pool keeps pages for small objects */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
