/*
 * The host's PCI functions that this VM was given: configuration space, BARs, interrupts and DMA addresses. What configuration
 * space says comes from hardware that may be broken: walks are bounded, offsets masked.
 */
#ifndef DRIVERS_VM_DRIVER_HOST_PCI_H
#define DRIVERS_VM_DRIVER_HOST_PCI_H

#include "drivers-vm/lib/channel.h"
#include <stddef.h>

#define HOST_PCI_CAP_MSI     0x05u
#define HOST_PCI_CAP_EXPRESS 0x10u
#define HOST_PCI_CAP_MSIX    0x11u

struct host_pci {
	uint32_t rid;                        /* bus << 8 | device << 3 | function */
	uint32_t handle;                     /* its device object */
	bool same_addresses;                 /* an IOMMU makes them so: the device uses this VM's own */
	volatile uint8_t *config;            /* 4 KiB */
	volatile uint8_t *bar[CHANNEL_BARS]; /* NULL: none, or no memory BAR */
	uint64_t bar_bytes[CHANNEL_BARS];
};

/* Take over what CHANNEL_SETUP and CHANNEL_DEVICE brought. NULL: there are too many, or it is damaged. */
void host_pci_init(uint32_t self_handle);
struct host_pci *host_pci_add(const struct channel_message *m);

/* Devices in the order they came; NULL past the last. */
struct host_pci *host_pci_get(unsigned index);

uint32_t host_pci_read(const struct host_pci *pci, unsigned offset, unsigned bytes);
void host_pci_write(const struct host_pci *pci, unsigned offset, unsigned bytes, uint32_t value);

/* Offset of the first capability `id` at or after the one at `from` (0: from the start); 0: none. */
unsigned host_pci_capability(const struct host_pci *pci, uint8_t id, unsigned from);

/* Let it answer at its BARs and, with `dma`, read and write memory; or stop both. It comes without DMA, but in whatever state it was
 * left: a driver resets it before it allows DMA. */
void host_pci_enable(const struct host_pci *pci, bool decode, bool dma);

/* Function-level reset, which takes at least 100 ms and leaves BARs and command register as after power-up: they are restored, with
 * DMA off. False: it has none. */
bool host_pci_reset(const struct host_pci *pci);

/* Interrupt `index` (MSI-X vector, or 0 for MSI) sets event `bit` of this VM's vCPU `vcpu`. False: the device or the machine
 * cannot. */
bool host_pci_bind_irq(const struct host_pci *pci, unsigned index, uint32_t vcpu, unsigned bit);

/* "00:04.0" or "0000:00:04.0" as a requester id; false: it is no such address. */
bool host_pci_parse_address(const char *text, uint32_t *rid);

/* Where the device finds the byte at `at` and the rest of its page; 0: it is not memory of this VM. */
uint64_t host_pci_dma_address(const struct host_pci *pci, const void *at);

#endif
