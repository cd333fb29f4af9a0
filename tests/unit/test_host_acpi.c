/*
 * The control VM's view of the firmware's FADT and MADT.
 *
 * UNIT_SOURCES: drivers-vm/control/host_acpi.c
 */
#include "tests/unit/cmocka_all.h"

#include <stdlib.h>
#include <string.h>

#include "drivers-vm/control/host_acpi.h"

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
static struct host_fadt read_first(size_t bytes)
{
	uint8_t *copy = malloc(bytes);
	struct host_fadt f;

	memcpy(copy, whole, bytes);
	memset(&f, 0xEE, sizeof(f));
	host_acpi_read_fadt(copy, bytes, &f);
	free(copy);
	return f;
}

static void read__revision_1__short_fields(void **state)
{
	struct host_fadt f = read_first(116);

	(void)state;
	assert_int_equal(f.dsdt, 0x5000);
	assert_int_equal(f.pm1a_cnt, 0x604);
	assert_int_equal(f.pm1b_cnt, 0x608);
}

static void read__revision_6__extended_fields_win_where_they_are_filled(void **state)
{
	struct host_fadt f = read_first(276);

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
	struct host_fadt f = read_first(276);
	assert_int_equal(f.pm1a_cnt | f.pm1b_cnt, 0);
	assert_int_equal(f.dsdt, 0x100005000);
}

static void read__every_length__reads_only_inside(void **state)
{
	(void)state;
	for (size_t bytes = 1; bytes <= sizeof(whole); bytes++) {
		struct host_fadt f = read_first(bytes);
		assert_int_equal(f.dsdt, bytes >= 148 ? 0x100005000 : bytes >= 44 ? 0x5000 : 0);
		assert_int_equal(f.pm1a_cnt, bytes >= 184 ? 0x1604 : bytes >= 68 ? 0x604 : 0);
	}
}

static const uint8_t madt_entries[] = {
	0, 8,  0, 0, 1,  0, 0, 0,         /* a local APIC */
	2, 10, 0, 0, 2,  0, 0, 0, 0,   0, /* IRQ 0 is GSI 2 */
	2, 10, 1, 5, 9,  0, 0, 0, 0,   0, /* of another bus */
	2, 10, 0, 3, 23, 0, 0, 0, 0xF, 0,
};

/* With the last entry's length changed to `length`, and so many bytes of the table. */
static uint32_t gsi_of(uint8_t irq, uint8_t length, size_t bytes)
{
	uint8_t *table = calloc(1, 44 + sizeof(madt_entries));

	memcpy(table + 44, madt_entries, sizeof(madt_entries));
	table[44 + sizeof(madt_entries) - 9] = length;
	uint8_t *copy = malloc(bytes);
	memcpy(copy, table, bytes);
	uint32_t gsi = host_acpi_gsi(copy, bytes, irq);
	free(copy);
	free(table);
	return gsi;
}

static void gsi__overrides__only_those_of_isa(void **state)
{
	const size_t all = 44 + sizeof(madt_entries);

	(void)state;
	assert_int_equal(gsi_of(0, 10, all), 2);
	assert_int_equal(gsi_of(3, 10, all), 23);
	assert_int_equal(gsi_of(5, 10, all), 5);
	assert_int_equal(gsi_of(4, 10, all), 4);
}

static void gsi__broken_lengths__reads_only_inside(void **state)
{
	const size_t all = 44 + sizeof(madt_entries);

	(void)state;
	assert_int_equal(gsi_of(3, 0, all), 3);
	assert_int_equal(gsi_of(3, 1, all), 3);
	assert_int_equal(gsi_of(3, 9, all), 3);
	assert_int_equal(gsi_of(3, 11, all), 3);
	for (size_t bytes = 1; bytes < all; bytes++)
		assert_int_equal(gsi_of(3, 10, bytes), 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(read__revision_1__short_fields, set_up),
		cmocka_unit_test_setup(read__revision_6__extended_fields_win_where_they_are_filled, set_up),
		cmocka_unit_test_setup(read__registers_in_memory_or_beyond_the_ports__none, set_up),
		cmocka_unit_test_setup(read__hardware_reduced__no_registers, set_up),
		cmocka_unit_test_setup(read__every_length__reads_only_inside, set_up),
		cmocka_unit_test(gsi__overrides__only_those_of_isa),
		cmocka_unit_test(gsi__broken_lengths__reads_only_inside),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
