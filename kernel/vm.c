/* VMs: address space, traps, CPUID, life and death. Changes run under the object lock; range maps are read without it. */
#include "kernel/vm.h"
#include "arch/x86_64/log.h"
#include "arch/x86_64/string.h"
#include "arch/x86_64/tsc.h"
#include "kernel/backend.h"
#include "kernel/cpu.h"
#include "kernel/device.h"
#include "kernel/event.h"
#include "kernel/forward.h"
#include "kernel/host.h"
#include "kernel/sched.h"
#include "kernel/vcpu.h"
#include "kernel/virt_ops.h"
#include "mm/iommu.h"
#include "mm/pool.h"
#include "mm/window.h"

struct vm *vm_list;

#define COPY_WINDOW 8u /* window slot; the lower ones belong to instruction fetch */

void *vm_alloc_pages(struct vm *vm, unsigned order)
{
	void *page = pool_alloc_pages(order);

	if (page != NULL)
		vm->status.kernel_bytes += PAGE_SIZE << order;
	return page;
}

enum status vm_create(const struct hilum_vm_config *config, struct event *status_event, struct vm **out)
{
	static uint32_t next_id;
	_Static_assert(sizeof(struct vm) <= 2 * PAGE_SIZE, "two pool pages");
	struct vm *vm = pool_alloc_pages(1);

	if (vm == NULL)
		return STATUS_NO_MEMORY;
	vm->object = (struct object){ .type = OBJECT_VM, .refs = 1 };
	vm->shared_memory = memory_object_of_page((void **)&vm->shared);
	if (vm->shared_memory == NULL || (config->flags & HILUM_VM_DEVICES && iommu_domain_create(&vm->domain) != STATUS_OK) ||
	    nested_pt_init(&vm->npt, &nested_pt_format) != STATUS_OK) {
		iommu_domain_destroy(vm->domain);
		object_unref(&vm->object);
		return STATUS_NO_MEMORY;
	}
	vm->id = next_id++;
	vm->bus.timer_min_period_tsc = tsc_from_ns(VLAPIC_TIMER_MIN_US * 1000);
	vm->flags = config->flags;
	vm->wall_clock_ns = config->wall_clock_ns;
	memcpy(vm->clock, config->clock, sizeof(vm->clock));
	memcpy(vm->name, config->name, sizeof(vm->name));
	vm->status.kernel_bytes = 3 * PAGE_SIZE;
	vm->shared->tsc_hz = tsc_hz();
	vm->shared->vm_id = vm->id;
	vm->status_event = status_event;
	if (status_event != NULL)
		object_ref(&status_event->object);
	vm->next = vm_list;
	vm->link = &vm_list;
	if (vm_list != NULL)
		vm_list->link = &vm->next;
	vm_list = vm;
	*out = vm;
	return STATUS_OK;
}

static void vm_unlink(struct vm *vm)
{
	*vm->link = vm->next;
	if (vm->next != NULL)
		vm->next->link = vm->link;
}

void vm_destroy(struct vm *vm, struct cpu *self)
{
	vm->object.dead = true;
	VM_EACH_VCPU(vm, v)
	{
		vcpu_stop(v, self);
		sched_release(v);
		v->object.dead = true;
	}
	irq_unbind_vm(vm);
	device_release_all(vm);
	object_quiesce(self); /* nobody signals, forwards to or traps in it any more */
	VM_EACH_VCPU(vm, v)
	forward_abandon(v);
	handle_table_clear(&vm->handles);
	range_clear(&vm->doorbells);
	vm_set_handler(vm, NULL, 0);
	if (vm->status_event != NULL)
		object_unref(&vm->status_event->object);
	vm->status_event = NULL;
	nested_pt_destroy(&vm->npt, NULL);
	iommu_domain_destroy(vm->domain);
	range_clear(&vm->regions);
	vm_unlink(vm);
	VM_EACH_VCPU(vm, v)
	object_unref(&v->object);
	object_unref(&vm->object);
}

/* The last reference is gone: what is left is only what pointers without a lock may still have read. */
void vm_free(struct object *object)
{
	struct vm *vm = container_of(object, struct vm, object);

	if (vm->shared_memory != NULL)
		object_unref(&vm->shared_memory->object);
	pool_free_pages(vm->io_bitmap, 2);
	pool_free_pages(vm, 1);
}

/* Every core leaves the guest, and enters it again with a flushed tag (npt.generation), before tables are reused. */
static void unmap_pages(struct vm *vm, gpa_t gpa, uint64_t bytes, struct cpu *self)
{
	struct nested_pt_garbage garbage = { 0 };

	nested_pt_unmap(&vm->npt, gpa, bytes, &garbage);
	iommu_unmap(vm->domain, gpa, bytes);
	object_quiesce(self);
	nested_pt_garbage_free(&vm->npt, &garbage);
}

