/*
 * The local APIC's timer against the clock, in its three modes.
 * UNIT_SOURCES: kernel/vlapic.c kernel/vlapic_ipi.c kernel/vlapic_timer.c
 * UNIT_SOURCES: tests/unit/fake_vlapic/harness.c
 * UNIT_FLAGS: -iquote tests/unit/fake_vlapic -Wno-unused-parameter
 */
#include "tests/unit/fake_vlapic/harness.h"

#define V            (&m.apic[0])
#define VECTOR       0x60u
#define ONE_SHOT     VECTOR
#define PERIODIC     (1u << 17 | VECTOR)
#define TSC_DEADLINE (2u << 17 | VECTOR)
#define MASKED       (1u << 16)
#define DIVIDE_BY_1  0xBu

static void init(uint32_t lvt)
{
	machine_init(1, false);
	wr(V, APIC_DIVIDE, DIVIDE_BY_1);
	wr(V, APIC_LVT_TIMER, lvt);
}

static bool fired(void)
{
	return collect(VECTOR) == 1;
}

static uint32_t count(void)
{
	return rd(V, APIC_CURRENT_COUNT);
}

static void vlapic_timer__one_shot__counts_down_and_fires_once(void **state)
{
	init(ONE_SHOT);
	wr(V, APIC_INITIAL_COUNT, 5000);
	assert_int_equal(count(), 5000);
	advance(1);
	assert_int_equal(count(), 4999);
	advance(4998);
	assert_int_equal(count(), 1);
	assert_false(fired());
	advance(1);
	assert_int_equal(count(), 0);
	assert_true(fired());
	assert_int_equal(m.notified[VLAPIC_NOTIFY_INTR], 1); /* it may be what a halted vCPU waits for */
	advance(100000);
	assert_false(fired());
	assert_int_equal(count(), 0);
	assert_int_equal(rd(V, APIC_INITIAL_COUNT), 5000);
	assert_int_equal(m.timer[0], 0);
}

static void vlapic_timer__each_divisor__sets_the_rate(void **state)
{
	static const struct {
		uint32_t dcr, divisor;
	} rates[] = { { 0, 2 }, { 1, 4 }, { 2, 8 }, { 3, 16 }, { 8, 32 }, { 9, 64 }, { 10, 128 }, { 11, 1 } };

	for (unsigned i = 0; i < ARRAY_SIZE(rates); i++) {
		uint32_t divisor = rates[i].divisor;

		init(ONE_SHOT);
		wr(V, APIC_DIVIDE, rates[i].dcr);
		assert_int_equal(rd(V, APIC_DIVIDE), rates[i].dcr);
		wr(V, APIC_INITIAL_COUNT, 1000);
		advance(10 * divisor);
		assert_int_equal(count(), 990);
		if (divisor > 1) {
			advance(1);
			assert_int_equal(count(), 990); /* the count under way is not over */
			advance(divisor - 1);
			assert_int_equal(count(), 989);
			advance(989 * divisor - 1);
		} else {
			advance(989);
		}
		assert_false(fired());
		advance(1);
		assert_true(fired());
	}
}

static void vlapic_timer__divisor_changed_under_way__goes_on_from_the_count(void **state)
{
	init(ONE_SHOT);
	wr(V, APIC_INITIAL_COUNT, 1000);
	advance(400);
	wr(V, APIC_DIVIDE, 3); /* by 16 */
	assert_int_equal(count(), 600);
	advance(16 * 599);
	assert_int_equal(count(), 1);
	advance(15);
	assert_false(fired());
	advance(1);
	assert_true(fired());
	init(PERIODIC);
	wr(V, APIC_INITIAL_COUNT, 1000);
	advance(400);
	wr(V, APIC_DIVIDE, 0);
	advance(1199);
	assert_false(fired());
	advance(1);
	assert_true(fired());
	advance(1999);
	assert_false(fired());
	advance(1);
	assert_true(fired());
}

