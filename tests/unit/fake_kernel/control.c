/* The fake machine's control VM, from which the tests make hypercalls; and the accounts at the end. */
#include "tests/unit/fake_kernel/machine.h"

#include "arch/x86_64/features.h"
#include "kernel/start.h"
#include "mm/frame.h"

struct vm *control;
struct vcpu *caller;

static struct memory_object *control_ram;
unsigned fake_control_restarts;

/* kernel/start.c's. */
void control_vm_restart(struct vcpu *v)
{
	fake_control_restarts++;
	v->vm->status.state = HILUM_VM_RUNNING;
	vcpu_run(v);
}
static uint64_t pages_before, objects_before, guest_before, host_refs_before;

static void set_format(void)
{
	static const struct nested_pt_format format = {
		.table = 0x7,
		.leaf = { [1] = 1ull << 63 | 0x5, [3] = 1ull << 63 | 0x7, [5] = 0x5, [7] = 0x7 },
		.flip = 1ull << 63,
	};

	nested_pt_set_format(&format, 2);
}

static void make_control_memory(void)
{
	control_ram = pool_alloc(sizeof(*control_ram));
	assert_int_equal(memory_create(CONTROL_BYTES, 0, control->id, &control_ram->memory), STATUS_OK);
	control_ram->object = (struct object){ .type = OBJECT_MEMORY, .refs = 1 };
	assert_int_equal(vm_map(control, control_ram, 0, 0, CONTROL_BYTES, HILUM_MAP_READ | HILUM_MAP_WRITE, fake_self), STATUS_OK);
	object_unref(&control_ram->object);
}

void fake_boot(unsigned cores)
{
	const struct hilum_vm_config config = { .flags = HILUM_VM_REALTIME, .name = "control" };
	hilum_handle_t handle;

	failing_after = FAILING_NONE;
	failing_on = false;
	fake_machine_boot();
	fake_cores_boot(cores);
	set_format();
	cpuid_init();
	pages_before = fake_pages_used;
	objects_before = fake_objects_used;
	guest_before = frame_count(FRAME_GUEST);
	host_refs_before = host_object.refs;
	if (!object_lock_try()) {
		fprintf(stderr, "an earlier test has failed inside a hypercall\n");
		exit(1);
	}
	assert_int_equal(vm_create(&config, NULL, &control), STATUS_OK);
	assert_int_equal(vcpu_create(control, 0, 0, SCHED_WEIGHT_DEFAULT, &caller), STATUS_OK);
	make_control_memory();
	assert_int_equal(handle_insert(&control->handles, &control->object, HILUM_RIGHT_ALL, &handle), STATUS_OK);
	assert_int_equal(handle, SELF_HANDLE);
	assert_int_equal(handle_insert(&control->handles, &host_object, HILUM_RIGHT_ALL, &handle), STATUS_OK);
	assert_int_equal(handle, HOST_HANDLE);
	control->started = true;
	control->status.state = HILUM_VM_RUNNING;
	caller->stopped = 0;
	object_unlock(fake_self);
}

uint8_t *control_memory(void)
{
	hpa_t hpa;
	uint64_t bytes;

	assert_true(nested_pt_lookup(&control->npt, 0, HILUM_MAP_READ, &hpa, &bytes));
	return fake_ram + hpa;
}

int64_t call(const uint64_t words[7])
{
	struct cpu *cpu = caller->cpu;
	uint64_t rip = caller->rip;

	assert_ptr_equal(fake_self, cpu);
	caller->gpr[0] = words[0];
	caller->gpr[7] = words[1];
	caller->gpr[6] = words[2];
	caller->gpr[2] = words[3];
	caller->gpr[10] = words[4];
	caller->gpr[8] = words[5];
	caller->gpr[9] = words[6];
	caller->paging_valid = false;
	cpu->current = caller;
	hypercall_handle(caller, 3);
	cpu->current = NULL;
	assert_int_equal(caller->rip, rip + 3);
	assert_ptr_equal(fake_self, cpu);
	return (int64_t)caller->gpr[0];
}

hilum_handle_t fake_handle(int64_t result)
{
	assert_true(result > 0 && result <= UINT32_MAX);
	return (hilum_handle_t)result;
}

static struct object *object_of(hilum_handle_t handle, enum object_type type)
{
	struct object *object = NULL;

	assert_int_equal(handle_resolve(&control->handles, handle, type, 0, &object), STATUS_OK);
	return object;
}

struct vm *vm_of(hilum_handle_t handle)
{
	return container_of(object_of(handle, OBJECT_VM), struct vm, object);
}

struct event *event_of(hilum_handle_t handle)
{
	return container_of(object_of(handle, OBJECT_EVENT), struct event, object);
}

hilum_handle_t make_vm(uint32_t flags)
{
	struct hilum_vm_config config = { .flags = flags, .name = "test" };

	memcpy(control_memory(), &config, sizeof(config));
	return CALL_HANDLE(HC_VM_CREATE, HOST_HANDLE, 0);
}

hilum_handle_t make_memory(uint64_t bytes)
{
	return CALL_HANDLE(HC_MEMORY_CREATE, HOST_HANDLE, bytes, 0);
}

struct vcpu *make_vcpu(hilum_handle_t vm, uint32_t index, uint32_t core, hilum_handle_t *handle)
{
	hilum_handle_t h = CALL_HANDLE(HC_VCPU_CREATE, vm, index, core, SCHED_WEIGHT_DEFAULT);

	if (handle != NULL)
		*handle = h;
	return container_of(object_of(h, OBJECT_VCPU), struct vcpu, object);
}

static void end_vms(void)
{
	assert_true(object_lock_try());
	for (struct vm *vm = vm_list, *next; vm != NULL; vm = next) {
		next = vm->next;
		if (vm != control)
			vm_destroy(vm, fake_self);
	}
	(void)host_log_take(NULL);
	handle_table_clear(&control->handles);
	vm_destroy(control, fake_self);
	object_unlock(fake_self);
	for (unsigned i = 0; i < cpu_count; i++)
		fake_run(i, 1); /* kicks that are still under way hold references */
	assert_true(object_lock_try());
	object_unlock(fake_self);
}

void fake_check_clean(void)
{
	failing_after = FAILING_NONE;
	failing_on = false;
	fake_become(0);
	end_vms();
	assert_null(vm_list);
	assert_int_equal(host_object.refs, host_refs_before);
	assert_int_equal(fake_pages_used, pages_before);
	assert_int_equal(fake_objects_used, objects_before);
	assert_int_equal(frame_count(FRAME_GUEST), guest_before);
	fake_cores_end();
}
