/*
 * Shares of a core in virtual time, by the real main loop and guests that only take time.
 */
/* clang-format off */
/* UNIT_SOURCES: build/unit/kernel_fake.a */
/* UNIT_FLAGS: @tests/unit/fake_kernel/fake.flags @tests/unit/fake_kernel/fake.wrap */
/* clang-format on */
#include "tests/unit/fake_kernel/fake.h"

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

#define STEP      50000ull
#define SLICE     SCHED_SLICE_NS
#define COUNT_MAX 8u

static struct vcpu *guest[COUNT_MAX];
static uint64_t ran[COUNT_MAX];   /* ticks inside the guest */
static uint64_t burst[COUNT_MAX]; /* ticks until it halts; 0: never halts */
static uint64_t left[COUNT_MAX];
static unsigned count;

static unsigned index_of(const struct vcpu *v)
{
	unsigned i = 0;

	while (guest[i] != v)
		i++;
	return i;
}

/* Runs in steps of 50 us, as guests that exit now and then. */
static uint64_t step(struct vcpu *v)
{
	unsigned i = index_of(v);
	uint64_t ticks = STEP;

	if (burst[i] != 0) {
		if (left[i] <= ticks) {
			ticks = left[i];
			v->state = VCPU_HALTED;
		}
		left[i] -= ticks;
	}
	ran[i] += ticks;
	return ticks;
}

static int set_up(void **state)
{
	(void)state;
	fake_boot(1);
	fake_guest = step;
	count = 0;
	memset(ran, 0, sizeof(ran));
	memset(burst, 0, sizeof(burst));
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	fake_check_clean();
	return 0;
}

static struct vcpu *add(uint32_t weight, uint32_t flags)
{
	hilum_handle_t vm = make_vm(flags);
	hilum_handle_t h = CALL_HANDLE(HC_VCPU_CREATE, vm, 0, 0, weight);

	guest[count] = vm_of(vm)->vcpu[0];
	CALL_OK(HC_VCPU_RUN, h);
	return guest[count++];
}

static void wake(struct vcpu *v, uint64_t ticks)
{
	left[index_of(v)] = ticks;
	vcpu_request(v, VCPU_REQUEST_KICK);
}

/* Until `ticks` have passed, the core runs. */
static void run_for(uint64_t ticks)
{
	uint64_t end = fake_tsc + ticks;

	while (fake_tsc < end) {
		uint64_t before = fake_tsc;
		fake_run(0, (unsigned)((end - fake_tsc) / STEP + 1));
		if (fake_tsc == before)
			fake_advance(STEP); /* idle */
	}
}

static void assert_share(unsigned i, uint64_t ticks, double share)
{
	double got = (double)ran[i] / (double)ticks;

	if (got < share - 0.02 || got > share + 0.02)
		fail_msg("vCPU %u had %.3f of the core, not %.3f", i, got, share);
}

static void run_for__equal_weights__equal_shares(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 5; i++)
		add(256, 0);
	run_for(10 * TSC_HZ);
	for (unsigned i = 0; i < 5; i++)
		assert_share(i, 10 * TSC_HZ, 0.2);
}

static void run_for__unequal_weights__shares_by_weight(void **state)
{
	static const uint32_t weight[] = { 256, 512, 1024, 100, 33 };

	(void)state;
	for (unsigned i = 0; i < 5; i++)
		add(weight[i], 0);
	run_for(20 * TSC_HZ);
	for (unsigned i = 0; i < 5; i++)
		assert_share(i, 20 * TSC_HZ, weight[i] / 1925.0);
}

static void run_for__extreme_weights__nobody_starves(void **state)
{
	(void)state;
	add(1, 0);
	add(SCHED_WEIGHT_MAX, 0);
	run_for(20 * TSC_HZ);
	assert_true(ran[0] > 0);
	assert_share(1, 20 * TSC_HZ, 1.0);
}