static void vlapic_timer__periodic__never_drifts(void **state)
{
	init(PERIODIC);
	wr(V, APIC_INITIAL_COUNT, 1000);
	for (unsigned i = 1; i <= 50; i++) {
		advance(999);
		assert_false(fired());
		assert_int_equal(count(), 1);
		advance(1);
		assert_true(fired());
		assert_int_equal(count(), 1000);
		assert_int_equal(m.timer[0], 1000 + 1000 * (i + 1));
	}
	/* The host timer comes late: one interrupt, and the next deadline is on the grid. */
	fake_tsc += 7300;
	m.timer[0] = 0;
	vlapic_timer_expired(V);
	assert_true(fired());
	assert_int_equal(m.timer[0], 1000 + 1000 * 58);
	assert_int_equal(count(), 700);
	fake_tsc += 700;
	m.timer[0] = 0;
	vlapic_timer_expired(V); /* exactly on the deadline */
	assert_true(fired());
	assert_int_equal(m.timer[0], 1000 + 1000 * 59);
}

static void vlapic_timer__periodic_too_fast__is_slowed_down(void **state)
{
	unsigned interrupts = 0;

	init(PERIODIC);
	wr(V, APIC_INITIAL_COUNT, 1);
	for (unsigned i = 0; i < 1000; i++) {
		advance(10);
		interrupts += fired();
		assert_true(count() <= 1);
	}
	assert_int_equal(interrupts, 10000 / 100);
}

static void vlapic_timer__masked__runs_silently(void **state)
{
	init(ONE_SHOT | MASKED);
	wr(V, APIC_INITIAL_COUNT, 1000);
	assert_int_equal(m.timer[0], 0);
	advance(400);
	assert_int_equal(count(), 600);
	wr(V, APIC_LVT_TIMER, ONE_SHOT); /* unmasked in time: fires */
	advance(600);
	assert_true(fired());
	wr(V, APIC_LVT_TIMER, ONE_SHOT | MASKED);
	wr(V, APIC_INITIAL_COUNT, 1000);
	advance(1000);
	wr(V, APIC_LVT_TIMER, ONE_SHOT); /* too late: lost */
	assert_int_equal(count(), 0);
	advance(5000);
	assert_false(fired());
	wr(V, APIC_LVT_TIMER, PERIODIC | MASKED);
	wr(V, APIC_INITIAL_COUNT, 1000);
	advance(123400);
	assert_int_equal(count(), 600);
	wr(V, APIC_LVT_TIMER, PERIODIC);
	assert_false(fired());
	advance(599);
	assert_false(fired());
	advance(1);
	assert_true(fired());
	wr(V, APIC_LVT_TIMER, PERIODIC | MASKED);
	assert_int_equal(m.timer[0], 0);
}

static void vlapic_timer__stopped_by_zero_or_software_disable__does_not_fire(void **state)
{
	init(PERIODIC);
	wr(V, APIC_INITIAL_COUNT, 1000);
	wr(V, APIC_INITIAL_COUNT, 0);
	assert_int_equal(count(), 0);
	assert_int_equal(m.timer[0], 0);
	wr(V, APIC_INITIAL_COUNT, 1000);
	wr(V, APIC_SVR, 0xFF);
	assert_int_equal(m.timer[0], 0);
	advance(5000);
	assert_false(fired());
	wr(V, APIC_SVR, 0x1FF);
	wr(V, APIC_LVT_TIMER, ONE_SHOT);
	wr(V, APIC_INITIAL_COUNT, 1000);
	vlapic_reset(V, false);
	assert_int_equal(m.timer[0], 0);
}

