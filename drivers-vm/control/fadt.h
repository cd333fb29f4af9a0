/* What the control VM takes from the firmware's Fixed ACPI Description Table. Pure. ACPI 6.5, 5.2.9. */
#ifndef DRIVERS_VM_CONTROL_FADT_H
#define DRIVERS_VM_CONTROL_FADT_H

#include <stddef.h>
#include <stdint.h>

struct fadt {
	uint64_t dsdt;               /* host-physical address, not verified; 0: none */
	uint16_t pm1a_cnt, pm1b_cnt; /* ports; 0: absent, or no ports */
};

/* Never reads past `bytes`; what a table is too short for is 0. */
void fadt_read(const uint8_t *table, size_t bytes, struct fadt *out);

#endif
