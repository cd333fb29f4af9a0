/*
 * Shares of a core, seen from inside. mode=work, mode=harm, mode=quiet or mode=lock on the command line. Windows have window=TICKS TSC ticks.
 * All guests of a machine that were never paused read the same TSC: window K is from K * TICKS to (K + 1) * TICKS in each.
 */
#include "tests/guest/sched/local.h"
#include "tests/guest/lib/test.h"

void guest_main(void)
{
	static const struct test_case work[] = { { "work", work_in_windows } };
	static const struct test_case harm[] = { { "harm", harm_in_windows } };
	static const struct test_case quiet[] = { { "quiet", count_steps } };
	static const struct test_case lock[] = { { "lock", contend_for_lock } };

	if (test_option_is("mode", "harm"))
		TEST_RUN(harm);
	else if (test_option_is("mode", "quiet"))
		TEST_RUN(quiet);
	else if (test_option_is("mode", "lock"))
		TEST_RUN(lock);
	else
		TEST_RUN(work);
}
