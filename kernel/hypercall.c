/*
 * The hypercall ABI's kernel side: what calls there are, how one is taken, and those on VMs and events; call_objects.c has the others. A call
 * resolves its handles, copies what it was pointed to, checks everything, and only then commits. Control calls run under the object lock,
 * which is tried: if another core has it, the instruction is simply executed again at the next entry.
 */
#include "arch/x86_64/features.h"
#include "kernel/call.h"
#include "kernel/exit.h"
#include "kernel/forward.h"

/* ---- Calls on a VM ------------------------------------------------------------------------------------------------------------ */

static int64_t handle_grant(struct vcpu *v, struct vm *to, uint64_t handle, uint64_t rights)
{
	struct object *object;
	hilum_handle_t granted;

	TRY(call_resolve(v, handle, OBJECT_NONE, HILUM_RIGHT_GRANT, &object));
	if (rights == 0 || (rights & ~(uint64_t)handle_rights(&v->vm->handles, handle)))
		return STATUS_DENIED;
	TRY(handle_insert(&to->handles, object, (uint32_t)rights, &granted));
	return granted;
}

static int64_t map_memory(struct vcpu *v, struct vm *vm, const uint64_t *a)
{
	struct object *memory;

	TRY(call_resolve(v, a[1], OBJECT_MEMORY, HILUM_RIGHT_MAP | (a[5] & HILUM_MAP_WRITE ? HILUM_RIGHT_WRITE : 0), &memory));
	return vm_map(vm, container_of(memory, struct memory_object, object), a[2], a[3], a[4], a[5], v->cpu);
}

static int64_t set_cpuid(struct vcpu *v, struct vm *vm, gpa_t gpa, uint64_t count)
{
	struct hilum_cpuid_entry *entries = v->cpu->scratch.cpuid;

	if (count == 0 || count > HILUM_CPUID_MAX)
		return STATUS_INVALID;
	TRY(vm_copy_in(v->vm, gpa, entries, count * sizeof(*entries)));
	return vm_set_cpuid(vm, entries, (uint32_t)count);
}

/* The first handle in the table from `index` on, and the type of what it names. */
static int64_t object_info(const struct handle_table *table, uint64_t index)
{
	for (; table->entry != NULL && index < HANDLES_MAX; index++) {
		const struct handle_entry *e = &table->entry[index];
		if (e->object != NULL)
			return (int64_t)(e->object->dead ? HILUM_OBJECT_DEAD : e->object->type) << 32 | (uint32_t)e->generation << 16 |
			       (int64_t)index;
	}
	return STATUS_NOT_FOUND;
}

static int64_t region_info(struct vcpu *v, const struct range_map *map, gpa_t from, gpa_t gpa)
{
	for (uint32_t i = 0; map != NULL && i < map->count; i++) {
		const struct range *r = &map->range[i];
		if (r->last < from || r->aux & RANGE_HIDDEN)
			continue;
		const struct hilum_region region = { r->first, r->last - r->first + 1, ALIGN_DOWN(r->aux, PAGE_SIZE), r->aux & 7 };
		return vm_copy_out(v->vm, gpa, &region, sizeof(region));
	}
	return STATUS_NOT_FOUND;
}

static int64_t vcpu_new(struct vcpu *v, struct vm *vm, const uint64_t *a)
{
	struct vcpu *vcpu;

	TRY(handle_reserve(&v->vm->handles)); /* there is no way back once the VM has it */
	TRY(vcpu_create(vm, a[1], a[2], a[3], &vcpu));
	return call_name_owned(v, &vcpu->object);
}

