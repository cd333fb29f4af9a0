/*
 * Every allocation that root mode makes while VMs are made, work and end fails once, and once more with all that follow it. The script is
 * hypercalls and guests' faults on the real kernel core. A call that is refused has changed nothing: it works when it is made again.
 * Whatever has failed, at the end of the script every frame, page, object and handle is back, and the next run of it finds nothing missing.
 */
/* clang-format off */
/* UNIT_SOURCES: build/unit/kernel_fake.a */
/* UNIT_FLAGS: @tests/unit/fake_kernel/fake.flags @tests/unit/fake_kernel/fake.wrap */
/* clang-format on */
#include "tests/unit/fake_kernel/iommu_fake.h"

#include "kernel/device.h"
#include "mm/frame.h"

#define RW        (HILUM_MAP_READ | HILUM_MAP_WRITE)
#define CONFIG_AT 0x1000ull
#define CPUID_AT  0x2000ull
#define STATE_AT  0x4000ull
#define RID       0x20
#define EAGER_GPA 0x400000ull
#define LAZY_GPA  0x40000000ull
#define LARGE_GPA 0x80000000ull
#define PAGES_GPA 0x6000000000ull /* of a table nobody has yet, at each level */
#define TRAPS_GPA 0x1000000ull
#define OTHER_GPA 0x1000000000ull /* where the service VM sees the guest's */
#define NEVER     1000000

enum { GUEST, SERVICE, VMS };
enum { EAGER, LAZY, LARGE, CHANNEL, REGISTERS, MEMORIES };

/* What the script has made; 0 is what it could not. */
static hilum_handle_t vm[VMS], vcpu[VMS], memory[MEMORIES], event[VMS], device, trap_memory;
static struct {
	unsigned calls, refused, stops;
	bool goes_on; /* there is memory again after the failure */
} script;

/* ---- Steps --------------------------------------------------------------------------------------------------------------------------- */

static bool has_failed(void)
{
	return failing_after == (script.goes_on ? FAILING_DONE : 0);
}

/* Makes the call, again if it was refused once. What comes after that may be refused for what is not there, but only after a failure. */
static int64_t step(const uint64_t words[7])
{
	int64_t result = call(words);

	script.calls++;
	if (result >= 0)
		return result;
	script.refused++;
	if (!has_failed() || (result != HILUM_E_NO_MEMORY && (script.goes_on || script.refused == 1)))
		fail_msg("call %#lx: %ld", (unsigned long)words[0], (long)result);
	if (!script.goes_on)
		return result;
	result = call(words);
	if (result < 0)
		fail_msg("call %#lx again: %ld", (unsigned long)words[0], (long)result);
	return result;
}
#define STEP(...) (void)step((const uint64_t[7]){ __VA_ARGS__ })
#define MADE(...) made(step((const uint64_t[7]){ __VA_ARGS__ }))

static hilum_handle_t made(int64_t result)
{
	return result > 0 ? (hilum_handle_t)result : 0;
}

static gpa_t touched;

static uint64_t touch(struct vcpu *v)
{
	struct vexit fault = { .kind = HILUM_EXIT_MMIO, .memory = { .gpa = touched, .write = true } };

	exit_handle(v, &fault);
	return 100;
}

/* The guest writes there. If there is no frame it stops, and goes on when it is told to. */
static void fault(gpa_t gpa)
{
	uint64_t page_bytes;
	hpa_t hpa;

	if (!vcpu[GUEST] || !memory[LAZY] || !memory[LARGE])
		return;
	touched = gpa;
	for (unsigned i = 0; i < 4 && !nested_pt_lookup(&vm_of(vm[GUEST])->npt, gpa, RW, &hpa, &page_bytes); i++) {
		if (vm_of(vm[GUEST])->status.memory_stops != 0) {
			script.stops++;
			assert_true(has_failed());
		}
		CALL_OK(HC_VCPU_RUN, vcpu[GUEST]);
		fake_run(1, 3);
	}
	if (script.goes_on)
		assert_true(nested_pt_lookup(&vm_of(vm[GUEST])->npt, gpa, RW, &hpa, &page_bytes));
	assert_int_not_equal(vm_of(vm[GUEST])->status.state, HILUM_VM_CRASHED);
}

