/* Facts about the finished boot, for the layers above; the early map that only code before mm_init's CR3
 * load may use; and making and starting cores. */
#ifndef BOOT_BOOT_H
#define BOOT_BOOT_H

#include "boot/boot_info.h"
#include "arch/x86_64/acpi.h"
#include "arch/x86_64/cpu.h"

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

/* The boot core's view of the machine; complete before mm_init is called, and read-only afterwards. */
extern struct boot_info boot_info;
extern struct acpi_info boot_acpi;

/* ---- For boot/ alone: the cores, and starting the others ---- */

/* Creates struct cpu and stack of core `id`. NULL: no memory. A core that failed to start leaves its number
 * to the next. */
struct cpu_arch *core_create(cpu_id_t id, uint32_t apic_id);

/* Descriptor tables and CPU features of the calling core. */
void core_init(struct cpu_arch *arch);

/*
 * Claims a page below 1 MiB in info's map and copies the trampoline there through the identity map, if there is a free one; else
 * one core has to do. Before mm_init.
 */
void smp_prepare(struct boot_info *info);

/* Creates and starts each core the ACPI tables list, but this one. After mm_init and tsc_calibrate. */
void smp_start(void);

#endif
