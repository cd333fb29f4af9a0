/*
 * The common configuration structure: virtio 1.2, 4.1.4.3. A driver that sets a register at the wrong moment
 * or with the wrong width is ignored; one that sets up a queue wrongly finds NEEDS_RESET in the status.
 */
#include "drivers-vm/driver/virtio_private.h"

static struct virtqueue *selected_queue(struct virtio_pci *device)
{
	return device->queue_select < device->identity.queues ? &device->queue[device->queue_select] : NULL;
}

static uint64_t *queue_address(struct virtqueue *queue, uint32_t offset)
{
	switch (offset & ~7u) {
	case VIRTIO_COMMON_QUEUE_DESC:
		return &queue->desc_gpa;
	case VIRTIO_COMMON_QUEUE_DRIVER:
		return &queue->driver_gpa;
	default:
		return &queue->device_gpa;
	}
}

/* 4.1.4.3: a queue that does not exist has size 0. */
static uint32_t queue_register_read(struct virtio_pci *device, uint32_t offset)
{
	struct virtqueue *queue = selected_queue(device);

	if (queue == NULL)
		return offset == VIRTIO_COMMON_QUEUE_MSIX_VECTOR ? VIRTIO_NO_VECTOR : 0;
	switch (offset) {
	case VIRTIO_COMMON_QUEUE_SIZE:
		return queue->size;
	case VIRTIO_COMMON_QUEUE_MSIX_VECTOR:
		return device->queue_vector[device->queue_select];
	case VIRTIO_COMMON_QUEUE_ENABLE:
		return queue->enabled;
	case VIRTIO_COMMON_QUEUE_NOTIFY_OFF:
		return device->queue_select;
	default:
		return (uint32_t)(*queue_address(queue, offset) >> (offset & 4 ? 32 : 0));
	}
}

static uint32_t register_read(struct virtio_pci *device, uint32_t offset)
{
	switch (offset) {
	case VIRTIO_COMMON_DEVICE_FEATURE_SELECT:
		return device->device_feature_select;
	case VIRTIO_COMMON_DEVICE_FEATURE:
		return device->device_feature_select < 2 ? device->offered >> (32 * device->device_feature_select) : 0;
	case VIRTIO_COMMON_DRIVER_FEATURE_SELECT:
		return device->driver_feature_select;
	case VIRTIO_COMMON_DRIVER_FEATURE:
		return device->driver_feature_select < 2 ? device->negotiated >> (32 * device->driver_feature_select) : 0;
	case VIRTIO_COMMON_CONFIG_MSIX_VECTOR:
		return device->config_vector;
	case VIRTIO_COMMON_NUM_QUEUES:
		return device->identity.queues;
	case VIRTIO_COMMON_DEVICE_STATUS:
		return device->resetting ? VIRTIO_STATUS_ACKNOWLEDGE : device->status;
	case VIRTIO_COMMON_CONFIG_GENERATION:
		return device->generation;
	case VIRTIO_COMMON_QUEUE_SELECT:
		return device->queue_select;
	default:
		return queue_register_read(device, offset);
	}
}

static void features_write(struct virtio_pci *device, uint32_t value)
{
	unsigned shift = 32 * device->driver_feature_select;

	if (device->driver_feature_select < 2 && !(device->status & VIRTIO_STATUS_FEATURES_OK))
		device->negotiated = (device->negotiated & ~(0xFFFFFFFFull << shift)) | (uint64_t)value << shift;
}

/* 3.1.1 and 2.2.2: FEATURES_OK sticks only to a set of features that the device can work with. */
static void status_write(struct virtio_pci *device, uint8_t value)
{
	uint8_t added = value & ~device->status;

	if (value == 0) {
		virtio_device_reset(device);
		return;
	}
	if (device->resetting)
		return;
	if ((added & VIRTIO_STATUS_FEATURES_OK) && ((device->negotiated & ~device->offered) || !(device->negotiated & VIRTIO_F_VERSION_1)))
		added &= ~VIRTIO_STATUS_FEATURES_OK;
	if (!((device->status | added) & VIRTIO_STATUS_FEATURES_OK))
		added &= ~VIRTIO_STATUS_DRIVER_OK;
	/* Bits go only by a reset. */
	device->status |= added & ~VIRTIO_STATUS_NEEDS_RESET;
	if (!(added & VIRTIO_STATUS_DRIVER_OK))
		return;
	virtio_device_update_doorbell(device);
	for (unsigned i = 0; i < device->identity.queues; i++)
		virtio_device_kick(device, i);
}

