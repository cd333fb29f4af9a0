/*
 * The virtio console through its PCI registers, as a driver sees it: finding the structures, negotiation,
 * both queues, and drivers that break the rules.
 * UNIT_SOURCES: drivers-vm/driver/pci_host.c drivers-vm/driver/pci_function.c
 * UNIT_SOURCES: drivers-vm/driver/pci_msix.c drivers-vm/driver/virtio_pci.c
 * UNIT_SOURCES: drivers-vm/driver/virtio_adopt.c
 * UNIT_SOURCES: drivers-vm/driver/virtio_device.c drivers-vm/driver/virtio_common.c
 * UNIT_SOURCES: drivers-vm/driver/virtio_console.c drivers-vm/driver/virtqueue.c drivers-vm/driver/virtqueue_split.c
 * UNIT_SOURCES: drivers-vm/driver/virtqueue_packed.c drivers-vm/driver/io_segment.c
 * UNIT_FLAGS: -Itests/unit/fake_model
 */
#include "model_fake.h"
#include "drivers-vm/driver/virtio_console.h"

#define DEVICE    1u
#define TIMER     ((unsigned)MODEL_TIMER_CONSOLE)
#define RAM_BYTES 0x40000u
#define SIZE      8u
#define RING(q)   (0x1000u * ((q) + 1)) /* descriptors; available ring at + 0x400, used ring at + 0x800 */
#define DATA      0x10000u
#define MEMORY    PLATFORM_PCI_MMIO_BASE
#define NOTIFY    PLATFORM_PCI_IO_BASE

static struct fake_model fake;
static struct pci_host bus;
static struct virtio_console console;
static uint8_t ram[RAM_BYTES];
static unsigned doorbell_changes;

static void *guest_ram(void *ctx, uint64_t gpa, uint64_t bytes)
{
	(void)ctx;
	return gpa <= RAM_BYTES && bytes <= RAM_BYTES - gpa ? ram + gpa : NULL;
}

static void doorbells_changed(void *ctx)
{
	(void)ctx;
	doorbell_changes++;
}

static int set_up(void **state)
{
	(void)state;
	fake_model_init(&fake);
	fake.host.guest_ram = guest_ram;
	fake.host.doorbells_changed = doorbells_changed;
	memset(ram, 0, sizeof(ram));
	doorbell_changes = 0;
	pci_host_init(&bus);
	virtio_console_init(&console, &fake.host, 1, TIMER, 80, 24, false);
	assert_true(pci_host_plug(&bus, DEVICE, &console.device.function));
	return 0;
}

/* ---- The driver's side ---- */

static uint32_t config(unsigned reg, unsigned size)
{
	return (uint32_t)pci_host_mmio_read(&bus, PLATFORM_ECAM_BASE + DEVICE * 0x8000ull + reg, size);
}

static void config_set(unsigned reg, unsigned size, uint32_t value)
{
	pci_host_mmio_write(&bus, PLATFORM_ECAM_BASE + DEVICE * 0x8000ull + reg, size, value);
}

static uint32_t get(uint32_t reg, unsigned size)
{
	return (uint32_t)pci_host_mmio_read(&bus, MEMORY + reg, size);
}

static void set(uint32_t reg, unsigned size, uint32_t value)
{
	pci_host_mmio_write(&bus, MEMORY + reg, size, value);
}

static uint8_t status(void)
{
	return (uint8_t)get(VIRTIO_COMMON_DEVICE_STATUS, 1);
}

static uint64_t device_features(void)
{
	uint64_t features;

	set(VIRTIO_COMMON_DEVICE_FEATURE_SELECT, 4, 0);
	features = get(VIRTIO_COMMON_DEVICE_FEATURE, 4);
	set(VIRTIO_COMMON_DEVICE_FEATURE_SELECT, 4, 1);
	return features | (uint64_t)get(VIRTIO_COMMON_DEVICE_FEATURE, 4) << 32;
}

