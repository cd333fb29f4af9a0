/*
 * NVMe disks: NVM Express Base Specification 2.0 and NVM Command Set Specification 1.0, one namespace of 512-byte blocks, with one
 * pair of I/O queues: all block devices are used from vCPU 0.
 */
#ifndef DRIVERS_VM_DRIVER_HOST_NVME_H
#define DRIVERS_VM_DRIVER_HOST_NVME_H

#include "drivers-vm/driver/host_device.h"
#include "drivers-vm/driver/host_disk.h"
#include "drivers-vm/driver/host_nvme_queue.h"

#define NVME_TRANSFER_BYTES 0x100000u /* of one command at most: its list of pages fits in a page */
#define NVME_ZERO_SECTORS   0x10000u  /* of one Write Zeroes */
#define NVME_DISCARD_SECTORS 0xFFFFFFFFu /* of one range */

#define NVME_TIMEOUT_NS 10000000000ull /* of a command */
#define NVME_CHECK_NS	1000000000ull  /* how often it is looked for */

struct nvme_slot {
	struct blk_request *request; /* NULL: not under way */
	uint8_t *page;		     /* list of pages, bounce buffer, or range to discard */
	uint64_t deadline_tsc;
	uint64_t byte;	  /* of the request, where ... */
	uint32_t bounced; /* ... so many bytes are copied from `page` when it is done */
};

struct nvme {
	struct host_device device; /* first */
	struct host_disk disk;
	const struct host_pci *pci;
	volatile uint8_t *registers;
	uint32_t doorbell_stride;
	uint32_t nsid;
	uint32_t transfer_bytes;
	struct nvme_queue admin, io;
	struct nvme_slot slot[NVME_QUEUE_ENTRIES];
	struct blk_request *waiting, **waiting_end; /* not all of their commands were put */
	uint64_t check_tsc;			    /* 0: nothing is under way */
	bool dead;				    /* given up: everything is an error */
};

extern const struct host_driver host_nvme_driver;

/* The block device of a started controller: fills in what does not depend on the namespace. */
void nvme_io_init(struct nvme *nvme);

/* Completions, time-outs, and what waits. Same as an interrupt. */
void nvme_io_poll(struct nvme *nvme);

/* host_device_ops.check. */
uint64_t nvme_io_check(struct host_device *device, uint64_t now_tsc);

/* The controller does not behave: no DMA from now on, and errors for all requests. `why` goes into the log. */
void nvme_give_up(struct nvme *nvme, const char *why);

#endif
