/*
 * The hypercalls on the real kernel core: every call with every wrong argument, and every allocation failing once.
 */
/* clang-format off */
/* UNIT_SOURCES: build/unit/kernel_fake.a */
/* UNIT_FLAGS: @tests/unit/fake_kernel/fake.flags @tests/unit/fake_kernel/fake.wrap */
/* clang-format on */
#include "tests/unit/fake_kernel/fake.h"

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

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

static void nop__called__zero(void **state)
{
	(void)state;
	CALL_OK(HC_NOP);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(nop__called__zero),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
