/* Reads the Multiboot2 boot information. Pure: everything wanted is copied out, so that its memory is free
 * afterwards. */
#ifndef BOOT_MULTIBOOT2_H
#define BOOT_MULTIBOOT2_H

#include "boot/boot_info.h"

#define MULTIBOOT2_LOADED  0x36D76289u /* in EAX at entry */
#define MULTIBOOT2_MBI_MAX (1u << 20)  /* bytes accepted */

/* The size that the information at `mbi` (8 readable bytes) gives for itself; 0 if it cannot be right. */
uint32_t multiboot2_size(const void *mbi);

/*
 * Fills *info (zeroed first) from `bytes` bytes at `mbi`: memory map with modules laid over it, modules,
 * RSDP, screen, strings. Returns NULL, or in a few words what is wrong: malformed, without memory map, or
 * more modules or memory ranges than boot_info holds. Overlong strings are cut.
 */
must_check const char *multiboot2_parse(const void *mbi, size_t bytes, struct boot_info *info);

#endif
