/*
 * The 8254: counts, outputs and interrupts as its datasheet's timing diagrams show them.
 * UNIT_SOURCES: drivers-vm/driver/pit.c
 * UNIT_FLAGS: -Itests/unit/fake_model
 */
#include "model_fake.h"
#include "drivers-vm/driver/pit.h"

#define IRQ 0u

static struct fake_model fake;
static struct pit pit;

static int setup(void **state)
{
	(void)state;
	fake_model_init(&fake);
	pit_init(&pit, &fake.host, fake_model_irq(&fake, IRQ));
	return 0;
}

static void program(unsigned channel, unsigned mode, uint16_t count)
{
	pit_write(&pit, 3, channel << 6 | 0x30 | mode << 1);
	pit_write(&pit, channel, count & 0xFF);
	pit_write(&pit, channel, count >> 8);
}

static uint64_t ns(uint64_t ticks)
{
	return (ticks * 1000000000 + PIT_HZ - 1) / PIT_HZ;
}

static uint16_t two_bytes(unsigned channel)
{
	uint16_t low = pit_read(&pit, channel);

	return low | pit_read(&pit, channel) << 8;
}

static uint16_t count_of(unsigned channel)
{
	pit_write(&pit, 3, channel << 6);
	return two_bytes(channel);
}

static void fire(void)
{
	fake.deadline[MODEL_TIMER_PIT] = 0;
	pit_timer(&pit);
}

static void pit_write__mode0__raises_once_at_terminal_count(void **state)
{
	uint64_t start = fake.now;

	(void)state;
	program(0, 0, 1000);
	assert_false(fake.line[IRQ]);
	assert_int_equal(fake.deadline[MODEL_TIMER_PIT], start + ns(1000));
	fake.now = start + ns(400);
	assert_int_equal(count_of(0), 600);
	fake.now = fake.deadline[MODEL_TIMER_PIT];
	fire();
	assert_int_equal(fake.rises[IRQ], 1);
	assert_int_equal(fake.deadline[MODEL_TIMER_PIT], 0);
	fake.now += ns(1);
	assert_int_equal(count_of(0), 0xFFFF); /* it goes on counting */
}

static void pit_timer__mode2__keeps_phase_when_late(void **state)
{
	uint64_t start = fake.now;
	unsigned rises;

	(void)state;
	program(0, 2, 11932);
	rises = fake.rises[IRQ];
	assert_int_equal(fake.deadline[MODEL_TIMER_PIT], start + ns(11932));
	fake.now = start + ns(11932);
	fire();
	assert_int_equal(fake.rises[IRQ], rises + 1);
	assert_int_equal(fake.deadline[MODEL_TIMER_PIT], start + ns(2 * 11932));
	fake.now = start + ns(5 * 11932 + 17); /* three and a bit late */
	fire();
	assert_int_equal(fake.rises[IRQ], rises + 2);
	assert_int_equal(fake.deadline[MODEL_TIMER_PIT], start + ns(6 * 11932));
}

static void pit_timer__early__raises_nothing(void **state)
{
	(void)state;
	program(0, 2, 11932);
	fake.rises[IRQ] = 0;
	fake.now += 1000;
	fire();
	assert_int_equal(fake.rises[IRQ], 0);
	assert_int_not_equal(fake.deadline[MODEL_TIMER_PIT], 0);
}

static void pit_write__tiny_period__is_served_at_a_bounded_rate(void **state)
{
	(void)state;
	program(0, 2, 1);
	assert_true(fake.deadline[MODEL_TIMER_PIT] >= fake.now + 100000);
	fake.now = fake.deadline[MODEL_TIMER_PIT];
	fire();
	assert_true(fake.deadline[MODEL_TIMER_PIT] >= fake.now + 100000);
}

