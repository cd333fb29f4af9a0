/*
 * The MC146818: calendar, formats, stopping and setting, and the three interrupts.
 * UNIT_SOURCES: drivers-vm/driver/rtc.c
 * UNIT_FLAGS: -Itests/unit/fake_model
 */
#include "model_fake.h"
#include "drivers-vm/driver/rtc.h"

#define IRQ  8u
#define LEAP 1709210096ll /* 2024-02-29 12:34:56, a Thursday */

static struct fake_model fake;
static struct rtc rtc;

static int setup(void **state)
{
	(void)state;
	fake_model_init(&fake);
	rtc_init(&rtc, &fake.host, fake_model_irq(&fake, IRQ), LEAP);
	return 0;
}

static uint8_t rd(uint8_t index)
{
	rtc_write(&rtc, 0, index);
	return rtc_read(&rtc, 1);
}

static void wr(uint8_t index, uint8_t value)
{
	rtc_write(&rtc, 0, index);
	rtc_write(&rtc, 1, value);
}

static void assert_time(uint8_t century, uint8_t year, uint8_t month, uint8_t day, uint8_t hour, uint8_t minute, uint8_t second)
{
	assert_int_equal(rd(RTC_CENTURY), century);
	assert_int_equal(rd(RTC_YEAR), year);
	assert_int_equal(rd(RTC_MONTH), month);
	assert_int_equal(rd(RTC_DAY), day);
	assert_int_equal(rd(RTC_HOURS), hour);
	assert_int_equal(rd(RTC_MINUTES), minute);
	assert_int_equal(rd(RTC_SECONDS), second);
}

static void seconds_pass(uint64_t n)
{
	fake.now += n * MODEL_NS_PER_SECOND;
}

static void fire(enum model_timer timer)
{
	assert_int_not_equal(fake.deadline[timer], 0);
	fake.now = fake.deadline[timer];
	fake.deadline[timer] = 0;
	rtc_timer(&rtc);
}

static void rtc_read__time__is_bcd_and_follows_clock(void **state)
{
	(void)state;
	assert_time(0x20, 0x24, 0x02, 0x29, 0x12, 0x34, 0x56);
	assert_int_equal(rd(RTC_WEEKDAY), 5);
	seconds_pass(12 * 3600);
	assert_time(0x20, 0x24, 0x03, 0x01, 0x00, 0x34, 0x56);
	assert_int_equal(rd(RTC_D), RTC_D_VRT);
}

static void rtc_read__binary_12_hours__formats_so(void **state)
{
	(void)state;
	wr(RTC_B, RTC_B_DM);
	assert_time(20, 24, 2, 29, 12 | 0x80, 34, 56);
	seconds_pass(12 * 3600);
	assert_int_equal(rd(RTC_HOURS), 12); /* half past midnight */
}

static void rtc_write__set_cycle__sets_time(void **state)
{
	(void)state;
	wr(RTC_B, RTC_B_24 | RTC_B_SET);
	wr(RTC_CENTURY, 0x19);
	wr(RTC_YEAR, 0x99);
	wr(RTC_MONTH, 0x12);
	wr(RTC_DAY, 0x31);
	wr(RTC_HOURS, 0x23);
	wr(RTC_MINUTES, 0x59);
	wr(RTC_SECONDS, 0x59);
	seconds_pass(10);
	assert_int_equal(rd(RTC_SECONDS), 0x59); /* stopped */
	wr(RTC_B, RTC_B_24);
	assert_time(0x19, 0x99, 0x12, 0x31, 0x23, 0x59, 0x59);
	seconds_pass(1);
	assert_time(0x20, 0x00, 0x01, 0x01, 0x00, 0x00, 0x00);
	assert_int_equal(rd(RTC_WEEKDAY), 7);
}

static void rtc_write__single_register_running__changes_only_it(void **state)
{
	(void)state;
	wr(RTC_MINUTES, 0x05);
	assert_time(0x20, 0x24, 0x02, 0x29, 0x12, 0x05, 0x56);
}

