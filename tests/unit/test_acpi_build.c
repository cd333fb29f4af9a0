/*
 * The guest's ACPI tables: structure and checksums, and the AML as iasl sees it.
 * UNIT_SOURCES: drivers-vm/control/acpi_build.c drivers-vm/control/acpi_dsdt.c drivers-vm/control/acpi_cpus.c drivers-vm/control/acpi_wdat.c
 * UNIT_SOURCES: drivers-vm/control/aml.c drivers-vm/control/s5.c
 */
#define _GNU_SOURCE
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "drivers-vm/control/acpi_build.h"
#include "drivers-vm/control/aml.h"
#include "drivers-vm/control/s5.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static uint8_t image[ACPI_BUILD_BYTES_MAX];
static size_t image_bytes;

static void build(uint32_t vcpus, bool serial)
{
	const struct acpi_platform platform = { .vcpus = vcpus, .serial = serial };

	memset(image, 0xCC, sizeof(image));
	image_bytes = acpi_build_tables(&platform, image, sizeof(image));
	assert_in_range(image_bytes, 500, sizeof(image));
}

/* With processors that may come, and a watchdog. */
static void build_more(uint32_t vcpus, uint32_t most)
{
	const struct acpi_platform platform = { .vcpus = vcpus, .vcpus_max = most, .watchdog = true, .serial = true };

	memset(image, 0xCC, sizeof(image));
	image_bytes = acpi_build_tables(&platform, image, sizeof(image));
	assert_in_range(image_bytes, 500, sizeof(image));
}

static uint32_t read32(const uint8_t *at)
{
	uint32_t value;

	memcpy(&value, at, sizeof(value));
	return value;
}

static uint64_t read64(const uint8_t *at)
{
	uint64_t value;

	memcpy(&value, at, sizeof(value));
	return value;
}

static const uint8_t *at_gpa(uint64_t gpa)
{
	assert_in_range(gpa, PLATFORM_ACPI_BASE, PLATFORM_ACPI_BASE + image_bytes - 36);
	return image + (gpa - PLATFORM_ACPI_BASE);
}

static void assert_sums_to_zero(const uint8_t *at, size_t bytes)
{
	assert_true(at + bytes <= image + image_bytes);
	assert_int_equal(aml_checksum(at, bytes), 0);
}

/* The table with this signature, found as a guest finds it; its checksum holds. */
static const uint8_t *find_table(const char *signature)
{
	const uint8_t *xsdt = at_gpa(read64(image + 24));

	assert_memory_equal(xsdt, "XSDT", 4);
	assert_sums_to_zero(xsdt, read32(xsdt + 4));
	for (uint32_t at = 36; at < read32(xsdt + 4); at += 8) {
		const uint8_t *table = at_gpa(read64(xsdt + at));

		assert_sums_to_zero(table, read32(table + 4));
		if (memcmp(table, signature, 4) == 0)
			return table;
	}
	fail_msg("no table %s", signature);
	return NULL;
}

static const uint8_t *find_dsdt(void)
{
	const uint8_t *fadt = find_table("FACP");
	const uint8_t *dsdt = at_gpa(read64(fadt + 140));

	assert_int_equal(read32(fadt + 40), read64(fadt + 140));
	assert_memory_equal(dsdt, "DSDT", 4);
	assert_sums_to_zero(dsdt, read32(dsdt + 4));
	return dsdt;
}

static void acpi_build_tables__rsdp__is_first_with_both_checksums(void **state)
{
	(void)state;
	build(2, true);
	assert_memory_equal(image, "RSD PTR ", 8);
	assert_int_equal(image[15], 2);
	assert_sums_to_zero(image, 20);
	assert_sums_to_zero(image, 36);
	assert_int_equal(ACPI_BUILD_RSDP_GPA % 16, 0);
}

static void acpi_build_tables__fadt__is_hardware_reduced_with_reset_and_sleep_ports(void **state)
{
	(void)state;
	build(1, true);
	const uint8_t *fadt = find_table("FACP");

	assert_int_equal(read32(fadt + 4), 276);
	assert_true((read32(fadt + 112) & (1u << 20)) != 0);
	assert_true((read32(fadt + 112) & (1u << 10)) != 0);
	assert_int_equal(fadt[116], 1);
	assert_int_equal(read64(fadt + 120), PLATFORM_RESET_PORT);
	assert_int_equal(fadt[128], PLATFORM_RESET_VALUE);
	assert_int_equal(read64(fadt + 248), PLATFORM_SLEEP_CONTROL_PORT);
	assert_int_equal(read64(fadt + 260), PLATFORM_SLEEP_STATUS_PORT);
}

