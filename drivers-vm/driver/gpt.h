/*
 * Partitions of a disk with a GUID partition table: UEFI Specification 2.10, 5.3. The table is whoever's
 * wrote the disk: everything in it is checked before it counts.
 */
#ifndef DRIVERS_VM_DRIVER_GPT_H
#define DRIVERS_VM_DRIVER_GPT_H

#include "drivers-vm/driver/blk_device.h"

#define GPT_ENTRIES_MAX     1024u
#define GPT_ENTRY_BYTES_MAX 4096u
#define GPT_NAME_UNITS      36u /* UTF-16 */
#define GPT_NAME_BYTES      (3 * GPT_NAME_UNITS + 1)
#define GPT_UUID_BYTES      37u /* of its text form, with the NUL */

struct gpt_wanted {
	uint32_t number;   /* from 1, or 0 */
	const char *label; /* UTF-8, or NULL */
	const char *uuid;  /* of the partition, in its text form, or NULL */
};

/*
 * Finds the partition that is wanted; NULL, and its place in *first and *sectors, or what is wrong in words.
 * The second table is used if the first one is damaged. A label or GUID that two partitions have is an error.
 */
const char *gpt_find(struct blk_device *device, const struct gpt_wanted *wanted, uint64_t *first, uint64_t *sectors);

/* A part of a disk as a device. */
struct blk_part {
	struct blk_device device; /* first */
	struct blk_device *whole;
	uint64_t first;
};

/* [first, first + sectors) of `whole`, which contains it. */
void blk_part_init(struct blk_part *part, struct blk_device *whole, uint64_t first, uint64_t sectors);

#endif