/* ---- The script ---------------------------------------------------------------------------------------------------------------------- */

static void *at(uint64_t gpa)
{
	return control_memory() + gpa;
}

static void make_vms(void)
{
	static const uint32_t flags[VMS] = { HILUM_VM_DEVICES | HILUM_VM_WAIT_MEMORY, HILUM_VM_DEVICES | HILUM_VM_REALTIME };
	const struct hilum_cpuid_entry cpuid[2] = { { .leaf = 0, .eax = 1 }, { .leaf = 1, .edx = 1 } };

	for (unsigned i = 0; i < VMS; i++) {
		const struct hilum_vm_config config = { .flags = flags[i], .status_event = event[SERVICE], .name = "made" };

		memcpy(at(CONFIG_AT), &config, sizeof(config));
		memcpy(at(CPUID_AT), cpuid, sizeof(cpuid));
		vm[i] = MADE(HC_VM_CREATE, HOST_HANDLE, CONFIG_AT);
		STEP(HC_VM_SET_CPUID, vm[i], CPUID_AT, 2);
		vcpu[i] = MADE(HC_VCPU_CREATE, vm[i], 0, 1, SCHED_WEIGHT_DEFAULT);
		STEP(HC_VCPU_CREATE, vm[i], 1, HILUM_CORE_ANY, SCHED_WEIGHT_DEFAULT);
		event[i] = MADE(HC_EVENT_CREATE, vm[i], 0, 5, 0x40);
		STEP(HC_VM_GRANT_PORTS, vm[i], HOST_HANDLE, 0x70 + i, 1);
		STEP(HC_VM_SHARED_MEMORY, vm[i]);
	}
	STEP(HC_VM_SET_HANDLER, vm[GUEST], vm[SERVICE], 7);
	STEP(HC_HANDLE_GRANT, vm[SERVICE], vm[GUEST], HILUM_RIGHT_BIND | HILUM_RIGHT_SIGNAL);
	STEP(HC_HANDLE_GRANT, vm[SERVICE], event[GUEST], HILUM_RIGHT_SIGNAL);
	trap_memory = MADE(HC_VCPU_TRAP_MEMORY, vcpu[GUEST]);
	STEP(HC_MEMORY_MAP, vm[SERVICE], trap_memory, TRAPS_GPA, 0, PAGE_SIZE, RW);
}

static void make_memory_of_vms(void)
{
	static const struct {
		uint64_t bytes, flags;
		gpa_t gpa;
	} kinds[MEMORIES] = {
		[EAGER] = { 2 * MIB + 3 * PAGE_SIZE, HILUM_MEMORY_MOVES, EAGER_GPA },
		[LAZY] = { MIB, HILUM_MEMORY_LAZY | HILUM_MEMORY_SHARE, LAZY_GPA },
		[LARGE] = { 4 * MIB, HILUM_MEMORY_LAZY, LARGE_GPA },
		[CHANNEL] = { 2 * PAGE_SIZE, 0, PAGES_GPA },
		[REGISTERS] = { 2 * PAGE_SIZE, HILUM_MEMORY_DEVICE, 0 },
	};

	for (unsigned i = 0; i < MEMORIES; i++) {
		memory[i] = MADE(HC_MEMORY_CREATE, HOST_HANDLE, kinds[i].bytes, kinds[i].flags, i == REGISTERS ? 0xFD000000 : 0);
		if (i != REGISTERS)
			STEP(HC_MEMORY_MAP, vm[GUEST], memory[i], kinds[i].gpa, 0, kinds[i].bytes, RW);
		STEP(HC_MEMORY_MAP, vm[SERVICE], memory[i], OTHER_GPA * (i + 1), 0, kinds[i].bytes, RW);
	}
}

