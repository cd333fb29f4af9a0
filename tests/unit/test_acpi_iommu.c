/*
 * The readers of DMAR and IVRS, on tables built here, each in an allocation of its exact size.
 *
 * UNIT_SOURCES: arch/x86_64/acpi_iommu.c arch/x86_64/acpi_tables.c
 * UNIT_FLAGS: -Itests/unit
 */
#include "cmocka_all.h"

#include <stdlib.h>
#include <string.h>

#include "arch/x86_64/acpi.h"

static struct acpi_info info;

typedef enum status (*parser)(const uint8_t *table, size_t bytes, struct acpi_info *out);

static enum status parse(parser fn, const uint8_t *entries, size_t bytes)
{
	uint8_t *t = calloc(1, 48 + bytes);

	assert_non_null(t);
	memcpy(t + 48, entries, bytes);
	memset(&info, 0, sizeof(info));
	enum status status = fn(t, 48 + bytes, &info);

	free(t);
	return status;
}
#define DMAR(...) parse(acpi_parse_dmar, (const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ }))
#define IVRS(...) parse(acpi_parse_ivrs, (const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ }))

#define U64(low32)                        (low32) & 0xFF, (low32) >> 8 & 0xFF, (low32) >> 16 & 0xFF, (low32) >> 24 & 0xFF, 0, 0, 0, 0
#define DRHD(bytes, segment, base)        0, 0, bytes, 0, 0, 0, segment, 0, U64(base)
#define RMRR(bytes, segment, first, last) 1, 0, bytes, 0, 0, 0, segment, 0, U64(first), U64(last)

static void acpi_parse_dmar__units_and_scopes__ioapic_and_reserved_memory_found(void **state)
{
	(void)state;
	assert_int_equal(DMAR(DRHD(40, 0, 0xFED90000u), 3, 8, 0, 0, 7, 0xF0, 0x1F, 0, /* IOAPIC 7 is f0:1f.0 */
	                      1, 8, 0, 0, 0, 0, 4, 0,                                 /* an endpoint */
	                      2, 8, 0, 0, 0, 0, 1, 0,                                 /* a bridge */
	                      DRHD(16, 1, 0xFED91000u),                               /* of segment 1 */
	                      RMRR(32, 0, 0x7B800000u, 0x7B8FFFFFu), 1, 8, 0, 0, 0, 0, 0x14, 0),
	                 STATUS_OK);
	assert_int_equal(info.iommu_count, 2);
	assert_int_equal(info.iommus[0].base, 0xFED90000);
	assert_int_equal(info.iommus[1].segment, 1);
	assert_int_equal(info.ioapic_rid_count, 1);
	assert_int_equal(info.ioapic_rids[0].ioapic_id, 7);
	assert_int_equal(info.ioapic_rids[0].rid, 0xF0F8);
	assert_int_equal(info.reserved_count, 1);
	assert_int_equal(info.reserved[0].first, 0x7B800000);
	assert_int_equal(info.reserved[0].last, 0x7B8FFFFF);
	assert_int_equal(info.reserved[0].first_rid, 0xA0);
	assert_int_equal(info.reserved[0].last_rid, 0xA0);
	assert_int_equal(info.iommu_skipped, 0);
}

static void acpi_parse_dmar__unknown_or_unusable_entries__counted_and_skipped(void **state)
{
	(void)state;
	assert_int_equal(DMAR(9, 0, 4, 0, DRHD(16, 0, 0xFED90000u), 2, 0, 8, 0, 0, 0, 0, 0), STATUS_OK);
	assert_int_equal(info.iommu_count, 1);
	assert_int_equal(info.iommu_skipped, 2);
	assert_int_equal(info.iommu_skipped_type, 9);
	/* behind a bridge; of another segment; not whole pages; upside down */
	assert_int_equal(DMAR(RMRR(34, 0, 0x1000u, 0x1FFFu), 1, 10, 0, 0, 0, 0, 1, 0, 2, 0), STATUS_OK);
	assert_int_equal(info.iommu_skipped * 10 + info.reserved_count, 10);
	assert_int_equal(DMAR(RMRR(32, 1, 0x1000u, 0x1FFFu), 1, 8, 0, 0, 0, 0, 1, 0), STATUS_OK);
	assert_int_equal(info.iommu_skipped * 10 + info.reserved_count, 10);
	assert_int_equal(DMAR(RMRR(32, 0, 0x1001u, 0x1FFFu), 1, 8, 0, 0, 0, 0, 1, 0), STATUS_OK);
	assert_int_equal(info.iommu_skipped * 10 + info.reserved_count, 10);
	assert_int_equal(DMAR(RMRR(32, 0, 0x3000u, 0x1FFFu), 1, 8, 0, 0, 0, 0, 1, 0), STATUS_OK);
	assert_int_equal(info.iommu_skipped * 10 + info.reserved_count, 10);
}

