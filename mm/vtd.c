/*
 * Intel VT-d: legacy-mode translation, queued invalidation, interrupt remapping. Section numbers are those of the Virtualization
 * Technology for Directed I/O specification 4.1. All units of PCI segment 0 share one root table, so nobody needs to know which
 * of them serves a device; units of other segments get an empty one. Runs under iommu_lock. Never allocates after boot but a
 * context table for a bus.
 */
#include "mm/iommu_private.h"

#include "arch/x86_64/cpu.h"
#include "arch/x86_64/lapic.h"
#include "arch/x86_64/log.h"
#include "arch/x86_64/mmio.h"
#include "arch/x86_64/panic.h"
#include "boot/hooks.h"
#include "mm/pool.h"

/* 11.4 Register Descriptions */
enum {
	REG_CAP = 0x08,
	REG_ECAP = 0x10,
	REG_GCMD = 0x18,
	REG_GSTS = 0x1C,
	REG_RTADDR = 0x20,
	REG_FSTS = 0x34,
	REG_FECTL = 0x38,
	REG_FEDATA = 0x3C,
	REG_FEADDR = 0x40,
	REG_FEUADDR = 0x44,
	REG_PMEN = 0x64,
	REG_IQT = 0x88,
	REG_IQA = 0x90,
	REG_IRTA = 0xB8,
};
#define REGISTER_BYTES 0x1000u

#define CAP_RWBF	  (1ull << 4)
#define CAP_CM		  (1ull << 7)
#define CAP_SAGAW_3	  (1ull << 9)
#define CAP_SAGAW_4	  (1ull << 10)
#define CAP_FRO(cap)	  (((cap) >> 24 & 0x3FF) * 16)
#define CAP_SLLPS_2M	  (1ull << 34)
#define CAP_SLLPS_1G	  (1ull << 35)
#define CAP_NFR(cap)	  (((cap) >> 40 & 0xFF) + 1)
#define ECAP_C		  (1ull << 0)
#define ECAP_QI		  (1ull << 1)
#define ECAP_IR		  (1ull << 3)
#define ECAP_EIM	  (1ull << 4)
#define GCMD_TE		  (1u << 31)
#define GCMD_SRTP	  (1u << 30)
#define GCMD_QIE	  (1u << 26)
#define GCMD_IRE	  (1u << 25)
#define GCMD_SIRTP	  (1u << 24)
#define GSTS_STEADY	  0x96FFFFFFu /* 11.4.4: what a new command must repeat */
#define FSTS_CLEAR	  0x7Fu
#define PMEN_EPM	  (1u << 31)
#define IRTA_EIME	  (1u << 11)
#define IRTA_256_ENTRIES  7u

/* 9.1 Root Entry, 9.3 Context Entry */
#define ENTRY_PRESENT	    1ull
#define CONTEXT_FPD	    2ull
#define CONTEXT_AW(levels)  ((uint64_t)(levels)-2)
#define CONTEXT_DID(id)	    ((uint64_t)(id) << 8)

/* 9.10 Interrupt Remapping Table Entry for remapped interrupts */
#define IRTE_LEVEL     (1ull << 4)
#define IRTE_VECTOR(v) ((uint64_t)(v) << 16)
#define IRTE_DST(id)   ((uint64_t)(id) << 32)
#define IRTE_SVT_SID   (1ull << 18) /* all bits of the source id count */

/* 5.1.2.2 Interrupt Requests in Remappable Format */
#define MSI_REMAPPABLE(index) (0xFEE00010u | (index) << 5)
#define RTE_REMAPPABLE(index) (1u << 16 | (index) << 17)

/* 6.5.2 Queued Invalidation Interface */
#define QI_CONTEXT_GLOBAL 0x11ull
#define QI_IOTLB_GLOBAL	  (0x12ull | 3ull << 6) /* reads and writes under way are waited for */
#define QI_IOTLB_DOMAIN	  (0x22ull | 3ull << 6)
#define QI_IEC_GLOBAL	  0x4ull
#define QI_WAIT		  (0x5ull | 1ull << 5) /* writes its status */
#define QI_ENTRIES	  256u

