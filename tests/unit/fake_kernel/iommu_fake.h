/* The recording IOMMU of the fake machine. */
#ifndef TESTS_UNIT_FAKE_KERNEL_IOMMU_FAKE_H
#define TESTS_UNIT_FAKE_KERNEL_IOMMU_FAKE_H

#include "tests/unit/fake_kernel/machine.h"

#include "mm/iommu_private.h"

#define FAKE_IOMMU_BASE   0xFED90000ull
#define FAKE_RESERVED     0xFC000000ull /* firmware's, for the device: */
#define FAKE_RESERVED_RID 0xE8
#define FAKE_IOAPIC_RID   0xF0F8
#define FAKE_LIAR_RID     0xF0 /* firmware claims RAM for this one */

extern struct fake_iommu {
	uint16_t domain[65536]; /* by requester; 0: blocked */
	bool quiet[65536];
	uint16_t vector_rid[256]; /* 0: nobody's */
	uint32_t vector_core[256];
	unsigned flushes, fault_count;
	struct iommu_fault faults[64];
	uint64_t fault_message;
	bool fail; /* no memory for tables */
} fake_iommu;

/* Once, before the first fake_boot. */
void fake_iommu_start(void);

#endif
