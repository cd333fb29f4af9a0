/* Registers and MSI-X of a channel's end. A write to the doorbell says which vector, never whose: the other end is the host's to find. */
#include "drivers-vm/driver/ivshmem.h"

#include <assert.h>
#include <stddef.h>

#define CLASS_MEMORY    0x050000u /* RAM */
#define REVISION        1u
#define SUBSYSTEM       0x1100u
#define BAR_64_PREFETCH 0xCu
#define BAR_LOW         (PCI_BAR0 + 4 * IVSHMEM_BAR_MEMORY)
#define BAR_HIGH        (BAR_LOW + 4)
#define DOORBELL_PEER   16u /* shift */

static_assert(offsetof(struct ivshmem, function) == 0, "a function is found in its device");
static_assert(IVSHMEM_VECTORS <= PCI_MSIX_VECTORS_MAX && PCI_MSIX_BYTES <= IVSHMEM_MSIX_BYTES, "the table has room");

static struct ivshmem *device_of(struct pci_function *function)
{
	return (struct ivshmem *)function;
}

static uint32_t bar_word(const struct ivshmem *device, unsigned offset)
{
	return offset == BAR_LOW ? (uint32_t)device->config.gpa | BAR_64_PREFETCH : (uint32_t)(device->config.gpa >> 32);
}

/* What sizing leaves in one of its words (PCI Local Bus Specification 3.0, 6.2.5.1). */
static uint32_t sizing_word(const struct ivshmem *device, unsigned offset)
{
	uint64_t mask = ~(device->config.bytes - 1);

	return offset == BAR_LOW ? (uint32_t)mask | BAR_64_PREFETCH : (uint32_t)(mask >> 32);
}

/* All ones are a question for its size; whatever else is written, it stays where it is. */
static void fix_bar(struct ivshmem *device)
{
	for (unsigned offset = BAR_LOW; offset <= BAR_HIGH; offset += 4)
		if (pci_config_get(&device->function, offset, 4) != sizing_word(device, offset))
			pci_config_set(&device->function, offset, 4, bar_word(device, offset));
}

static void ring_peer(struct ivshmem *device, uint32_t value)
{
	const struct model_host *host = device->host;
	unsigned vector = value & 0xFFFF;

	if (value >> DOORBELL_PEER == !device->config.position && vector < IVSHMEM_VECTORS && host->ring_peer != NULL)
		host->ring_peer(host->ctx, device->config.number, vector);
}

static uint32_t register_read(struct ivshmem *device, uint32_t offset)
{
	uint32_t status = device->status;

	switch (offset) {
	case IVSHMEM_INTR_MASK:
		return device->mask;
	case IVSHMEM_INTR_STATUS:
		device->status = 0;
		return status;
	case IVSHMEM_POSITION:
		return device->config.position;
	default:
		return 0;
	}
}

static uint32_t bar_read(struct pci_function *function, unsigned bar, uint32_t offset, unsigned size)
{
	struct ivshmem *device = device_of(function);

	if (bar == IVSHMEM_BAR_MSIX)
		return pci_msix_read(&device->msix, offset, size);
	return size == 4 ? register_read(device, offset) : 0;
}

static void bar_write(struct pci_function *function, unsigned bar, uint32_t offset, unsigned size, uint32_t value)
{
	struct ivshmem *device = device_of(function);

	if (bar == IVSHMEM_BAR_MSIX)
		pci_msix_write(&device->msix, offset, size, value);
	else if (size == 4 && offset == IVSHMEM_INTR_MASK)
		device->mask = value;
	else if (size == 4 && offset == IVSHMEM_DOORBELL)
		ring_peer(device, value);
}

static void config_written(struct pci_function *function, unsigned offset, unsigned size)
{
	struct ivshmem *device = device_of(function);

	(void)offset;
	(void)size;
	fix_bar(device);
	pci_msix_config_written(&device->msix);
}

static void function_reset(struct pci_function *function)
{
	struct ivshmem *device = device_of(function);

	pci_msix_reset(&device->msix);
	device->mask = device->status = 0;
}

void ivshmem_init(struct ivshmem *device, const struct model_host *host, const struct ivshmem_config *config)
{
	static const struct pci_function_ops ops = {
		.bar_read = bar_read,
		.bar_write = bar_write,
		.config_written = config_written,
		.reset = function_reset,
	};
	const struct pci_identity identity = {
		.vendor = IVSHMEM_VENDOR_ID,
		.device = IVSHMEM_DEVICE_ID,
		.subsystem_vendor = IVSHMEM_VENDOR_ID,
		.subsystem = SUBSYSTEM,
		.class_code = CLASS_MEMORY,
		.revision = REVISION,
	};

	device->host = host;
	device->config = *config;
	device->mask = device->status = 0;
	pci_function_init(&device->function, &identity, &ops);
	pci_function_add_bar(&device->function, IVSHMEM_BAR_REGISTERS, false, IVSHMEM_REGISTERS_BYTES);
	pci_function_add_bar(&device->function, IVSHMEM_BAR_MSIX, false, IVSHMEM_MSIX_BYTES);
	for (unsigned offset = BAR_LOW; offset <= BAR_HIGH; offset += 4) {
		pci_config_set(&device->function, offset, 4, bar_word(device, offset));
		pci_config_set_writable(&device->function, offset, 4, sizing_word(device, offset) & (offset == BAR_LOW ? ~0xFu : ~0u));
	}
	pci_msix_init(&device->msix, &device->function, host, IVSHMEM_VECTORS, IVSHMEM_BAR_MSIX, 0);
}

void ivshmem_ring(struct ivshmem *device, unsigned vector)
{
	if (vector >= IVSHMEM_VECTORS)
		return;
	if (pci_msix_is_enabled(&device->msix))
		pci_msix_notify(&device->msix, vector);
	else
		device->status = 1;
}

void ivshmem_adopt(struct ivshmem *device, const struct ivshmem *old)
{
	pci_function_adopt(&device->function, old->function.config);
	fix_bar(device);
	pci_msix_adopt(&device->msix, &old->msix);
	device->mask = old->mask;
	device->status = old->status & 1;
}

void ivshmem_resume(struct ivshmem *device)
{
	for (unsigned i = 0; i < IVSHMEM_VECTORS; i++)
		ivshmem_ring(device, i);
}