static void vlapic_timer__mode_changed_under_way__decides_what_follows_the_deadline(void **state)
{
	init(ONE_SHOT);
	wr(V, APIC_INITIAL_COUNT, 1000);
	advance(500);
	wr(V, APIC_LVT_TIMER, PERIODIC);
	advance(500);
	assert_true(fired());
	advance(1000);
	assert_true(fired());
	advance(500);
	wr(V, APIC_LVT_TIMER, ONE_SHOT);
	advance(500);
	assert_true(fired());
	advance(3000);
	assert_false(fired());
	/* To and from TSC-deadline mode disarms. */
	wr(V, APIC_INITIAL_COUNT, 1000);
	wr(V, APIC_LVT_TIMER, TSC_DEADLINE);
	assert_int_equal(count(), 0);
	assert_int_equal(m.timer[0], 0);
	assert_int_equal(wrmsr_of(V, MSR_IA32_TSC_DEADLINE, fake_tsc + 1000), STATUS_OK);
	wr(V, APIC_LVT_TIMER, ONE_SHOT);
	assert_int_equal(m.timer[0], 0);
	assert_int_equal(rdmsr_of(V, MSR_IA32_TSC_DEADLINE), 0);
	wr(V, APIC_LVT_TIMER, TSC_DEADLINE);
	assert_int_equal(wrmsr_of(V, MSR_IA32_TSC_DEADLINE, fake_tsc + 1000), STATUS_OK);
	wr(V, APIC_LVT_TIMER, 3u << 17 | VECTOR); /* reserved: keeps still */
	advance(5000);
	assert_false(fired());
}

static void vlapic_timer__tsc_deadline__fires_at_the_guests_time(void **state)
{
	init(TSC_DEADLINE);
	vlapic_set_tsc_offset(V, (uint64_t)-900); /* guest TSC is 100 */
	assert_int_equal(vlapic_guest_tsc(V), 100);
	assert_int_equal(wrmsr_of(V, MSR_IA32_TSC_DEADLINE, 600), STATUS_OK);
	assert_int_equal(m.timer[0], 1500);
	assert_int_equal(rdmsr_of(V, MSR_IA32_TSC_DEADLINE), 600);
	advance(499);
	assert_false(fired());
	advance(1);
	assert_true(fired());
	assert_int_equal(rdmsr_of(V, MSR_IA32_TSC_DEADLINE), 0);
	assert_int_equal(wrmsr_of(V, MSR_IA32_TSC_DEADLINE, 5), STATUS_OK); /* passed: at once */
	assert_true(fired());
	assert_int_equal(m.timer[0], 0);
	assert_int_equal(wrmsr_of(V, MSR_IA32_TSC_DEADLINE, 10000), STATUS_OK);
	assert_int_equal(wrmsr_of(V, MSR_IA32_TSC_DEADLINE, 0), STATUS_OK);
	assert_int_equal(m.timer[0], 0);
	wr(V, APIC_INITIAL_COUNT, 77); /* not in this mode */
	assert_int_equal(rd(V, APIC_INITIAL_COUNT), 0);
	assert_int_equal(count(), 0);
}

static void vlapic_timer__tsc_deadline_at_the_end_of_time__saturates(void **state)
{
	init(TSC_DEADLINE);
	vlapic_set_tsc_offset(V, (uint64_t)-900);
	assert_int_equal(wrmsr_of(V, MSR_IA32_TSC_DEADLINE, UINT64_MAX), STATUS_OK);
	assert_int_equal(m.timer[0], UINT64_MAX);
	assert_int_equal(rdmsr_of(V, MSR_IA32_TSC_DEADLINE), UINT64_MAX);
	assert_false(fired());
}

static void vlapic_timer__tsc_deadline_msr_in_another_mode__is_ignored(void **state)
{
	init(ONE_SHOT);
	assert_int_equal(wrmsr_of(V, MSR_IA32_TSC_DEADLINE, 600), STATUS_OK);
	assert_int_equal(rdmsr_of(V, MSR_IA32_TSC_DEADLINE), 0);
	assert_false(fired());
}

static void vlapic_timer__tsc_deadline_masked__passes_silently(void **state)
{
	init(TSC_DEADLINE | MASKED);
	assert_int_equal(wrmsr_of(V, MSR_IA32_TSC_DEADLINE, fake_tsc + 100), STATUS_OK);
	assert_int_equal(m.timer[0], 0);
	advance(50);
	assert_int_not_equal(rdmsr_of(V, MSR_IA32_TSC_DEADLINE), 0);
	advance(50);
	assert_int_equal(rdmsr_of(V, MSR_IA32_TSC_DEADLINE), 0);
	wr(V, APIC_LVT_TIMER, TSC_DEADLINE);
	assert_false(fired());
	wr(V, APIC_LVT_TIMER, TSC_DEADLINE | MASKED);
	assert_int_equal(wrmsr_of(V, MSR_IA32_TSC_DEADLINE, fake_tsc + 100), STATUS_OK);
	wr(V, APIC_LVT_TIMER, TSC_DEADLINE);
	advance(100);
	assert_true(fired());
}

