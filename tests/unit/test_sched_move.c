/*
 * vCPUs that go from core to core, by the real main loop: nothing sent to them is lost on the way, they end wherever they are, and the
 * one that is spun for runs next.
 */
/* clang-format off */
/* UNIT_SOURCES: build/unit/kernel_fake.a */
/* UNIT_FLAGS: @tests/unit/fake_kernel/fake.flags @tests/unit/fake_kernel/fake.wrap */
/* clang-format on */
#include "tests/unit/fake_kernel/fake.h"

#define TEST(name)  cmocka_unit_test_setup_teardown(name, set_up, tear_down)
#define SCHEDULE_AT 0x3000ull
#define VCPUS       12u

static hilum_handle_t handle[VCPUS];
static struct vcpu *vcpu[VCPUS], *order[64];
static unsigned turns, entered[VCPUS];
static bool halts[VCPUS], spins[VCPUS];

static unsigned index_of(const struct vcpu *v)
{
	unsigned i = 0;

	while (i < VCPUS && vcpu[i] != v)
		i++;
	return i;
}

/* Runs where it may only. */
static uint64_t step(struct vcpu *v)
{
	unsigned i = index_of(v);

	if (i == VCPUS)
		return 1000;
	assert_true(v->cpu == fake_self && sched_fits(fake_self, v));
	entered[i]++;
	order[turns++ % 64] = v;
	if (halts[i])
		v->state = VCPU_HALTED;
	if (spins[i])
		exit_handle(v, &(struct vexit){ .kind = HILUM_EXIT_PAUSE, .length = 2 });
	return 100000;
}

static int set_up(void **state)
{
	(void)state;
	fake_boot(4);
	fake_guest = step;
	turns = 0;
	memset(vcpu, 0, sizeof(vcpu));
	memset(entered, 0, sizeof(entered));
	memset(halts, 0, sizeof(halts));
	memset(spins, 0, sizeof(spins));
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	fake_check_clean();
	return 0;
}

static void add(unsigned i, hilum_handle_t vm, uint32_t index, uint32_t core)
{
	vcpu[i] = make_vcpu(vm, index, core, &handle[i]);
	vcpu[i]->state = VCPU_READY;
	CALL_OK(HC_VCPU_RUN, handle[i]);
}

static int64_t schedule(unsigned i, struct hilum_schedule s)
{
	memcpy(control_memory() + SCHEDULE_AT, &s, sizeof(s));
	return CALL(HC_VCPU_SCHEDULE, handle[i], SCHEDULE_AT);
}

static void go_to(unsigned i, uint64_t cores)
{
	assert_int_equal(schedule(i, (struct hilum_schedule){ .cores = cores, .weight = 256 }), 0);
}

static void run_all(unsigned rounds)
{
	for (unsigned n = 0; n < rounds; n++)
		for (unsigned i = 0; i < 4; i++)
			fake_run(i, 3);
}

static void schedule__other_core__goes_there_with_its_timers_and_requests(void **state)
{
	(void)state;
	add(0, make_vm(0), 0, 1);
	run_all(1);
	fake_become(1);
	cpu_timer_set(cpu_table[1], &vcpu[0]->apic_timer, fake_tsc + 5000000);
	fake_become(0);
	go_to(0, 1 << 2);
	fake_run(1, 1);
	assert_ptr_equal(vcpu[0]->cpu, cpu_table[2]);
	assert_null(cpu_table[1]->timers.first);
	unsigned before = entered[0];
	vcpu_post(vcpu[0], cpu_table[1]); /* by one who has read its core before it went */
	fake_run(1, 1);
	fake_run(2, 1);
	assert_int_equal(entered[0], before + 1);
	assert_ptr_equal(cpu_table[2]->timers.first, &vcpu[0]->apic_timer.node);
	assert_int_equal(vcpu[0]->stats.migrations, 1);
	assert_int_equal(vcpu[0]->stats.core, 2);
}

static void schedule__halted_or_stopped__goes_too(void **state)
{
	(void)state;
	add(0, make_vm(0), 0, 1);
	halts[0] = true;
	run_all(1);
	assert_int_equal(vcpu[0]->state, VCPU_HALTED);
	go_to(0, 1 << 3);
	run_all(1);
	assert_ptr_equal(vcpu[0]->cpu, cpu_table[3]);
	CALL_OK(HC_VCPU_PAUSE, handle[0]);
	go_to(0, 1 << 2);
	run_all(1);
	assert_ptr_equal(vcpu[0]->cpu, cpu_table[2]);
	assert_true(vcpu_is_stopped(vcpu[0]));
	unsigned before = entered[0];
	vcpu_request(vcpu[0], VCPU_REQUEST_KICK);
	CALL_OK(HC_VCPU_RUN, handle[0]);
	run_all(1);
	assert_int_equal(entered[0], before + 1);
}