static void acpi_parse_dmar__impossible_lengths__invalid(void **state)
{
	(void)state;
	assert_int_equal(DMAR(9, 0, 0, 0), STATUS_INVALID);
	assert_int_equal(DMAR(9, 0, 3, 0), STATUS_INVALID);
	assert_int_equal(DMAR(9, 0, 5, 0), STATUS_INVALID);
	assert_int_equal(DMAR(9, 0, 4), STATUS_INVALID);
	assert_int_equal(DMAR(9, 0, 4, 0, 9), STATUS_INVALID);
	assert_int_equal(DMAR(0, 0, 8, 0, 0, 0, 0, 0), STATUS_INVALID);                           /* DRHD cut short */
	assert_int_equal(DMAR(1, 0, 8, 0, 0, 0, 0, 0), STATUS_INVALID);                           /* RMRR */
	assert_int_equal(DMAR(DRHD(24, 0, 0xFED90000u), 3, 0, 0, 0, 7, 0, 0, 0), STATUS_INVALID); /* scope of none */
	assert_int_equal(DMAR(DRHD(24, 0, 0xFED90000u), 3, 9, 0, 0, 7, 0, 0, 0), STATUS_INVALID); /* beyond it */
	assert_int_equal(DMAR(DRHD(22, 0, 0xFED90000u), 3, 6, 0, 0, 7, 0), STATUS_INVALID);       /* no path */
	assert_int_equal(DMAR(DRHD(16, 0, 0xFED90800u)), STATUS_INVALID);                         /* base */
	assert_int_equal(DMAR(DRHD(16, 0, 0u)), STATUS_INVALID);
}

static void acpi_parse_dmar__more_units_than_room__invalid(void **state)
{
	uint8_t many[16 * (ACPI_IOMMUS_MAX + 1)];

	(void)state;
	for (unsigned i = 0; i <= ACPI_IOMMUS_MAX; i++) {
		const uint8_t one[] = { DRHD(16, 0, 0xFED00000u + i * 0x1000u) };

		memcpy(many + 16 * i, one, 16);
	}
	assert_int_equal(parse(acpi_parse_dmar, many, sizeof(many) - 16), STATUS_OK);
	assert_int_equal(info.iommu_count, ACPI_IOMMUS_MAX);
	assert_int_equal(parse(acpi_parse_dmar, many, sizeof(many)), STATUS_INVALID);
}

#define IVHD(type, bytes, base)                type, 0, bytes, 0, 2, 0, 0x40, 0, U64(base), 0, 0, 0, 0, 0, 0, 0, 0
#define IVHD_MORE                              0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0
#define IVMD(type, first, last, start, length) type, 8, 32, 0, first, 0, last, 0, 0, 0, 0, 0, 0, 0, 0, 0, U64(start), U64(length)

static void acpi_parse_ivrs__one_unit_in_three_forms__counted_once(void **state)
{
	(void)state;
	assert_int_equal(IVRS(IVHD(0x10, 36, 0xFD200000u), 2, 8, 0, 0, /* a device */
	                      0x48, 0, 0, 0, 9, 0xA0, 0, 1,            /* IOAPIC 9 is 00:14.0 */
	                      IVHD(0x11, 40, 0xFD200000u), IVHD_MORE,  /* */
	                      IVHD(0x40, 66, 0xFD200000u), IVHD_MORE,  /* with an ACPI device of 4 letters */
	                      0xF0, 0, 0, 0, 'A', 'M', 'D', 'I', '0', '0', '2', '0', 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 'a', 'b', 'c', 'd'),
	                 STATUS_OK);
	assert_int_equal(info.iommu_count, 1);
	assert_int_equal(info.iommus[0].base, 0xFD200000);
	assert_int_equal(info.iommus[0].rid, 2);
	assert_int_equal(info.ioapic_rid_count, 1);
	assert_int_equal(info.ioapic_rids[0].ioapic_id, 9);
	assert_int_equal(info.ioapic_rids[0].rid, 0xA0);
}

