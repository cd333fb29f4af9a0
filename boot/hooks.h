/*
 * What boot asks of the layers above it. They include this header to have their definitions checked; boot
 * includes none of theirs. All run on the boot core with interrupts off, in this order, except kernel_main,
 * which every core enters once.
 */
#ifndef BOOT_HOOKS_H
#define BOOT_HOOKS_H

#include "arch/x86_64/status.h"
#include "boot/boot_info.h"

struct cpu;

/*
 * Builds the allocator and the final page tables and loads CR3 on this core (the other cores load the same
 * value later). On entry the first tables are live: identity for [0, 4 GiB), the same at POOL_BASE, early_map() beyond, the image at
 * KERNEL_BASE. What it takes for itself it adds to `info`. The final tables need no identity map. `info` lives in the image for ever.
 */
void mm_init(struct boot_info *info);

/* Takes the right to write the image's sealed variables away; what a core has in its TLB it keeps until it loads CR3 again. */
void mm_seal(void);

/* Maps [base, base + bytes) uncached in the MMIO region, for ever. Any alignment; NULL when it cannot. */
void *mm_map_mmio(hpa_t base, uint64_t bytes);

/* Maps STACK_BYTES of zeroed pool memory at STACK_OF_CPU(id), nothing below it. */
must_check enum status mm_map_stack(cpu_id_t id);

/*
 * Creates core `id`'s zeroed struct cpu, whose first member is struct cpu_arch (boot fills that one). NULL:
 * no memory. Called for each core in turn, the boot core (id 0) first.
 */
struct cpu *cpu_create(cpu_id_t id);

/*
 * Entered by each core on its own stack, interrupts off, descriptor tables, features and local APIC ready.
 * The boot core comes last, when all others have been started (they may still be on their way in).
 */
_Noreturn void kernel_main(struct cpu *cpu);

#endif
