/*
 * What the scheduler promises for a whole machine, over random workloads in virtual time: shares by weight, caps over every second,
 * no starvation, no core idle beside one that waits, and the cost of a decision.
 */
/* clang-format off */
/* UNIT_SOURCES: tests/unit/fake_sched/sim.c kernel/sched.c kernel/sched_limit.c kernel/sched_place.c kernel/sched_smt.c kernel/queue.c */
/* UNIT_FLAGS: -iquote tests/unit/fake_kernel -iquote tests/unit/fake_mm -fsanitize-coverage=trace-pc */
/* clang-format on */
#include "tests/unit/fake_sched/sim.h"

#define TEST(name) cmocka_unit_test_teardown(name, tear_down)
#define ANY        HILUM_CORE_ANY

static int tear_down(void **state)
{
	(void)state;
	sim_end();
	return 0;
}

static double share(unsigned i, uint64_t ticks)
{
	return (double)sim_vcpus[i]->ran / (double)ticks;
}

static void assert_share(unsigned i, uint64_t ticks, double wanted)
{
	double got = share(i, ticks);

	if (got < wanted * 0.98 || got > wanted * 1.02)
		fail_msg("vCPU %u of weight %u had %.4f of a core, not %.4f", i, sim_vcpus[i]->v.weight, got, wanted);
}

/* ---- Shares ---- */

static void one_core__random_weights__shares_within_2_percent(void **state)
{
	(void)state;
	sim_start(1);
	for (unsigned round = 0; round < 5; round++) {
		uint64_t sum = 0;
		if (round > 0) {
			sim_end();
			sim_start(1);
		}
		for (unsigned i = 0; i < 12; i++)
			sum += sim_add(64 + (uint32_t)sim_random(1000), 0, 0, NULL)->v.schedule.weight;
		sim_run(SECOND);
		sim_measure();
		sim_run(30 * SECOND);
		for (unsigned i = 0; i < 12; i++)
			assert_share(i, 30 * SECOND, (double)sim_vcpus[i]->v.weight / (double)sum);
	}
}

static void three_alike_on_two_cores__all_busy__two_thirds_each(void **state)
{
	(void)state;
	sim_start(2);
	for (unsigned i = 0; i < 3; i++)
		sim_add(256, ANY, 0, NULL);
	sim_run(SECOND);
	sim_measure();
	sim_run(10 * SECOND);
	for (unsigned i = 0; i < 3; i++)
		assert_share(i, 10 * SECOND, 2 / 3.0);
}

static void many_cores__random_weights__shares_of_the_machine_within_2_percent(void **state)
{
	uint64_t sum = 0;

	(void)state;
	sim_start(8);
	for (unsigned i = 0; i < 50; i++)
		sum += sim_add(200 + (uint32_t)sim_random(800), ANY, 0, NULL)->v.schedule.weight;
	sim_run(3 * SECOND);
	sim_measure();
	sim_run(30 * SECOND);
	for (unsigned i = 0; i < 50; i++)
		assert_share(i, 30 * SECOND, 8.0 * sim_vcpus[i]->v.weight / (double)sum);
}

/* ---- Caps ---- */

#define LOG_MAX 65536u
static struct {
	uint64_t from, to;
} stretches[LOG_MAX];
static unsigned stretch_count;

static void log_stretch(struct sim_vcpu *s, uint64_t from, uint64_t to)
{
	(void)s;
	if (stretch_count != 0 && stretches[stretch_count - 1].to == from) {
		stretches[stretch_count - 1].to = to;
		return;
	}
	assert_true(stretch_count < LOG_MAX);
	stretches[stretch_count].from = from;
	stretches[stretch_count++].to = to;
}