enum status vm_map(struct vm *vm, struct memory_object *object, gpa_t gpa, uint64_t offset, uint64_t bytes, uint64_t rights,
                   struct cpu *self)
{
	const uint64_t limit = 1ull << 47; /* of guest-physical space, whatever the CPU's width */

	if (((gpa | offset | bytes) & PAGE_MASK) || bytes == 0 || bytes > limit || gpa > limit - bytes || offset > limit ||
	    offset + bytes > object->memory.bytes || !(rights & HILUM_MAP_READ) ||
	    rights & ~(uint64_t)(HILUM_MAP_READ | HILUM_MAP_WRITE | HILUM_MAP_EXECUTE))
		return STATUS_INVALID;
	if (gpa <= VLAPIC_DEFAULT_BASE && bytes > VLAPIC_DEFAULT_BASE - gpa)
		return STATUS_EXISTS; /* the local APIC's page, which a backend may have mapped */
	const struct range added = { gpa, gpa + bytes - 1, &object->object, offset | rights | RANGE_HIDDEN };
	struct range *region;
	enum status status = range_insert(&vm->regions, &added, self, &region);
	if (status != STATUS_OK)
		return status;
	status = memory_map(&vm->npt, &object->memory, gpa, offset, bytes, (uint32_t)rights);
	if (status == STATUS_OK)
		status = iommu_map(vm->domain, &object->memory, gpa, offset, bytes, (uint32_t)rights);
	if (status != STATUS_OK) {
		unmap_pages(vm, gpa, bytes, self);
		return status;
	}
	range_show(region); /* not before: what other cores populate must not be in memory_map's way */
	vm->status.memory_bytes += bytes;
	return STATUS_OK;
}

enum status vm_unmap(struct vm *vm, gpa_t gpa, uint64_t bytes, struct cpu *self)
{
	struct range *r = range_find(vm->regions, gpa);

	if (r == NULL || r->first != gpa || r->last - gpa + 1 != bytes)
		return STATUS_NOT_FOUND;
	range_remove(r, self); /* no core populates it any more */
	unmap_pages(vm, gpa, bytes, self);
	vm->status.memory_bytes -= bytes;
	object_unref(r->target);
	return STATUS_OK;
}

enum status vm_bind_trap(struct vm *vm, struct object *event, uint64_t first, uint64_t last, struct cpu *self)
{
	const struct range added = { first, last, event, RANGE_HIDDEN };
	struct range *doorbell;

	if (last > 0xFFFF)
		return STATUS_INVALID;
	enum status status = range_insert(&vm->doorbells, &added, self, &doorbell);
	if (status == STATUS_OK)
		range_show(doorbell);
	return status;
}

enum status vm_unbind_trap(struct vm *vm, uint64_t first, struct cpu *self)
{
	struct range *r = range_find(vm->doorbells, first);

	if (r == NULL || r->first != first)
		return STATUS_NOT_FOUND;
	range_remove(r, self);
	object_unref(r->target);
	return STATUS_OK;
}

enum status vm_grant_ports(struct vm *vm, uint64_t first, uint64_t count)
{
	if (count == 0 || first > 0xFFFF || count > 0x10000 - first)
		return STATUS_INVALID;
	if (vm->io_bitmap == NULL) {
		uint8_t *bitmap = vm_alloc_pages(vm, 2);
		if (bitmap == NULL)
			return STATUS_NO_MEMORY;
		memset(bitmap, 0xFF, 3 * PAGE_SIZE);
		vm->io_bitmap = bitmap;
		VM_EACH_VCPU(vm, v)
		{
			v->controls_stale = true;
			if (v == cpu_self()->loaded)
				vcpu_reload(v);
		}
	}
	uint8_t *bits = vm->io_bitmap;
	for (uint64_t port = first; port < first + count; port++)
		bits[port >> 3] &= (uint8_t) ~(1u << (port & 7));
	return STATUS_OK;
}

enum status vm_set_extint(struct vm *vm, uint64_t level)
{
	if (level > 1)
		return STATUS_INVALID;
	__atomic_store_n(&vm->extint, level, __ATOMIC_RELEASE);
	if (level != 0 && vm->vcpu[0] != NULL)
		vcpu_request(vm->vcpu[0], VCPU_REQUEST_INTERRUPT);
	return STATUS_OK;
}

