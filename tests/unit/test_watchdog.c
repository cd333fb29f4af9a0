/*
 * The guest's watchdog and the registers of its processors that come and go.
 * UNIT_SOURCES: drivers-vm/driver/watchdog.c drivers-vm/driver/cpu_plug.c
 */
#include "cmocka_all.h"

#include <string.h>

#include "drivers-vm/driver/cpu_plug.h"
#include "drivers-vm/driver/watchdog.h"

#define PERIOD_NS (PLATFORM_WATCHDOG_PERIOD_MS * 1000000ull)

static uint64_t now_ns, armed_ns;
static unsigned barks, ejects;
static uint32_t ejected;

static uint64_t host_now(void *ctx)
{
	(void)ctx;
	return now_ns;
}

static void host_arm(void *ctx, unsigned timer, uint64_t deadline_ns)
{
	(void)ctx;
	assert_int_equal(timer, MODEL_TIMER_WATCHDOG);
	armed_ns = deadline_ns;
}

static void host_request(void *ctx, enum model_request request, uint32_t value)
{
	(void)ctx;
	barks += request == MODEL_REQUEST_WATCHDOG;
	ejects += request == MODEL_REQUEST_EJECT;
	ejected = value;
}

static const struct model_host host = { .now_ns = host_now, .timer_arm = host_arm, .request = host_request };
static struct watchdog dog;
static struct cpu_plug plug;

static int setup(void **state)
{
	(void)state;
	now_ns = 1000 * PERIOD_NS;
	armed_ns = barks = ejects = 0;
	watchdog_init(&dog, &host, true);
	cpu_plug_init(&plug, &host, 1);
	return 0;
}

static void set_count(uint16_t count)
{
	watchdog_write(&dog, PLATFORM_WATCHDOG_COUNT, (uint8_t)count);
	watchdog_write(&dog, PLATFORM_WATCHDOG_COUNT + 1, (uint8_t)(count >> 8));
}

static unsigned left(void)
{
	return watchdog_read(&dog, PLATFORM_WATCHDOG_LEFT) | watchdog_read(&dog, PLATFORM_WATCHDOG_LEFT + 1) << 8;
}

static void periods(unsigned count)
{
	now_ns += count * PERIOD_NS;
	if (armed_ns != 0 && now_ns >= armed_ns)
		watchdog_timer(&dog);
}

/* ---- Watchdog -------------------------------------------------------------------------------------------------------------------------- */

static void watchdog_timer__touched_in_time__nothing(void **state)
{
	(void)state;
	set_count(300);
	assert_int_equal(armed_ns, 0); /* it stands until it is started */
	watchdog_write(&dog, PLATFORM_WATCHDOG_RUNNING, 1);
	assert_int_equal(left(), 300);
	for (unsigned i = 0; i < 10; i++) {
		periods(299);
		assert_int_equal(left(), 1);
		watchdog_write(&dog, PLATFORM_WATCHDOG_TOUCH, 0);
	}
	assert_int_equal(barks, 0);
	watchdog_write(&dog, PLATFORM_WATCHDOG_RUNNING, 0);
	assert_int_equal(armed_ns, 0);
	watchdog_timer(&dog); /* one that was on its way */
	assert_int_equal(barks, 0);
}

static void watchdog_timer__not_touched__says_so_each_time(void **state)
{
	(void)state;
	set_count(20);
	watchdog_write(&dog, PLATFORM_WATCHDOG_RUNNING, 1);
	periods(19);
	watchdog_timer(&dog); /* too early */
	assert_int_equal(barks, 0);
	assert_int_equal(armed_ns, now_ns + PERIOD_NS);
	periods(1);
	assert_int_equal(barks, 1);
	periods(20);
	assert_int_equal(barks, 2);
}

static void watchdog_write__count_of_zero__is_a_second_at_least(void **state)
{
	(void)state;
	set_count(0);
	watchdog_write(&dog, PLATFORM_WATCHDOG_RUNNING, 1);
	assert_int_equal(armed_ns, now_ns + PLATFORM_WATCHDOG_COUNT_MIN * PERIOD_NS);
}

