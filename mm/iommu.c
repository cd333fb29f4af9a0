/* The vendor-neutral half of the IOMMU: domains, reserved devices, and the lock. See iommu.h. */
#include "mm/iommu.h"

#include "arch/x86_64/log.h"
#include "arch/x86_64/spinlock.h"
#include "mm/iommu_private.h"
#include "mm/mmio.h"

#define PCI_ADDRESS	  0xCF8u
#define PCI_DATA	  0xCFCu
#define PCI_ENABLE	  (1u << 31)
#define PCI_BUS_NUMBERS	  0x18u /* of a bridge: secondary bus in bits 15:8 */
#define RESERVED_DOMAIN	  0u	/* holds what firmware reserves, for the devices it does so for */
#define RID_HOST_BRIDGE	  0u

static struct spinlock iommu_lock = SPINLOCK_INIT(LOCK_RANK_IOMMU);
static struct iommu_backend *backend; /* NULL: none */
static struct iommu_domain domains[IOMMU_DOMAINS_MAX + 1]; /* changed under the object lock */
static const struct acpi_info *tables;

/* Requesters that iommu_attach refuses: reserved[i] is what acpi->reserved[i] came to, last < first if nothing. */
static struct {
	uint16_t first, last;
} reserved[ACPI_RESERVED_MAX];

bool iommu_is_present(void)
{
	return backend != NULL;
}

bool iommu_has_irq_remapping(void)
{
	return backend != NULL && backend->remaps_irqs;
}

/* ---- Boot ---- */

uint32_t iommu_pci_read(uint16_t rid, unsigned offset)
{
	outl(PCI_ADDRESS, PCI_ENABLE | (uint32_t)rid << 8 | (offset & 0xFC));
	return inl(PCI_DATA);
}

void iommu_pci_write(uint16_t rid, unsigned offset, uint32_t value)
{
	outl(PCI_ADDRESS, PCI_ENABLE | (uint32_t)rid << 8 | (offset & 0xFC));
	outl(PCI_DATA, value);
}

/* Down through the bridges, as firmware has numbered them. */
static uint16_t rid_of_path(const struct acpi_path *path)
{
	uint8_t bus = path->bus;

	for (unsigned i = 0; i + 1 < path->hops; i++)
		bus = (uint8_t)(iommu_pci_read((uint16_t)(bus << 8 | path->devfn[i]), PCI_BUS_NUMBERS) >> 8);
	return (uint16_t)(bus << 8 | path->devfn[path->hops - 1]);
}

/* What firmware says it needs must be no RAM of ours, or a forged table would open it. */
static enum status reserve(const struct acpi_reserved *r, uint16_t first, uint16_t last)
{
	struct nested_pt *tree = &domains[RESERVED_DOMAIN].tree;
	enum status status = STATUS_INVALID;

	if (r->last < 1ull << 39 && mmio_is_no_ram(r->first, r->last))
		status = nested_pt_map(tree, r->first, r->first, r->last - r->first + 1,
				       HILUM_MAP_READ | HILUM_MAP_WRITE);
	if (status == STATUS_EXISTS) /* several devices may share a range; what differs stays out */
		status = STATUS_OK;
	for (uint32_t rid = first; rid <= last && status == STATUS_OK; rid++)
		status = backend->set_device((uint16_t)rid, &domains[RESERVED_DOMAIN], false);
	return status;
}

static void reserve_all(void)
{
	for (uint32_t i = 0; i < tables->reserved_count; i++) {
		const struct acpi_reserved *r = &tables->reserved[i];

		reserved[i].first = r->path.hops ? rid_of_path(&r->path) : r->first_rid;
		reserved[i].last = r->path.hops ? reserved[i].first : r->last_rid;
		if (reserve(r, reserved[i].first, reserved[i].last) != STATUS_OK)
			log_warn("IOMMU: memory 0x%lx to 0x%lx that firmware reserves for device 0x%x is refused", r->first,
				 r->last, reserved[i].first);
	}
}

void iommu_init(const struct acpi_info *acpi, unsigned vector, uint32_t apic_id)
{
	const char *why = NULL;

	tables = acpi;
	if (acpi->iommu_skipped)
		log_info("IOMMU: %u entries of firmware's table are skipped, the first of type 0x%x", acpi->iommu_skipped,
			 acpi->iommu_skipped_type);
	for (unsigned i = 0; iommu_backends[i] && acpi->iommu_count; i++) {
		enum status status = iommu_backends[i]->find(acpi, &why);

		if (status == STATUS_OK)
			status = nested_pt_init_as(&domains[RESERVED_DOMAIN].tree, iommu_backends[i]->format);
		if (status == STATUS_OK) {
			domains[RESERVED_DOMAIN].id = RESERVED_DOMAIN + 1;
			backend = iommu_backends[i];
			reserve_all();
			backend->enable(vector, apic_id);
			return;
		}
		if (status != STATUS_NOT_FOUND)
			log_warn("IOMMU: %s units are not used: %s", iommu_backends[i]->name, why);
	}
	log_warn("no IOMMU is in use: devices reach all memory");
}

/* ---- Domains ---- */

enum status iommu_domain_create(struct iommu_domain **out)
{
	struct iommu_domain *d = domains;

	*out = NULL;
	if (!backend)
		return STATUS_OK;
	while (d->id)
		if (++d == domains + ARRAY_SIZE(domains))
			return STATUS_NO_MEMORY;
	enum status status = nested_pt_init_as(&d->tree, backend->format);

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
	nested_pt_destroy(&domain->tree, NULL, NULL);
	domain->id = 0;
}