static void negotiate(uint64_t features)
{
	config_set(PCI_COMMAND, 2, PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_BUS_MASTER);
	set(VIRTIO_COMMON_DEVICE_STATUS, 1, 0);
	set(VIRTIO_COMMON_DEVICE_STATUS, 1, VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER);
	set(VIRTIO_COMMON_DRIVER_FEATURE_SELECT, 4, 0);
	set(VIRTIO_COMMON_DRIVER_FEATURE, 4, (uint32_t)features);
	set(VIRTIO_COMMON_DRIVER_FEATURE_SELECT, 4, 1);
	set(VIRTIO_COMMON_DRIVER_FEATURE, 4, (uint32_t)(features >> 32));
	set(VIRTIO_COMMON_DEVICE_STATUS, 1, status() | VIRTIO_STATUS_FEATURES_OK);
}

static void msix_start(void)
{
	config_set(console.device.msix.capability + PCI_MSIX_CONTROL, 2, PCI_MSIX_ENABLE);
	for (unsigned i = 0; i < 3; i++) {
		set(VIRTIO_PCI_MSIX_OFFSET + 16 * i, 4, 0xFEE00000);
		set(VIRTIO_PCI_MSIX_OFFSET + 16 * i + 8, 4, 0x40 + i);
		set(VIRTIO_PCI_MSIX_OFFSET + 16 * i + 12, 4, 0);
	}
	set(VIRTIO_COMMON_CONFIG_MSIX_VECTOR, 2, 0);
}

static void queue_start(unsigned queue)
{
	set(VIRTIO_COMMON_QUEUE_SELECT, 2, queue);
	set(VIRTIO_COMMON_QUEUE_SIZE, 2, SIZE);
	set(VIRTIO_COMMON_QUEUE_MSIX_VECTOR, 2, queue + 1);
	set(VIRTIO_COMMON_QUEUE_DESC, 4, RING(queue));
	set(VIRTIO_COMMON_QUEUE_DRIVER, 4, RING(queue) + 0x400);
	set(VIRTIO_COMMON_QUEUE_DEVICE, 4, RING(queue) + 0x800);
	set(VIRTIO_COMMON_QUEUE_ENABLE, 2, 1);
}

static void start(void)
{
	negotiate(VIRTIO_F_VERSION_1 | VIRTIO_CONSOLE_F_SIZE);
	msix_start();
	queue_start(0);
	queue_start(1);
	set(VIRTIO_COMMON_DEVICE_STATUS, 1, status() | VIRTIO_STATUS_DRIVER_OK);
	assert_int_equal(status(), 0x0F);
}

static uint16_t ram16(unsigned at)
{
	return (uint16_t)(ram[at] | ram[at + 1] << 8);
}

static void ram16_set(unsigned at, uint16_t value)
{
	memcpy(ram + at, &value, 2);
}

static void offer(unsigned queue, uint16_t index, uint64_t addr, uint32_t len, uint16_t flags)
{
	struct virtq_desc desc = { .addr = addr, .len = len, .flags = flags };
	uint16_t next = ram16(RING(queue) + 0x402);

	memcpy(ram + RING(queue) + 16 * index, &desc, 16);
	ram16_set(RING(queue) + 0x404 + 2 * (next % SIZE), index);
	ram16_set(RING(queue) + 0x402, next + 1);
}

static void kick(unsigned queue)
{
	pci_host_port_write(&bus, (uint16_t)(NOTIFY + VIRTIO_PCI_NOTIFY_MULTIPLIER * queue), 2, queue);
}

static uint16_t used(unsigned queue)
{
	return ram16(RING(queue) + 0x802);
}

static uint32_t used_bytes(unsigned queue, unsigned index)
{
	uint32_t value;

	memcpy(&value, ram + RING(queue) + 0x804 + 8 * (index % SIZE) + 4, 4);
	return value;
}

static void expect_output(const char *text)
{
	assert_int_equal(fake.output_count, strlen(text));
	assert_memory_equal(fake.output, text, strlen(text));
}

