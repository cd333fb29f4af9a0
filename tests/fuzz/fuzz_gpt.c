/*
 * Fuzz target of partition tables: the input is the start of a disk, and its checksums are made right, so
 * that what they guard is reached. Properties: no access outside of the disk (the sanitisers see it), and a
 * partition that is found lies inside of it.
 *
 * FUZZ_SOURCES: drivers-vm/driver/gpt.c drivers-vm/driver/blk_device.c drivers-vm/driver/blk_ram.c drivers-vm/driver/io_segment.c
 * FUZZ_OPTIONS: -max_len=4096
 */
#include "drivers-vm/driver/blk_ram.h"
#include "drivers-vm/driver/gpt.h"

#include <stdlib.h>
#include <string.h>

#define SECTORS 64u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint32_t crc32(const uint8_t *bytes, size_t count)
{
	uint32_t crc = ~0u;

	for (size_t i = 0; i < count; i++) {
		crc ^= bytes[i];
		for (unsigned bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0xEDB88320u : 0);
	}
	return ~crc;
}

static uint32_t get32(const uint8_t *at)
{
	uint32_t value;

	memcpy(&value, at, 4);
	return value;
}

static void seal(uint8_t *disk)
{
	uint8_t *header = disk + BLK_SECTOR_BYTES;
	uint64_t entries, bytes;
	uint32_t crc;

	memcpy(header, "EFI PART\0\0\1", 12);
	memcpy(&entries, header + 72, 8);
	bytes = (uint64_t)get32(header + 80) * get32(header + 84);
	if (entries < SECTORS && bytes <= (SECTORS - entries) * BLK_SECTOR_BYTES) {
		crc = crc32(disk + entries * BLK_SECTOR_BYTES, bytes);
		memcpy(header + 88, &crc, 4);
	}
	if (get32(header + 12) <= BLK_SECTOR_BYTES) {
		memset(header + 16, 0, 4);
		crc = crc32(header, get32(header + 12));
		memcpy(header + 16, &crc, 4);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct gpt_wanted wanted[] = {
		{ .number = 1 },
		{ .label = "a" },
		{ .uuid = "00000000-0000-0000-0000-000000000000" },
	};
	uint8_t *memory = calloc(SECTORS, BLK_SECTOR_BYTES);
	struct blk_ram disk;
	uint64_t first, sectors;

	if (memory == NULL)
		abort();
	memcpy(memory + BLK_SECTOR_BYTES, data, size < (SECTORS - 1) * BLK_SECTOR_BYTES ? size : (SECTORS - 1) * BLK_SECTOR_BYTES);
	if (size != 0 && data[size - 1] & 1)
		seal(memory);
	blk_ram_init(&disk, memory, SECTORS * BLK_SECTOR_BYTES, false);
	for (unsigned i = 0; i < sizeof(wanted) / sizeof(*wanted); i++) {
		if (gpt_find(&disk.device, &wanted[i], &first, &sectors) != NULL)
			continue;
		if (sectors == 0 || first >= SECTORS || sectors > SECTORS - first)
			abort();
	}
	free(memory);
	return 0;
}
