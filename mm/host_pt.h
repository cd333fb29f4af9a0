/*
 * The final host page tables: one tree for all cores. They map the kernel's image (4 KiB pages: text R+X,
 * rodata and, once boot is over, sealed variables R, data and bss R+W), the frame table, the pool, stacks, the cores' windows and uncached
 * MMIO, and nothing else: no identity map, no guest memory. No page is ever both writable and executable.
 *
 * mm_init loads CR3 on the boot core, for ever; the others load the same value. A core crosses into these
 * tables while it runs in the image at KERNEL_BASE, which the first tables map too: an application processor
 * starts in the trampoline below 1 MiB on the first tables (they stay in the image), jumps to KERNEL_BASE,
 * and loads this CR3 there; its stack lies in the STACK region then.
 *
 * mm_init, mm_map_mmio and mm_map_stack are declared in boot/hooks.h.
 * No lock: everything is mapped by the boot core during boot, but for the pool's growth and the windows, whose
 * entries are written each by the one core that owns the place, in tables that exist since boot.
 */
#ifndef MM_HOST_PT_H
#define MM_HOST_PT_H

#include "arch/x86_64/layout.h"

/* Rights and type of a host mapping: bits of the leaf entry. APM vol. 2, 5.3 "Long-Mode Page Translation". */
#define HOST_PT_LEAF       0x61ull /* present, accessed, dirty: hardware never needs to update it */
#define HOST_PT_WRITE      (1ull << 1)
#define HOST_PT_UNCACHED   (3ull << 3) /* PWT | PCD: PAT entry 3, UC after reset */
#define HOST_PT_NO_EXECUTE (1ull << 63)

/* The rest is for mm/ alone: boot/hooks.h declares what others call. */

/*
 * Builds the maps of the image and of the pool's seed [seed, seed_end) (pool_start; whole 2 MiB blocks) at POOL_BASE, and loads CR3.
 */
void host_pt_init(hpa_t seed, hpa_t seed_end);

/*
 * Makes the tables down to the one that holds the entry for va at `level` (1: 4 KiB, 2: 2 MiB). Returns that
 * entry; NULL: no memory.
 */
must_check uint64_t *host_pt_entry(uint64_t va, unsigned level);

/* Maps a 2 MiB block, writable; the place must be empty. No lock: at boot, or where the tables exist since then. */
void host_pt_map_block(uint64_t va, hpa_t hpa);

#endif
