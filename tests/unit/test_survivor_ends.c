/*
 * Memory that outlives the control VM: it ends after any store of an update, and the record is the old one or the new one.
 *
 * UNIT_SOURCES: drivers-vm/control/survivor.c drivers-vm/control/events.c
 */
#include "cmocka_all.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "drivers-vm/control/manager.h"
#include "drivers-vm/control/store/store.h"
#include "drivers-vm/control/survivor.h"

static uint8_t *memory;

static bool fill_page(void *page)
{
	(void)page;
	return true;
}

static int set_up(void **state)
{
	(void)state;
	memory = calloc(1, survivor_bytes());
	assert_non_null(memory);
	assert_true(survivor_make(memory, fill_page));
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	free(memory);
	return 0;
}

static void expect(enum survivor_kind kind, unsigned index, const char *text)
{
	size_t bytes;
	const void *found = survivor_get(kind, index, &bytes);

	assert_non_null(found);
	assert_int_equal(bytes, strlen(text) + 1);
	assert_string_equal(found, text);
}

static void put(enum survivor_kind kind, unsigned index, const char *text)
{
	survivor_put(kind, index, text, strlen(text) + 1);
}

static void survivor_find__fresh_or_foreign_memory__is_not_believed(void **state)
{
	uint8_t *other = calloc(1, survivor_bytes());

	(void)state;
	assert_non_null(other);
	assert_false(survivor_find(other, fill_page));
	assert_null(survivor_head());
	assert_null(survivor_events());
	assert_null(survivor_begin(SURVIVOR_HOST, 0, 1));
	assert_true(survivor_find(memory, fill_page));
	survivor_head()->bytes++;
	assert_false(survivor_find(memory, fill_page));
	free(other);
}

static void survivor_get__nothing_put__is_null(void **state)
{
	size_t bytes = 1;

	(void)state;
	for (unsigned kind = 0; kind < SURVIVOR_KINDS; kind++)
		assert_null(survivor_get(kind, 0, &bytes));
	assert_int_equal(bytes, 0);
}

static void survivor_put__each_record__has_a_place_of_its_own(void **state)
{
	char text[32];

	(void)state;
	for (unsigned i = 0; i < MANAGER_VMS_MAX; i++) {
		snprintf(text, sizeof(text), "vm %u", i);
		put(SURVIVOR_VM, i, text);
		put(SURVIVOR_VM, i, text);
		text[0] = 'V';
		put(SURVIVOR_VM, i, text);
	}
	put(SURVIVOR_HOST, 0, "host");
	put(SURVIVOR_IMAGES, 0, "images");
	assert_true(survivor_find(memory, fill_page));
	for (unsigned i = 0; i < MANAGER_VMS_MAX; i++) {
		snprintf(text, sizeof(text), "Vm %u", i);
		expect(SURVIVOR_VM, i, text);
	}
	expect(SURVIVOR_HOST, 0, "host");
	expect(SURVIVOR_IMAGES, 0, "images");
	survivor_put(SURVIVOR_HOST, 0, NULL, 0);
	size_t bytes;
	assert_null(survivor_get(SURVIVOR_HOST, 0, &bytes));
}

static void survivor_put__largest__fits_and_one_more_does_not(void **state)
{
	static const size_t most[SURVIVOR_KINDS] = {
		[SURVIVOR_HOST] = SURVIVOR_HOST_BYTES,     [SURVIVOR_DEVICES] = SURVIVOR_HOST_BYTES, [SURVIVOR_STORE] = STORE_BYTES,
		[SURVIVOR_IMAGES] = SURVIVOR_IMAGES_BYTES, [SURVIVOR_VM] = SURVIVOR_VM_BYTES,
	};
	uint8_t *large = malloc(STORE_BYTES + 1);
	size_t bytes;

	(void)state;
	assert_non_null(large);
	memset(large, 0xA5, STORE_BYTES + 1);
	for (unsigned kind = 0; kind < SURVIVOR_KINDS; kind++) {
		survivor_put(kind, 0, large, most[kind]);
		survivor_put(kind, 0, large, most[kind] + 1);
		const void *found = survivor_get(kind, 0, &bytes);
		assert_int_equal(bytes, most[kind]);
		assert_memory_equal(found, large, bytes);
	}
	assert_null(survivor_begin(SURVIVOR_VM, MANAGER_VMS_MAX, 1));
	free(large);
}

