/*
 * Calls on the host, on memory, vCPUs and devices. Nobody waits for one as a guest does for those on VMs and events, which are beside their dispatch
 * (hypercall.c).
 */
#include "arch/x86_64/log.h"
#include "arch/x86_64/string.h"
#include "kernel/call.h"
#include "kernel/host.h"
#include "kernel/sched.h"
#include "mm/iommu.h"

/* ---- Calls on the host, or on nothing ------------------------------------------------------------------------------------------ */

static int64_t log_write(struct vcpu *v, gpa_t gpa, uint64_t bytes)
{
	char text[HILUM_LOG_LINE_MAX + 1];

	if (bytes == 0 || bytes > HILUM_LOG_LINE_MAX)
		return STATUS_INVALID;
	if (handle_rights(&v->vm->handles, HILUM_HANDLE_SELF) == 0)
		return STATUS_DENIED; /* only service VMs were given their own name */
	TRY(vm_copy_in(v->vm, gpa, text, bytes));
	for (uint64_t i = 0; i < bytes; i++)
		if (text[i] < ' ' || text[i] > '~')
			text[i] = '.';
	text[bytes] = '\0';
	log_info("%s", text);
	host_log_notify();
	return STATUS_OK;
}

static int64_t memory_object_new(struct vcpu *v, uint64_t bytes, uint64_t flags, hpa_t base)
{
	struct memory memory;

	if (flags > UINT32_MAX)
		return STATUS_INVALID;
	TRY(flags == HILUM_MEMORY_DEVICE
	            ? memory_wrap_device(base, bytes, &memory)
	            : memory_create(bytes, (uint32_t)flags, flags & HILUM_MEMORY_MOVES ? FRAME_OWNER_MOVES : 0, &memory));
	struct memory_object *m = memory_object_create(&memory, NULL);
	return m != NULL ? call_name_new(v, &m->object) : STATUS_NO_MEMORY;
}

static bool config_valid(const struct hilum_vm_config *config)
{
	for (const char *c = config->name; *c != '\0'; c++)
		if (*c < ' ' || *c > '~')
			return false;
	return !(config->flags & ~(HILUM_VM_KVM_LEAVES | HILUM_VM_REALTIME | HILUM_VM_X2APIC | HILUM_VM_DEVICES | HILUM_VM_NO_FPU |
	                           HILUM_VM_WAIT_MEMORY)) &&
	       !config->reserved && !config->reserved2;
}

static int64_t vm_new(struct vcpu *v, gpa_t config_gpa)
{
	struct hilum_vm_config config;
	struct object *event;
	struct vm *vm;

	TRY(vm_copy_in(v->vm, config_gpa, &config, sizeof(config)));
	config.name[sizeof(config.name) - 1] = '\0';
	if (!config_valid(&config))
		return STATUS_INVALID;
	TRY(call_resolve_optional(v, config.status_event, OBJECT_EVENT, HILUM_RIGHT_SIGNAL, &event));
	TRY(vm_create(&config, as_event(event), &vm));
	int64_t handle = call_name_owned(v, &vm->object);
	if (handle < 0)
		vm_destroy(vm, v->cpu);
	return handle;
}