static void vlapic_set_tsc_offset__timer_armed__moves_deadlines_but_not_counts(void **state)
{
	init(TSC_DEADLINE);
	assert_int_equal(wrmsr_of(V, MSR_IA32_TSC_DEADLINE, 5000), STATUS_OK);
	vlapic_set_tsc_offset(V, 1000);
	assert_int_equal(m.timer[0], 4000);
	vlapic_set_tsc_offset(V, 4500); /* the guest set its clock past the deadline */
	assert_true(fired());
	assert_int_equal(m.timer[0], 0);
	wr(V, APIC_LVT_TIMER, ONE_SHOT);
	wr(V, APIC_INITIAL_COUNT, 1000);
	vlapic_set_tsc_offset(V, (uint64_t)-1000000);
	assert_int_equal(count(), 1000);
	assert_int_equal(m.timer[0], 2000);
}

static void vlapic_timer_expired__early_or_spurious__does_not_fire(void **state)
{
	init(ONE_SHOT);
	vlapic_timer_expired(V);
	assert_false(fired());
	wr(V, APIC_INITIAL_COUNT, 1000);
	fake_tsc += 999;
	m.timer[0] = 0;
	vlapic_timer_expired(V);
	assert_false(fired());
	assert_int_equal(m.timer[0], 2000);
}

static void vlapic_timer__deadline_passed_before_host_timer__fires_before_the_next_write(void **state)
{
	init(ONE_SHOT);
	wr(V, APIC_INITIAL_COUNT, 1000);
	fake_tsc += 1500; /* and the host's interrupt is still on its way */
	wr(V, APIC_INITIAL_COUNT, 1000);
	assert_true(fired());
	fake_tsc += 1500;
	wr(V, APIC_LVT_TIMER, ONE_SHOT | MASKED);
	assert_true(fired());
}

static void vlapic_timer__vector_below_16__is_lost(void **state)
{
	init(0x0F);
	wr(V, APIC_INITIAL_COUNT, 10);
	advance(10);
	assert_int_equal(rd(V, APIC_CURRENT_COUNT), 0);
	assert_int_equal(vlapic_pending(V), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(vlapic_timer__one_shot__counts_down_and_fires_once),
		cmocka_unit_test(vlapic_timer__each_divisor__sets_the_rate),
		cmocka_unit_test(vlapic_timer__divisor_changed_under_way__goes_on_from_the_count),
		cmocka_unit_test(vlapic_timer__periodic__never_drifts),
		cmocka_unit_test(vlapic_timer__periodic_too_fast__is_slowed_down),
		cmocka_unit_test(vlapic_timer__masked__runs_silently),
		cmocka_unit_test(vlapic_timer__stopped_by_zero_or_software_disable__does_not_fire),
		cmocka_unit_test(vlapic_timer__mode_changed_under_way__decides_what_follows_the_deadline),
		cmocka_unit_test(vlapic_timer__tsc_deadline__fires_at_the_guests_time),
		cmocka_unit_test(vlapic_timer__tsc_deadline_at_the_end_of_time__saturates),
		cmocka_unit_test(vlapic_timer__tsc_deadline_msr_in_another_mode__is_ignored),
		cmocka_unit_test(vlapic_timer__tsc_deadline_masked__passes_silently),
		cmocka_unit_test(vlapic_set_tsc_offset__timer_armed__moves_deadlines_but_not_counts),
		cmocka_unit_test(vlapic_timer_expired__early_or_spurious__does_not_fire),
		cmocka_unit_test(vlapic_timer__deadline_passed_before_host_timer__fires_before_the_next_write),
		cmocka_unit_test(vlapic_timer__vector_below_16__is_lost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