static int64_t call_on_vm(struct vcpu *v, struct vm *vm, uint64_t number, const uint64_t *a)
{
	struct hilum_vm_status status;
	struct event *event;
	struct object *o;

	switch (number) {
	case HC_VM_INJECT_MSI:
		return a[2] > UINT32_MAX ? STATUS_INVALID : vlapic_deliver_msi(&vm->bus, a[1], (uint32_t)a[2]);
	case HC_VM_SET_EXTINT:
		return vm_set_extint(vm, a[1]);
	case HC_HANDLE_GRANT:
		return handle_grant(v, vm, a[1], a[2]);
	case HC_MEMORY_MAP:
		return map_memory(v, vm, a);
	case HC_MEMORY_UNMAP:
		return vm_unmap(vm, a[1], a[2], v->cpu);
	case HC_MEMORY_DISCARD:
		return vm_discard(vm, a[1], a[2], v->cpu);
	case HC_VM_DESTROY:
		if (vm == v->vm)
			return STATUS_BUSY;
		vm_destroy(vm, v->cpu);
		return handle_close(&v->vm->handles, a[0]);
	case HC_VM_SET_CPUID:
		return set_cpuid(v, vm, a[1], a[2]);
	case HC_VM_BIND_TRAP:
		TRY(call_resolve(v, a[1], OBJECT_EVENT, HILUM_RIGHT_SIGNAL, &o));
		return vm_bind_trap(vm, o, a[2], a[3], v->cpu);
	case HC_VM_UNBIND_TRAP:
		return vm_unbind_trap(vm, a[1], v->cpu);
	case HC_VM_SET_HANDLER:
		TRY(call_resolve_optional(v, a[1], OBJECT_VM, HILUM_RIGHT_CONTROL, &o));
		if (o == &vm->object)
			return STATUS_INVALID;
		vm_set_handler(vm, as_vm(o), a[2]);
		return STATUS_OK;
	case HC_VM_SHARED_MEMORY:
		return call_name_owned(v, &vm->shared_memory->object);
	case HC_VM_STATUS:
		status = vm->status;
		status.table_bytes = (uint64_t)vm->npt.table_pages * PAGE_SIZE;
		return vm_copy_out(v->vm, a[1], &status, sizeof(status));
	case HC_VM_GRANT_PORTS:
		TRY(call_resolve(v, a[1], OBJECT_HOST, HILUM_RIGHT_CONTROL, &o));
		return vm_grant_ports(vm, a[2], a[3]);
	case HC_VCPU_CREATE:
		return vcpu_new(v, vm, a);
	case HC_OBJECT_INFO:
		return object_info(&vm->handles, a[1]);
	case HC_VM_REGION:
		return region_info(v, vm->regions, a[1], a[2]);
	default: /* HC_EVENT_CREATE */
		TRY(event_create(vm, a[1], a[2], a[3], &event));
		return call_name_new(v, &event->object);
	}
}

/* ---- Calls on an event --------------------------------------------------------------------------------------------------------- */

static int64_t call_on_event(struct event *event, uint64_t number)
{
	if (number == HC_IRQ_ACK)
		return irq_ack(event);
	event_signal(event);
	return STATUS_OK;
}

/* ---- Dispatch ----------------------------------------------------------------------------------------------------------------- */