/* ---- Finding it ---- */

static void capabilities__walked_as_a_driver_does__all_five_in_their_bars(void **state)
{
	unsigned found = 0;

	(void)state;
	assert_int_equal(config(0, 4), 0x10431AF4);
	assert_true(config(PCI_REVISION_ID, 1) >= 1 && config(PCI_SUBSYSTEM_ID, 2) >= 0x40);
	for (unsigned at = config(PCI_CAPABILITIES, 1); at != 0; at = config(at + 1, 1)) {
		unsigned type = config(at + VIRTIO_PCI_CAP_TYPE_AT, 1);
		unsigned bar = config(at + VIRTIO_PCI_CAP_BAR_AT, 1);
		if (config(at, 1) != PCI_CAPABILITY_VENDOR)
			continue;
		found |= 1u << type;
		assert_int_equal(config(at + VIRTIO_PCI_CAP_LENGTH_AT, 1),
		                 type == VIRTIO_PCI_CAP_NOTIFY || type == VIRTIO_PCI_CAP_PCI ? 20 : 16);
		assert_true(config(at + VIRTIO_PCI_CAP_OFFSET_AT, 4) + config(at + VIRTIO_PCI_CAP_SIZE_AT, 4) <=
		            console.device.function.bar[bar].bytes);
		if (type == VIRTIO_PCI_CAP_NOTIFY) {
			assert_int_equal(config(PCI_BAR0 + 4 * bar, 4), NOTIFY | PCI_BAR_IO);
			assert_int_equal(config(at + VIRTIO_PCI_CAP_MULTIPLIER, 4), VIRTIO_PCI_NOTIFY_MULTIPLIER);
		}
	}
	assert_int_equal(found, 0x3E);
}

static void device_config__read__size_of_the_terminal(void **state)
{
	(void)state;
	start();
	assert_int_equal(get(VIRTIO_PCI_DEVICE_OFFSET, 2), 80);
	assert_int_equal(get(VIRTIO_PCI_DEVICE_OFFSET + 2, 2), 24);
	assert_int_equal(get(VIRTIO_PCI_DEVICE_OFFSET, 4), 24 << 16 | 80);
	assert_int_equal(get(VIRTIO_PCI_DEVICE_OFFSET + VIRTIO_CONSOLE_MAX_PORTS, 4), 1);
	/* Behind its end is nothing. */
	assert_int_equal(get(VIRTIO_PCI_DEVICE_OFFSET + VIRTIO_CONSOLE_CONFIG_BYTES - 2, 4), 0);
}

