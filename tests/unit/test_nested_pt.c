/*
 * Nested page tables in both vendors' formats, against a walker of the test's own and a flat model. Every
 * write to an entry is seen: after each one, each address must translate as before the operation or as after.
 */
/* UNIT_SOURCES: mm/nested_pt.c mm/frame.c mm/pool.c tests/unit/fake_mm/machine.c */
/* UNIT_FLAGS: -iquote tests/unit/fake_mm_record -iquote tests/unit/fake_mm -Wl,--wrap=pool_alloc_page */
#include "machine.h"

#include <pthread.h>
#include <string.h>

#include "mm/frame.h"
#include "mm/host_pt.h"
#include "mm/nested_pt.h"
#include "mm/pool.h"

#define R   HILUM_MAP_READ
#define RW  (HILUM_MAP_READ | HILUM_MAP_WRITE)
#define RX  (HILUM_MAP_READ | HILUM_MAP_EXECUTE)
#define RWX (HILUM_MAP_READ | HILUM_MAP_WRITE | HILUM_MAP_EXECUTE)

#define KIB 1024ull
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)
#define NX  (1ull << 63)

/* As svm/ gives it. */
static const struct nested_pt_format npt_format = {
	.table = 0x7,
	.leaf = { [R] = NX | 0x5, [RW] = NX | 0x7, [RX] = 0x5, [RWX] = 0x7 },
	.flip = NX,
	.uncached = 0x18,
};

/* As vmx/ gives it: write-back, R/W/X in bits 2:0. */
static const struct nested_pt_format ept_format = {
	.table = 0x7,
	.leaf = { [R] = 0x31, [RW] = 0x33, [RX] = 0x35, [RWX] = 0x37 },
	.uncached = 0x30,
};

static const struct nested_pt_format *format;
static struct nested_pt npt;
static uint64_t pool_at_start;

/* ---- Fakes ---- */

void (*fake_entry_written)(uint64_t *entry, uint64_t old, uint64_t new);
static int fail_after = -1; /* so many allocations succeed first; -1: all */

void *__real_pool_alloc_page(void);
void *__wrap_pool_alloc_page(void);

void *__wrap_pool_alloc_page(void)
{
	if (fail_after == 0)
		return NULL;
	if (fail_after > 0)
		fail_after--;
	return __real_pool_alloc_page();
}

void host_pt_map_block(uint64_t va, hpa_t hpa)
{
	(void)va;
	(void)hpa;
}

/* ---- The test's own walker ---- */

struct translation {
	hpa_t hpa; /* of the page */
	unsigned rights, level;
};

static unsigned rights_of(uint64_t e)
{
	if (format == &ept_format)
		return e & 7;
	return (e & 1 ? R : 0) | (e & 2 ? HILUM_MAP_WRITE : 0) | (e & NX ? 0 : HILUM_MAP_EXECUTE);
}

static struct translation translate(gpa_t gpa)
{
	uint64_t *table = (uint64_t *)(fake_ram + npt.root);

	for (unsigned level = 4; level; level--) {
		unsigned shift = 12 + 9 * (level - 1);
		uint64_t e = table[gpa >> shift & 511];

		if (!(e & 7))
			return (struct translation){ HPA_INVALID, 0, level };
		if (level == 1 || e & 0x80) {
			uint64_t low = (1ull << shift) - 1;

			return (struct translation){ ((e & 0xFFFFFFFFFF000 & ~low) | (gpa & low)) & ~PAGE_MASK, rights_of(e), level };
		}
		table = (uint64_t *)(fake_ram + (e & 0xFFFFFFFFFF000));
	}
	abort();
}

/* Also compares nested_pt_lookup with it. */
static struct translation look(gpa_t gpa)
{
	struct translation t = translate(gpa);
	static const unsigned all[] = { R, RW, RX, RWX };

	for (unsigned i = 0; i < 4; i++) {
		uint64_t bytes = 77;
		hpa_t hpa = 88;
		bool found = nested_pt_lookup(&npt, gpa | 0x123, all[i], &hpa, &bytes);

		assert_int_equal(found, (t.rights & all[i]) == all[i]);
		assert_int_equal(hpa, found ? t.hpa | 0x123 : 88);
		assert_int_equal(bytes, found ? 1ull << (12 + 9 * (t.level - 1)) : 77);
	}
	return t;
}

