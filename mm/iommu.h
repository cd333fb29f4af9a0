/*
 * DMA and interrupt remapping, in the terms of no vendor. Every device is blocked until it is attached to a domain; a domain is
 * a second tree of tables beside a VM's nested page table, with the same memory at the same addresses, which nested_pt keeps in
 * the IOMMU's own format. Devices are named by requester id (bus << 8 | device << 3 | function), in PCI segment 0 only.
 *
 * All functions may be called where there is no IOMMU: domains are NULL then, and interrupts are not remapped.
 * Lock: iommu_lock (rank IOMMU) covers device, context and interrupt tables, and the units' queues and registers. Domains' trees
 * are guarded as nested tables are (mm/nested_pt.h).
 */
#ifndef MM_IOMMU_H
#define MM_IOMMU_H

#include "arch/x86_64/acpi.h"
#include "mm/memory.h"

#define IOMMU_DOMAINS_MAX 15u        /* fits the smallest VT-d unit: CAP.ND */
#define IOMMU_PATIENCE    100000000u /* looks at a register before the machine is given up */

struct iommu_domain;

struct iommu_fault {
	uint16_t rid;
	struct hilum_device_fault what;
};

extern uint32_t iommu_features; /* HILUM_HOST_IOMMU, HILUM_HOST_IRQ_REMAPPING, once they work */

/*
 * Finds the machine's IOMMUs, blocks every device, and turns DMA and interrupt remapping on; what it finds, and what is missing,
 * goes to the log. Their fault interrupts write `fault_message` (address in bits 31:0, data above). Boot core, once.
 */
void iommu_init(const struct acpi_info *acpi, uint64_t fault_message);

/* ---- Domains ---- */

/* Makes an empty domain; *out is unchanged where there is no IOMMU. STATUS_NO_MEMORY: pool, or more than IOMMU_DOMAINS_MAX. */
must_check enum status iommu_domain_create(struct iommu_domain **out);
/* No device is attached to it. NULL is ignored here and below. */
void iommu_domain_destroy(struct iommu_domain *domain);

/* As memory_map. STATUS_INVALID: beyond the addresses that the IOMMU translates. Device registers are left out. */
must_check enum status iommu_map(struct iommu_domain *domain, const struct memory *mem, gpa_t gpa, uint64_t offset, uint64_t bytes,
                                 unsigned rights);
/* As memory_populate_fault. */
must_check enum status iommu_populate(struct iommu_domain *domain, const struct memory_mapping *m, gpa_t fault);
/* No device reaches the range any more when it returns. */
void iommu_unmap(struct iommu_domain *domain, gpa_t gpa, uint64_t bytes);

/* ---- Devices ---- */

/* True if a domain, or its lack, cannot change what this function reaches: firmware keeps memory for it, or it is an IOMMU. */
bool iommu_device_is_reserved(uint16_t rid);
/*
 * Gives the device to a domain; NULL: blocks it, which a reserved one ignores; `quiet`: not even its faults are recorded. What it
 * had before is out of its reach when this returns. Any context. STATUS_NO_MEMORY: pool; STATUS_DENIED: it is reserved. Both say
 * that nothing has changed.
 */
must_check enum status iommu_set_device(uint16_t rid, const struct iommu_domain *domain, bool quiet);

/* ---- Interrupts: one remapping entry for each vector, tied to one requester ---- */

/*
 * Lets `rid` raise `vector` on core `apic_id`. *message: what it has to write for that, address in bits 31:0, data above. In an
 * IOAPIC's entry, bits 19:4 of the address are bits 63:48. STATUS_NO_MEMORY: pool; STATUS_UNSUPPORTED: no such core for this IOMMU.
 */
must_check enum status iommu_bind_irq(uint16_t rid, unsigned vector, uint32_t apic_id, bool level, uint64_t *message);
/* With this for apic_id it may raise it no more; that cannot fail. */
#define IOMMU_NO_CORE UINT32_MAX

/* The requester that the pins of the IOAPIC with `gsi` are. STATUS_UNSUPPORTED: firmware does not say. */
must_check enum status iommu_rid_of_gsi(uint32_t gsi, uint16_t *rid);

/* ---- Faults ---- */

/* Takes up to `max` recorded faults; returns how many. Any context. */
unsigned iommu_take_faults(struct iommu_fault *out, unsigned max);

#endif
