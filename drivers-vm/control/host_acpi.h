/* What the control VM takes from the firmware's tables. Pure: no call reads past `bytes`. ACPI 6.5. */
#ifndef DRIVERS_VM_CONTROL_HOST_ACPI_H
#define DRIVERS_VM_CONTROL_HOST_ACPI_H

#include <stddef.h>
#include <stdint.h>

/* 5.2.9 Fixed ACPI Description Table */
struct host_fadt {
	uint64_t dsdt;               /* host-physical address, not verified; 0: none */
	uint16_t pm1a_cnt, pm1b_cnt; /* ports; 0: absent, or no ports */
};

/* What a table is too short for is 0. */
void host_acpi_read_fadt(const uint8_t *table, size_t bytes, struct host_fadt *out);

/* 5.2.12 Multiple APIC Description Table: the global system interrupt that ISA interrupt `irq` arrives as. */
uint32_t host_acpi_gsi(const uint8_t *table, size_t bytes, uint8_t irq);

#endif
