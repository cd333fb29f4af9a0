/*
 * A machine goes on where it stood in a driver VM that is gone, and does not trust what it finds there.
 *
 * UNIT_SOURCES: drivers-vm/driver/watchdog.c drivers-vm/driver/cpu_plug.c
 * UNIT_SOURCES: drivers-vm/driver/machine.c drivers-vm/driver/machine_adopt.c
 * UNIT_SOURCES: drivers-vm/driver/acpi_pm.c drivers-vm/driver/state_area.c
 * UNIT_SOURCES: drivers-vm/driver/ioapic.c drivers-vm/driver/pic.c
 * UNIT_SOURCES: drivers-vm/driver/pit.c drivers-vm/driver/rtc.c
 * UNIT_SOURCES: drivers-vm/driver/uart16550.c drivers-vm/driver/pci_host.c
 * UNIT_SOURCES: drivers-vm/driver/pci_function.c drivers-vm/driver/pci_msix.c drivers-vm/driver/ivshmem.c
 * UNIT_SOURCES: drivers-vm/driver/virtio_pci.c drivers-vm/driver/virtio_device.c
 * UNIT_SOURCES: drivers-vm/driver/virtio_common.c drivers-vm/driver/virtio_console.c
 * UNIT_SOURCES: drivers-vm/driver/virtio_adopt.c drivers-vm/driver/virtio_blk_adopt.c
 * UNIT_SOURCES: drivers-vm/driver/virtio_net_adopt.c
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
#include "drivers-vm/driver/state_area.h"

#include <stdlib.h>

/* What one driver VM has of a machine. */
struct half {
	struct machine machine;
	struct virtio_rng rng;
	struct virtio_balloon balloon;
	struct ivshmem link[2];
};

static struct fake_model fake;
static struct half old, new;

static void make(struct half *h)
{
	static const struct ivshmem_config links[2] = { { .number = 7, .position = 0, .gpa = 0x100000000, .bytes = 0x1000 },
		                                        { .number = 9, .position = 1, .gpa = 0x140000000, .bytes = 0x100000 } };
	const struct machine_config config = { .vcpus = 2,
		                               .serial = true,
		                               .virtio_console = true,
		                               .rtc_epoch_seconds = 1000000000,
		                               .rng = &h->rng,
		                               .balloon = &h->balloon,
		                               .links = 2,
		                               .link = h->link,
		                               .link_config = links };

	memset(h, 0, sizeof(*h));
	machine_init(&h->machine, &config, &fake.host);
}

static int set_up(void **state)
{
	(void)state;
	fake_model_init(&fake);
	make(&old);
	return 0;
}

static void adopt(void)
{
	const struct machine_config behind = { .rng = &old.rng, .balloon = &old.balloon, .link = old.link };

	make(&new);
	machine_adopt(&new.machine, &old.machine, &behind);
}

static void out(struct half *h, uint16_t port, uint32_t value)
{
	machine_port_write(&h->machine, port, 1, value);
}

static uint32_t in(struct half *h, uint16_t port)
{
	return machine_port_read(&h->machine, port, 1);
}

static void pin_write(struct half *h, unsigned index, uint32_t value)
{
	machine_mmio_write(&h->machine, PLATFORM_IOAPIC_BASE, 4, index);
	machine_mmio_write(&h->machine, PLATFORM_IOAPIC_BASE + IOAPIC_IOWIN, 4, value);
}

