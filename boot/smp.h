/* Making cores' structures and starting the other cores. */
#ifndef BOOT_SMP_H
#define BOOT_SMP_H

#include "arch/x86_64/cpu.h"
#include "boot/boot_info.h"

/* Creates struct cpu and stack of core `id`. NULL: no memory. A core that failed to start leaves its number
 * to the next. */
struct cpu_arch *core_create(cpu_id_t id, uint32_t apic_id);

/* Descriptor tables and CPU features of the calling core. */
void core_init(struct cpu_arch *arch);

/*
 * Claims a page below 1 MiB in info's map and copies the trampoline there through the identity map. Before
 * mm_init. False: there is no free page (one core then has to do).
 */
bool smp_prepare(struct boot_info *info);

/* Creates and starts each core the ACPI tables list, but this one. After mm_init and tsc_calibrate. */
void smp_start(void);

#endif
