/*
 * Configuration accesses and a search for virtio's notification port (virtio 1.2, 4.1.4.4).
 */
#include "tests/guest/lib/pci.h"
#include "tests/guest/lib/cpu.h"

#define PCI_ENABLE        0x80000000u
#define PCI_STATUS_CAPS   (1u << 20)
#define PCI_CAP_VENDOR    0x09
#define VIRTIO_VENDOR     0x1AF4
#define VIRTIO_FIRST      0x1040
#define VIRTIO_CAP_NOTIFY 2
#define PCI_CAPS_MAX      48

uint32_t pci_read(unsigned device, unsigned function, unsigned offset)
{
	outl(PCI_ADDRESS_PORT, PCI_ENABLE | device << 11 | function << 8 | (offset & 0xFC));
	return inl(PCI_DATA_PORT);
}

void pci_write(unsigned device, unsigned function, unsigned offset, uint32_t value)
{
	outl(PCI_ADDRESS_PORT, PCI_ENABLE | device << 11 | function << 8 | (offset & 0xFC));
	outl(PCI_DATA_PORT, value);
}

static uint16_t pci_notify_port_of(unsigned device)
{
	unsigned at;

	if (!(pci_read(device, 0, 4) & PCI_STATUS_CAPS))
		return 0;
	at = pci_read(device, 0, 0x34) & 0xFC;
	for (unsigned i = 0; at && i < PCI_CAPS_MAX; i++) {
		uint32_t head = pci_read(device, 0, at);
		uint32_t bar = pci_read(device, 0, at + 4) & 0xFF;

		if ((head & 0xFF) == PCI_CAP_VENDOR && head >> 24 == VIRTIO_CAP_NOTIFY && bar < 6) {
			uint32_t base = pci_read(device, 0, 0x10 + bar * 4);

			if (base & 1)
				return (uint16_t)((base & ~3u) + pci_read(device, 0, at + 8));
		}
		at = head >> 8 & 0xFC;
	}
	return 0;
}

uint16_t pci_find_virtio_notify_port(void)
{
	for (unsigned device = 0; device < 32; device++) {
		uint32_t id = pci_read(device, 0, 0);
		uint16_t port;

		if ((id & 0xFFFF) != VIRTIO_VENDOR || id >> 16 < VIRTIO_FIRST)
			continue;
		port = pci_notify_port_of(device);
		if (!port)
			continue;
		pci_write(device, 0, 4, pci_read(device, 0, 4) | 1); /* I/O space on */
		return port;
	}
	return 0;
}
