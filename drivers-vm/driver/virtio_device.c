/* The state of a virtio device that its transport keeps: reset, failure, interrupts, and access to its
 * queues. */
#include "drivers-vm/driver/virtio_private.h"

static void queues_reset(struct virtio_pci *device)
{
	for (unsigned i = 0; i < device->identity.queues; i++) {
		virtqueue_init(&device->queue[i], device->host, device->identity.queue_size);
		device->queue_vector[i] = VIRTIO_NO_VECTOR;
	}
}

void virtio_device_reset(struct virtio_pci *device)
{
	device->resetting = device->ops->busy != NULL && device->ops->busy(device);
	device->negotiated = 0;
	device->device_feature_select = device->driver_feature_select = 0;
	device->queue_select = 0;
	device->config_vector = VIRTIO_NO_VECTOR;
	device->status = device->generation = device->isr = 0;
	queues_reset(device);
	virtio_device_update_doorbell(device);
	device->ops->reset(device);
}

void virtio_pci_idle(struct virtio_pci *device)
{
	device->resetting = false;
}

/* With MSI-X the ISR register is not used; without, the driver has to poll it: 4.1.5.1.2. */
void virtio_device_interrupt(struct virtio_pci *device, uint16_t vector, uint8_t cause)
{
	if (pci_msix_is_enabled(&device->msix))
		pci_msix_notify(&device->msix, vector);
	else
		device->isr |= cause;
}

void virtio_pci_fail(struct virtio_pci *device)
{
	if (device->status & VIRTIO_STATUS_NEEDS_RESET)
		return;
	device->status |= VIRTIO_STATUS_NEEDS_RESET;
	/* 2.1.2: the driver is told only once it is ready. */
	if (device->status & VIRTIO_STATUS_DRIVER_OK)
		virtio_device_interrupt(device, device->config_vector, VIRTIO_ISR_CONFIG);
}

bool virtio_pci_is_live(const struct virtio_pci *device)
{
	return (device->status & (VIRTIO_STATUS_DRIVER_OK | VIRTIO_STATUS_NEEDS_RESET)) == VIRTIO_STATUS_DRIVER_OK &&
	       pci_function_is_master(&device->function);
}

bool virtio_pci_pop(struct virtio_pci *device, unsigned queue, struct virtqueue_chain *chain)
{
	enum virtqueue_result result;

	if (!virtio_pci_is_live(device))
		return false;
	result = virtqueue_pop(&device->queue[queue], chain);
	if (result == VIRTQUEUE_BROKEN)
		virtio_pci_fail(device);
	return result == VIRTQUEUE_CHAIN;
}

bool virtio_pci_take(struct virtio_pci *device, unsigned queue, struct virtqueue_chain *chain)
{
	return virtio_pci_pop(device, queue, chain) ||
	       (virtqueue_want_kicks(&device->queue[queue], true) && virtio_pci_pop(device, queue, chain));
}

void virtio_pci_signal(struct virtio_pci *device, unsigned queue)
{
	if (virtqueue_should_signal(&device->queue[queue]))
		virtio_device_interrupt(device, device->queue_vector[queue], VIRTIO_ISR_QUEUE);
}

void virtio_pci_config_changed(struct virtio_pci *device)
{
	device->generation++;
	if (device->status & VIRTIO_STATUS_DRIVER_OK)
		virtio_device_interrupt(device, device->config_vector, VIRTIO_ISR_CONFIG);
}

void virtio_pci_notify(struct virtio_pci *device, unsigned queue)
{
	if (queue < device->identity.queues && device->queue[queue].enabled && virtio_pci_is_live(device))
		device->ops->queue_notify(device, queue);
}

void virtio_pci_serve(struct virtio_pci *device)
{
	for (unsigned i = 0; i < device->identity.queues; i++)
		virtio_pci_notify(device, i);
}

void virtio_device_kick(struct virtio_pci *device, unsigned queue)
{
	if (device->host->kick != NULL)
		device->host->kick(device->host->ctx);
	else
		virtio_pci_notify(device, queue);
}
