/* The transport as a PCI function: BARs, capabilities, and the window into the BARs in configuration space.
 */
#include "drivers-vm/driver/virtio_private.h"

#include <assert.h>
#include <string.h>

static_assert(offsetof(struct virtio_pci, function) == 0, "a function is found in its device");
static_assert(PCI_MSIX_VECTORS_MAX >= VIRTIO_PCI_QUEUES_MAX + 1, "a vector for each queue and one for changes");
static_assert(VIRTIO_PCI_NOTIFY_BYTES >= VIRTIO_PCI_QUEUES_MAX * VIRTIO_PCI_NOTIFY_MULTIPLIER, "a port for each queue");

static struct virtio_pci *device_of(struct pci_function *function)
{
	return (struct virtio_pci *)function;
}

/* ---- BARs ---- */

static bool in_device_config(const struct virtio_pci *device, uint32_t offset, unsigned size)
{
	uint32_t bytes = device->identity.config_bytes, at = offset - VIRTIO_PCI_DEVICE_OFFSET;

	return offset >= VIRTIO_PCI_DEVICE_OFFSET && at < bytes && size <= bytes - at;
}

static uint32_t memory_read(struct virtio_pci *device, uint32_t offset, unsigned size)
{
	uint8_t isr = device->isr;

	if (offset >= VIRTIO_PCI_MSIX_OFFSET)
		return pci_msix_read(&device->msix, offset - VIRTIO_PCI_MSIX_OFFSET, size);
	if (in_device_config(device, offset, size))
		return device->ops->config_read(device, offset - VIRTIO_PCI_DEVICE_OFFSET, size);
	if (offset < VIRTIO_COMMON_BYTES)
		return virtio_common_read(device, offset, size);
	if (offset != VIRTIO_PCI_ISR_OFFSET)
		return 0;
	device->isr = 0;
	return isr;
}

static void memory_write(struct virtio_pci *device, uint32_t offset, unsigned size, uint32_t value)
{
	if (offset >= VIRTIO_PCI_MSIX_OFFSET)
		pci_msix_write(&device->msix, offset - VIRTIO_PCI_MSIX_OFFSET, size, value);
	else if (in_device_config(device, offset, size))
		device->ops->config_write(device, offset - VIRTIO_PCI_DEVICE_OFFSET, size, value);
	else if (offset < VIRTIO_COMMON_BYTES)
		virtio_common_write(device, offset, size, value);
}

static uint32_t bar_read(struct pci_function *function, unsigned bar, uint32_t offset, unsigned size)
{
	return bar == VIRTIO_PCI_BAR_MEMORY ? memory_read(device_of(function), offset, size) : 0;
}

static void bar_write(struct pci_function *function, unsigned bar, uint32_t offset, unsigned size, uint32_t value)
{
	struct virtio_pci *device = device_of(function);

	if (bar == VIRTIO_PCI_BAR_MEMORY)
		memory_write(device, offset, size, value);
	else if (offset % VIRTIO_PCI_NOTIFY_MULTIPLIER == 0)
		virtio_device_kick(device, offset / VIRTIO_PCI_NOTIFY_MULTIPLIER);
}

/* ---- Configuration space ---- */

/* 4.1.4.9: the window through which BARs are reached by configuration accesses alone. */
static bool access_window(const struct virtio_pci *device, unsigned offset, unsigned size, unsigned *bar, uint32_t *at, unsigned *length)
{
	unsigned cap = device->access_capability;

	*bar = pci_config_get(&device->function, cap + VIRTIO_PCI_CAP_BAR_AT, 1);
	*at = pci_config_get(&device->function, cap + VIRTIO_PCI_CAP_OFFSET_AT, 4);
	*length = pci_config_get(&device->function, cap + VIRTIO_PCI_CAP_SIZE_AT, 4);
	return offset < cap + VIRTIO_PCI_CAP_LONG_BYTES && offset + size > cap + VIRTIO_PCI_CAP_DATA &&
	       (*length == 1 || *length == 2 || *length == 4) && *at % *length == 0;
}

static void config_reading(struct pci_function *function, unsigned offset, unsigned size)
{
	struct virtio_pci *device = device_of(function);
	unsigned bar, length;
	uint32_t at, value;

	if (access_window(device, offset, size, &bar, &at, &length) && pci_bar_read(function, bar, at, length, &value))
		pci_config_set(function, device->access_capability + VIRTIO_PCI_CAP_DATA, length, value);
}

/* Bound while the driver runs only: before, it moves its BARs about. */
void virtio_device_update_doorbell(struct virtio_pci *device)
{
	const struct pci_bar *bar = &device->function.bar[VIRTIO_PCI_BAR_NOTIFY];
	bool rings = (device->status & VIRTIO_STATUS_DRIVER_OK) && bar->decodes && bar->base <= 0xFFFF;
	uint16_t port = rings ? (uint16_t)bar->base : 0;

	if (port == device->notify_port)
		return;
	device->notify_port = port;
	if (device->host->doorbells_changed != NULL)
		device->host->doorbells_changed(device->host->ctx);
}

static void config_written(struct pci_function *function, unsigned offset, unsigned size)
{
	struct virtio_pci *device = device_of(function);
	unsigned bar, length;
	uint32_t at, value;

	if (access_window(device, offset, size, &bar, &at, &length)) {
		value = pci_config_get(function, device->access_capability + VIRTIO_PCI_CAP_DATA, length);
		pci_bar_write(function, bar, at, length, value);
	}
	virtio_device_update_doorbell(device);
	pci_msix_config_written(&device->msix);
}