/* 11.4.14 Fault Recording Registers, second half */
#define FAULT_F	     (1ull << 63)
#define FAULT_READ   (1ull << 62)
#define FAULT_REASON(high) ((high) >> 32 & 0xFF)
#define REASON_IR    0x20u /* and above: interrupt remapping */

#define PATIENCE 100000000u

struct pair {
	uint64_t low, high;
};
static_assert(sizeof(struct pair) == 16, "every table entry and descriptor but page table entries");

struct unit {
	volatile uint8_t *regs;
	struct pair *queue;
	uint32_t tail;
	uint16_t segment;
	uint64_t cap, ecap;
};

static struct unit units[ACPI_IOMMUS_MAX];
static uint32_t unit_count;
static bool enabled, coherent, x2apic;
static struct pair *root, *empty_root, *irt;
static volatile uint32_t wait_done;

/* Rights: R and W; EXECUTE means nothing to devices. 9.8 Second-Stage Paging Entries. */
static struct nested_pt_format format = {
	.table = 3,
	.leaf = {[1] = 1, [3] = 3, [5] = 1, [7] = 3},
};

struct iommu_backend iommu_vtd; /* below */

static void store(struct pair *entry, uint64_t low, uint64_t high)
{
	/* Never present with half of its contents. */
	*(volatile uint64_t *)&entry->low = 0;
	*(volatile uint64_t *)&entry->high = high;
	__atomic_store_n(&entry->low, low, __ATOMIC_RELEASE);
	if (!coherent)
		cpu_flush_line(entry);
}

static struct pair *new_table(void)
{
	struct pair *page = pool_alloc_page();

	for (size_t at = 0; page && !coherent && at < PAGE_SIZE; at += 64)
		cpu_flush_line((uint8_t *)page + at);
	return page;
}

/* ---- Commands ---- */

static void command(const struct unit *u, uint32_t bit, bool on)
{
	uint32_t steady = mmio_read32(u->regs + REG_GSTS) & GSTS_STEADY;

	mmio_write32(u->regs + REG_GCMD, on ? steady | bit : steady & ~bit);
	for (uint32_t i = 0; !(mmio_read32(u->regs + REG_GSTS) & bit) == on; i++) {
		if (i == PATIENCE)
			panic("the IOMMU does not take command 0x%x", bit);
		cpu_pause();
	}
}

static void put(struct unit *u, uint64_t low, uint64_t high)
{
	u->queue[u->tail] = (struct pair){low, high};
	u->tail = (u->tail + 1) % QI_ENTRIES;
}

/* One invalidation by all units; complete when it returns. */
static void invalidate(uint64_t first, uint64_t second, uint64_t third)
{
	for (uint32_t i = 0; enabled && i < unit_count; i++) {
		struct unit *u = &units[i];

		put(u, first, 0);
		if (second)
			put(u, second, 0);
		if (third)
			put(u, third, 0);
		wait_done = 0;
		put(u, QI_WAIT | 1ull << 32, kernel_virt_to_hpa((const void *)&wait_done));
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
		mmio_write64(u->regs + REG_IQT, (uint64_t)u->tail << 4);
		for (uint32_t n = 0; !wait_done; n++) {
			if (n == PATIENCE)
				panic("the IOMMU does not invalidate: status 0x%x", mmio_read32(u->regs + REG_FSTS));
			cpu_pause();
		}
	}
}

/* ---- Tables ---- */

static enum status vtd_set_device(uint16_t rid, const struct iommu_domain *domain, bool quiet)
{
	struct pair *bus = &root[rid >> 8];

	if (!bus->low) {
		struct pair *table = new_table();

		if (!table)
			return STATUS_NO_MEMORY;
		store(bus, pool_hpa(table) | ENTRY_PRESENT, 0);
	}
	struct pair *context = (struct pair *)pool_va(bus->low & ~PAGE_MASK) + (rid & 0xFF);