static unsigned count_entries(const uint8_t *madt, uint8_t type)
{
	unsigned count = 0;

	for (uint32_t at = 44; at < read32(madt + 4); at += madt[at + 1]) {
		assert_true(madt[at + 1] >= 2);
		count += madt[at] == type;
	}
	return count;
}

static void acpi_build_tables__madt__has_one_entry_for_each_vcpu(void **state)
{
	(void)state;
	build(4, true);
	const uint8_t *madt = find_table("APIC");

	assert_int_equal(count_entries(madt, 0), 4);
	assert_int_equal(count_entries(madt, 9), 0);
	assert_int_equal(count_entries(madt, 1), 1);
	assert_int_equal(count_entries(madt, 2), 1);
	assert_int_equal(madt[44 + 3 * 8 + 3], 3); /* the last one's APIC id */
	build(300, true);
	madt = find_table("APIC");
	assert_int_equal(count_entries(madt, 0), 255);
	assert_int_equal(count_entries(madt, 9), 45);
	assert_int_equal(read32(madt + 44 + 255 * 8 + 4), 255);
}

static void acpi_build_tables__mcfg__covers_bus_0(void **state)
{
	(void)state;
	build(1, true);
	const uint8_t *mcfg = find_table("MCFG");

	assert_int_equal(read64(mcfg + 44), PLATFORM_ECAM_BASE);
	assert_int_equal(mcfg[54], 0);
	assert_int_equal(mcfg[55], 0);
}

static void acpi_build_tables__sleep_type__is_found_by_the_scan_for_it(void **state)
{
	struct s5 s5;

	(void)state;
	build(1, true);
	const uint8_t *dsdt = find_dsdt();

	assert_true(s5_find(dsdt, read32(dsdt + 4), &s5));
	assert_int_equal(s5.slp_typ_a, PLATFORM_SLP_TYP_S5);
}

static void acpi_build_tables__too_little_room__returns_zero(void **state)
{
	const struct acpi_platform platform = { .vcpus = 2, .serial = true };
	const struct acpi_platform nobody = { .vcpus = 0 };

	(void)state;
	build(2, true);
	size_t needed = image_bytes;

	for (size_t bytes = 0; bytes < needed; bytes++) {
		uint8_t *exact = malloc(bytes == 0 ? 1 : bytes);

		assert_int_equal(acpi_build_tables(&platform, exact, bytes), 0);
		free(exact);
	}
	assert_int_equal(acpi_build_tables(&platform, image, needed), needed);
	assert_int_equal(acpi_build_tables(&nobody, image, sizeof(image)), 0);
}

