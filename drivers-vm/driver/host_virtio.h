/*
 * A virtio device of the host's, on the modern PCI transport: virtio 1.2, 3.1 Device Initialization, 4.1 Virtio Over PCI Bus. One
 * that goes round the IOMMU is refused: it would take this VM's addresses for the machine's.
 */
#ifndef DRIVERS_VM_DRIVER_HOST_VIRTIO_H
#define DRIVERS_VM_DRIVER_HOST_VIRTIO_H

#include "drivers-vm/driver/host_device.h"
#include "drivers-vm/driver/host_virtqueue.h"

#define HOST_VIRTIO_F_INDIRECT        (1ull << 28)
#define HOST_VIRTIO_F_VERSION_1       (1ull << 32)
#define HOST_VIRTIO_F_ACCESS_PLATFORM (1ull << 33)

struct host_virtio {
	const struct host_pci *pci;
	volatile uint8_t *common, *config, *notify;
	uint64_t config_bytes, notify_bytes;
	uint32_t notify_multiplier;
	uint64_t features; /* negotiated */
};

/* Of the device of this virtio type (2: block), transitional or not. */
bool host_virtio_matches(const struct host_pci *pci, unsigned type);

/*
 * Resets the device and negotiates those of `wanted` features that it has; `needed` ones must be there. False: it does not work, and
 * the log says why. It may do DMA after that.
 */
bool host_virtio_open(struct host_virtio *v, const struct host_pci *pci, uint64_t wanted, uint64_t needed);

/*
 * Queue `number`, of at most `entries` (a power of two up to HOST_VIRTQUEUE_ENTRIES), which interrupts by MSI-X vector `vector` if
 * that is not HOST_VIRTIO_NO_VECTOR. False: it has no such queue, or there is no memory; the log says so.
 */
#define HOST_VIRTIO_NO_VECTOR 0xFFFFu
bool host_virtio_make_queue(struct host_virtio *v, struct host_virtqueue *q, uint16_t number, uint16_t entries, uint16_t vector);

/* Changes of its configuration interrupt by MSI-X vector `vector` too. False: they do not. */
bool host_virtio_watch_config(struct host_virtio *v, uint16_t vector);

/* After the queues. */
void host_virtio_start(struct host_virtio *v);

/* A field of the device's configuration of 1, 2, 4 or 8 bytes; 0 where there is none. */
uint64_t host_virtio_config(const struct host_virtio *v, unsigned offset, unsigned bytes);

#endif