/* What argument 0 must name, with which rights. OBJECT_NONE: no object. */
static const struct {
	uint8_t type;
	uint8_t rights;
	bool locked; /* runs under the object lock */
} calls[HC_CALL_END - HILUM_CALL_BASE] = {
#define CALL(number, type, rights, lock) [(number)-HILUM_CALL_BASE] = { (type), (rights), (lock) }
	CALL(HC_HANDLE_CLOSE, OBJECT_NONE, 0, true),
	CALL(HC_HANDLE_GRANT, OBJECT_VM, HILUM_RIGHT_CONTROL, true),
	CALL(HC_MEMORY_CREATE, OBJECT_HOST, HILUM_RIGHT_CONTROL, true),
	CALL(HC_MEMORY_MAP, OBJECT_VM, HILUM_RIGHT_MAP, true),
	CALL(HC_MEMORY_UNMAP, OBJECT_VM, HILUM_RIGHT_MAP, true),
	CALL(HC_MEMORY_DISCARD, OBJECT_VM, HILUM_RIGHT_BIND, true),
	CALL(HC_MEMORY_DIGEST, OBJECT_MEMORY, HILUM_RIGHT_READ, true),
	CALL(HC_MEMORY_SHARE, OBJECT_MEMORY, HILUM_RIGHT_CONTROL, true),
	CALL(HC_MEMORY_MOVE, OBJECT_MEMORY, HILUM_RIGHT_CONTROL, true),
	CALL(HC_MEMORY_STATUS, OBJECT_MEMORY, HILUM_RIGHT_READ, false),
	CALL(HC_MEMORY_LIMIT, OBJECT_MEMORY, HILUM_RIGHT_CONTROL, false),
	CALL(HC_VM_CREATE, OBJECT_HOST, HILUM_RIGHT_CONTROL, true),
	CALL(HC_VM_DESTROY, OBJECT_VM, HILUM_RIGHT_CONTROL, true),
	CALL(HC_VM_SET_CPUID, OBJECT_VM, HILUM_RIGHT_CONTROL, true),
	CALL(HC_VM_BIND_TRAP, OBJECT_VM, HILUM_RIGHT_BIND, true),
	CALL(HC_VM_UNBIND_TRAP, OBJECT_VM, HILUM_RIGHT_BIND, true),
	CALL(HC_VM_SET_HANDLER, OBJECT_VM, HILUM_RIGHT_CONTROL, true),
	CALL(HC_VM_SHARED_MEMORY, OBJECT_VM, HILUM_RIGHT_CONTROL, true),
	CALL(HC_VM_STATUS, OBJECT_VM, HILUM_RIGHT_READ, false),
	CALL(HC_VM_INJECT_MSI, OBJECT_VM, HILUM_RIGHT_SIGNAL, false),
	CALL(HC_VM_SET_EXTINT, OBJECT_VM, HILUM_RIGHT_SIGNAL, false),
	CALL(HC_VM_GRANT_PORTS, OBJECT_VM, HILUM_RIGHT_CONTROL, true),
	CALL(HC_VCPU_CREATE, OBJECT_VM, HILUM_RIGHT_CONTROL, true),
	CALL(HC_VCPU_SET_STATE, OBJECT_VCPU, HILUM_RIGHT_CONTROL, true),
	CALL(HC_VCPU_GET_STATE, OBJECT_VCPU, HILUM_RIGHT_READ, true),
	CALL(HC_VCPU_RUN, OBJECT_VCPU, HILUM_RIGHT_CONTROL, true),
	CALL(HC_VCPU_PAUSE, OBJECT_VCPU, HILUM_RIGHT_CONTROL, true),
	CALL(HC_VCPU_TRAP_MEMORY, OBJECT_VCPU, HILUM_RIGHT_CONTROL, true),
	CALL(HC_VCPU_STATS, OBJECT_VCPU, HILUM_RIGHT_READ, false),
	CALL(HC_VCPU_DEBUG, OBJECT_VCPU, HILUM_RIGHT_CONTROL, true),
	CALL(HC_VCPU_SCHEDULE, OBJECT_VCPU, HILUM_RIGHT_CONTROL, true),
	CALL(HC_EVENT_CREATE, OBJECT_VM, HILUM_RIGHT_BIND, true),
	CALL(HC_EVENT_SIGNAL, OBJECT_EVENT, HILUM_RIGHT_SIGNAL, false),
	CALL(HC_IRQ_BIND, OBJECT_HOST, HILUM_RIGHT_CONTROL, true),
	CALL(HC_IRQ_ACK, OBJECT_EVENT, HILUM_RIGHT_SIGNAL, false),
	CALL(HC_HOST_INFO, OBJECT_HOST, HILUM_RIGHT_CONTROL, false),
	CALL(HC_HOST_RESET, OBJECT_HOST, HILUM_RIGHT_CONTROL, false),
	CALL(HC_HOST_FRAMES, OBJECT_HOST, HILUM_RIGHT_CONTROL, false),
	CALL(HC_HOST_HEALTH, OBJECT_HOST, HILUM_RIGHT_CONTROL, false),
	CALL(HC_HOST_LAST_RUN, OBJECT_HOST, HILUM_RIGHT_CONTROL, false),
	CALL(HC_HOST_LOG_TAKE, OBJECT_HOST, HILUM_RIGHT_CONTROL, true),
	CALL(HC_HOST_SCHEDULE, OBJECT_HOST, HILUM_RIGHT_CONTROL, true),
	CALL(HC_DEVICE_CREATE, OBJECT_HOST, HILUM_RIGHT_CONTROL, true),
	CALL(HC_DEVICE_ASSIGN, OBJECT_DEVICE, HILUM_RIGHT_CONTROL, true),
	CALL(HC_DEVICE_BIND_IRQ, OBJECT_DEVICE, HILUM_RIGHT_BIND, true),
	CALL(HC_DEVICE_STATUS, OBJECT_DEVICE, HILUM_RIGHT_READ, false),
	CALL(HC_DEVICE_DMA_ADDRESS, OBJECT_DEVICE, HILUM_RIGHT_BIND, false),
	CALL(HC_OBJECT_INFO, OBJECT_VM, HILUM_RIGHT_CONTROL, true),
	CALL(HC_VM_REGION, OBJECT_VM, HILUM_RIGHT_MAP, true),
#undef CALL
};

static int64_t call_execute(struct vcpu *v, uint64_t number, enum object_type type, uint32_t rights, const uint64_t *a)
{
	struct object *o;

	if (type != OBJECT_NONE)
		TRY(call_resolve(v, a[0], type, rights, &o));
	switch (type) {
	case OBJECT_NONE:
	case OBJECT_HOST:
		return call_on_host(v, number, a);
	case OBJECT_VM:
		return call_on_vm(v, container_of(o, struct vm, object), number, a);
	case OBJECT_VCPU:
		return call_on_vcpu(v, container_of(o, struct vcpu, object), number, a);
	case OBJECT_MEMORY:
		return call_on_memory(v, container_of(o, struct memory_object, object), number, a);
	case OBJECT_DEVICE:
		return call_on_device(v, container_of(o, struct device, object), number, a);
	default:
		return call_on_event(as_event(o), number);
	}
}

