/*
 * The 8259A pair: initialisation, priorities, the ways to end an interrupt, and what is left when a request goes away.
 *
 * UNIT_SOURCES: drivers-vm/driver/pic.c
 * UNIT_FLAGS: -Itests/unit/fake_model
 */
#include "model_fake.h"
#include "drivers-vm/driver/pic.h"

static struct fake_model fake;
static struct pic pic;

static void initialise(uint8_t icw4)
{
	pic_write(&pic, 0x20, 0x11);
	pic_write(&pic, 0x21, 0x30);
	pic_write(&pic, 0x21, 0x04);
	pic_write(&pic, 0x21, icw4);
	pic_write(&pic, 0xA0, 0x11);
	pic_write(&pic, 0xA1, 0x38);
	pic_write(&pic, 0xA1, 0x02);
	pic_write(&pic, 0xA1, icw4);
}

static int setup(void **state)
{
	(void)state;
	fake_model_init(&fake);
	pic_init(&pic, &fake.host);
	initialise(0x01);
	return 0;
}

static void pic_set_line__before_initialisation__requests_nothing(void **state)
{
	(void)state;
	pic_init(&pic, &fake.host);
	pic_set_line(&pic, 1, true);
	assert_false(fake.intr);
}

static void pic_acknowledge__master_irq__gives_vector_and_serves(void **state)
{
	(void)state;
	pic_set_line(&pic, 4, true);
	assert_true(fake.intr);
	assert_int_equal(pic_acknowledge(&pic), 0x34);
	assert_false(fake.intr);
	pic_write(&pic, 0x20, 0x0B);
	assert_int_equal(pic_read(&pic, 0x20), 0x10);
	pic_write(&pic, 0x20, 0x20);
	assert_int_equal(pic_read(&pic, 0x20), 0);
	assert_false(fake.intr); /* the line is still high: one edge, one interrupt */
}

static void pic_acknowledge__slave_irq__cascades(void **state)
{
	(void)state;
	pic_set_line(&pic, 8, true);
	assert_int_equal(pic_acknowledge(&pic), 0x38);
	pic_write(&pic, 0x20, 0x0B);
	pic_write(&pic, 0xA0, 0x0B);
	assert_int_equal(pic_read(&pic, 0x20), 0x04);
	assert_int_equal(pic_read(&pic, 0xA0), 0x01);
	pic_write(&pic, 0xA0, 0x20);
	pic_write(&pic, 0x20, 0x62);
	assert_int_equal(pic_read(&pic, 0x20), 0);
	assert_int_equal(pic_read(&pic, 0xA0), 0);
}

static void pic_acknowledge__two_requests__serves_lower_number_first(void **state)
{
	(void)state;
	pic_set_line(&pic, 5, true);
	pic_set_line(&pic, 3, true);
	assert_int_equal(pic_acknowledge(&pic), 0x33);
	assert_false(fake.intr); /* 5 waits behind 3 in service */
	pic_set_line(&pic, 1, true);
	assert_true(fake.intr); /* 1 interrupts it */
	assert_int_equal(pic_acknowledge(&pic), 0x31);
	pic_write(&pic, 0x20, 0x20); /* ends 1, the highest in service */
	assert_false(fake.intr);
	pic_write(&pic, 0x20, 0x63);
	assert_true(fake.intr);
	assert_int_equal(pic_acknowledge(&pic), 0x35);
}

static void pic_write__mask__holds_request_back(void **state)
{
	(void)state;
	pic_write(&pic, 0x21, 0x10);
	pic_set_line(&pic, 4, true);
	assert_false(fake.intr);
	assert_int_equal(pic_read(&pic, 0x21), 0x10);
	assert_int_equal(pic_read(&pic, 0x20), 0x10); /* IRR shows it */
	pic_write(&pic, 0x21, 0);
	assert_true(fake.intr);
}

static void pic_acknowledge__request_gone__is_spurious_seven(void **state)
{
	(void)state;
	pic_set_line(&pic, 4, true);
	pic_set_line(&pic, 4, false);
	assert_int_equal(pic_acknowledge(&pic), 0x37);
	pic_write(&pic, 0x20, 0x0B);
	assert_int_equal(pic_read(&pic, 0x20), 0);
}

static void pic_write__elcr_level__repeats_until_released(void **state)
{
	(void)state;
	pic_write(&pic, 0x4D1, 0xFF);
	assert_int_equal(pic_read(&pic, 0x4D1), 0xDE);
	pic_write(&pic, 0x4D0, 0xFF);
	assert_int_equal(pic_read(&pic, 0x4D0), 0xF8);
	pic_set_line(&pic, 11, true);
	assert_int_equal(pic_acknowledge(&pic), 0x3B);
	pic_write(&pic, 0xA0, 0x20);
	pic_write(&pic, 0x20, 0x20);
	assert_true(fake.intr);
	pic_set_line(&pic, 11, false);
	assert_false(fake.intr);
}

