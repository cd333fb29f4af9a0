/* The map of physical memory while it is being put together. Pure. */
#ifndef BOOT_MEMORY_MAP_H
#define BOOT_MEMORY_MAP_H

#include "arch/x86_64/status.h"
#include "boot/boot_info.h"

/*
 * Lays [base, base + bytes) of `type` over info's map: where it overlaps, the greater type wins. FREE shrinks
 * to whole pages, everything else grows to them; what lies beyond 2^52 is cut off. STATUS_NO_MEMORY: more
 * than BOOT_RANGES_MAX ranges would result; the map is unchanged.
 */
must_check enum status memory_map_add(struct boot_info *info, hpa_t base, uint64_t bytes, enum boot_range_type type);

/* Base of the highest free place for `bytes` bytes below `limit`, both multiples of `align`, which it is aligned to (a power of
 * two, a page at least); HPA_INVALID: none. */
hpa_t memory_map_find(const struct boot_info *info, uint64_t bytes, uint64_t align, hpa_t limit);

#endif