static void aml_end__every_length__is_encoded_in_the_fewest_bytes(void **state)
{
	static const struct {
		size_t content;
		uint8_t lead;
		unsigned bytes;
	} cases[] = {
		{ 0, 0x05, 1 },    { 58, 0x3F, 1 },   { 59, 0x41, 2 }, /* the name takes four */
		{ 4089, 0x4F, 2 }, { 4090, 0x81, 3 }, { 70000, 0x87, 3 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct aml_writer w = { .base = image, .bytes = sizeof(image) };
		size_t mark = aml_begin_scope(&w, "ABCD");

		aml_put_zeros(&w, cases[i].content);
		aml_end(&w, mark);
		size_t length = cases[i].bytes == 1 ? image[1] & 0x3F : image[1] & 0x0F;

		for (unsigned k = 1; k < cases[i].bytes; k++)
			length |= (size_t)image[1 + k] << (4 + 8 * (k - 1));
		assert_int_equal(image[1], cases[i].lead);
		assert_int_equal(length, cases[i].bytes + 4 + cases[i].content);
		assert_memory_equal(image + 1 + cases[i].bytes, "ABCD", 4);
		assert_int_equal(w.used, 1 + length);
	}
}

static void run(const char *format, const char *directory)
{
	char command[256];

	snprintf(command, sizeof(command), format, directory, directory);
	if (system(command) != 0)
		fail_msg("failed: %s", command);
}

/* iasl reports a defect as a warning, error or remark, and by its exit status. */
static void compile(void)
{
	char directory[] = "/tmp/test_acpi_build.XXXXXX";
	char path[64];

	const uint8_t *dsdt = find_dsdt();

	assert_non_null(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/dsdt.dat", directory);
	FILE *out = fopen(path, "wb");

	assert_non_null(out);
	assert_int_equal(fwrite(dsdt, 1, read32(dsdt + 4), out), read32(dsdt + 4));
	fclose(out);
	run("iasl -d %s/dsdt.dat >%s/log 2>&1", directory);
	run("! grep -iE 'warning|error|remark|incorrect' %s/log %s/dsdt.dsl", directory);
	run("iasl -oa %s/dsdt.dsl >%s/log 2>&1", directory);
	run("grep -q ' 0 Errors, 0 Warnings, 0 Remarks' %s/log", directory);
	run("iasl -p %s/again -d %s/dsdt.aml >/dev/null 2>&1", directory);
	run("grep -v '^ [*]' %s/dsdt.dsl >%s/first", directory);
	run("grep -v '^ [*]' %s/again.dsl >%s/second", directory);
	run("cmp %s/first %s/second", directory); /* what iasl makes of it means the same */
	run("grep -q 'PNP0A08' %s/dsdt.dsl && grep -q 'PNP0501' %s/dsdt.dsl", directory);
	run("grep -q '_S5' %s/dsdt.dsl && grep -q 'ACPI0013' %s/dsdt.dsl", directory);
	run("rm -r %s", directory);
}

static void acpi_build_tables__iasl__disassembles_and_recompiles_without_remarks(void **state)
{
	(void)state;
	build(2, true);
	compile();
	build_more(1, 64); /* as many as can be */
	compile();
}

static void acpi_build_tables__processors_that_may_come__are_named_and_not_enabled(void **state)
{
	(void)state;
	build_more(1, 3);
	const uint8_t *madt = find_table("APIC");
	assert_int_equal(read32(madt + 44 + 4), 1);
	assert_int_equal(read32(madt + 44 + 8 + 4), 2); /* online capable */
	assert_int_equal(read32(madt + 44 + 16 + 4), 2);
	assert_int_equal(madt[44 + 24], 1);     /* the IOAPIC, ... */
	assert_int_equal(madt[44 + 24 + 2], 3); /* ... with an id behind theirs */
	assert_non_null(memmem(image, image_bytes, "N002", 4));
	assert_null(memmem(image, image_bytes, "N003", 4));
	build_more(3, 3);
	assert_null(memmem(image, image_bytes, "N002", 4));
}

static void acpi_build_tables__watchdog__each_entry_is_one_of_its_registers(void **state)
{
	(void)state;
	build_more(1, 1);
	const uint8_t *wdat = find_table("WDAT");
	assert_int_equal(read32(wdat + 4), 36 + 32 + 24 * read32(wdat + 64));
	for (const uint8_t *entry = wdat + 68; entry < wdat + read32(wdat + 4); entry += 24) {
		assert_int_equal(entry[4], 1);
		assert_in_range(read64(entry + 8), PLATFORM_WATCHDOG_PORT, PLATFORM_WATCHDOG_PORT + PLATFORM_WATCHDOG_PORTS - 1);
	}
}

static void acpi_build_tables__channels__have_a_window_above_the_ram(void **state)
{
	const struct acpi_platform platform = { .vcpus = 1, .serial = true, .channel_base = 0x540000000, .channel_bytes = 0x80000000 };
	const uint64_t window[] = { 0x540000000, 0x5BFFFFFFF };

	(void)state;
	image_bytes = acpi_build_tables(&platform, image, sizeof(image));
	assert_non_null(memmem(image, image_bytes, window, sizeof(window)));
	compile();
}

static void acpi_build_tables__no_serial__leaves_com1_out(void **state)
{
	(void)state;
	build(1, true);
	assert_non_null(memmem(image, image_bytes, "COM1", 4));
	build(1, false);
	assert_null(memmem(image, image_bytes, "COM1", 4));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(acpi_build_tables__rsdp__is_first_with_both_checksums),
		cmocka_unit_test(acpi_build_tables__fadt__is_hardware_reduced_with_reset_and_sleep_ports),
		cmocka_unit_test(acpi_build_tables__madt__has_one_entry_for_each_vcpu),
		cmocka_unit_test(acpi_build_tables__mcfg__covers_bus_0),
		cmocka_unit_test(acpi_build_tables__sleep_type__is_found_by_the_scan_for_it),
		cmocka_unit_test(acpi_build_tables__too_little_room__returns_zero),
		cmocka_unit_test(aml_end__every_length__is_encoded_in_the_fewest_bytes),
		cmocka_unit_test(acpi_build_tables__iasl__disassembles_and_recompiles_without_remarks),
		cmocka_unit_test(acpi_build_tables__processors_that_may_come__are_named_and_not_enabled),
		cmocka_unit_test(acpi_build_tables__watchdog__each_entry_is_one_of_its_registers),
		cmocka_unit_test(acpi_build_tables__channels__have_a_window_above_the_ram),
		cmocka_unit_test(acpi_build_tables__no_serial__leaves_com1_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
