/* What the parts of the virtio transport share and devices behind it do not see. */
#ifndef DRIVERS_VM_DRIVER_VIRTIO_PRIVATE_H
#define DRIVERS_VM_DRIVER_VIRTIO_PRIVATE_H

#include "drivers-vm/driver/virtio_pci.h"

/* 2.4 Device Reset. The MSI-X table is PCI's and stays. */
void virtio_device_reset(struct virtio_pci *device);

/* The driver notifies a queue from its own vCPU: at once, or by the machine's next service where the host
 * wants that. */
void virtio_device_kick(struct virtio_pci *device, unsigned queue);

/* The state that decides whether the notification ports are doorbells has changed. */
void virtio_device_update_doorbell(struct virtio_pci *device);

/* Tells the driver of `cause`, by `vector` where it uses MSI-X. */
void virtio_device_interrupt(struct virtio_pci *device, uint16_t vector, uint8_t cause);

/* The common configuration structure; `offset` below VIRTIO_COMMON_BYTES. */
uint32_t virtio_common_read(struct virtio_pci *device, uint32_t offset, unsigned size);
void virtio_common_write(struct virtio_pci *device, uint32_t offset, unsigned size, uint32_t value);

#endif