static void watchdog_adopt__ran__has_all_its_time_again(void **state)
{
	struct watchdog old;

	(void)state;
	set_count(50);
	watchdog_write(&dog, PLATFORM_WATCHDOG_RUNNING, 1);
	old = dog;
	memset(&old.running, 0xAA, 1); /* anything may be found there */
	old.deadline_ns = 0;
	now_ns += 1000 * PERIOD_NS;
	watchdog_init(&dog, &host, true);
	watchdog_adopt(&dog, &old);
	watchdog_timer(&dog);
	assert_int_equal(barks, 0);
	assert_int_equal(armed_ns, now_ns + 50 * PERIOD_NS);
	watchdog_init(&dog, &host, false);
	watchdog_adopt(&dog, &old);
	assert_false(dog.running);
}

static void watchdog_write__it_is_not_there__nothing(void **state)
{
	(void)state;
	watchdog_init(&dog, &host, false);
	watchdog_write(&dog, PLATFORM_WATCHDOG_RUNNING, 1);
	assert_int_equal(armed_ns, 0);
	assert_int_equal(watchdog_read(&dog, PLATFORM_WATCHDOG_RUNNING), 0xFF);
}

/* ---- Processors ------------------------------------------------------------------------------------------------------------------------ */

static uint64_t read_bits(unsigned from)
{
	uint64_t bits = 0;

	for (unsigned i = 0; i < 8; i++)
		bits |= (uint64_t)cpu_plug_read(&plug, from + i) << 8 * i;
	return bits;
}

static void cpu_plug_set__some_come_some_shall_go__seen_and_cleared(void **state)
{
	const uint64_t there = 1 | 1 << 9 | 1ull << 63;

	(void)state;
	assert_false(cpu_plug_set(&plug, 1, 0));
	assert_true(cpu_plug_set(&plug, there, 1 << 9 | 1 << 20));
	assert_int_equal(read_bits(PLATFORM_CPU_PRESENT), there);
	assert_int_equal(read_bits(PLATFORM_CPU_CAME), there & ~1ull);
	assert_int_equal(read_bits(PLATFORM_CPU_SHALL_GO), 1 << 9); /* what is not there cannot go */
	cpu_plug_write(&plug, PLATFORM_CPU_CAME + 7, 0x80);
	assert_int_equal(read_bits(PLATFORM_CPU_CAME), 1 << 9);
	cpu_plug_write(&plug, PLATFORM_CPU_SHALL_GO + 1, 0x02);
	assert_int_equal(read_bits(PLATFORM_CPU_SHALL_GO), 0);
	cpu_plug_set(&plug, 1, 0);
	assert_int_equal(read_bits(PLATFORM_CPU_CAME), 0);
}

static void cpu_plug_write__eject__only_of_those_that_are_there(void **state)
{
	(void)state;
	cpu_plug_set(&plug, 1 | 1 << 5, 1 << 5);
	cpu_plug_write(&plug, PLATFORM_CPU_EJECT, 5);
	assert_int_equal(ejects, 1);
	assert_int_equal(ejected, 5);
	cpu_plug_write(&plug, PLATFORM_CPU_EJECT, 5); /* again */
	cpu_plug_write(&plug, PLATFORM_CPU_EJECT, 0); /* the first one stays */
	cpu_plug_write(&plug, PLATFORM_CPU_EJECT, 6);
	cpu_plug_write(&plug, PLATFORM_CPU_EJECT, 0xFF);
	cpu_plug_write(&plug, PLATFORM_CPU_EJECT + 1, 5);
	assert_int_equal(ejects, 1);
}

static void cpu_plug_adopt__anything_in_the_old_one__only_those_that_are_there(void **state)
{
	struct cpu_plug old;

	(void)state;
	memset(&old, 0xFF, sizeof(old));
	cpu_plug_adopt(&plug, &old);
	assert_int_equal(plug.came, 1);
	assert_int_equal(plug.shall_go, 1);
	assert_int_equal(plug.present, 1);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup(name, setup)
	const struct CMUnitTest tests[] = {
		CASE(watchdog_timer__touched_in_time__nothing),
		CASE(watchdog_timer__not_touched__says_so_each_time),
		CASE(watchdog_write__count_of_zero__is_a_second_at_least),
		CASE(watchdog_adopt__ran__has_all_its_time_again),
		CASE(watchdog_write__it_is_not_there__nothing),
		CASE(cpu_plug_set__some_come_some_shall_go__seen_and_cleared),
		CASE(cpu_plug_write__eject__only_of_those_that_are_there),
		CASE(cpu_plug_adopt__anything_in_the_old_one__only_those_that_are_there),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
