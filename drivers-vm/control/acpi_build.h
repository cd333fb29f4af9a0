/*
 * The guest's ACPI tables: RSDP, XSDT, hardware-reduced FADT, MADT, MCFG and DSDT for the platform of
 * drivers-vm/lib/platform.h. Pure: writes one image to be copied to PLATFORM_ACPI_BASE.
 */
#ifndef DRIVERS_VM_CONTROL_ACPI_BUILD_H
#define DRIVERS_VM_CONTROL_ACPI_BUILD_H

#include "drivers-vm/lib/platform.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ACPI_BUILD_BYTES_MAX (PLATFORM_ACPI_LIMIT - PLATFORM_ACPI_BASE)
#define ACPI_BUILD_RSDP_GPA  PLATFORM_ACPI_BASE

struct acpi_platform {
	uint32_t vcpus;     /* APIC ids 0 .. vcpus - 1 */
	uint32_t vcpus_max; /* more than `vcpus`: those up to here may come, and go again */
	bool watchdog;
	bool serial;                          /* COM1 is there */
	uint64_t channel_base, channel_bytes; /* window for the memory of channels; 0: none */
};

/*
 * Writes the tables to out[0 .. bytes) for guest-physical address PLATFORM_ACPI_BASE; the RSDP is at its
 * start. Returns the bytes used, or 0 if they do not fit or there is no vCPU.
 */
size_t acpi_build_tables(const struct acpi_platform *platform, uint8_t *out, size_t bytes);

#endif
