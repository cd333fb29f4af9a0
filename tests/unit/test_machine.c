/*
 * The whole machine of a guest: dispatch, wires between models, power-off and resets.
 * UNIT_SOURCES: drivers-vm/driver/watchdog.c drivers-vm/driver/cpu_plug.c
 * UNIT_SOURCES: drivers-vm/driver/machine.c drivers-vm/driver/acpi_pm.c
 * UNIT_SOURCES: drivers-vm/driver/ioapic.c drivers-vm/driver/pic.c
 * UNIT_SOURCES: drivers-vm/driver/pit.c drivers-vm/driver/rtc.c
 * UNIT_SOURCES: drivers-vm/driver/uart16550.c drivers-vm/driver/pci_host.c
 * UNIT_SOURCES: drivers-vm/driver/pci_function.c drivers-vm/driver/pci_msix.c drivers-vm/driver/ivshmem.c
 * UNIT_SOURCES: drivers-vm/driver/virtio_pci.c drivers-vm/driver/virtio_device.c
 * UNIT_SOURCES: drivers-vm/driver/virtio_adopt.c
 * UNIT_SOURCES: drivers-vm/driver/virtio_common.c drivers-vm/driver/virtio_console.c
 * UNIT_SOURCES: drivers-vm/driver/virtio_blk.c drivers-vm/driver/blk_device.c
 * UNIT_SOURCES: drivers-vm/driver/token_bucket.c
 * UNIT_SOURCES: drivers-vm/driver/virtio_rng.c drivers-vm/driver/virtio_balloon.c
 * UNIT_SOURCES: drivers-vm/driver/virtio_net.c drivers-vm/driver/virtio_net_send.c drivers-vm/driver/virtio_net_receive.c drivers-vm/driver/net_switch.c
 * UNIT_SOURCES: drivers-vm/driver/net_filter.c drivers-vm/driver/net_offload.c
 * UNIT_SOURCES: drivers-vm/driver/virtqueue.c drivers-vm/driver/virtqueue_split.c
 * UNIT_SOURCES: drivers-vm/driver/virtqueue_packed.c drivers-vm/driver/io_segment.c
 * UNIT_FLAGS: -Itests/unit/fake_model
 */
#include "model_fake.h"
#include "drivers-vm/driver/machine.h"

static struct fake_model fake;
static struct machine machine;

static int setup(void **state)
{
	const struct machine_config config = { .vcpus = 2, .serial = true, .debug_exit_port = 0xF4, .rtc_epoch_seconds = 1000000000 };

	(void)state;
	fake_model_init(&fake);
	machine_init(&machine, &config, &fake.host);
	return 0;
}

static void out(uint16_t port, uint32_t value)
{
	machine_port_write(&machine, port, 1, value);
}

static uint32_t in(uint16_t port)
{
	return machine_port_read(&machine, port, 1);
}

static void ioapic_pin(unsigned pin, uint32_t low)
{
	machine_mmio_write(&machine, PLATFORM_IOAPIC_BASE, 4, IOAPIC_REDTBL + 2 * pin);
	machine_mmio_write(&machine, PLATFORM_IOAPIC_BASE + IOAPIC_IOWIN, 4, low);
}

static void machine_port_read__unclaimed__is_all_ones(void **state)
{
	(void)state;
	assert_int_equal(machine_port_read(&machine, 0x1234, 1), 0xFF);
	assert_int_equal(machine_port_read(&machine, 0x1234, 2), 0xFFFF);
	assert_int_equal(machine_port_read(&machine, 0xFFFF, 4), 0xFFFFFFFF);
	assert_int_equal(machine_mmio_read(&machine, 0xFEB00000, 8), ~0ull);
	assert_int_equal(machine_mmio_read(&machine, 0xFEB00000, 2), 0xFFFF);
	machine_mmio_write(&machine, ~0ull, 8, 1);
}

static void machine_port_read__word_at_byte_device__is_two_bytes(void **state)
{
	(void)state;
	out(0x3FF, 0x77);
	assert_int_equal(machine_port_read(&machine, 0x3FE, 2) >> 8, 0x77);
}

static void machine_port_write__uart_interrupt__reaches_ioapic_pin_4_and_pic(void **state)
{
	(void)state;
	ioapic_pin(4, 0x34);
	out(0x3FC, UART_MCR_OUT2);
	out(0x3F9, UART_IER_ETBEI);
	assert_int_equal(fake.msi_count, 1);
	assert_int_equal(fake.msi[0].data & 0xFF, 0x34);
	assert_int_equal(in(0x20), 0x10);
}

