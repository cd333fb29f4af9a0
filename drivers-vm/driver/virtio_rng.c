/* One queue of buffers to be filled. */
#include "drivers-vm/driver/virtio_rng.h"

#include <assert.h>

static_assert(offsetof(struct virtio_rng, device) == 0, "the transport's callbacks find the device by it");

/* How much of the buffer was filled. */
static uint32_t fill(const struct model_host *host, const struct virtqueue_chain *chain)
{
	uint8_t random[64];
	uint32_t done = 0;

	while (done < chain->writable_bytes && done < VIRTIO_RNG_BUFFER_BYTES) {
		size_t count = host->entropy(host->ctx, random, sizeof(random));
		count = virtqueue_write(chain, done, random, count);
		if (count == 0)
			break;
		done += (uint32_t)count;
	}
	return done;
}

static void queue_notify(struct virtio_pci *device, unsigned queue)
{
	struct virtqueue_chain chain = { .segment = ((struct virtio_rng *)device)->segment };

	for (unsigned i = 0; i < VIRTIO_RNG_SLICE && virtio_pci_take(device, queue, &chain); i++)
		virtqueue_push(&device->queue[queue], chain.buffer, fill(device->host, &chain));
	virtio_pci_signal(device, queue);
}

static uint32_t config_read(struct virtio_pci *device, uint32_t offset, unsigned size)
{
	(void)device;
	(void)offset;
	(void)size;
	return 0;
}

static void config_write(struct virtio_pci *device, uint32_t offset, unsigned size, uint32_t value)
{
	(void)device;
	(void)offset;
	(void)size;
	(void)value;
}

static void reset(struct virtio_pci *device)
{
	(void)device; /* it has no state of its own */
}

void virtio_rng_init(struct virtio_rng *rng, const struct model_host *host, bool packed)
{
	static const struct virtio_device_ops ops = {
		.config_read = config_read,
		.config_write = config_write,
		.queue_notify = queue_notify,
		.reset = reset,
	};
	const struct virtio_identity identity = {
		.type = VIRTIO_RNG_TYPE,
		.class_code = VIRTIO_RNG_CLASS,
		.queues = 1,
		.queue_size = VIRTIO_RNG_QUEUE_SIZE,
		.packed = packed,
	};

	virtio_pci_init(&rng->device, host, &identity, &ops);
}