/* The one who waits for it to stop may be the one to whom it comes. */
static void pause__on_its_way_here__stops(void **state)
{
	(void)state;
	add(0, make_vm(0), 0, 1);
	run_all(1);
	go_to(0, 1);
	fake_run(1, 1);
	assert_ptr_equal(vcpu[0]->cpu, cpu_table[0]);
	CALL_OK(HC_VCPU_PAUSE, handle[0]);
	unsigned before = entered[0];
	run_all(2);
	assert_int_equal(entered[0], before);
	CALL_OK(HC_VCPU_RUN, handle[0]);
	run_all(1);
	assert_true(entered[0] > before);
}

static void vm_destroy__on_its_way__nothing_left(void **state)
{
	hilum_handle_t vm = make_vm(0);

	(void)state;
	add(0, vm, 0, 1);
	run_all(1);
	go_to(0, 1 << 3);
	fake_run(1, 1);
	vcpu_post(vcpu[0], cpu_table[1]);
	CALL_OK(HC_VM_DESTROY, vm);
	CALL_OK(HC_HANDLE_CLOSE, handle[0]);
	run_all(2);
}

static void idle_core__two_that_may_move_elsewhere__takes_one(void **state)
{
	(void)state;
	add(0, make_vm(0), 0, HILUM_CORE_ANY);
	add(1, make_vm(0), 0, HILUM_CORE_ANY);
	run_all(1);
	go_to(0, 1 << 1);
	go_to(1, 1 << 1);
	run_all(4);
	assert_ptr_equal(vcpu[0]->cpu, vcpu[1]->cpu);
	go_to(0, 0);
	go_to(1, 0);
	run_all(4);
	assert_ptr_not_equal(vcpu[0]->cpu, vcpu[1]->cpu);
}

static void dedicated__service_vm_beside_it__stays_and_there_is_no_tick(void **state)
{
	hilum_handle_t service = make_vm(HILUM_VM_REALTIME);

	(void)state;
	add(0, make_vm(0), 0, HILUM_CORE_ANY);
	add(1, service, 0, 2);
	add(2, make_vm(0), 0, 2);
	halts[1] = true;
	const struct hilum_schedule alone = { .cores = 1 << 2, .weight = 1, .flags = HILUM_SCHEDULE_DEDICATED };
	assert_int_equal(schedule(0, alone), HILUM_E_BUSY);
	go_to(2, 0);
	assert_int_equal(schedule(0, alone), 0);
	run_all(8);
	assert_ptr_equal(vcpu[0]->cpu, cpu_table[2]);
	assert_ptr_equal(vcpu[1]->cpu, cpu_table[2]);
	assert_ptr_not_equal(vcpu[2]->cpu, cpu_table[2]);
	assert_int_equal(fake_deadline[2], 0);
	assert_int_equal(CALL(HC_VCPU_CREATE, make_vm(0), 0, 2, 256), HILUM_E_BUSY);
	CALL_HANDLE(HC_VCPU_CREATE, service, 1, 2, 256);
	unsigned before = entered[1];
	vcpu_request(vcpu[1], VCPU_REQUEST_KICK);
	run_all(4);
	assert_true(entered[1] > before);
}

