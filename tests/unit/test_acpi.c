/*
 * The ACPI table readers, on tables built here. acpi_scan's map hook hands out only what lies in one table's
 * allocation.
 *
 * UNIT_SOURCES: arch/x86_64/acpi.c arch/x86_64/acpi_tables.c arch/x86_64/acpi_iommu.c
 * UNIT_FLAGS: -Itests/unit
 */
#include "cmocka_all.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arch/x86_64/acpi.h"

/* Each table lives at its own fake physical address, in an allocation of its exact size. */
static struct {
	hpa_t base;
	size_t bytes;
	uint8_t *data;
} tables[16];
static unsigned table_count;
static char complaints[1024];
static struct acpi_info info;

static void *map(hpa_t base, uint64_t bytes)
{
	for (unsigned i = 0; i < table_count; i++)
		if (tables[i].base == base && bytes <= tables[i].bytes)
			return tables[i].data;
	return NULL;
}

static void complain(const char *name, const char *what)
{
	size_t n = strlen(complaints);

	snprintf(complaints + n, sizeof(complaints) - n, "%s: %s\n", name, what);
}

static const struct acpi_access access_hooks = { map, complain };

static int reset(void **state)
{
	(void)state;
	while (table_count)
		free(tables[--table_count].data);
	memset(&info, 0, sizeof(info));
	complaints[0] = 0;
	return 0;
}

static void fix_sum(uint8_t *p, size_t bytes, size_t at)
{
	uint8_t s = 0;

	p[at] = 0;
	for (size_t i = 0; i < bytes; i++)
		s = (uint8_t)(s + p[i]);
	p[at] = (uint8_t)-s;
}

/* A table of `bytes` bytes with a valid header; the caller fills the body and calls seal. */
static uint8_t *table(hpa_t base, const char *signature, size_t bytes)
{
	uint8_t *t = calloc(1, bytes);

	assert_non_null(t);
	memcpy(t, signature, 4);
	memcpy(t + 4, &(uint32_t){ (uint32_t)bytes }, 4);
	tables[table_count].base = base;
	tables[table_count].bytes = bytes;
	tables[table_count++].data = t;
	return t;
}

static void seal(uint8_t *t)
{
	uint32_t bytes;

	memcpy(&bytes, t + 4, 4);
	fix_sum(t, bytes, 9);
}

static void put(uint8_t *t, size_t at, uint64_t value, size_t bytes)
{
	memcpy(t + at, &value, bytes);
}

static uint8_t *make_madt(hpa_t base)
{
	static const uint8_t entries[] = {
		0, 8,  0,    0,  1,    0, 0,    0,                               /* core 0 */
		0, 8,  1,    3,  1,    0, 0,    0,                               /* APIC id 3 */
		0, 8,  2,    4,  0,    0, 0,    0,                               /* disabled */
		0, 8,  3,    5,  2,    0, 0,    0,                               /* online capable only */
		9, 16, 0,    0,  0x2C, 1, 0,    0,    1,    0, 0, 0, 9, 0, 0, 0, /* x2APIC id 300 */
		9, 16, 0,    0,  3,    0, 0,    0,    1,    0, 0, 0, 1, 0, 0, 0, /* id 3 again */
		1, 12, 7,    0,  0,    0, 0xC0, 0xFE, 0,    0, 0, 0,             /* IOAPIC */
		2, 10, 0,    0,  2,    0, 0,    0,    0,    0,                   /* IRQ 0 -> GSI 2 */
		2, 10, 0,    3,  23,   0, 0,    0,    0x0F, 0,                   /* IRQ 3 -> GSI 23 */
		2, 10, 1,    5,  9,    0, 0,    0,    0,    0,                   /* of another bus */
		2, 10, 0,    16, 9,    0, 0,    0,    0,    0,                   /* no ISA interrupt */
		4, 6,  0xFF, 0,  0,    1,                                        /* LINT1 NMI */
	};
	uint8_t *t = table(base, "APIC", 44 + sizeof(entries));

	put(t, 36, 0xFEE00000, 4);
	put(t, 40, 1, 4);
	memcpy(t + 44, entries, sizeof(entries));
	seal(t);
	return t;
}

