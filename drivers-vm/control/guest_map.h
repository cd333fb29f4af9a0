/*
 * A guest's physical memory map: RAM from 0 (with the legacy hole below 1 MiB) to PLATFORM_LOW_RAM_LIMIT, the
 * rest from 4 GiB up, and the platform's reserved ranges. The loaders turn it into e820, PVH and Multiboot
 * maps.
 */
#ifndef DRIVERS_VM_CONTROL_GUEST_MAP_H
#define DRIVERS_VM_CONTROL_GUEST_MAP_H

#include <stdbool.h>
#include <stdint.h>

#define GUEST_MAP_ENTRIES  8u
#define GUEST_MAP_RAM_UNIT 0x200000ull /* RAM comes in 2 MiB units so that nested tables use large pages */
#define GUEST_MAP_RAM_MIN  GUEST_MAP_RAM_UNIT
#define GUEST_MAP_RAM_MAX  0x10000000000ull /* 1 TiB */

#define GUEST_MAP_CHANNEL_BYTES 0x40000000ull

/* The numbers are those of the BIOS memory map (ACPI 6.4, 15.4 Address Range Types), common to all three
 * formats. */
enum guest_map_type {
	GUEST_MAP_RAM = 1,
	GUEST_MAP_RESERVED = 2,
};

struct guest_map_entry {
	uint64_t base;
	uint64_t bytes;
	enum guest_map_type type;
};

struct guest_map {
	uint64_t low_bytes;  /* RAM is [0, low_bytes) ... */
	uint64_t high_bytes; /* ... and [4 GiB, 4 GiB + high_bytes) */
	unsigned count;
	struct guest_map_entry entry[GUEST_MAP_ENTRIES]; /* ascending, disjoint */
};

/*
 * Describes a guest with `memory_bytes` of RAM. False, and *out untouched, unless that is a multiple of
 * GUEST_MAP_RAM_UNIT between GUEST_MAP_RAM_MIN and GUEST_MAP_RAM_MAX.
 */
bool guest_map_build(uint64_t memory_bytes, struct guest_map *out);

/* Whether [gpa, gpa + bytes) lies wholly inside one RAM entry; an empty range is RAM where its address is. */
bool guest_map_is_ram(const struct guest_map *map, uint64_t gpa, uint64_t bytes);

/* Where the memory of its channel `index` is: above all RAM, GUEST_MAP_CHANNEL_BYTES for each. */
uint64_t guest_map_channel(const struct guest_map *map, unsigned index);

#endif