static void assert_page(gpa_t gpa, hpa_t hpa, unsigned rights, unsigned level)
{
	struct translation t = look(gpa);

	assert_int_equal(t.hpa, hpa);
	assert_int_equal(t.rights, rights);
	assert_int_equal(t.level, level);
}

static void assert_empty(gpa_t gpa)
{
	assert_int_equal(look(gpa).rights, 0);
}

static unsigned count_tables(hpa_t table, unsigned level)
{
	const uint64_t *entries = (uint64_t *)(fake_ram + table);
	unsigned n = 1;

	for (unsigned i = 0; level > 1 && i < 512; i++) {
		if (entries[i] & 7 && !(entries[i] & 0x80))
			n += count_tables(entries[i] & 0xFFFFFFFFFF000, level - 1);
	}
	return n;
}

static void unmap(gpa_t gpa, uint64_t bytes)
{
	struct nested_pt_garbage garbage = { 0 };
	uint64_t generation = npt.generation;

	nested_pt_unmap(&npt, gpa, bytes, &garbage);
	assert_true(npt.generation > generation);
	nested_pt_garbage_free(&npt, &garbage);
	assert_int_equal(npt.table_pages, count_tables(npt.root, 4));
}

static uint64_t frames;

static void count_frames(hpa_t hpa, unsigned order)
{
	assert_int_equal(hpa & ((PAGE_SIZE << order) - 1), 0);
	frames += 1ull << order;
}

/* ---- Cases ---- */

static void map__aligned_ranges__use_largest_pages(void **state)
{
	(void)state;
	assert_int_equal(nested_pt_map(&npt, GIB, 5 * GIB, 2 * GIB, RWX), STATUS_OK);
	assert_page(GIB, 5 * GIB, RWX, 3);
	assert_page(3 * GIB - PAGE_SIZE, 7 * GIB - PAGE_SIZE, RWX, 3);
	assert_empty(3 * GIB);
	assert_int_equal(npt.table_pages, 2);
	/* One page short of 1 GiB at each end, aligned alike. */
	assert_int_equal(nested_pt_map(&npt, 3 * GIB + PAGE_SIZE, 9 * GIB + PAGE_SIZE, GIB - 2 * PAGE_SIZE, RW), STATUS_OK);
	assert_empty(3 * GIB);
	assert_page(3 * GIB + PAGE_SIZE, 9 * GIB + PAGE_SIZE, RW, 1);
	assert_page(3 * GIB + 2 * MIB, 9 * GIB + 2 * MIB, RW, 2);
	assert_page(4 * GIB - 2 * PAGE_SIZE, 10 * GIB - 2 * PAGE_SIZE, RW, 1);
	assert_empty(4 * GIB - PAGE_SIZE);
	/* Not aligned alike: 4 KiB pages. */
	assert_int_equal(nested_pt_map(&npt, 8 * GIB, 8 * GIB + PAGE_SIZE, 4 * MIB, R), STATUS_OK);
	assert_page(8 * GIB + 2 * MIB, 8 * GIB + 2 * MIB + PAGE_SIZE, R, 1);
	assert_int_equal(npt.table_pages, count_tables(npt.root, 4));
}

static void map__many_small_pages__takes_no_page_in_vain(void **state)
{
	(void)state;
	fail_after = 2 + 3; /* levels 3 and 2, and three tables of 4 KiB pages */
	assert_int_equal(nested_pt_map(&npt, MIB, GIB, 4 * MIB, RW), STATUS_OK);
	assert_int_equal(fail_after, 0);
	fail_after = -1;
	assert_int_equal(npt.table_pages, 6);
}

static void map__level_two_machine__uses_no_larger_leaf(void **state)
{
	(void)state;
	nested_pt_set_format(format, 2);
	assert_int_equal(nested_pt_map(&npt, GIB, 5 * GIB, GIB, RX), STATUS_OK);
	assert_page(GIB, 5 * GIB, RX, 2);
	nested_pt_set_format(format, 3);
}

static void map__device_registers__found_with_their_rights(void **state)
{
	(void)state;
	assert_int_equal(nested_pt_map(&npt, GIB, 0xFE000000, 2 * MIB, RW | NESTED_PT_UNCACHED), STATUS_OK);
	assert_int_equal(nested_pt_map(&npt, 3 * GIB, 0xFE800000, 4 * KIB, R | NESTED_PT_UNCACHED), STATUS_OK);
	assert_page(GIB + 0x5000, 0xFE005000, RW, 2);
	assert_page(3 * GIB, 0xFE800000, R, 1);
}