static void rtc_write__nonsense_time__gives_some_time(void **state)
{
	unsigned i;

	(void)state;
	for (i = 0; i < 256; i++) {
		wr(RTC_B, RTC_B_SET | (i & 6));
		wr(RTC_SECONDS, i);
		wr(RTC_MINUTES, i * 7);
		wr(RTC_HOURS, i * 11);
		wr(RTC_DAY, i * 13);
		wr(RTC_MONTH, i * 17);
		wr(RTC_YEAR, i * 19);
		wr(RTC_CENTURY, i * 23);
		wr(RTC_B, RTC_B_24);
		assert_in_range(rd(RTC_MONTH), 1, 0x12);
		assert_in_range(rd(RTC_DAY), 1, 0x31);
		assert_in_range(rd(RTC_HOURS), 0, 0x23);
	}
}

static void rtc_read__uip__only_just_before_the_second(void **state)
{
	(void)state;
	assert_int_equal(rd(RTC_A) & RTC_A_UIP, 0);
	fake.now += MODEL_NS_PER_SECOND - 100000;
	assert_int_equal(rd(RTC_A) & RTC_A_UIP, RTC_A_UIP);
	fake.now += 100000;
	assert_int_equal(rd(RTC_A) & RTC_A_UIP, 0);
}

static void rtc_write__divider_released__first_update_after_half_a_second(void **state)
{
	(void)state;
	wr(RTC_A, 0x70);
	seconds_pass(3);
	assert_int_equal(rd(RTC_SECONDS), 0x56);
	wr(RTC_A, 0x26);
	fake.now += 499000000;
	assert_int_equal(rd(RTC_SECONDS), 0x56);
	fake.now += 2000000;
	assert_int_equal(rd(RTC_SECONDS), 0x57);
}

static void rtc_timer__update_interrupt__once_until_acknowledged(void **state)
{
	(void)state;
	wr(RTC_B, RTC_B_24 | RTC_B_UIE);
	fire(MODEL_TIMER_RTC_SECOND);
	assert_true(fake.line[IRQ]);
	assert_int_equal(fake.deadline[MODEL_TIMER_RTC_SECOND], 0);
	assert_int_equal(rd(RTC_C) & ~RTC_C_PF, RTC_C_IRQF | RTC_C_UF); /* PF comes along, unmasked or not */
	assert_false(fake.line[IRQ]);
	assert_int_equal(rd(RTC_C), 0);
	fire(MODEL_TIMER_RTC_SECOND);
	assert_int_equal(fake.rises[IRQ], 2);
}

static void rtc_timer__periodic__has_the_rate_of_register_a(void **state)
{
	unsigned i;
	uint64_t start = fake.now;

	(void)state;
	wr(RTC_B, RTC_B_24 | RTC_B_PIE);
	for (i = 0; i < 1024; i++) {
		fire(MODEL_TIMER_RTC_PERIODIC);
		assert_int_equal(rd(RTC_C) & (RTC_C_PF | RTC_C_IRQF), RTC_C_PF | RTC_C_IRQF);
	}
	assert_int_equal(fake.rises[IRQ], 1024);
	assert_in_range(fake.now - start, MODEL_NS_PER_SECOND - 1000000, MODEL_NS_PER_SECOND + 1000);
}

static void rtc_read__register_c_without_interrupts__still_shows_flags(void **state)
{
	(void)state;
	seconds_pass(1);
	assert_int_equal(rd(RTC_C), RTC_C_PF | RTC_C_UF);
	assert_int_equal(rd(RTC_C), 0);
	assert_int_equal(fake.rises[IRQ], 0);
}

static void rtc_timer__alarm__comes_at_the_time_set(void **state)
{
	uint64_t start = fake.now;

	(void)state;
	wr(RTC_HOURS_ALARM, 0x13);
	wr(RTC_MINUTES_ALARM, 0x00);
	wr(RTC_SECONDS_ALARM, 0x05);
	wr(RTC_B, RTC_B_24 | RTC_B_AIE);
	assert_int_equal(fake.deadline[MODEL_TIMER_RTC_SECOND], start + (25 * 60 + 9) * MODEL_NS_PER_SECOND);
	fire(MODEL_TIMER_RTC_SECOND);
	assert_int_equal(rd(RTC_C) & (RTC_C_AF | RTC_C_IRQF), RTC_C_AF | RTC_C_IRQF);
}

