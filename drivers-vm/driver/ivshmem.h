/*
 * One end of a channel between two guests, as the PCI device that QEMU calls ivshmem-doorbell: shared memory and doorbells. BAR 0 has the
 * registers, BAR 1 the MSI-X table; BAR 2 is the memory, which is not ours: the guest reaches it without a trap, at a place that is fixed,
 * so that the BAR can be sized but not moved.
 */
#ifndef DRIVERS_VM_DRIVER_IVSHMEM_H
#define DRIVERS_VM_DRIVER_IVSHMEM_H

#include "drivers-vm/driver/pci_function.h"
#include "drivers-vm/driver/pci_msix.h"

#define IVSHMEM_VENDOR_ID 0x1AF4u
#define IVSHMEM_DEVICE_ID 0x1110u

#define IVSHMEM_VECTORS 8u

#define IVSHMEM_BAR_REGISTERS   0u
#define IVSHMEM_BAR_MSIX        1u
#define IVSHMEM_BAR_MEMORY      2u /* 64-bit, with BAR 3 */
#define IVSHMEM_REGISTERS_BYTES 0x100u
#define IVSHMEM_MSIX_BYTES      0x1000u

/* Registers of 32 bits, accessed as such; others read 0 and write nothing. */
#define IVSHMEM_INTR_MASK   0x0u /* kept; nothing is masked by it, as there is no interrupt pin */
#define IVSHMEM_INTR_STATUS 0x4u /* 1: a doorbell rang while MSI-X was off; cleared by reading */
#define IVSHMEM_POSITION    0x8u /* this end's id: 0 or 1 */
#define IVSHMEM_DOORBELL    0xCu /* write: peer's id << 16 | vector */

struct ivshmem_config {
	uint32_t number;     /* of the channel */
	uint32_t position;   /* 0 or 1 */
	uint64_t gpa, bytes; /* of the memory: a power of two from 4 KiB up, at a multiple of itself */
};

struct ivshmem {
	struct pci_function function;
	struct pci_msix msix;
	const struct model_host *host;
	struct ivshmem_config config;
	uint32_t mask, status;
};

void ivshmem_init(struct ivshmem *device, const struct model_host *host, const struct ivshmem_config *config);

/* The other end rings: `vector` below IVSHMEM_VECTORS, others are ignored. */
void ivshmem_ring(struct ivshmem *device, unsigned vector);

/* After ivshmem_init, once its place on the bus is known: as it was in a driver VM that is gone, where anything may be found. */
void ivshmem_adopt(struct ivshmem *device, const struct ivshmem *old);
/* Rings may have been lost with that one: all vectors get one. */
void ivshmem_resume(struct ivshmem *device);

#endif
