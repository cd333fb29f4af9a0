/*
 * The MSI-X capability of a function, with table and pending bits in one of its memory BARs: PCI Local Bus
 * Specification 3.0, 6.8.2. A message leaves as a write to the local APICs' address range (SDM vol.
 * 3A, 11.11).
 */
#ifndef DRIVERS_VM_DRIVER_PCI_MSIX_H
#define DRIVERS_VM_DRIVER_PCI_MSIX_H

#include "drivers-vm/driver/pci_function.h"

#define PCI_MSIX_VECTORS_MAX 16u

/* Message control, in the capability. */
#define PCI_MSIX_CONTROL          0x02u
#define PCI_MSIX_TABLE            0x04u
#define PCI_MSIX_PBA              0x08u
#define PCI_MSIX_CAPABILITY_BYTES 12u
#define PCI_MSIX_ENABLE           0x8000u
#define PCI_MSIX_FUNCTION_MASK    0x4000u

/* A table entry: four 32-bit words. */
#define PCI_MSIX_ENTRY_BYTES 16u
#define PCI_MSIX_ADDRESS     0u
#define PCI_MSIX_ADDRESS_HI  1u
#define PCI_MSIX_DATA        2u
#define PCI_MSIX_VECTOR      3u
#define PCI_MSIX_MASKED      0x1u /* in PCI_MSIX_VECTOR */

#define PCI_MSIX_PBA_OFFSET (PCI_MSIX_VECTORS_MAX * PCI_MSIX_ENTRY_BYTES) /* from the table */
#define PCI_MSIX_BYTES      (PCI_MSIX_PBA_OFFSET + 8u)

struct pci_msix {
	struct pci_function *function;
	const struct model_host *host;
	unsigned vectors;
	uint8_t capability;
	uint32_t pending;
	uint32_t table[PCI_MSIX_VECTORS_MAX][4];
};

/*
 * Adds the capability to `function`: `vectors` of at most PCI_MSIX_VECTORS_MAX, table at `offset`, a multiple
 * of 8, in the memory BAR `bar`, pending bits behind it; PCI_MSIX_BYTES in all, for which the BAR's owner
 * calls pci_msix_read and _write.
 */
void pci_msix_init(struct pci_msix *msix, struct pci_function *function, const struct model_host *host, unsigned vectors, unsigned bar,
                   uint32_t offset);
void pci_msix_reset(struct pci_msix *msix);

/* The table as it was in a driver VM that is gone: any words will do. */
void pci_msix_adopt(struct pci_msix *msix, const struct pci_msix *old);

/* Access to table and pending bits, `offset` from the table. Only whole, aligned words: others read 0 and
 * write nothing. */
uint32_t pci_msix_read(const struct pci_msix *msix, uint32_t offset, unsigned size);
void pci_msix_write(struct pci_msix *msix, uint32_t offset, unsigned size, uint32_t value);

/* The guest has written configuration space: masks may have gone. */
void pci_msix_config_written(struct pci_msix *msix);

bool pci_msix_is_enabled(const struct pci_msix *msix);

/* Sends vector `vector`'s message, now or once it is unmasked; vectors that do not exist are ignored. */
void pci_msix_notify(struct pci_msix *msix, unsigned vector);

#endif
