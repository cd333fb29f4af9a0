/* Facts about the finished boot, for the layers above; and the early map that only code before mm_init's CR3
 * load may use. */
#ifndef BOOT_BOOT_H
#define BOOT_BOOT_H

#include "boot/boot_info.h"
#include "arch/x86_64/acpi.h"

/*
 * An address for [hpa, hpa + bytes) in the first tables; below 4 GiB the identity, above it up to 1 GiB in
 * all (never given back). NULL when that is used up or the range wraps. Valid until mm_init loads CR3.
 */
void *early_map(hpa_t hpa, uint64_t bytes);

/*
 * Looks for word `key` on the kernel's command line: "key" or "key=value", words split by spaces. Returns the
 * value's first character (an empty string for a bare key), NULL if absent. The value ends at a space or NUL.
 */
const char *boot_option(const char *key);

/* The boot core's view of the machine; complete before mm_init is called. */
const struct boot_info *boot_info_get(void);
const struct acpi_info *boot_acpi_get(void);

#endif