	if (domain)
		store(context, domain->tree.root | ENTRY_PRESENT, CONTEXT_AW(format.levels) | CONTEXT_DID(domain->id));
	else
		store(context, quiet ? CONTEXT_FPD : 0, 0);
	invalidate(QI_CONTEXT_GLOBAL, QI_IOTLB_GLOBAL, 0);
	return STATUS_OK;
}

static void vtd_flush_domain(uint16_t id)
{
	invalidate(QI_IOTLB_DOMAIN | (uint64_t)id << 16, 0, 0);
}

static enum status vtd_set_irq(uint16_t rid, unsigned vector, uint32_t apic_id, bool level, uint64_t *message)
{
	if (apic_id > 0xFF && !x2apic)
		return STATUS_UNSUPPORTED;
	store(&irt[vector],
	      ENTRY_PRESENT | (level ? IRTE_LEVEL : 0) | IRTE_VECTOR(vector) | IRTE_DST(x2apic ? apic_id : apic_id << 8),
	      IRTE_SVT_SID | rid);
	invalidate(QI_IEC_GLOBAL, 0, 0);
	*message = MSI_REMAPPABLE(vector);
	return STATUS_OK;
}

static void vtd_clear_irq(uint16_t rid, unsigned vector)
{
	(void)rid;
	store(&irt[vector], 0, 0);
	invalidate(QI_IEC_GLOBAL, 0, 0);
}

static uint32_t vtd_ioapic_high(unsigned vector, uint32_t apic_id)
{
	(void)apic_id;
	return RTE_REMAPPABLE(vector);
}

/* ---- Faults ---- */

static unsigned vtd_take_faults(struct iommu_fault *out, unsigned max)
{
	unsigned n = 0;

	for (uint32_t i = 0; i < unit_count; i++) {
		volatile uint8_t *record = units[i].regs + CAP_FRO(units[i].cap);
		unsigned left = CAP_NFR(units[i].cap);

		for (; left && n < max; left--, record += 16) {
			uint64_t high = mmio_read64(record + 8);

			if (!(high & FAULT_F))
				continue;
			out[n++] = (struct iommu_fault){
				.rid = (uint16_t)high,
				.reason = FAULT_REASON(high),
				.kind = FAULT_REASON(high) < REASON_IR ? IOMMU_FAULT_DMA : IOMMU_FAULT_INTERRUPT,
				.write = !(high & FAULT_READ),
				.address = mmio_read64(record) & ~PAGE_MASK,
			};
			mmio_write32(record + 12, FAULT_F >> 32);
		}
		if (!left)
			mmio_write32(units[i].regs + REG_FSTS, FSTS_CLEAR); /* overflow, too */
	}
	return n;
}

/* ---- Boot ---- */

static enum status add_unit(const struct acpi_iommu *iommu, const char **why)
{
	struct unit u = {.regs = mm_map_mmio(iommu->base, REGISTER_BYTES), .segment = iommu->segment};

	*why = "one's registers cannot be used";
	if (!u.regs)
		return STATUS_UNSUPPORTED;
	u.cap = mmio_read64(u.regs + REG_CAP);
	u.ecap = mmio_read64(u.regs + REG_ECAP);
	if (u.cap == UINT64_MAX || CAP_FRO(u.cap) + CAP_NFR(u.cap) * 16 > REGISTER_BYTES)
		return STATUS_UNSUPPORTED;
	*why = "one lacks queued invalidation, needs write buffer flushes, or has tables of a depth that is not supported";
	if (!(u.ecap & ECAP_QI) || u.cap & CAP_RWBF || !(u.cap & (CAP_SAGAW_3 | CAP_SAGAW_4)))
		return STATUS_UNSUPPORTED;
	*why = "no memory for its tables";
	u.queue = pool_alloc_page();
	if (!u.queue)
		return STATUS_NO_MEMORY;
	units[unit_count++] = u;
	return STATUS_OK;
}

static enum status vtd_find(const struct acpi_info *acpi, const char **why)
{
	uint64_t cap = UINT64_MAX, ecap = UINT64_MAX;

