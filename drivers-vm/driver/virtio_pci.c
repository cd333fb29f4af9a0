/*
 * Registers of the transport. A driver that sets a register at the wrong moment or with the wrong width is
 * ignored; one that sets up or fills a queue wrongly finds NEEDS_RESET in the status.
 */
#include "drivers-vm/driver/virtio_pci.h"

#include <assert.h>
#include <string.h>

static_assert(offsetof(struct virtio_pci, function) == 0, "a function is found in its device");
static_assert(PCI_MSIX_VECTORS_MAX >= VIRTIO_PCI_QUEUES_MAX + 1,
	      "a vector for each queue and one for changes");

static struct virtio_pci *device_of(struct pci_function *function)
{
	return (struct virtio_pci *)function;
}

/* ---- State ---- */

static void queues_reset(struct virtio_pci *device)
{
	for (unsigned i = 0; i < device->identity.queues; i++) {
		virtqueue_init(&device->queue[i], device->host, device->identity.queue_size);
		device->queue_vector[i] = VIRTIO_NO_VECTOR;
	}
}

/* 2.4 Device Reset. The MSI-X table is PCI's and stays. */
static void device_reset(struct virtio_pci *device)
{
	device->negotiated = 0;
	device->device_feature_select = device->driver_feature_select = 0;
	device->queue_select = 0;
	device->config_vector = VIRTIO_NO_VECTOR;
	device->status = device->generation = device->isr = 0;
	queues_reset(device);
	device->ops->reset(device);
}

/* With MSI-X the ISR register is not used; without, the driver has to poll it: 4.1.5.1.2. */
static void interrupt(struct virtio_pci *device, uint16_t vector, uint8_t cause)
{
	if (pci_msix_is_enabled(&device->msix))
		pci_msix_notify(&device->msix, vector);
	else
		device->isr |= cause;
}

static void needs_reset(struct virtio_pci *device)
{
	if (device->status & VIRTIO_STATUS_NEEDS_RESET)
		return;
	device->status |= VIRTIO_STATUS_NEEDS_RESET;
	/* 2.1.2: the driver is told only once it is ready. */
	if (device->status & VIRTIO_STATUS_DRIVER_OK)
		interrupt(device, device->config_vector, VIRTIO_ISR_CONFIG);
}

bool virtio_pci_is_live(const struct virtio_pci *device)
{
	return (device->status & (VIRTIO_STATUS_DRIVER_OK | VIRTIO_STATUS_NEEDS_RESET)) ==
		       VIRTIO_STATUS_DRIVER_OK &&
	       pci_function_is_master(&device->function);
}

bool virtio_pci_pop(struct virtio_pci *device, unsigned queue, struct virtqueue_chain *chain)
{
	enum virtqueue_result result;

	if (!virtio_pci_is_live(device))
		return false;
	result = virtqueue_pop(&device->queue[queue], chain);
	if (result == VIRTQUEUE_BROKEN)
		needs_reset(device);
	return result == VIRTQUEUE_CHAIN;
}

void virtio_pci_signal(struct virtio_pci *device, unsigned queue)
{
	if (virtqueue_should_signal(&device->queue[queue]))
		interrupt(device, device->queue_vector[queue], VIRTIO_ISR_QUEUE);
}

void virtio_pci_config_changed(struct virtio_pci *device)
{
	device->generation++;
	if (device->status & VIRTIO_STATUS_DRIVER_OK)
		interrupt(device, device->config_vector, VIRTIO_ISR_CONFIG);
}

void virtio_pci_notify(struct virtio_pci *device, unsigned queue)
{
	if (queue < device->identity.queues && device->queue[queue].enabled && virtio_pci_is_live(device))
		device->ops->queue_notify(device, queue);
}

/* ---- Common configuration ---- */

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

