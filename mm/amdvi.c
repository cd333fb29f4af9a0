/*
 * AMD-Vi: host translation, command buffer, event log, interrupt remapping with 32-bit entries. Section numbers are those of the
 * AMD I/O Virtualization Technology (IOMMU) Specification 3.08. All units of PCI segment 0 share one device table, whose entries
 * block until they are set; units of other segments get one that is never set. Each requester that may interrupt has a
 * remapping table of its own, in which the index is the vector. Runs under iommu_lock.
 */
#include "mm/iommu_private.h"

#include "arch/x86_64/cpu.h"
#include "arch/x86_64/log.h"
#include "arch/x86_64/mmio.h"
#include "arch/x86_64/panic.h"
#include "boot/hooks.h"
#include "mm/pool.h"

/* 3.4 IOMMU MMIO Registers */
enum {
	REG_DEVICE_TABLE = 0x0000,
	REG_COMMAND_BASE = 0x0008,
	REG_EVENT_BASE = 0x0010,
	REG_CONTROL = 0x0018,
	REG_FEATURES = 0x0030,
	REG_COMMAND_HEAD = 0x2000,
	REG_COMMAND_TAIL = 0x2008,
	REG_EVENT_HEAD = 0x2010,
	REG_EVENT_TAIL = 0x2018,
	REG_STATUS = 0x2020,
};
#define REGISTER_BYTES 0x4000u

#define CONTROL_IOMMU_EN     (1ull << 0)
#define CONTROL_EVENT_LOG_EN (1ull << 2)
#define CONTROL_EVENT_INT_EN (1ull << 3)
#define CONTROL_COHERENT     (1ull << 10)
#define CONTROL_COMMAND_EN   (1ull << 12)
#define FEATURES_INVALIDATE_ALL (1ull << 6)
#define STATUS_OVERFLOW	     1u
#define STATUS_EVENT_INT     2u
#define RING_ENTRIES	     256u
#define RING_256	     (8ull << 56)

/* 3.2.4 capability block, 3.3 MSI: of the IOMMU's own PCI function */
#define CAPABILITY_NP_CACHE (1u << 26)
#define PCI_STATUS_LIST	    0x34u
#define PCI_CAPABILITY_MSI  5u
#define MSI_ENABLE	    (1u << 16)
#define MSI_MULTIPLE	    (7u << 20)
#define MSI_64BIT	    (1u << 23)

/* 2.2.2.1 Device Table Entry Format: bits of its four quadwords */
#define DTE_ENTRIES	  65536u
#define DTE_TABLE_ORDER	  9u
#define DTE0_BLOCKED	  3ull /* valid, translation valid; mode 0 without IR and IW lets nothing through */
#define DTE0_MODE_4	  (4ull << 9)
#define DTE0_READ_WRITE	  (3ull << 61)
#define DTE1_SUPPRESS_ALL (1ull << 34) /* of page faults' events */
#define DTE2_IRQ_VALID	  1ull	       /* with IntCtl 0: interrupts are aborted */
#define DTE2_256_ENTRIES  (8ull << 1)
#define DTE2_IGNORE	  (1ull << 5) /* no events of unmapped interrupts */
#define DTE2_REMAP	  (2ull << 60)
#define DTE2_TABLE	  0x000FFFFFFFFFFFC0ull

/* 2.2.5.2 Interrupt Remapping Table Entry, 32 bits */
#define IRTE_REMAP_EN	  1u
#define IRTE_DESTINATION(id) ((id) << 8)
#define IRTE_VECTOR(v)	  ((v) << 16)

/* 2.4 Commands: the opcode is in bits 63:60 */
#define COMMAND(n)	       ((uint64_t)(n) << 60)
#define COMMAND_WAIT	       (COMMAND(1) | 1) /* stores its second quadword at bits 51:3 */
#define COMMAND_DEVICE	       COMMAND(2)
#define COMMAND_PAGES(domain)  (COMMAND(3) | (uint64_t)(domain) << 32)
#define COMMAND_PAGES_ALL      (0x7FFFFFFFFFFFF000ull | 3) /* the whole domain, tables too */
#define COMMAND_INTERRUPTS     COMMAND(5)
#define COMMAND_EVERYTHING     COMMAND(8)

