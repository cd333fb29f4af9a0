/*
 * Contents of DMAR and IVRS. Pure; each field is read only after the length that covers it was checked. An entry of a type that
 * is not known here is counted and skipped; one whose length cannot be, makes the whole table unusable. Which devices an IOMMU
 * serves is not asked: each is programmed as if all were its own.
 */
#include "arch/x86_64/acpi.h"
#include "arch/x86_64/string.h"

#define ENTRIES 48u /* of both tables */

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

static void add_ioapic_path(struct acpi_info *out, uint8_t id, struct acpi_path path)
{
	if (out->ioapic_path_count == ACPI_IOAPICS_MAX)
		return;
	out->ioapic_paths[out->ioapic_path_count].ioapic_id = id;
	out->ioapic_paths[out->ioapic_path_count++].path = path;
}

/* ---- DMAR ---- */

enum { DMAR_DRHD = 0, DMAR_RMRR = 1, DMAR_ATSR = 2, DMAR_RHSA = 3, DMAR_SATC = 5 };
enum { SCOPE_ENDPOINT = 1, SCOPE_IOAPIC = 3, SCOPE_PATH = 6 };

/* The device scopes in the rest of an entry: of a DRHD (`reserved` NULL) only the IOAPICs, of an RMRR each device. */
static enum status parse_scopes(const uint8_t *e, size_t bytes, const struct acpi_reserved *reserved,
				struct acpi_info *out)
{
	for (size_t at = 0; at < bytes; at += e[at + 1]) {
		const uint8_t *s = e + at;

		if (bytes - at < SCOPE_PATH || s[1] < SCOPE_PATH + 2 || s[1] > bytes - at)
			return STATUS_INVALID;
		struct acpi_path path = {.bus = s[5], .hops = (uint8_t)((s[1] - SCOPE_PATH) / 2)};

		if (path.hops > ACPI_PATH_HOPS) {
			skip(out, s[0]);
			continue;
		}
		for (unsigned i = 0; i < path.hops; i++)
			path.devfn[i] = (uint8_t)(s[SCOPE_PATH + 2 * i] << 3 | (s[SCOPE_PATH + 2 * i + 1] & 7));
		if (!reserved && s[0] == SCOPE_IOAPIC)
			add_ioapic_path(out, s[4], path);
		if (!reserved)
			continue;
		struct acpi_reserved r = *reserved;

		r.path = path;
		if (s[0] == SCOPE_ENDPOINT)
			add_reserved(out, r, DMAR_RMRR);
		else
			skip(out, s[0]);
	}
	return STATUS_OK;
}

static enum status parse_dmar_entry(const uint8_t *e, size_t bytes, struct acpi_info *out)
{
	uint32_t type = (uint32_t)load_le(e, 2);
	struct acpi_reserved r = {0};

	switch (type) {
	case DMAR_DRHD:
		if (bytes < 16 || add_iommu(out, (struct acpi_iommu){.base = load_le(e + 8, 8),
								      .segment = (uint16_t)load_le(e + 6, 2)}))
			return STATUS_INVALID;
		return parse_scopes(e + 16, bytes - 16, NULL, out);
	case DMAR_RMRR:
		if (bytes < 24)
			return STATUS_INVALID;
		r.first = load_le(e + 8, 8);
		r.last = load_le(e + 16, 8);
		if (!load_le(e + 6, 2))
			return parse_scopes(e + 24, bytes - 24, &r, out);
		skip(out, type); /* of another PCI segment */
		break;
	case DMAR_ATSR: /* address translation services and memory affinity are not used */
	case DMAR_RHSA:
	case DMAR_SATC:
		break;
	default:
		skip(out, type);
	}
	return STATUS_OK;
}