static uint32_t common_read(struct virtio_pci *device, uint32_t offset)
{
	switch (offset) {
	case VIRTIO_COMMON_DEVICE_FEATURE_SELECT:
		return device->device_feature_select;
	case VIRTIO_COMMON_DEVICE_FEATURE:
		return device->device_feature_select < 2
			       ? device->offered >> (32 * device->device_feature_select)
			       : 0;
	case VIRTIO_COMMON_DRIVER_FEATURE_SELECT:
		return device->driver_feature_select;
	case VIRTIO_COMMON_DRIVER_FEATURE:
		return device->driver_feature_select < 2
			       ? device->negotiated >> (32 * device->driver_feature_select)
			       : 0;
	case VIRTIO_COMMON_CONFIG_MSIX_VECTOR:
		return device->config_vector;
	case VIRTIO_COMMON_NUM_QUEUES:
		return device->identity.queues;
	case VIRTIO_COMMON_DEVICE_STATUS:
		return device->status;
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
		device->negotiated = (device->negotiated & ~(0xFFFFFFFFull << shift)) | (uint64_t)value
												<< shift;
}

/* 3.1.1 and 2.2.2: FEATURES_OK sticks only to a set of features that the device can work with. */
static void status_write(struct virtio_pci *device, uint8_t value)
{
	uint8_t added = value & ~device->status;

	if (value == 0) {
		device_reset(device);
		return;
	}
	if ((added & VIRTIO_STATUS_FEATURES_OK) &&
	    ((device->negotiated & ~device->offered) || !(device->negotiated & VIRTIO_F_VERSION_1)))
		added &= ~VIRTIO_STATUS_FEATURES_OK;
	if (!((device->status | added) & VIRTIO_STATUS_FEATURES_OK))
		added &= ~VIRTIO_STATUS_DRIVER_OK;
	/* Bits go only by a reset. */
	device->status |= added & ~VIRTIO_STATUS_NEEDS_RESET;
	if ((added & VIRTIO_STATUS_DRIVER_OK) && device->ops->started != NULL)
		device->ops->started(device);
}

static void queue_enable(struct virtio_pci *device, struct virtqueue *queue)
{
	if (!(device->status & VIRTIO_STATUS_FEATURES_OK))
		return;
	queue->event_idx = device->negotiated & VIRTIO_F_EVENT_IDX;
	queue->indirect = device->negotiated & VIRTIO_F_INDIRECT_DESC;
	if (!virtqueue_enable(queue))
		needs_reset(device);
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
	if (queue->enabled || offset == VIRTIO_COMMON_QUEUE_MSIX_VECTOR ||
	    offset == VIRTIO_COMMON_QUEUE_NOTIFY_OFF)
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

static void common_write(struct virtio_pci *device, uint32_t offset, uint32_t value)
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
static unsigned common_field_bytes(uint32_t offset)
{
	if (offset == VIRTIO_COMMON_DEVICE_STATUS || offset == VIRTIO_COMMON_CONFIG_GENERATION)
		return 1;
	if (offset >= VIRTIO_COMMON_CONFIG_MSIX_VECTOR && offset < VIRTIO_COMMON_QUEUE_DESC)
		return offset % 2 == 0 ? 2 : 0;
	return offset % 4 == 0 ? 4 : 0;
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
		return common_field_bytes(offset) == size ? common_read(device, offset) : 0;
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
	else if (offset < VIRTIO_COMMON_BYTES && common_field_bytes(offset) == size)
		common_write(device, offset, value);
}

static uint32_t bar_read(struct pci_function *function, unsigned bar, uint32_t offset, unsigned size)
{
	return bar == VIRTIO_PCI_BAR_MEMORY ? memory_read(device_of(function), offset, size) : 0;
}

static void bar_write(struct pci_function *function, unsigned bar, uint32_t offset, unsigned size,
		      uint32_t value)
{
	struct virtio_pci *device = device_of(function);

	if (bar == VIRTIO_PCI_BAR_MEMORY)
		memory_write(device, offset, size, value);
	else if (offset % VIRTIO_PCI_NOTIFY_MULTIPLIER == 0)
		virtio_pci_notify(device, offset / VIRTIO_PCI_NOTIFY_MULTIPLIER);
}

/* ---- Configuration space ---- */

/* 4.1.4.9: the window through which BARs are reached by configuration accesses alone. */
static bool access_window(const struct virtio_pci *device, unsigned offset, unsigned size, unsigned *bar,
			  uint32_t *at, unsigned *length)
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

	if (access_window(device, offset, size, &bar, &at, &length) &&
	    pci_bar_read(function, bar, at, length, &value))
		pci_config_set(function, device->access_capability + VIRTIO_PCI_CAP_DATA, length, value);
}

static void notify_port_update(struct virtio_pci *device)
{
	const struct pci_bar *bar = &device->function.bar[VIRTIO_PCI_BAR_NOTIFY];
	uint16_t port = bar->decodes && bar->base <= 0xFFFF ? (uint16_t)bar->base : 0;

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
	notify_port_update(device);
	pci_msix_config_written(&device->msix);
}

static void function_reset(struct pci_function *function)
{
	struct virtio_pci *device = device_of(function);

	pci_msix_reset(&device->msix);
	device_reset(device);
	notify_port_update(device);
}

static uint8_t add_capability(struct virtio_pci *device, unsigned type, unsigned bar, uint32_t offset,
			      uint32_t bytes, unsigned capability_bytes)
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

	add_capability(device, VIRTIO_PCI_CAP_COMMON, VIRTIO_PCI_BAR_MEMORY, VIRTIO_PCI_COMMON_OFFSET,
		       VIRTIO_COMMON_BYTES, VIRTIO_PCI_CAP_BYTES);
	add_capability(device, VIRTIO_PCI_CAP_ISR, VIRTIO_PCI_BAR_MEMORY, VIRTIO_PCI_ISR_OFFSET, 1,
		       VIRTIO_PCI_CAP_BYTES);
	if (device->identity.config_bytes != 0)
		add_capability(device, VIRTIO_PCI_CAP_DEVICE, VIRTIO_PCI_BAR_MEMORY, VIRTIO_PCI_DEVICE_OFFSET,
			       device->identity.config_bytes, VIRTIO_PCI_CAP_BYTES);
	at = add_capability(device, VIRTIO_PCI_CAP_NOTIFY, VIRTIO_PCI_BAR_NOTIFY, 0,
			    device->identity.queues * VIRTIO_PCI_NOTIFY_MULTIPLIER,
			    VIRTIO_PCI_CAP_LONG_BYTES);
	pci_config_set(function, at + VIRTIO_PCI_CAP_MULTIPLIER, 4, VIRTIO_PCI_NOTIFY_MULTIPLIER);
	at = add_capability(device, VIRTIO_PCI_CAP_PCI, 0, 0, 0, VIRTIO_PCI_CAP_LONG_BYTES);
	pci_config_set_writable(function, at + VIRTIO_PCI_CAP_BAR_AT, 1, 0xFF);
	pci_config_set_writable(function, at + VIRTIO_PCI_CAP_OFFSET_AT, 4, ~0u);
	pci_config_set_writable(function, at + VIRTIO_PCI_CAP_SIZE_AT, 4, ~0u);
	pci_config_set_writable(function, at + VIRTIO_PCI_CAP_DATA, 4, ~0u);
	device->access_capability = at;
}