/* 2.5 Event logging */
#define EVENT_CODE(low)	   ((low) >> 60)
#define EVENT_INTERRUPT(low) ((low) >> 51 & 1) /* I of an I/O page fault */
#define EVENT_WRITE(low)   ((low) >> 53 & 1)
enum { EVENT_ILLEGAL_ENTRY = 1, EVENT_PAGE_FAULT = 2, EVENT_PAGE_TAB_ERROR = 4 };

#define PATIENCE 100000000u

struct dte {
	uint64_t q[4];
};
static_assert(sizeof(struct dte) == 32, "2.2.2.1");

struct unit {
	volatile uint8_t *regs;
	uint64_t (*commands)[2], (*events)[2];
	uint32_t tail;
	uint16_t segment, rid, capability;
};

static struct unit units[ACPI_IOMMUS_MAX];
static uint32_t unit_count;
static bool enabled;
static struct dte *table, *empty_table;
static volatile uint64_t wait_done;

/* 2.2.3: the level that an entry leads to is in bits 11:9; bits 8:7 are ignored, so nested_pt's LARGE may stay. */
static struct nested_pt_format format = {
	.table = 1 | 3ull << 61,
	.leaf = {[1] = 1 | 3ull << 60, [3] = 1 | 7ull << 60, [5] = 1 | 3ull << 60, [7] = 1 | 7ull << 60},
	.level = 1ull << 9,
	.levels = 4,
	.max_leaf_level = 3,
};

struct iommu_backend iommu_amdvi; /* below */

/* ---- Commands ---- */

static void put(struct unit *u, uint64_t low, uint64_t high)
{
	u->commands[u->tail][0] = low;
	u->commands[u->tail][1] = high;
	u->tail = (u->tail + 1) % RING_ENTRIES;
}

/* Up to two commands by all units; complete when it returns. */
static void execute(uint64_t first, uint64_t second, uint64_t second_high)
{
	for (uint32_t i = 0; enabled && i < unit_count; i++) {
		struct unit *u = &units[i];

		if (first)
			put(u, first, 0);
		if (second)
			put(u, second, second_high);
		wait_done = 0;
		put(u, COMMAND_WAIT | kernel_virt_to_hpa((const void *)&wait_done), 1);
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
		mmio_write64(u->regs + REG_COMMAND_TAIL, (uint64_t)u->tail << 4);
		for (uint32_t n = 0; !wait_done; n++) {
			if (n == PATIENCE)
				panic("the IOMMU does not invalidate: status 0x%x", mmio_read32(u->regs + REG_STATUS));
			cpu_pause();
		}
	}
}

/* ---- Tables ---- */

static void put_qword(uint64_t *place, uint64_t value)
{
	__atomic_store_n(place, value, __ATOMIC_RELEASE);
}

static enum status amdvi_set_device(uint16_t rid, const struct iommu_domain *domain, bool quiet)
{
	uint64_t *q = table[rid].q, old = q[1] & 0xFFFF;

	put_qword(&q[0], DTE0_BLOCKED);
	put_qword(&q[1], domain ? domain->id : quiet ? DTE1_SUPPRESS_ALL : 0);
	put_qword(&q[2], (q[2] & ~DTE2_IGNORE) | (quiet ? DTE2_IGNORE : 0));
	if (domain)
		put_qword(&q[0], DTE0_BLOCKED | DTE0_MODE_4 | DTE0_READ_WRITE | domain->tree.root);
	execute(COMMAND_DEVICE | rid, COMMAND_PAGES(old), COMMAND_PAGES_ALL);
	execute(0, COMMAND_PAGES(q[1] & 0xFFFF), COMMAND_PAGES_ALL);
	return STATUS_OK;
}

static void amdvi_flush_domain(uint16_t id)
{
	execute(0, COMMAND_PAGES(id), COMMAND_PAGES_ALL);
}

/* The requester's interrupt table, made at the first use and kept. */
static uint32_t *irt_of(uint16_t rid)
{
	uint64_t *q = &table[rid].q[2];

	if (!(*q & DTE2_REMAP)) {
		uint32_t *irt = pool_alloc(IOMMU_VECTORS * sizeof(*irt));

		if (!irt)
			return NULL;
		put_qword(q, (*q & DTE2_IGNORE) | DTE2_IRQ_VALID | DTE2_256_ENTRIES | DTE2_REMAP | pool_hpa(irt));
		execute(COMMAND_DEVICE | rid, 0, 0);
	}
	return pool_va(*q & DTE2_TABLE);
}