static void queue_enable(struct virtio_pci *device, struct virtqueue *queue)
{
	if (!(device->status & VIRTIO_STATUS_FEATURES_OK))
		return;
	queue->event_idx = device->negotiated & VIRTIO_F_EVENT_IDX;
	queue->indirect = device->negotiated & VIRTIO_F_INDIRECT_DESC;
	queue->packed = device->negotiated & VIRTIO_F_RING_PACKED;
	if (!virtqueue_enable(queue))
		virtio_pci_fail(device);
}

static uint16_t vector_check(const struct virtio_pci *device, uint32_t vector)
{
	return vector < device->msix.vectors ? (uint16_t)vector : VIRTIO_NO_VECTOR;
}

static void queue_register_write(struct virtio_pci *device, uint32_t offset, uint32_t value)
{
	struct virtqueue *queue = selected_queue(device);
	uint64_t *address;
	unsigned shift = offset & 4 ? 32 : 0;

	if (queue == NULL)
		return;
	if (offset == VIRTIO_COMMON_QUEUE_MSIX_VECTOR)
		device->queue_vector[device->queue_select] = vector_check(device, value);
	/* The rest stands still while the queue runs. */
	if (queue->enabled || offset == VIRTIO_COMMON_QUEUE_MSIX_VECTOR || offset == VIRTIO_COMMON_QUEUE_NOTIFY_OFF)
		return;
	if (offset == VIRTIO_COMMON_QUEUE_SIZE) {
		/* A wrong size is found when the queue is enabled; none may be larger than offered. */
		if (value <= device->identity.queue_size)
			queue->size = (uint16_t)value;
	} else if (offset == VIRTIO_COMMON_QUEUE_ENABLE) {
		if (value == 1)
			queue_enable(device, queue);
	} else {
		address = queue_address(queue, offset);
		*address = (*address & ~(0xFFFFFFFFull << shift)) | (uint64_t)value << shift;
	}
}

static void register_write(struct virtio_pci *device, uint32_t offset, uint32_t value)
{
	switch (offset) {
	case VIRTIO_COMMON_DEVICE_FEATURE_SELECT:
		device->device_feature_select = value;
		break;
	case VIRTIO_COMMON_DRIVER_FEATURE_SELECT:
		device->driver_feature_select = value;
		break;
	case VIRTIO_COMMON_DRIVER_FEATURE:
		features_write(device, value);
		break;
	case VIRTIO_COMMON_CONFIG_MSIX_VECTOR:
		device->config_vector = vector_check(device, value);
		break;
	case VIRTIO_COMMON_DEVICE_STATUS:
		status_write(device, (uint8_t)value);
		break;
	case VIRTIO_COMMON_QUEUE_SELECT:
		device->queue_select = (uint16_t)value;
		break;
	case VIRTIO_COMMON_DEVICE_FEATURE:
	case VIRTIO_COMMON_NUM_QUEUES:
	case VIRTIO_COMMON_CONFIG_GENERATION:
		break;
	default:
		queue_register_write(device, offset, value);
	}
}

/* The width of the field that begins at `offset`, 0 if none does. 4.1.3.1: drivers use exactly that, 4 for 8.
 */
static unsigned field_bytes(uint32_t offset)
{
	if (offset == VIRTIO_COMMON_DEVICE_STATUS || offset == VIRTIO_COMMON_CONFIG_GENERATION)
		return 1;
	if (offset >= VIRTIO_COMMON_CONFIG_MSIX_VECTOR && offset < VIRTIO_COMMON_QUEUE_DESC)
		return offset % 2 == 0 ? 2 : 0;
	return offset % 4 == 0 ? 4 : 0;
}

uint32_t virtio_common_read(struct virtio_pci *device, uint32_t offset, unsigned size)
{
	return field_bytes(offset) == size ? register_read(device, offset) : 0;
}

void virtio_common_write(struct virtio_pci *device, uint32_t offset, unsigned size, uint32_t value)
{
	if (field_bytes(offset) == size)
		register_write(device, offset, value);
}
