/* See host_acpi.h. */
#include "drivers-vm/control/host_acpi.h"

#include <stdbool.h>
#include <string.h>

/* Offsets in the FADT. Addresses have a 32-bit form, and a 64-bit one in later revisions that counts where it is there and not 0. */
enum { DSDT = 40, PM1A_CNT_BLK = 64, PM1B_CNT_BLK = 68, FLAGS = 112, X_DSDT = 140, X_PM1A_CNT_BLK = 172, X_PM1B_CNT_BLK = 184 };

#define FLAG_HW_REDUCED (1u << 20)
#define GAS_PORT        1u /* address space of a Generic Address Structure, 5.2.3.2; its address follows at 4 */

static uint64_t get(const uint8_t *table, size_t bytes, size_t at, size_t width)
{
	uint64_t value = 0;

	if (at + width <= bytes)
		memcpy(&value, table + at, width);
	return value;
}

static uint16_t get_port(const uint8_t *table, size_t bytes, size_t at, size_t extended)
{
	uint64_t port = get(table, bytes, at, 4);

	if (get(table, bytes, extended, 1) == GAS_PORT && get(table, bytes, extended + 4, 8) != 0)
		port = get(table, bytes, extended + 4, 8);
	return port <= UINT16_MAX ? (uint16_t)port : 0;
}

void host_acpi_read_fadt(const uint8_t *table, size_t bytes, struct host_fadt *out)
{
	bool registers = !(get(table, bytes, FLAGS, 4) & FLAG_HW_REDUCED);

	out->dsdt = get(table, bytes, X_DSDT, 8);
	if (out->dsdt == 0)
		out->dsdt = get(table, bytes, DSDT, 4);
	out->pm1a_cnt = registers ? get_port(table, bytes, PM1A_CNT_BLK, X_PM1A_CNT_BLK) : 0;
	out->pm1b_cnt = registers ? get_port(table, bytes, PM1B_CNT_BLK, X_PM1B_CNT_BLK) : 0;
}

enum { MADT_ENTRIES = 44, ENTRY_OVERRIDE = 2, OVERRIDE_BYTES = 10 };

uint32_t host_acpi_gsi(const uint8_t *table, size_t bytes, uint8_t irq)
{
	/* Each entry begins with its type and its length. */
	for (size_t at = MADT_ENTRIES, length; at < bytes; at += length) {
		length = get(table, bytes, at + 1, 1);
		if (length < 2 || length > bytes - at)
			break;
		if (table[at] == ENTRY_OVERRIDE && length >= OVERRIDE_BYTES && table[at + 2] == 0 && table[at + 3] == irq)
			return (uint32_t)get(table, bytes, at + 4, 4);
	}
	return irq;
}
