/*
 * DMA and interrupt remapping, in the terms of no vendor. Every device is blocked until it is attached to a domain; a domain is
 * a second tree of tables beside a VM's nested page table, with the same memory at the same addresses, which nested_pt keeps in
 * the IOMMU's own format. Devices are named by requester id (bus << 8 | device << 3 | function), in PCI segment 0 only.
 *
 * All functions may be called where there is no IOMMU: iommu_domain_create then gives no domain, the rest does nothing.
 * Lock: iommu_lock (rank IOMMU) covers device, context and interrupt tables, and the units' queues and registers. Domains' trees
 * are guarded as nested tables are (mm/nested_pt.h).
 */
#ifndef MM_IOMMU_H
#define MM_IOMMU_H

#include "arch/x86_64/acpi.h"
#include "mm/memory.h"

struct iommu_domain;

enum iommu_fault_kind { IOMMU_FAULT_DMA, IOMMU_FAULT_INTERRUPT, IOMMU_FAULT_OTHER };

struct iommu_fault {
	uint16_t rid;
	uint8_t reason; /* the vendor's code */
	uint8_t kind;	/* enum iommu_fault_kind */
	bool write;
	uint64_t address;
};

/*
 * Finds the machine's IOMMUs, blocks every device, and turns DMA and interrupt remapping on; what it finds, and what is missing,
 * goes to the log. Their fault interrupts come as `vector` to core `apic_id`. Boot core, once.
 */
void iommu_init(const struct acpi_info *acpi, unsigned vector, uint32_t apic_id);

bool iommu_is_present(void);
bool iommu_has_irq_remapping(void);

/* ---- Domains ---- */

/* Makes an empty domain; *out is NULL where there is no IOMMU. STATUS_NO_MEMORY: pool, or more than IOMMU_DOMAINS_MAX. */
#define IOMMU_DOMAINS_MAX 15u
must_check enum status iommu_domain_create(struct iommu_domain **out);
/* No device is attached to it. NULL is ignored here and below. */
void iommu_domain_destroy(struct iommu_domain *domain);

/* As memory_map. STATUS_INVALID: beyond the addresses that the IOMMU translates. Device registers are left out. */
must_check enum status iommu_map(struct iommu_domain *domain, const struct memory *mem, gpa_t gpa,
				 uint64_t offset, uint64_t bytes, unsigned rights);
/* As memory_populate_fault. */
must_check enum status iommu_populate(struct iommu_domain *domain, const struct memory_mapping *m, gpa_t fault);
/* No device reaches the range any more when it returns. */
void iommu_unmap(struct iommu_domain *domain, gpa_t gpa, uint64_t bytes);

/* ---- Devices ---- */

/* True if a domain, or its lack, cannot change what this function reaches: firmware keeps memory for it, or it is an IOMMU. */
bool iommu_device_is_reserved(uint16_t rid);
/* STATUS_NO_MEMORY: pool. STATUS_DENIED: it is reserved. */
must_check enum status iommu_attach(uint16_t rid, struct iommu_domain *domain);
/* Blocks it again; `quiet`: its faults are not even recorded. Any context. */
void iommu_detach(uint16_t rid, bool quiet);

/* ---- Interrupts: one remapping entry for each vector, tied to one requester ---- */

/*
 * Lets `rid` raise `vector` on core `apic_id`. *message: what to program into it, address in bits 31:0, data above.
 * STATUS_NO_MEMORY: pool; STATUS_UNSUPPORTED: no such core for this IOMMU.
 */
must_check enum status iommu_bind_msi(uint16_t rid, unsigned vector, uint32_t apic_id, uint64_t *message);
void iommu_unbind_msi(uint16_t rid, unsigned vector);

/* The same for pin `gsi` of an IOAPIC: *high is bits 63:32 of its redirection entry. Also STATUS_UNSUPPORTED: firmware does not
 * say which requester that IOAPIC is. */
must_check enum status iommu_route_gsi(uint32_t gsi, unsigned vector, uint32_t apic_id, bool level,
				       uint32_t *high);

/* ---- Faults ---- */

/* Takes up to `max` recorded faults; returns how many. Any context. */
unsigned iommu_take_faults(struct iommu_fault *out, unsigned max);

#endif
