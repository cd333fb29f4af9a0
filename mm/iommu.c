/* The vendor-neutral half of the IOMMU: units' queues, domains, reserved devices, and the lock. See iommu.h. */
#include "mm/iommu.h"

#include "arch/x86_64/log.h"
#include "arch/x86_64/mmio.h"
#include "arch/x86_64/spinlock.h"
#include "arch/x86_64/string.h"
#include "boot/hooks.h"
#include "mm/iommu_private.h"
#include "mm/pool.h"

#define MSI_ADDRESS 0xFEE00000u /* SDM vol. 3A, 11.11 Message Signalled Interrupts */

uint32_t iommu_features;
struct iommu_unit iommu_units[ACPI_IOMMUS_MAX];
uint32_t iommu_unit_count;
volatile uint64_t iommu_wait_done;

static struct spinlock iommu_lock = SPINLOCK_INIT(LOCK_RANK_IOMMU);
sealed static struct iommu_backend *backend;               /* NULL: none */
static uint32_t units_on;                                  /* that take commands */
static struct iommu_domain domains[IOMMU_DOMAINS_MAX + 1]; /* the first is for reserved devices; under the object lock */
static const struct acpi_info *tables;

void iommu_execute(uint64_t low, uint64_t high)
{
	const uint64_t commands[2][2] = { { low, high }, { backend->wait[0], backend->wait[1] } };

	for (struct iommu_unit *u = iommu_units; u < iommu_units + units_on; u++) {
		iommu_wait_done = 0;
		for (unsigned i = 0; i < 2; i++, u->tail = (u->tail + 1) % IOMMU_QUEUE_ENTRIES)
			memcpy(u->queue[u->tail], commands[i], sizeof(commands[i]));
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
		mmio_write64(u->regs + backend->tail_register, (uint64_t)u->tail * sizeof(commands[0]));
		for (uint32_t n = 0; !(uint32_t)iommu_wait_done; n++) {
			if (n == IOMMU_PATIENCE)
				panic("the IOMMU does not answer");
			cpu_pause();
		}
	}
}

/* ---- Boot ---- */

/* What firmware says its devices need for ever. It must be no RAM of ours, or a forged table would open that. */
static enum status reserve(const struct acpi_reserved *r)
{
	enum status status = STATUS_INVALID;

	if (r->last < 1ull << 39 && mmio_is_no_ram(r->first, r->last))
		status = nested_pt_map(&domains[0].tree, r->first, r->first, r->last - r->first + 1, HILUM_MAP_READ | HILUM_MAP_WRITE);
	if (status == STATUS_EXISTS) /* two devices' */
		status = STATUS_OK;
	for (uint32_t rid = r->first_rid; rid <= r->last_rid && status == STATUS_OK; rid++)
		status = backend->set_device((uint16_t)rid, domains, false);
	return status;
}

/* NULL, or why it cannot be used. */
static const char *start(struct iommu_backend *b, uint64_t fault_message)
{
	const char *why;

	for (uint32_t i = 0; i < tables->iommu_count; i++) {
		struct iommu_unit *u = &iommu_units[i];

		u->acpi = &tables->iommus[i];
		u->regs = mm_map_mmio(u->acpi->base, b->register_bytes);
		u->queue = pool_alloc_page();
		if (!u->regs || !u->queue || mmio_read64(u->regs + 8) == UINT64_MAX)
			return "its registers do not answer";
	}
	iommu_unit_count = tables->iommu_count;
	why = b->prepare();
	if (why || nested_pt_init(&domains[0].tree, &b->format) != STATUS_OK)
		return why ? why : "no memory is left for its tables";
	backend = b;
	domains[0].id = 1;
	for (const struct acpi_reserved *r = tables->reserved; r < tables->reserved + tables->reserved_count; r++)
		if (reserve(r) != STATUS_OK)
			log_warn("memory 0x%lx to 0x%lx of device 0x%x is not reserved: it is RAM, or too high", r->first, r->last,
			         r->first_rid);
	while (units_on < iommu_unit_count) {
		units_on++;
		b->enable(&iommu_units[units_on - 1], fault_message);
	}
	iommu_features = HILUM_HOST_IOMMU | (b->remaps_irqs ? HILUM_HOST_IRQ_REMAPPING : 0);
	log_info("%s: %u units, %u-level tables%s%s", b->name, units_on, b->format.levels, b->remaps_irqs ? ", interrupt remapping" : "",
	         b->format.flush ? ", walks past the caches" : "");
	return NULL;
}

void iommu_init(const struct acpi_info *acpi, uint64_t fault_message)
{
	const char *why = "this machine has none";

	tables = acpi;
	if (acpi->iommu_skipped)
		log_info("%u entries of firmware's IOMMU table are skipped, the first of type 0x%x", acpi->iommu_skipped,
		         acpi->iommu_skipped_type);
	if (acpi->iommu_count)
		why = start(acpi->dmar.base ? &iommu_vtd : &iommu_amdvi, fault_message);
	if (why)
		log_warn("no IOMMU is in use, so devices reach all memory: %s", why);
}