static void run_for__sleeper_among_busy__gets_what_it_needs(void **state)
{
	(void)state;
	add(256, 0);
	add(256, 0);
	struct vcpu *sleeper = add(256, 0);
	burst[2] = 1;
	left[2] = 0;
	run_for(SLICE);
	memset(ran, 0, sizeof(ran));
	uint64_t start = fake_tsc;
	for (unsigned i = 0; i < 200; i++) { /* 1 ms of each 20 */
		wake(sleeper, TSC_HZ / 1000);
		run_for(TSC_HZ / 50);
	}
	uint64_t ticks = fake_tsc - start;
	assert_share(2, ticks, 0.05);
	assert_share(0, ticks, 0.475);
	assert_share(1, ticks, 0.475);
}

/* A sleeper may not save up time, nor may those who ran alone owe it. */
static void run_for__newcomer_after_one_ran_alone__both_share_at_once(void **state)
{
	(void)state;
	add(256, 0);
	run_for(10 * TSC_HZ);
	assert_int_equal(guest[0]->stats.switches, 1);
	add(256, 0);
	memset(ran, 0, sizeof(ran));
	run_for(TSC_HZ);
	assert_share(0, TSC_HZ, 0.5);
	assert_share(1, TSC_HZ, 0.5);
}

static void run_for__late_sleeper_returns__shares_at_once(void **state)
{
	(void)state;
	add(256, 0);
	add(256, 0);
	struct vcpu *sleeper = add(256, 0);
	burst[2] = 1;
	left[2] = 0;
	run_for(5 * TSC_HZ);
	burst[2] = 0;
	wake(sleeper, 0);
	memset(ran, 0, sizeof(ran));
	run_for(TSC_HZ);
	for (unsigned i = 0; i < 3; i++)
		assert_share(i, TSC_HZ, 1 / 3.0);
}

/* The longest that anybody waits is bounded by the others' slices. */
static void run_for__many_busy__waiting_is_bounded(void **state)
{
	uint64_t last[COUNT_MAX], longest = 0;

	(void)state;
	for (unsigned i = 0; i < COUNT_MAX; i++)
		add(256, 0);
	run_for(TSC_HZ);
	for (unsigned i = 0; i < COUNT_MAX; i++)
		last[i] = fake_tsc;
	for (unsigned n = 0; n < 20000; n++) {
		uint64_t before[COUNT_MAX];
		memcpy(before, ran, sizeof(before));
		fake_run(0, 1);
		for (unsigned i = 0; i < COUNT_MAX; i++) {
			if (ran[i] == before[i])
				continue;
			longest = fake_tsc - last[i] > longest ? fake_tsc - last[i] : longest;
			last[i] = fake_tsc;
		}
	}
	assert_true(longest <= 2 * COUNT_MAX * SLICE);
}

static void wake__real_time__runs_within_its_delay(void **state)
{
	(void)state;
	add(SCHED_WEIGHT_MAX, 0);
	struct vcpu *service = add(256, HILUM_VM_REALTIME);
	burst[1] = 1;
	left[1] = 0;
	run_for(TSC_HZ);
	for (unsigned i = 0; i < 10; i++) {
		unsigned entries = backend_of(service)->entries;
		uint64_t start = fake_tsc;
		fake_self->current = guest[0];
		wake(service, 1000);
		while (backend_of(service)->entries == entries)
			fake_run(0, 1);
		assert_true(fake_tsc - start <= SCHED_REALTIME_DELAY_NS + 1000);
		run_for(10 * STEP);
	}
}

static uint64_t rang_tsc, served_tsc, works; /* a guest rings for guest[1], works for so many ticks, and halts */

static uint64_t ring_and_work(struct vcpu *v)
{
	if (v == guest[1]) {
		served_tsc = fake_tsc;
		v->state = VCPU_HALTED;
		return 100;
	}
	if (rang_tsc == 0) {
		rang_tsc = fake_tsc;
		vcpu_request(guest[1], VCPU_REQUEST_KICK);
		return 0;
	}
	if (fake_tsc - rang_tsc >= works) {
		exit_handle(v, &(struct vexit){ .kind = HILUM_EXIT_HALT, .length = 1 });
		return 0;
	}
	return works - (fake_tsc - rang_tsc);
}

