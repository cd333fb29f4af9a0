/*
 * See firmware.h. The kernel has verified FADT, MADT and MCFG; the DSDT, which it does not look at, is verified here. What they say is the
 * firmware's: an address in them may be wrong, but the kernel lets nobody reach memory that is in use.
 */
#include "drivers-vm/control/firmware.h"
#include "drivers-vm/control/control.h"
#include "drivers-vm/control/guard.h"
#include "drivers-vm/control/host_acpi.h"
#include "drivers-vm/control/s5.h"
#include <stdlib.h>
#include <string.h>

#define HEADER_BYTES 36u /* ACPI 6.5, 5.2.6 System Description Table Header: length at 4 */
#define TABLE_MAX    (1u << 20)

#define PM1_SLP_EN        (1u << 13) /* 4.8.3.2.1 PM1 Control Registers */
#define PM1_SLP_TYP_SHIFT 10
#define PATIENCE_NS       100000000u

static uint8_t *madt, *mcfg;
static uint64_t madt_bytes, mcfg_bytes;
static struct host_fadt fadt;
static struct s5 soft_off = { 5, 5 }; /* what most firmware uses */

/* `bytes` of the host's memory at `hpa`, on the heap; NULL if they cannot be read. */
static uint8_t *read_host(uint64_t hpa, uint64_t bytes)
{
	uint64_t first = hpa & ~4095ull, span = ((hpa + bytes + 4095) & ~4095ull) - first;
	int64_t memory = hc(HC_MEMORY_CREATE, HILUM_HANDLE_HOST, span, HILUM_MEMORY_DEVICE, first);
	uint8_t *copy = memory >= 0 ? malloc(bytes) : NULL, *here;

	if (copy != NULL && control_map_here((hilum_handle_t)memory, span, &here)) {
		memcpy(copy, here + (hpa - first), bytes);
		control_unmap_here(here, span);
	} else {
		free(copy);
		copy = NULL;
	}
	if (memory >= 0)
		hc(HC_HANDLE_CLOSE, (uint64_t)memory);
	return copy;
}

static uint8_t *read_table(const struct hilum_boot_table *t)
{
	return t->hpa != 0 ? read_host(t->hpa, t->bytes) : NULL;
}

/* NULL unless signature, length and checksum are right. */
static uint8_t *read_dsdt(uint64_t hpa, uint32_t *bytes)
{
	uint8_t *header = hpa != 0 ? read_host(hpa, HEADER_BYTES) : NULL, *table = NULL, sum = 0;

	if (header != NULL && memcmp(header, "DSDT", 4) == 0) {
		memcpy(bytes, header + 4, sizeof(*bytes));
		table = *bytes >= HEADER_BYTES && *bytes <= TABLE_MAX ? read_host(hpa, *bytes) : NULL;
	}
	free(header);
	for (uint32_t i = 0; table != NULL && i < *bytes; i++)
		sum = (uint8_t)(sum + table[i]);
	if (sum == 0)
		return table;
	free(table);
	return NULL;
}

void firmware_init(void)
{
	const struct hilum_boot_info *info = (const struct hilum_boot_info *)HILUM_SERVICE_BOOT_INFO_GPA;
	uint8_t *table = read_table(&info->fadt);
	uint32_t bytes = 0;

	madt = read_table(&info->madt);
	madt_bytes = info->madt.bytes;
	mcfg = read_table(&info->mcfg);
	mcfg_bytes = info->mcfg.bytes;
	if (table == NULL)
		return;
	host_acpi_read_fadt(table, info->fadt.bytes, &fadt);
	free(table);
	table = read_dsdt(fadt.dsdt, &bytes);
	if (table == NULL)
		service_log("the firmware's DSDT cannot be read");
	else if (!s5_find(table, bytes, &soft_off))
		service_log("the firmware's \\_S5_ is not to be found: trying type 5");
	free(table);
}

const uint8_t *firmware_mcfg(uint64_t *bytes)
{
	*bytes = mcfg_bytes;
	return mcfg;
}

uint32_t firmware_gsi(uint8_t irq)
{
	return madt != NULL ? host_acpi_gsi(madt, madt_bytes, irq) : irq;
}

static void enter_sleep(uint16_t port, uint8_t type)
{
	uint16_t value = (uint16_t)(type << PM1_SLP_TYP_SHIFT | PM1_SLP_EN);

	if (port == 0)
		return;
	int64_t granted = hc(HC_VM_GRANT_PORTS, HILUM_HANDLE_SELF, HILUM_HANDLE_HOST, port, 2);
	if (granted < 0)
		service_log("port 0x%x: %s", port, control_error(granted));
	else
		__asm__ volatile("outw %0, %1" ::"a"(value), "Nd"(port));
}

void firmware_power_off(void)
{
	uint64_t deadline = service_tsc() + service_ns_to_tsc(PATIENCE_NS);

	enter_sleep(fadt.pm1a_cnt, soft_off.slp_typ_a);
	enter_sleep(fadt.pm1b_cnt, soft_off.slp_typ_b);
	while (service_tsc() < deadline)
		guard_wait(deadline);
	service_log("this machine cannot be powered off: %s",
	            fadt.pm1a_cnt != 0 ? "it did not obey" : "it has no ACPI PM1 control register");
}