static void device_config__emergency_write__goes_out_without_a_driver(void **state)
{
	(void)state;
	config_set(PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	set(VIRTIO_PCI_DEVICE_OFFSET + VIRTIO_CONSOLE_EMERG_WRITE, 4, '!');
	set(VIRTIO_PCI_DEVICE_OFFSET, 4, '?');
	expect_output("!");
}

static void config_window__structures_without_bars__same_registers(void **state)
{
	unsigned cap = console.device.access_capability;

	(void)state;
	start();
	config_set(PCI_COMMAND, 2, PCI_COMMAND_BUS_MASTER);
	config_set(cap + VIRTIO_PCI_CAP_BAR_AT, 1, VIRTIO_PCI_BAR_MEMORY);
	config_set(cap + VIRTIO_PCI_CAP_OFFSET_AT, 4, VIRTIO_COMMON_NUM_QUEUES);
	config_set(cap + VIRTIO_PCI_CAP_SIZE_AT, 4, 2);
	assert_int_equal(config(cap + VIRTIO_PCI_CAP_DATA, 2), 2);
	config_set(cap + VIRTIO_PCI_CAP_OFFSET_AT, 4, VIRTIO_COMMON_QUEUE_SELECT);
	config_set(cap + VIRTIO_PCI_CAP_DATA, 2, 1);
	assert_int_equal(console.device.queue_select, 1);
	/* Places and widths that do not exist. */
	for (unsigned length = 0; length < 12; length++) {
		config_set(cap + VIRTIO_PCI_CAP_SIZE_AT, 4, length);
		for (unsigned bar = 0; bar < 256; bar++) {
			config_set(cap + VIRTIO_PCI_CAP_BAR_AT, 1, bar);
			config_set(cap + VIRTIO_PCI_CAP_OFFSET_AT, 4, 0xFFFFFFFC);
			config_set(cap + VIRTIO_PCI_CAP_DATA, 4, 0);
			config(cap + VIRTIO_PCI_CAP_DATA, 4);
		}
	}
	assert_int_equal(console.device.status, 0x0F);
}

static void doorbell__driver_runs_io_bar_moved_off__follows(void **state)
{
	(void)state;
	config_set(PCI_COMMAND, 2, PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_BUS_MASTER);
	assert_int_equal(virtio_pci_doorbell(&console.device), 0);
	assert_int_equal(doorbell_changes, 0);
	start();
	assert_int_equal(doorbell_changes, 1);
	assert_int_equal(virtio_pci_doorbell(&console.device), NOTIFY);
	config_set(PCI_BAR0, 4, 0xD000);
	assert_int_equal(doorbell_changes, 2);
	assert_int_equal(virtio_pci_doorbell(&console.device), 0xD000);
	config_set(PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	assert_int_equal(doorbell_changes, 3);
	assert_int_equal(virtio_pci_doorbell(&console.device), 0);
	config_set(PCI_COMMAND, 2, PCI_COMMAND_IO | PCI_COMMAND_MEMORY);
	set(VIRTIO_COMMON_DEVICE_STATUS, 1, 0);
	assert_int_equal(doorbell_changes, 5);
	assert_int_equal(virtio_pci_doorbell(&console.device), 0);
}

static unsigned kicks;

static void count_kick(void *ctx)
{
	assert_ptr_equal(ctx, &fake);
	kicks++;
}

static void kick__host_that_serves_later__served_then(void **state)
{
	(void)state;
	fake.host.kick = count_kick;
	kicks = 0;
	start();
	assert_int_equal(kicks, VIRTIO_CONSOLE_QUEUES);
	memcpy(ram + DATA, "later", 5);
	offer(1, 0, DATA, 5, 0);
	kick(1);
	assert_int_equal(kicks, VIRTIO_CONSOLE_QUEUES + 1);
	assert_int_equal(fake.output_count, 0);
	virtio_pci_serve(&console.device);
	assert_int_equal(fake.output_count, 5);
}

/* ---- Negotiation ---- */

static void status__features_with_version_1__accepted(void **state)
{
	(void)state;
	negotiate(VIRTIO_F_VERSION_1);
	assert_int_equal(device_features(), VIRTIO_F_VERSION_1 | VIRTIO_F_EVENT_IDX | VIRTIO_F_INDIRECT_DESC | VIRTIO_CONSOLE_F_SIZE |
	                                            VIRTIO_CONSOLE_F_EMERG_WRITE);
	assert_true(status() & VIRTIO_STATUS_FEATURES_OK);
	set(VIRTIO_COMMON_DRIVER_FEATURE, 4, 0);
	assert_int_equal(get(VIRTIO_COMMON_DRIVER_FEATURE, 4), 1);
}

static void status__features_without_version_1_or_not_offered__refused(void **state)
{
	(void)state;
	negotiate(VIRTIO_CONSOLE_F_SIZE);
	assert_false(status() & VIRTIO_STATUS_FEATURES_OK);
	negotiate(VIRTIO_F_VERSION_1 | 1ull << 1);
	assert_false(status() & VIRTIO_STATUS_FEATURES_OK);
	negotiate(VIRTIO_F_VERSION_1 | 1ull << 63);
	assert_false(status() & VIRTIO_STATUS_FEATURES_OK);
	set(VIRTIO_COMMON_DEVICE_STATUS, 1, status() | VIRTIO_STATUS_DRIVER_OK);
	assert_false(status() & VIRTIO_STATUS_DRIVER_OK);
}

static void status__bits_written__only_a_reset_clears_and_only_the_device_sets_needs_reset(void **state)
{
	(void)state;
	start();
	set(VIRTIO_COMMON_DEVICE_STATUS, 1, VIRTIO_STATUS_NEEDS_RESET | VIRTIO_STATUS_ACKNOWLEDGE);
	assert_int_equal(status(), 0x0F);
	set(VIRTIO_COMMON_DEVICE_STATUS, 1, 0);
	assert_int_equal(status(), 0);
	set(VIRTIO_COMMON_QUEUE_SELECT, 2, 1);
	assert_int_equal(get(VIRTIO_COMMON_QUEUE_ENABLE, 2), 0);
	assert_int_equal(get(VIRTIO_COMMON_QUEUE_SIZE, 2), VIRTIO_CONSOLE_QUEUE_SIZE);
	assert_int_equal(get(VIRTIO_COMMON_QUEUE_DESC, 4), 0);
	assert_int_equal(get(VIRTIO_COMMON_QUEUE_MSIX_VECTOR, 2), VIRTIO_NO_VECTOR);
}

static void common__vector_that_does_not_exist__no_vector(void **state)
{
	(void)state;
	negotiate(VIRTIO_F_VERSION_1);
	set(VIRTIO_COMMON_CONFIG_MSIX_VECTOR, 2, 2);
	assert_int_equal(get(VIRTIO_COMMON_CONFIG_MSIX_VECTOR, 2), 2);
	set(VIRTIO_COMMON_CONFIG_MSIX_VECTOR, 2, 3);
	assert_int_equal(get(VIRTIO_COMMON_CONFIG_MSIX_VECTOR, 2), VIRTIO_NO_VECTOR);
}

static void common__queue_that_does_not_exist__size_0_and_nothing_written(void **state)
{
	(void)state;
	negotiate(VIRTIO_F_VERSION_1);
	for (unsigned queue = 2; queue < 0x10000; queue += 0x3331) {
		queue_start(queue);
		assert_int_equal(get(VIRTIO_COMMON_QUEUE_SIZE, 2), 0);
		assert_int_equal(get(VIRTIO_COMMON_QUEUE_ENABLE, 2), 0);
		virtio_pci_notify(&console.device, queue);
	}
	assert_int_equal(status(), 0x0B);
}

static void common__queue_running__its_registers_stand_still(void **state)
{
	(void)state;
	start();
	set(VIRTIO_COMMON_QUEUE_SELECT, 2, 1);
	set(VIRTIO_COMMON_QUEUE_SIZE, 2, 1);
	set(VIRTIO_COMMON_QUEUE_DESC, 4, 0xFFFF0000);
	set(VIRTIO_COMMON_QUEUE_ENABLE, 2, 0);
	assert_int_equal(get(VIRTIO_COMMON_QUEUE_SIZE, 2), SIZE);
	assert_int_equal(get(VIRTIO_COMMON_QUEUE_DESC, 4), RING(1));
	assert_int_equal(get(VIRTIO_COMMON_QUEUE_ENABLE, 2), 1);
}

static void common__every_offset_and_width__no_crash_and_only_whole_fields(void **state)
{
	(void)state;
	for (uint32_t at = 0; at < VIRTIO_PCI_MEMORY_BYTES; at++)
		for (unsigned size = 1; size <= 8; size *= 2) {
			config_set(PCI_COMMAND, 2, 7);
			set(at, size, 0xFFFFFFFF);
			get(at, size);
		}
	start();
	assert_int_equal(get(VIRTIO_COMMON_NUM_QUEUES, 2), 2);
	assert_int_equal(get(VIRTIO_COMMON_NUM_QUEUES, 1), 0);
	assert_int_equal(get(VIRTIO_COMMON_CONFIG_MSIX_VECTOR, 4), 0);
	set(VIRTIO_COMMON_DEVICE_STATUS, 4, 0);
	assert_int_equal(status(), 0x0F);
}

/* ---- Queues ---- */

static void transmit__buffers_offered_and_notified__written_out_and_given_back(void **state)
{
	(void)state;
	start();
	memcpy(ram + DATA, "Hello, world", 12);
	offer(1, 0, DATA, 7, 0);
	offer(1, 1, DATA + 7, 5, 0);
	expect_output("");
	kick(1);
	expect_output("Hello, world");
	assert_int_equal(used(1), 2);
	assert_int_equal(used_bytes(1, 0), 0);
	assert_int_equal(fake.msi_count, 1);
	assert_int_equal(fake.msi[0].data, 0x42);
	kick(1);
	assert_int_equal(fake.msi_count, 1);
}

static void transmit__buffers_offered_before_driver_ok__written_out_then(void **state)
{
	(void)state;
	negotiate(VIRTIO_F_VERSION_1);
	queue_start(1);
	memcpy(ram + DATA, "early", 5);
	offer(1, 0, DATA, 5, 0);
	kick(1);
	expect_output("");
	set(VIRTIO_COMMON_DEVICE_STATUS, 1, status() | VIRTIO_STATUS_DRIVER_OK);
	expect_output("early");
}

static void transmit__more_than_a_slice__goes_on_at_the_timer(void **state)
{
	const uint32_t bytes = 3 * VIRTIO_CONSOLE_SLICE_BYTES;

	(void)state;
	start();
	for (uint32_t i = 0; i < bytes; i++)
		ram[DATA + i] = (uint8_t)(i * 7);
	offer(1, 0, DATA, bytes, 0);
	kick(1);
	assert_int_equal(fake.output_count, VIRTIO_CONSOLE_SLICE_BYTES);
	assert_int_equal(used(1), 0);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(fake.deadline[TIMER], fake.now + VIRTIO_CONSOLE_SLICE_NS);
		fake.now = fake.deadline[TIMER];
		fake.deadline[TIMER] = 0;
		virtio_console_timer(&console);
	}
	assert_int_equal(fake.deadline[TIMER], 0);
	assert_int_equal(fake.output_count, bytes);
	assert_memory_equal(fake.output, ram + DATA, bytes);
	assert_int_equal(used(1), 1);
	assert_int_equal(fake.msi_count, 1);
}

static void transmit__reset_in_the_middle__forgotten(void **state)
{
	(void)state;
	start();
	offer(1, 0, DATA, 2 * VIRTIO_CONSOLE_SLICE_BYTES, 0);
	kick(1);
	set(VIRTIO_COMMON_DEVICE_STATUS, 1, 0);
	assert_int_equal(fake.deadline[TIMER], 0);
	virtio_console_timer(&console);
	assert_int_equal(fake.output_count, VIRTIO_CONSOLE_SLICE_BYTES);
	memset(ram, 0, 0x4000);
	start();
	offer(1, 0, DATA, 1, 0);
	kick(1);
	assert_int_equal(fake.output_count, VIRTIO_CONSOLE_SLICE_BYTES + 1);
}

static void transmit__only_writable_buffers__given_back_empty_and_never_for_ever(void **state)
{
	(void)state;
	start();
	for (uint16_t i = 0; i < SIZE; i++)
		offer(1, i, DATA, 16, VIRTQ_DESC_F_WRITE);
	kick(1);
	assert_int_equal(used(1), SIZE);
	expect_output("");
}

static void transmit__broken_ring__needs_reset_and_silence_until_then(void **state)
{
	(void)state;
	start();
	offer(1, 0, 0xFFFFFFFFFFFFull, 16, 0);
	kick(1);
	assert_true(status() & VIRTIO_STATUS_NEEDS_RESET);
	assert_int_equal(fake.msi_count, 1);
	assert_int_equal(fake.msi[0].data, 0x40);
	offer(1, 1, DATA, 1, 0);
	kick(1);
	expect_output("");
	assert_int_equal(virtio_console_input(&console, (const uint8_t *)"x", 1), 0);
	memset(ram, 0, 0x4000);
	start();
	offer(1, 0, DATA, 1, 0);
	kick(1);
	assert_int_equal(fake.output_count, 1);
}

static void transmit__ring_outside_ram__needs_reset(void **state)
{
	(void)state;
	negotiate(VIRTIO_F_VERSION_1);
	set(VIRTIO_COMMON_QUEUE_SELECT, 2, 1);
	set(VIRTIO_COMMON_QUEUE_DESC, 4, RAM_BYTES);
	set(VIRTIO_COMMON_QUEUE_ENABLE, 2, 1);
	assert_true(status() & VIRTIO_STATUS_NEEDS_RESET);
	set(VIRTIO_COMMON_DEVICE_STATUS, 1, status() | VIRTIO_STATUS_DRIVER_OK);
	kick(1);
	expect_output("");
}

static void transmit__bus_mastering_off__memory_is_left_alone(void **state)
{
	(void)state;
	start();
	offer(1, 0, DATA, 4, 0);
	config_set(PCI_COMMAND, 2, PCI_COMMAND_IO | PCI_COMMAND_MEMORY);
	kick(1);
	assert_int_equal(fake.output_count, 0);
	assert_int_equal(used(1), 0);
}

static void transmit__event_index__next_notification_asked_for(void **state)
{
	(void)state;
	negotiate(VIRTIO_F_VERSION_1 | VIRTIO_F_EVENT_IDX);
	msix_start();
	queue_start(1);
	set(VIRTIO_COMMON_DEVICE_STATUS, 1, status() | VIRTIO_STATUS_DRIVER_OK);
	ram16_set(RING(1) + 0x404 + 2 * SIZE, 1); /* interrupt at the second buffer */
	offer(1, 0, DATA, 4, 0);
	kick(1);
	assert_int_equal(ram16(RING(1) + 0x804 + 8 * SIZE), 1);
	assert_int_equal(fake.msi_count, 0);
	offer(1, 0, DATA, 4, 0);
	kick(1);
	assert_int_equal(fake.msi_count, 1);
}

static void interrupt__without_msix__isr_says_which_and_reading_clears(void **state)
{
	(void)state;
	negotiate(VIRTIO_F_VERSION_1);
	queue_start(1);
	set(VIRTIO_COMMON_DEVICE_STATUS, 1, status() | VIRTIO_STATUS_DRIVER_OK);
	offer(1, 0, DATA, 4, 0);
	kick(1);
	assert_int_equal(fake.msi_count, 0);
	assert_int_equal(get(VIRTIO_PCI_ISR_OFFSET, 1), VIRTIO_ISR_QUEUE);
	assert_int_equal(get(VIRTIO_PCI_ISR_OFFSET, 1), 0);
	virtio_pci_config_changed(&console.device);
	assert_int_equal(get(VIRTIO_PCI_ISR_OFFSET, 1), VIRTIO_ISR_CONFIG);
	assert_int_equal(get(VIRTIO_COMMON_CONFIG_GENERATION, 1), 1);
}

static void input__buffers_there__filled_and_signalled(void **state)
{
	(void)state;
	start();
	offer(0, 0, DATA, 4, VIRTQ_DESC_F_WRITE);
	offer(0, 1, DATA + 16, 16, VIRTQ_DESC_F_WRITE);
	assert_int_equal(virtio_console_input(&console, (const uint8_t *)"abcdefg", 7), 7);
	assert_memory_equal(ram + DATA, "abcd", 4);
	assert_memory_equal(ram + DATA + 16, "efg", 3);
	assert_int_equal(used(0), 2);
	assert_int_equal(used_bytes(0, 0), 4);
	assert_int_equal(used_bytes(0, 1), 3);
	assert_int_equal(fake.msi_count, 1);
	assert_int_equal(fake.msi[0].data, 0x41);
	assert_int_equal(fake.ready_calls, 0);
}

static void input__too_few_buffers__rest_is_refused_until_there_are_more(void **state)
{
	(void)state;
	start();
	offer(0, 0, DATA, 4, VIRTQ_DESC_F_WRITE);
	assert_int_equal(virtio_console_input(&console, (const uint8_t *)"abcdefg", 7), 4);
	assert_int_equal(ram16(RING(0) + 0x800), 0); /* notifications wanted */
	offer(0, 1, DATA, 4, VIRTQ_DESC_F_WRITE);
	kick(0);
	assert_int_equal(fake.ready_calls, 1);
	assert_int_equal(virtio_console_input(&console, (const uint8_t *)"efg", 3), 3);
	assert_int_equal(ram16(RING(0) + 0x800), VIRTQ_USED_F_NO_NOTIFY);
	kick(0);
	assert_int_equal(fake.ready_calls, 1);
}

static void input__no_driver_yet__refused_until_driver_ok(void **state)
{
	(void)state;
	assert_int_equal(virtio_console_input(&console, (const uint8_t *)"x", 1), 0);
	start();
	assert_int_equal(fake.ready_calls, 1);
}

static void input__buffers_that_hold_nothing__end_at_the_queue_size(void **state)
{
	(void)state;
	start();
	for (uint16_t i = 0; i < SIZE; i++)
		offer(0, i, DATA, 16, 0);
	assert_int_equal(virtio_console_input(&console, (const uint8_t *)"x", 1), 0);
	assert_int_equal(used(0), SIZE);
}

static void reset__of_the_machine__device_as_new(void **state)
{
	(void)state;
	start();
	pci_host_reset(&bus);
	assert_int_equal(console.device.status, 0);
	assert_int_equal(doorbell_changes, 2);
	assert_false(pci_msix_is_enabled(&console.device.msix));
	memset(ram, 0, 0x4000);
	start();
	offer(1, 0, DATA, 1, 0);
	kick(1);
	assert_int_equal(fake.output_count, 1);
}

#define CASE(name) cmocka_unit_test_setup(name, set_up)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(capabilities__walked_as_a_driver_does__all_five_in_their_bars),
		CASE(device_config__read__size_of_the_terminal),
		CASE(device_config__emergency_write__goes_out_without_a_driver),
		CASE(config_window__structures_without_bars__same_registers),
		CASE(doorbell__driver_runs_io_bar_moved_off__follows),
		CASE(kick__host_that_serves_later__served_then),
		CASE(status__features_with_version_1__accepted),
		CASE(status__features_without_version_1_or_not_offered__refused),
		CASE(status__bits_written__only_a_reset_clears_and_only_the_device_sets_needs_reset),
		CASE(common__vector_that_does_not_exist__no_vector),
		CASE(common__queue_that_does_not_exist__size_0_and_nothing_written),
		CASE(common__queue_running__its_registers_stand_still),
		CASE(common__every_offset_and_width__no_crash_and_only_whole_fields),
		CASE(transmit__buffers_offered_and_notified__written_out_and_given_back),
		CASE(transmit__buffers_offered_before_driver_ok__written_out_then),
		CASE(transmit__more_than_a_slice__goes_on_at_the_timer),
		CASE(transmit__reset_in_the_middle__forgotten),
		CASE(transmit__only_writable_buffers__given_back_empty_and_never_for_ever),
		CASE(transmit__broken_ring__needs_reset_and_silence_until_then),
		CASE(transmit__ring_outside_ram__needs_reset),
		CASE(transmit__bus_mastering_off__memory_is_left_alone),
		CASE(transmit__event_index__next_notification_asked_for),
		CASE(interrupt__without_msix__isr_says_which_and_reading_clears),
		CASE(input__buffers_there__filled_and_signalled),
		CASE(input__too_few_buffers__rest_is_refused_until_there_are_more),
		CASE(input__no_driver_yet__refused_until_driver_ok),
		CASE(input__buffers_that_hold_nothing__end_at_the_queue_size),
		CASE(reset__of_the_machine__device_as_new),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
