/*
 * The guest's PCI bus 0: configuration mechanism #1 at ports CF8h and CFCh (PCI Local Bus
 * Specification 3.0, 3.2.2.3.2), memory-mapped configuration (PCI Express Base Specification, 7.2.2), and the
 * way from an address to a BAR. Function 0 of device 0 is the host bridge; the others are what the machine
 * plugs in.
 */
#ifndef DRIVERS_VM_DRIVER_PCI_HOST_H
#define DRIVERS_VM_DRIVER_PCI_HOST_H

#include "drivers-vm/driver/pci_function.h"
#include "drivers-vm/lib/platform.h"

#define PCI_HOST_DEVICES 32u

#define PCI_HOST_ADDRESS_PORT 0xCF8u
#define PCI_HOST_DATA_PORT    0xCFCu
#define PCI_HOST_DATA_PORTS   4u

/* The address register. */
#define PCI_HOST_ADDRESS_ENABLE 0x80000000u
#define PCI_HOST_ADDRESS_MASK   0x80FFFFFCu

#define PCI_HOST_MMIO_BASE  PLATFORM_PCI_MMIO_BASE
#define PCI_HOST_MMIO_LIMIT (PLATFORM_ECAM_BASE + PLATFORM_ECAM_BYTES)

struct pci_host {
	struct pci_function bridge;
	struct pci_function *device[PCI_HOST_DEVICES]; /* function 0 of each */
	uint32_t address;
	uint32_t next_io, next_memory; /* assigned to BARs so far */
};

void pci_host_init(struct pci_host *bus);

/*
 * Plugs `function`, initialised but not finished, in as device `device`, 1 to 31, and assigns addresses to
 * its BARs from the platform's windows, as firmware would; this finishes it. False: the place is taken or a
 * window is full.
 */
bool pci_host_plug(struct pci_host *bus, unsigned device, struct pci_function *function);

void pci_host_reset(struct pci_host *bus);

/*
 * Whether an access of `size` bytes at `port` is the bus's. Narrower accesses inside CF8h are not: CF9h is
 * another device. The whole range of I/O BARs is, also where no BAR is.
 */
static inline bool pci_host_owns_port(uint16_t port, unsigned size)
{
	return port >= PLATFORM_PCI_IO_BASE || (port & ~(PCI_HOST_DATA_PORTS - 1)) == PCI_HOST_DATA_PORT ||
	       (port == PCI_HOST_ADDRESS_PORT && size == 4);
}

static inline bool pci_host_owns_address(uint64_t gpa)
{
	return gpa - PCI_HOST_MMIO_BASE < PCI_HOST_MMIO_LIMIT - PCI_HOST_MMIO_BASE;
}

/* One access of 1, 2 or 4 bytes to a port that the bus owns, or of up to 8 to such an address. Nobody there:
 * all ones. */
uint32_t pci_host_port_read(struct pci_host *bus, uint16_t port, unsigned size);
void pci_host_port_write(struct pci_host *bus, uint16_t port, unsigned size, uint32_t value);
uint64_t pci_host_mmio_read(struct pci_host *bus, uint64_t gpa, unsigned size);
void pci_host_mmio_write(struct pci_host *bus, uint64_t gpa, unsigned size, uint64_t value);

#endif