void vm_set_handler(struct vm *vm, struct vm *handler, uint64_t badge)
{
	struct vm *old = vm->handler;

	if (handler != NULL)
		object_ref(&handler->object);
	vm->badge = badge;
	__atomic_store_n(&vm->handler, handler, __ATOMIC_RELEASE);
	if (old != NULL)
		object_unref(&old->object);
	if (handler != NULL)
		object_quiesce(cpu_self()); /* whoever traps from here on sees the new one; who has trapped is TRAPPED */
	VM_EACH_VCPU(vm, v)
	if (handler != NULL && v->state == VCPU_TRAPPED)
		vcpu_request(v, VCPU_REQUEST_RETRAP);
}

/* Other vCPUs of the VM run on until the control VM stops them: its policy, not ours. */
void vm_crash(struct vcpu *v, enum hilum_crash reason, uint64_t detail)
{
	struct vm *vm = v->vm;
	uint32_t running = HILUM_VM_RUNNING;

	if (reason == HILUM_CRASH_NO_MEMORY && vm->flags & HILUM_VM_WAIT_MEMORY) {
		vm->status.memory_gpa = detail;
		vcpu_stop_and_tell(v, &vm->status.memory_stops);
		return;
	}
	vcpu_request(v, VCPU_REQUEST_STOP);
	if (!__atomic_compare_exchange_n(&vm->status.state, &running, HILUM_VM_CRASHED, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
		return;
	vm->status.crash = reason;
	vm->status.vcpu = v->index;
	vm->status.detail = detail;
	log_warn("vm %s: vcpu %u: crash %u (detail %#lx)", vm->name, v->index, reason, detail); /* the control VM has words for it */
	backend_log_vcpu(v);
	host_log_notify();
	if (vm->status_event != NULL)
		event_signal(vm->status_event);
}

enum status vm_populate(struct vm *vm, gpa_t gpa, uint32_t rights)
{
	const struct range *r = range_find(vm->regions, gpa);

	if (r == NULL || (r->aux & rights) != rights)
		return STATUS_NOT_FOUND;
	struct memory_object *object = container_of(r->target, struct memory_object, object);
	if (vm_pages_move)
		return STATUS_OK; /* the guest comes again */
	const struct memory_mapping m = {
		.memory = &object->memory,
		.gpa = r->first,
		.bytes = r->last - r->first + 1,
		.offset = ALIGN_DOWN(r->aux, PAGE_SIZE),
		.rights = r->aux & (HILUM_MAP_READ | HILUM_MAP_WRITE | HILUM_MAP_EXECUTE),
	};
	uint64_t offset = ALIGN_DOWN(gpa - m.gpa + m.offset, PAGE_SIZE);
	if (rights & HILUM_MAP_WRITE && unlikely(memory_is_shared(m.memory, offset)))
		return vm_unshare(object, offset);
	enum status status = iommu_populate(vm->domain, &m, gpa); /* first: whoever sees the page may hand it to a device */
	return status == STATUS_OK ? memory_populate_fault(&vm->npt, &m, gpa) : status;
}

enum status vm_translate(struct vm *vm, gpa_t gpa, uint32_t rights, hpa_t *hpa)
{
	uint64_t page_bytes;

	for (unsigned faults = 0; !nested_pt_lookup(&vm->npt, gpa, rights, hpa, &page_bytes); faults++) {
		if (faults == 2) /* after the first one a page may only be shared no more */
			return STATUS_BUSY;
		if (vm_populate(vm, gpa, rights) != STATUS_OK)
			return STATUS_FAULT;
	}
	return STATUS_OK;
}

/* Byte-wise walk over guest-physical pages; `write` says the direction. */
static enum status vm_copy(struct vm *vm, gpa_t gpa, uint8_t *buffer, uint64_t bytes, bool write)
{
	while (bytes != 0) {
		hpa_t hpa;
		uint64_t in_page = PAGE_SIZE - (gpa & PAGE_MASK);
		uint64_t n = bytes < in_page ? bytes : in_page;
		enum status status = vm_translate(vm, gpa, write ? HILUM_MAP_WRITE : HILUM_MAP_READ, &hpa);
		if (status != STATUS_OK)
			return status;
		uint8_t *window = window_map(cpu_self()->arch.id, COPY_WINDOW, ALIGN_DOWN(hpa, PAGE_SIZE));
		if (write)
			memcpy(window + (hpa & PAGE_MASK), buffer, n);
		else
			memcpy(buffer, window + (hpa & PAGE_MASK), n);
		gpa += n;
		buffer += n;
		bytes -= n;
	}
	return STATUS_OK;
}

enum status vm_copy_in(struct vm *vm, gpa_t gpa, void *to, uint64_t bytes)
{
	return vm_copy(vm, gpa, to, bytes, false);
}

enum status vm_copy_out(struct vm *vm, gpa_t gpa, const void *from, uint64_t bytes)
{
	return vm_copy(vm, gpa, (uint8_t *)(uintptr_t)from, bytes, true);
}
