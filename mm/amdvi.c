/*
 * AMD-Vi: host translation, command buffer, event log, interrupt remapping with 32-bit entries. Section numbers are those of the
 * AMD I/O Virtualization Technology (IOMMU) Specification 3.08. All units of PCI segment 0 share one device table, whose entries
 * block until they are set; units of other segments get one that is never set. Each requester that may interrupt has a
 * remapping table of its own, in which the index is the vector. Runs under iommu_lock.
 */
#include "mm/iommu_private.h"

#include "arch/x86_64/mmio.h"
#include "mm/entry.h"
#include "mm/pool.h"

/* 3.4 IOMMU MMIO Registers */
enum { REG_DEVICE_TABLE = 0x00, REG_COMMAND_BASE = 0x08, REG_EVENT_BASE = 0x10, REG_CONTROL = 0x18, REG_FEATURES = 0x30 };
enum { REG_COMMAND_HEAD = 0x2000, REG_COMMAND_TAIL = 0x2008, REG_EVENT_HEAD = 0x2010, REG_EVENT_TAIL = 0x2018 };
enum { REG_STATUS = 0x2020, REGISTER_BYTES = 0x4000 };

#define CONTROL_EVENT_LOG 4ull
#define CONTROL_ALL       0x140Dull /* translation, event log and its interrupt, coherent walks, commands */
#define STATUS_OVERFLOW   1u
#define STATUS_EVENT      2u
#define FEATURES_CLEAR    (1ull << 6) /* has COMMAND_CLEAR */
#define RING_256          (8ull << 56)
#define RING_MASK         (IOMMU_QUEUE_ENTRIES * 16 - 16)

/* 2.2.2.1 Device Table Entry Format: bits of its four quadwords */
#define DTE_ENTRIES  65536u
#define DTE_ORDER    9u                                      /* pages of the table */
#define DTE0_BLOCKED 3ull                                    /* valid, translation valid; mode 0 without IR and IW lets nothing through */
#define DTE0_OPEN    (DTE0_BLOCKED | 4ull << 9 | 3ull << 61) /* 4 levels, IR, IW */
#define DTE1_QUIET   (1ull << 34)                            /* SA: no events of page faults */
#define DTE2_BLOCKED 1ull                                    /* interrupt map valid; with IntCtl 0 they are aborted */
#define DTE2_QUIET   (1ull << 5)
#define DTE2_REMAP   (DTE2_BLOCKED | 8ull << 1 | 2ull << 60) /* 256 entries */
#define DTE2_TABLE   0x000FFFFFFFFFFFC0ull

/* 2.4 Commands: the opcode is in bits 63:60 */
#define COMMAND(opcode)   ((uint64_t)(opcode) << 60)
#define COMMAND_WAIT      (COMMAND(1) | 1) /* stores its second quadword at bits 51:3 */
#define COMMAND_DEVICE    COMMAND(2)
#define COMMAND_PAGES     COMMAND(3)
#define PAGES_ALL         (0x7FFFFFFFFFFFF000ull | 3) /* of the domain, and tables */
#define COMMAND_INTERRUPT COMMAND(5)
#define COMMAND_CLEAR     COMMAND(8)

static uint64_t (*table)[4], (*empty_table)[4];

static void amdvi_flush_domain(uint16_t id)
{
	iommu_execute(COMMAND_PAGES | (uint64_t)id << 32, PAGES_ALL);
}

static enum status amdvi_set_device(uint16_t rid, const struct iommu_domain *domain, bool quiet)
{
	uint64_t *q = table[rid];
	uint16_t old = (uint16_t)q[1];

	entry_write(&q[0], DTE0_BLOCKED);
	entry_write(&q[1], domain ? domain->id : quiet ? DTE1_QUIET : 0);
	entry_write(&q[2], (q[2] & ~DTE2_QUIET) | (quiet ? DTE2_QUIET : 0));
	if (domain)
		entry_write(&q[0], DTE0_OPEN | domain->tree.root);
	iommu_execute(COMMAND_DEVICE | rid, 0);
	amdvi_flush_domain(old);
	amdvi_flush_domain((uint16_t)q[1]);
	return STATUS_OK;
}

/* The requester's table is made at the first use, and kept. */
static enum status amdvi_set_irq(uint16_t rid, unsigned vector, uint32_t apic_id, bool level, uint64_t *message)
{
	uint64_t *q = &table[rid][2];

	(void)level; /* the IOAPIC knows */
	(void)message;
	if (!(*q & DTE2_TABLE)) {
		void *fresh = pool_alloc_page();

		if (!fresh)
			return STATUS_NO_MEMORY;
		entry_write(q, (*q & DTE2_QUIET) | DTE2_REMAP | pool_hpa(fresh));
		iommu_execute(COMMAND_DEVICE | rid, 0);
	}
	if (apic_id > 0xFF && apic_id != IOMMU_NO_CORE)
		return STATUS_UNSUPPORTED;
	/* 2.2.5.2: RemapEn, destination, vector */
	__atomic_store_n((uint32_t *)pool_va(*q & DTE2_TABLE) + vector, apic_id == IOMMU_NO_CORE ? 0 : 1 | apic_id << 8 | vector << 16,
	                 __ATOMIC_RELEASE);
	iommu_execute(COMMAND_INTERRUPT | rid, 0);
	return STATUS_OK;
}

