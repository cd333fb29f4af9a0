/*
 * A core's windows: which entries they write, and that a frame that is shown already costs nothing.
 */
/* UNIT_SOURCES: mm/window.c tests/unit/fake_mm/machine.c mm/frame.c */
/* UNIT_FLAGS: -iquote tests/unit/fake_mm */
#include "machine.h"

#include "arch/x86_64/cpu.h"
#include "mm/host_pt.h"
#include "mm/window.h"

#define LEAF (HOST_PT_LEAF | HOST_PT_WRITE | HOST_PT_NO_EXECUTE)

static uint64_t entries[CPU_MAX * WINDOW_SLOTS];
static bool no_memory;

uint64_t *host_pt_entry(uint64_t va, unsigned level)
{
	assert_int_equal(level, 1);
	return no_memory ? NULL : &entries[(va - WINDOW_BASE) / PAGE_SIZE];
}

static void window_map__new_frame__writes_entry_and_invalidates(void **state)
{
	uint64_t count = fake_invlpg_count;
	void *va = window_map(5, 2, 0x123456000);

	(void)state;
	assert_int_equal((uint64_t)va, WINDOW_BASE + 5 * 0x10000 + 2 * PAGE_SIZE);
	assert_int_equal(entries[5 * 16 + 2], 0x123456000 | LEAF);
	assert_int_equal(fake_invlpg_count, count + 1);
	assert_int_equal(fake_invlpg_last, (uint64_t)va);
}

static void window_map__same_frame__does_nothing(void **state)
{
	void *va = window_map(5, 3, 0x7000);
	uint64_t count = fake_invlpg_count;

	(void)state;
	entries[5 * 16 + 3] = 77;
	assert_ptr_equal(window_map(5, 3, 0x7000), va);
	assert_int_equal(entries[5 * 16 + 3], 77);
	assert_int_equal(fake_invlpg_count, count);
	/* Another slot and another core do not know it. */
	assert_ptr_not_equal(window_map(5, 4, 0x7000), va);
	assert_ptr_not_equal(window_map(6, 3, 0x7000), va);
	assert_int_equal(fake_invlpg_count, count + 2);
}

static void window_clear__slots_in_use__empties_and_forgets_them(void **state)
{
	uint64_t count;

	(void)state;
	window_clear(5);
	window_map(5, 0, 0x1000);
	window_map(5, 15, 0x2000);
	window_map(6, 0, 0x3000);
	count = fake_invlpg_count;
	window_clear(5);
	assert_int_equal(fake_invlpg_count, count + 2);
	for (unsigned slot = 0; slot < WINDOW_SLOTS; slot++)
		assert_int_equal(entries[5 * 16 + slot], 0);
	assert_int_equal(entries[6 * 16], 0x3000 | LEAF);
	window_map(5, 0, 0x1000);
	assert_int_equal(entries[5 * 16], 0x1000 | LEAF);
	window_clear(5);
	window_clear(5);
	assert_int_equal(fake_invlpg_count, count + 4);
}

static void window_show__bad_slot_or_address__panics(void **state)
{
	(void)state;
	expect_panic(window_show(&window_cores[0], 0, WINDOW_SLOTS, 0x1000));
	expect_panic(window_map(0, 0, 0x1001));
}

static void window_init__no_memory__says_so(void **state)
{
	(void)state;
	no_memory = true;
	assert_false(window_init());
	no_memory = false;
}

static int boot(void **state)
{
	(void)state;
	return window_init() ? 0 : -1;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(window_map__new_frame__writes_entry_and_invalidates),
		cmocka_unit_test(window_map__same_frame__does_nothing),
		cmocka_unit_test(window_clear__slots_in_use__empties_and_forgets_them),
		cmocka_unit_test(window_show__bad_slot_or_address__panics),
		cmocka_unit_test(window_init__no_memory__says_so),
	};

	return cmocka_run_group_tests(tests, boot, NULL);
}