static void machine_adopt__registers__are_as_they_were(void **state)
{
	(void)state;
	out(&old, PLATFORM_COM1_PORT + UART_SCR, 0x5A);
	out(&old, PLATFORM_COM1_PORT + UART_IIR_FCR, UART_FCR_ENABLE);
	assert_int_equal(machine_console_input(&old.machine, MACHINE_CONSOLE_SERIAL, (const uint8_t *)"abc", 3), 3);
	out(&old, PIC_MASTER_PORT, 0x11);
	for (unsigned i = 0; i < 3; i++)
		out(&old, PIC_MASTER_PORT + 1, (const uint8_t[]){ 0x20, 0x04, 0x01 }[i]);
	out(&old, PIC_MASTER_PORT + 1, 0xA5);
	out(&old, PLATFORM_RTC_PORT, 0x40);
	out(&old, PLATFORM_RTC_PORT + 1, 0x77);
	machine_port_write(&old.machine, PCI_HOST_ADDRESS_PORT, 4, 0x80000810);
	pin_write(&old, IOAPIC_REDTBL + 8, 0x31);
	adopt();
	assert_int_equal(in(&new, PLATFORM_COM1_PORT + UART_SCR), 0x5A);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(in(&new, PLATFORM_COM1_PORT), "abc"[i]);
	assert_int_equal(in(&new, PIC_MASTER_PORT + 1), 0xA5);
	assert_int_equal(in(&new, PLATFORM_RTC_PORT + 1), 0x77);
	assert_int_equal(machine_port_read(&new.machine, PCI_HOST_ADDRESS_PORT, 4), 0x80000810);
	assert_int_equal(machine_mmio_read(&new.machine, PLATFORM_IOAPIC_BASE + IOAPIC_IOWIN, 4), 0x31);
}

static void machine_adopt__output_that_was_gathered__comes_out_once(void **state)
{
	(void)state;
	out(&old, PLATFORM_COM1_PORT, 'x');
	out(&old, PLATFORM_COM1_PORT, 'y');
	assert_int_equal(fake.output_count, 0);
	adopt();
	assert_int_equal(fake.output_count, 0);
	machine_resume(&new.machine);
	assert_int_equal(fake.output_count, 2);
	assert_memory_equal(fake.output, "xy", 2);
}

static void machine_resume__periodic_timer__ticks_on(void **state)
{
	(void)state;
	out(&old, PIT_PORT + 3, 0x34); /* channel 0, mode 2, both bytes */
	out(&old, PIT_PORT, 0xA9);
	out(&old, PIT_PORT, 0x04); /* 1193 ticks: 1 ms */
	assert_int_not_equal(fake.deadline[MODEL_TIMER_PIT], 0);
	fake.deadline[MODEL_TIMER_PIT] = 0; /* the timer is gone with the driver VM */
	fake.now += 250000;
	adopt();
	machine_resume(&new.machine);
	assert_in_range(fake.deadline[MODEL_TIMER_PIT], fake.now, fake.now + 1100000);
}

static void machine_resume__asserted_edge__is_sent_again(void **state)
{
	(void)state;
	pin_write(&old, IOAPIC_REDTBL + 8, 0x31);
	old.machine.uart.irq_level = true;
	machine_set_gsi(&old.machine, 4, true);
	assert_int_equal(fake.msi_count, 1);
	adopt();
	assert_int_equal(fake.msi_count, 1);
	machine_resume(&new.machine);
	assert_int_equal(fake.msi_count, 2);
	assert_int_equal(fake.msi[1].data & 0xFF, 0x31);
}

static void machine_resume__wish_that_had_not_reached_its_wire__does(void **state)
{
	(void)state;
	pin_write(&old, IOAPIC_REDTBL + 8, 0x31);
	old.machine.uart.irq_level = true;
	adopt();
	machine_resume(&new.machine);
	assert_true(fake.msi_count >= 1);
	assert_int_equal(fake.msi[0].data & 0xFF, 0x31);
}

static void machine_adopt__counter_of_zero__leaves_the_timer_at_power_on(void **state)
{
	(void)state;
	old.machine.pit.channel[2] = (struct pit_channel){ .running = true, .armed = true, .mode = 2, .access = 3 };
	adopt();
	assert_false(new.machine.pit.channel[2].running);
	machine_resume(&new.machine);
	in(&new, PIT_PORT + 2);
}

static void machine_adopt__clock_of_the_future__is_as_after_power_on(void **state)
{
	(void)state;
	old.machine.rtc.base_ns = fake.now + 1;
	adopt();
	assert_int_equal(new.machine.rtc.base_ns, fake.now);
}

