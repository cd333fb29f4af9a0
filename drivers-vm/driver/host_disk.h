/*
 * The host's disks: found by PCI address or serial number, and shared out so that nobody writes what another one uses. All of it runs
 * on vCPU 0.
 */
#ifndef DRIVERS_VM_DRIVER_HOST_DISK_H
#define DRIVERS_VM_DRIVER_HOST_DISK_H

#include "drivers-vm/driver/blk_device.h"
#include "drivers-vm/driver/host_pci.h"

/* What somebody uses of a disk. */
struct host_disk_claim {
	const struct blk_device *device; /* the whole disk; NULL: nothing */
	uint64_t first, sectors;
	bool read_only;
	const char *owner; /* in words, if whoever claimed it says so; NULL: a guest's disk */
	struct host_disk_claim *next;
};

struct host_disk {
	struct blk_device device; /* first; its driver fills it in */
	uint32_t rid;
	unsigned port;              /* of its controller, if that has several */
	bool avoided;               /* a guest may write all of it */
	struct host_disk_claim own; /* of Hilum itself: that nobody else gets it must not depend on memory */
	struct host_disk *next;
};

/* There are no disks, as at the start. */
void host_disk_forget_all(void);

/* What a device gave as its serial number becomes printable and NUL-padded. */
void host_disk_clean_serial(char serial[BLK_SERIAL_BYTES]);

/* The driver has a disk that works. It stays as long as the driver VM does, if only to answer with errors. */
void host_disk_add(struct host_disk *disk, const struct host_pci *pci);

/* The one after `disk`, or the first one of all if that is NULL; NULL: no more. */
struct host_disk *host_disk_next(const struct host_disk *disk);

/*
 * NULL, and the disk in *device; or what is wrong in words. `name` is a PCI address (00:04.0, or 0000:00:04.0), one with a port of the
 * controller (00:1f.2/1), or a serial number, of up to BLK_SERIAL_BYTES, NUL-padded.
 */
const char *host_disk_find(const char name[BLK_SERIAL_BYTES], struct blk_device **device);

/* False: part of it is used by another one, and not both only read. Else it is the claim's until it is released. */
bool host_disk_claim(struct host_disk_claim *claim, const struct blk_device *device, uint64_t first, uint64_t sectors, bool read_only);
/* Who has part of that, in words: Hilum itself, if it does. */
const char *host_disk_owner(const struct blk_device *device, uint64_t first, uint64_t sectors);
void host_disk_release(struct host_disk_claim *claim);

#endif
