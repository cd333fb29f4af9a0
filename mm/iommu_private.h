/* Between iommu.c and the vendors' parts, vtd.c and amdvi.c; nobody else includes this. All run under iommu_lock. */
#ifndef MM_IOMMU_PRIVATE_H
#define MM_IOMMU_PRIVATE_H

#include "mm/iommu.h"

#define IOMMU_QUEUE_ENTRIES 256u /* of 16 bytes: one page */

struct iommu_domain {
	struct nested_pt tree;
	uint16_t id; /* from 1, tags cached translations; 0: not in use */
};

struct iommu_unit {
	volatile uint8_t *regs;
	uint64_t (*queue)[2];  /* commands */
	uint64_t (*events)[2]; /* AMD: the event log */
	uint32_t tail;         /* of the queue */
	const struct acpi_iommu *acpi;
	uint64_t capabilities; /* Intel: register CAP */
};

struct iommu_backend {
	const char *name;
	uint32_t register_bytes, tail_register;
	struct nested_pt_format format;
	bool flush_on_map; /* absent translations are cached too */
	bool remaps_irqs;
	uint64_t wait[2]; /* command that stores a 1 at iommu_wait_done; written by prepare */
	/* Looks at all units, which do nothing yet, and makes empty tables. NULL, or one sentence: this cannot be used. */
	const char *(*prepare)(void);
	/* Turns translation on, with what set_device has written by then; faults write iommu_init's message. */
	void (*enable)(struct iommu_unit *unit, uint64_t fault_message);
	/* domain NULL: blocked. Caches included. STATUS_NO_MEMORY: pool. */
	enum status (*set_device)(uint16_t rid, const struct iommu_domain *domain, bool quiet);
	void (*flush_domain)(uint16_t id);
	/* As iommu_bind_irq; *message comes as it is without remapping. */
	enum status (*set_irq)(uint16_t rid, unsigned vector, uint32_t apic_id, bool level, uint64_t *message);
	/* Appends at most max to out; returns how many. */
	unsigned (*take_faults)(struct iommu_unit *unit, struct iommu_fault *out, unsigned max);
};

extern struct iommu_backend iommu_vtd, iommu_amdvi;

extern struct iommu_unit iommu_units[ACPI_IOMMUS_MAX];
extern uint32_t iommu_unit_count;
extern volatile uint64_t iommu_wait_done;

/* One command, by all units, done when it returns. Nothing before translation is on. */
void iommu_execute(uint64_t low, uint64_t high);

#endif