void virtio_pci_init(struct virtio_pci *device, const struct model_host *host,
		     const struct virtio_identity *identity, const struct virtio_device_ops *ops)
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
	device->offered =
		identity->features | VIRTIO_F_VERSION_1 | VIRTIO_F_EVENT_IDX | VIRTIO_F_INDIRECT_DESC;
	device->notify_port = 0;
	pci_function_init(&device->function, &pci, &function_ops);
	pci_function_add_bar(&device->function, VIRTIO_PCI_BAR_NOTIFY, true, VIRTIO_PCI_NOTIFY_BYTES);
	pci_function_add_bar(&device->function, VIRTIO_PCI_BAR_MEMORY, false, VIRTIO_PCI_MEMORY_BYTES);
	pci_msix_init(&device->msix, &device->function, host, identity->queues + 1, VIRTIO_PCI_BAR_MEMORY,
		      VIRTIO_PCI_MSIX_OFFSET);
	add_capabilities(device);
	device_reset(device);
}

size_t virtio_pci_doorbells(const struct virtio_pci *device, struct virtio_doorbell *list, size_t limit)
{
	size_t count = 0;

	for (unsigned i = 0; device->notify_port != 0 && i < device->identity.queues && count < limit; i++)
		list[count++] = (struct virtio_doorbell){
			.port = (uint16_t)(device->notify_port + i * VIRTIO_PCI_NOTIFY_MULTIPLIER),
			.queue = (uint16_t)i,
		};
	return count;
}
