/* A machine without an IOMMU, until fake_iommu_start: then it has one that records what it is told. */
#include "tests/unit/fake_kernel/iommu_fake.h"

#include "boot/boot.h"
#include "boot/hooks.h"
#include "kernel/device.h"

struct fake_iommu fake_iommu;
struct iommu_backend iommu_amdvi; /* never there */

static uint8_t registers[PAGE_SIZE];

void *mm_map_mmio(hpa_t base, uint64_t bytes)
{
	assert_true(base == FAKE_IOMMU_BASE && bytes <= sizeof(registers));
	return registers;
}

static const char *prepare(void)
{
	return NULL;
}

static void enable(struct iommu_unit *unit, uint64_t fault_message)
{
	(void)unit;
	fake_iommu.fault_message = fault_message;
}

static enum status set_device(uint16_t rid, const struct iommu_domain *domain, bool quiet)
{
	if (fake_iommu.fail)
		return STATUS_NO_MEMORY;
	fake_iommu.domain[rid] = domain ? domain->id : 0;
	fake_iommu.quiet[rid] = quiet;
	return STATUS_OK;
}

static void flush_domain(uint16_t id)
{
	assert_true(id >= 1 && id <= IOMMU_DOMAINS_MAX + 1);
	fake_iommu.flushes++;
}

static enum status set_irq(uint16_t rid, unsigned vector, uint32_t apic_id, bool level, uint64_t *message)
{
	(void)level;
	assert_true(vector < 256);
	if (fake_iommu.fail)
		return STATUS_NO_MEMORY;
	assert_true(apic_id == IOMMU_NO_CORE || apic_id < CORES_MAX);
	fake_iommu.vector_rid[vector] = apic_id == IOMMU_NO_CORE ? 0 : rid;
	fake_iommu.vector_core[vector] = apic_id;
	*message |= 1u << 4;
	return STATUS_OK;
}

static unsigned take_faults(struct iommu_unit *unit, struct iommu_fault *out, unsigned max)
{
	unsigned n = 0;

	(void)unit;
	while (n < max && fake_iommu.fault_count > 0)
		out[n++] = fake_iommu.faults[--fake_iommu.fault_count];
	return n;
}

struct iommu_backend iommu_vtd = {
	.name = "fake",
	.register_bytes = PAGE_SIZE,
	.format = { .table = 0x7,
	            .leaf = { [1] = 1ull << 63 | 0x5, [3] = 1ull << 63 | 0x7, [5] = 0x5, [7] = 0x7 },
	            .levels = 3,
	            .max_leaf_level = 2 },
	.remaps_irqs = true,
	.prepare = prepare,
	.enable = enable,
	.set_device = set_device,
	.flush_domain = flush_domain,
	.set_irq = set_irq,
	.take_faults = take_faults,
};

static const struct acpi_info acpi_iommu = {
	.dmar = { 1, 48 },
	.iommu_count = 1,
	.iommus = { { .base = FAKE_IOMMU_BASE } },
	.ioapic_count = 1,
	.ioapics = { { .base = 0xFEC00000, .gsi_base = 0, .id = 7 } },
	.ioapic_rid_count = 1,
	.ioapic_rids = { { 7, FAKE_IOAPIC_RID } },
	.reserved_count = 2,
	.reserved = { { FAKE_RESERVED, FAKE_RESERVED + 0x1FFF, FAKE_RESERVED_RID, FAKE_RESERVED_RID },
	              { 8 * MIB, 8 * MIB + 0xFFF, FAKE_LIAR_RID, FAKE_LIAR_RID } },
};
struct acpi_info boot_acpi;

void fake_iommu_start(void)
{
	fake_machine_boot();
	fake_cores_boot(1);
	boot_acpi = acpi_iommu;
	device_init();
	fake_cores_end();
}
