/*
 * A block device as the driver VM's parts see it: RAM disks, partitions and host disks offer it, virtio disks
 * use it. Sectors have 512 bytes. All of it runs on the driver VM's vCPU 0.
 */
#ifndef DRIVERS_VM_DRIVER_BLK_DEVICE_H
#define DRIVERS_VM_DRIVER_BLK_DEVICE_H

#include "drivers-vm/driver/io_segment.h"

#include <stdbool.h>

#define BLK_SECTOR_BYTES 512u
#define BLK_SERIAL_BYTES 20u /* as virtio and ATA have it: NUL-padded, not terminated */

enum blk_operation {
	BLK_READ,
	BLK_WRITE,
	BLK_FLUSH, /* all writes that were completed before are on the medium when it is done */
	BLK_DISCARD,
	BLK_WRITE_ZEROES,
};

enum blk_status {
	BLK_OK,
	BLK_IO_ERROR,
	BLK_UNSUPPORTED,
	BLK_PENDING, /* of submit only: `done` will be called */
};

struct blk_request {
	enum blk_operation operation;
	uint64_t sector, sectors; /* within the device; 0 and 0 for BLK_FLUSH */
	/* READ and WRITE: the data's place, `sectors` sectors in all. Stays valid, as do the segments, until
	 * it is done. */
	const struct io_segment *segment;
	unsigned segments;
	/*
	 * After BLK_PENDING: called once, with OK or an error, from outside of any call of the submitter,
	 * with no lock of the device held: it may submit again.
	 */
	void (*done)(struct blk_request *request, enum blk_status status);
	unsigned lane; /* any number: requests of unlike numbers need not wait for each other, if the device has several queues */
	/* The device's, from submit to done. */
	struct blk_request *next;
	uint64_t tag[2];
};

struct blk_device;

struct blk_device_ops {
	/*
	 * Starts a request, or finishes it on the spot: then the result is its status and `done` is not
	 * called. The submitter has checked it with blk_request_check. A device without room keeps it in a
	 * list of its own.
	 */
	enum blk_status (*submit)(struct blk_device *device, struct blk_request *request);
	/*
	 * Completes what is done without waiting for an interrupt. Optional for a device that never answers
	 * BLK_PENDING. Called again and again until all is done when a guest goes, so a device that hangs
	 * must be reset by its driver, its requests failed.
	 */
	void (*poll)(struct blk_device *device);
};

struct blk_device {
	const struct blk_device_ops *ops;
	uint64_t sectors;
	uint32_t physical_block_bytes; /* a power of two from 512: writes of whole ones are cheap */
	unsigned segments_max;         /* of a request; 0: any number */
	uint64_t sectors_max;          /* of a READ or WRITE; 0: any number */
	bool read_only, flushes, discards, writes_zeroes;
	char serial[BLK_SERIAL_BYTES];
};

/*
 * What may be submitted: operation, range and segments fit each other and the device. UNSUPPORTED: an
 * operation that it does not have; IO_ERROR: the rest.
 */
enum blk_status blk_request_check(const struct blk_device *device, const struct blk_request *request);

/* Reads `sectors` sectors to `to` and waits for them; false: an error. For setting up, not while guests wait.
 */
bool blk_read_wait(struct blk_device *device, uint64_t sector, uint64_t sectors, void *to);

#endif