static enum status amdvi_set_irq(uint16_t rid, unsigned vector, uint32_t apic_id, bool level, uint64_t *message)
{
	uint32_t *irt;

	(void)level; /* the IOAPIC knows */
	if (apic_id > 0xFF)
		return STATUS_UNSUPPORTED;
	irt = irt_of(rid);
	if (!irt)
		return STATUS_NO_MEMORY;
	__atomic_store_n(&irt[vector], IRTE_REMAP_EN | IRTE_DESTINATION(apic_id) | IRTE_VECTOR(vector), __ATOMIC_RELEASE);
	execute(COMMAND_INTERRUPTS | rid, 0, 0);
	*message = 0xFEE00000u | (uint64_t)vector << 32;
	return STATUS_OK;
}

static void amdvi_clear_irq(uint16_t rid, unsigned vector)
{
	uint32_t *irt = irt_of(rid);

	if (irt)
		__atomic_store_n(&irt[vector], 0, __ATOMIC_RELEASE);
	execute(COMMAND_INTERRUPTS | rid, 0, 0);
}

static uint32_t amdvi_ioapic_high(unsigned vector, uint32_t apic_id)
{
	(void)vector;
	return apic_id << 24;
}

/* ---- Faults ---- */

static unsigned take_events(struct unit *u, struct iommu_fault *out, unsigned max)
{
	uint64_t head = mmio_read64(u->regs + REG_EVENT_HEAD);
	unsigned n = 0;

	for (; n < max && head != mmio_read64(u->regs + REG_EVENT_TAIL); head = (head + 16) % (RING_ENTRIES * 16)) {
		const volatile uint64_t *e = u->events[head / 16 % RING_ENTRIES];
		uint64_t low = e[0];
		bool interrupt = EVENT_CODE(low) == EVENT_PAGE_FAULT && EVENT_INTERRUPT(low);

		if (EVENT_CODE(low) >= EVENT_ILLEGAL_ENTRY && EVENT_CODE(low) <= EVENT_PAGE_TAB_ERROR)
			out[n++] = (struct iommu_fault){
				.rid = (uint16_t)low,
				.reason = EVENT_CODE(low),
				.kind = interrupt			       ? IOMMU_FAULT_INTERRUPT
					: EVENT_CODE(low) == EVENT_PAGE_FAULT ? IOMMU_FAULT_DMA
									       : IOMMU_FAULT_OTHER,
				.write = EVENT_WRITE(low),
				.address = e[1],
			};
	}
	mmio_write64(u->regs + REG_EVENT_HEAD, head);
	return n;
}

static unsigned amdvi_take_faults(struct iommu_fault *out, unsigned max)
{
	unsigned n = 0;

	for (uint32_t i = 0; i < unit_count; i++) {
		struct unit *u = &units[i];
		uint32_t status = mmio_read32(u->regs + REG_STATUS);

		n += take_events(u, out + n, max - n);
		mmio_write32(u->regs + REG_STATUS, STATUS_OVERFLOW | STATUS_EVENT_INT);
		if (status & STATUS_OVERFLOW) { /* 2.5.11: the log goes on only after this */
			uint64_t control = mmio_read64(u->regs + REG_CONTROL);

			mmio_write64(u->regs + REG_CONTROL, control & ~CONTROL_EVENT_LOG_EN);
			mmio_write64(u->regs + REG_CONTROL, control | CONTROL_EVENT_LOG_EN);
		}
	}
	return n;
}

/* ---- Boot ---- */

static enum status add_unit(const struct acpi_iommu *iommu, const char **why)
{
	struct unit u = {.regs = mm_map_mmio(iommu->base, REGISTER_BYTES),
			 .segment = iommu->segment,
			 .rid = iommu->rid,
			 .capability = iommu->capability};

	*why = "one's registers cannot be used";
	if (!u.regs || mmio_read64(u.regs + REG_CONTROL) == UINT64_MAX)
		return STATUS_UNSUPPORTED;
	*why = "no memory for its tables";
	u.commands = pool_alloc_page();
	u.events = pool_alloc_page();
	if (!u.commands || !u.events)
		return STATUS_NO_MEMORY;
	/* 3.2.1: tells whether absent entries are cached too */
	if (u.segment || iommu_pci_read(u.rid, u.capability) & CAPABILITY_NP_CACHE)
		iommu_amdvi.flush_on_map = true;
	units[unit_count++] = u;
	return STATUS_OK;
}