static bool is_in_reach(const struct iommu_domain *domain, gpa_t gpa, uint64_t bytes)
{
	return gpa + bytes <= 1ull << (12 + 9 * domain->tree.format->levels);
}

enum status iommu_map(struct iommu_domain *domain, const struct memory *mem, gpa_t gpa, uint64_t offset,
		      uint64_t bytes, unsigned rights)
{
	enum status status;

	if (!domain || memory_is_device(mem))
		return STATUS_OK;
	if (!is_in_reach(domain, gpa, bytes))
		return STATUS_INVALID;
	status = memory_map(&domain->tree, mem, gpa, offset, bytes, rights);
	if (backend->flush_on_map)
		flush(domain);
	return status;
}

enum status iommu_populate(struct iommu_domain *domain, const struct memory_mapping *m, gpa_t fault)
{
	enum status status;

	if (!domain)
		return STATUS_OK;
	status = memory_populate_fault(&domain->tree, m, fault);
	if (backend->flush_on_map)
		flush(domain);
	return status;
}

void iommu_unmap(struct iommu_domain *domain, gpa_t gpa, uint64_t bytes)
{
	struct nested_pt_garbage garbage = {0};

	if (!domain || !is_in_reach(domain, gpa, bytes))
		return;
	nested_pt_unmap(&domain->tree, gpa, bytes, &garbage);
	flush(domain);
	nested_pt_garbage_free(&domain->tree, &garbage);
}

/* ---- Devices ---- */

bool iommu_device_is_reserved(uint16_t rid)
{
	for (uint32_t i = 0; backend && i < tables->reserved_count; i++)
		if (rid >= reserved[i].first && rid <= reserved[i].last)
			return true;
	for (uint32_t i = 0; backend && i < tables->iommu_count; i++)
		if (rid && rid == tables->iommus[i].rid && !tables->iommus[i].segment)
			return true;
	return rid == RID_HOST_BRIDGE;
}

enum status iommu_attach(uint16_t rid, struct iommu_domain *domain)
{
	enum status status;

	if (iommu_device_is_reserved(rid))
		return STATUS_DENIED;
	if (!domain)
		return STATUS_OK;
	spin_lock(&iommu_lock);
	status = backend->set_device(rid, domain, false);
	spin_unlock(&iommu_lock);
	return status;
}

void iommu_detach(uint16_t rid, bool quiet)
{
	enum status status = STATUS_OK;

	if (!backend || iommu_device_is_reserved(rid))
		return;
	spin_lock(&iommu_lock);
	status = backend->set_device(rid, NULL, quiet);
	spin_unlock(&iommu_lock);
	(void)status; /* without memory for a table it is blocked as it was */
}

/* ---- Interrupts ---- */

enum status iommu_bind_msi(uint16_t rid, unsigned vector, uint32_t apic_id, uint64_t *message)
{
	enum status status;

	if (!iommu_has_irq_remapping()) {
		*message = 0xFEE00000u | apic_id << 12 | (uint64_t)vector << 32; /* SDM vol. 3A, 11.11 */
		return apic_id <= 0xFF ? STATUS_OK : STATUS_UNSUPPORTED;
	}
	spin_lock(&iommu_lock);
	status = backend->set_irq(rid, vector, apic_id, false, message);
	spin_unlock(&iommu_lock);
	return status;
}

void iommu_unbind_msi(uint16_t rid, unsigned vector)
{
	if (!iommu_has_irq_remapping())
		return;
	spin_lock(&iommu_lock);
	backend->clear_irq(rid, vector);
	spin_unlock(&iommu_lock);
}

static const struct acpi_path *path_of_gsi(uint32_t gsi)
{
	const struct acpi_ioapic *ioapic = NULL;

	for (uint32_t i = 0; i < tables->ioapic_count; i++) {
		const struct acpi_ioapic *at = &tables->ioapics[i];

		if (at->gsi_base <= gsi && (!ioapic || at->gsi_base > ioapic->gsi_base))
			ioapic = at;
	}
	for (uint32_t i = 0; ioapic && i < tables->ioapic_path_count; i++)
		if (tables->ioapic_paths[i].ioapic_id == ioapic->id && tables->ioapic_paths[i].path.hops)
			return &tables->ioapic_paths[i].path;
	return NULL;
}

enum status iommu_route_gsi(uint32_t gsi, unsigned vector, uint32_t apic_id, bool level, uint32_t *high)
{
	const struct acpi_path *path;
	enum status status;
	uint64_t unused;

	*high = apic_id << 24;
	if (!iommu_has_irq_remapping())
		return apic_id <= 0xFF ? STATUS_OK : STATUS_UNSUPPORTED;
	path = path_of_gsi(gsi);
	if (!path)
		return STATUS_UNSUPPORTED;
	spin_lock(&iommu_lock);
	status = backend->set_irq(rid_of_path(path), vector, apic_id, level, &unused);
	*high = backend->ioapic_high(vector, apic_id);
	spin_unlock(&iommu_lock);
	return status;
}

/* ---- Faults ---- */

unsigned iommu_take_faults(struct iommu_fault *out, unsigned max)
{
	unsigned n;

	if (!backend)
		return 0;
	spin_lock(&iommu_lock);
	n = backend->take_faults(out, max);
	spin_unlock(&iommu_lock);
	return n;
}