/* 2.5: codes 1 to 4 tell the device in bits 15:0; of 2, a page fault, bit 51 says interrupt and 53 write. */
static unsigned amdvi_take_faults(struct iommu_unit *u, struct iommu_fault *out, unsigned max)
{
	uint32_t head = mmio_read32(u->regs + REG_EVENT_HEAD) & RING_MASK, tail = mmio_read32(u->regs + REG_EVENT_TAIL) & RING_MASK;
	uint64_t control = mmio_read64(u->regs + REG_CONTROL);
	bool overflow = mmio_read32(u->regs + REG_STATUS) & STATUS_OVERFLOW;
	unsigned n = 0;

	for (; n < max && head != tail; head = (head + 16) & RING_MASK) {
		uint64_t *event = u->events[head / 16], low = __atomic_load_n(&event[0], __ATOMIC_ACQUIRE);
		uint8_t code = (uint8_t)(low >> 60), kind = low >> 51 & 1 ? HILUM_FAULT_INTERRUPT : HILUM_FAULT_DMA;

		if (code >= 1 && code <= 4)
			out[n++] = (struct iommu_fault){ (uint16_t)low,
				                         { code == 2 ? kind : HILUM_FAULT_OTHER, code, low >> 53 & 1, 0, event[1] } };
	}
	mmio_write64(u->regs + REG_EVENT_HEAD, head);
	mmio_write32(u->regs + REG_STATUS, STATUS_OVERFLOW | STATUS_EVENT);
	if (overflow) { /* 2.5.11: the log goes on only after this */
		mmio_write64(u->regs + REG_CONTROL, control & ~CONTROL_EVENT_LOG);
		mmio_write64(u->regs + REG_CONTROL, control);
	}
	return n;
}

/* ---- Boot ---- */

static void *new_table(void)
{
	uint64_t *q = pool_alloc_pages(DTE_ORDER);

	for (uint32_t i = 0; q && i < DTE_ENTRIES * 4; i += 4) {
		q[i] = DTE0_BLOCKED;
		q[i + 2] = DTE2_BLOCKED;
	}
	return q;
}

static const char *amdvi_prepare(void)
{
	table = empty_table = new_table();
	for (struct iommu_unit *u = iommu_units; u < iommu_units + iommu_unit_count; u++) {
		u->events = pool_alloc_page();
		if (u->acpi->segment && empty_table == table)
			empty_table = new_table();
		if (!u->events || !table || !empty_table)
			return "no memory is left for its tables";
	}
	iommu_amdvi.wait[0] = COMMAND_WAIT | kernel_virt_to_hpa((const void *)&iommu_wait_done);
	iommu_amdvi.wait[1] = 1;
	return NULL;
}

/* The event log's interrupt is an MSI of the unit's PCI function: whoever has configuration space sets it up. */
static void amdvi_enable(struct iommu_unit *u, uint64_t fault_message)
{
	(void)fault_message;
	mmio_write64(u->regs + REG_CONTROL, 0);
	mmio_write64(u->regs + REG_DEVICE_TABLE, pool_hpa(u->acpi->segment ? empty_table : table) | ((1u << DTE_ORDER) - 1));
	mmio_write64(u->regs + REG_COMMAND_BASE, pool_hpa(u->queue) | RING_256);
	mmio_write64(u->regs + REG_EVENT_BASE, pool_hpa(u->events) | RING_256);
	for (unsigned reg = REG_COMMAND_HEAD; reg <= REG_EVENT_TAIL; reg += 8)
		mmio_write64(u->regs + reg, 0);
	mmio_write64(u->regs + REG_CONTROL, CONTROL_ALL);
	if (mmio_read64(u->regs + REG_FEATURES) & FEATURES_CLEAR) /* of what firmware's use may have left */
		iommu_execute(COMMAND_CLEAR, 0);
}

/* 2.2.3: an entry tells the level that it leads to in bits 11:9, and ignores bit 7; FC, IR, IW. */
sealed struct iommu_backend iommu_amdvi = {
	.name = "AMD-Vi",
	.register_bytes = REGISTER_BYTES,
	.tail_register = REG_COMMAND_TAIL,
	.format = { .table = 1 | 3ull << 61,
	            .leaf = { [1] = 1 | 3ull << 60, [3] = 1 | 7ull << 60, [5] = 1 | 3ull << 60, [7] = 1 | 7ull << 60 },
	            .level = 1ull << 9,
	            .levels = 4,
	            .max_leaf_level = 3 },
	.flush_on_map = true, /* 3.2.1 NpCache, which few have */
	.remaps_irqs = true,
	.prepare = amdvi_prepare,
	.enable = amdvi_enable,
	.set_device = amdvi_set_device,
	.flush_domain = amdvi_flush_domain,
	.set_irq = amdvi_set_irq,
	.take_faults = amdvi_take_faults,
};
