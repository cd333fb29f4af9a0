/*
 * The life of VMs and vCPUs across cores: start, stop, destruction while messages are under way, timers of a parked vCPU.
 */
/* clang-format off */
/* UNIT_SOURCES: build/unit/kernel_fake.a */
/* UNIT_FLAGS: @tests/unit/fake_kernel/fake.flags @tests/unit/fake_kernel/fake.wrap */
/* clang-format on */
#include "tests/unit/fake_kernel/fake.h"

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

static hilum_handle_t vm, here, there;
static struct vcpu *local, *remote; /* on core 0, as the caller, and on core 1 */

static int set_up(void **state)
{
	(void)state;
	fake_boot(2);
	vm = make_vm(0);
	local = make_vcpu(vm, 0, 0, &here);
	remote = make_vcpu(vm, 1, 1, &there);
	remote->state = VCPU_READY; /* as after a start-up IPI */
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	fake_check_clean();
	return 0;
}

/* ---- The control VM's end ---- */

/* As the main loop does with one that was told to stop. */
static bool prepare_current(struct vcpu *v)
{
	fake_self->current = v;
	bool runs = vcpu_prepare(v);
	fake_self->current = NULL;
	return runs;
}

static void crash__of_the_control_vm__restarts_it_once(void **state)
{
	unsigned before = fake_control_restarts;

	(void)state;
	fake_self->current = caller;
	vm_crash(caller, HILUM_CRASH_TRIPLE_FAULT, 0);
	assert_int_equal(control->status.state, HILUM_VM_CRASHED);
	assert_false(prepare_current(caller));
	assert_int_equal(fake_control_restarts, before + 1);
	assert_int_equal(control->status.state, HILUM_VM_RUNNING);
	assert_true(prepare_current(caller)); /* it was told to run */
	assert_int_equal(fake_control_restarts, before + 1);
}

static void crash__of_another_vm__restarts_nothing(void **state)
{
	unsigned before = fake_control_restarts;

	(void)state;
	local->vm->status.state = HILUM_VM_RUNNING;
	local->stopped = 0;
	fake_self->current = local;
	vm_crash(local, HILUM_CRASH_TRIPLE_FAULT, 0);
	assert_false(prepare_current(local));
	assert_int_equal(fake_control_restarts, before);
}

/* ---- Requests ---- */

static void request__posting_vcpu__notified_without_a_kick(void **state)
{
	unsigned kicks = fake_kicks[1], posts = fake_posts[1];

	(void)state;
	remote->posting = 1;
	vcpu_request(remote, VCPU_REQUEST_INTERRUPT);
	vcpu_request(remote, VCPU_REQUEST_INTERRUPT);
	assert_int_equal(fake_kicks[1], kicks);
	assert_int_equal(fake_posts[1], posts + 2);
	assert_int_equal(remote->requests, VCPU_REQUEST_INTERRUPT); /* for the case that it has just left */
	vcpu_request(remote, VCPU_REQUEST_NMI);
	assert_int_equal(fake_kicks[1], kicks + 1);
	remote->apic.tmr[2] = 1; /* the CPU would not tell its end: an exit must come first */
	vcpu_request(remote, VCPU_REQUEST_INTERRUPT);
	assert_int_equal(fake_kicks[1], kicks + 2);
	remote->eoi_exits[2] = 1;
	vcpu_request(remote, VCPU_REQUEST_INTERRUPT);
	assert_int_equal(fake_kicks[1], kicks + 2);
	assert_int_equal(fake_posts[1], posts + 3);
	remote->posting = 0;
	vcpu_request(remote, VCPU_REQUEST_INTERRUPT);
	assert_int_equal(fake_kicks[1], kicks + 2); /* it has not looked since */
	fake_settle();
}

/* ---- Start and stop ---- */

static void run__each_core__is_entered(void **state)
{
	(void)state;
	CALL_OK(HC_VCPU_RUN, here);
	CALL_OK(HC_VCPU_RUN, there);
	assert_int_equal(fake_kicks[1], 1);
	fake_run(0, 3);
	fake_run(1, 2);
	assert_int_equal(backend_of(local)->entries, 3);
	assert_int_equal(backend_of(remote)->entries, 2);
	assert_int_equal(vm_of(vm)->status.state, HILUM_VM_RUNNING);
}

