/*
 * The store's values in memory and their form on the disk.
 *
 * UNIT_SOURCES: drivers-vm/control/store/store.c drivers-vm/control/store/store_format.c
 * UNIT_FLAGS: -Itests/unit
 */
#include "cmocka_all.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "drivers-vm/control/store/store.h"
#include "drivers-vm/control/store/store_format.h"
#include "drivers-vm/control/store/store_private.h"

static int empty(void **state)
{
	const char *key;

	(void)state;
	while ((key = store_next("", "")) != NULL) {
		char copy[STORE_KEY_BYTES];
		strcpy(copy, key);
		store_remove(copy);
	}
	return 0;
}

static bool put(const char *key, const char *value)
{
	return store_put(key, value, strlen(value), 0);
}

static void expect(const char *key, const char *value)
{
	size_t bytes;
	const void *found = store_get(key, &bytes);

	assert_non_null(found);
	assert_int_equal(bytes, strlen(value));
	assert_memory_equal(found, value, bytes);
}

static void store_put__new_changed_and_same__is_found(void **state)
{
	uint64_t changes = store_changes();

	(void)state;
	assert_true(put("vm/a", "one"));
	assert_true(put("vm/a", "another"));
	expect("vm/a", "another");
	assert_int_equal(store_changes(), changes + 2);
	assert_true(put("vm/a", "another")); /* nothing to write */
	assert_int_equal(store_changes(), changes + 2);
	assert_true(store_put("empty", NULL, 0, 0));
	expect("empty", "");
	assert_true(store_put("vm/a", "another", 7, STORE_SECRET)); /* the mark is a change */
	assert_int_equal(store_changes(), changes + 4);
}

static void store_put__bad_key_or_flag__is_refused(void **state)
{
	char longest[STORE_KEY_BYTES + 1];

	(void)state;
	memset(longest, 'k', sizeof(longest));
	longest[STORE_KEY_BYTES] = '\0';
	assert_false(put(longest, "x"));
	longest[STORE_KEY_BYTES - 1] = '\0';
	assert_true(put(longest, "x"));
	assert_false(put("", "x"));
	assert_false(put("with space", "x"));
	assert_false(put("with\ttab", "x"));
	assert_false(store_put("k", "x", 1, 1u << 7));
}

static void store_put__too_much__is_refused_and_the_old_value_stays(void **state)
{
	static uint8_t big[STORE_VALUE_BYTES + 1];
	char key[16];
	unsigned i = 0;

	(void)state;
	assert_false(store_put("k", big, STORE_VALUE_BYTES + 1, 0));
	assert_true(put("z", "small"));
	for (;; i++) {
		snprintf(key, sizeof(key), "k%u", i);
		if (!store_put(key, big, STORE_VALUE_BYTES, 0))
			break;
	}
	assert_int_equal(i, STORE_BYTES / STORE_VALUE_BYTES - 1); /* the keys need room too */
	assert_true(store_serialized_bytes() <= STORE_BYTES);
	assert_false(store_put("z", big, STORE_VALUE_BYTES, 0));
	expect("z", "small");
	assert_true(store_put("k0", big, STORE_VALUE_BYTES - 1, 0)); /* in place of one that is as large */
	store_remove("k1");
	assert_true(store_put("z", big, STORE_VALUE_BYTES, 0));
}

static void store_next__prefix__those_keys_in_order(void **state)
{
	size_t bytes;

	(void)state;
	put("vm/b", "");
	put("token/x", "");
	put("vm/a", "");
	put("vm/ab", "");
	assert_string_equal(store_next("vm/", ""), "vm/a");
	assert_string_equal(store_next("vm/", "vm/a"), "vm/ab");
	assert_string_equal(store_next("vm/", "vm/ab"), "vm/b");
	assert_null(store_next("vm/", "vm/b"));
	assert_string_equal(store_next("", ""), "token/x");
	assert_null(store_next("none", ""));
	store_remove("vm/ab");
	store_remove("vm/never");
	assert_string_equal(store_next("vm/", "vm/a"), "vm/b");
	assert_null(store_get("vm/ab", &bytes));
}

static void store_serialize__loaded_again__is_the_same(void **state)
{
	static uint8_t disk[4096];
	size_t bytes;

	(void)state;
	put("vm/a", "{\"memory\":\"1G\"}");
	store_put("tls/key", "\0\1\2", 3, STORE_SECRET);
	put("z", "");
	bytes = store_serialized_bytes();
	store_serialize(disk);
	empty(NULL);
	assert_int_equal(store_serialized_bytes(), 0);
	assert_true(store_load(disk, bytes));
	expect("vm/a", "{\"memory\":\"1G\"}");
	expect("z", "");
	assert_memory_equal(store_get("tls/key", &bytes), "\0\1\2", 3);
	static uint8_t again[4096];
	store_serialize(again);
	assert_memory_equal(disk, again, sizeof(disk)); /* the marks too */
}

