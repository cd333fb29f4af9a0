/*
 * The control VM's view of the firmware's FADT.
 *
 * UNIT_SOURCES: drivers-vm/control/fadt.c
 */
#include "tests/unit/cmocka_all.h"

#include <stdlib.h>
#include <string.h>

#include "drivers-vm/control/fadt.h"

static uint8_t whole[276];

static void put(size_t at, uint64_t value, size_t width)
{
	memcpy(whole + at, &value, width);
}

static int set_up(void **state)
{
	(void)state;
	memset(whole, 0, sizeof(whole));
	put(40, 0x5000, 4);
	put(64, 0x604, 4);
	put(68, 0x608, 4);
	put(140, 0x100005000, 8);
	put(172, 1, 1);
	put(176, 0x1604, 8);
	return 0;
}

/* Reads a heap copy, so that reading past the end is caught. */
static struct fadt read_first(size_t bytes)
{
	uint8_t *copy = malloc(bytes);
	struct fadt f;

	memcpy(copy, whole, bytes);
	memset(&f, 0xEE, sizeof(f));
	fadt_read(copy, bytes, &f);
	free(copy);
	return f;
}

static void read__revision_1__short_fields(void **state)
{
	struct fadt f = read_first(116);

	(void)state;
	assert_int_equal(f.dsdt, 0x5000);
	assert_int_equal(f.pm1a_cnt, 0x604);
	assert_int_equal(f.pm1b_cnt, 0x608);
}

static void read__revision_6__extended_fields_win_where_they_are_filled(void **state)
{
	struct fadt f = read_first(276);

	(void)state;
	assert_int_equal(f.dsdt, 0x100005000);
	assert_int_equal(f.pm1a_cnt, 0x1604);
	assert_int_equal(f.pm1b_cnt, 0x608);
}

static void read__registers_in_memory_or_beyond_the_ports__none(void **state)
{
	(void)state;
	put(172, 0, 1);
	put(64, 0, 4);
	assert_int_equal(read_first(276).pm1a_cnt, 0);
	put(68, 0x10604, 4);
	assert_int_equal(read_first(276).pm1b_cnt, 0);
}

static void read__hardware_reduced__no_registers(void **state)
{
	(void)state;
	put(112, 1u << 20, 4);
	struct fadt f = read_first(276);
	assert_int_equal(f.pm1a_cnt | f.pm1b_cnt, 0);
	assert_int_equal(f.dsdt, 0x100005000);
}

static void read__every_length__reads_only_inside(void **state)
{
	(void)state;
	for (size_t bytes = 1; bytes <= sizeof(whole); bytes++) {
		struct fadt f = read_first(bytes);
		assert_int_equal(f.dsdt, bytes >= 148 ? 0x100005000 : bytes >= 44 ? 0x5000 : 0);
		assert_int_equal(f.pm1a_cnt, bytes >= 184 ? 0x1604 : bytes >= 68 ? 0x604 : 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(read__revision_1__short_fields, set_up),
		cmocka_unit_test_setup(read__revision_6__extended_fields_win_where_they_are_filled, set_up),
		cmocka_unit_test_setup(read__registers_in_memory_or_beyond_the_ports__none, set_up),
		cmocka_unit_test_setup(read__hardware_reduced__no_registers, set_up),
		cmocka_unit_test_setup(read__every_length__reads_only_inside, set_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
