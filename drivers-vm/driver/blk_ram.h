/* A disk in memory: a boot module, or a copy of one that can be written. Every request is finished on the
 * spot. */
#ifndef DRIVERS_VM_DRIVER_BLK_RAM_H
#define DRIVERS_VM_DRIVER_BLK_RAM_H

#include "drivers-vm/driver/blk_device.h"

struct blk_ram {
	struct blk_device device; /* first */
	uint8_t *memory;
};

/* A disk of the whole sectors in [memory, memory + bytes). */
void blk_ram_init(struct blk_ram *disk, void *memory, uint64_t bytes, bool read_only);

#endif