static void acpi_parse_madt__mixed_entries__usable_cores_once(void **state)
{
	uint8_t *t = make_madt(1);

	(void)state;
	assert_int_equal(acpi_parse_madt(t, tables[0].bytes, &info), STATUS_OK);
	assert_int_equal(info.cpu_count, 3);
	assert_int_equal(info.apic_ids[0], 0);
	assert_int_equal(info.apic_ids[1], 3);
	assert_int_equal(info.apic_ids[2], 300);
	assert_int_equal(info.ioapic_count, 1);
	assert_int_equal(info.ioapics[0].base, 0xFEC00000);
	assert_int_equal(info.ioapics[0].id, 7);
}

static void acpi_parse_madt__entry_length_0_1_or_beyond_end__invalid(void **state)
{
	static const uint8_t lengths[] = { 0, 1, 9, 255 };

	(void)state;
	for (size_t i = 0; i < sizeof(lengths); i++) {
		uint8_t *t = table(i, "APIC", 44 + 8);

		t[44] = 7; /* a type of no interest */
		t[45] = lengths[i];
		assert_int_equal(acpi_parse_madt(t, 52, &info), STATUS_INVALID);
	}
}

static void acpi_parse_madt__entry_shorter_than_its_type__invalid(void **state)
{
	static const uint8_t types[] = { 0, 1, 9 };

	(void)state;
	for (size_t i = 0; i < sizeof(types); i++) {
		uint8_t *t = table(i, "APIC", 44 + 6);

		t[44] = types[i];
		t[45] = 6;
		assert_int_equal(acpi_parse_madt(t, 50, &info), STATUS_INVALID);
	}
}

static void acpi_parse_madt__more_cores_than_room__counted(void **state)
{
	uint8_t *t = table(1, "APIC", 44 + 8 * (CPU_MAX + 5));

	(void)state;
	for (unsigned i = 0; i < CPU_MAX + 5; i++) {
		uint8_t e[8] = { 0, 8, 0, (uint8_t)i, 1, 0, 0, 0 };

		memcpy(t + 44 + 8 * i, e, 8);
	}
	assert_int_equal(acpi_parse_madt(t, tables[0].bytes, &info), STATUS_OK);
	assert_int_equal(info.cpu_count, CPU_MAX);
	assert_int_equal(info.cpus_over, 5);
}

static uint8_t *make_fadt(hpa_t base, size_t bytes)
{
	uint8_t whole[276] = { 0 }, *t = table(base, "FACP", bytes);

	put(whole, 40, 0x5000, 4);
	put(whole, 46, 9, 2);
	put(whole, 64, 0x604, 4);
	put(whole, 76, 0x608, 4);
	whole[91] = 4;
	put(whole, 112, 1u << 8 | 1u << 10, 4);
	whole[116] = 1;
	put(whole, 120, 0xCF9, 8);
	whole[128] = 0xF;
	put(whole, 140, 0x100005000, 8);
	whole[172] = 1;
	put(whole, 176, 0x1604, 8);
	memcpy(t + 36, whole + 36, bytes - 36);
	seal(t);
	return t;
}

static void acpi_parse_fadt__revision_1__short_fields(void **state)
{
	uint8_t *t = make_fadt(1, 116);

	(void)state;
	assert_int_equal(acpi_parse_fadt(t, 116, &info), STATUS_OK);
	assert_int_equal(info.pm_timer, 0x608);
	assert_true(info.pm_timer_32bit);
	assert_int_equal(info.reset, 0);
}

static void acpi_parse_fadt__revision_6__extended_fields_win(void **state)
{
	uint8_t *t = make_fadt(1, 276);

	(void)state;
	assert_int_equal(acpi_parse_fadt(t, 276, &info), STATUS_OK);
	assert_int_equal(info.reset, 0xCF9);
	assert_int_equal(info.reset_value, 0xF);
}

static void acpi_parse_fadt__hardware_reduced__no_pm_registers(void **state)
{
	uint8_t *t = make_fadt(1, 276);

	(void)state;
	put(t, 112, 1u << 20, 4);
	assert_int_equal(acpi_parse_fadt(t, 276, &info), STATUS_OK);
	assert_int_equal(info.pm_timer, 0);
	assert_int_equal(info.reset, 0);
}