static void store_load__put_before__what_was_put_wins(void **state)
{
	static uint8_t disk[256];
	size_t bytes;

	(void)state;
	put("a", "old");
	put("b", "old");
	bytes = store_serialized_bytes();
	store_serialize(disk);
	empty(NULL);
	put("a", "new");
	assert_true(store_load(disk, bytes));
	expect("a", "new");
	expect("b", "old");
}

/* Each single wrong byte and each cut is either refused whole or gives values that could have been put. */
static void store_load__damaged__is_refused_or_harmless(void **state)
{
	static uint8_t disk[512];
	size_t bytes;

	(void)state;
	put("a", "1");
	put("bb", "22");
	put("c", "");
	bytes = store_serialized_bytes();
	store_serialize(disk);
	for (size_t cut = 1; cut < bytes; cut++) {
		uint8_t *part = malloc(cut);
		memcpy(part, disk, cut);
		empty(NULL);
		bool whole = cut == 14 || cut == 30; /* behind the first and the second value */
		assert_int_equal(store_load(part, cut), whole);
		free(part);
	}
	for (size_t at = 0; at < bytes; at++)
		for (unsigned bit = 0; bit < 8; bit++) {
			uint8_t *copy = malloc(bytes);
			memcpy(copy, disk, bytes);
			copy[at] ^= (uint8_t)(1u << bit);
			empty(NULL);
			if (!store_load(copy, bytes))
				assert_null(store_next("", ""));
			assert_true(store_serialized_bytes() <= bytes);
			free(copy);
		}
}

static void store_load__keys_not_ascending__is_refused(void **state)
{
	const struct store_value a = { "a", (const uint8_t *)"1", 1, 1, 0 }, b = { "b", (const uint8_t *)"2", 1, 1, 0 };
	uint8_t disk[28];

	(void)state;
	store_value_make(store_value_make(disk, &b), &a);
	assert_false(store_load(disk, sizeof(disk)));
	store_value_make(store_value_make(disk, &a), &a);
	assert_false(store_load(disk, sizeof(disk)));
	store_value_make(store_value_make(disk, &a), &b);
	assert_true(store_load(disk, sizeof(disk)));
}

static void store_crc__known_text__known_sum(void **state)
{
	const uint8_t *text = (const uint8_t *)"123456789";

	(void)state;
	assert_int_equal(store_crc(0, text, 9), 0xE3069283u);
	assert_int_equal(store_crc(store_crc(0, text, 4), text + 4, 5), 0xE3069283u);
}

static void store_header_read__each_wrong_bit__is_no_valid_header(void **state)
{
	const struct store_header header = { 7, 1000, 0x12345678 };
	struct store_header found;
	uint8_t sector[STORE_SECTOR_BYTES];

	(void)state;
	store_header_make(&header, sector);
	assert_int_equal(store_header_read(sector, &found), STORE_HEADER_VALID);
	assert_memory_equal(&found, &header, sizeof(header));
	for (unsigned bit = 0; bit < 8 * STORE_SECTOR_BYTES; bit++) {
		sector[bit / 8] ^= (uint8_t)(1u << bit % 8);
		assert_int_not_equal(store_header_read(sector, &found), STORE_HEADER_VALID);
		sector[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	memset(sector, 0, sizeof(sector));
	assert_int_equal(store_header_read(sector, &found), STORE_HEADER_NONE);
	store_header_make(&(struct store_header){ 0, 0, 0 }, sector);
	assert_int_equal(store_header_read(sector, &found), STORE_HEADER_DAMAGED);
	store_header_make(&(struct store_header){ UINT64_MAX, 0, 0 }, sector);
	assert_int_equal(store_header_read(sector, &found), STORE_HEADER_DAMAGED);
	store_header_make(&(struct store_header){ 1, STORE_BYTES + 1, 0 }, sector);
	assert_int_equal(store_header_read(sector, &found), STORE_HEADER_DAMAGED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(store_put__new_changed_and_same__is_found, empty),
		cmocka_unit_test_teardown(store_put__bad_key_or_flag__is_refused, empty),
		cmocka_unit_test_teardown(store_put__too_much__is_refused_and_the_old_value_stays, empty),
		cmocka_unit_test_teardown(store_next__prefix__those_keys_in_order, empty),
		cmocka_unit_test_teardown(store_serialize__loaded_again__is_the_same, empty),
		cmocka_unit_test_teardown(store_load__put_before__what_was_put_wins, empty),
		cmocka_unit_test_teardown(store_load__damaged__is_refused_or_harmless, empty),
		cmocka_unit_test_teardown(store_load__keys_not_ascending__is_refused, empty),
		cmocka_unit_test(store_crc__known_text__known_sum),
		cmocka_unit_test(store_header_read__each_wrong_bit__is_no_valid_header),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
