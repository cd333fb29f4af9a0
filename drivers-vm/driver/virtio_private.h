/* What the parts of the virtio transport share and devices behind it do not see. */
#ifndef DRIVERS_VM_DRIVER_VIRTIO_PRIVATE_H
#define DRIVERS_VM_DRIVER_VIRTIO_PRIVATE_H

#include "drivers-vm/driver/virtio_pci.h"

/* 2.4 Device Reset. The MSI-X table is PCI's and stays. */
void virtio_device_reset(struct virtio_pci *device);

/* The driver broke a rule: NEEDS_RESET, and nothing works until it resets the device. */
void virtio_device_fail(struct virtio_pci *device);

/* The common configuration structure; `offset` below VIRTIO_COMMON_BYTES. */
uint32_t virtio_common_read(struct virtio_pci *device, uint32_t offset, unsigned size);
void virtio_common_write(struct virtio_pci *device, uint32_t offset, unsigned size, uint32_t value);

#endif
