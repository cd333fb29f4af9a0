/*
 * Events: doorbells of a VM. Signalling sets a bit in the target VM's shared page and wakes the vCPU that the event names, with an
 * interrupt if the event has an upcall vector.
 */
#ifndef KERNEL_EVENT_H
#define KERNEL_EVENT_H

#include "kernel/object.h"

struct vm;
struct device;

struct event {
	struct object object;
	struct vm *vm; /* referenced */
	uint32_t vcpu;
	uint16_t bit;
	uint8_t vector; /* 0: none */
};

/* Object lock held. Errors: STATUS_INVALID, STATUS_NOT_FOUND (no such vCPU), STATUS_NO_MEMORY. */
must_check enum status event_create(struct vm *vm, uint64_t vcpu, uint64_t bit, uint64_t vector, struct event **out);
void event_free(struct object *object);

/* Any core, any context. False: it is signalled already and was not taken since, or the target VM is gone. */
bool event_signal(struct event *event);

/* The handler of all vectors that devices may get. */
void irq_device_interrupt(unsigned vector);

/*
 * Route GSI, whose edges rise, to `event`, and no longer to another (object lock held). Errors: STATUS_INVALID, STATUS_NOT_FOUND (no
 * such GSI, or the event's VM is gone), STATUS_NO_MEMORY (vectors).
 */
must_check enum status irq_bind(uint64_t gsi, struct event *event);
/*
 * The same for MSI number `index` of a device; `event` NULL: it signals nothing any more. *message as HC_DEVICE_BIND_IRQ returns it.
 * Errors: STATUS_INVALID (index, or the event is not of the device's VM), STATUS_NO_MEMORY, STATUS_UNSUPPORTED (its core is out of
 * reach).
 */
must_check enum status irq_bind_device(struct device *device, uint64_t index, struct event *event, uint64_t *message);
/* Forget MSI number `index` of a device, or (NULL) GSI number `index`; IRQ_ALL: all. */
#define IRQ_ALL UINT64_MAX
void irq_unbind_device(const struct device *device, uint64_t index);
/* Let the interrupt bound to `event` come again. STATUS_NOT_FOUND: none is. Any context. */
must_check enum status irq_ack(const struct event *event);
/* Forget every binding to events of `vm`. */
void irq_unbind_vm(const struct vm *vm);

#endif