int64_t call_on_host(struct vcpu *v, uint64_t number, const uint64_t *a)
{
	struct hilum_host_health health;
	struct hilum_host_info info;
	struct hilum_frames frames;
	struct device *device;
	struct object *event;

	switch (number) {
	case HC_NOP:
		return STATUS_OK;
	case HC_LOG_WRITE:
		return log_write(v, a[0], a[1]);
	case HC_HANDLE_CLOSE:
		return handle_close(&v->vm->handles, a[0]); /* also of what was destroyed */
	case HC_MEMORY_CREATE:
		return memory_object_new(v, a[1], a[2], a[3]);
	case HC_VM_CREATE:
		return vm_new(v, a[1]);
	case HC_IRQ_BIND:
		TRY(call_resolve(v, a[2], OBJECT_EVENT, HILUM_RIGHT_SIGNAL, &event));
		return irq_bind(a[1], as_event(event));
	case HC_HOST_INFO:
		host_get_info(&info);
		return vm_copy_out(v->vm, a[1], &info, sizeof(info));
	case HC_HOST_FRAMES:
		if (((a[2] | a[3]) & (LARGE_PAGE_SIZE - 1)) || a[3] > HILUM_FRAMES_BYTES_MAX || a[2] >= FRAME_HPA_LIMIT)
			return STATUS_INVALID;
		frame_get_figures(a[2], a[3], &frames);
		return vm_copy_out(v->vm, a[1], &frames, sizeof(frames));
	case HC_HOST_HEALTH:
		host_get_health(&health);
		return vm_copy_out(v->vm, a[1], &health, sizeof(health));
	case HC_HOST_LAST_RUN:
		return vm_copy_out(v->vm, a[1], &log_last_run, sizeof(log_last_run));
	case HC_HOST_RESET:
		log_set_end(HILUM_END_RESET);
		machine_reset();
	case HC_HOST_SCHEDULE:
		if (a[1] & ~(uint64_t)HILUM_HOST_SCHEDULE_CORES)
			return STATUS_INVALID;
		sched_core_set(a[1] != 0);
		return STATUS_OK;
	case HC_DEVICE_CREATE:
		TRY(call_resolve_optional(v, a[2], OBJECT_EVENT, HILUM_RIGHT_SIGNAL, &event));
		TRY(device_create(a[1], as_event(event), &device));
		return call_name_new(v, &device->object);
	case HC_HOST_LOG_TAKE:
		TRY(call_resolve_optional(v, a[1], OBJECT_EVENT, HILUM_RIGHT_SIGNAL, &event));
		return (int64_t)host_log_take(as_event(event));
	default:
		return STATUS_UNSUPPORTED;
	}
}

/* ---- Calls on memory ---------------------------------------------------------------------------------------------------------- */

int64_t call_on_memory(struct vcpu *v, struct memory_object *m, uint64_t number, const uint64_t *a)
{
	const struct hilum_memory_status status = { m->memory.bytes, m->memory.resident, m->memory.limit };
	struct object *b;

	switch (number) {
	case HC_MEMORY_DIGEST:
		if (!(m->memory.flags & HILUM_MEMORY_SHARE) || (a[1] & PAGE_MASK) || a[1] >= m->memory.bytes)
			return STATUS_INVALID;
		return (int64_t)(memory_digest(&m->memory, a[1]) & INT64_MAX);
	case HC_MEMORY_SHARE:
		TRY(call_resolve(v, a[2], OBJECT_MEMORY, HILUM_RIGHT_CONTROL, &b));
		return vm_share(m, a[1], container_of(b, struct memory_object, object), a[3], a[4], v->cpu);
	case HC_MEMORY_MOVE:
		return vm_move(m, a[1], a[2], a[3], v->cpu);
	case HC_MEMORY_LIMIT:
		m->memory.limit = a[1];
		return STATUS_OK;
	default: /* HC_MEMORY_STATUS */
		return vm_copy_out(v->vm, a[1], &status, sizeof(status));
	}
}

/* ---- Calls on a vCPU ------------------------------------------------------------------------------------------------------- */

static int64_t vcpu_state(struct vcpu *v, struct vcpu *vcpu, bool set, gpa_t gpa, uint64_t mask)
{
	struct hilum_vcpu_state *state = &v->cpu->scratch.state;

	if (mask & ~(uint64_t)HILUM_STATE_ALL)
		return STATUS_INVALID;
	if (!vcpu_is_stopped(vcpu))
		return STATUS_BUSY;
	if (set) {
		TRY(vm_copy_in(v->vm, gpa, state, sizeof(*state)));
		return vcpu_set_state(vcpu, state, (uint32_t)mask);
	}
	memset(state, 0, sizeof(*state));
	vcpu_get_state(vcpu, state, (uint32_t)mask);
	return vm_copy_out(v->vm, gpa, state, sizeof(*state));
}

