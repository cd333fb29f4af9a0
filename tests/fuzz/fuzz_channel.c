/*
 * Fuzz target of a channel's end, its bus and its MSI-X table: the input is what the guest's driver does to registers and configuration
 * space, rings of the other end, and what a driver VM that is gone has left of it. Properties: no access outside (the sanitisers see it),
 * the other end gets no vector that there is not, and an interrupt goes to a local APIC only.
 *
 * FUZZ_SOURCES: drivers-vm/driver/ivshmem.c drivers-vm/driver/pci_host.c drivers-vm/driver/pci_function.c drivers-vm/driver/pci_msix.c
 * FUZZ_OPTIONS: -max_len=2048
 */
#include "drivers-vm/driver/ivshmem.h"
#include "drivers-vm/driver/pci_host.h"

#include <stdlib.h>
#include <string.h>

#define DEVICE     5u
#define NUMBER     42u
#define OPERATIONS 256u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void inject_msi(void *ctx, uint64_t address, uint32_t data)
{
	(void)ctx;
	(void)data;
	if (address >> 20 != 0xFEE)
		abort();
}

static void ring_peer(void *ctx, uint32_t number, unsigned vector)
{
	(void)ctx;
	if (number != NUMBER || vector >= IVSHMEM_VECTORS)
		abort();
}

static const struct model_host host = { .inject_msi = inject_msi, .ring_peer = ring_peer };
static struct pci_host bus;
static struct ivshmem device;

static void make(const uint8_t *old, size_t bytes)
{
	const struct ivshmem_config config = { .number = NUMBER, .position = bytes & 1, .gpa = 0x140000000ull, .bytes = 0x200000 };
	struct ivshmem left = { .mask = 0 };

	pci_host_init(&bus);
	ivshmem_init(&device, &host, &config);
	if (!pci_host_plug(&bus, DEVICE, &device.function))
		abort();
	if (bytes < 2)
		return;
	memcpy(&left, old, bytes < sizeof(left) ? bytes : sizeof(left));
	ivshmem_adopt(&device, &left);
	ivshmem_resume(&device);
}

/* Where an access goes: configuration space, a BAR as the guest has put it, or anywhere the bus owns. */
static uint64_t place(uint8_t kind, uint32_t offset)
{
	uint64_t config = PLATFORM_ECAM_BASE + DEVICE * 0x8000ull;

	switch (kind % 4) {
	case 0:
		return config + offset % 4096;
	case 1:
		return (pci_host_mmio_read(&bus, config + PCI_BAR0, 4) & ~0xFull) + offset % 4096;
	case 2:
		return (pci_host_mmio_read(&bus, config + PCI_BAR0 + 4, 4) & ~0xFull) + offset % 4096;
	default:
		return PCI_HOST_MMIO_BASE + offset % (PCI_HOST_MMIO_LIMIT - PCI_HOST_MMIO_BASE);
	}
}

static void operate(const uint8_t *op)
{
	uint32_t offset, value;
	unsigned size = 1u << (op[0] >> 6);

	memcpy(&offset, op + 1, 3);
	offset &= 0xFFFFFF;
	memcpy(&value, op + 4, 4);
	uint64_t gpa = place(op[0] >> 2, op[0] & 1 ? offset : offset & 0xFF) & ~(uint64_t)(size - 1);
	if (op[0] % 4 == 3)
		ivshmem_ring(&device, value);
	else if (!pci_host_owns_address(gpa))
		return;
	else if (op[0] & 2)
		(void)pci_host_mmio_read(&bus, gpa, size);
	else
		pci_host_mmio_write(&bus, gpa, size, value);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	if (bytes < 2)
		return 0;
	size_t old = (size_t)data[0] | (size_t)(data[1] & 3) << 8;
	data += 2;
	bytes -= 2;
	if (old > bytes)
		old = bytes;
	make(data, old);
	for (unsigned i = 0; i < OPERATIONS && bytes - old >= 8; i++, old += 8)
		operate(data + old);
	return 0;
}