static void created__not_started__is_never_entered(void **state)
{
	(void)state;
	CALL_OK(HC_EVENT_SIGNAL, CALL_HANDLE(HC_EVENT_CREATE, vm, 0, 5, 0));
	CALL_OK(HC_EVENT_SIGNAL, CALL_HANDLE(HC_EVENT_CREATE, vm, 1, 5, 0));
	fake_settle();
	assert_int_equal(backend_of(local)->entries + backend_of(remote)->entries, 0);
}

static void pause__running__stops_and_unloads(void **state)
{
	(void)state;
	CALL_OK(HC_VCPU_RUN, here);
	CALL_OK(HC_VCPU_RUN, there);
	fake_run(0, 1);
	fake_run(1, 1);
	CALL_OK(HC_VCPU_PAUSE, here);
	CALL_OK(HC_VCPU_PAUSE, there);
	unsigned entries = backend_of(remote)->entries;
	fake_settle();
	assert_int_equal(backend_of(local)->entries, 1);
	assert_int_equal(backend_of(remote)->entries, entries);
	assert_int_equal(backend_of(local)->loads, backend_of(local)->unloads);
	assert_int_equal(backend_of(remote)->loads, backend_of(remote)->unloads);
	assert_true(vcpu_is_stopped(local) && vcpu_is_stopped(remote));
}

static void pause__run_not_yet_seen__does_not_run_afterwards(void **state)
{
	(void)state;
	CALL_OK(HC_VCPU_RUN, here);
	CALL_OK(HC_VCPU_PAUSE, here);
	CALL_OK(HC_VCPU_RUN, there);
	CALL_OK(HC_VCPU_PAUSE, there);
	unsigned entries = backend_of(remote)->entries;
	fake_settle();
	assert_int_equal(backend_of(local)->entries, 0);
	assert_int_equal(backend_of(remote)->entries, entries);
}

static void pause__and_run_again__goes_on(void **state)
{
	(void)state;
	for (unsigned i = 1; i < 4; i++) {
		CALL_OK(HC_VCPU_RUN, there);
		fake_run(1, 1);
		assert_int_equal(backend_of(remote)->entries, i);
		fake_others_are_late = false;
		CALL_OK(HC_VCPU_PAUSE, there);
		backend_of(remote)->entries = i;
	}
}

/* Core 0 waits in root mode: it must not depend on when core 1 gets round to that vCPU. */
static void pause__behind_a_busy_real_time_vcpu__stops(void **state)
{
	hilum_handle_t busy;

	(void)state;
	make_vcpu(make_vm(HILUM_VM_REALTIME), 0, 1, &busy);
	CALL_OK(HC_VCPU_RUN, there);
	fake_run(1, 1);
	CALL_OK(HC_VCPU_RUN, busy);
	fake_run(1, 1000);
	CALL_OK(HC_VCPU_PAUSE, there);
	assert_true(vcpu_is_stopped(remote));
	assert_int_equal(backend_of(remote)->loads, backend_of(remote)->unloads);
}

/* A VM without an FPU leaves the registers where they are; the vCPU they belong to is readable once it is stopped. */
static void pause__fpu_kept_under_a_service_vcpu__is_saved(void **state)
{
	hilum_handle_t service;

	(void)state;
	make_vcpu(make_vm(HILUM_VM_REALTIME | HILUM_VM_NO_FPU), 0, 1, &service);
	CALL_OK(HC_VCPU_RUN, there);
	fake_run(1, 1);
	CALL_OK(HC_VCPU_RUN, service);
	fake_run(1, 1);
	assert_ptr_equal(remote->cpu->fpu, remote);
	assert_ptr_not_equal(remote->cpu->loaded, remote);
	assert_int_equal(backend_of(remote)->fpu_saves, 0);
	CALL_OK(HC_VCPU_PAUSE, there);
	assert_null(remote->cpu->fpu);
	assert_int_equal(backend_of(remote)->fpu_saves, 1);
}

