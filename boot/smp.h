/* Starting the other cores. */
#ifndef BOOT_SMP_H
#define BOOT_SMP_H

#include "boot/boot_info.h"

/*
 * Claims a page below 1 MiB in info's map and copies the trampoline there through the identity map. Before
 * mm_init. False: there is no free page (one core then has to do).
 */
bool smp_prepare(struct boot_info *info);

/* Creates and starts each core the ACPI tables list, but this one. After mm_init and tsc_calibrate. */
void smp_start(void);

#endif
