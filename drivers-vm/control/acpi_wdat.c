/*
 * WDAT: what to do to which register (Microsoft, "Hardware Watchdog Timers Design Specification", Watchdog Action Table). The registers
 * are those of drivers-vm/lib/platform.h.
 */
#include "drivers-vm/control/acpi_wdat.h"

#include "drivers-vm/lib/platform.h"

#define HEADER_BYTES   32u
#define FLAG_ENABLED   1u
#define NO_PCI_SEGMENT 0xFFu /* a byte of ones, in a word: what operating systems look for */
#define NO_PCI_BUS     0xFFu

#define ACTION_RESET         1u
#define ACTION_QUERY_LEFT    4u
#define ACTION_QUERY_COUNT   5u
#define ACTION_SET_COUNT     6u
#define ACTION_QUERY_RUNNING 8u
#define ACTION_SET_RUNNING   9u
#define ACTION_QUERY_STOPPED 10u
#define ACTION_SET_STOPPED   11u

#define READ_VALUE  0u
#define READ_COUNT  1u
#define WRITE_VALUE 2u
#define WRITE_COUNT 3u

#define GAS_SYSTEM_IO 1u

static const struct {
	uint8_t action, instruction;
	uint8_t offset, bytes; /* of the register */
	uint32_t value;
} entries[] = {
	{ ACTION_RESET, WRITE_VALUE, PLATFORM_WATCHDOG_TOUCH, 1, 1 },
	{ ACTION_QUERY_LEFT, READ_COUNT, PLATFORM_WATCHDOG_LEFT, 2, 0 },
	{ ACTION_QUERY_COUNT, READ_COUNT, PLATFORM_WATCHDOG_COUNT, 2, 0 },
	{ ACTION_SET_COUNT, WRITE_COUNT, PLATFORM_WATCHDOG_COUNT, 2, 0 },
	{ ACTION_QUERY_RUNNING, READ_VALUE, PLATFORM_WATCHDOG_RUNNING, 1, 1 },
	{ ACTION_SET_RUNNING, WRITE_VALUE, PLATFORM_WATCHDOG_RUNNING, 1, 1 },
	{ ACTION_QUERY_STOPPED, READ_VALUE, PLATFORM_WATCHDOG_RUNNING, 1, 0 },
	{ ACTION_SET_STOPPED, WRITE_VALUE, PLATFORM_WATCHDOG_RUNNING, 1, 0 },
};
#define ENTRIES (sizeof(entries) / sizeof(entries[0]))

/* 5.2.3.2 Generic Address Structure. */
static void put_register(struct aml_writer *w, unsigned offset, unsigned bytes)
{
	aml_put_u8(w, GAS_SYSTEM_IO);
	aml_put_u8(w, (uint8_t)(8 * bytes));
	aml_put_u8(w, 0);
	aml_put_u8(w, (uint8_t)bytes); /* access size: 1 is a byte, 2 a word */
	aml_put_u64(w, PLATFORM_WATCHDOG_PORT + offset);
}

void acpi_put_wdat(struct aml_writer *w)
{
	size_t table = aml_begin_table(w, "WDAT", 1);

	aml_put_u32(w, HEADER_BYTES);
	aml_put_u16(w, NO_PCI_SEGMENT);
	aml_put_u8(w, NO_PCI_BUS);
	aml_put_u8(w, 0xFF); /* nor device */
	aml_put_u8(w, 0xFF); /* nor function */
	aml_put_zeros(w, 3);
	aml_put_u32(w, PLATFORM_WATCHDOG_PERIOD_MS);
	aml_put_u32(w, PLATFORM_WATCHDOG_COUNT_MAX);
	aml_put_u32(w, PLATFORM_WATCHDOG_COUNT_MIN);
	aml_put_u8(w, FLAG_ENABLED);
	aml_put_zeros(w, 3);
	aml_put_u32(w, ENTRIES);
	for (unsigned i = 0; i < ENTRIES; i++) {
		aml_put_u8(w, entries[i].action);
		aml_put_u8(w, entries[i].instruction);
		aml_put_u16(w, 0);
		put_register(w, entries[i].offset, entries[i].bytes);
		aml_put_u32(w, entries[i].value);
		aml_put_u32(w, entries[i].bytes == 1 ? 0xFF : 0xFFFF);
	}
	aml_end_table(w, table);
}
