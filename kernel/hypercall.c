/*
 * The hypercall ABI's kernel side. A call resolves its handles, copies what it was pointed to, checks everything, and only then
 * commits. Control calls run under the object lock, which is tried: if another core has it, the instruction is simply executed
 * again at the next entry.
 */
#include "arch/x86_64/features.h"
#include "arch/x86_64/log.h"
#include "arch/x86_64/string.h"
#include "kernel/device.h"
#include "kernel/event.h"
#include "kernel/exit.h"
#include "kernel/forward.h"
#include "kernel/host.h"
#include "kernel/virt_ops.h"
#include "mm/iommu.h"
#include "mm/memory.h"
#include "mm/pool.h"

typedef int64_t (*call_fn)(struct vcpu *v, const uint64_t *a);

static const int8_t error_code[STATUS_COUNT] = {
	[STATUS_OK] = HILUM_OK,
	[STATUS_INVALID] = HILUM_E_INVALID,
	[STATUS_NO_MEMORY] = HILUM_E_NO_MEMORY,
	[STATUS_BAD_HANDLE] = HILUM_E_BAD_HANDLE,
	[STATUS_DENIED] = HILUM_E_DENIED,
	[STATUS_EXISTS] = HILUM_E_EXISTS,
	[STATUS_NOT_FOUND] = HILUM_E_NOT_FOUND,
	[STATUS_BUSY] = HILUM_E_BUSY,
	[STATUS_UNSUPPORTED] = HILUM_E_UNSUPPORTED,
	[STATUS_FAULT] = HILUM_E_FAULT,
};

#define TRY(expression)                                                                                      \
	do {                                                                                                 \
		enum status try_status = (expression);                                                       \
		if (try_status != STATUS_OK)                                                                 \
			return error_code[try_status];                                                       \
	} while (0)

static enum status resolve(struct vcpu *v, uint64_t handle, enum object_type type, uint32_t rights, struct object **out)
{
	return handle_resolve(&v->vm->handles, handle, type, rights, out);
}

