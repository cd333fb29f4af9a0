/*
 * Devices: PCI functions that may be given to a VM. A device is blocked by the IOMMU until it is assigned, and again from the moment
 * its VM is destroyed or its last handle closed; then it reaches what that VM has mapped, and nothing else.
 */
#ifndef KERNEL_DEVICE_H
#define KERNEL_DEVICE_H

#include "kernel/object.h"

struct vm;
struct event;

#define DEVICE_IRQS_MAX 2048u /* MSI-X vectors of a function */

struct device {
	struct object object;
	struct device *next;
	struct event *event;               /* referenced, or NULL: signalled at its faults */
	struct vm *vm;                     /* whose it is, or NULL; vm_destroy takes it away */
	uint16_t rid;                      /* bus << 8 | device << 3 | function */
	uint64_t faults_before;            /* status.faults when it was assigned */
	struct hilum_device_status status; /* written by the fault interrupt */
};

/* Object lock held from here on. */

/* STATUS_UNSUPPORTED: not in PCI segment 0; STATUS_EXISTS: there is an object for it; STATUS_DENIED: firmware or the kernel uses it;
 * STATUS_NO_MEMORY. `event` may be NULL. */
must_check enum status device_create(uint64_t rid, struct event *event, struct device **out);
void device_free(struct object *object);

/*
 * Give the device to `vm`, or (NULL) take it away: it reaches nothing when this returns. STATUS_BUSY: it is somebody's;
 * STATUS_INVALID: flags, or a VM without HILUM_VM_DEVICES; STATUS_UNSUPPORTED: there is no IOMMU, and the flags do not say that it
 * may do without; STATUS_NO_MEMORY.
 */
must_check enum status device_assign(struct device *device, struct vm *vm, uint64_t flags);

/* Take all its devices from a VM that ends. */
void device_release_all(const struct vm *vm);

/* ---- Any context ---- */
extern uint64_t device_fault_message; /* of an IOMMU whose fault interrupt is set up in configuration space */
/* Its interrupts come faster than its driver hears them: it is blocked as after too many faults, `vector` first. Any context. */
void device_cut_off(struct device *device, unsigned vector);

void device_init(void); /* the IOMMU, and its fault interrupt on this core */

#endif