static void pit_read__count_zero__means_65536(void **state)
{
	(void)state;
	program(0, 2, 0);
	assert_int_equal(fake.deadline[MODEL_TIMER_PIT], fake.now + ns(65536));
	assert_int_equal(count_of(0), 0);
	fake.now += ns(1);
	assert_int_equal(count_of(0), 0xFFFF);
}

static void pit_read__latched_count__stays_until_read(void **state)
{
	(void)state;
	program(0, 2, 5000);
	fake.now += ns(1000);
	pit_write(&pit, 3, 0x00);
	fake.now += ns(1000);
	pit_write(&pit, 3, 0x00);
	assert_int_equal(two_bytes(0), 4000);
	assert_int_equal(count_of(0), 3000);
}

static void pit_read__readback_status__shows_mode_and_null_count(void **state)
{
	(void)state;
	pit_write(&pit, 3, 0x34);
	pit_write(&pit, 3, 0xE2);
	assert_int_equal(pit_read(&pit, 0), 0x80 | 0x40 | 0x34);
	pit_write(&pit, 0, 0xE8);
	pit_write(&pit, 0, 0x03);
	pit_write(&pit, 3, 0xC2); /* status and count */
	assert_int_equal(pit_read(&pit, 0), 0x80 | 0x34);
	assert_int_equal(two_bytes(0), 1000);
}

static void pit_read__bcd__counts_decimal(void **state)
{
	(void)state;
	pit_write(&pit, 3, 0x31);
	pit_write(&pit, 0, 0x00);
	pit_write(&pit, 0, 0x10);
	fake.now += ns(1);
	assert_int_equal(count_of(0), 0x0999);
	fake.now += ns(1000);
	assert_int_equal(count_of(0), 0x9999);
}

static void pit_read__single_byte_access__does_not_toggle(void **state)
{
	(void)state;
	pit_write(&pit, 3, 0x14); /* low byte only, mode 2 */
	pit_write(&pit, 0, 200);
	fake.now += ns(50);
	assert_int_equal(pit_read(&pit, 0), 150);
	assert_int_equal(pit_read(&pit, 0), 150);
	pit_write(&pit, 3, 0x24); /* high byte only */
	pit_write(&pit, 0, 2);
	assert_int_equal(pit_read(&pit, 0), 2);
}

/* How an operating system measures its TSC: gate channel 2, wait for OUT2. */
static void pit_read_port61__channel2_mode0__shows_output(void **state)
{
	(void)state;
	pit_write_port61(&pit, 0x01);
	assert_int_equal(pit_read_port61(&pit) & 0x03, 0x01);
	program(2, 0, 11932);
	assert_int_equal(pit_read_port61(&pit) & 0x20, 0);
	fake.now += ns(11931);
	assert_int_equal(pit_read_port61(&pit) & 0x20, 0);
	fake.now += ns(2);
	assert_int_equal(pit_read_port61(&pit) & 0x20, 0x20);
	assert_int_equal(fake.rises[IRQ], 0);
}

static void pit_write_port61__gate_low__pauses_mode0(void **state)
{
	(void)state;
	pit_write_port61(&pit, 0x01);
	program(2, 0, 1000);
	fake.now += ns(300);
	pit_write_port61(&pit, 0x00);
	fake.now += ns(5000);
	assert_in_range(count_of(2), 699, 701);
	assert_int_equal(pit_read_port61(&pit) & 0x20, 0);
	pit_write_port61(&pit, 0x01);
	fake.now += ns(702);
	assert_int_equal(pit_read_port61(&pit) & 0x20, 0x20);
}

static void pit_write_port61__gate_edge__triggers_mode1(void **state)
{
	(void)state;
	program(2, 1, 1000);
	assert_int_equal(pit_read_port61(&pit) & 0x20, 0x20);
	pit_write_port61(&pit, 0x01);
	assert_int_equal(pit_read_port61(&pit) & 0x20, 0);
	fake.now += ns(1001);
	assert_int_equal(pit_read_port61(&pit) & 0x20, 0x20);
}

