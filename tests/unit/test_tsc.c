/*
 * TSC calibration on a fake machine whose time moves with each instruction that looks at it; a host
 * interruption is a jump.
 *
 * UNIT_SOURCES: arch/x86_64/tsc.c arch/x86_64/format.c
 * UNIT_FLAGS: -Itests/unit -iquote tests/unit/fake_boot
 */
#include "cmocka_all.h"

#include <stdio.h>
#include <string.h>

#include "arch/x86_64/tsc.h"
#include "arch/x86_64/acpi.h"
#include "arch/x86_64/lapic.h"
#include "arch/x86_64/log.h"
#include "arch/x86_64/panic.h"

#undef assert

struct cpu_arch fake_cpu;
uint64_t fake_cr3;

static double now_ns;
static uint64_t true_hz, true_lapic_hz;
static double pm_rate; /* 1.0: right */
static unsigned reads, jump_at;
static double lapic_start_ns;
static char log_text[1024];
static jmp_buf after_refusal;

static void pass(double ns)
{
	now_ns += ns;
	if (++reads == jump_at)
		now_ns += 20e6;
}

uint64_t rdtsc(void)
{
	pass(7);
	return (uint64_t)(now_ns * (double)true_hz / 1e9);
}

uint32_t inl(uint16_t port)
{
	pass(900);
	assert_int_equal(port, 0x608);
	return (uint32_t)(uint64_t)(now_ns * pm_rate * 3579545 / 1e9) & 0xFFFFFF;
}

uint8_t inb(uint16_t port)
{
	pass(800);
	(void)port;
	return 0;
}

void outb(uint16_t port, uint8_t v)
{
	(void)port;
	(void)v;
	pass(800);
}

void lapic_timer_setup(unsigned vector, uint32_t mode)
{
	assert_int_equal(vector, 0);
	assert_int_equal(mode, 0);
}

void lapic_timer_start(uint32_t initial)
{
	if (initial)
		lapic_start_ns = now_ns;
}

uint32_t lapic_timer_count(void)
{
	pass(300);
	return UINT32_MAX - (uint32_t)((now_ns - lapic_start_ns) * (double)true_lapic_hz / 1e9);
}

void log_info(const char *fmt, ...)
{
	if (!strncmp(fmt, "warning: ", 9))
		strncat(log_text, fmt, sizeof(log_text) - strlen(log_text) - 1);
}

void panic(const char *fmt, ...)
{
	fail_msg("panic: %s", fmt);
	__builtin_unreachable();
}

void boot_refuse(const char *fmt, ...)
{
	(void)fmt;
	longjmp(after_refusal, 1);
}

static struct acpi_info acpi;

static int reset(void **state)
{
	(void)state;
	memset(&acpi, 0, sizeof(acpi));
	acpi.pm_timer = 0x608;
	now_ns = 123456789;
	true_hz = 2596098765;
	true_lapic_hz = 1000000000;
	pm_rate = 1;
	reads = 0;
	jump_at = 0;
	log_text[0] = 0;
	return 0;
}

static void expect_within_1000_ppm(uint64_t measured, uint64_t truth)
{
	uint64_t error = measured > truth ? measured - truth : truth - measured;

	assert_true(error <= truth / 1000);
}

static void tsc_calibrate__pm_timer_alone__right_to_a_thousandth(void **state)
{
	static const uint64_t rates[] = { 100000000, 999999999, 2596098765, 5700000000 };

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		true_hz = rates[i];
		tsc_calibrate(&acpi, NULL);
		expect_within_1000_ppm(tsc_hz(), true_hz);
		expect_within_1000_ppm(tsc_scale.lapic_hz, true_lapic_hz);
		assert_string_equal(log_text, "");
	}
}

static void tsc_calibrate__interrupted_for_20_ms__measured_again_or_still_right(void **state)
{
	(void)state;
	for (unsigned at = 1; at < 400; at++) {
		reset(NULL);
		jump_at = at;
		tsc_calibrate(&acpi, NULL);
		expect_within_1000_ppm(tsc_hz(), true_hz);
		expect_within_1000_ppm(tsc_scale.lapic_hz, true_lapic_hz);
	}
}

static void tsc_calibrate__no_clock_runs__refused(void **state)
{
	(void)state;
	pm_rate = 0;
	if (setjmp(after_refusal))
		return;
	tsc_calibrate(&acpi, NULL);
	fail();
}

static void tsc_to_ns__round_trip__within_a_millionth(void **state)
{
	(void)state;
	tsc_calibrate(&acpi, NULL);
	for (uint64_t ns = 1000; ns < 1ull << 60; ns *= 7) {
		uint64_t back = tsc_to_ns(tsc_from_ns(ns));

		assert_true(back <= ns && ns - back <= 2 + ns / 1000000);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(tsc_calibrate__pm_timer_alone__right_to_a_thousandth, reset),
		cmocka_unit_test_setup(tsc_calibrate__interrupted_for_20_ms__measured_again_or_still_right, reset),
		cmocka_unit_test_setup(tsc_calibrate__no_clock_runs__refused, reset),
		cmocka_unit_test_setup(tsc_to_ns__round_trip__within_a_millionth, reset),
	};

	return cmocka_run_group_tests_name("tsc", tests, NULL, NULL);
}