/* Every wish, at any moment, is met where it may be met. */
static void random_wishes__from_all_cores__none_is_lost(void **state)
{
	hilum_handle_t vm[3] = { make_vm(0), make_vm(0), make_vm(0) };

	(void)state;
	for (unsigned i = 0; i < VCPUS; i++) {
		add(i, vm[i % 3], i / 3, i % 2 != 0 ? HILUM_CORE_ANY : i % 4);
		halts[i] = true;
	}
	run_all(4);
	for (unsigned n = 0; n < 20000; n++) {
		unsigned i = fake_random() % VCPUS;
		struct hilum_schedule s = { .cores = fake_random() % 16,
			                    .weight = 1 + fake_random() % 1000,
			                    .cap = fake_random() % 8 == 0 ? 300 : 0 };
		switch (fake_random() % 6) {
		case 0:
			assert_int_equal(schedule(i, s), 0);
			break;
		case 1:
			CALL_OK(HC_VCPU_PAUSE, handle[i]);
			CALL_OK(HC_VCPU_RUN, handle[i]);
			break;
		case 2:
			fake_become(fake_random() % 4);
			vcpu_request(vcpu[i], VCPU_REQUEST_KICK);
			fake_become(0);
			break;
		case 3:
			fake_advance(fake_random() % 30000000);
			break;
		default:
			fake_run(fake_random() % 4, 1 + fake_random() % 3);
		}
		if (n % 100 != 0)
			continue;
		unsigned before[VCPUS];
		memcpy(before, entered, sizeof(before));
		for (i = 0; i < VCPUS; i++)
			vcpu_request(vcpu[i], VCPU_REQUEST_KICK);
		for (unsigned k = 0; k < 6; k++) {
			run_all(VCPUS);
			fake_advance(200000000); /* the caps' */
		}
		for (i = 0; i < VCPUS; i++)
			if (entered[i] <= before[i])
				fail_msg("after %u wishes, vCPU %u on core %u: state %u, requests %#x, stopped %u, capped %u, queued %d", n,
				         i, vcpu[i]->cpu->arch.id, vcpu[i]->state, vcpu[i]->requests, vcpu[i]->stopped, vcpu[i]->capped,
				         queue_contains(&vcpu[i]->run_node));
	}
}

/* ---- Spinning ---- */

static void pause__another_of_its_vm_waits__runs_next(void **state)
{
	hilum_handle_t vm = make_vm(0), other = make_vm(0);

	(void)state;
	add(0, vm, 0, 1);
	add(1, other, 0, 1);
	add(2, other, 1, 1);
	add(3, vm, 1, 1);
	memset(spins, 1, sizeof(spins));
	fake_run(1, 20);
	assert_int_equal(turns, 20);
	for (unsigned i = 1; i < 20; i++) /* by turns; the other VM is let in when they are too far ahead, and then it is the same there */
		assert_ptr_not_equal(order[i], order[i - 1]);
	assert_ptr_equal(order[1]->vm, order[0]->vm);
	assert_ptr_equal(order[2], order[0]);
	assert_true(backend_of(order[0])->watches_pause && backend_of(order[1])->watches_pause);
}

/* Nobody gains by it: what is run before its turn is owed. */
static void pause__all_the_time__others_get_their_share(void **state)
{
	hilum_handle_t vm = make_vm(0);

	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		add(i, vm, i, 1);
		spins[i] = true;
	}
	add(4, make_vm(0), 0, 1);
	fake_run(1, 20000);
	assert_in_range(entered[4], 20000 / 5 * 98 / 100, 20000 / 5 * 102 / 100);
}

static void pause__the_one_it_favours_ends__is_forgotten(void **state)
{
	hilum_handle_t vm = make_vm(0);

	(void)state;
	add(0, vm, 0, 1);
	add(1, vm, 1, 1);
	spins[0] = spins[1] = true;
	fake_run(1, 1);
	assert_non_null(cpu_table[1]->favoured);
	CALL_OK(HC_VM_DESTROY, vm);
	CALL_OK(HC_HANDLE_CLOSE, handle[0]);
	CALL_OK(HC_HANDLE_CLOSE, handle[1]); /* and poisoned */
	vcpu[0] = vcpu[1] = NULL;
	add(2, make_vm(0), 0, 1);
	run_all(2);
	assert_true(entered[2] > 0);
}

static void pause__nobody_waits__goes_on(void **state)
{
	(void)state;
	add(0, make_vm(0), 0, 1);
	spins[0] = true;
	fake_run(1, 10);
	assert_int_equal(vcpu[0]->stats.switches, 1);
	assert_false(backend_of(vcpu[0])->watches_pause);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(schedule__other_core__goes_there_with_its_timers_and_requests),
		TEST(schedule__halted_or_stopped__goes_too),
		TEST(pause__on_its_way_here__stops),
		TEST(vm_destroy__on_its_way__nothing_left),
		TEST(idle_core__two_that_may_move_elsewhere__takes_one),
		TEST(dedicated__service_vm_beside_it__stays_and_there_is_no_tick),
		TEST(random_wishes__from_all_cores__none_is_lost),
		TEST(pause__another_of_its_vm_waits__runs_next),
		TEST(pause__all_the_time__others_get_their_share),
		TEST(pause__the_one_it_favours_ends__is_forgotten),
		TEST(pause__nobody_waits__goes_on),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