static void map__top_of_address_space__works(void **state)
{
	(void)state;
	assert_int_equal(nested_pt_map(&npt, (1ull << 48) - GIB, GIB, GIB, RW), STATUS_OK);
	assert_page((1ull << 48) - PAGE_SIZE, 2 * GIB - PAGE_SIZE, RW, 3);
	unmap(0, 1ull << 48);
	assert_empty((1ull << 48) - PAGE_SIZE);
	assert_int_equal(npt.table_pages, 1);
}

static void unmap__one_mapping__leaves_its_neighbours(void **state)
{
	(void)state;
	assert_int_equal(nested_pt_map(&npt, 0, 4 * GIB, 3 * MIB, RW), STATUS_OK);
	assert_int_equal(nested_pt_map(&npt, 3 * MIB, 8 * GIB, GIB, R), STATUS_OK);
	assert_int_equal(nested_pt_map(&npt, GIB + 3 * MIB, 5 * GIB, PAGE_SIZE, RX), STATUS_OK);
	unmap(3 * MIB, GIB);
	assert_page(0, 4 * GIB, RW, 2);
	assert_page(3 * MIB - PAGE_SIZE, 4 * GIB + 3 * MIB - PAGE_SIZE, RW, 1);
	assert_empty(3 * MIB);
	assert_empty(GIB + 3 * MIB - PAGE_SIZE);
	assert_page(GIB + 3 * MIB, 5 * GIB, RX, 1);
}

static void unmap__part_of_a_leaf__panics(void **state)
{
	struct nested_pt_garbage garbage = { 0 };

	(void)state;
	assert_int_equal(nested_pt_map(&npt, 0, 4 * GIB, 2 * MIB, RW), STATUS_OK);
	expect_panic(nested_pt_unmap(&npt, PAGE_SIZE, PAGE_SIZE, &garbage));
}

static void destroy__leaves_of_each_size__hands_each_over(void **state)
{

	(void)state;
	assert_int_equal(nested_pt_map(&npt, GIB, 4 * GIB, GIB + 2 * MIB + 3 * PAGE_SIZE, RW), STATUS_OK);
	frames = 0;
	nested_pt_destroy(&npt, count_frames);
	assert_int_equal(frames, 262144 + 512 + 3);
	assert_int_equal(nested_pt_init(&npt, &nested_pt_format), STATUS_OK);
}

static void map__empty_table_in_place__fills_it_with_smaller_pages(void **state)
{
	(void)state;
	assert_int_equal(nested_pt_map(&npt, 2 * MIB, 2 * MIB, PAGE_SIZE, R), STATUS_OK);
	unmap(2 * MIB, PAGE_SIZE); /* the table stays: it could serve a neighbour */
	assert_int_equal(nested_pt_map(&npt, 0, GIB, 4 * MIB, RW), STATUS_OK);
	assert_page(0, GIB, RW, 2);
	assert_page(2 * MIB, GIB + 2 * MIB, RW, 1);
	assert_page(4 * MIB - PAGE_SIZE, GIB + 4 * MIB - PAGE_SIZE, RW, 1);
}

static void unmap__before_garbage_is_freed__keeps_old_tables_intact(void **state)
{
	struct nested_pt_garbage garbage = { 0 };
	uint64_t *root = (uint64_t *)(fake_ram + npt.root);

	(void)state;
	assert_int_equal(nested_pt_map(&npt, 0, 0x40000000, 6 * PAGE_SIZE, RW), STATUS_OK);
	uint64_t *upper = (uint64_t *)(fake_ram + (root[0] & ~0xFFFull));
	uint64_t *middle = (uint64_t *)(fake_ram + (upper[0] & ~0xFFFull));
	uint64_t *lower = (uint64_t *)(fake_ram + (middle[0] & ~0xFFFull));
	uint64_t leaf = lower[5];

	nested_pt_unmap(&npt, 0, 512 * GIB, &garbage);
	/* What a TLB may have cached of the tables still leads to the same leaves. */
	assert_int_equal(root[0], 0);
	assert_int_equal(upper[0] & 7, 7);
	assert_int_equal(middle[0] & 7, 7);
	assert_int_equal(lower[5], leaf);
	assert_int_equal(npt.table_pages, 4);
	nested_pt_garbage_free(&npt, &garbage);
	assert_int_equal(garbage.first, 0);
	assert_int_equal(npt.table_pages, 1);
}