static void pit_read_port61__time_passes__toggles_refresh(void **state)
{
	uint8_t first = pit_read_port61(&pit) & 0x10;

	(void)state;
	fake.now += 15085;
	assert_int_not_equal(pit_read_port61(&pit) & 0x10, first);
}

static void pit_write__new_count_in_mode2__waits_for_end_of_cycle(void **state)
{
	uint64_t start = fake.now;

	(void)state;
	program(0, 2, 10000);
	fake.now = start + ns(2000);
	pit_write(&pit, 0, 0x88);
	pit_write(&pit, 0, 0x13); /* 5000 */
	assert_int_equal(fake.deadline[MODEL_TIMER_PIT], start + ns(10000));
	fake.now = start + ns(10000);
	fire();
	assert_in_range(fake.deadline[MODEL_TIMER_PIT], start + ns(15000) - 2, start + ns(15000) + 2);
}

static void pit_write__mode3__halves_and_value_steps_by_two(void **state)
{
	(void)state;
	pit_write_port61(&pit, 0x01);
	program(2, 3, 1000);
	fake.now += ns(100);
	assert_int_equal(count_of(2), 800);
	assert_int_equal(pit_read_port61(&pit) & 0x20, 0x20);
	fake.now += ns(500);
	assert_int_equal(pit_read_port61(&pit) & 0x20, 0);
}

static void pit_write__random_accesses__stay_bounded(void **state)
{
	uint32_t x = 7;
	unsigned i;

	(void)state;
	for (i = 0; i < 200000; i++) {
		x = x * 1664525 + 1013904223;
		switch (x >> 29) {
		case 0:
		case 1:
		case 2:
			pit_write(&pit, x >> 8 & 3, x >> 16);
			break;
		case 3:
		case 4:
			pit_read(&pit, x >> 8 & 3);
			break;
		case 5:
			pit_write_port61(&pit, x >> 16);
			break;
		case 6:
			pit_read_port61(&pit);
			break;
		case 7:
			fire();
			break;
		}
		fake.now += x >> 12 & 0xFFFFF;
		if (fake.deadline[MODEL_TIMER_PIT] && fake.deadline[MODEL_TIMER_PIT] <= fake.now)
			fire();
		assert_true(fake.deadline[MODEL_TIMER_PIT] == 0 || fake.deadline[MODEL_TIMER_PIT] > fake.now);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(pit_write__mode0__raises_once_at_terminal_count, setup),
		cmocka_unit_test_setup(pit_timer__mode2__keeps_phase_when_late, setup),
		cmocka_unit_test_setup(pit_timer__early__raises_nothing, setup),
		cmocka_unit_test_setup(pit_write__tiny_period__is_served_at_a_bounded_rate, setup),
		cmocka_unit_test_setup(pit_read__count_zero__means_65536, setup),
		cmocka_unit_test_setup(pit_read__latched_count__stays_until_read, setup),
		cmocka_unit_test_setup(pit_read__readback_status__shows_mode_and_null_count, setup),
		cmocka_unit_test_setup(pit_read__bcd__counts_decimal, setup),
		cmocka_unit_test_setup(pit_read__single_byte_access__does_not_toggle, setup),
		cmocka_unit_test_setup(pit_read_port61__channel2_mode0__shows_output, setup),
		cmocka_unit_test_setup(pit_write_port61__gate_low__pauses_mode0, setup),
		cmocka_unit_test_setup(pit_write_port61__gate_edge__triggers_mode1, setup),
		cmocka_unit_test_setup(pit_read_port61__time_passes__toggles_refresh, setup),
		cmocka_unit_test_setup(pit_write__new_count_in_mode2__waits_for_end_of_cycle, setup),
		cmocka_unit_test_setup(pit_write__mode3__halves_and_value_steps_by_two, setup),
		cmocka_unit_test_setup(pit_write__random_accesses__stay_bounded, setup),
	};

	return cmocka_run_group_tests_name("pit", tests, NULL, NULL);
}