/* One call that neither waits nor is a batch. False: the lock was taken, try again. */
static bool call_dispatch(struct vcpu *v, uint64_t number, const uint64_t *a, int64_t *result)
{
	uint64_t index = number - HILUM_CALL_BASE;

	*result = STATUS_UNSUPPORTED;
	if (index >= ARRAY_SIZE(calls))
		return true;
	if (calls[index].locked && !object_lock_try())
		return false;
	*result = call_execute(v, number, calls[index].type, calls[index].rights, a);
	if (calls[index].locked)
		object_unlock(v->cpu);
	return true;
}

/*
 * The array is read a call at a time and each result stored as it comes. A batch that does not get the lock leaves the rest of the
 * array in its registers and is executed again.
 */
static bool call_batch(struct vcpu *v, const uint64_t *a, int64_t *result)
{
	struct hilum_call call;
	gpa_t at = a[0];

	*result = a[1] > HILUM_BATCH_MAX ? HILUM_E_INVALID : 0;
	for (uint64_t left = a[1]; *result == 0 && left != 0; left--, at += sizeof(call)) {
		enum status status = vm_copy_in(v->vm, at, &call, sizeof(call));
		if (status == STATUS_FAULT) {
			*result = HILUM_E_FAULT;
			break;
		}
		if (status == STATUS_OK && (call.number == HC_WAIT || call.number == HC_BATCH)) {
			call.result = HILUM_E_INVALID;
		} else if (status != STATUS_OK || !call_dispatch(v, call.number, call.arg, &call.result)) {
			v->gpr[7] = at;
			v->gpr[6] = left;
			return false;
		}
		if (vm_copy_out(v->vm, at + __builtin_offsetof(struct hilum_call, result), &call.result, sizeof(call.result)) != STATUS_OK)
			*result = HILUM_E_FAULT;
	}
	return true;
}

/* KVM's calls: arguments in RBX, RCX, RDX, RSI; its own error codes (ENOSYS is -1000). */
static int64_t call_kvm(struct vcpu *v, uint64_t number)
{
	struct vm *vm = v->vm;

	if (number == HILUM_KVM_HC_KICK_CPU) {
		uint64_t id = v->gpr[1];
		if (id < HILUM_MAX_VCPUS && vm->vcpu[id] != NULL)
			vcpu_request(vm->vcpu[id], VCPU_REQUEST_KICK);
		return 0;
	}
	if (number == HILUM_KVM_HC_SEND_IPI) {
		bool is_64bit = vcpu_paging(v)->efer & EFER_LMA && v->paging.cs_attributes & 1u << 9;
		uint64_t bitmap = is_64bit ? v->gpr[3] : (uint32_t)v->gpr[3] | v->gpr[1] << 32;
		int reached = vlapic_send_ipi_bitmap(&vm->bus, (uint32_t)v->gpr[2], bitmap, (uint32_t)v->gpr[6]);
		vcpu_apic_changed(v);
		return reached >= 0 ? reached : -22;
	}
	return -1000;
}

/* Apart from hypercall_handle, whose short ways do not pay for the registers that this one saves. */
static never_inline void call(struct vcpu *v, uint64_t number, unsigned length)
{
	uint64_t a[6] = { v->gpr[7], v->gpr[6], v->gpr[2], v->gpr[10], v->gpr[8], v->gpr[9] };
	int64_t result;

	if (number == HC_BATCH) {
		if (!call_batch(v, a, &result))
			return;
	} else if (number >> 16 == HILUM_CALL_BASE >> 16) {
		if (!call_dispatch(v, number, a, &result))
			return;
	} else if (v->vm->flags & HILUM_VM_KVM_LEAVES) {
		result = call_kvm(v, number);
	} else {
		result = HILUM_E_UNSUPPORTED;
	}
	v->gpr[0] = (uint64_t)result;
	vcpu_skip(v, length);
}

void hypercall_handle(struct vcpu *v, unsigned length)
{
	uint64_t number = v->gpr[0];

	if (number == HC_NOP || v->cpl != 0) { /* a guest's programs do not speak for its kernel */
		v->gpr[0] = number == HC_NOP ? 0 : (uint64_t)HILUM_E_DENIED;
		vcpu_skip(v, length);
	} else if (number == HC_WAIT) {
		vcpu_skip(v, length);
		forward_wait(v, v->gpr[7], v->gpr[6]);
	} else {
		call(v, number, length);
	}
}
