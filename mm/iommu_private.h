/* Between iommu.c and the vendors' parts, vtd.c and amdvi.c; nobody else includes this. All run under iommu_lock. */
#ifndef MM_IOMMU_PRIVATE_H
#define MM_IOMMU_PRIVATE_H

#include "mm/iommu.h"

#define IOMMU_VECTORS 256u /* entries of an interrupt remapping table: the index is the vector */

struct iommu_domain {
	struct nested_pt tree;
	uint16_t id; /* 1 .. IOMMU_DOMAINS_MAX + 1, tags cached translations; 0: not in use */
};

struct iommu_backend {
	const char *name;
	struct nested_pt_format *format; /* filled in by `find` */
	/* Maps all units and makes empty tables. *why: one sentence, if it fails: the machine has no usable IOMMU then. */
	enum status (*find)(const struct acpi_info *acpi, const char **why);
	/* Turns translation on, with what set_device has written by then. */
	void (*enable)(unsigned vector, uint32_t apic_id);
	/* domain NULL: blocked. Caches included. STATUS_NO_MEMORY: pool. */
	enum status (*set_device)(uint16_t rid, const struct iommu_domain *domain, bool quiet);
	void (*flush_domain)(uint16_t id);
	/* As iommu_bind_msi; for an IOAPIC's pin the caller wants the destination half only. clear: apic_id and level unused. */
	enum status (*set_irq)(uint16_t rid, unsigned vector, uint32_t apic_id, bool level, uint64_t *message);
	void (*clear_irq)(uint16_t rid, unsigned vector);
	/* High half of an IOAPIC entry that uses remapping entry `vector`. */
	uint32_t (*ioapic_high)(unsigned vector, uint32_t apic_id);
	unsigned (*take_faults)(struct iommu_fault *out, unsigned max);
	bool flush_on_map;  /* absent entries are cached too */
	bool remaps_irqs;
};

extern struct iommu_backend *const iommu_backends[]; /* NULL ends it */

/* PCI configuration space by ports 0xCF8 and 0xCFC, for boot: PCI Local Bus Specification 3.0, 3.2.2.3.2. */
uint32_t iommu_pci_read(uint16_t rid, unsigned offset);
void iommu_pci_write(uint16_t rid, unsigned offset, uint32_t value);

#endif
