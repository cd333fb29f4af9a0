/*
 * Lock ranks: what must be refused ends in panic, which here jumps back to the test.
 * UNIT_SOURCES:
 * UNIT_FLAGS: -Itests/unit -iquote tests/unit/fake_boot
 */
#include "cmocka_all.h"

#include "arch/x86_64/spinlock.h"

#undef assert

struct cpu_arch fake_cpu;
uint64_t fake_cr3;
static jmp_buf after_panic;

void panic(const char *fmt, ...)
{
	(void)fmt;
	longjmp(after_panic, 1);
}

#define EXPECT_PANIC(statement) \
	do { \
		if (!setjmp(after_panic)) { \
			statement; \
			fail_msg("%s: no panic", #statement); \
		} \
	} while (0)

static struct spinlock low, middle, high;

static int reset(void **state)
{
	(void)state;
	fake_cpu.lock_rank = 0;
	low = SPINLOCK_INIT(LOCK_RANK_POOL);
	middle = SPINLOCK_INIT(LOCK_RANK_IRQ);
	high = SPINLOCK_INIT(LOCK_RANK_LOG);
	return 0;
}

static void spin_lock__rising_ranks__taken_and_restored(void **state)
{
	(void)state;
	spin_lock(&low);
	spin_lock(&high);
	assert_int_equal(fake_cpu.lock_rank, LOCK_RANK_LOG);
	spin_unlock(&high);
	spin_lock(&middle);
	spin_unlock(&middle);
	assert_int_equal(fake_cpu.lock_rank, LOCK_RANK_POOL);
	spin_unlock(&low);
	assert_int_equal(fake_cpu.lock_rank, 0);
	assert_int_equal(low.next, low.serving);
}

static void spin_lock__falling_or_equal_rank__panics(void **state)
{
	struct spinlock twin;

	(void)state;
	twin = SPINLOCK_INIT(LOCK_RANK_IRQ);
	spin_lock(&middle);
	EXPECT_PANIC(spin_lock(&low));
	EXPECT_PANIC(spin_lock(&twin));
	EXPECT_PANIC(spin_lock(&middle));
	assert_int_equal(low.next, 0);
}

static void spin_unlock__not_the_last_taken__panics(void **state)
{
	(void)state;
	spin_lock(&low);
	spin_lock(&high);
	EXPECT_PANIC(spin_unlock(&low));
	spin_unlock(&high);
	spin_unlock(&low);
	EXPECT_PANIC(spin_unlock(&low));
}

static void spin_lock__ticket_counter_wraps__still_free(void **state)
{
	(void)state;
	low.next = 0xFFFF;
	low.serving = 0xFFFF;
	for (int i = 0; i < 3; i++) {
		spin_lock(&low);
		spin_unlock(&low);
	}
	assert_int_equal(low.next, 2);
	assert_int_equal(low.serving, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(spin_lock__rising_ranks__taken_and_restored, reset),
		cmocka_unit_test_setup(spin_lock__falling_or_equal_rank__panics, reset),
		cmocka_unit_test_setup(spin_unlock__not_the_last_taken__panics, reset),
		cmocka_unit_test_setup(spin_lock__ticket_counter_wraps__still_free, reset),
	};

	return cmocka_run_group_tests_name("spinlock", tests, NULL, NULL);
}