/* The most that ran in any second: one that begins with a stretch sees the most. */
static uint64_t most_in_a_second(void)
{
	uint64_t most = 0;

	for (unsigned i = 0; i < stretch_count; i++) {
		uint64_t end = stretches[i].from + SECOND, sum = 0;
		for (unsigned k = i; k < stretch_count && stretches[k].from < end; k++)
			sum += (stretches[k].to < end ? stretches[k].to : end) - stretches[k].from;
		most = sum > most ? sum : most;
	}
	for (unsigned i = 0; i < stretch_count; i++) { /* or that ends with one */
		uint64_t begin = stretches[i].to - SECOND, sum = 0;
		for (unsigned k = i + 1; k-- > 0 && stretches[k].to > begin;)
			sum += stretches[k].to - (stretches[k].from > begin ? stretches[k].from : begin);
		most = sum > most ? sum : most;
	}
	return most;
}

static void cap_holds(uint32_t cap, uint64_t burst, uint64_t sleep)
{
	stretch_count = 0;
	sim_start(2);
	struct sim_vcpu *s = sim_add(4096, ANY, 0, NULL);
	s->log = log_stretch;
	s->burst = burst;
	s->sleep = sleep;
	assert_int_equal(sim_set(s, &(struct hilum_schedule){ .weight = 4096, .cap = cap }), STATUS_OK);
	for (unsigned i = 0; i < 5; i++) {
		struct sim_vcpu *other = sim_add(1 + (uint32_t)sim_random(500), ANY, 0, NULL);
		other->burst = sim_random(2) * (1 + sim_random(10 * MS));
		other->sleep = sim_random(20 * MS) + 1;
	}
	for (unsigned i = 0; i < 10; i++) {
		sim_run(sim_random(SECOND));
		assert_int_equal(sim_set(s, &(struct hilum_schedule){ .weight = 4096, .cap = cap }), STATUS_OK);
	}
	sim_measure();
	sim_run(5 * SECOND);
	uint64_t most = most_in_a_second();
	if (most > cap * MS)
		fail_msg("a cap of %u per mille: %.3f ms in one second", cap, (double)most / 1e6);
	if (burst == 0 && s->ran < 5 * (uint64_t)cap * MS * 95 / 100)
		fail_msg("a cap of %u per mille: only %.3f ms of 5 seconds", cap, (double)s->ran / 1e6);
	assert_true(s->v.stats.capped_tsc > 0);
}

static void cap__alone__next_to_nothing_is_lost(void **state)
{
	(void)state;
	sim_start(1);
	struct sim_vcpu *s = sim_add(256, 0, 0, NULL);
	assert_int_equal(sim_set(s, &(struct hilum_schedule){ .weight = 256, .cap = 250 }), STATUS_OK);
	sim_run(SECOND);
	sim_measure();
	sim_run(10 * SECOND);
	assert_share(0, 10 * SECOND, 0.25);
	assert_true(s->v.stats.capped_tsc >= 8 * SECOND);
	assert_int_equal(s->v.stats.ready_tsc / MS, 0);
}

static void caps__random_workloads__hold_over_every_second(void **state)
{
	static const uint32_t caps[] = { 10, 100, 250, 333, 500, 900 };

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(caps); i++) {
		if (i != 0)
			sim_end();
		cap_holds(caps[i], 0, 0);
	}
	for (unsigned i = 0; i < 10; i++) {
		sim_end();
		cap_holds(1 + (uint32_t)sim_random(300), 1 + sim_random(50 * MS), 1 + sim_random(20 * MS));
	}
}

/* ---- Reservations, budgets ---- */

static void reservation__among_heavy_ones__is_had_whenever_wanted(void **state)
{
	(void)state;
	sim_start(1);
	struct sim_vcpu *s = sim_add(1, 0, 0, NULL);
	for (unsigned i = 0; i < 20; i++)
		sim_add(SCHED_WEIGHT_MAX, 0, 0, NULL);
	assert_int_equal(sim_set(s, &(struct hilum_schedule){ .weight = 1, .reservation = 300 }), STATUS_OK);
	sim_run(SECOND);
	sim_measure();
	sim_run(10 * SECOND);
	assert_share(0, 10 * SECOND, 0.3);
	assert_true(s->longest_wait < 50 * MS);
}