static void machine_timer__pit__reaches_ioapic_pin_2(void **state)
{
	(void)state;
	ioapic_pin(2, 0x30);
	out(0x43, 0x30);
	out(0x40, 0xE8);
	out(0x40, 0x03);
	fake.now = fake.deadline[MODEL_TIMER_PIT];
	machine_timer(&machine, MODEL_TIMER_PIT);
	assert_int_equal(fake.msi_count, 1);
	assert_int_equal(fake.msi[0].data & 0xFF, 0x30);
	machine_timer(&machine, 12345);
}

static void machine_pic_acknowledge__pit_interrupt__gives_vector(void **state)
{
	(void)state;
	out(0x20, 0x11);
	out(0x21, 0x20);
	out(0x21, 0x04);
	out(0x21, 0x01);
	out(0x43, 0x30);
	out(0x40, 0xE8);
	out(0x40, 0x03);
	assert_false(fake.intr);
	fake.now = fake.deadline[MODEL_TIMER_PIT];
	machine_timer(&machine, MODEL_TIMER_PIT);
	assert_true(fake.intr);
	assert_int_equal(machine_pic_acknowledge(&machine), 0x20);
}

static void machine_eoi__level_gsi__delivers_again_while_asserted(void **state)
{
	(void)state;
	ioapic_pin(17, IOAPIC_RTE_TRIGGER_LEVEL | 0x61);
	machine_set_gsi(&machine, 17, true);
	machine_eoi(&machine, 0x61);
	assert_int_equal(fake.msi_count, 2);
}

static void machine_port_write__debug_exit__flushes_and_asks(void **state)
{
	(void)state;
	out(0x3F8, 'x');
	machine_port_write(&machine, 0xF4, 4, 0x10);
	assert_int_equal(fake.output_count, 1);
	assert_int_equal(fake.requests, 1);
	assert_int_equal(fake.request, MODEL_REQUEST_DEBUG_EXIT);
	assert_int_equal(fake.request_value, 0x10);
	machine_port_write(&machine, 0xF4, 1, 0x1FF);
	assert_int_equal(fake.request_value, 0xFF);
}

static void machine_port_write__debug_exit_not_configured__is_ignored(void **state)
{
	const struct machine_config config = { .vcpus = 1, .serial = true };

	(void)state;
	machine_init(&machine, &config, &fake.host);
	machine_port_write(&machine, 0xF4, 1, 1);
	machine_port_write(&machine, 0, 1, 1);
	assert_int_equal(fake.requests, 0);
}

static void machine_port_write__sleep_control_s5__powers_off(void **state)
{
	(void)state;
	out(0x3F8, 'x');
	out(PLATFORM_SLEEP_CONTROL_PORT, 0x14); /* type without enable */
	out(PLATFORM_SLEEP_CONTROL_PORT, 0x20); /* enable of another type */
	assert_int_equal(fake.requests, 0);
	out(PLATFORM_SLEEP_CONTROL_PORT, 0x34);
	assert_int_equal(fake.requests, 1);
	assert_int_equal(fake.request, MODEL_REQUEST_POWER_OFF);
	assert_int_equal(fake.output_count, 1);
}

static void machine_port_write__each_reset__asks_with_its_cause(void **state)
{
	(void)state;
	out(PLATFORM_RESET_PORT, 0);
	out(0xCF9, 0x02);
	assert_int_equal(fake.requests, 0);
	out(0xCF9, 0x06);
	assert_int_equal(fake.requests, 1);
	assert_int_equal(fake.request_value, MODEL_RESET_CF9);
	out(PLATFORM_RESET_PORT, PLATFORM_RESET_VALUE);
	assert_int_equal(fake.request_value, MODEL_RESET_ACPI);
	out(0x64, 0xFE);
	assert_int_equal(fake.request_value, MODEL_RESET_KEYBOARD);
	out(0x92, in(0x92) | 1);
	assert_int_equal(fake.request_value, MODEL_RESET_PORT92);
	assert_int_equal(fake.requests, 4);
	assert_int_equal(fake.request, MODEL_REQUEST_RESET);
}

/* Software spins until the controller takes a command, and drains it: neither may last for ever. */
static void machine_port_read__keyboard_status__never_busy_and_drains(void **state)
{
	(void)state;
	assert_int_equal(in(0x64) & 0x03, 0);
	out(0x64, 0xAA);
	assert_int_equal(in(0x64) & 0x03, 0x01);
	assert_int_equal(in(0x60), 0x55);
	assert_int_equal(in(0x64) & 0x03, 0);
}