static void function_reset(struct pci_function *function)
{
	struct virtio_pci *device = device_of(function);

	pci_msix_reset(&device->msix);
	virtio_device_reset(device);
	virtio_device_update_doorbell(device);
}

static uint8_t add_capability(struct virtio_pci *device, unsigned type, unsigned bar, uint32_t offset, uint32_t bytes,
                              unsigned capability_bytes)
{
	struct pci_function *function = &device->function;
	uint8_t at = pci_function_add_capability(function, PCI_CAPABILITY_VENDOR, capability_bytes);

	pci_config_set(function, at + VIRTIO_PCI_CAP_LENGTH_AT, 1, capability_bytes);
	pci_config_set(function, at + VIRTIO_PCI_CAP_TYPE_AT, 1, type);
	pci_config_set(function, at + VIRTIO_PCI_CAP_BAR_AT, 1, bar);
	pci_config_set(function, at + VIRTIO_PCI_CAP_OFFSET_AT, 4, offset);
	pci_config_set(function, at + VIRTIO_PCI_CAP_SIZE_AT, 4, bytes);
	return at;
}

static void add_capabilities(struct virtio_pci *device)
{
	struct pci_function *function = &device->function;
	uint8_t at;

	add_capability(device, VIRTIO_PCI_CAP_COMMON, VIRTIO_PCI_BAR_MEMORY, VIRTIO_PCI_COMMON_OFFSET, VIRTIO_COMMON_BYTES,
	               VIRTIO_PCI_CAP_BYTES);
	add_capability(device, VIRTIO_PCI_CAP_ISR, VIRTIO_PCI_BAR_MEMORY, VIRTIO_PCI_ISR_OFFSET, 1, VIRTIO_PCI_CAP_BYTES);
	if (device->identity.config_bytes != 0)
		add_capability(device, VIRTIO_PCI_CAP_DEVICE, VIRTIO_PCI_BAR_MEMORY, VIRTIO_PCI_DEVICE_OFFSET,
		               device->identity.config_bytes, VIRTIO_PCI_CAP_BYTES);
	at = add_capability(device, VIRTIO_PCI_CAP_NOTIFY, VIRTIO_PCI_BAR_NOTIFY, 0, device->identity.queues * VIRTIO_PCI_NOTIFY_MULTIPLIER,
	                    VIRTIO_PCI_CAP_LONG_BYTES);
	pci_config_set(function, at + VIRTIO_PCI_CAP_MULTIPLIER, 4, VIRTIO_PCI_NOTIFY_MULTIPLIER);
	at = add_capability(device, VIRTIO_PCI_CAP_PCI, 0, 0, 0, VIRTIO_PCI_CAP_LONG_BYTES);
	pci_config_set_writable(function, at + VIRTIO_PCI_CAP_BAR_AT, 1, 0xFF);
	pci_config_set_writable(function, at + VIRTIO_PCI_CAP_OFFSET_AT, 4, ~0u);
	pci_config_set_writable(function, at + VIRTIO_PCI_CAP_SIZE_AT, 4, ~0u);
	pci_config_set_writable(function, at + VIRTIO_PCI_CAP_DATA, 4, ~0u);
	device->access_capability = at;
}

void virtio_pci_init(struct virtio_pci *device, const struct model_host *host, const struct virtio_identity *identity,
                     const struct virtio_device_ops *ops)
{
	static const struct pci_function_ops function_ops = {
		.bar_read = bar_read,
		.bar_write = bar_write,
		.config_reading = config_reading,
		.config_written = config_written,
		.reset = function_reset,
	};
	const struct pci_identity pci = {
		.vendor = VIRTIO_PCI_VENDOR_ID,
		.device = VIRTIO_PCI_DEVICE_ID + identity->type,
		.subsystem_vendor = VIRTIO_PCI_VENDOR_ID,
		.subsystem = VIRTIO_PCI_SUBSYSTEM,
		.class_code = identity->class_code,
		.revision = VIRTIO_PCI_REVISION,
	};

	assert(identity->queues <= VIRTIO_PCI_QUEUES_MAX && identity->queue_size <= VIRTQUEUE_SIZE_MAX);
	assert(identity->config_bytes <= VIRTIO_PCI_DEVICE_BYTES);
	device->host = host;
	device->ops = ops;
	device->identity = *identity;
	device->offered = identity->features | VIRTIO_F_VERSION_1 | VIRTIO_F_EVENT_IDX | VIRTIO_F_INDIRECT_DESC |
	                  (identity->packed ? VIRTIO_F_RING_PACKED : 0);
	device->resetting = false;
	device->status = 0;
	device->notify_port = 0;
	pci_function_init(&device->function, &pci, &function_ops);
	pci_function_add_bar(&device->function, VIRTIO_PCI_BAR_NOTIFY, true, VIRTIO_PCI_NOTIFY_BYTES);
	pci_function_add_bar(&device->function, VIRTIO_PCI_BAR_MEMORY, false, VIRTIO_PCI_MEMORY_BYTES);
	pci_msix_init(&device->msix, &device->function, host, identity->queues + 1, VIRTIO_PCI_BAR_MEMORY, VIRTIO_PCI_MSIX_OFFSET);
	add_capabilities(device);
	virtio_device_reset(device);
}
