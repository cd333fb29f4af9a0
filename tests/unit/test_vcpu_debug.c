/*
 * vCPUs that stop for a debugger: what they stop for has not happened, the VM's status and event tell of it, and what they do not
 * stop for takes its way to the guest.
 */
/* clang-format off */
/* UNIT_SOURCES: build/unit/kernel_fake.a */
/* UNIT_FLAGS: @tests/unit/fake_kernel/fake.flags @tests/unit/fake_kernel/fake.wrap */
/* clang-format on */
#include "tests/unit/fake_kernel/fake.h"

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

#define TF        (1ull << 8)
#define EVENT_BIT 7u
#define UD        (EVENT_VALID | EVENT_TYPE_EXCEPTION | 6)

static hilum_handle_t vm, handle, other_handle;
static struct vcpu *v, *other; /* on cores 0, the caller's, and 1 */
static unsigned entered;

static int set_up(void **state)
{
	(void)state;
	fake_boot(2);
	vm = make_vm(0);
	v = make_vcpu(vm, 0, 0, &handle);
	other = make_vcpu(vm, 1, 1, &other_handle);
	other->state = VCPU_READY; /* as after a start-up IPI */
	struct event *event = event_of(CALL_HANDLE(HC_EVENT_CREATE, SELF_HANDLE, 0, EVENT_BIT, 0));
	vm_of(vm)->status_event = event;
	object_ref(&event->object);
	entered = 0;
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	fake_guest = NULL;
	fake_check_clean();
	return 0;
}

static bool take_event(void)
{
	uint64_t *pending = &control->shared->pending[0][0];
	bool was = *pending >> EVENT_BIT & 1;

	*pending &= ~(1ull << EVENT_BIT);
	return was;
}

static uint64_t stops(void)
{
	struct hilum_vm_status status;

	CALL_OK(HC_VM_STATUS, vm, 0x1000);
	memcpy(&status, control_memory() + 0x1000, sizeof(status));
	return status.debug_stops;
}

static uint64_t guest_of_invalid_opcodes(struct vcpu *w)
{
	entered++;
	VCPU_RAISE_UD(w);
	return 1000;
}

static uint64_t guest_that_steps(struct vcpu *w)
{
	entered++;
	vcpu_skip(w, 2); /* an instruction that was completed in root mode */
	return 1000;
}

static void debug__bits_that_do_not_exist__refused(void **state)
{
	(void)state;
	for (unsigned bit = 0; bit < 64; bit++) {
		bool known = bit == 1 || bit == 3 || bit == 6 || bit == 32 || bit == 33;
		assert_int_equal(CALL(HC_VCPU_DEBUG, handle, 1ull << bit), known ? 0 : HILUM_E_INVALID);
	}
	assert_int_equal(v->debug, HILUM_DEBUG_DR);
}

static void debug__vcpu_runs__busy(void **state)
{
	(void)state;
	CALL_OK(HC_VCPU_RUN, handle);
	fake_run(0, 1);
	assert_int_equal(CALL(HC_VCPU_DEBUG, handle, 0), HILUM_E_BUSY);
	CALL_OK(HC_VCPU_PAUSE, handle);
	CALL_OK(HC_VCPU_DEBUG, handle, HILUM_DEBUG_TRAP);
}

static void debug__without_the_right__denied(void **state)
{
	(void)state;
	hilum_handle_t weak = CALL_HANDLE(HC_HANDLE_GRANT, SELF_HANDLE, handle, HILUM_RIGHT_ALL & ~HILUM_RIGHT_CONTROL);
	assert_int_equal(CALL(HC_VCPU_DEBUG, weak, 0), HILUM_E_DENIED);
	assert_int_equal(CALL(HC_VCPU_DEBUG, vm, 0), HILUM_E_BAD_HANDLE);
}

static void stop__exception_waited_for__not_raised_and_told(void **state)
{
	(void)state;
	fake_guest = guest_of_invalid_opcodes;
	CALL_OK(HC_VCPU_DEBUG, other_handle, HILUM_DEBUG_OPCODE);
	CALL_OK(HC_VCPU_RUN, other_handle);
	fake_run(1, 5);
	assert_int_equal(entered, 1);
	assert_true(vcpu_is_stopped(other));
	assert_int_equal(other->pending_event, 0);
	assert_true(take_event());
	assert_int_equal(stops(), 2);
	assert_int_equal(vm_of(vm)->status.state, HILUM_VM_RUNNING);
	assert_int_equal(CALL(HC_VCPU_DEBUG, other_handle, HILUM_DEBUG_OPCODE), HILUM_DEBUG_OPCODE);
	assert_int_equal(stops(), 0);
	assert_int_equal(CALL(HC_VCPU_DEBUG, other_handle, HILUM_DEBUG_OPCODE), 0);
}

