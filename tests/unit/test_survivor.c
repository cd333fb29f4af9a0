/*
 * Records that outlive the control VM: the newest whole one counts, entries behind it count one by one, and memory comes with use.
 *
 * UNIT_SOURCES: drivers-vm/control/survivor.c
 */
#include "tests/unit/cmocka_all.h"

#include "drivers-vm/control/manager.h"
#include "drivers-vm/control/store/store.h"
#include "drivers-vm/control/survivor.h"

#include <stdlib.h>
#include <string.h>

static uint8_t *memory;
static unsigned filled, fill_most;

/* Pages are poisoned until they are filled: a touch of others is seen by what is found there. */
static bool fill(void *page)
{
	if (filled == fill_most)
		return false;
	filled++;
	memset(page, 0, 4096);
	return true;
}

static int setup(void **state)
{
	(void)state;
	memory = aligned_alloc(4096, survivor_bytes());
	assert_non_null(memory);
	memset(memory, 0xA5, survivor_bytes());
	filled = 0;
	fill_most = UINT32_MAX;
	assert_true(survivor_make(memory, fill));
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	free(memory);
	return 0;
}

/* Another control VM comes. */
static void follow(void)
{
	assert_true(survivor_find(memory, fill));
}

static void expect(enum survivor_kind kind, unsigned index, const char *text)
{
	size_t bytes;
	const char *found = survivor_get(kind, index, &bytes);

	if (text == NULL) {
		assert_null(found);
		return;
	}
	assert_non_null(found);
	assert_int_equal(bytes, strlen(text));
	assert_memory_equal(found, text, bytes);
}

static void put(enum survivor_kind kind, unsigned index, const char *text)
{
	survivor_put(kind, index, text, strlen(text));
}

static bool add(const char *text)
{
	void *at = survivor_add_begin(strlen(text));

	if (at == NULL)
		return false;
	memcpy(at, text, strlen(text));
	survivor_add_commit(strlen(text));
	return true;
}

static void expect_entries(const char *const *texts, unsigned count)
{
	size_t at = 0, bytes;
	const char *found;

	for (unsigned i = 0; i < count; i++) {
		found = survivor_added(&at, &bytes);
		assert_non_null(found);
		assert_int_equal(bytes, strlen(texts[i]));
		assert_memory_equal(found, texts[i], bytes);
	}
	assert_null(survivor_added(&at, &bytes));
}

static void survivor_put__again__the_newer_one_is_found(void **state)
{
	(void)state;
	put(SURVIVOR_HOST, 0, "one");
	put(SURVIVOR_HOST, 0, "two");
	follow();
	expect(SURVIVOR_HOST, 0, "two");
	put(SURVIVOR_HOST, 0, "three");
	expect(SURVIVOR_HOST, 0, "three");
	survivor_put(SURVIVOR_HOST, 0, NULL, 0);
	expect(SURVIVOR_HOST, 0, NULL);
}

static void survivor_begin__never_committed__the_older_one_is_found(void **state)
{
	(void)state;
	put(SURVIVOR_STORE, 0, "whole");
	memcpy(survivor_begin(SURVIVOR_STORE, 0, 4), "half", 4);
	follow();
	expect(SURVIVOR_STORE, 0, "whole");
}

static void survivor_add__behind_a_record__all_are_found_in_order(void **state)
{
	static const char *const texts[] = { "a", "", "entry of some length", "last" };

	(void)state;
	assert_false(add("nothing was put yet"));
	put(SURVIVOR_STORE, 0, "base");
	for (unsigned i = 0; i < 4; i++)
		assert_true(add(texts[i]));
	follow();
	expect(SURVIVOR_STORE, 0, "base");
	expect_entries(texts, 4);
}

static void survivor_add__behind_nothing_at_all__found(void **state)
{
	static const char *const texts[] = { "first" };

	(void)state;
	survivor_begin(SURVIVOR_STORE, 0, 0);
	survivor_commit(SURVIVOR_STORE, 0, 0);
	assert_true(add("first"));
	follow();
	expect(SURVIVOR_STORE, 0, NULL);
	expect_entries(texts, 1);
}