enum status acpi_parse_dmar(const uint8_t *table, size_t bytes, struct acpi_info *out)
{
	for (size_t at = ENTRIES; at < bytes; at += load_le(table + at + 2, 2)) {
		if (bytes - at < 4 || load_le(table + at + 2, 2) < 4 || load_le(table + at + 2, 2) > bytes - at ||
		    parse_dmar_entry(table + at, load_le(table + at + 2, 2), out) != STATUS_OK)
			return STATUS_INVALID;
	}
	return STATUS_OK;
}

/* ---- IVRS ---- */

enum { IVHD_10 = 0x10, IVHD_11 = 0x11, IVHD_40 = 0x40, IVMD_ALL = 0x20, IVMD_ONE = 0x21, IVMD_RANGE = 0x22 };
enum { IVHD_SPECIAL = 0x48, IVHD_ACPI_HID = 0xF0, SPECIAL_IOAPIC = 1 };

/* 5.2.2.1: 4 bytes for types below 40h, then 8, 16, 32; F0h says itself how long its unique identifier is. 0: damaged. */
static size_t ivhd_entry_bytes(const uint8_t *e, size_t left)
{
	size_t bytes = (size_t)4 << (e[0] >> 6);

	if (e[0] == IVHD_ACPI_HID)
		bytes = left < 22 ? 0 : 22u + e[21];
	return bytes <= left ? bytes : 0;
}

static enum status parse_ivhd(const uint8_t *e, size_t bytes, struct acpi_info *out)
{
	size_t n, at = e[0] == IVHD_10 ? 24 : 40;

	if (bytes < at ||
	    add_iommu(out, (struct acpi_iommu){.base = load_le(e + 8, 8),
						.segment = (uint16_t)load_le(e + 16, 2),
						.rid = (uint16_t)load_le(e + 4, 2),
						.capability = (uint16_t)load_le(e + 6, 2)}) != STATUS_OK)
		return STATUS_INVALID;
	for (; at < bytes; at += n) {
		const uint8_t *d = e + at;

		n = ivhd_entry_bytes(d, bytes - at);
		if (!n)
			return STATUS_INVALID;
		if (d[0] == IVHD_SPECIAL && d[7] == SPECIAL_IOAPIC)
			add_ioapic_path(out, d[4], (struct acpi_path){.bus = d[6], .hops = 1, .devfn = {d[5]}});
	}
	return STATUS_OK;
}

static enum status parse_ivmd(const uint8_t *e, size_t bytes, struct acpi_info *out)
{
	struct acpi_reserved r = {.last_rid = 0xFFFF};

	if (bytes < 32)
		return STATUS_INVALID;
	r.first = load_le(e + 16, 8);
	r.last = r.first + load_le(e + 24, 8) - 1;
	if (e[0] != IVMD_ALL)
		r.first_rid = r.last_rid = (uint16_t)load_le(e + 4, 2);
	if (e[0] == IVMD_RANGE)
		r.last_rid = (uint16_t)load_le(e + 6, 2);
	add_reserved(out, r, e[0]);
	return STATUS_OK;
}

static enum status parse_ivrs_block(const uint8_t *e, size_t bytes, struct acpi_info *out)
{
	switch (e[0]) {
	case IVHD_10:
	case IVHD_11:
	case IVHD_40:
		return parse_ivhd(e, bytes, out);
	case IVMD_ALL:
	case IVMD_ONE:
	case IVMD_RANGE:
		return parse_ivmd(e, bytes, out);
	default:
		skip(out, e[0]);
		return STATUS_OK;
	}
}

enum status acpi_parse_ivrs(const uint8_t *table, size_t bytes, struct acpi_info *out)
{
	for (size_t at = ENTRIES; at < bytes; at += load_le(table + at + 2, 2)) {
		if (bytes - at < 4 || load_le(table + at + 2, 2) < 4 || load_le(table + at + 2, 2) > bytes - at ||
		    parse_ivrs_block(table + at, load_le(table + at + 2, 2), out) != STATUS_OK)
			return STATUS_INVALID;
	}
	return STATUS_OK;
}