static void stop__exception_not_waited_for__raised(void **state)
{
	(void)state;
	fake_guest = guest_of_invalid_opcodes;
	CALL_OK(HC_VCPU_DEBUG, other_handle, HILUM_DEBUG_TRAP | HILUM_DEBUG_BREAK | HILUM_DEBUG_CR3);
	CALL_OK(HC_VCPU_RUN, other_handle);
	fake_run(1, 3);
	assert_int_equal(entered, 3);
	assert_int_equal(backend_of(other)->event, UD);
	assert_false(take_event());
	assert_int_equal(stops(), 0);
}

static void stop__then_run_again__goes_on(void **state)
{
	(void)state;
	fake_guest = guest_of_invalid_opcodes;
	CALL_OK(HC_VCPU_DEBUG, other_handle, HILUM_DEBUG_OPCODE);
	CALL_OK(HC_VCPU_RUN, other_handle);
	fake_run(1, 5);
	assert_int_equal(CALL(HC_VCPU_DEBUG, other_handle, 0), HILUM_DEBUG_OPCODE);
	fake_guest = NULL;
	CALL_OK(HC_VCPU_RUN, other_handle);
	fake_run(1, 4);
	assert_int_equal(backend_of(other)->entries, 5);
	assert_int_equal(backend_of(other)->event, 0);
}

static void stop__step_over_an_emulated_instruction__behind_it(void **state)
{
	(void)state;
	fake_guest = guest_that_steps;
	CALL_OK(HC_VCPU_DEBUG, other_handle, HILUM_DEBUG_TRAP);
	other->rip = 0x1000;
	other->rflags |= TF;
	CALL_OK(HC_VCPU_RUN, other_handle);
	fake_run(1, 5);
	assert_int_equal(entered, 1);
	assert_int_equal(other->rip, 0x1002);
	assert_int_equal(backend_of(other)->single_steps, 1); /* DR6 tells */
	assert_int_equal(CALL(HC_VCPU_DEBUG, other_handle, 0), HILUM_DEBUG_TRAP);
}

/* The step that lets an NMI in ends by clearing TF: the debugger's would be lost. */
static void stop__step_that_was_for_an_nmi_as_well__stops(void **state)
{
	(void)state;
	fake_guest = guest_that_steps;
	CALL_OK(HC_VCPU_DEBUG, other_handle, HILUM_DEBUG_TRAP);
	vcpu_step_for_nmi(other);
	CALL_OK(HC_VCPU_RUN, other_handle);
	fake_run(1, 5);
	assert_int_equal(entered, 1);
	assert_false(other->nmi_stepping);
	assert_int_equal(CALL(HC_VCPU_DEBUG, other_handle, 0), HILUM_DEBUG_TRAP);
}

/* The answer of its handler completes an instruction after the requests were taken: the guest is not entered once more. */
static void stop__in_the_look_at_the_requests__not_entered(void **state)
{
	(void)state;
	CALL_OK(HC_VCPU_DEBUG, other_handle, HILUM_DEBUG_TRAP);
	CALL_OK(HC_VCPU_RUN, other_handle);
	fake_run(1, 1);
	other->rflags |= TF;
	other->state = VCPU_TRAPPED;
	other->trapped = (struct forward){ .kind = HILUM_TRAP_PORT, .size = 1, .write = true, .next_rip = other->rip + 1 };
	vcpu_request(other, VCPU_REQUEST_REPLY);
	fake_run(1, 3);
	assert_int_equal(backend_of(other)->entries, 1);
	assert_true(vcpu_is_stopped(other));
	assert_int_equal(stops(), 2);
}

static void stop__no_status_event__told_by_the_status(void **state)
{
	(void)state;
	object_unref(&vm_of(vm)->status_event->object);
	vm_of(vm)->status_event = NULL;
	fake_guest = guest_of_invalid_opcodes;
	CALL_OK(HC_VCPU_DEBUG, other_handle, HILUM_DEBUG_OPCODE);
	CALL_OK(HC_VCPU_RUN, other_handle);
	fake_run(1, 5);
	assert_int_equal(stops(), 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(debug__bits_that_do_not_exist__refused),
		TEST(debug__vcpu_runs__busy),
		TEST(debug__without_the_right__denied),
		TEST(stop__exception_waited_for__not_raised_and_told),
		TEST(stop__exception_not_waited_for__raised),
		TEST(stop__then_run_again__goes_on),
		TEST(stop__step_over_an_emulated_instruction__behind_it),
		TEST(stop__step_that_was_for_an_nmi_as_well__stops),
		TEST(stop__in_the_look_at_the_requests__not_entered),
		TEST(stop__no_status_event__told_by_the_status),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
