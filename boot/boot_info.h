/*
 * What boot learned of the machine before any allocator existed. Filled once on the boot core, then
 * read-only. Plain data: no pointer in it leads into firmware or boot loader memory.
 */
#ifndef BOOT_BOOT_INFO_H
#define BOOT_BOOT_INFO_H

#include "arch/x86_64/types.h"

#define BOOT_RANGES_MAX      128u
#define BOOT_MODULES_MAX     64u
#define BOOT_MODULE_NAME_MAX 128u /* bytes with the NUL: the module's whole Multiboot2 string */
#define BOOT_CMDLINE_MAX     512u
#define BOOT_RSDP_BYTES      36u

/* In rising priority: where two ranges overlap, the greater type wins. */
enum boot_range_type {
	BOOT_RANGE_NONE = 0, /* nothing listed; never appears in the map */
	BOOT_RANGE_FREE,     /* RAM that nobody uses: whole pages only */
	BOOT_RANGE_MODULE,   /* RAM holding a Multiboot2 module */
	BOOT_RANGE_KERNEL,   /* RAM holding the kernel's image or the AP trampoline, or the lowest 32 KiB */
	BOOT_RANGE_RESERVED, /* all else: firmware's (ACPI tables too), defective, devices; may be absent altogether */
};

struct boot_range {
	hpa_t base;     /* page-aligned */
	uint64_t bytes; /* page-aligned, never 0 */
	enum boot_range_type type;
};

struct boot_module {
	hpa_t base; /* page-aligned by GRUB */
	uint64_t bytes;
	char name[BOOT_MODULE_NAME_MAX];
};

enum boot_screen_type { BOOT_SCREEN_NONE, BOOT_SCREEN_RGB, BOOT_SCREEN_TEXT };

struct boot_screen {
	enum boot_screen_type type;
	hpa_t base;
	uint32_t pitch_bytes;
	uint32_t width, height; /* pixels, or characters for TEXT */
	uint32_t bits_per_pixel;
};

struct boot_info {
	struct boot_range ranges[BOOT_RANGES_MAX]; /* sorted by base, disjoint, neighbours of one type merged */
	uint32_t range_count;
	uint32_t module_count;
	struct boot_module modules[BOOT_MODULES_MAX];
	char cmdline[BOOT_CMDLINE_MAX];
	bool has_rsdp;
	uint8_t rsdp[BOOT_RSDP_BYTES]; /* revision 0: 20 bytes, the rest 0 */
	struct boot_screen screen;
};

#endif
