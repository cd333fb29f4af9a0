/*
 * What is kept of a VM's console: nothing is lost but what is too old, and a driver VM that writes nonsense harms nobody.
 *
 * UNIT_SOURCES: drivers-vm/lib/vm_record.c
 */
#include "cmocka_all.h"

#include <stdlib.h>
#include <string.h>

#include "drivers-vm/lib/vm_record.h"

static struct vm_record *record;
static uint8_t got[2 * VM_RECORD_OUTPUT_BYTES];

static int setup(void **state)
{
	(void)state;
	record = aligned_alloc(4096, sizeof(*record));
	memset(record, 0, sizeof(*record));
	vm_record_open(record, false);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	free(record);
	return 0;
}

static void put(const char *text)
{
	vm_record_append(record, (const uint8_t *)text, strlen(text));
}

static void vm_record_read__text_was_appended__comes_once(void **state)
{
	uint64_t position = 0;

	(void)state;
	put("hello");
	assert_int_equal(vm_record_read(record, &position, got, sizeof(got)), 5);
	assert_memory_equal(got, "hello", 5);
	assert_int_equal(position, 5);
	assert_int_equal(vm_record_read(record, &position, got, sizeof(got)), 0);
}

static void vm_record_read__reader_is_slow__oldest_is_skipped(void **state)
{
	uint64_t position = 0;

	(void)state;
	for (unsigned i = 0; i < VM_RECORD_OUTPUT_BYTES / 4 + 100; i++) {
		char text[5] = { (char)('a' + i % 26), (char)('a' + i / 26 % 26), (char)('a' + i / 676 % 26), '\n', 0 };
		put(text);
	}
	assert_int_equal(vm_record_end(record), VM_RECORD_OUTPUT_BYTES + 400);
	assert_int_equal(vm_record_read(record, &position, got, sizeof(got)), VM_RECORD_OUTPUT_BYTES);
	assert_int_equal(position, VM_RECORD_OUTPUT_BYTES + 400);
	assert_int_equal(got[0], 'a' + 100 % 26);
	assert_int_equal(got[1], 'a' + 100 / 26);
}

static void vm_record_append__more_than_is_kept_at_once__end_of_it_is_kept(void **state)
{
	static uint8_t all[VM_RECORD_OUTPUT_BYTES + 7];
	uint64_t position = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(all); i++)
		all[i] = (uint8_t)(i * 7);
	put("abc");
	vm_record_append(record, all, sizeof(all));
	assert_int_equal(vm_record_read(record, &position, got, sizeof(got)), VM_RECORD_OUTPUT_BYTES);
	assert_memory_equal(got, all + 7, VM_RECORD_OUTPUT_BYTES);
	assert_int_equal(position, sizeof(all) + 3);
}

static void vm_record_must_tell__somebody_has_read_all__once(void **state)
{
	uint64_t position = 0;

	(void)state;
	put("x");
	assert_false(vm_record_must_tell(record));
	vm_record_read(record, &position, got, sizeof(got));
	assert_false(vm_record_must_tell(record)); /* there was something: he will ask again */
	vm_record_read(record, &position, got, sizeof(got));
	assert_true(vm_record_must_tell(record));
	assert_false(vm_record_must_tell(record));
}

static void vm_record_type__more_than_room__rest_is_refused(void **state)
{
	uint8_t keys[VM_RECORD_INPUT_BYTES + 10];
	uint8_t out[64];

	(void)state;
	memset(keys, 'k', sizeof(keys));
	assert_int_equal(vm_record_type(record, keys, sizeof(keys)), VM_RECORD_INPUT_BYTES);
	assert_int_equal(vm_record_type(record, keys, 1), 0);
	assert_int_equal(vm_record_peek_input(record, out, sizeof(out)), sizeof(out));
	vm_record_drop_input(record, 3);
	assert_int_equal(vm_record_type(record, keys, sizeof(keys)), 3);
}

static void vm_record_open__vm_starts_anew__typed_is_forgotten_and_output_kept(void **state)
{
	uint8_t out[8];

	(void)state;
	put("old");
	vm_record_type(record, (const uint8_t *)"abc", 3);
	record->counts.disk[0].errors = 5;
	vm_record_open(record, true);
	assert_int_equal(vm_record_peek_input(record, out, sizeof(out)), 3);
	assert_int_equal(record->counts.disk[0].errors, 5);
	vm_record_open(record, false);
	assert_int_equal(vm_record_peek_input(record, out, sizeof(out)), 0);
	assert_int_equal(record->counts.disk[0].errors, 0);
	assert_int_equal(vm_record_end(record), 3);
}

/* All that a driver VM can write: the control VM's calls stay within their bounds (ASan watches) and come to an end. */
static void all_of_it__hostile_numbers__bounds_hold(void **state)
{
	uint64_t position = 0;
	uint8_t out[300];

	(void)state;
	srand(5);
	for (unsigned round = 0; round < 20000; round++) {
		uint64_t *const field[] = { &record->written, &record->input_taken };
		uint64_t random = (uint64_t)rand() << 40 ^ (uint64_t)rand() << 20 ^ (uint64_t)rand();
		*field[round % 2] = round % 3 == 0 ? random : round % 3 == 1 ? ~random : position + random % 4096;
		if (round % 64 == 0)
			position = random >> 3;
		uint64_t before = position;
		size_t n = vm_record_read(record, &position, out, sizeof(out));
		assert_true(n <= sizeof(out) && (position != before || n == 0));
		assert_true(vm_record_type(record, out, sizeof(out)) <= sizeof(out));
	}
	vm_record_open(record, true);
	assert_true(vm_record_peek_input(record, out, sizeof(out)) <= sizeof(out));
	assert_true(record->input_written - record->input_taken <= VM_RECORD_INPUT_BYTES);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(vm_record_read__text_was_appended__comes_once),
		CASE(vm_record_read__reader_is_slow__oldest_is_skipped),
		CASE(vm_record_append__more_than_is_kept_at_once__end_of_it_is_kept),
		CASE(vm_record_must_tell__somebody_has_read_all__once),
		CASE(vm_record_type__more_than_room__rest_is_refused),
		CASE(vm_record_open__vm_starts_anew__typed_is_forgotten_and_output_kept),
		CASE(all_of_it__hostile_numbers__bounds_hold),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
