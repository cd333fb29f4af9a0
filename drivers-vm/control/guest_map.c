/* Builds and queries a guest's memory map; pure. */
#include "drivers-vm/control/guest_map.h"

#include "drivers-vm/lib/platform.h"

#define LEGACY_HOLE_BASE 0xA0000ull /* video memory and option ROMs of a PC; nothing is there */
#define HIGH_HALF_BASE   0x100000ull
#define PAGE_BYTES       0x1000ull

static void add_entry(struct guest_map *map, uint64_t base, uint64_t bytes, enum guest_map_type type)
{
	if (bytes == 0)
		return;
	map->entry[map->count].base = base;
	map->entry[map->count].bytes = bytes;
	map->entry[map->count].type = type;
	map->count++;
}

bool guest_map_build(uint64_t memory_bytes, struct guest_map *out)
{
	struct guest_map map = { 0 };

	if (memory_bytes % GUEST_MAP_RAM_UNIT != 0 || memory_bytes < GUEST_MAP_RAM_MIN || memory_bytes > GUEST_MAP_RAM_MAX)
		return false;
	map.low_bytes = memory_bytes < PLATFORM_LOW_RAM_LIMIT ? memory_bytes : PLATFORM_LOW_RAM_LIMIT;
	map.high_bytes = memory_bytes - map.low_bytes;

	add_entry(&map, 0, LEGACY_HOLE_BASE, GUEST_MAP_RAM);
	add_entry(&map, PLATFORM_ACPI_BASE, PLATFORM_ACPI_LIMIT - PLATFORM_ACPI_BASE, GUEST_MAP_RESERVED);
	add_entry(&map, HIGH_HALF_BASE, map.low_bytes - HIGH_HALF_BASE, GUEST_MAP_RAM);
	add_entry(&map, PLATFORM_ECAM_BASE, PLATFORM_ECAM_BYTES, GUEST_MAP_RESERVED);
	add_entry(&map, PLATFORM_IOAPIC_BASE, PAGE_BYTES, GUEST_MAP_RESERVED);
	add_entry(&map, PLATFORM_LAPIC_BASE, PAGE_BYTES, GUEST_MAP_RESERVED);
	add_entry(&map, PLATFORM_HIGH_RAM_BASE, map.high_bytes, GUEST_MAP_RAM);
	*out = map;
	return true;
}

bool guest_map_is_ram(const struct guest_map *map, uint64_t gpa, uint64_t bytes)
{
	for (unsigned i = 0; i < map->count; i++) {
		const struct guest_map_entry *entry = &map->entry[i];

		if (entry->type == GUEST_MAP_RAM && gpa >= entry->base && gpa - entry->base <= entry->bytes &&
		    bytes <= entry->bytes - (gpa - entry->base))
			return true;
	}
	return false;
}

uint64_t guest_map_channel(const struct guest_map *map, unsigned index)
{
	uint64_t end = PLATFORM_HIGH_RAM_BASE + map->high_bytes;

	return ((end + GUEST_MAP_CHANNEL_BYTES - 1) & ~(GUEST_MAP_CHANNEL_BYTES - 1)) + index * GUEST_MAP_CHANNEL_BYTES;
}