static void install__each_order__maps_and_refuses_what_is_there(void **state)
{
	(void)state;
	assert_int_equal(nested_pt_install(&npt, 0x3000, 0x7000, 0, RW), STATUS_OK);
	assert_page(0x3000, 0x7000, RW, 1);
	assert_int_equal(nested_pt_install(&npt, 0x3000, 0x8000, 0, RW), STATUS_EXISTS);
	assert_int_equal(nested_pt_install(&npt, 0, 0x200000, 9, RW), STATUS_EXISTS);
	assert_int_equal(nested_pt_install(&npt, 2 * MIB, 0x200000, 9, RX), STATUS_OK);
	assert_page(2 * MIB + 0x5000, 0x205000, RX, 2);
	assert_int_equal(nested_pt_install(&npt, 2 * MIB, 0x8000, 0, RW), STATUS_EXISTS);
	assert_int_equal(nested_pt_install(&npt, GIB, GIB, 18, R), STATUS_OK);
	assert_page(GIB, GIB, R, 3);
	fail_after = 0;
	assert_int_equal(nested_pt_install(&npt, 512 * GIB, 0x8000, 0, RW), STATUS_NO_MEMORY);
	fail_after = -1;
}

/* ---- Every write, and every failure ---- */

#define PROBES 400u
static struct probe {
	gpa_t gpa;
	struct translation before, after;
} probes[PROBES];
static unsigned writes_seen;

static bool same(struct translation a, struct translation b)
{
	return a.rights == b.rights && (!a.rights || a.hpa == b.hpa);
}

static void check_write(uint64_t *entry, uint64_t old, uint64_t new)
{
	(void)entry;
	assert_int_not_equal(old, new);
	writes_seen++;
	for (unsigned i = 0; i < PROBES; i++) {
		struct translation now = translate(probes[i].gpa);

		if (!same(now, probes[i].before) && !same(now, probes[i].after))
			fail_msg("gpa %#lx translates to %#lx with rights %u in between", probes[i].gpa, now.hpa, now.rights);
	}
}

/* Probes around the ends of [gpa, gpa + bytes) and at random in 4 GiB. */
static void place_probes(gpa_t gpa, uint64_t bytes)
{
	const gpa_t ends[] = { gpa, gpa + bytes };

	for (unsigned i = 0; i < PROBES; i++) {
		int64_t near = (int64_t)(fake_random() % 7) - 3;
		uint64_t unit = fake_random() & 1 ? PAGE_SIZE : 2 * MIB;
		gpa_t at = i < 60 ? ends[i & 1] + (uint64_t)near * unit : fake_random() % (4 * GIB);

		probes[i].gpa = at & ~PAGE_MASK & ((1ull << 47) - 1);
		probes[i].before = translate(probes[i].gpa);
	}
}

enum operation { MAP, UNMAP };

static enum status operate(enum operation op, gpa_t gpa, uint64_t bytes)
{
	struct nested_pt_garbage garbage = { 0 };
	enum status status = STATUS_OK;

	if (op == MAP)
		status = nested_pt_map(&npt, gpa, gpa + 4 * GIB, bytes, RW);
	if (op == UNMAP || status != STATUS_OK) /* as a failed map asks for */
		nested_pt_unmap(&npt, gpa, bytes, &garbage);
	nested_pt_garbage_free(&npt, &garbage);
	return status;
}

/* A tree with all page sizes, and holes. */
static void prepare_tree(void)
{
	assert_int_equal(nested_pt_map(&npt, 0, 4 * GIB, GIB, RWX), STATUS_OK);
	assert_int_equal(nested_pt_map(&npt, GIB + 4 * MIB, 5 * GIB + 4 * MIB, 8 * MIB, RWX), STATUS_OK);
	assert_int_equal(nested_pt_map(&npt, GIB + 14 * MIB, 5 * GIB + 14 * MIB, 40 * KIB, RWX), STATUS_OK);
}

