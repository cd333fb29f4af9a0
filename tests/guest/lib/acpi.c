/*
 * A walk over RSDP and XSDT or RSDT (ACPI 6.4, 5.2.5 to 5.2.8). Tables lie below 4 GiB.
 */
#include "tests/guest/lib/acpi.h"
#include "tests/guest/lib/text.h"

#define ACPI_HEADER_BYTES 36

static uint32_t acpi_u32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static uint64_t acpi_u64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static bool acpi_checksum_good(const uint8_t *p, unsigned bytes)
{
	uint8_t sum = 0;

	while (bytes--)
		sum = (uint8_t)(sum + *p++);
	return !sum;
}

static const uint8_t *acpi_find_rsdp(void)
{
	for (uint64_t at = 0xE0000; at < 0x100000; at += 16)
		if (!memcmp((const void *)at, "RSD PTR ", 8) && acpi_checksum_good((const void *)at, 20))
			return (const void *)at;
	return NULL;
}

const uint8_t *acpi_find_table(const char *signature)
{
	const uint8_t *rsdp = acpi_find_rsdp(), *root;
	unsigned entry = 4;

	if (!rsdp)
		return NULL;
	root = (const uint8_t *)(uint64_t)acpi_u32(rsdp + 16);
	if (rsdp[15] >= 2 && acpi_u64(rsdp + 24)) {
		root = (const uint8_t *)acpi_u64(rsdp + 24);
		entry = 8;
	}
	for (unsigned at = ACPI_HEADER_BYTES; at + entry <= acpi_u32(root + 4); at += entry) {
		uint64_t address = entry == 8 ? acpi_u64(root + at) : acpi_u32(root + at);
		const uint8_t *table = (const uint8_t *)address;

		if (!memcmp(table, signature, 4) && acpi_checksum_good(table, acpi_u32(table + 4)))
			return table;
	}
	return NULL;
}

uint64_t acpi_ecam_base(void)
{
	const uint8_t *mcfg = acpi_find_table("MCFG");

	return mcfg && acpi_u32(mcfg + 4) >= 60 ? acpi_u64(mcfg + 44) : 0;
}