	if (!acpi->dmar.base)
		return STATUS_NOT_FOUND;
	for (uint32_t i = 0; i < acpi->iommu_count; i++) {
		enum status status = add_unit(&acpi->iommus[i], why);

		if (status != STATUS_OK)
			return status;
		iommu_vtd.flush_on_map |= units[i].cap & CAP_CM;
		cap &= units[i].cap;
		ecap &= units[i].ecap;
	}
	*why = "its units have no depth of tables in common";
	if (!(cap & (CAP_SAGAW_3 | CAP_SAGAW_4)))
		return STATUS_UNSUPPORTED;
	format.levels = cap & CAP_SAGAW_4 ? 4 : 3;
	format.max_leaf_level = cap & CAP_SLLPS_2M ? cap & CAP_SLLPS_1G ? 3 : 2 : 1;
	coherent = ecap & ECAP_C;
	format.flush = !coherent;
	x2apic = lapic_is_x2apic() && ecap & ECAP_EIM;
	iommu_vtd.remaps_irqs = ecap & ECAP_IR;
	root = new_table();
	empty_root = new_table();
	irt = new_table();
	*why = "no memory for its tables";
	return root && empty_root && irt ? STATUS_OK : STATUS_NO_MEMORY;
}

/* Firmware may have left translation on: it stays on, over the new root table, until the last command. */
static void enable_unit(struct unit *u, unsigned vector, uint32_t apic_id)
{
	command(u, GCMD_QIE, false);
	mmio_write64(u->regs + REG_IQT, 0);
	mmio_write64(u->regs + REG_IQA, pool_hpa(u->queue));
	command(u, GCMD_QIE, true);
	mmio_write64(u->regs + REG_RTADDR, pool_hpa(u->segment ? empty_root : root));
	command(u, GCMD_SRTP, true);
	if (iommu_vtd.remaps_irqs) {
		command(u, GCMD_IRE, false);
		mmio_write64(u->regs + REG_IRTA, pool_hpa(irt) | (x2apic ? IRTA_EIME : 0) | IRTA_256_ENTRIES);
		command(u, GCMD_SIRTP, true);
	}
	mmio_write32(u->regs + REG_FEDATA, vector);
	mmio_write32(u->regs + REG_FEADDR, 0xFEE00000u | (apic_id & 0xFF) << 12);
	mmio_write32(u->regs + REG_FEUADDR, apic_id & ~0xFFu);
	mmio_write32(u->regs + REG_FECTL, 0);
}

static void vtd_enable(unsigned vector, uint32_t apic_id)
{
	for (uint32_t i = 0; i < unit_count; i++)
		enable_unit(&units[i], vector, apic_id);
	enabled = true;
	invalidate(QI_CONTEXT_GLOBAL, QI_IOTLB_GLOBAL, iommu_vtd.remaps_irqs ? QI_IEC_GLOBAL : 0);
	for (uint32_t i = 0; i < unit_count; i++) {
		if (iommu_vtd.remaps_irqs)
			command(&units[i], GCMD_IRE, true);
		command(&units[i], GCMD_TE, true);
		if (mmio_read32(units[i].regs + REG_PMEN) & PMEN_EPM)
			mmio_write32(units[i].regs + REG_PMEN, 0); /* firmware's protected ranges block domains */
	}
	log_info("VT-d: %u units, %u-level tables%s%s%s", unit_count, format.levels,
		 format.max_leaf_level == 3   ? ", 1 GiB pages"
		 : format.max_leaf_level == 2 ? ", 2 MiB pages"
					      : "",
		 iommu_vtd.remaps_irqs ? ", interrupt remapping" : "", coherent ? "" : ", walks RAM");
}

struct iommu_backend iommu_vtd = {
	.name = "VT-d",
	.format = &format,
	.find = vtd_find,
	.enable = vtd_enable,
	.set_device = vtd_set_device,
	.flush_domain = vtd_flush_domain,
	.set_irq = vtd_set_irq,
	.clear_irq = vtd_clear_irq,
	.ioapic_high = vtd_ioapic_high,
	.take_faults = vtd_take_faults,
};