static void reset_tree(void)
{
	nested_pt_destroy(&npt, NULL);
	assert_int_equal(nested_pt_init(&npt, &nested_pt_format), STATUS_OK);
	prepare_tree();
}

/* For every N: the N-th allocation fails, and an unmap undoes it; until it succeeds, with a check after each
 * write. */
static void run_operation(enum operation op, gpa_t gpa, uint64_t bytes)
{
	reset_tree();
	place_probes(gpa, bytes);
	assert_int_equal(operate(op, gpa, bytes), STATUS_OK);
	for (unsigned i = 0; i < PROBES; i++)
		probes[i].after = translate(probes[i].gpa);
	for (int n = 0;; n++) {
		reset_tree();
		fake_entry_written = check_write;
		writes_seen = 0;
		fail_after = n;
		enum status status = operate(op, gpa, bytes);

		fake_entry_written = NULL;
		bool failed = fail_after == 0 && status != STATUS_OK;

		fail_after = -1;
		assert_int_equal(npt.table_pages, count_tables(npt.root, 4));
		if (!failed) {
			assert_int_equal(status, STATUS_OK);
			assert_true(writes_seen > 0);
			break;
		}
		assert_int_equal(status, STATUS_NO_MEMORY);
		for (unsigned i = 0; i < PROBES; i++)
			assert_true(same(translate(probes[i].gpa), probes[i].before));
	}
}

static void map__every_write_and_every_failed_allocation__is_safe(void **state)
{
	(void)state;
	run_operation(MAP, GIB, 2 * MIB + 12 * KIB);
	run_operation(MAP, GIB + 12 * MIB, 2 * MIB);
	run_operation(MAP, GIB + 14 * MIB + 40 * KIB, GIB);
	run_operation(MAP, 3 * GIB - 8 * KIB, GIB + 16 * KIB);
}

static void unmap__every_write_and_every_failed_allocation__is_safe(void **state)
{
	(void)state;
	run_operation(UNMAP, 0, GIB);
	run_operation(UNMAP, GIB + 4 * MIB, 8 * MIB);
	run_operation(UNMAP, GIB + 14 * MIB, 40 * KIB);
	run_operation(UNMAP, 0, 4 * GIB);
}

/* ---- Long random run against a model ---- */

#define MODEL_PAGES (3 * GIB / PAGE_SIZE)
static uint32_t model[MODEL_PAGES]; /* host frame << 3 | rights; 0: empty */

static void random_range(gpa_t *gpa, uint64_t *bytes)
{
	static const uint64_t units[] = { PAGE_SIZE, 64 * KIB, 2 * MIB, 2 * MIB, 256 * MIB, GIB };
	uint64_t unit = units[fake_random() % ARRAY_SIZE(units)];

	*gpa = fake_random() % (3 * GIB) & ~(unit - 1);
	*bytes = unit * (1 + fake_random() % 3);
	if (*gpa + *bytes > 3 * GIB)
		*bytes = 3 * GIB - *gpa;
}

static bool model_is_empty(gpa_t gpa, uint64_t bytes)
{
	for (uint64_t i = gpa / PAGE_SIZE; i < (gpa + bytes) / PAGE_SIZE; i++) {
		if (model[i])
			return false;
	}
	return true;
}

/* rights 0: unmapped */
static void model_set(gpa_t gpa, uint64_t bytes, hpa_t hpa, unsigned rights)
{
	for (uint64_t at = 0; at < bytes; at += PAGE_SIZE)
		model[(gpa + at) / PAGE_SIZE] = rights ? (uint32_t)((hpa + at) >> PAGE_SHIFT << 3 | rights) : 0;
}

static struct {
	gpa_t gpa;
	uint64_t bytes;
} mappings[300];
static unsigned mapping_count;

static void step_random(void)
{
	static const unsigned all[] = { R, RW, RX, RWX };
	unsigned rights = all[fake_random() & 3];
	gpa_t gpa;
	uint64_t bytes;

	random_range(&gpa, &bytes);
	if (model_is_empty(gpa, bytes)) {
		hpa_t hpa = gpa + (fake_random() & 3 ? 5 * GIB : 5 * GIB + PAGE_SIZE);

		assert_int_equal(nested_pt_map(&npt, gpa, hpa, bytes, rights), STATUS_OK);
		model_set(gpa, bytes, hpa, rights);
		mappings[mapping_count].gpa = gpa;
		mappings[mapping_count++].bytes = bytes;
	} else if (mapping_count) {
		unsigned i = (unsigned)(fake_random() % mapping_count);

		unmap(mappings[i].gpa, mappings[i].bytes);
		model_set(mappings[i].gpa, mappings[i].bytes, 0, 0);
		mappings[i] = mappings[--mapping_count];
	}
}