static void rtc_timer__alarm_with_wildcards__comes_each_minute(void **state)
{
	uint64_t start = fake.now;

	(void)state;
	wr(RTC_HOURS_ALARM, 0xFF);
	wr(RTC_MINUTES_ALARM, 0xC0);
	wr(RTC_SECONDS_ALARM, 0x00);
	wr(RTC_B, RTC_B_24 | RTC_B_AIE);
	assert_int_equal(fake.deadline[MODEL_TIMER_RTC_SECOND], start + 4 * MODEL_NS_PER_SECOND);
	fire(MODEL_TIMER_RTC_SECOND);
	rd(RTC_C);
	assert_int_equal(fake.deadline[MODEL_TIMER_RTC_SECOND], start + 64 * MODEL_NS_PER_SECOND);
}

static void rtc_write__impossible_alarm__arms_nothing(void **state)
{
	(void)state;
	wr(RTC_HOURS_ALARM, 0x25);
	wr(RTC_B, RTC_B_24 | RTC_B_AIE);
	assert_int_equal(fake.deadline[MODEL_TIMER_RTC_SECOND], 0);
}

static void rtc_write__ram__keeps_bytes_and_index_wraps(void **state)
{
	(void)state;
	wr(0x40, 0xFF);
	wr(0x7F, 0x5A);
	assert_int_equal(rd(0x40), 0xFF);
	assert_int_equal(rd(0xFF), 0x5A); /* bit 7 is the NMI mask */
	assert_int_equal(rtc_read(&rtc, 0), 0xFF);
	wr(RTC_C, 0xFF);
	wr(RTC_D, 0);
	assert_int_equal(rd(RTC_C), 0);
	assert_int_equal(rd(RTC_D), RTC_D_VRT);
}

static void rtc_reset__with_interrupts__turns_them_off_and_keeps_time(void **state)
{
	(void)state;
	wr(RTC_B, RTC_B_24 | RTC_B_UIE | RTC_B_PIE);
	fire(MODEL_TIMER_RTC_SECOND);
	rtc_reset(&rtc);
	assert_false(fake.line[IRQ]);
	assert_int_equal(fake.deadline[MODEL_TIMER_RTC_SECOND], 0);
	assert_int_equal(fake.deadline[MODEL_TIMER_RTC_PERIODIC], 0);
	assert_int_equal(rd(RTC_SECONDS), 0x57);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(rtc_read__time__is_bcd_and_follows_clock, setup),
		cmocka_unit_test_setup(rtc_read__binary_12_hours__formats_so, setup),
		cmocka_unit_test_setup(rtc_write__set_cycle__sets_time, setup),
		cmocka_unit_test_setup(rtc_write__single_register_running__changes_only_it, setup),
		cmocka_unit_test_setup(rtc_write__nonsense_time__gives_some_time, setup),
		cmocka_unit_test_setup(rtc_read__uip__only_just_before_the_second, setup),
		cmocka_unit_test_setup(rtc_write__divider_released__first_update_after_half_a_second, setup),
		cmocka_unit_test_setup(rtc_timer__update_interrupt__once_until_acknowledged, setup),
		cmocka_unit_test_setup(rtc_timer__periodic__has_the_rate_of_register_a, setup),
		cmocka_unit_test_setup(rtc_read__register_c_without_interrupts__still_shows_flags, setup),
		cmocka_unit_test_setup(rtc_timer__alarm__comes_at_the_time_set, setup),
		cmocka_unit_test_setup(rtc_timer__alarm_with_wildcards__comes_each_minute, setup),
		cmocka_unit_test_setup(rtc_write__impossible_alarm__arms_nothing, setup),
		cmocka_unit_test_setup(rtc_write__ram__keeps_bytes_and_index_wraps, setup),
		cmocka_unit_test_setup(rtc_reset__with_interrupts__turns_them_off_and_keeps_time, setup),
	};

	return cmocka_run_group_tests_name("rtc", tests, NULL, NULL);
}