static void make_devices(void)
{
	device = MADE(HC_DEVICE_CREATE, HOST_HANDLE, RID, event[SERVICE]);
	STEP(HC_DEVICE_ASSIGN, device, vm[SERVICE], 0);
	if (event[SERVICE]) /* without one, this unbinds */
		STEP(HC_DEVICE_BIND_IRQ, device, 1, event[SERVICE]);
	STEP(HC_IRQ_BIND, HOST_HANDLE, 9, event[SERVICE]);
	for (uint64_t port = 0; port < 200; port++) /* more than a page of them */
		STEP(HC_VM_BIND_TRAP, vm[GUEST], event[SERVICE], 0x1000 + port * 4, 0x1001 + port * 4);
}

/* A page for each of its levels of tables, pages that are shared and written, a block that moves and one that goes. */
static void work(void)
{
	const struct hilum_vcpu_state state = { .rip = 0x1234, .rflags = 2, .pat = 6 };

	memcpy(at(STATE_AT), &state, sizeof(state));
	STEP(HC_VCPU_SET_STATE, vcpu[GUEST], STATE_AT, HILUM_STATE_GPR);
	fault(LAZY_GPA + 3 * PAGE_SIZE + 0x123);
	fault(LAZY_GPA + 5 * PAGE_SIZE);
	fault(LARGE_GPA + 5);
	fault(LARGE_GPA + 2 * MIB);
	STEP(HC_MEMORY_SHARE, memory[LAZY], 3 * PAGE_SIZE, memory[LAZY], 5 * PAGE_SIZE, HILUM_MEMORY_QUIET);
	fault(LAZY_GPA + 5 * PAGE_SIZE);
	STEP(HC_MEMORY_MOVE, memory[EAGER], 0, HILUM_MOVE_LEAVE | HILUM_MEMORY_QUIET, HILUM_MOVE_ORDER_MAX);
	STEP(HC_MEMORY_DISCARD, vm[GUEST], LARGE_GPA, 2 * MIB);
	fault(LARGE_GPA + 7);
	fault(LAZY_GPA + 3 * PAGE_SIZE);
	STEP(HC_EVENT_SIGNAL, event[SERVICE]);
}

/* Nothing but the two that a control VM has is left; also what the script knows no number of. */
static void end_all(void)
{
	int64_t info;

	if (vm[GUEST]) {
		(void)CALL(HC_VM_UNBIND_TRAP, vm[GUEST], 0x1000);
		(void)CALL(HC_MEMORY_UNMAP, vm[GUEST], LAZY_GPA, MIB);
	}
	for (unsigned i = 0; i < VMS; i++)
		if (vm[i])
			CALL_OK(HC_VM_DESTROY, vm[i]);
	for (uint64_t index = 0; (info = CALL(HC_OBJECT_INFO, SELF_HANDLE, index)) > 0; index = (info & 0xFFFF) + 1) {
		hilum_handle_t handle = (hilum_handle_t)info;

		if (handle != SELF_HANDLE && handle != HOST_HANDLE)
			CALL_OK(HC_HANDLE_CLOSE, handle);
	}
	fake_run(1, 1); /* kicks that are under way hold references */
	fake_run(0, 1);
	CALL_OK(HC_HOST_SCHEDULE, HOST_HANDLE, 0); /* takes the lock: what has died since is freed */
}

/* ---- Accounts ------------------------------------------------------------------------------------------------------------------------ */

struct account {
	uint64_t pages, objects, guest_frames, free_frames, host_refs, vms, handles, domains, vectors;
};

static struct account take_account(void)
{
	struct account a = { .pages = fake_pages_used,
		             .objects = fake_objects_used,
		             .guest_frames = frame_count(FRAME_GUEST),
		             .free_frames = frame_count(FRAME_FREE) + frame_count(FRAME_POOL) + frame_count(FRAME_POOL_FREE),
		             .host_refs = host_object.refs };

