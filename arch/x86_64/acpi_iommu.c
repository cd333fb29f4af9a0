/*
 * Contents of DMAR and IVRS. Pure; each field is read only after the length that covers it was checked. An entry that is not known
 * or not used here is counted and skipped; one whose length cannot be makes the whole table unusable. Which devices an IOMMU serves
 * is not asked: each is programmed as if all were its own.
 */
#include "arch/x86_64/acpi.h"
#include "arch/x86_64/string.h"

#define ENTRIES 48u /* of both tables; each begins with its type and a 16-bit length at offset 2 */

static void skip(struct acpi_info *out, uint32_t type)
{
	if (!out->iommu_skipped++)
		out->iommu_skipped_type = type;
}

static enum status add_iommu(struct acpi_info *out, struct acpi_iommu iommu)
{
	for (uint32_t i = 0; i < out->iommu_count; i++) /* IVRS describes one in up to three forms */
		if (out->iommus[i].base == iommu.base)
			return STATUS_OK;
	if (out->iommu_count == ACPI_IOMMUS_MAX || !iommu.base || iommu.base & PAGE_MASK)
		return STATUS_INVALID;
	out->iommus[out->iommu_count++] = iommu;
	return STATUS_OK;
}

static void add_reserved(struct acpi_info *out, struct acpi_reserved r, uint32_t type)
{
	if (out->reserved_count == ACPI_RESERVED_MAX || r.last < r.first || (r.first | ~r.last) & PAGE_MASK)
		skip(out, type);
	else
		out->reserved[out->reserved_count++] = r;
}

static void set_ioapic(struct acpi_info *out, uint8_t id, uint32_t rid)
{
	if (out->ioapic_rid_count < ACPI_IOAPICS_MAX)
		out->ioapic_rids[out->ioapic_rid_count++] = (struct acpi_ioapic_rid){ id, (uint16_t)rid };
}

/* ---- DMAR: VT-d specification 4.1, 8.3 DRHD, 8.4 RMRR ---- */

enum { DMAR_DRHD = 0, DMAR_RMRR = 1, SCOPE_ENDPOINT = 1, SCOPE_IOAPIC = 3 };
#define SCOPE_ONE_HOP 8u /* bytes; more for what lies behind a bridge */

/* 8.3.1: the devices that an entry is about; of a unit only IOAPICs matter. */
static enum status parse_scopes(const uint8_t *s, size_t bytes, struct acpi_reserved *reserved, struct acpi_info *out)
{
	for (size_t left = bytes; left; left -= s[1], s += s[1]) {
		if (left < SCOPE_ONE_HOP || s[1] < SCOPE_ONE_HOP || s[1] > left)
			return STATUS_INVALID;
		uint16_t rid = (uint16_t)(s[5] << 8 | (s[6] & 31) << 3 | (s[7] & 7));

		if (!reserved && s[0] == SCOPE_IOAPIC && s[1] == SCOPE_ONE_HOP)
			set_ioapic(out, s[4], rid);
		if (reserved && (s[0] != SCOPE_ENDPOINT || s[1] != SCOPE_ONE_HOP))
			skip(out, DMAR_RMRR);
		else if (reserved) {
			reserved->first_rid = reserved->last_rid = rid;
			add_reserved(out, *reserved, DMAR_RMRR);
		}
	}
	return STATUS_OK;
}

static enum status parse_dmar_entry(const uint8_t *e, size_t bytes, struct acpi_info *out)
{
	uint16_t segment = bytes < 16 ? 0 : (uint16_t)load_le(e + 6, 2);

	if (load_le(e, 2) == DMAR_DRHD) {
		if (bytes < 16 || add_iommu(out, (struct acpi_iommu){ load_le(e + 8, 8), segment, 0 }) != STATUS_OK)
			return STATUS_INVALID;
		return parse_scopes(e + 16, bytes - 16, NULL, out);
	}
	if (load_le(e, 2) == DMAR_RMRR && !segment) {
		if (bytes < 24)
			return STATUS_INVALID;
		struct acpi_reserved r = { .first = load_le(e + 8, 8), .last = load_le(e + 16, 8) };

		return parse_scopes(e + 24, bytes - 24, &r, out);
	}
	skip(out, (uint32_t)load_le(e, 2));
	return STATUS_OK;
}

enum status acpi_parse_dmar(const uint8_t *table, size_t bytes, struct acpi_info *out)
{
	return acpi_walk(table, bytes, ENTRIES, 2, parse_dmar_entry, out);
}

/* ---- IVRS: AMD IOMMU specification 3.08, 5.2.2 IVHD and IVMD ---- */

enum { IVHD_10 = 0x10, IVHD_11 = 0x11, IVHD_40 = 0x40, IVMD_ALL = 0x20, IVMD_ONE = 0x21, IVMD_RANGE = 0x22 };
enum { IVHD_SPECIAL = 0x48, IVHD_ACPI_HID = 0xF0, SPECIAL_IOAPIC = 1 };

static enum status parse_ivhd(const uint8_t *e, size_t bytes, struct acpi_info *out)
{
	size_t at = e[0] == IVHD_10 ? 24 : 40, n;
	struct acpi_iommu iommu = { load_le(e + 8, 8), (uint16_t)load_le(e + 16, 2), (uint16_t)load_le(e + 4, 2) };

	if (bytes < at || add_iommu(out, iommu) != STATUS_OK)
		return STATUS_INVALID;
	for (const uint8_t *d = e + at; at < bytes; at += n, d += n) {
		n = (size_t)4 << (d[0] >> 6); /* 4 bytes for types below 40h, then 8, 16, 32; but one says itself: */
		if (d[0] == IVHD_ACPI_HID)
			n = bytes - at < 22 ? bytes : 22u + d[21];
		if (n > bytes - at)
			return STATUS_INVALID;
		if (d[0] == IVHD_SPECIAL && d[7] == SPECIAL_IOAPIC)
			set_ioapic(out, d[4], d[5] | (uint32_t)d[6] << 8);
	}
	return STATUS_OK;
}

static enum status parse_ivmd(const uint8_t *e, struct acpi_info *out)
{
	struct acpi_reserved r = { .first = load_le(e + 16, 8), .last_rid = 0xFFFF };

	r.last = r.first + load_le(e + 24, 8) - 1;
	if (e[0] != IVMD_ALL) {
		r.first_rid = (uint16_t)load_le(e + 4, 2);
		r.last_rid = e[0] == IVMD_ONE ? r.first_rid : (uint16_t)load_le(e + 6, 2);
	}
	add_reserved(out, r, e[0]);
	return STATUS_OK;
}

static enum status parse_ivrs_entry(const uint8_t *e, size_t bytes, struct acpi_info *out)
{
	bool is_unit = e[0] == IVHD_10 || e[0] == IVHD_11 || e[0] == IVHD_40;

	if (!is_unit && (e[0] < IVMD_ALL || e[0] > IVMD_RANGE)) {
		skip(out, e[0]);
		return STATUS_OK;
	}
	if (bytes < 24 || (!is_unit && bytes < 32))
		return STATUS_INVALID;
	return is_unit ? parse_ivhd(e, bytes, out) : parse_ivmd(e, out);
}

enum status acpi_parse_ivrs(const uint8_t *table, size_t bytes, struct acpi_info *out)
{
	return acpi_walk(table, bytes, ENTRIES, 2, parse_ivrs_entry, out);
}