static void machine_adopt__full_fifo_that_is_too_full__is_empty(void **state)
{
	(void)state;
	old.machine.uart.fifo_count = UART_FIFO_BYTES + 1;
	adopt();
	assert_int_equal(in(&new, PLATFORM_COM1_PORT + UART_LSR) & UART_LSR_DR, 0);
}

static void exercise(struct half *h)
{
	static const uint16_t ports[] = { 0x20, 0x21, 0xA0, 0xA1,  0x40,  0x41,  0x42,  0x43,
		                          0x61, 0x70, 0x71, 0x3F8, 0x3F9, 0x3FA, 0x3FD, 0x4D0 };

	for (unsigned i = 0; i < sizeof(ports) / sizeof(ports[0]); i++) {
		in(h, ports[i]);
		out(h, ports[i], i * 37);
		in(h, ports[i]);
	}
	machine_pic_acknowledge(&h->machine);
	machine_console_input(&h->machine, MACHINE_CONSOLE_SERIAL, (const uint8_t *)"abcdefgh", 8);
	for (unsigned i = 0; i < 24; i++)
		machine_set_gsi(&h->machine, i, i & 1);
	machine_eoi(&h->machine, 0x31);
	for (unsigned i = 0; i < MODEL_TIMER_COUNT; i++)
		machine_timer(&h->machine, i);
}

/* ASan and UBSan look. */
static void machine_adopt__nonsense__stays_within_the_machine(void **state)
{
	uint8_t *bytes = (uint8_t *)&old;
	uint32_t seed = 1;

	(void)state;
	for (unsigned round = 0; round < 3000; round++) {
		make(&old);
		exercise(&old);
		for (unsigned i = 0; i < (round % 3 == 0 ? sizeof(old) : 40); i++) {
			seed = seed * 1664525 + 1013904223;
			bytes[round % 3 == 0 ? i : (seed >> 8) % sizeof(old.machine)] = (uint8_t)(seed >> 24);
		}
		adopt();
		machine_resume(&new.machine);
		fake.now += 1000000;
		exercise(&new);
		fake.output_count = 0;
	}
}

/* ---- The area that it all lies in ------------------------------------------------------------------------------------------------------ */

#define AREA_BYTES 0x10000u
#define LAYOUT     42u

static void state_area_open__nothing_counts__cannot_be_resumed(void **state)
{
	uint8_t *memory = aligned_alloc(4096, AREA_BYTES);
	struct state_area area;

	(void)state;
	memset(memory, 0x5A, AREA_BYTES);
	assert_false(state_area_open(&area, memory, AREA_BYTES, LAYOUT, true));
	assert_true(state_area_open(&area, memory, AREA_BYTES, LAYOUT, false));
	assert_false(state_area_open(&area, memory, AREA_BYTES, LAYOUT, true)); /* the first one died before it had made anything */
	free(memory);
}

static void state_area_old__after_commit__is_what_the_one_before_had(void **state)
{
	uint8_t *memory = aligned_alloc(4096, AREA_BYTES);
	struct state_area area;

	(void)state;
	assert_true(state_area_open(&area, memory, AREA_BYTES, LAYOUT, false));
	*(uint32_t *)state_area_take(&area, 1, 4) = 1;
	state_area_commit(&area);
	for (uint32_t life = 2; life < 6; life++) {
		assert_true(state_area_open(&area, memory, AREA_BYTES, LAYOUT, true));
		assert_int_equal(*(const uint32_t *)state_area_old(&area, state_area_take(&area, 1, 4)), life - 1);
		/* This one dies before it counts: the next finds the same. */
		assert_true(state_area_open(&area, memory, AREA_BYTES, LAYOUT, true));
		uint32_t *mine = state_area_take(&area, 1, 4);
		assert_int_equal(*mine, 0);
		assert_int_equal(*(const uint32_t *)state_area_old(&area, mine), life - 1);
		*mine = life;
		state_area_commit(&area);
	}
	assert_false(state_area_open(&area, memory, AREA_BYTES, LAYOUT + 1, true));
	state_area_forget(&area);
	assert_false(state_area_open(&area, memory, AREA_BYTES, LAYOUT, true));
	free(memory);
}