static void acpi_parse_ivrs__reserved_memory__for_one_some_or_all(void **state)
{
	(void)state;
	assert_int_equal(IVRS(IVMD(0x21, 0x18, 0, 0x7F000000u, 0x1000u), IVMD(0x22, 0x20, 0x27, 0x7F001000u, 0x2000u),
	                      IVMD(0x20, 5, 6, 0x7F003000u, 0x1000u), IVMD(0x21, 1, 1, 0x7F000000u, 0x800u)),
	                 STATUS_OK);
	assert_int_equal(info.reserved_count, 3);
	assert_int_equal(info.iommu_skipped, 1);
	assert_int_equal(info.reserved[0].first_rid << 16 | info.reserved[0].last_rid, 0x180018);
	assert_int_equal(info.reserved[1].first_rid << 16 | info.reserved[1].last_rid, 0x200027);
	assert_int_equal(info.reserved[1].last, 0x7F002FFF);
	assert_int_equal(info.reserved[2].first_rid << 16 | info.reserved[2].last_rid, 0xFFFF);
}

static void acpi_parse_ivrs__impossible_lengths__invalid(void **state)
{
	(void)state;
	assert_int_equal(IVRS(IVHD(0x10, 23, 0xFD200000u)), STATUS_INVALID);
	assert_int_equal(IVRS(IVHD(0x11, 24, 0xFD200000u)), STATUS_INVALID);
	assert_int_equal(IVRS(IVHD(0x10, 26, 0xFD200000u), 2, 8), STATUS_INVALID);
	assert_int_equal(IVRS(IVHD(0x10, 28, 0xFD200000u), 0x48, 0, 0, 0), STATUS_INVALID);
	assert_int_equal(IVRS(IVHD(0x10, 28, 0xFD200000u), 0xF0, 0, 0, 0), STATUS_INVALID);
	assert_int_equal(IVRS(IVHD(0x10, 32, 0xFD200000u), 0xC0, 0, 0, 0, 0, 0, 0, 0), STATUS_INVALID);
	assert_int_equal(IVRS(0x21, 8, 24, 0, IVHD_MORE, 0, 0, 0, 0), STATUS_INVALID);
	assert_int_equal(IVRS(0x10, 0, 4, 0), STATUS_INVALID);
	assert_int_equal(IVRS(0x99, 0, 4, 0), STATUS_OK);
	assert_int_equal(info.iommu_skipped_type, 0x99);
}

static void parsers__random_bytes__stay_inside_and_in_bounds(void **state)
{
	uint8_t bytes[96];

	(void)state;
	srand(7);
	for (unsigned round = 0; round < 200000; round++) {
		size_t n = (size_t)rand() % sizeof(bytes);

		for (size_t i = 0; i < n; i++)
			bytes[i] = (uint8_t)(rand() % 4 ? rand() % 50 : rand());
		if (n > 4)
			bytes[3] = 0;
		(void)!parse(round % 2 ? acpi_parse_dmar : acpi_parse_ivrs, bytes, n);
		assert_true(info.iommu_count <= ACPI_IOMMUS_MAX && info.reserved_count <= ACPI_RESERVED_MAX);
		assert_true(info.ioapic_rid_count <= ACPI_IOAPICS_MAX);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(acpi_parse_dmar__units_and_scopes__ioapic_and_reserved_memory_found),
		cmocka_unit_test(acpi_parse_dmar__unknown_or_unusable_entries__counted_and_skipped),
		cmocka_unit_test(acpi_parse_dmar__impossible_lengths__invalid),
		cmocka_unit_test(acpi_parse_dmar__more_units_than_room__invalid),
		cmocka_unit_test(acpi_parse_ivrs__one_unit_in_three_forms__counted_once),
		cmocka_unit_test(acpi_parse_ivrs__reserved_memory__for_one_some_or_all),
		cmocka_unit_test(acpi_parse_ivrs__impossible_lengths__invalid),
		cmocka_unit_test(parsers__random_bytes__stay_inside_and_in_bounds),
	};

	return cmocka_run_group_tests_name("acpi_iommu", tests, NULL, NULL);
}