/* The bytes that a complete update changes, one more at a time, in any order that keeps the commit last. */
static void survivor_put__ends_after_any_byte__the_old_one_counts(void **state)
{
	uint8_t *before = malloc(survivor_bytes()), *after = malloc(survivor_bytes());

	(void)state;
	assert_true(before != NULL && after != NULL);
	put(SURVIVOR_VM, 3, "one");
	put(SURVIVOR_VM, 3, "the other, which is longer");
	memcpy(before, memory, survivor_bytes());
	uint8_t *at = survivor_begin(SURVIVOR_VM, 3, 16);
	memcpy(at, "a third of them", 16);
	/* Not committed: whatever was written of it, with all or none of the rest. */
	for (unsigned n = 0; n <= 16; n++) {
		memcpy(at, "a third of them", n);
		memset(at + n, 0xFF, 16 - n);
		assert_true(survivor_find(memory, fill_page));
		expect(SURVIVOR_VM, 3, "the other, which is longer");
	}
	memcpy(at, "a third of them", 16);
	survivor_commit(SURVIVOR_VM, 3, 16);
	expect(SURVIVOR_VM, 3, "a third of them");
	memcpy(after, memory, survivor_bytes());
	/* A mixture of before and after that the order of stores forbids is not believed either. */
	for (size_t i = 0; i < survivor_bytes(); i++) {
		if (before[i] == after[i])
			continue;
		memory[i] = before[i];
		size_t bytes;
		const char *found = survivor_get(SURVIVOR_VM, 3, &bytes);
		assert_true(found != NULL && (strcmp(found, "the other, which is longer") == 0 || strcmp(found, "a third of them") == 0));
		memory[i] = after[i];
	}
	free(before);
	free(after);
}

static void survivor_get__any_byte_of_a_copy_damaged__the_other_one_or_none(void **state)
{
	(void)state;
	put(SURVIVOR_HOST, 0, "older");
	put(SURVIVOR_HOST, 0, "newer");
	size_t bytes;
	uint8_t *newer = (uint8_t *)(uintptr_t)survivor_get(SURVIVOR_HOST, 0, &bytes);
	for (int i = -24; i < 6; i++) {
		newer[i] ^= 0x40;
		const char *found = survivor_get(SURVIVOR_HOST, 0, &bytes);
		assert_true(found != NULL && strcmp(found, "older") == 0);
		newer[i] ^= 0x40;
	}
	expect(SURVIVOR_HOST, 0, "newer");
}

static void events_use__after_an_end__numbers_go_on(void **state)
{
	struct event e;

	(void)state;
	events_use(survivor_events());
	for (unsigned i = 0; i < 3; i++)
		event_add("vm.started", "a", "%u", i);
	/* The next one had been begun when the control VM ended: it has no end of text, and does not count. */
	memset(&survivor_events()->at[4], 'x', sizeof(struct event));
	assert_true(survivor_find(memory, fill_page));
	events_use(survivor_events());
	assert_int_equal(event_last_id(), 3);
	event_add("control.restarted", "", "%s", "");
	assert_true(event_after(3, &e));
	assert_int_equal(e.id, 4);
	assert_string_equal(e.kind, "control.restarted");
	assert_true(event_after(2, &e));
	assert_string_equal(e.message, "2");
	events_set_quiet(true);
	event_add("vm.defined", "a", "%s", "");
	events_set_quiet(false);
	assert_int_equal(event_last_id(), 4);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(survivor_find__fresh_or_foreign_memory__is_not_believed),
		TEST(survivor_get__nothing_put__is_null),
		TEST(survivor_put__each_record__has_a_place_of_its_own),
		TEST(survivor_put__largest__fits_and_one_more_does_not),
		TEST(survivor_put__ends_after_any_byte__the_old_one_counts),
		TEST(survivor_get__any_byte_of_a_copy_damaged__the_other_one_or_none),
		TEST(events_use__after_an_end__numbers_go_on),
	};

	return cmocka_run_group_tests_name("survivor", tests, NULL, NULL);
}