static void state__run_not_yet_seen__is_busy(void **state)
{
	(void)state;
	CALL_OK(HC_VCPU_RUN, there);
	assert_int_equal(CALL(HC_VCPU_GET_STATE, there, 0, 0), HILUM_E_BUSY);
	assert_int_equal(CALL(HC_VCPU_SET_STATE, there, 0, 0), HILUM_E_BUSY);
}

static void pause__own_vm__is_busy(void **state)
{
	hilum_handle_t h;

	(void)state;
	make_vcpu(SELF_HANDLE, 1, 1, &h);
	assert_int_equal(CALL(HC_VCPU_PAUSE, h), HILUM_E_BUSY);
}

/* ---- Destruction ---- */

static void vm_destroy__run_not_yet_seen__never_runs(void **state)
{
	(void)state;
	CALL_OK(HC_VCPU_RUN, there);
	CALL_OK(HC_VM_DESTROY, vm); /* the freed vCPU is poisoned */
	fake_settle();
}

static void vm_destroy__kick_under_way__vcpu_lives_until_it_is_taken(void **state)
{
	hilum_handle_t event = CALL_HANDLE(HC_EVENT_CREATE, vm, 1, 5, 0);

	(void)state;
	CALL_OK(HC_EVENT_SIGNAL, event);
	CALL_OK(HC_HANDLE_CLOSE, event);
	fake_others_are_late = true; /* they pass a quiescent point before they take it */
	CALL_OK(HC_VM_DESTROY, vm);
	CALL_OK(HC_HANDLE_CLOSE, here);
	CALL_OK(HC_HANDLE_CLOSE, there);
	fake_others_are_late = false;
	fake_run(1, 1);
}

static void vm_destroy__kick_of_own_core_under_way__vcpu_lives_until_it_is_taken(void **state)
{
	(void)state;
	fake_become(1);
	vcpu_request(local, VCPU_REQUEST_EVENT);
	fake_become(0);
	CALL_OK(HC_VM_DESTROY, vm);
	CALL_OK(HC_HANDLE_CLOSE, here);
	CALL_OK(HC_HANDLE_CLOSE, there);
	fake_run(0, 1);
}

static uint64_t run_tsc_of(hilum_handle_t vcpu)
{
	struct hilum_vcpu_stats stats;

	CALL_OK(HC_VCPU_STATS, vcpu, 0x8000);
	assert_int_equal(vm_copy_in(control, 0x8000, &stats, sizeof(stats)), STATUS_OK);
	return stats.run_tsc;
}

static void vcpu_stats__it_runs_and_is_never_switched_from__its_time_counts(void **state)
{
	(void)state;
	CALL_OK(HC_VCPU_RUN, there);
	fake_run(1, 1);
	uint64_t before = run_tsc_of(there);
	fake_advance(5000);
	assert_int_equal(run_tsc_of(there), before + 5000);
	assert_int_equal(run_tsc_of(here), 0);
}

static void vm_destroy__handles_left__say_bad_handle(void **state)
{
	(void)state;
	hilum_handle_t event = CALL_HANDLE(HC_EVENT_CREATE, vm, 1, 5, 0x40);

	CALL_OK(HC_VM_DESTROY, vm);
	assert_int_equal(CALL(HC_VM_STATUS, vm, 0), HILUM_E_BAD_HANDLE);
	assert_int_equal(CALL(HC_VCPU_RUN, here), HILUM_E_BAD_HANDLE);
	assert_int_equal(CALL(HC_VCPU_STATS, there, 0), HILUM_E_BAD_HANDLE);
	CALL_OK(HC_EVENT_SIGNAL, event); /* its target is gone: nothing happens */
}

static void vm_destroy__two_that_hold_each_other__nothing_left(void **state)
{
	hilum_handle_t other = make_vm(0);

	(void)state;
	assert_true(CALL(HC_HANDLE_GRANT, vm, other, HILUM_RIGHT_ALL) > 0);
	assert_true(CALL(HC_HANDLE_GRANT, other, vm, HILUM_RIGHT_ALL) > 0);
	assert_true(CALL(HC_HANDLE_GRANT, vm, vm, HILUM_RIGHT_ALL) > 0);
	CALL_OK(HC_VM_SET_HANDLER, vm, other, 1);
	CALL_OK(HC_VM_SET_HANDLER, other, vm, 1);
	CALL_OK(HC_VM_DESTROY, vm);
	CALL_OK(HC_VM_DESTROY, other);
}

