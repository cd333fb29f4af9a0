/* Finds and verifies the tables; acpi_tables.c reads their contents. See acpi.h. */
#include "arch/x86_64/acpi.h"
#include "arch/x86_64/string.h"

#define HEADER_BYTES  36u /* 5.2.6 System Description Table Header */
#define TABLE_MAX     (1u << 20)
#define RSDP_V1_BYTES 20u
#define RSDP_V2_BYTES 36u
#define ROOT_ENTRIES  256u

static uint8_t sum(const uint8_t *p, size_t bytes)
{
	uint8_t s = 0;

	while (bytes--)
		s = (uint8_t)(s + *p++);
	return s;
}

static const uint8_t *refuse_table(const struct acpi_access *access, const char *name, const char *what)
{
	access->complain(name, what);
	return NULL;
}

/* Maps the table at `base`, header first. NULL, and a complaint under `name`, unless signature, length and
 * checksum are right. */
static const uint8_t *open_table(const struct acpi_access *access, hpa_t base, const char *name, struct acpi_table_ref *ref)
{
	const uint8_t *t = base ? access->map(base, HEADER_BYTES) : NULL;

	if (!t)
		return refuse_table(access, name, "its address cannot be read");
	uint32_t bytes = (uint32_t)load_le(t + 4, 4);

	if (strncmp((const char *)t, name, 4))
		return refuse_table(access, name, "its signature is wrong");
	if (bytes < HEADER_BYTES || bytes > TABLE_MAX || !(t = access->map(base, bytes)))
		return refuse_table(access, name, "its length is impossible");
	if (sum(t, bytes))
		return refuse_table(access, name, "its checksum is wrong");
	*ref = (struct acpi_table_ref){ base, bytes };
	return t;
}

static const struct known_table {
	char signature[5];
	size_t ref; /* offset of its struct acpi_table_ref in struct acpi_info */
	enum status (*parse)(const uint8_t *table, size_t bytes, struct acpi_info *out);
} known_tables[] = {
	{ "APIC", offsetof(struct acpi_info, madt), acpi_parse_madt },
	{ "FACP", offsetof(struct acpi_info, fadt), acpi_parse_fadt },
	{ "MCFG", offsetof(struct acpi_info, mcfg), NULL },
	{ "HPET", offsetof(struct acpi_info, hpet), acpi_parse_hpet },
	{ "DMAR", offsetof(struct acpi_info, dmar), acpi_parse_dmar },
	{ "IVRS", offsetof(struct acpi_info, ivrs), acpi_parse_ivrs },
};

static void read_table(const struct acpi_access *access, hpa_t base, struct acpi_info *out)
{
	const uint8_t *t = base ? access->map(base, HEADER_BYTES) : NULL;

	if (!t) {
		access->complain("?", "an entry of the root table points nowhere");
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(known_tables); i++) {
		const struct known_table *k = &known_tables[i];
		struct acpi_table_ref *ref = (struct acpi_table_ref *)((char *)out + k->ref);

		if (strncmp((const char *)t, k->signature, 4) || ref->base)
			continue;
		const struct acpi_info before = *out;

		t = open_table(access, base, k->signature, ref);
		if (t && k->parse && k->parse(t, ref->bytes, out) != STATUS_OK) {
			*out = before; /* nothing of a table that cannot be believed */
			access->complain(k->signature, "its contents are malformed");
		}
		return;
	}
}

enum status acpi_scan(const void *rsdp, size_t bytes, const struct acpi_access *access, struct acpi_info *out)
{
	const uint8_t *r = rsdp, *root;
	struct acpi_table_ref ref;
	bool xsdt;
	size_t width;

	memset(out, 0, sizeof(*out));
	if (bytes < RSDP_V1_BYTES || strncmp((const char *)r, "RSD PTR ", 8) || sum(r, RSDP_V1_BYTES)) {
		access->complain("RSDP", "signature or checksum is wrong");
		return STATUS_INVALID;
	}
	/* 5.2.5.3: from revision 2 on the XSDT counts, if the extended checksum is right. */
	xsdt = r[15] >= 2 && bytes >= RSDP_V2_BYTES && !sum(r, RSDP_V2_BYTES) && load_le(r + 24, 8);
	width = xsdt ? 8 : 4;
	root = open_table(access, load_le(xsdt ? r + 24 : r + 16, width), xsdt ? "XSDT" : "RSDT", &ref);
	if (!root)
		return STATUS_INVALID;
	for (size_t at = HEADER_BYTES, n = 0; at + width <= ref.bytes && n < ROOT_ENTRIES; at += width, n++)
		read_table(access, load_le(root + at, width), out);
	return STATUS_OK;
}