	for (const struct vm *v = vm_list; v != NULL; v = v->next)
		a.vms++;
	for (unsigned i = 1; i < HANDLES_MAX; i++)
		a.handles += control->handles.entry[i].object != NULL;
	for (unsigned i = 0; i < 65536; i++)
		a.domains += fake_iommu.domain[i] != 0;
	for (unsigned i = 0; i < 256; i++)
		a.vectors += fake_iommu.vector_rid[i] != 0 && fake_iommu.vector_rid[i] != FAKE_IOAPIC_RID;
	return a;
}

/* The whole script, with the nth allocation failing, and with all after it if there is to be no memory again. True: one has failed. */
static bool run_script(int nth, bool goes_on)
{
	struct account before = take_account();

	script.refused = script.calls = script.stops = 0;
	script.goes_on = goes_on;
	memset(vm, 0, sizeof(vm));
	memset(vcpu, 0, sizeof(vcpu));
	memset(memory, 0, sizeof(memory));
	memset(event, 0, sizeof(event));
	failing_after = nth;
	failing_on = !goes_on;
	fake_guest = touch;
	make_vms();
	make_memory_of_vms();
	make_devices();
	work();
	bool hit = goes_on ? has_failed() : script.refused + script.stops != 0;
	end_all();
	failing_after = FAILING_NONE;
	fake_guest = NULL;
	struct account after = take_account();
	if (memcmp(&before, &after, sizeof(before)) != 0)
		fail_msg("failure %d%s: pages %ld, objects %ld, frames %ld, free frames %ld, references to the host %ld, VMs %ld, handles "
		         "%ld, "
		         "devices %ld, vectors %ld more than before",
		         nth, goes_on ? "" : " and all after it", (long)(after.pages - before.pages),
		         (long)(after.objects - before.objects), (long)(after.guest_frames - before.guest_frames),
		         (long)(after.free_frames - before.free_frames), (long)(after.host_refs - before.host_refs),
		         (long)(after.vms - before.vms), (long)(after.handles - before.handles), (long)(after.domains - before.domains),
		         (long)(after.vectors - before.vectors));
	return hit;
}

/* ---- Tests --------------------------------------------------------------------------------------------------------------------------- */

static int set_up(void **state)
{
	(void)state;
	fake_boot(2);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	fake_check_clean();
	return 0;
}

static void script__enough_memory__is_not_refused_anything(void **state)
{
	(void)state;
	assert_false(run_script(NEVER, true));
	assert_int_equal(script.refused + script.stops, 0);
}

/* Returns how many there are. A block of 2 MiB that is not to be had is no failure: the memory comes as single frames. */
static unsigned each_allocation__fails(bool goes_on)
{
	unsigned count = 0, refused = 0, stops = 0, unnoticed = 0, calls = 0;

	for (; run_script((int)count, goes_on); count++) {
		refused += script.refused != 0;
		stops += script.stops != 0;
		unnoticed += script.refused + script.stops == 0;
		calls = script.calls;
	}
	assert_false(run_script(NEVER, true)); /* after all of that, nothing is missing */
	assert_int_equal(script.refused + script.stops, 0);
	print_message("%u allocations in a script of %u calls fail%s: a call is refused in %u runs, a guest stops in %u, smaller blocks do "
	              "in %u\n",
	              count, calls, goes_on ? " once each" : ", each with all that follow", refused, stops, unnoticed);
	assert_true(count > 200 && stops > 5 && unnoticed < 10);
	return count;
}

static unsigned allocations;

static void each_allocation__fails_once__is_refused_and_works_again(void **state)
{
	(void)state;
	allocations = each_allocation__fails(true);
}

static void each_allocation__fails_with_all_that_follow__leaves_nothing(void **state)
{
	(void)state;
	assert_int_equal(each_allocation__fails(false), allocations);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(script__enough_memory__is_not_refused_anything, set_up, tear_down),
		cmocka_unit_test_setup_teardown(each_allocation__fails_once__is_refused_and_works_again, set_up, tear_down),
		cmocka_unit_test_setup_teardown(each_allocation__fails_with_all_that_follow__leaves_nothing, set_up, tear_down),
	};

	fake_iommu_start();
	return cmocka_run_group_tests_name("allocation failures", tests, NULL, NULL);
}