static void acpi_parse_fadt__every_length__reads_only_inside(void **state)
{
	(void)state;
	for (size_t bytes = 37; bytes <= 276; bytes++) {
		uint8_t *t = make_fadt(1, bytes);

		assert_int_equal(acpi_parse_fadt(t, bytes, &info), bytes < 116 ? STATUS_INVALID : STATUS_OK);
		reset(NULL);
	}
}

static void acpi_parse_hpet__base__memory_space_only(void **state)
{
	uint8_t *t = table(1, "HPET", 56);

	(void)state;
	put(t, 44, 0xFED00000, 8);
	assert_int_equal(acpi_parse_hpet(t, 56, &info), STATUS_OK);
	assert_int_equal(info.hpet_base, 0xFED00000);
	t[40] = 1;
	assert_int_equal(acpi_parse_hpet(t, 56, &info), STATUS_INVALID);
	assert_int_equal(acpi_parse_hpet(t, 55, &info), STATUS_INVALID);
}

enum { XSDT_AT = 0x1000, MADT_AT = 0x2000, FADT_AT = 0x3000, DMAR_AT = 0x6000 };

static uint8_t rsdp[36];

static void make_machine(void)
{
	static const hpa_t entries[] = { MADT_AT, FADT_AT, DMAR_AT };
	uint8_t *x = table(XSDT_AT, "XSDT", 36 + sizeof(entries));

	for (size_t i = 0; i < 3; i++)
		put(x, 36 + 8 * i, entries[i], 8);
	seal(x);
	make_madt(MADT_AT);
	make_fadt(FADT_AT, 276);
	seal(table(DMAR_AT, "DMAR", 48));
	memset(rsdp, 0, sizeof(rsdp));
	memcpy(rsdp, "RSD PTR ", 8);
	rsdp[15] = 2;
	put(rsdp, 20, 36, 4);
	put(rsdp, 24, XSDT_AT, 8);
	fix_sum(rsdp, 20, 8);
	fix_sum(rsdp, 36, 32);
}

static void acpi_scan__whole_machine__every_table_found(void **state)
{
	(void)state;
	make_machine();
	assert_int_equal(acpi_scan(rsdp, sizeof(rsdp), &access_hooks, &info), STATUS_OK);
	assert_string_equal(complaints, "");
	assert_int_equal(info.madt.base, MADT_AT);
	assert_int_equal(info.fadt.base, FADT_AT);
	assert_int_equal(info.dmar.bytes, 48);
	assert_int_equal(info.ivrs.base, 0);
	assert_int_equal(info.cpu_count, 3);
}

static void acpi_scan__bad_checksum__named_and_skipped(void **state)
{
	(void)state;
	make_machine();
	tables[1].data[44]++; /* MADT */
	assert_int_equal(acpi_scan(rsdp, sizeof(rsdp), &access_hooks, &info), STATUS_OK);
	assert_string_equal(complaints, "APIC: its checksum is wrong\n");
	assert_int_equal(info.cpu_count, 0);
	assert_int_equal(info.madt.base, 0);
	assert_int_equal(info.fadt.base, FADT_AT);
}

static void acpi_scan__malformed_contents__nothing_of_them_kept(void **state)
{
	(void)state;
	make_machine();
	tables[1].data[44 + 9] = 0; /* the second entry's length, after a good first one */
	seal(tables[1].data);
	assert_int_equal(acpi_scan(rsdp, sizeof(rsdp), &access_hooks, &info), STATUS_OK);
	assert_string_equal(complaints, "APIC: its contents are malformed\n");
	assert_int_equal(info.cpu_count, 0);
	assert_int_equal(info.fadt.base, FADT_AT);
}

static void acpi_scan__impossible_length__named_and_skipped(void **state)
{
	static const uint32_t lengths[] = { 0, 35, 1u << 21, UINT32_MAX };

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		reset(NULL);
		make_machine();
		put(tables[3].data, 4, lengths[i], 4); /* DMAR */
		assert_int_equal(acpi_scan(rsdp, sizeof(rsdp), &access_hooks, &info), STATUS_OK);
		assert_string_equal(complaints, "DMAR: its length is impossible\n");
		assert_int_equal(info.dmar.base, 0);
	}
}

static void acpi_scan__entry_points_nowhere__complaint_and_the_rest(void **state)
{
	(void)state;
	make_machine();
	tables[3].base = 0x7777; /* the DMAR is not where the XSDT says */
	assert_int_equal(acpi_scan(rsdp, sizeof(rsdp), &access_hooks, &info), STATUS_OK);
	assert_string_equal(complaints, "?: an entry of the root table points nowhere\n");
	assert_int_equal(info.cpu_count, 3);
}

