/* Events and the host interrupts bound to them. irq_table changes under the object lock; the handler reads each entry once. */
#include "kernel/event.h"
#include "arch/x86_64/ioapic.h"
#include "arch/x86_64/trap.h"
#include "kernel/vcpu.h"
#include "kernel/vm.h"
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

void event_free(struct event *event)
{
	object_unref(&event->vm->object);
	pool_free(event, sizeof(*event));
}

void event_signal(struct event *event)
{
	struct vm *vm = event->vm;

	if (vm->object.dead)
		return;
	uint64_t mask = 1ull << (event->bit & 63);
	uint64_t *word = &vm->shared->pending[event->vcpu][event->bit >> 6];
	if (__atomic_load_n(word, __ATOMIC_ACQUIRE) & mask)
		return; /* not taken yet: whoever set it has woken the target */
	__atomic_fetch_or(word, mask, __ATOMIC_ACQ_REL);
	struct vcpu *v = vm->vcpu[event->vcpu];
	if (event->vector != 0) {
		enum status lost = vlapic_deliver_msi(&vm->bus, VLAPIC_DEFAULT_BASE | event->vcpu << 12, event->vector);
		(void)lost; /* the address is a valid one */
	}
	vcpu_request(v, VCPU_REQUEST_EVENT);
}

#define IRQ_VECTORS (CPU_IRQ_DEVICE_LAST - CPU_IRQ_DEVICE_FIRST + 1)

static struct {
	struct event *event; /* referenced */
	uint32_t gsi;
} irq_table[IRQ_VECTORS];

/* Mask, so that the line cannot storm; the service VM's HC_IRQ_ACK opens it again. */
static void irq_device_interrupt(unsigned vector)
{
	unsigned i = vector - CPU_IRQ_DEVICE_FIRST;
	struct event *event = __atomic_load_n(&irq_table[i].event, __ATOMIC_ACQUIRE);
	enum status masked = ioapic_set_mask(irq_table[i].gsi, true);

	(void)masked; /* the pin exists: it was routed */
	if (event != NULL)
		event_signal(event);
}

static int irq_find(uint64_t gsi)
{
	for (unsigned i = 0; i < IRQ_VECTORS; i++)
		if (irq_table[i].event != NULL && irq_table[i].gsi == gsi)
			return (int)i;
	return -1;
}

enum status irq_bind(uint64_t gsi, uint64_t flags, struct event *event)
{
	if (flags & ~(uint64_t)(HILUM_IRQ_LEVEL | HILUM_IRQ_ACTIVE_LOW) || gsi > UINT32_MAX)
		return STATUS_INVALID;
	if (event->vm->object.dead)
		return STATUS_NOT_FOUND; /* its vCPUs are gone, and nobody would unbind it */
	if (irq_find(gsi) >= 0)
		return STATUS_BUSY;
	for (unsigned i = 0; i < IRQ_VECTORS; i++) {
		if (irq_table[i].event != NULL)
			continue;
		unsigned vector = CPU_IRQ_DEVICE_FIRST + i;
		irq_set_handler(vector, irq_device_interrupt);
		struct cpu *cpu = event->vm->vcpu[event->vcpu]->cpu;
		enum status status = ioapic_route((uint32_t)gsi, vector, cpu->arch.apic_id, flags & HILUM_IRQ_LEVEL,
						  flags & HILUM_IRQ_ACTIVE_LOW);
		if (status != STATUS_OK)
			return status;
		irq_table[i].gsi = (uint32_t)gsi;
		object_ref(&event->object);
		__atomic_store_n(&irq_table[i].event, event, __ATOMIC_RELEASE);
		return STATUS_OK;
	}
	return STATUS_NO_MEMORY;
}

enum status irq_ack(const struct event *event)
{
	for (unsigned i = 0; i < IRQ_VECTORS; i++)
		if (__atomic_load_n(&irq_table[i].event, __ATOMIC_ACQUIRE) == event)
			return ioapic_set_mask(irq_table[i].gsi, false);
	return STATUS_NOT_FOUND;
}

void irq_unbind_vm(const struct vm *vm)
{
	for (unsigned i = 0; i < IRQ_VECTORS; i++) {
		struct event *event = irq_table[i].event;
		if (event == NULL || event->vm != vm)
			continue;
		enum status masked = ioapic_set_mask(irq_table[i].gsi, true);
		(void)masked; /* the pin exists: it was routed */
		__atomic_store_n(&irq_table[i].event, NULL, __ATOMIC_RELEASE);
		object_unref(&event->object);
	}
}
