/* The drivers of the host's virtio devices. */
#ifndef DRIVERS_VM_DRIVER_HOST_VIRTIO_DRIVERS_H
#define DRIVERS_VM_DRIVER_HOST_VIRTIO_DRIVERS_H

#include "drivers-vm/driver/host_device.h"

extern const struct host_driver host_virtio_blk_driver, host_virtio_net_driver;

#endif