static void acpi_scan__bad_rsdp__invalid(void **state)
{
	(void)state;
	make_machine();
	assert_int_equal(acpi_scan(rsdp, 19, &access_hooks, &info), STATUS_INVALID);
	rsdp[10]++;
	assert_int_equal(acpi_scan(rsdp, sizeof(rsdp), &access_hooks, &info), STATUS_INVALID);
	memcpy(rsdp, "RSD XTR ", 8);
	fix_sum(rsdp, 20, 8);
	assert_int_equal(acpi_scan(rsdp, sizeof(rsdp), &access_hooks, &info), STATUS_INVALID);
}

static void acpi_scan__bad_extended_checksum__falls_back_to_rsdt(void **state)
{
	uint8_t *r;

	(void)state;
	make_machine();
	r = table(0x9000, "RSDT", 36 + 4);
	put(r, 36, MADT_AT, 4);
	seal(r);
	put(rsdp, 16, 0x9000, 4);
	fix_sum(rsdp, 20, 8);
	rsdp[32] = (uint8_t)(rsdp[32] + 77);
	assert_int_equal(acpi_scan(rsdp, sizeof(rsdp), &access_hooks, &info), STATUS_OK);
	assert_int_equal(info.madt.base, MADT_AT);
	assert_int_equal(info.fadt.base, 0);
}

static void acpi_scan__random_damage_with_right_checksums__never_reads_outside(void **state)
{
	(void)state;
	srand(3);
	for (int round = 0; round < 5000; round++) {
		reset(NULL);
		make_machine();
		for (int n = 0; n < 4; n++) {
			unsigned i = (unsigned)rand() % table_count;

			tables[i].data[(size_t)rand() % tables[i].bytes] = (uint8_t)rand();
		}
		for (unsigned i = 0; i < table_count; i++)
			fix_sum(tables[i].data, tables[i].bytes, 9);
		enum status status = acpi_scan(rsdp, sizeof(rsdp), &access_hooks, &info);

		assert_true(status == STATUS_OK || status == STATUS_INVALID);
		assert_true(info.cpu_count <= CPU_MAX && info.ioapic_count <= ACPI_IOAPICS_MAX);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(acpi_parse_madt__mixed_entries__usable_cores_once, reset),
		cmocka_unit_test_setup(acpi_parse_madt__entry_length_0_1_or_beyond_end__invalid, reset),
		cmocka_unit_test_setup(acpi_parse_madt__entry_shorter_than_its_type__invalid, reset),
		cmocka_unit_test_setup(acpi_parse_madt__more_cores_than_room__counted, reset),
		cmocka_unit_test_setup(acpi_parse_fadt__revision_1__short_fields, reset),
		cmocka_unit_test_setup(acpi_parse_fadt__revision_6__extended_fields_win, reset),
		cmocka_unit_test_setup(acpi_parse_fadt__hardware_reduced__no_pm_registers, reset),
		cmocka_unit_test_setup(acpi_parse_fadt__every_length__reads_only_inside, reset),
		cmocka_unit_test_setup(acpi_parse_hpet__base__memory_space_only, reset),
		cmocka_unit_test_setup(acpi_scan__whole_machine__every_table_found, reset),
		cmocka_unit_test_setup(acpi_scan__bad_checksum__named_and_skipped, reset),
		cmocka_unit_test_setup(acpi_scan__malformed_contents__nothing_of_them_kept, reset),
		cmocka_unit_test_setup(acpi_scan__impossible_length__named_and_skipped, reset),
		cmocka_unit_test_setup(acpi_scan__entry_points_nowhere__complaint_and_the_rest, reset),
		cmocka_unit_test_setup(acpi_scan__bad_rsdp__invalid, reset),
		cmocka_unit_test_setup(acpi_scan__bad_extended_checksum__falls_back_to_rsdt, reset),
		cmocka_unit_test_setup(acpi_scan__random_damage_with_right_checksums__never_reads_outside, reset),
	};
	int failed = cmocka_run_group_tests_name("acpi", tests, NULL, NULL);

	reset(NULL);
	return failed;
}
