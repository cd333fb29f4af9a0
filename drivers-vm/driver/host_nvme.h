/*
 * NVMe disks: NVM Express Base Specification 2.0 and NVM Command Set Specification 1.0, one namespace of 512-byte blocks. There are up
 * to NVME_IO_QUEUES pairs of I/O queues, each with its MSI-X vector, among which the controller arbitrates: guests' disks and queues
 * spread over them (host_blk's lanes). All of them are served by vCPU 0.
 */
#ifndef DRIVERS_VM_DRIVER_HOST_NVME_H
#define DRIVERS_VM_DRIVER_HOST_NVME_H

#include "drivers-vm/driver/host_blk.h"
#include "drivers-vm/driver/host_nvme_queue.h"

#define NVME_IO_QUEUES       HOST_BLK_LANES
#define NVME_TRANSFER_BYTES  0x100000u   /* of one command at most: its list of pages fits in a page */
#define NVME_ZERO_SECTORS    0x10000u    /* of one Write Zeroes */
#define NVME_DISCARD_SECTORS 0xFFFFFFFFu /* of one range */

struct nvme {
	struct host_blk blk; /* first */
	volatile uint8_t *registers;
	uint32_t doorbell_stride;
	uint32_t nsid;
	uint32_t transfer_bytes;
	struct nvme_queue admin, io[NVME_IO_QUEUES];
	unsigned next; /* whose completions are looked for first: each in turn */
};

extern const struct host_driver host_nvme_driver;

/* host_nvme_io.c: requests as commands. */
extern const struct host_blk_ops nvme_io_ops;

#endif