static void memory__handle_closed_while_mapped__stays_until_unmapped(void **state)
{
	hilum_handle_t memory = make_memory(2 * MIB);
	struct hilum_host_info info;

	(void)state;
	CALL_OK(HC_MEMORY_MAP, vm, memory, 0, 0, 2 * MIB, HILUM_MAP_READ);
	host_get_info(&info);
	uint64_t free_bytes = info.free_bytes;
	CALL_OK(HC_HANDLE_CLOSE, memory);
	host_get_info(&info);
	assert_int_equal(info.free_bytes, free_bytes);
	CALL_OK(HC_MEMORY_UNMAP, vm, 0, 2 * MIB);
	host_get_info(&info);
	assert_int_equal(info.free_bytes, free_bytes + 2 * MIB);
}

/* ---- Timers ---- */

static void timer_request(struct vcpu *v, uint64_t ticks)
{
	vlapic_mmio_write(&v->apic, 0xF0, 0x1FF);
	vlapic_mmio_write(&v->apic, 0x320, 0x31); /* one-shot, vector 31h */
	vlapic_mmio_write(&v->apic, 0x3E0, 0xB);  /* divide by 1 */
	vlapic_mmio_write(&v->apic, 0x380, (uint32_t)ticks);
}

static void apic_timer__parked_meanwhile__fires_after_run(void **state)
{
	(void)state;
	CALL_OK(HC_VCPU_RUN, here);
	fake_run(0, 1);
	timer_request(local, 50000000);
	uint64_t deadline = local->apic.deadline_tsc;
	assert_true(deadline > fake_tsc);
	CALL_OK(HC_VCPU_PAUSE, here);
	assert_null(fake_self->timers.first);
	fake_advance(2 * (deadline - fake_tsc));
	assert_int_equal(local->requests, 0);
	CALL_OK(HC_VCPU_RUN, here);
	fake_run(0, 2);
	fake_run(0, 2);
	assert_true(vlapic_pending(&local->apic) == 0x31);
}

static void apic_timer__vm_destroyed__core_forgets_it(void **state)
{
	(void)state;
	CALL_OK(HC_VCPU_RUN, here);
	fake_run(0, 1);
	timer_request(local, 50000000);
	CALL_OK(HC_VM_DESTROY, vm);
	CALL_OK(HC_HANDLE_CLOSE, here);
	fake_advance(1000 * TSC_HZ);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(crash__of_the_control_vm__restarts_it_once),
		TEST(crash__of_another_vm__restarts_nothing),
		TEST(request__posting_vcpu__notified_without_a_kick),
		TEST(run__each_core__is_entered),
		TEST(created__not_started__is_never_entered),
		TEST(pause__running__stops_and_unloads),
		TEST(pause__fpu_kept_under_a_service_vcpu__is_saved),
		TEST(pause__run_not_yet_seen__does_not_run_afterwards),
		TEST(pause__and_run_again__goes_on),
		TEST(pause__behind_a_busy_real_time_vcpu__stops),
		TEST(state__run_not_yet_seen__is_busy),
		TEST(pause__own_vm__is_busy),
		TEST(vm_destroy__run_not_yet_seen__never_runs),
		TEST(vm_destroy__kick_under_way__vcpu_lives_until_it_is_taken),
		TEST(vm_destroy__kick_of_own_core_under_way__vcpu_lives_until_it_is_taken),
		TEST(vcpu_stats__it_runs_and_is_never_switched_from__its_time_counts),
		TEST(vm_destroy__handles_left__say_bad_handle),
		TEST(vm_destroy__two_that_hold_each_other__nothing_left),
		TEST(memory__handle_closed_while_mapped__stays_until_unmapped),
		TEST(apic_timer__parked_meanwhile__fires_after_run),
		TEST(apic_timer__vm_destroyed__core_forgets_it),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
