/* What the boot core and the others do alike. */
#ifndef BOOT_CORE_H
#define BOOT_CORE_H

#include "arch/x86_64/cpu.h"

/* Creates struct cpu and stack of core `id`. NULL: no memory. A core that failed to start leaves its number
 * to the next. */
struct cpu_arch *core_create(cpu_id_t id, uint32_t apic_id);

/* Descriptor tables and CPU features of the calling core. */
void core_init(struct cpu_arch *arch);

#endif