static void budget__service_that_burns_its_core__leaves_the_rest_to_others(void **state)
{
	(void)state;
	sim_start(1);
	struct sim_vcpu *s = sim_add(256, 0, HILUM_VM_REALTIME, NULL);
	for (unsigned i = 0; i < 4; i++)
		sim_add(256, 0, 0, NULL);
	assert_int_equal(sim_set(s, &(struct hilum_schedule){ .weight = 256, .budget = 600 }), STATUS_OK);
	sim_run(SECOND);
	sim_measure();
	sim_run(10 * SECOND);
	assert_share(0, 10 * SECOND, 0.6 + 0.4 / 5);
	for (unsigned i = 1; i < 5; i++)
		assert_share(i, 10 * SECOND, 0.4 / 5);
}

static void reservations__more_than_a_core__are_refused_or_go_elsewhere(void **state)
{
	const struct hilum_schedule most = { .weight = 256, .reservation = 600 }, bound = { .cores = 1, .weight = 256, .reservation = 600 };

	(void)state;
	sim_start(2);
	struct sim_vcpu *a = sim_add(256, 0, 0, NULL), *b = sim_add(256, 0, 0, NULL), *c = sim_add(256, ANY, 0, NULL);
	assert_int_equal(sim_set(a, &bound), STATUS_OK);
	assert_int_equal(sim_set(b, &bound), STATUS_BUSY);
	assert_int_equal(sim_set(b, &most), STATUS_OK);
	assert_int_equal(sim_set(c, &most), STATUS_BUSY);
	sim_run(SECOND);
	assert_int_equal(a->v.cpu->arch.id, 0);
	assert_int_equal(b->v.cpu->arch.id, 1);
	assert_int_equal(sim_set(a, &(struct hilum_schedule){ .weight = 256 }), STATUS_OK);
	assert_int_equal(sim_set(c, &most), STATUS_OK);
	sched_release(&b->v);
	sched_release(&c->v);
	assert_int_equal(cpu_table[0]->reserved | cpu_table[1]->reserved, 0);
}

/* ---- Places ---- */

static void dedicated__beside_many__alone_and_without_a_tick(void **state)
{
	const struct hilum_schedule alone = { .cores = 4, .weight = 256, .flags = HILUM_SCHEDULE_DEDICATED };

	(void)state;
	sim_start(4);
	for (unsigned i = 0; i < 20; i++)
		sim_add(256, ANY, 0, NULL);
	struct sim_vcpu *s = sim_vcpus[3], *bound = sim_add(256, 2, 0, NULL);
	sim_run(SECOND);
	assert_int_equal(sim_set(s, &alone), STATUS_BUSY); /* one is bound there */
	assert_int_equal(sim_set(bound, &(struct hilum_schedule){ .cores = 6, .weight = 256 }), STATUS_OK);
	assert_int_equal(sim_set(s, &alone), STATUS_OK);
	assert_int_equal(sim_set(bound, &(struct hilum_schedule){ .cores = 4, .weight = 256 }), STATUS_BUSY);
	sim_run(20 * MS);
	sim_measure();
	uint64_t switches = s->v.stats.switches;
	sim_run(5 * SECOND);
	assert_int_equal(s->ran, 5 * SECOND);
	assert_int_equal(s->v.stats.switches, switches);
	assert_null(cpu_table[2]->timers.first);
	assert_int_equal(bound->v.cpu->arch.id, 1);
	assert_int_equal(sim_set(s, &(struct hilum_schedule){ .weight = 256 }), STATUS_OK);
	sim_run(SECOND);
	sim_measure();
	sim_run(10 * SECOND);
	assert_true(s->ran < 3 * SECOND);
}