static struct dte *new_device_table(void)
{
	struct dte *t = pool_alloc_pages(DTE_TABLE_ORDER);

	for (uint32_t i = 0; t && i < DTE_ENTRIES; i++) {
		t[i].q[0] = DTE0_BLOCKED;
		t[i].q[2] = DTE2_IRQ_VALID;
	}
	return t;
}

static enum status amdvi_find(const struct acpi_info *acpi, const char **why)
{
	bool others = false;

	if (!acpi->ivrs.base)
		return STATUS_NOT_FOUND;
	for (uint32_t i = 0; i < acpi->iommu_count; i++) {
		enum status status = add_unit(&acpi->iommus[i], why);

		if (status != STATUS_OK)
			return status;
		others |= units[i].segment != 0;
	}
	table = new_device_table();
	empty_table = others ? new_device_table() : table;
	*why = "no memory for its tables";
	return table && empty_table ? STATUS_OK : STATUS_NO_MEMORY;
}

/* The event log's interrupt: an ordinary MSI of the unit's PCI function, which no IOMMU remaps. */
static void enable_msi(const struct unit *u, unsigned vector, uint32_t apic_id)
{
	unsigned at = iommu_pci_read(u->rid, PCI_STATUS_LIST) & 0xFC;

	for (unsigned hops = 0; at && hops < 48; hops++, at = iommu_pci_read(u->rid, at) >> 8 & 0xFC) {
		uint32_t header = iommu_pci_read(u->rid, at);

		if ((header & 0xFF) != PCI_CAPABILITY_MSI)
			continue;
		iommu_pci_write(u->rid, at + 4, 0xFEE00000u | (apic_id & 0xFF) << 12);
		if (header & MSI_64BIT)
			iommu_pci_write(u->rid, at + 8, 0);
		iommu_pci_write(u->rid, at + (header & MSI_64BIT ? 12 : 8), vector);
		iommu_pci_write(u->rid, at, (header & ~MSI_MULTIPLE) | MSI_ENABLE);
		return;
	}
}

static void amdvi_enable(unsigned vector, uint32_t apic_id)
{
	for (uint32_t i = 0; i < unit_count; i++) {
		struct unit *u = &units[i];

		mmio_write64(u->regs + REG_CONTROL, 0);
		mmio_write64(u->regs + REG_DEVICE_TABLE,
			     pool_hpa(u->segment ? empty_table : table) | ((1u << DTE_TABLE_ORDER) - 1));
		mmio_write64(u->regs + REG_COMMAND_BASE, pool_hpa(u->commands) | RING_256);
		mmio_write64(u->regs + REG_COMMAND_HEAD, 0);
		mmio_write64(u->regs + REG_COMMAND_TAIL, 0);
		mmio_write64(u->regs + REG_EVENT_BASE, pool_hpa(u->events) | RING_256);
		mmio_write64(u->regs + REG_EVENT_HEAD, 0);
		mmio_write64(u->regs + REG_EVENT_TAIL, 0);
		if (!u->segment)
			enable_msi(u, vector, apic_id);
		mmio_write64(u->regs + REG_CONTROL, CONTROL_COHERENT | CONTROL_EVENT_LOG_EN | CONTROL_EVENT_INT_EN |
							   CONTROL_COMMAND_EN | CONTROL_IOMMU_EN);
	}
	enabled = true;
	if (mmio_read64(units[0].regs + REG_FEATURES) & FEATURES_INVALIDATE_ALL) /* what firmware's use may have left */
		execute(COMMAND_EVERYTHING, 0, 0);
	log_info("AMD-Vi: %u units, interrupt remapping", unit_count);
}

struct iommu_backend iommu_amdvi = {
	.name = "AMD-Vi",
	.format = &format,
	.find = amdvi_find,
	.enable = amdvi_enable,
	.set_device = amdvi_set_device,
	.flush_domain = amdvi_flush_domain,
	.set_irq = amdvi_set_irq,
	.clear_irq = amdvi_clear_irq,
	.ioapic_high = amdvi_ioapic_high,
	.take_faults = amdvi_take_faults,
	.remaps_irqs = true,
};
