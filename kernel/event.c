/* Events and the host interrupts bound to them. irq_table changes under the object lock; the handler reads each entry once. */
#include "kernel/event.h"
#include "arch/x86_64/ioapic.h"
#include "arch/x86_64/trap.h"
#include "kernel/device.h"
#include "kernel/vcpu.h"
#include "kernel/vm.h"
#include "mm/iommu.h"
#include "mm/pool.h"

enum status event_create(struct vm *vm, uint64_t vcpu, uint64_t bit, uint64_t vector, struct event **out)
{
	if (bit >= HILUM_EVENTS_PER_VCPU || vector > 255 || (vector != 0 && vector < 16))
		return STATUS_INVALID;
	if (vcpu >= HILUM_MAX_VCPUS || vm->vcpu[vcpu] == NULL)
		return STATUS_NOT_FOUND;
	struct event *event = pool_alloc(sizeof(*event));
	if (event == NULL)
		return STATUS_NO_MEMORY;
	event->object = (struct object){ .type = OBJECT_EVENT, .refs = 1 };
	event->vm = vm;
	event->vcpu = (uint32_t)vcpu;
	event->bit = (uint16_t)bit;
	event->vector = (uint8_t)vector;
	object_ref(&vm->object);
	*out = event;
	return STATUS_OK;
}

void event_free(struct object *object)
{
	struct event *event = container_of(object, struct event, object);

	object_unref(&event->vm->object);
	pool_free(event);
}

bool event_signal(struct event *event)
{
	struct vm *vm = event->vm;

	if (vm->object.dead)
		return false;
	uint64_t mask = 1ull << (event->bit & 63);
	uint64_t *word = &vm->shared->pending[event->vcpu][event->bit >> 6];
	if (__atomic_load_n(word, __ATOMIC_ACQUIRE) & mask)
		return false; /* not taken yet: whoever set it has woken the target */
	__atomic_fetch_or(word, mask, __ATOMIC_ACQ_REL);
	struct vcpu *v = vm->vcpu[event->vcpu];
	if (event->vector != 0) {
		enum status lost = vlapic_deliver_msi(&vm->bus, VLAPIC_DEFAULT_BASE | event->vcpu << 12, event->vector);
		(void)lost; /* the address is a valid one */
	}
	vcpu_request(v, VCPU_REQUEST_EVENT);
	return true;
}

#define UNHEARD_MAX 10000u /* no working device goes on for so long without its driver */
#define IRQ_VECTORS (CPU_IRQ_DEVICE_LAST - CPU_IRQ_DEVICE_FIRST + 1)

static struct {
	struct event *event;   /* referenced */
	struct device *device; /* its MSI, or NULL: a pin. device_free unbinds it */
	uint32_t number;       /* of the MSI, or GSI */
	uint32_t unheard;      /* interrupts since the target last took the event */
} irq_table[IRQ_VECTORS];

/* Mask, so that the line cannot storm; the service VM's HC_IRQ_ACK opens it again. */
void irq_device_interrupt(unsigned vector)
{
	unsigned i = vector - CPU_IRQ_DEVICE_FIRST;
	struct event *event = __atomic_load_n(&irq_table[i].event, __ATOMIC_ACQUIRE);
	bool pin = irq_table[i].device == NULL;
	enum status masked = pin && event != NULL ? ioapic_set_mask(irq_table[i].number, true) : STATUS_OK;

	(void)masked; /* the pin exists: it was routed */
	if (event != NULL && event_signal(event))
		irq_table[i].unheard = 0;
	else if (pin)
		host_health.spurious += event == NULL; /* nobody bound it, or it was gone again */
	else if (++irq_table[i].unheard == UNHEARD_MAX)
		device_cut_off(irq_table[i].device, vector);
}

static void irq_unbind(unsigned i)
{
	struct event *event = irq_table[i].event;
	const struct device *device = irq_table[i].device;
	uint64_t unused;
	enum status done = device == NULL ? ioapic_set_mask(irq_table[i].number, true)
	                                  : iommu_bind_irq(device->rid, CPU_IRQ_DEVICE_FIRST + i, IOMMU_NO_CORE, false, &unused);

	(void)done; /* what was bound can be masked */
	__atomic_store_n(&irq_table[i].event, NULL, __ATOMIC_RELEASE);
	object_unref(&event->object);
}

/* Lets requester `rid` raise a vector that signals `event`: the one of the free entry *i, which is taken. */
static enum status irq_take(struct device *device, uint32_t number, uint16_t rid, struct event *event, unsigned *i, uint64_t *message)
{
	if (event->vm->object.dead)
		return STATUS_NOT_FOUND; /* its vCPUs are gone, and nobody would unbind it */
	for (*i = 0; irq_table[*i].event != NULL; ++*i)
		if (*i + 1 == IRQ_VECTORS)
			return STATUS_NO_MEMORY;
	unsigned vector = CPU_IRQ_DEVICE_FIRST + *i;
	enum status status = iommu_bind_irq(rid, vector, event->vm->vcpu[event->vcpu]->cpu->arch.apic_id, false, message);
	if (status != STATUS_OK)
		return status;
	irq_table[*i].device = device;
	irq_table[*i].number = number;
	object_ref(&event->object);
	__atomic_store_n(&irq_table[*i].event, event, __ATOMIC_RELEASE);
	return STATUS_OK;
}

void irq_unbind_device(const struct device *device, uint64_t index)
{
	for (unsigned i = 0; i < IRQ_VECTORS; i++)
		if (irq_table[i].event != NULL && irq_table[i].device == device && (index == IRQ_ALL || irq_table[i].number == index))
			irq_unbind(i);
}

enum status irq_bind(uint64_t gsi, struct event *event)
{
	uint64_t message;
	uint16_t rid;
	unsigned i;

	if (gsi > UINT32_MAX)
		return STATUS_INVALID;
	enum status status = iommu_rid_of_gsi((uint32_t)gsi, &rid);
	if (status != STATUS_OK)
		return status;
	irq_unbind_device(NULL, gsi);
	status = irq_take(NULL, (uint32_t)gsi, rid, event, &i, &message);
	if (status != STATUS_OK)
		return status;
	status = ioapic_route((uint32_t)gsi, CPU_IRQ_DEVICE_FIRST + i, ((uint32_t)message >> 4 & 0xFFFF) << 16);
	if (status != STATUS_OK)
		irq_unbind(i);
	return status;
}

enum status irq_bind_device(struct device *device, uint64_t index, struct event *event, uint64_t *message)
{
	unsigned i;

	if (index >= DEVICE_IRQS_MAX || (event != NULL && event->vm != device->vm))
		return STATUS_INVALID;
	irq_unbind_device(device, index);
	*message = 0;
	return event != NULL ? irq_take(device, (uint32_t)index, device->rid, event, &i, message) : STATUS_OK;
}

enum status irq_ack(const struct event *event)
{
	for (unsigned i = 0; i < IRQ_VECTORS; i++)
		if (__atomic_load_n(&irq_table[i].event, __ATOMIC_ACQUIRE) == event)
			return irq_table[i].device != NULL ? STATUS_OK : ioapic_set_mask(irq_table[i].number, false);
	return STATUS_NOT_FOUND;
}

void irq_unbind_vm(const struct vm *vm)
{
	for (unsigned i = 0; i < IRQ_VECTORS; i++)
		if (irq_table[i].event != NULL && irq_table[i].event->vm == vm)
			irq_unbind(i);
}