static void all__random_operations__agree_with_model(void **state)
{
	(void)state;
	memset(model, 0, sizeof(model));
	mapping_count = 0;
	for (unsigned step = 0; step < 300; step++) {
		step_random();
		for (unsigned i = 0; i < 3000; i++) {
			uint64_t page = fake_random() % MODEL_PAGES;
			struct translation t = translate(page * PAGE_SIZE);

			assert_int_equal(t.rights, model[page] & 7);
			if (t.rights)
				assert_int_equal(t.hpa >> PAGE_SHIFT, model[page] >> 3);
		}
	}
	for (uint64_t page = 0; page < MODEL_PAGES; page++)
		assert_int_equal(translate(page * PAGE_SIZE).rights, model[page] & 7);
}

/* ---- Cores against each other ---- */

static void *install_all(void *won)
{
	unsigned *mine = won;

	for (unsigned i = 0; i < 4096; i++) {
		/* Every core wants every page; all in 8 tables that are not there yet. */
		if (nested_pt_install(&npt, i * PAGE_SIZE, GIB + i * PAGE_SIZE, 0, RW) == STATUS_OK)
			++*mine;
	}
	return NULL;
}

static void install__four_cores_at_once__each_page_once_and_no_table_lost(void **state)
{
	pthread_t threads[4];
	unsigned won[4] = { 0 };

	(void)state;
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, install_all, &won[i]), 0);
	for (unsigned i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(won[0] + won[1] + won[2] + won[3], 4096);
	assert_int_equal(npt.table_pages, 1 + 2 + 8);
	assert_int_equal(npt.table_pages, count_tables(npt.root, 4));
	for (unsigned i = 0; i < 4096; i++)
		assert_page(i * PAGE_SIZE, GIB + i * PAGE_SIZE, RW, 1);
}

/* ---- Life ---- */

static void init__no_memory__says_so(void **state)
{
	struct nested_pt other;

	(void)state;
	fail_after = 0;
	assert_int_equal(nested_pt_init(&other, &nested_pt_format), STATUS_NO_MEMORY);
	fail_after = -1;
}

static int set_up(void **state)
{
	(void)state;
	pool_at_start = frame_count(FRAME_POOL);
	return nested_pt_init(&npt, &nested_pt_format) == STATUS_OK ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	fake_entry_written = NULL;
	fail_after = -1;
	nested_pt_destroy(&npt, NULL);
	return frame_count(FRAME_POOL) == pool_at_start ? 0 : -1;
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
static const struct CMUnitTest tests[] = {
	CASE(map__aligned_ranges__use_largest_pages),
	CASE(map__many_small_pages__takes_no_page_in_vain),
	CASE(map__level_two_machine__uses_no_larger_leaf),
	CASE(map__device_registers__found_with_their_rights),
	CASE(map__top_of_address_space__works),
	CASE(map__empty_table_in_place__fills_it_with_smaller_pages),
	CASE(unmap__one_mapping__leaves_its_neighbours),
	CASE(unmap__part_of_a_leaf__panics),
	CASE(destroy__leaves_of_each_size__hands_each_over),
	CASE(unmap__before_garbage_is_freed__keeps_old_tables_intact),
	CASE(install__each_order__maps_and_refuses_what_is_there),
	CASE(map__every_write_and_every_failed_allocation__is_safe),
	CASE(unmap__every_write_and_every_failed_allocation__is_safe),
	CASE(all__random_operations__agree_with_model),
	CASE(install__four_cores_at_once__each_page_once_and_no_table_lost),
	CASE(init__no_memory__says_so),
};

int main(void)
{
	fake_machine_boot();
	format = &npt_format;
	nested_pt_set_format(format, 3);
	int failed = cmocka_run_group_tests_name("NPT", tests, NULL, NULL);

	format = &ept_format;
	nested_pt_set_format(format, 3);
	return failed + cmocka_run_group_tests_name("EPT", tests, NULL, NULL);
}