#define RESOLVE(var, handle, type, rights, struct_name)                                                      \
	struct object *var##_object;                                                                         \
	TRY(resolve(v, (handle), (type), (rights), &var##_object));                                          \
	struct struct_name *var = container_of(var##_object, struct struct_name, object)

#define RESOLVE_VM(var, handle, rights)    RESOLVE(var, handle, OBJECT_VM, rights, vm)
#define RESOLVE_VCPU(var, handle, rights)  RESOLVE(var, handle, OBJECT_VCPU, rights, vcpu)
#define RESOLVE_EVENT(var, handle, rights) RESOLVE(var, handle, OBJECT_EVENT, rights, event)
#define RESOLVE_MEMORY(var, handle, rights) RESOLVE(var, handle, OBJECT_MEMORY, rights, memory_object)
#define RESOLVE_DEVICE(var, handle, rights) RESOLVE(var, handle, OBJECT_DEVICE, rights, device)
#define RESOLVE_HOST(handle)                                                                                 \
	do {                                                                                                 \
		struct object *host_object_found;                                                            \
		TRY(resolve(v, (handle), OBJECT_HOST, HILUM_RIGHT_CONTROL, &host_object_found));             \
	} while (0)

/* A new object's first reference becomes the handle's; on failure the object goes. */
static int64_t name_object(struct vcpu *v, struct object *object, uint32_t rights)
{
	hilum_handle_t handle;
	enum status status = handle_insert(&v->vm->handles, object, rights, &handle);

	object_unref(object);
	return status == STATUS_OK ? (int64_t)handle : error_code[status];
}

/* ---- Without the object lock -------------------------------------------------------------------------------------------------- */

static int64_t call_nop(struct vcpu *v, const uint64_t *a)
{
	(void)v;
	(void)a;
	return 0;
}

static int64_t call_log_write(struct vcpu *v, const uint64_t *a)
{
	char text[HILUM_LOG_LINE_MAX + 1];

	if (a[1] == 0 || a[1] > HILUM_LOG_LINE_MAX)
		return HILUM_E_INVALID;
	if (handle_rights(&v->vm->handles, HILUM_HANDLE_SELF) == 0)
		return HILUM_E_DENIED; /* only service VMs were given their own name */
	TRY(vm_copy_in(v->vm, a[0], text, a[1]));
	for (uint64_t i = 0; i < a[1]; i++)
		if (text[i] < ' ' || text[i] > '~')
			text[i] = '.';
	text[a[1]] = '\0';
	log_info("%s", text);
	host_log_notify();
	return 0;
}

static int64_t call_event_signal(struct vcpu *v, const uint64_t *a)
{
	RESOLVE_EVENT(event, a[0], HILUM_RIGHT_SIGNAL);
	event_signal(event);
	return 0;
}

static int64_t call_inject_msi(struct vcpu *v, const uint64_t *a)
{
	RESOLVE_VM(vm, a[0], HILUM_RIGHT_SIGNAL);
	if (a[2] > UINT32_MAX)
		return HILUM_E_INVALID;
	TRY(vlapic_deliver_msi(&vm->bus, a[1], (uint32_t)a[2]));
	return 0;
}

static int64_t call_set_extint(struct vcpu *v, const uint64_t *a)
{
	RESOLVE_VM(vm, a[0], HILUM_RIGHT_SIGNAL);
	if (a[1] > 1)
		return HILUM_E_INVALID;
	__atomic_store_n(&vm->extint, a[1] != 0, __ATOMIC_RELEASE);
	if (a[1] != 0 && vm->vcpu[0] != NULL)
		vcpu_request(vm->vcpu[0], VCPU_REQUEST_INTERRUPT);
	return 0;
}

static int64_t call_irq_ack(struct vcpu *v, const uint64_t *a)
{
	RESOLVE_EVENT(event, a[0], HILUM_RIGHT_SIGNAL);
	TRY(irq_ack(event));
	return 0;
}

static int64_t call_vm_status(struct vcpu *v, const uint64_t *a)
{
	struct hilum_vm_status status;

	RESOLVE_VM(vm, a[0], HILUM_RIGHT_READ);
	vm_get_status(vm, &status);
	TRY(vm_copy_out(v->vm, a[1], &status, sizeof(status)));
	return 0;
}

static int64_t call_vcpu_stats(struct vcpu *v, const uint64_t *a)
{
	RESOLVE_VCPU(vcpu, a[0], HILUM_RIGHT_READ);
	TRY(vm_copy_out(v->vm, a[1], &vcpu->stats, sizeof(vcpu->stats)));
	return 0;
}

static int64_t call_host_info(struct vcpu *v, const uint64_t *a)
{
	struct hilum_host_info info;

	RESOLVE_HOST(a[0]);
	host_get_info(&info);
	TRY(vm_copy_out(v->vm, a[1], &info, sizeof(info)));
	return 0;
}

static int64_t call_host_power(struct vcpu *v, const uint64_t *a)
{
	RESOLVE_HOST(a[0]);
	if (a[1] > HILUM_POWER_RESET || a[2] > 0xFFFF)
		return HILUM_E_INVALID;
	TRY(host_power(a[1] == HILUM_POWER_OFF, (uint32_t)a[2]));
	return 0;
}

static int64_t call_host_log_take(struct vcpu *v, const uint64_t *a)
{
	struct object *event = NULL;

	RESOLVE_HOST(a[0]);
	if (a[1] != 0)
		TRY(resolve(v, a[1], OBJECT_EVENT, HILUM_RIGHT_SIGNAL, &event));
	return (int64_t)host_log_take(event != NULL ? container_of(event, struct event, object) : NULL);
}

/* ---- Under the object lock ---------------------------------------------------------------------------------------------------- */

static int64_t call_handle_close(struct vcpu *v, const uint64_t *a)
{
	TRY(handle_close(&v->vm->handles, a[0]));
	return 0;
}

static int64_t call_handle_grant(struct vcpu *v, const uint64_t *a)
{
	struct object *object;
	hilum_handle_t handle;

	RESOLVE_VM(vm, a[0], HILUM_RIGHT_CONTROL);
	TRY(resolve(v, a[1], OBJECT_NONE, HILUM_RIGHT_GRANT, &object));
	if (a[2] == 0 || (a[2] & ~(uint64_t)handle_rights(&v->vm->handles, a[1])))
		return HILUM_E_DENIED;
	TRY(handle_insert(&vm->handles, object, (uint32_t)a[2], &handle));
	return handle;
}

static int64_t call_memory_create(struct vcpu *v, const uint64_t *a)
{
	RESOLVE_HOST(a[0]);
	if (a[2] > UINT32_MAX)
		return HILUM_E_INVALID;
	struct memory_object *m = pool_alloc(sizeof(*m));
	if (m == NULL)
		return HILUM_E_NO_MEMORY;
	enum status status = a[2] == HILUM_MEMORY_DEVICE ? memory_wrap_device(a[3], a[1], &m->memory)
							 : memory_create(a[1], (uint32_t)a[2], v->vm->id, &m->memory);
	if (status != STATUS_OK) {
		pool_free(m, sizeof(*m));
		return error_code[status];
	}
	m->object = (struct object){ .type = OBJECT_MEMORY, .refs = 1 };
	return name_object(v, &m->object, HILUM_RIGHT_ALL);
}

static int64_t call_memory_map(struct vcpu *v, const uint64_t *a)
{
	RESOLVE_VM(vm, a[0], HILUM_RIGHT_MAP);
	RESOLVE_MEMORY(memory, a[1], HILUM_RIGHT_MAP | (a[5] & HILUM_MAP_WRITE ? HILUM_RIGHT_WRITE : 0));
	if (a[5] > UINT32_MAX)
		return HILUM_E_INVALID;
	TRY(vm_map(vm, memory, a[2], a[3], a[4], (uint32_t)a[5], v->cpu));
	return 0;
}

static int64_t call_memory_unmap(struct vcpu *v, const uint64_t *a)
{
	RESOLVE_VM(vm, a[0], HILUM_RIGHT_MAP);
	TRY(vm_unmap(vm, a[1], a[2], v->cpu));
	return 0;
}

static int64_t call_vm_create(struct vcpu *v, const uint64_t *a)
{
	struct hilum_vm_config config;
	struct object *event = NULL;
	struct vm *vm;

	RESOLVE_HOST(a[0]);
	TRY(vm_copy_in(v->vm, a[1], &config, sizeof(config)));
	config.name[sizeof(config.name) - 1] = '\0';
	if (config.flags & ~(HILUM_VM_KVM_LEAVES | HILUM_VM_REALTIME | HILUM_VM_X2APIC | HILUM_VM_DEVICES) || config.reserved || config.reserved2)
		return HILUM_E_INVALID;
	for (char *c = config.name; *c != '\0'; c++)
		if (*c < ' ' || *c > '~')
			return HILUM_E_INVALID;
	if (config.status_event != 0)
		TRY(resolve(v, config.status_event, OBJECT_EVENT, HILUM_RIGHT_SIGNAL, &event));
	TRY(vm_create(&config, event != NULL ? container_of(event, struct event, object) : NULL, &vm));
	object_ref(&vm->object); /* a VM keeps the first until it is destroyed */
	int64_t handle = name_object(v, &vm->object, HILUM_RIGHT_ALL);
	if (handle < 0)
		vm_destroy(vm, v->cpu);
	return handle;
}

static int64_t call_vm_destroy(struct vcpu *v, const uint64_t *a)
{
	RESOLVE_VM(vm, a[0], HILUM_RIGHT_CONTROL);
	if (vm == v->vm)
		return HILUM_E_BUSY;
	vm_destroy(vm, v->cpu);
	TRY(handle_close(&v->vm->handles, a[0]));
	return 0;
}

static int64_t call_vm_set_cpuid(struct vcpu *v, const uint64_t *a)
{
	struct hilum_cpuid_entry *entries = (struct hilum_cpuid_entry *)v->cpu->scratch;

	_Static_assert(HILUM_CPUID_MAX * sizeof(*entries) <= CPU_SCRATCH_BYTES, "scratch");
	RESOLVE_VM(vm, a[0], HILUM_RIGHT_CONTROL);
	if (a[2] == 0 || a[2] > HILUM_CPUID_MAX)
		return HILUM_E_INVALID;
	TRY(vm_copy_in(v->vm, a[1], entries, a[2] * sizeof(*entries)));
	TRY(vm_set_cpuid(vm, entries, (uint32_t)a[2]));
	return 0;
}

static int64_t call_vm_bind_trap(struct vcpu *v, const uint64_t *a)
{
	struct hilum_trap_range range;
	struct object *event = NULL;

	TRY(vm_copy_in(v->vm, a[1], &range, sizeof(range)));
	RESOLVE_VM(vm, a[0], range.kind == HILUM_TRAP_RANGE_DOORBELL ? HILUM_RIGHT_BIND : HILUM_RIGHT_CONTROL);
	if (range.event != 0)
		TRY(resolve(v, range.event, OBJECT_EVENT, HILUM_RIGHT_SIGNAL, &event));
	TRY(vm_bind_trap(vm, &range, event != NULL ? container_of(event, struct event, object) : NULL, v->cpu));
	return 0;
}

static int64_t call_vm_unbind_trap(struct vcpu *v, const uint64_t *a)
{
	RESOLVE_VM(vm, a[0], a[1] == HILUM_TRAP_RANGE_DOORBELL ? HILUM_RIGHT_BIND : HILUM_RIGHT_CONTROL);
	TRY(vm_unbind_trap(vm, a[1], a[2], v->cpu));
	return 0;
}

static int64_t call_vm_set_handler(struct vcpu *v, const uint64_t *a)
{
	RESOLVE_VM(vm, a[0], HILUM_RIGHT_CONTROL);
	if (a[1] == 0) {
		vm_set_handler(vm, NULL, 0);
		return 0;
	}
	RESOLVE_VM(handler, a[1], HILUM_RIGHT_CONTROL);
	if (handler == vm)
		return HILUM_E_INVALID;
	vm_set_handler(vm, handler, a[2]);
	return 0;
}

static int64_t name_memory(struct vcpu *v, struct memory_object *memory)
{
	object_ref(&memory->object);
	return name_object(v, &memory->object, HILUM_RIGHT_ALL);
}

static int64_t call_vm_shared_memory(struct vcpu *v, const uint64_t *a)
{
	RESOLVE_VM(vm, a[0], HILUM_RIGHT_CONTROL);
	return name_memory(v, vm->shared_memory);
}

static int64_t call_vcpu_trap_memory(struct vcpu *v, const uint64_t *a)
{
	RESOLVE_VCPU(vcpu, a[0], HILUM_RIGHT_CONTROL);
	return name_memory(v, vcpu->trap_memory);
}

static int64_t call_vm_grant_ports(struct vcpu *v, const uint64_t *a)
{
	RESOLVE_VM(vm, a[0], HILUM_RIGHT_CONTROL);
	RESOLVE_HOST(a[1]);
	TRY(vm_grant_ports(vm, a[2], a[3]));
	return 0;
}

static int64_t call_vcpu_create(struct vcpu *v, const uint64_t *a)
{
	struct vcpu *vcpu;

	RESOLVE_VM(vm, a[0], HILUM_RIGHT_CONTROL);
	if (a[1] > UINT32_MAX || a[2] > UINT32_MAX || a[3] > UINT32_MAX)
		return HILUM_E_INVALID;
	TRY(handle_reserve(&v->vm->handles)); /* there is no way back once the VM has it */
	TRY(vcpu_create(vm, (uint32_t)a[1], (uint32_t)a[2], (uint32_t)a[3], &vcpu));
	object_ref(&vcpu->object); /* the VM keeps the first */
	return name_object(v, &vcpu->object, HILUM_RIGHT_ALL);
}

static int64_t call_vcpu_set_state(struct vcpu *v, const uint64_t *a)
{
	struct hilum_vcpu_state *state = (struct hilum_vcpu_state *)v->cpu->scratch;

	RESOLVE_VCPU(vcpu, a[0], HILUM_RIGHT_CONTROL);
	if (a[2] & ~(uint64_t)HILUM_STATE_ALL)
		return HILUM_E_INVALID;
	if (!vcpu_is_stopped(vcpu))
		return HILUM_E_BUSY;
	TRY(vm_copy_in(v->vm, a[1], state, sizeof(*state)));
	TRY(vcpu_set_state(vcpu, state, (uint32_t)a[2]));
	return 0;
}

static int64_t call_vcpu_get_state(struct vcpu *v, const uint64_t *a)
{
	struct hilum_vcpu_state *state = (struct hilum_vcpu_state *)v->cpu->scratch;

	RESOLVE_VCPU(vcpu, a[0], HILUM_RIGHT_READ);
	if (a[2] & ~(uint64_t)HILUM_STATE_ALL)
		return HILUM_E_INVALID;
	if (!vcpu_is_stopped(vcpu))
		return HILUM_E_BUSY;
	memset(state, 0, sizeof(*state));
	vcpu_get_state(vcpu, state, (uint32_t)a[2]);
	TRY(vm_copy_out(v->vm, a[1], state, sizeof(*state)));
	return 0;
}

static int64_t call_vcpu_run(struct vcpu *v, const uint64_t *a)
{
	RESOLVE_VCPU(vcpu, a[0], HILUM_RIGHT_CONTROL);
	struct vm *vm = vcpu->vm;
	vm->started = true;
	if (vm->state == HILUM_VM_STOPPED)
		vm->state = HILUM_VM_RUNNING;
	vcpu_request(vcpu, VCPU_REQUEST_RUN);
	return 0;
}

static int64_t call_vcpu_pause(struct vcpu *v, const uint64_t *a)
{
	RESOLVE_VCPU(vcpu, a[0], HILUM_RIGHT_CONTROL);
	if (vcpu->vm == v->vm)
		return HILUM_E_BUSY;
	vcpu_stop(vcpu, v->cpu);
	return 0;
}

static int64_t call_event_create(struct vcpu *v, const uint64_t *a)
{
	struct event *event;

	RESOLVE_VM(vm, a[0], HILUM_RIGHT_BIND);
	TRY(event_create(vm, a[1], a[2], a[3], &event));
	return name_object(v, &event->object, HILUM_RIGHT_ALL);
}

static int64_t call_irq_bind(struct vcpu *v, const uint64_t *a)
{
	RESOLVE_HOST(a[0]);
	RESOLVE_EVENT(event, a[3], HILUM_RIGHT_SIGNAL);
	TRY(irq_bind(a[1], a[2], event));
	return 0;
}

static int64_t call_device_create(struct vcpu *v, const uint64_t *a)
{
	struct object *event = NULL;
	struct device *device;

	RESOLVE_HOST(a[0]);
	if (a[2] != 0)
		TRY(resolve(v, a[2], OBJECT_EVENT, HILUM_RIGHT_SIGNAL, &event));
	TRY(device_create(a[1], event != NULL ? container_of(event, struct event, object) : NULL, &device));
	return name_object(v, &device->object, HILUM_RIGHT_ALL);
}

static int64_t call_device_assign(struct vcpu *v, const uint64_t *a)
{
	struct object *vm = NULL;

	RESOLVE_DEVICE(device, a[0], HILUM_RIGHT_CONTROL);
	if (a[1] != 0)
		TRY(resolve(v, a[1], OBJECT_VM, HILUM_RIGHT_CONTROL, &vm));
	TRY(device_assign(device, vm != NULL ? container_of(vm, struct vm, object) : NULL, a[2]));
	return 0;
}

static int64_t call_device_bind_irq(struct vcpu *v, const uint64_t *a)
{
	struct object *event = NULL;
	uint64_t message;

	RESOLVE_DEVICE(device, a[0], HILUM_RIGHT_BIND);
	if (a[2] != 0)
		TRY(resolve(v, a[2], OBJECT_EVENT, HILUM_RIGHT_SIGNAL, &event));
	TRY(device_bind_irq(device, a[1], event != NULL ? container_of(event, struct event, object) : NULL, &message));
	return (int64_t)message;
}

static int64_t call_device_status(struct vcpu *v, const uint64_t *a)
{
	RESOLVE_DEVICE(device, a[0], HILUM_RIGHT_READ);
	TRY(vm_copy_out(v->vm, a[1], &device->status, sizeof(device->status)));
	return 0;
}

/* With an IOMMU a VM's devices use its own addresses. Without one they use the machine's: the VM has to ask for each page. */
static int64_t call_device_dma_address(struct vcpu *v, const uint64_t *a)
{
	uint64_t page_bytes;
	hpa_t hpa;

	RESOLVE_DEVICE(device, a[0], HILUM_RIGHT_BIND);
	if (device->vm != v->vm)
		return HILUM_E_DENIED;
	if (!nested_pt_lookup(&v->vm->npt, a[1], HILUM_MAP_READ, &hpa, &page_bytes))
		return HILUM_E_FAULT;
	return (int64_t)(iommu_is_present() ? a[1] : hpa);
}

static const struct {
	call_fn fn;
	bool locked;
} calls[HC_CALL_END - HILUM_CALL_BASE] = {
#define CALL(number, function, lock) [(number) - HILUM_CALL_BASE] = { (function), (lock) }
	CALL(HC_NOP, call_nop, false),
	CALL(HC_LOG_WRITE, call_log_write, false),
	CALL(HC_HANDLE_CLOSE, call_handle_close, true),
	CALL(HC_HANDLE_GRANT, call_handle_grant, true),
	CALL(HC_MEMORY_CREATE, call_memory_create, true),
	CALL(HC_MEMORY_MAP, call_memory_map, true),
	CALL(HC_MEMORY_UNMAP, call_memory_unmap, true),
	CALL(HC_VM_CREATE, call_vm_create, true),
	CALL(HC_VM_DESTROY, call_vm_destroy, true),
	CALL(HC_VM_SET_CPUID, call_vm_set_cpuid, true),
	CALL(HC_VM_BIND_TRAP, call_vm_bind_trap, true),
	CALL(HC_VM_UNBIND_TRAP, call_vm_unbind_trap, true),
	CALL(HC_VM_SET_HANDLER, call_vm_set_handler, true),
	CALL(HC_VM_SHARED_MEMORY, call_vm_shared_memory, true),
	CALL(HC_VM_STATUS, call_vm_status, false),
	CALL(HC_VM_INJECT_MSI, call_inject_msi, false),
	CALL(HC_VM_SET_EXTINT, call_set_extint, false),
	CALL(HC_VM_GRANT_PORTS, call_vm_grant_ports, true),
	CALL(HC_VCPU_CREATE, call_vcpu_create, true),
	CALL(HC_VCPU_SET_STATE, call_vcpu_set_state, true),
	CALL(HC_VCPU_GET_STATE, call_vcpu_get_state, true),
	CALL(HC_VCPU_RUN, call_vcpu_run, true),
	CALL(HC_VCPU_PAUSE, call_vcpu_pause, true),
	CALL(HC_VCPU_TRAP_MEMORY, call_vcpu_trap_memory, true),
	CALL(HC_VCPU_STATS, call_vcpu_stats, false),
	CALL(HC_EVENT_CREATE, call_event_create, true),
	CALL(HC_EVENT_SIGNAL, call_event_signal, false),
	CALL(HC_IRQ_BIND, call_irq_bind, true),
	CALL(HC_IRQ_ACK, call_irq_ack, false),
	CALL(HC_HOST_INFO, call_host_info, false),
	CALL(HC_HOST_POWER, call_host_power, false),
	CALL(HC_HOST_LOG_TAKE, call_host_log_take, true),
	CALL(HC_DEVICE_CREATE, call_device_create, true),
	CALL(HC_DEVICE_ASSIGN, call_device_assign, true),
	CALL(HC_DEVICE_BIND_IRQ, call_device_bind_irq, true),
	CALL(HC_DEVICE_STATUS, call_device_status, false),
	CALL(HC_DEVICE_DMA_ADDRESS, call_device_dma_address, false),
#undef CALL
};

/* One call that neither waits nor is a batch. False: the lock was taken, try again. */
static bool call_dispatch(struct vcpu *v, uint64_t number, const uint64_t *a, int64_t *result)
{
	uint64_t index = number - HILUM_CALL_BASE;

	if (index >= ARRAY_SIZE(calls) || calls[index].fn == NULL) {
		*result = HILUM_E_UNSUPPORTED;
		return true;
	}
	if (!calls[index].locked) {
		*result = calls[index].fn(v, a);
		return true;
	}
	if (!object_lock_try())
		return false;
	*result = calls[index].fn(v, a);
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
		if (vm_copy_in(v->vm, at, &call, sizeof(call)) != STATUS_OK) {
			*result = HILUM_E_FAULT;
			break;
		}
		if (call.number == HC_WAIT || call.number == HC_BATCH) {
			call.result = HILUM_E_INVALID;
		} else if (!call_dispatch(v, call.number, call.arg, &call.result)) {
			v->gpr[7] = at;
			v->gpr[6] = left;
			return false;
		}
		if (vm_copy_out(v->vm, at + __builtin_offsetof(struct hilum_call, result), &call.result, sizeof(call.result)) !=
		    STATUS_OK)
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
		uint64_t low = is_64bit ? v->gpr[3] : (uint32_t)v->gpr[3] | v->gpr[1] << 32;
		int reached = vlapic_send_ipi_bitmap(&vm->bus, (uint32_t)v->gpr[2], low, is_64bit ? v->gpr[1] : 0,
						     (uint32_t)v->gpr[6]);
		vcpu_apic_changed(v);
		return reached >= 0 ? reached : -22;
	}
	return -1000;
}

void hypercall_handle(struct vcpu *v, unsigned length)
{
	uint64_t number = v->gpr[0];
	int64_t result;

	if (likely(number == HC_NOP)) {
		v->gpr[0] = 0;
		vcpu_skip(v, length);
		return;
	}
	if (vcpu_paging(v)->cpl != 0) { /* a guest's programs do not speak for its kernel */
		v->gpr[0] = (uint64_t)HILUM_E_DENIED;
		vcpu_skip(v, length);
		return;
	}
	uint64_t a[6] = { v->gpr[7], v->gpr[6], v->gpr[2], v->gpr[10], v->gpr[8], v->gpr[9] };
	if (number == HC_WAIT) {
		vcpu_skip(v, length);
		forward_wait(v, a[0], a[1]);
		return;
	}
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
