/*
 * Intel VT-d: legacy-mode translation, queued invalidation, interrupt remapping. Section numbers are those of the Virtualization
 * Technology for Directed I/O specification 4.1. All units of PCI segment 0 share one root table, so that nobody needs to know which
 * of them serves a device; units of other segments get an empty one. Runs under iommu_lock. After boot it allocates nothing but
 * a context table for a bus.
 */
#include "mm/iommu_private.h"

#include "arch/x86_64/cpu.h"
#include "arch/x86_64/features.h"
#include "arch/x86_64/mmio.h"
#include "mm/pool.h"

/* 11.4 Register Descriptions */
enum { REG_CAP = 0x08, REG_ECAP = 0x10, REG_GCMD = 0x18, REG_GSTS = 0x1C, REG_RTADDR = 0x20, REG_FSTS = 0x34 };
enum { REG_FECTL = 0x38, REG_FEDATA = 0x3C, REG_FEADDR = 0x40, REG_FEUADDR = 0x44, REG_PMEN = 0x64 };
enum { REG_IQT = 0x88, REG_IQA = 0x90, REG_IRTA = 0xB8, REGISTER_BYTES = 0x1000 };

#define CAP_UNSUPPORTED (1ull << 4) /* RWBF: needs write buffer flushes */
#define CAP_CM          (1ull << 7)
#define CAP_LEVELS_3    (1ull << 9)
#define CAP_LEVELS_4    (1ull << 10)
#define CAP_FRO(cap)    (((cap) >> 24 & 0x3FF) * 16)
#define CAP_2M          (1ull << 34)
#define CAP_1G          (1ull << 35)
#define CAP_NFR(cap)    (((cap) >> 40 & 0xFF) + 1)
#define ECAP_C          (1ull << 0)
#define ECAP_QI         (1ull << 1)
#define ECAP_IR         (1ull << 3)
#define ECAP_EIM        (1ull << 4)
#define GCMD_TE         (1u << 31)
#define GCMD_SRTP       (1u << 30)
#define GCMD_QIE        (1u << 26)
#define GCMD_IRE        (1u << 25)
#define GCMD_SIRTP      (1u << 24)
#define GSTS_STEADY     0x96FFFFFFu /* 11.4.4: what a new command must repeat */
#define FSTS_CLEAR      0x7Fu
#define IRTA_X2APIC     (1u << 11)
#define IRTA_256        7u

/* 9.1 Root Entry, 9.3 Context Entry, 9.10 Interrupt Remapping Table Entry */
#define ENTRY_PRESENT 1ull
#define CONTEXT_FPD   2ull /* its faults are not recorded */
#define IRTE_FPD      (1ull << 1)
#define IRTE_LEVEL    (1ull << 4)
#define IRTE_SVT_SID  (1ull << 18) /* all bits of the source id count */

/* 6.5.2 Queued Invalidation Interface; of translations, those under way are waited for */
#define QI_CONTEXT_GLOBAL 0x11ull
#define QI_IOTLB_GLOBAL   0xD2ull
#define QI_IOTLB_DOMAIN   0xE2ull
#define QI_IEC_GLOBAL     0x4ull
#define QI_WAIT           (0x25ull | 1ull << 32) /* stores 1 */

/* 11.4.14 Fault Recording Registers, second half */
#define FAULT_F    (1ull << 63)
#define FAULT_READ (1ull << 62)
#define REASON_IR  0x20u /* and above: interrupt remapping */

static bool coherent, x2apic;
static uint64_t (*root)[2], (*empty_root)[2], (*irt)[2];

/* An entry is never present with half of its contents. */
static void store(uint64_t *entry, uint64_t low, uint64_t high)
{
	__atomic_store_n(&entry[0], 0, __ATOMIC_RELEASE);
	__atomic_store_n(&entry[1], high, __ATOMIC_RELEASE);
	__atomic_store_n(&entry[0], low, __ATOMIC_RELEASE);
	if (!coherent)
		cpu_flush_line(entry);
}

static void *new_table(void)
{
	uint8_t *table = pool_alloc_page();

	for (unsigned i = 0; table && !coherent && i < PAGE_SIZE; i += 64)
		cpu_flush_line(table + i);
	return table;
}

static enum status vtd_set_device(uint16_t rid, const struct iommu_domain *domain, bool quiet)
{
	uint64_t *bus = root[rid >> 8], (*table)[2] = bus[0] ? pool_va(bus[0] & ~PAGE_MASK) : new_table();

	if (!table)
		return STATUS_NO_MEMORY;
	if (!bus[0])
		store(bus, pool_hpa(table) | ENTRY_PRESENT, 0);
	if (domain)
		store(table[rid & 0xFF], domain->tree.root | ENTRY_PRESENT, (iommu_vtd.format.levels - 2) | (uint64_t)domain->id << 8);
	else
		store(table[rid & 0xFF], quiet ? CONTEXT_FPD : 0, 0);
	iommu_execute(QI_CONTEXT_GLOBAL, 0);
	iommu_execute(QI_IOTLB_GLOBAL, 0);
	return STATUS_OK;
}

static void vtd_flush_domain(uint16_t id)
{
	iommu_execute(QI_IOTLB_DOMAIN | (uint64_t)id << 16, 0);
}

static enum status vtd_set_irq(uint16_t rid, unsigned vector, uint32_t apic_id, bool level, uint64_t *message)
{
	uint64_t to = x2apic ? apic_id : apic_id << 8;

