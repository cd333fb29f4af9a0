/*
 * The 6300ESB's driver, on a model of the device: two stages that count down while it is enabled, and writes that only count right after the two
 * words that unlock them.
 *
 * UNIT_SOURCES: drivers-vm/driver/host_watchdog.c
 * UNIT_FLAGS: -iquote tests/unit/fake_mmio
 */
#include "cmocka_all.h"

#include <string.h>

#include "drivers-vm/driver/host_watchdog.h"

static uint8_t registers[16];
static uint32_t stage[2], left_ms, unlocked, config;
static bool enabled, fired, was_reset;
static struct host_pci pci = { .bar = { registers }, .bar_bytes = { 16 } };

uint32_t fake_mmio_read(const volatile uint8_t *base, uint64_t offset)
{
	assert_ptr_equal(base, registers);
	assert_int_equal(offset, 0xC);
	return fired ? 0x1200 : 0x1000;
}

static uint32_t whole_ms(void)
{
	return stage[0] + stage[1];
}

void fake_mmio_write(volatile uint8_t *base, uint64_t offset, uint32_t value)
{
	assert_ptr_equal(base, registers);
	if (offset == 0xC && value == 0x80) {
		unlocked = 1;
		return;
	}
	if (offset == 0xC && value == 0x86 && unlocked == 1) {
		unlocked = 2;
		return;
	}
	assert_int_equal(unlocked, 2); /* a write that the device ignores */
	unlocked = 0;
	if (offset == 0xC) {
		fired &= !(value & 0x200);
		left_ms = value & 0x100 ? whole_ms() : left_ms;
		return;
	}
	assert_true((offset == 0 || offset == 4) && value < 1u << 20);
	stage[offset / 4] = value;
}

uint32_t host_pci_read(const struct host_pci *of, unsigned offset, unsigned bytes)
{
	assert_ptr_equal(of, &pci);
	assert_true(offset == 0 && bytes == 4);
	return 0x25AB8086;
}

void host_pci_write(const struct host_pci *of, unsigned offset, unsigned bytes, uint32_t value)
{
	assert_ptr_equal(of, &pci);
	if (offset == 0x60) {
		assert_int_equal(bytes, 2);
		config = value;
	} else {
		assert_true(offset == 0x68 && bytes == 1 && !(value & 1)); /* never locked: it can be turned off */
		if (!enabled && (value & 2))
			left_ms = whole_ms();
		enabled = value & 2;
	}
}

void host_pci_enable(const struct host_pci *of, bool decode, bool dma)
{
	assert_ptr_equal(of, &pci);
	assert_true(decode && !dma);
}

void host_device_log(const struct host_pci *of, const char *format, ...)
{
	(void)of;
	(void)format;
}

static void pass(uint32_t ms)
{
	was_reset |= enabled && ms >= left_ms;
	left_ms -= ms < left_ms ? ms : left_ms;
}

static void host_watchdog_set__before_it_is_there__nothing(void **state)
{
	(void)state;
	host_watchdog_set(10);
	assert_int_equal(host_watchdog_state(), HOST_WATCHDOG_NONE);
	assert_false(enabled);
}

static void start__after_it_has_fired__told_and_cleared(void **state)
{
	struct host_pci small = { .bar = { registers }, .bar_bytes = { 8 } };

	(void)state;
	assert_null(host_watchdog_driver.start(&small, 0));
	fired = true;
	assert_true(host_watchdog_driver.matches(&pci));
	assert_non_null(host_watchdog_driver.start(&pci, 0));
	assert_int_equal(host_watchdog_state(), HOST_WATCHDOG_FIRED);
	assert_false(fired);
	assert_null(host_watchdog_driver.start(&pci, 0)); /* a second one */
}

static void host_watchdog_set__again_and_again__no_reset_until_it_is_missing(void **state)
{
	(void)state;
	host_watchdog_set(30);
	assert_true(enabled);
	assert_int_equal(config & 0x20, 0); /* the reset output is on */
	assert_in_range(left_ms, 30000, 31000);
	for (unsigned i = 0; i < 100; i++) {
		pass(29000);
		host_watchdog_set(30);
	}
	assert_false(was_reset);
	pass(31000);
	assert_true(was_reset);
	was_reset = false;
}

static void host_watchdog_set__other_time_or_none__as_said(void **state)
{
	(void)state;
	host_watchdog_set(HOST_WATCHDOG_SECONDS_MAX);
	assert_true(left_ms >= HOST_WATCHDOG_SECONDS_MAX * 1000);
	host_watchdog_set(HOST_WATCHDOG_SECONDS_MAX + 1);
	assert_true(left_ms >= HOST_WATCHDOG_SECONDS_MAX * 1000);
	host_watchdog_set(0);
	assert_false(enabled);
	pass(UINT32_MAX);
	assert_false(was_reset);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(host_watchdog_set__before_it_is_there__nothing),
		cmocka_unit_test(start__after_it_has_fired__told_and_cleared),
		cmocka_unit_test(host_watchdog_set__again_and_again__no_reset_until_it_is_missing),
		cmocka_unit_test(host_watchdog_set__other_time_or_none__as_said),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
