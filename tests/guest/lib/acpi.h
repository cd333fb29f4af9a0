/*
 * ACPI tables as the test guests find them.
 */
#ifndef TESTS_GUEST_LIB_ACPI_H
#define TESTS_GUEST_LIB_ACPI_H

#include <stdint.h>

/*
 * The first table with this four-letter signature and a good checksum, by way of the RSDP in
 * 0xE0000..0xFFFFF; NULL if none.
 */
const uint8_t *acpi_find_table(const char *signature);

/* Base of the configuration space of bus 0 from the MCFG, or 0. */
uint64_t acpi_ecam_base(void);

#endif
