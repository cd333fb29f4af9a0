/*
 * A virtio device goes on where it stood in a driver VM that is gone. The old state is memory in which a
 * program has died: numbers are checked, pointers are not looked at.
 */
#include "drivers-vm/driver/virtio_private.h"

#define STATUS_BITS \
	(VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER | VIRTIO_STATUS_DRIVER_OK | VIRTIO_STATUS_FEATURES_OK | \
	 VIRTIO_STATUS_NEEDS_RESET | VIRTIO_STATUS_FAILED)

static uint16_t vector_of(const struct virtio_pci *device, uint16_t vector)
{
	return vector < device->msix.vectors ? vector : VIRTIO_NO_VECTOR;
}

static void adopt_queue(struct virtio_pci *device, const struct virtqueue *old, struct virtqueue *queue, bool in_order)
{
	bool enabled = model_flag(&old->enabled), broken = model_flag(&old->broken);

	queue->size = old->size;
	queue->desc_gpa = old->desc_gpa;
	queue->driver_gpa = old->driver_gpa;
	queue->device_gpa = old->device_gpa;
	queue->event_idx = device->negotiated & VIRTIO_F_EVENT_IDX;
	queue->indirect = device->negotiated & VIRTIO_F_INDIRECT_DESC;
	queue->packed = device->negotiated & VIRTIO_F_RING_PACKED;
	if (queue->size > device->identity.queue_size) {
		queue->size = device->identity.queue_size;
		virtio_pci_refuse(device);
	} else if (enabled && broken && !(device->status & VIRTIO_STATUS_NEEDS_RESET)) {
		; /* the driver's write that enables it had not come to its end, and comes again */
	} else if (enabled && !virtqueue_adopt(queue, old, in_order)) {
		virtio_pci_refuse(device);
	}
}

void virtio_pci_adopt(struct virtio_pci *device, const struct virtio_pci *old, uint32_t in_order)
{
	pci_function_adopt(&device->function, old->function.config);
	pci_msix_adopt(&device->msix, &old->msix);
	device->status = old->status & STATUS_BITS;
	device->generation = old->generation;
	device->isr = old->isr & (VIRTIO_ISR_QUEUE | VIRTIO_ISR_CONFIG);
	device->negotiated = old->negotiated;
	device->device_feature_select = old->device_feature_select;
	device->driver_feature_select = old->driver_feature_select;
	device->queue_select = old->queue_select;
	device->config_vector = vector_of(device, old->config_vector);
	if ((device->status & VIRTIO_STATUS_FEATURES_OK) && (device->negotiated & ~device->offered)) {
		device->negotiated &= device->offered;
		virtio_pci_refuse(device);
	}
	for (unsigned i = 0; i < device->identity.queues; i++) {
		device->queue_vector[i] = vector_of(device, old->queue_vector[i]);
		adopt_queue(device, &old->queue[i], &device->queue[i], in_order >> i & 1);
	}
}

void virtio_pci_resume(struct virtio_pci *device)
{
	virtio_device_update_doorbell(device);
	if (!(device->status & VIRTIO_STATUS_DRIVER_OK))
		return;
	for (unsigned i = 0; i < device->identity.queues; i++)
		if (device->queue[i].enabled)
			virtio_device_interrupt(device, device->queue_vector[i], VIRTIO_ISR_QUEUE);
	if (device->status & VIRTIO_STATUS_NEEDS_RESET)
		virtio_device_interrupt(device, device->config_vector, VIRTIO_ISR_CONFIG);
}
