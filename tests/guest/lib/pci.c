/*
 * Configuration accesses and a search for virtio's notification port (virtio 1.2, 4.1.4.4).
 */
#include "tests/guest/lib/pci.h"
#include "tests/guest/lib/cpu.h"

#define PCI_ENABLE                   0x80000000u
#define PCI_STATUS_CAPS              (1u << 20)
#define PCI_CAP_VENDOR               0x09
#define VIRTIO_VENDOR                0x1AF4
#define VIRTIO_FIRST                 0x1040
#define VIRTIO_CAP_COMMON            1
#define VIRTIO_CAP_PCI               5
#define VIRTIO_DRIVER_FEATURE_SELECT 8 /* offsets in the common configuration */
#define VIRTIO_DRIVER_FEATURE        12
#define VIRTIO_STATUS                20
#define VIRTIO_F_VERSION_1           (1ull << 32)
#define VIRTIO_CAP_NOTIFY            2
#define PCI_CAPS_MAX                 48

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

/* Whether the BAR of a capability is one of ports. */
static bool virtio_by_port(unsigned device, unsigned at)
{
	unsigned bar = pci_read(device, 0, at + 4) & 0xFF;

	return bar < 6 && (pci_read(device, 0, 0x10 + bar * 4) & 1);
}

/*
 * Offset in configuration space of a virtio device's capability of this kind (virtio 1.2, 4.1.4), or 0. Of several notification
 * capabilities the one by port, if there is one.
 */
static unsigned virtio_capability(unsigned device, unsigned kind)
{
	unsigned at, found = 0;

	if (!(pci_read(device, 0, 4) & PCI_STATUS_CAPS))
		return 0;
	at = pci_read(device, 0, 0x34) & 0xFC;
	for (unsigned i = 0; at && i < PCI_CAPS_MAX; i++) {
		uint32_t head = pci_read(device, 0, at);

		if ((head & 0xFF) == PCI_CAP_VENDOR && head >> 24 == kind) {
			if (kind != VIRTIO_CAP_NOTIFY || virtio_by_port(device, at))
				return at;
			found = at;
		}
		at = head >> 8 & 0xFC;
	}
	return found;
}

/* Writes into the common configuration through configuration space (4.1.4.9). */
static void virtio_common_write(unsigned device, unsigned offset, unsigned bytes, uint32_t value)
{
	unsigned common = virtio_capability(device, VIRTIO_CAP_COMMON);
	unsigned window = virtio_capability(device, VIRTIO_CAP_PCI);

	if (!common || !window)
		return;
	pci_write(device, 0, window + 4, pci_read(device, 0, common + 4) & 0xFF);
	pci_write(device, 0, window + 8, pci_read(device, 0, common + 8) + offset);
	pci_write(device, 0, window + 12, bytes);
	pci_write(device, 0, window + 16, value);
}

/* As a driver without a queue: a doorbell of a device that no driver runs need not be one. */
static void virtio_start(unsigned device)
{
	virtio_common_write(device, VIRTIO_STATUS, 1, 0);
	virtio_common_write(device, VIRTIO_STATUS, 1, 3);
	virtio_common_write(device, VIRTIO_DRIVER_FEATURE_SELECT, 4, 1);
	virtio_common_write(device, VIRTIO_DRIVER_FEATURE, 4, VIRTIO_F_VERSION_1 >> 32);
	virtio_common_write(device, VIRTIO_STATUS, 1, 0xB);
	virtio_common_write(device, VIRTIO_STATUS, 1, 0xF);
}

uint16_t pci_find_virtio_notify_port(void)
{
	for (unsigned device = 0; device < 32; device++) {
		uint32_t id = pci_read(device, 0, 0), base;
		unsigned notify, bar;

		if ((id & 0xFFFF) != VIRTIO_VENDOR || id >> 16 < VIRTIO_FIRST)
			continue;
		notify = virtio_capability(device, VIRTIO_CAP_NOTIFY);
		bar = notify ? pci_read(device, 0, notify + 4) & 0xFF : 6;
		base = bar < 6 ? pci_read(device, 0, 0x10 + bar * 4) : 0;
		if (!(base & 1))
			continue;
		pci_write(device, 0, 4, pci_read(device, 0, 4) | 3); /* I/O and memory space on */
		virtio_start(device);
		return (uint16_t)((base & ~3u) + pci_read(device, 0, notify + 8));
	}
	return 0;
}