/* ---- Domains ---- */

enum status iommu_domain_create(struct iommu_domain **out)
{
	struct iommu_domain *d = domains;

	if (!backend)
		return STATUS_OK;
	while (d->id)
		if (++d == domains + ARRAY_SIZE(domains))
			return STATUS_NO_MEMORY;
	enum status status = nested_pt_init(&d->tree, &backend->format);

	if (status != STATUS_OK)
		return status;
	d->id = (uint16_t)(d - domains + 1);
	*out = d;
	return STATUS_OK;
}

static void flush(const struct iommu_domain *domain)
{
	spin_lock(&iommu_lock);
	backend->flush_domain(domain->id);
	spin_unlock(&iommu_lock);
}

void iommu_domain_destroy(struct iommu_domain *domain)
{
	if (!domain)
		return;
	flush(domain);
	nested_pt_destroy(&domain->tree, NULL);
	domain->id = 0;
}

static bool is_in_reach(gpa_t gpa, uint64_t bytes)
{
	return gpa + bytes <= 1ull << (12 + 9 * backend->format.levels);
}

enum status iommu_map(struct iommu_domain *domain, const struct memory *mem, gpa_t gpa, uint64_t offset, uint64_t bytes, unsigned rights)
{
	if (!domain || memory_is_device(mem))
		return STATUS_OK;
	enum status status = is_in_reach(gpa, bytes) ? memory_map(&domain->tree, mem, gpa, offset, bytes, rights) : STATUS_INVALID;

	if (backend->flush_on_map)
		flush(domain);
	return status;
}

enum status iommu_populate(struct iommu_domain *domain, const struct memory_mapping *m, gpa_t fault)
{
	enum status status = domain ? memory_populate_fault(&domain->tree, m, fault) : STATUS_OK;

	if (domain && backend->flush_on_map)
		flush(domain);
	return status;
}

void iommu_unmap(struct iommu_domain *domain, gpa_t gpa, uint64_t bytes)
{
	struct nested_pt_garbage garbage = { 0 };

	if (!domain || !is_in_reach(gpa, bytes))
		return;
	nested_pt_unmap(&domain->tree, gpa, bytes, &garbage);
	flush(domain);
	nested_pt_garbage_free(&domain->tree, &garbage);
}

/* ---- Devices ---- */

bool iommu_device_is_reserved(uint16_t rid)
{
	for (uint32_t i = 0; backend && i < tables->reserved_count; i++)
		if (rid >= tables->reserved[i].first_rid && rid <= tables->reserved[i].last_rid)
			return true;
	for (uint32_t i = 0; i < iommu_unit_count; i++)
		if (rid == iommu_units[i].acpi->rid)
			return true;
	return rid == 0; /* the host bridge; Intel's units have no rid */
}

enum status iommu_set_device(uint16_t rid, const struct iommu_domain *domain, bool quiet)
{
	if (iommu_device_is_reserved(rid))
		return STATUS_DENIED;
	if (!backend)
		return STATUS_OK;
	spin_lock(&iommu_lock);
	enum status status = backend->set_device(rid, domain, quiet);

	spin_unlock(&iommu_lock);
	return status;
}

/* ---- Interrupts and faults ---- */

enum status iommu_bind_irq(uint16_t rid, unsigned vector, uint32_t apic_id, bool level, uint64_t *message)
{
	*message = MSI_ADDRESS | (apic_id & 0xFF) << 12 | (uint64_t)vector << 32;
	if (!(iommu_features & HILUM_HOST_IRQ_REMAPPING))
		return apic_id <= 0xFF || apic_id == IOMMU_NO_CORE ? STATUS_OK : STATUS_UNSUPPORTED;
	spin_lock(&iommu_lock);
	enum status status = backend->set_irq(rid, vector, apic_id, level, message);

	spin_unlock(&iommu_lock);
	return status;
}

enum status iommu_rid_of_gsi(uint32_t gsi, uint16_t *rid)
{
	const struct acpi_ioapic *io = NULL;

	*rid = 0;
	if (!(iommu_features & HILUM_HOST_IRQ_REMAPPING))
		return STATUS_OK;
	for (uint32_t i = 0; i < tables->ioapic_count; i++)
		if (tables->ioapics[i].gsi_base <= gsi && (!io || tables->ioapics[i].gsi_base > io->gsi_base))
			io = &tables->ioapics[i];
	for (uint32_t i = 0; io && i < tables->ioapic_rid_count; i++) {
		*rid = tables->ioapic_rids[i].rid;
		if (tables->ioapic_rids[i].ioapic_id == io->id)
			return STATUS_OK;
	}
	return STATUS_UNSUPPORTED;
}

unsigned iommu_take_faults(struct iommu_fault *out, unsigned max)
{
	unsigned n = 0;

	spin_lock(&iommu_lock);
	for (uint32_t i = 0; i < units_on; i++)
		n += backend->take_faults(&iommu_units[i], out + n, max - n);
	spin_unlock(&iommu_lock);
	return n;
}
