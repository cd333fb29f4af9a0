/* See device.h. The list changes under the object lock; the fault interrupt reads it without. */
#include "kernel/device.h"
#include "arch/x86_64/log.h"
#include "arch/x86_64/trap.h"
#include "arch/x86_64/tsc.h"
#include "boot/boot.h"
#include "kernel/cpu.h"
#include "kernel/event.h"
#include "kernel/vm.h"
#include "mm/iommu.h"
#include "mm/pool.h"

#define FAULT_WINDOW_NS 10000000000ull
#define FAULTS_A_WINDOW 32u /* a device with more is cut off */
#define FAULT_BATCH     16u

static struct device *device_list;

static struct device *device_find(uint16_t rid)
{
	struct device *d = __atomic_load_n(&device_list, __ATOMIC_ACQUIRE);

	while (d != NULL && d->rid != rid)
		d = __atomic_load_n(&d->next, __ATOMIC_ACQUIRE);
	return d;
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
	iommu_detach(d->rid, false); /* its faults count from now on */
	*out = d;
	return STATUS_OK;
}

static void device_release(struct device *d)
{
	iommu_detach(d->rid, false);
	irq_unbind_device(d, DEVICE_IRQS_MAX);
	d->vm = NULL;
	d->status.state = HILUM_DEVICE_BLOCKED;
}

void device_free(struct device *device)
{
	struct device **link = &device_list;

	device_release(device);
	while (*link != device)
		link = &(*link)->next;
	__atomic_store_n(link, device->next, __ATOMIC_RELEASE);
	object_quiesce(cpu_self()); /* the fault interrupt does not know it any more */
	if (device->event != NULL)
		object_unref(&device->event->object);
	pool_free(device, sizeof(*device));
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
	if (!iommu_is_present() && !(flags & HILUM_DEVICE_UNPROTECTED))
		return STATUS_UNSUPPORTED;
	device->window_faults = 0;
	enum status status = iommu_attach(device->rid, vm->domain);
	if (status != STATUS_OK)
		return status;
	device->vm = vm;
	device->status.state = HILUM_DEVICE_ASSIGNED;
	return STATUS_OK;
}

enum status device_bind_irq(struct device *device, uint64_t index, struct event *event, uint64_t *message)
{
	if (index >= DEVICE_IRQS_MAX || (event != NULL && (device->vm == NULL || event->vm != device->vm)))
		return STATUS_INVALID;
	irq_unbind_device(device, index);
	*message = 0;
	return event != NULL ? irq_bind_device(device, (uint32_t)index, event, message) : STATUS_OK;
}

void device_release_all(const struct vm *vm)
{
	for (struct device *d = device_list; d != NULL; d = d->next)
		if (d->vm == vm)
			device_release(d);
}

/* ---- Faults -------------------------------------------------------------------------------------------------------------------- */

static void cut_off(struct device *d)
{
	log_warn("device %02x:%02x.%x is cut off: %lu faults", d->rid >> 8, d->rid >> 3 & 31, d->rid & 7, d->status.faults);
	iommu_detach(d->rid, true);
	d->status.state = HILUM_DEVICE_CUT_OFF;
}

static void account(const struct iommu_fault *f)
{
	struct device *d = device_find(f->rid);
	uint64_t now = rdtsc();

	if (d == NULL) { /* one line for each such device: it stays blocked, and its further faults are not recorded */
		log_warn("device %02x:%02x.%x is nobody's and was stopped at 0x%lx", f->rid >> 8, f->rid >> 3 & 31, f->rid & 7,
			 f->address);
		iommu_detach(f->rid, true);
		return;
	}
	d->status.faults++;
	d->status.fault_kind = f->kind;
	d->status.fault_reason = f->reason;
	d->status.fault_write = f->write;
	d->status.fault_address = f->address;
	if (now - d->window_tsc > tsc_from_ns(FAULT_WINDOW_NS)) {
		d->window_tsc = now;
		d->window_faults = 0;
	}
	if (++d->window_faults == FAULTS_A_WINDOW)
		cut_off(d);
	if (d->event != NULL)
		event_signal(d->event);
}

/* What more than one round finds waits for the next interrupt: no device holds the core here. */
static void fault_interrupt(unsigned vector)
{
	struct iommu_fault faults[FAULT_BATCH];
	unsigned n, rounds = FAULTS_A_WINDOW;

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
	iommu_init(boot_acpi_get(), CPU_IRQ_FAULT, cpu_self()->arch.apic_id);
}