static void machine_port_read__rtc__never_reads_all_ones_for_register_a(void **state)
{
	(void)state;
	out(0x70, 0x0A);
	assert_int_equal(in(0x71), 0x26);
}

static void machine_console_input__serial__reaches_uart(void **state)
{
	(void)state;
	assert_int_equal(machine_console_input(&machine, MACHINE_CONSOLE_SERIAL, (const uint8_t *)"hi", 2), 2);
	assert_int_equal(in(0x3F8), 'h');
	assert_int_equal(machine_console_input(&machine, 77, (const uint8_t *)"hi", 2), 2);
}

static void machine_port_read__without_serial__finds_no_uart(void **state)
{
	const struct machine_config config = { .vcpus = 1 };

	(void)state;
	machine_init(&machine, &config, &fake.host);
	out(0x3FF, 0x55);
	assert_int_equal(in(0x3FF), 0xFF);
}

static void machine_reset__after_use__masks_and_disarms(void **state)
{
	unsigned i;

	(void)state;
	ioapic_pin(4, 0x34);
	out(0x43, 0x34);
	out(0x40, 0);
	out(0x40, 0);
	out(0x70, 0x0B);
	out(0x71, 0x72);
	out(0x3F8, 'x');
	machine_reset(&machine);
	for (i = 0; i < MODEL_TIMER_COUNT; i++)
		assert_int_equal(fake.deadline[i], 0);
	assert_int_equal(fake.output_count, 1);
	fake.msi_count = 0;
	out(0x3FC, UART_MCR_OUT2);
	out(0x3F9, UART_IER_ETBEI);
	assert_int_equal(fake.msi_count, 0);
}

static void machine_access__random__survives(void **state)
{
	uint32_t x = 4711;
	unsigned i;

	(void)state;
	for (i = 0; i < 500000; i++) {
		uint16_t port;
		unsigned size;

		x = x * 1664525 + 1013904223;
		port = (x & 0x10) ? x >> 16 : x >> 16 & 0x3FF;
		size = 1u << (x >> 8 & 3);
		if (x & 0x20)
			machine_port_write(&machine, port, size, x >> 3);
		else
			machine_port_read(&machine, port, size);
		if (x & 0x40)
			machine_mmio_write(&machine, PLATFORM_IOAPIC_BASE + (x >> 20 & 0x3F), size, x * 31ull);
		else
			machine_mmio_read(&machine, PLATFORM_IOAPIC_BASE + (x >> 20), size);
		fake.now += x >> 8 & 0xFFFF;
		machine_timer(&machine, x >> 24 & 7);
		fake.output_count = 0;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(machine_port_read__unclaimed__is_all_ones, setup),
		cmocka_unit_test_setup(machine_port_read__word_at_byte_device__is_two_bytes, setup),
		cmocka_unit_test_setup(machine_port_write__uart_interrupt__reaches_ioapic_pin_4_and_pic, setup),
		cmocka_unit_test_setup(machine_timer__pit__reaches_ioapic_pin_2, setup),
		cmocka_unit_test_setup(machine_pic_acknowledge__pit_interrupt__gives_vector, setup),
		cmocka_unit_test_setup(machine_eoi__level_gsi__delivers_again_while_asserted, setup),
		cmocka_unit_test_setup(machine_port_write__debug_exit__flushes_and_asks, setup),
		cmocka_unit_test_setup(machine_port_write__debug_exit_not_configured__is_ignored, setup),
		cmocka_unit_test_setup(machine_port_write__sleep_control_s5__powers_off, setup),
		cmocka_unit_test_setup(machine_port_write__each_reset__asks_with_its_cause, setup),
		cmocka_unit_test_setup(machine_port_read__keyboard_status__never_busy_and_drains, setup),
		cmocka_unit_test_setup(machine_port_read__rtc__never_reads_all_ones_for_register_a, setup),
		cmocka_unit_test_setup(machine_console_input__serial__reaches_uart, setup),
		cmocka_unit_test_setup(machine_port_read__without_serial__finds_no_uart, setup),
		cmocka_unit_test_setup(machine_reset__after_use__masks_and_disarms, setup),
		cmocka_unit_test_setup(machine_access__random__survives, setup),
	};

	return cmocka_run_group_tests_name("machine", tests, NULL, NULL);
}