/* How long the service has to wait for a guest that halts after so many ticks. */
static uint64_t wait_of_service(uint64_t ticks)
{
	rang_tsc = served_tsc = 0;
	works = ticks;
	vcpu_request(guest[0], VCPU_REQUEST_KICK);
	fake_run(0, 20);
	assert_int_equal(guest[0]->state, VCPU_HALTED);
	assert_true(served_tsc >= rang_tsc);
	return served_tsc - rang_tsc;
}

/* One that would have halted anyway is not waited for any more; now and then it is tried again. */
static void wake__real_time_and_guest_that_halts_soon__waits_seldom(void **state)
{
	unsigned waits = 0;

	(void)state;
	add(256, 0);
	add(256, HILUM_VM_REALTIME);
	burst[0] = burst[1] = 1;
	run_for(2 * STEP);
	fake_guest = ring_and_work;
	for (unsigned i = 0; i < 200; i++)
		if (wait_of_service(5000) != 0)
			waits++;
	assert_int_equal(waits, 8); /* before 1, 3, 7, 15, 31, 63 and 63 promptly; the next is under way */
	guest[0]->prompt_left = 0;
	for (unsigned i = 0; i < 10; i++) /* it has more to do now: the delay is all that it gets */
		assert_int_equal(wait_of_service(10 * SCHED_REALTIME_DELAY_NS), SCHED_REALTIME_DELAY_NS);
	assert_int_equal(guest[0]->prompt_run, 0);
}

static void run_for__real_time_busy__others_get_nothing(void **state)
{
	(void)state;
	add(SCHED_WEIGHT_MAX, 0);
	add(1, HILUM_VM_REALTIME);
	add(1, HILUM_VM_REALTIME);
	run_for(TSC_HZ);
	assert_int_equal(ran[0], 0);
	assert_share(1, TSC_HZ, 0.5);
	assert_share(2, TSC_HZ, 0.5);
}

/* Else one service VM that hangs would keep another from finding out. */
static void sched_wake__real_time_while_another_is_busy__ends_its_slice(void **state)
{
	(void)state;
	add(256, HILUM_VM_REALTIME);
	struct vcpu *service = add(256, HILUM_VM_REALTIME);
	burst[1] = 1;
	left[1] = 0;
	run_for(TSC_HZ);
	fake_self->current = guest[0];
	sched_wake(fake_self, service, fake_tsc);
	assert_in_range(fake_deadline[0], fake_tsc + 1, fake_tsc + SLICE);
}

static void stats__two_busy__run_and_ready_time_add_up(void **state)
{
	(void)state;
	uint64_t start = fake_tsc;
	add(256, 0);
	add(256, 0);
	run_for(TSC_HZ);
	for (unsigned i = 0; i < 2; i++) {
		uint64_t seen = guest[i]->stats.run_tsc + guest[i]->stats.ready_tsc;
		assert_true(seen <= fake_tsc - start);
		assert_true(seen + 2 * SLICE >= fake_tsc - start);
	}
}

static void alone__busy__no_slice_ends(void **state)
{
	(void)state;
	add(256, 0);
	run_for(TSC_HZ);
	assert_int_equal(guest[0]->stats.switches, 1);
	assert_int_equal(fake_deadline[0], 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(run_for__equal_weights__equal_shares),
		TEST(run_for__unequal_weights__shares_by_weight),
		TEST(run_for__extreme_weights__nobody_starves),
		TEST(run_for__sleeper_among_busy__gets_what_it_needs),
		TEST(run_for__newcomer_after_one_ran_alone__both_share_at_once),
		TEST(run_for__late_sleeper_returns__shares_at_once),
		TEST(run_for__many_busy__waiting_is_bounded),
		TEST(wake__real_time__runs_within_its_delay),
		TEST(wake__real_time_and_guest_that_halts_soon__waits_seldom),
		TEST(run_for__real_time_busy__others_get_nothing),
		TEST(sched_wake__real_time_while_another_is_busy__ends_its_slice),
		TEST(stats__two_busy__run_and_ready_time_add_up),
		TEST(alone__busy__no_slice_ends),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
