/* A virtio entropy device: virtio 1.2, 5.4. It fills what the guest offers from the host's source, some at a
 * time. */
#ifndef DRIVERS_VM_DRIVER_VIRTIO_RNG_H
#define DRIVERS_VM_DRIVER_VIRTIO_RNG_H

#include "drivers-vm/driver/virtio_pci.h"

#define VIRTIO_RNG_TYPE       4u
#define VIRTIO_RNG_CLASS      0x00FF00u /* unclassified */
#define VIRTIO_RNG_QUEUE_SIZE 16u

#define VIRTIO_RNG_BUFFER_BYTES 1024u /* given to one buffer, and */
#define VIRTIO_RNG_SLICE        16u   /* buffers at one go: more has to be asked for again */

struct virtio_rng {
	struct virtio_pci device; /* first */
	struct io_segment segment[VIRTIO_RNG_QUEUE_SIZE];
};

/* Sets up the power-on state, ready for pci_host_plug(&rng->device.function). host->entropy must be there. */
void virtio_rng_init(struct virtio_rng *rng, const struct model_host *host, bool packed);

#endif