static void pic_acknowledge__aeoi__leaves_nothing_in_service(void **state)
{
	(void)state;
	initialise(0x03);
	pic_set_line(&pic, 3, true);
	assert_int_equal(pic_acknowledge(&pic), 0x33);
	pic_write(&pic, 0x20, 0x0B);
	assert_int_equal(pic_read(&pic, 0x20), 0);
}

static void pic_write__rotate_on_eoi__makes_served_level_lowest(void **state)
{
	(void)state;
	pic_set_line(&pic, 3, true);
	pic_acknowledge(&pic);
	pic_write(&pic, 0x20, 0xA0);
	pic_set_line(&pic, 3, false);
	pic_set_line(&pic, 3, true);
	pic_set_line(&pic, 5, true);
	assert_int_equal(pic_acknowledge(&pic), 0x35);
}

static void pic_write__special_mask__lets_lower_levels_in(void **state)
{
	(void)state;
	pic_set_line(&pic, 3, true);
	pic_acknowledge(&pic);
	pic_set_line(&pic, 6, true);
	assert_false(fake.intr);
	pic_write(&pic, 0x21, 0x08);
	pic_write(&pic, 0x20, 0x68);
	assert_true(fake.intr);
	assert_int_equal(pic_acknowledge(&pic), 0x36);
}

static void pic_read__poll__acknowledges(void **state)
{
	(void)state;
	pic_write(&pic, 0x20, 0x0C);
	assert_int_equal(pic_read(&pic, 0x20), 0);
	pic_set_line(&pic, 6, true);
	pic_write(&pic, 0x20, 0x0C);
	assert_int_equal(pic_read(&pic, 0x20), 0x86);
	assert_false(fake.intr);
}

static void pic_write__icw1_without_icw4__needs_two_words(void **state)
{
	(void)state;
	pic_write(&pic, 0x20, 0x12); /* single, no ICW4 */
	pic_write(&pic, 0x21, 0x47);
	pic_write(&pic, 0x21, 0xFE);
	assert_int_equal(pic_read(&pic, 0x21), 0xFE);
	pic_set_line(&pic, 0, true);
	assert_int_equal(pic_acknowledge(&pic), 0x40);
}

static void pic_write__random_accesses__keep_intr_consistent(void **state)
{
	static const uint16_t ports[] = { 0x20, 0x21, 0xA0, 0xA1, 0x4D0, 0x4D1 };
	uint32_t x = 99;
	unsigned i;

	(void)state;
	for (i = 0; i < 200000; i++) {
		uint16_t port;

		x = x * 1664525 + 1013904223;
		port = ports[(x >> 8) % 6];
		switch (x >> 28 & 3) {
		case 0:
			pic_write(&pic, port, x >> 16);
			break;
		case 1:
			pic_read(&pic, port);
			break;
		case 2:
			pic_set_line(&pic, x >> 16 & 31, x >> 15 & 1);
			break;
		case 3:
			pic_acknowledge(&pic);
			break;
		}
		assert_int_equal(fake.intr, pic.intr);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(pic_set_line__before_initialisation__requests_nothing, setup),
		cmocka_unit_test_setup(pic_acknowledge__master_irq__gives_vector_and_serves, setup),
		cmocka_unit_test_setup(pic_acknowledge__slave_irq__cascades, setup),
		cmocka_unit_test_setup(pic_acknowledge__two_requests__serves_lower_number_first, setup),
		cmocka_unit_test_setup(pic_write__mask__holds_request_back, setup),
		cmocka_unit_test_setup(pic_acknowledge__request_gone__is_spurious_seven, setup),
		cmocka_unit_test_setup(pic_write__elcr_level__repeats_until_released, setup),
		cmocka_unit_test_setup(pic_acknowledge__aeoi__leaves_nothing_in_service, setup),
		cmocka_unit_test_setup(pic_write__rotate_on_eoi__makes_served_level_lowest, setup),
		cmocka_unit_test_setup(pic_write__special_mask__lets_lower_levels_in, setup),
		cmocka_unit_test_setup(pic_read__poll__acknowledges, setup),
		cmocka_unit_test_setup(pic_write__icw1_without_icw4__needs_two_words, setup),
		cmocka_unit_test_setup(pic_write__random_accesses__keep_intr_consistent, setup),
	};

	return cmocka_run_group_tests_name("pic", tests, NULL, NULL);
}
