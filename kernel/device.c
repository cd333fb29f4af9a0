/* See device.h. The list changes under the object lock; the fault interrupt reads it without. */
#include "kernel/device.h"
#include "arch/x86_64/log.h"
#include "arch/x86_64/trap.h"
#include "boot/boot.h"
#include "kernel/cpu.h"
#include "kernel/event.h"
#include "kernel/vm.h"
#include "mm/iommu.h"
#include "mm/pool.h"

#define FAULTS_MAX  32u /* since it was assigned: a device with more is cut off, for no working driver causes any */
#define FAULT_BATCH 16u

uint64_t device_fault_message;

static struct device *device_list;

static struct device *device_find(uint16_t rid)
{
	struct device *d = __atomic_load_n(&device_list, __ATOMIC_ACQUIRE);

	while (d != NULL && d->rid != rid)
		d = __atomic_load_n(&d->next, __ATOMIC_ACQUIRE);
	return d;
}

static void block(uint16_t rid, bool quiet)
{
	enum status status = iommu_set_device(rid, NULL, quiet);

	(void)status; /* without memory for its table it is blocked as it was */
}

enum status device_create(uint64_t rid, struct event *event, struct device **out)
{
	if (rid > 0xFFFF)
		return STATUS_UNSUPPORTED;
	if (iommu_device_is_reserved((uint16_t)rid))
		return STATUS_DENIED;
	if (device_find((uint16_t)rid) != NULL)
		return STATUS_EXISTS;
	struct device *d = pool_alloc(sizeof(*d));
	if (d == NULL)
		return STATUS_NO_MEMORY;
	d->object = (struct object){ .type = OBJECT_DEVICE, .refs = 1 };
	d->rid = (uint16_t)rid;
	d->event = event;
	if (event != NULL)
		object_ref(&event->object);
	d->next = device_list;
	__atomic_store_n(&device_list, d, __ATOMIC_RELEASE);
	block(d->rid, false); /* its faults count from now on */
	*out = d;
	return STATUS_OK;
}

static void device_release(struct device *d)
{
	block(d->rid, false);
	irq_unbind_device(d, IRQ_ALL);
	if (d->vm != NULL)
		d->vm->devices--;
	d->vm = NULL;
	d->status.state = HILUM_DEVICE_BLOCKED;
}

void device_free(struct object *object)
{
	struct device *device = container_of(object, struct device, object);
	struct device **link = &device_list;

	device_release(device);
	while (*link != device)
		link = &(*link)->next;
	__atomic_store_n(link, device->next, __ATOMIC_RELEASE);
	object_quiesce(cpu_self()); /* the fault interrupt does not know it any more */
	if (device->event != NULL)
		object_unref(&device->event->object);
	pool_free(device);
}

enum status device_assign(struct device *device, struct vm *vm, uint64_t flags)
{
	if (flags & ~(uint64_t)HILUM_DEVICE_UNPROTECTED || (vm != NULL && !(vm->flags & HILUM_VM_DEVICES)))
		return STATUS_INVALID;
	if (vm == NULL) {
		device_release(device);
		return STATUS_OK;
	}
	if (device->vm != NULL)
		return STATUS_BUSY;
	if (!(iommu_features & HILUM_HOST_IOMMU) && !(flags & HILUM_DEVICE_UNPROTECTED))
		return STATUS_UNSUPPORTED;
	enum status status = iommu_set_device(device->rid, vm->domain, false);
	if (status != STATUS_OK)
		return status;
	device->vm = vm;
	vm->devices++;
	device->faults_before = device->status.faults;
	device->status.state = HILUM_DEVICE_ASSIGNED;
	return STATUS_OK;
}

void device_release_all(const struct vm *vm)
{
	for (struct device *d = device_list; d != NULL; d = d->next)
		if (d->vm == vm)
			device_release(d);
}

/* ---- Faults -------------------------------------------------------------------------------------------------------------------- */

static void account(const struct iommu_fault *f)
{
	struct device *d = device_find(f->rid);
	bool flood = d == NULL || ++d->status.faults - d->faults_before == FAULTS_MAX;

	if (flood) { /* also one that is nobody's, and should not try: one line, and it is heard of no more */
		log_warn("device %02x:%02x.%x is cut off after an access to 0x%lx", f->rid >> 8, f->rid >> 3 & 31, f->rid & 7,
		         f->what.address);
		block(f->rid, true);
	}
	if (d == NULL)
		return;
	d->status.state = flood ? HILUM_DEVICE_CUT_OFF : d->status.state;
	d->status.last = f->what;
	if (d->event != NULL)
		event_signal(d->event);
}

void device_cut_off(struct device *d, unsigned vector)
{
	const struct iommu_fault flood = { .rid = d->rid, .what = { .kind = HILUM_FAULT_INTERRUPT, .address = 0xFEE00000 } };
	uint64_t unused;
	enum status status = iommu_bind_irq(d->rid, vector, IOMMU_NO_CORE, false, &unused);

	(void)status; /* what was bound can be masked; without remapping there is no way */
	host_health.storms++;
	d->status.faults = d->faults_before + FAULTS_MAX - 1;
	account(&flood);
}

/* What more than one round finds waits for the next interrupt: no device holds the core here. */
static void fault_interrupt(unsigned vector)
{
	struct iommu_fault faults[FAULT_BATCH];
	unsigned n, rounds = FAULTS_MAX;

	(void)vector;
	do {
		n = iommu_take_faults(faults, FAULT_BATCH);
		for (unsigned i = 0; i < n; i++)
			account(&faults[i]);
	} while (n != 0 && --rounds != 0);
}

void device_init(void)
{
	irq_set_handler(CPU_IRQ_FAULT, fault_interrupt);
	device_fault_message = 0xFEE00000u | (cpu_self()->arch.apic_id & 0xFF) << 12 | (uint64_t)CPU_IRQ_FAULT << 32;
	iommu_init(&boot_acpi, device_fault_message);
}