static void affinity__random_masks__is_kept(void **state)
{
	(void)state;
	sim_start(6);
	for (unsigned i = 0; i < 30; i++) {
		struct sim_vcpu *s = sim_add(256, ANY, 0, NULL);
		s->burst = sim_random(3) != 0 ? 1 + sim_random(5 * MS) : 0;
		s->sleep = 1 + sim_random(5 * MS);
	}
	for (unsigned i = 0; i < 300; i++) { /* sim's own check: each turn is on a core that is allowed */
		uint64_t mask = 1 + sim_random(63);
		assert_int_equal(sim_set(sim_vcpus[sim_random(30)], &(struct hilum_schedule){ .cores = mask, .weight = 256 }), STATUS_OK);
		sim_run(sim_random(30 * MS));
	}
	assert_int_equal(sim_set(sim_vcpus[0], &(struct hilum_schedule){ .cores = 1ull << 6, .weight = 256 }), STATUS_INVALID);
}

/* sim's own check: never two VMs on one core's threads. Nobody starves by it, and an odd one out gives way when it stops. */
static void hyper_threads__one_vm_a_core__take_turns(void **state)
{
	(void)state;
	sim_start(4);
	sched_core_set(true);
	for (unsigned i = 0; i < 3; i++) {
		struct sim_vcpu *s = sim_add(256, 0, 0, NULL);
		sim_add(256, 1, 0, s->v.vm);
		sim_add(256, ANY, 0, s->v.vm);
	}
	struct sim_vcpu *odd = sim_add(256, 1, 0, NULL), *service = sim_add(256, 1, HILUM_VM_REALTIME, NULL);
	service->burst = service->left = MS;
	service->sleep = 10 * MS;
	sim_run(SECOND);
	sim_measure();
	sim_run(20 * SECOND);
	for (unsigned i = 0; i < sim_count; i++)
		assert_true(sim_vcpus[i] == service || sim_vcpus[i]->ran > SECOND);
	odd->burst = 1;
	odd->left = 1;
	odd->sleep = 100 * SECOND;
	sim_run(SECOND);
	sim_measure();
	sim_run(10 * SECOND);
	for (unsigned i = 0; i < 9; i++)
		assert_true(sim_vcpus[i]->ran > SECOND);
	sched_core_set(false);
	sim_run(SECOND);
	sched_core_set(true);
	sim_run(SECOND);
}

/* ---- No core idles beside one that waits; nobody starves ---- */

static void random_workloads__vcpus_that_may_move__no_core_idles_beside_them(void **state)
{
	(void)state;
	sim_start(8);
	for (unsigned i = 0; i < 40; i++) {
		struct sim_vcpu *s = sim_add(1 + (uint32_t)sim_random(1000), i % 4 == 0 ? i / 4 % 8 : ANY, 0, NULL);
		s->burst = i % 5 != 0 ? 1 + sim_random(10 * MS) : 0;
		s->sleep = 1 + sim_random(60 * MS);
	}
	sim_run(SECOND);
	sim_measure();
	sim_run(10 * SECOND);
	if (sim_idle_beside_waiting_max > SCHED_SLICE_NS)
		fail_msg("a core idled %.3f ms beside one that waited", (double)sim_idle_beside_waiting_max / 1e6);
}

