/* See fadt.h. */
#include "drivers-vm/control/fadt.h"

#include <stdbool.h>
#include <string.h>

/* Offsets. Addresses have a 32-bit form, and a 64-bit one in later revisions that counts where it is there and not 0. */
enum { DSDT = 40, PM1A_CNT_BLK = 64, PM1B_CNT_BLK = 68, FLAGS = 112, X_DSDT = 140, X_PM1A_CNT_BLK = 172, X_PM1B_CNT_BLK = 184 };

#define FLAG_HW_REDUCED (1u << 20)
#define GAS_PORT	1u /* address space of a Generic Address Structure, 5.2.3.2; its address follows at 4 */

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

void fadt_read(const uint8_t *table, size_t bytes, struct fadt *out)
{
	bool registers = !(get(table, bytes, FLAGS, 4) & FLAG_HW_REDUCED);

	out->dsdt = get(table, bytes, X_DSDT, 8);
	if (out->dsdt == 0)
		out->dsdt = get(table, bytes, DSDT, 4);
	out->pm1a_cnt = registers ? get_port(table, bytes, PM1A_CNT_BLK, X_PM1A_CNT_BLK) : 0;
	out->pm1b_cnt = registers ? get_port(table, bytes, PM1B_CNT_BLK, X_PM1B_CNT_BLK) : 0;
}
