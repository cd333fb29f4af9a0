/*
 * What the machine's clock shows, in each of its formats.
 *
 * UNIT_SOURCES: drivers-vm/driver/cmos.c
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "drivers-vm/driver/cmos.h"

static uint8_t cmos[16];
static unsigned updating;

static uint8_t cmos_register(uint8_t reg)
{
	assert_true(reg < sizeof(cmos));
	if (reg == 0x0A && updating != 0)
		return (uint8_t)(--updating, 0x80);
	return cmos[reg];
}

static uint64_t show(uint8_t status, uint8_t year, uint8_t month, uint8_t day, uint8_t hour, uint8_t minute, uint8_t second)
{
	const uint8_t shown[16] = { [0] = second, [2] = minute, [4] = hour, [7] = day, [8] = month, [9] = year, [0xB] = status };

	__builtin_memcpy(cmos, shown, sizeof(cmos));
	return cmos_read_seconds(cmos_register);
}

static void cmos_read_seconds__each_format__the_same_time(void **state)
{
	(void)state;
	assert_int_equal(show(6, 26, 2, 28, 23, 59, 58), 1772323198);
	assert_int_equal(show(2, 0x26, 2, 0x28, 0x23, 0x59, 0x58), 1772323198);
	assert_int_equal(show(4, 26, 2, 28, 0x80 | 11, 59, 58), 1772323198);
	assert_int_equal(show(0, 0x26, 2, 0x28, 0x80 | 0x11, 0x59, 0x58), 1772323198);
}

static void cmos_read_seconds__noon_and_midnight_of_12_hours__12_and_0(void **state)
{
	(void)state;
	assert_int_equal(show(4, 0, 1, 1, 12, 0, 0), 946684800);
	assert_int_equal(show(4, 0, 1, 1, 0x80 | 12, 0, 0), 946684800 + 12 * 3600);
}

static void cmos_read_seconds__ends_of_the_range__counted(void **state)
{
	(void)state;
	assert_int_equal(show(6, 24, 2, 29, 0, 0, 0), 1709164800);
	assert_int_equal(show(6, 24, 3, 1, 0, 0, 0), 1709251200);
	assert_int_equal(show(6, 99, 12, 31, 23, 59, 59), 4102444799);
}

static void cmos_read_seconds__no_date__zero(void **state)
{
	(void)state;
	assert_int_equal(show(0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF), 0); /* no chip */
	assert_int_equal(show(6, 26, 0, 1, 0, 0, 0), 0);
	assert_int_equal(show(6, 26, 13, 1, 0, 0, 0), 0);
	assert_int_equal(show(6, 26, 1, 0, 0, 0, 0), 0);
	assert_int_equal(show(6, 26, 1, 32, 0, 0, 0), 0);
	assert_int_equal(show(6, 26, 1, 1, 24, 0, 0), 0);
	assert_int_equal(show(6, 26, 1, 1, 0, 60, 0), 0);
	assert_int_equal(show(6, 26, 1, 1, 0, 0, 60), 0);
	assert_int_equal(show(6, 100, 1, 1, 0, 0, 0), 0);
}

static void cmos_read_seconds__update_under_way__waits_but_not_for_ever(void **state)
{
	(void)state;
	updating = 5;
	assert_int_equal(show(6, 26, 2, 28, 23, 59, 58), 1772323198);
	assert_int_equal(updating, 0);
	updating = UINT32_MAX;
	assert_int_equal(show(6, 26, 2, 28, 23, 59, 58), 1772323198);
	updating = 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cmos_read_seconds__each_format__the_same_time),
		cmocka_unit_test(cmos_read_seconds__noon_and_midnight_of_12_hours__12_and_0),
		cmocka_unit_test(cmos_read_seconds__ends_of_the_range__counted),
		cmocka_unit_test(cmos_read_seconds__no_date__zero),
		cmocka_unit_test(cmos_read_seconds__update_under_way__waits_but_not_for_ever),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