	if (apic_id == IOMMU_NO_CORE)
		store(irt[vector], IRTE_FPD, 0); /* what is nobody's now is not told either: it may be many */
	else if (apic_id > 0xFF && !x2apic)
		return STATUS_UNSUPPORTED;
	else
		store(irt[vector], ENTRY_PRESENT | (level ? IRTE_LEVEL : 0) | vector << 16 | to << 32, IRTE_SVT_SID | rid);
	iommu_execute(QI_IEC_GLOBAL, 0);
	*message = 0xFEE00010u | vector << 5; /* 5.1.2.2: remappable format, the entry's index, no data */
	return STATUS_OK;
}

static unsigned vtd_take_faults(struct iommu_unit *u, struct iommu_fault *out, unsigned max)
{
	volatile uint8_t *record = u->regs + CAP_FRO(u->capabilities), *end = record + CAP_NFR(u->capabilities) * 16;
	unsigned n = 0;

	for (; record < end && n < max; record += 16) {
		uint64_t high = mmio_read64(record + 8);
		uint8_t reason = (uint8_t)(high >> 32);

		if (!(high & FAULT_F))
			continue;
		out[n++] = (struct iommu_fault){ (uint16_t)high,
			                         { reason < REASON_IR ? HILUM_FAULT_DMA : HILUM_FAULT_INTERRUPT, reason,
			                           !(high & FAULT_READ), 0, mmio_read64(record) & ~PAGE_MASK } };
		mmio_write32(record + 12, FAULT_F >> 32);
	}
	mmio_write32(u->regs + REG_FSTS, FSTS_CLEAR); /* overflow, too */
	return n;
}

/* ---- Boot ---- */

static void command(const struct iommu_unit *u, uint32_t bit, bool on)
{
	uint32_t steady = mmio_read32(u->regs + REG_GSTS) & GSTS_STEADY;

	mmio_write32(u->regs + REG_GCMD, on ? steady | bit : steady & ~bit);
	for (uint32_t i = 0; !(mmio_read32(u->regs + REG_GSTS) & bit) == on; i++)
		if (i == IOMMU_PATIENCE)
			panic("the IOMMU does not take command 0x%x", bit);
}

static const char *vtd_prepare(void)
{
	uint64_t cap = UINT64_MAX, ecap = UINT64_MAX;

	for (struct iommu_unit *u = iommu_units; u < iommu_units + iommu_unit_count; u++) {
		u->capabilities = mmio_read64(u->regs + REG_CAP);
		cap &= u->capabilities ^ CAP_UNSUPPORTED;
		ecap &= mmio_read64(u->regs + REG_ECAP);
		iommu_vtd.flush_on_map |= u->capabilities & CAP_CM;
		if (CAP_FRO(u->capabilities) + CAP_NFR(u->capabilities) * 16 > REGISTER_BYTES)
			return "its fault registers are elsewhere";
	}
	if (!(cap & CAP_UNSUPPORTED) || !(cap & (CAP_LEVELS_3 | CAP_LEVELS_4)) || !(ecap & ECAP_QI))
		return "it has no queued invalidation, needs write buffer flushes, or has tables of another depth";
	coherent = ecap & ECAP_C;
	x2apic = cpu_features.x2apic && ecap & ECAP_EIM;
	iommu_vtd.remaps_irqs = ecap & ECAP_IR;
	iommu_vtd.format.flush = !coherent;
	iommu_vtd.format.levels = cap & CAP_LEVELS_4 ? 4 : 3;
	iommu_vtd.format.max_leaf_level = cap & CAP_2M ? cap & CAP_1G ? 3 : 2 : 1;
	iommu_vtd.wait[0] = QI_WAIT;
	iommu_vtd.wait[1] = kernel_virt_to_hpa((const void *)&iommu_wait_done);
	root = new_table();
	empty_root = new_table();
	irt = new_table();
	return root && empty_root && irt ? NULL : "no memory is left for its tables";
}

/* Firmware may have left translation on: it stays on, over the new root table. */
static void vtd_enable(struct iommu_unit *u, uint64_t fault_message)
{
	command(u, GCMD_QIE, false);
	mmio_write64(u->regs + REG_IQT, 0);
	mmio_write64(u->regs + REG_IQA, pool_hpa(u->queue));
	command(u, GCMD_QIE, true);
	mmio_write64(u->regs + REG_RTADDR, pool_hpa(u->acpi->segment ? empty_root : root));
	command(u, GCMD_SRTP, true);
	iommu_execute(QI_CONTEXT_GLOBAL, 0);
	iommu_execute(QI_IOTLB_GLOBAL, 0);
	if (iommu_vtd.remaps_irqs) {
		command(u, GCMD_IRE, false);
		mmio_write64(u->regs + REG_IRTA, pool_hpa(irt) | (x2apic ? IRTA_X2APIC : 0) | IRTA_256);
		command(u, GCMD_SIRTP, true);
		iommu_execute(QI_IEC_GLOBAL, 0);
		command(u, GCMD_IRE, true);
	}
	mmio_write32(u->regs + REG_FEDATA, fault_message >> 32);
	mmio_write32(u->regs + REG_FEADDR, (uint32_t)fault_message);
	mmio_write32(u->regs + REG_FEUADDR, 0);
	mmio_write32(u->regs + REG_FECTL, 0);
	command(u, GCMD_TE, true);
	mmio_write32(u->regs + REG_PMEN, 0); /* ranges that firmware protected would be closed to domains, too */
}

sealed struct iommu_backend iommu_vtd = {
	.name = "VT-d",
	.register_bytes = REGISTER_BYTES,
	.tail_register = REG_IQT,
	.format = { .table = 3, .leaf = { [1] = 1, [3] = 3, [5] = 1, [7] = 3 } }, /* 9.8: R, W */
	.prepare = vtd_prepare,
	.enable = vtd_enable,
	.set_device = vtd_set_device,
	.flush_domain = vtd_flush_domain,
	.set_irq = vtd_set_irq,
	.take_faults = vtd_take_faults,
};
