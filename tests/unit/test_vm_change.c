/*
 * What root mode does when a core goes from one VM to another, on the real kernel core: barriers before a guest that follows another VM, and
 * those of the predictors before another guest only.
 */
/* clang-format off */
/* UNIT_SOURCES: build/unit/kernel_fake.a */
/* UNIT_FLAGS: @tests/unit/fake_kernel/fake.flags @tests/unit/fake_kernel/fake.wrap */
/* clang-format on */
#include "tests/unit/fake_kernel/fake.h"

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

static hilum_handle_t vcpu[3];

/* Two guests and a service VM, all on core 0. */
static int set_up(void **state)
{
	(void)state;
	fake_boot(1);
	for (unsigned i = 0; i < 3; i++)
		make_vcpu(make_vm(i == 2 ? HILUM_VM_REALTIME : 0), 0, 0, &vcpu[i]);
	host_health.defences = HILUM_DEFENCE_IBPB;
	fake_self->last_vm = fake_self->last_guest = 0;
	fake_vm_changes = fake_predictor_barriers = 0;
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	host_health.defences = 0;
	fake_check_clean();
	return 0;
}

/* That vCPU alone gets a turn. */
static void turn(unsigned which)
{
	CALL_OK(HC_VCPU_RUN, vcpu[which]);
	fake_run(0, 3);
	CALL_OK(HC_VCPU_PAUSE, vcpu[which]);
}

static void switch__same_guest_again__nothing(void **state)
{
	(void)state;
	turn(0);
	assert_int_equal(fake_vm_changes, 1);
	turn(0);
	assert_int_equal(fake_vm_changes, 1);
}

static void switch__other_guest__all_barriers(void **state)
{
	(void)state;
	turn(0);
	turn(1);
	turn(0);
	assert_int_equal(fake_vm_changes, 3);
	assert_int_equal(fake_predictor_barriers, 3);
}

static void switch__guest_service_vm_and_back__buffers_only(void **state)
{
	(void)state;
	turn(0);
	turn(2);
	turn(0);
	assert_int_equal(fake_vm_changes, 2);
	assert_int_equal(fake_predictor_barriers, 1);
	turn(2);
	turn(1);
	assert_int_equal(fake_predictor_barriers, 2);
}

static void switch__cpu_without_defences__nothing(void **state)
{
	(void)state;
	host_health.defences = 0;
	turn(0);
	turn(1);
	assert_int_equal(fake_vm_changes, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(switch__same_guest_again__nothing),
		TEST(switch__other_guest__all_barriers),
		TEST(switch__guest_service_vm_and_back__buffers_only),
		TEST(switch__cpu_without_defences__nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