static void state_area_take__more_than_there_is__is_refused(void **state)
{
	uint8_t *memory = aligned_alloc(4096, AREA_BYTES);
	struct state_area area;

	(void)state;
	assert_true(state_area_open(&area, memory, AREA_BYTES, LAYOUT, false));
	assert_null(state_area_take(&area, 1, AREA_BYTES / 2));
	assert_null(state_area_take(&area, SIZE_MAX, 64));
	assert_non_null(state_area_take(&area, 400, 64));
	assert_null(state_area_take(&area, 100, 64));
	assert_null(state_area_old(&area, NULL));
	free(memory);
}

#define TEST(name) cmocka_unit_test_setup(name, set_up)

static uint32_t link_register(struct half *h, unsigned link, unsigned offset)
{
	uint32_t value = ~0u;

	assert_true(pci_bar_read(&h->link[link].function, IVSHMEM_BAR_REGISTERS, offset, 4, &value));
	return value;
}

static void machine_ring__number__finds_that_end_and_no_other(void **state)
{
	(void)state;
	machine_ring(&old.machine, 8, 0);
	assert_int_equal(link_register(&old, 0, IVSHMEM_INTR_STATUS) | link_register(&old, 1, IVSHMEM_INTR_STATUS), 0);
	machine_ring(&old.machine, 9, 0);
	assert_int_equal(link_register(&old, 0, IVSHMEM_INTR_STATUS), 0);
	assert_int_equal(link_register(&old, 1, IVSHMEM_INTR_STATUS), 1);
	assert_int_equal(old.machine.pci.device[4]->config[PCI_DEVICE_ID], 0x10); /* behind console, entropy device and balloon */
	machine_ring(&old.machine, 9, 0);
	machine_reset(&old.machine);
	assert_int_equal(link_register(&old, 1, IVSHMEM_INTR_STATUS), 0);
}

static void machine_resume__channels__keep_their_registers_and_are_rung(void **state)
{
	(void)state;
	pci_bar_write(&old.link[1].function, IVSHMEM_BAR_REGISTERS, IVSHMEM_INTR_MASK, 4, 77);
	adopt();
	assert_int_equal(link_register(&new, 1, IVSHMEM_INTR_MASK), 77);
	assert_int_equal(link_register(&new, 1, IVSHMEM_POSITION), 1);
	assert_int_equal(link_register(&new, 1, IVSHMEM_INTR_STATUS), 0);
	machine_resume(&new.machine);
	assert_int_equal(link_register(&new, 0, IVSHMEM_INTR_STATUS), 1);
	assert_int_equal(link_register(&new, 1, IVSHMEM_INTR_STATUS), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(machine_adopt__registers__are_as_they_were),
		TEST(machine_adopt__output_that_was_gathered__comes_out_once),
		TEST(machine_resume__periodic_timer__ticks_on),
		TEST(machine_resume__asserted_edge__is_sent_again),
		TEST(machine_resume__wish_that_had_not_reached_its_wire__does),
		TEST(machine_adopt__counter_of_zero__leaves_the_timer_at_power_on),
		TEST(machine_adopt__clock_of_the_future__is_as_after_power_on),
		TEST(machine_adopt__full_fifo_that_is_too_full__is_empty),
		TEST(machine_adopt__nonsense__stays_within_the_machine),
		TEST(machine_ring__number__finds_that_end_and_no_other),
		TEST(machine_resume__channels__keep_their_registers_and_are_rung),
		TEST(state_area_open__nothing_counts__cannot_be_resumed),
		TEST(state_area_old__after_commit__is_what_the_one_before_had),
		TEST(state_area_take__more_than_there_is__is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