static void survivor_add__ends_in_the_middle_of_one__those_before_are_found(void **state)
{
	static const char *const texts[] = { "first" };

	(void)state;
	put(SURVIVOR_STORE, 0, "base");
	add("first");
	memcpy(survivor_add_begin(6), "second", 6);
	follow();
	expect_entries(texts, 1);
}

static void survivor_add__record_put_again__its_old_entries_are_gone(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 4; i++) { /* each copy is used again */
		put(SURVIVOR_STORE, 0, i % 2 != 0 ? "even" : "oddd");
		expect_entries(NULL, 0);
		add("of this one");
	}
}

static void survivor_add__until_it_is_full__is_refused(void **state)
{
	static uint8_t large[STORE_VALUE_BYTES];
	unsigned count = 0;
	size_t at = 0, bytes;

	(void)state;
	put(SURVIVOR_STORE, 0, "base");
	for (void *to; (to = survivor_add_begin(sizeof(large))) != NULL; count++) {
		memcpy(to, large, sizeof(large));
		survivor_add_commit(sizeof(large));
	}
	assert_in_range(count, 10, STORE_BYTES / sizeof(large));
	for (unsigned i = 0; i < count; i++)
		assert_non_null(survivor_added(&at, &bytes));
	assert_null(survivor_added(&at, &bytes));
}

static void survivor_put__of_vms__memory_comes_with_the_first_at_a_place(void **state)
{
	unsigned at_first = filled;

	(void)state;
	expect(SURVIVOR_VM, 0, NULL);
	expect(SURVIVOR_VM, MANAGER_VMS_MAX - 1, NULL);
	assert_int_equal(filled, at_first); /* to look costs nothing */
	put(SURVIVOR_VM, 0, "vm");
	unsigned with_one = filled;
	assert_in_range(with_one - at_first, 1, 3);
	put(SURVIVOR_VM, 9, "tenth");
	assert_in_range(filled - with_one, 9, 9 * 2);
	follow();
	expect(SURVIVOR_VM, 0, "vm");
	expect(SURVIVOR_VM, 5, NULL);
	expect(SURVIVOR_VM, 9, "tenth");
	put(SURVIVOR_VM, MANAGER_VMS_MAX - 1, "last");
	expect(SURVIVOR_VM, MANAGER_VMS_MAX - 1, "last");
	put(SURVIVOR_VM, MANAGER_VMS_MAX, "beyond");
	expect(SURVIVOR_VM, MANAGER_VMS_MAX, NULL);
}

static void survivor_put__machine_without_memory__nothing_is_noted_nor_touched(void **state)
{
	(void)state;
	fill_most = filled;
	put(SURVIVOR_VM, 3, "vm");
	expect(SURVIVOR_VM, 3, NULL);
	fill_most = UINT32_MAX;
	put(SURVIVOR_VM, 3, "vm");
	expect(SURVIVOR_VM, 3, "vm");
}

static void survivor_find__nobody_has_made_it__is_refused(void **state)
{
	(void)state;
	memset(memory, 0, 4096);
	assert_false(survivor_find(memory, fill));
	assert_null(survivor_head());
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(survivor_put__again__the_newer_one_is_found),
		TEST(survivor_begin__never_committed__the_older_one_is_found),
		TEST(survivor_add__behind_a_record__all_are_found_in_order),
		TEST(survivor_add__behind_nothing_at_all__found),
		TEST(survivor_add__ends_in_the_middle_of_one__those_before_are_found),
		TEST(survivor_add__record_put_again__its_old_entries_are_gone),
		TEST(survivor_add__until_it_is_full__is_refused),
		TEST(survivor_put__of_vms__memory_comes_with_the_first_at_a_place),
		TEST(survivor_put__machine_without_memory__nothing_is_noted_nor_touched),
		TEST(survivor_find__nobody_has_made_it__is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
