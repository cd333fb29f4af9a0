/* What a VM has used and moved, and its console. What comes from the driver VM is only shown. */
#include "drivers-vm/control/guest.h"
#include "drivers-vm/control/manager_private.h"

/* Its guest; NULL: it has none that has begun. */
static const struct guest *guest_of(const char *name)
{
	int slot = manager_slot(name);
	const struct guest *g = slot >= 0 ? guest_at((uint32_t)slot) : NULL;

	return g != NULL && g->made ? g : NULL;
}

bool manager_vcpu_stats(const char *name, unsigned vcpu, struct hilum_vcpu_stats *out)
{
	const struct guest *g = guest_of(name);

	return g != NULL && vcpu < g->vcpus && hc(HC_VCPU_STATS, g->vcpu[vcpu], (uintptr_t)out) >= 0;
}

bool manager_status(const char *name, struct hilum_vm_status *out)
{
	const struct guest *g = guest_of(name);

	return g != NULL && hc(HC_VM_STATUS, g->vm, (uintptr_t)out) >= 0;
}

/* The counts of a VM that runs, about a second old at most; NULL: it does not run. */
static const struct vm_record_counts *counts_of(const char *name, const struct guest *g)
{
	const struct manager_entry *e = manager_entry_find(name);

	if (g == NULL || e == NULL || e->console.record == NULL)
		return NULL;
	driver_kick();
	return &e->console.record->counts;
}

static uint64_t load(const uint64_t *number)
{
	return __atomic_load_n(number, __ATOMIC_RELAXED);
}

bool manager_disk_counts(const char *name, unsigned disk, struct manager_disk_counts *out)
{
	const struct guest *g = guest_of(name);
	const struct vm_record_counts *counts = counts_of(name, g);
	const struct vm_record_disk *d = counts != NULL && disk < g->config->disk_count ? &counts->disk[disk] : NULL;

	if (d == NULL)
		return false;
	*out = (struct manager_disk_counts){
		.read_requests = load(&d->read_requests),
		.read_bytes = load(&d->read_bytes),
		.write_requests = load(&d->write_requests),
		.write_bytes = load(&d->write_bytes),
		.flush_requests = load(&d->flush_requests),
		.errors = load(&d->errors),
	};
	return true;
}

bool manager_nic_counts(const char *name, unsigned nic, struct manager_nic_counts *out)
{
	const struct guest *g = guest_of(name);
	const struct vm_record_counts *counts = counts_of(name, g);
	const struct vm_record_nic *n = counts != NULL && nic < g->config->nic_count ? &counts->nic[nic] : NULL;

	if (n == NULL)
		return false;
	*out = (struct manager_nic_counts){
		.sent_frames = load(&n->sent_frames),
		.sent_bytes = load(&n->sent_bytes),
		.refused = load(&n->refused),
		.received_frames = load(&n->received_frames),
		.received_bytes = load(&n->received_bytes),
		.dropped = load(&n->dropped),
	};
	/* The switch counts what it hands to the card, that without room included. */
	out->received_frames -= out->dropped < out->received_frames ? out->dropped : out->received_frames;
	return true;
}

uint64_t manager_balloon_bytes(const char *name)
{
	const struct vm_record_counts *counts = counts_of(name, guest_of(name));

	return counts != NULL ? load(&counts->balloon_bytes) : 0;
}

/* ---- Consoles ------------------------------------------------------------------------------------------------------------------------- */

static struct vm_record *record_of(const char *name)
{
	const struct manager_entry *e = manager_entry_find(name);

	return e != NULL ? e->console.record : NULL;
}

size_t manager_console_read(const char *name, uint64_t *position, uint8_t *to, size_t size)
{
	struct manager_entry *e = manager_entry_find(name);

	return e != NULL && e->console.record != NULL && console_can_read(&e->console)
	               ? vm_record_read(e->console.record, position, to, size)
	               : 0;
}

uint64_t manager_console_end(const char *name)
{
	const struct vm_record *record = record_of(name);

	return record != NULL ? vm_record_end(record) : 0;
}

size_t manager_console_write(const char *name, const uint8_t *bytes, size_t count)
{
	struct vm_record *record = record_of(name);

	if (record == NULL || guest_of(name) == NULL)
		return count; /* nobody is at the other end of the line */
	size_t taken = vm_record_type(record, bytes, count);
	if (taken != 0)
		driver_typed((uint32_t)manager_slot(name));
	return taken;
}