/* With the time since its core switched to it: one that has a core alone is never switched from. */
static void vcpu_get_stats(const struct vcpu *v, struct hilum_vcpu_stats *out)
{
	const struct cpu *cpu = __atomic_load_n(&v->cpu, __ATOMIC_ACQUIRE);
	uint64_t since;

	do {
		since = __atomic_load_n(&cpu->switched_tsc, __ATOMIC_ACQUIRE);
		*out = v->stats;
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
	} while (since != __atomic_load_n(&cpu->switched_tsc, __ATOMIC_RELAXED)); /* changes every few microseconds at most */
	int64_t runs = (int64_t)(rdtsc() - since);
	if (__atomic_load_n(&cpu->charged, __ATOMIC_RELAXED) == v && runs > 0)
		out->run_tsc += (uint64_t)runs;
}

int64_t call_on_vcpu(struct vcpu *v, struct vcpu *vcpu, uint64_t number, const uint64_t *a)
{
	struct hilum_schedule schedule;
	struct hilum_vcpu_stats stats;

	switch (number) {
	case HC_VCPU_SET_STATE:
	case HC_VCPU_GET_STATE:
		return vcpu_state(v, vcpu, number == HC_VCPU_SET_STATE, a[1], a[2]);
	case HC_VCPU_RUN:
		vcpu_run(vcpu);
		return STATUS_OK;
	case HC_VCPU_PAUSE:
		if (vcpu->vm == v->vm)
			return STATUS_BUSY;
		vcpu_stop(vcpu, v->cpu);
		return STATUS_OK;
	case HC_VCPU_SCHEDULE:
		TRY(vm_copy_in(v->vm, a[1], &schedule, sizeof(schedule)));
		return sched_set(vcpu, &schedule);
	case HC_VCPU_DEBUG:
		return vcpu_is_stopped(vcpu) ? vcpu_set_debug(vcpu, a[1]) : STATUS_BUSY;
	case HC_VCPU_TRAP_MEMORY:
		return call_name_owned(v, &vcpu->trap_memory->object);
	default: /* HC_VCPU_STATS */
		vcpu_get_stats(vcpu, &stats);
		return vm_copy_out(v->vm, a[1], &stats, sizeof(stats));
	}
}

/* ---- Calls on a device ---------------------------------------------------------------------------------------------------------- */

/* With an IOMMU a VM's devices use its own addresses. Without one they use the machine's: the VM has to ask for each page. */
static int64_t dma_address(struct vm *vm, const struct device *device, gpa_t gpa)
{
	hpa_t hpa;

	if (device->vm != vm)
		return STATUS_DENIED;
	enum status status = vm_translate(vm, gpa, HILUM_MAP_WRITE, &hpa); /* no device is told of a page that is shared */
	TRY(status == STATUS_FAULT ? vm_translate(vm, gpa, HILUM_MAP_READ, &hpa) : status);
	return (int64_t)(iommu_features & HILUM_HOST_IOMMU ? gpa : hpa);
}

int64_t call_on_device(struct vcpu *v, struct device *device, uint64_t number, const uint64_t *a)
{
	struct object *o;
	uint64_t message;

	switch (number) {
	case HC_DEVICE_ASSIGN:
		TRY(call_resolve_optional(v, a[1], OBJECT_VM, HILUM_RIGHT_CONTROL, &o));
		return device_assign(device, as_vm(o), a[2]);
	case HC_DEVICE_BIND_IRQ:
		TRY(call_resolve_optional(v, a[2], OBJECT_EVENT, HILUM_RIGHT_SIGNAL, &o));
		TRY(irq_bind_device(device, a[1], as_event(o), &message));
		return (int64_t)message;
	case HC_DEVICE_STATUS:
		return vm_copy_out(v->vm, a[1], &device->status, sizeof(device->status));
	default: /* HC_DEVICE_DMA_ADDRESS */
		return dma_address(v->vm, device, a[1]);
	}
}