/* Each of the others has its part of a turn for one of mine, by weight, and a slice more. */
static void random_workloads__any_weights__waiting_is_bounded_by_weights(void **state)
{
	(void)state;
	sim_start(4);
	for (unsigned i = 0; i < 40; i++) {
		struct sim_vcpu *s = sim_add(16 + (uint32_t)sim_random(2000), ANY, 0, NULL);
		s->burst = i % 3 == 0 ? 1 + sim_random(20 * MS) : 0;
		s->sleep = 1 + sim_random(60 * MS);
	}
	sim_run(SECOND);
	sim_measure();
	sim_run(20 * SECOND);
	uint64_t sum = 0;
	for (unsigned i = 0; i < 40; i++)
		sum += sim_vcpus[i]->v.weight;
	for (unsigned i = 0; i < 40; i++) {
		uint64_t bound = 2 * SCHED_SLICE_NS * (40 / 4 + sum / 4 / sim_vcpus[i]->v.weight) + 2 * SCHED_BALANCE_NS;
		if (sim_vcpus[i]->longest_wait > bound)
			fail_msg("vCPU %u of weight %u waited %.3f ms, more than %.3f", i, sim_vcpus[i]->v.weight,
			         (double)sim_vcpus[i]->longest_wait / 1e6, (double)bound / 1e6);
		assert_true(sim_vcpus[i]->ran > 0);
	}
}

/* ---- Many ---- */

static void ten_thousand_on_64_cores__all_busy__each_gets_its_part(void **state)
{
	(void)state;
	sim_start(64);
	for (unsigned i = 0; i < 10000; i++)
		sim_add(256, ANY, 0, NULL);
	sim_run(SECOND);
	sim_measure();
	sim_run(4 * SECOND);
	for (unsigned i = 0; i < 10000; i++) { /* 25.6 ms of 4 s: six slices of 4 ms and a part, and whole slices only */
		assert_true(sim_vcpus[i]->ran >= 5 * SCHED_SLICE_NS && sim_vcpus[i]->ran <= 8 * SCHED_SLICE_NS);
		if (sim_vcpus[i]->longest_wait > SECOND)
			fail_msg("vCPU %u waited %.3f ms", i, (double)sim_vcpus[i]->longest_wait / 1e6);
	}
}

/* The worst of many decisions, in basic blocks, with `n` vCPUs on one core that sleep and wake. */
static uint64_t worst_decision(unsigned n)
{
	sim_start(1);
	for (unsigned i = 0; i < n; i++) {
		struct sim_vcpu *s = sim_add(1 + (uint32_t)sim_random(1000), 0, 0, NULL);
		s->burst = i % 2 != 0 ? 1 + sim_random(MS) : 0;
		s->sleep = 1 + sim_random(100 * MS);
	}
	sim_run(SECOND);
	sim_measure();
	sim_run(10 * SECOND);
	uint64_t worst = sim_blocks_max;
	printf("%u vCPUs: %.1f basic blocks a decision, %lu at most\n", n, (double)sim_blocks / (double)sim_decisions, worst);
	return worst;
}

static void decision__more_vcpus__costs_no_more_than_log_n(void **state)
{
	(void)state;
	uint64_t few = worst_decision(16);
	for (unsigned n = 156; n <= 10000; n *= 8) {
		unsigned doublings = 0;
		while (16u << doublings < n)
			doublings++;
		sim_end();
		uint64_t worst = worst_decision(n);
		assert_true(worst <= few + 40 * doublings);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(one_core__random_weights__shares_within_2_percent),
		TEST(three_alike_on_two_cores__all_busy__two_thirds_each),
		TEST(many_cores__random_weights__shares_of_the_machine_within_2_percent),
		TEST(cap__alone__next_to_nothing_is_lost),
		TEST(caps__random_workloads__hold_over_every_second),
		TEST(reservation__among_heavy_ones__is_had_whenever_wanted),
		TEST(budget__service_that_burns_its_core__leaves_the_rest_to_others),
		TEST(reservations__more_than_a_core__are_refused_or_go_elsewhere),
		TEST(dedicated__beside_many__alone_and_without_a_tick),
		TEST(affinity__random_masks__is_kept),
		TEST(hyper_threads__one_vm_a_core__take_turns),
		TEST(random_workloads__vcpus_that_may_move__no_core_idles_beside_them),
		TEST(random_workloads__any_weights__waiting_is_bounded_by_weights),
		TEST(ten_thousand_on_64_cores__all_busy__each_gets_its_part),
		TEST(decision__more_vcpus__costs_no_more_than_log_n),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
