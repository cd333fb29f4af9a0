/*
 * Fuzz target of the virtio console and all below it: the input is the guest's RAM and what its driver does.
 * Properties: no access outside of RAM or of the models (the sanitisers see it), and bounded work for each
 * access of the guest.
 */
#include "drivers-vm/driver/virtio_console.h"

#include <stdlib.h>
#include <string.h>

#define RAM_BYTES   0x2000u
#define STEP_BYTES  8u
#define STEPS_MAX   256u
#define OUTPUT_MAX  VIRTIO_CONSOLE_SLICE_BYTES /* in one access */
#define MESSAGE_MAX 64u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint8_t *ram;
static size_t output, messages;

static uint64_t now(void *ctx)
{
	(void)ctx;
	return 1;
}

static void timer_arm(void *ctx, unsigned timer, uint64_t deadline)
{
	(void)ctx;
	(void)deadline;
	if (timer != MODEL_TIMER_CONSOLE)
		abort();
}

static void inject_msi(void *ctx, uint64_t address, uint32_t data)
{
	(void)ctx;
	(void)data;
	if (address >> 20 != 0xFEE || ++messages > MESSAGE_MAX)
		abort();
}

static void *guest_ram(void *ctx, uint64_t gpa, uint64_t bytes)
{
	(void)ctx;
	return gpa <= RAM_BYTES && bytes <= RAM_BYTES - gpa ? ram + gpa : NULL;
}

static void console_write(void *ctx, unsigned console, const uint8_t *bytes, size_t count)
{
	volatile uint8_t sum = 0;

	(void)ctx;
	(void)console;
	for (size_t i = 0; i < count; i++)
		sum ^= bytes[i];
	output += count;
	if (output > OUTPUT_MAX + 1)
		abort();
}

static const struct model_host host = {
	.now_ns = now,
	.timer_arm = timer_arm,
	.inject_msi = inject_msi,
	.guest_ram = guest_ram,
	.console_write = console_write,
};

/* What every driver does first, so that the input need not find it: all on, queues at the start of RAM. */
static void start(struct pci_host *bus)
{
	static const uint32_t writes[][3] = {
		{VIRTIO_COMMON_DEVICE_STATUS, 1, 3},
		{VIRTIO_COMMON_DRIVER_FEATURE_SELECT, 4, 1},
		{VIRTIO_COMMON_DRIVER_FEATURE, 4, 1},
		{VIRTIO_COMMON_DRIVER_FEATURE_SELECT, 4, 0},
		{VIRTIO_COMMON_DRIVER_FEATURE, 4, 0x30000000},
		{VIRTIO_COMMON_DEVICE_STATUS, 1, 0xB},
		{VIRTIO_COMMON_QUEUE_SIZE, 2, 8},
		{VIRTIO_COMMON_QUEUE_DRIVER, 4, 0x100},
		{VIRTIO_COMMON_QUEUE_DEVICE, 4, 0x180},
		{VIRTIO_COMMON_QUEUE_MSIX_VECTOR, 2, 1},
		{VIRTIO_COMMON_QUEUE_ENABLE, 2, 1},
		{VIRTIO_COMMON_QUEUE_SELECT, 2, 1},
		{VIRTIO_COMMON_QUEUE_SIZE, 2, 8},
		{VIRTIO_COMMON_QUEUE_DESC, 4, 0x200},
		{VIRTIO_COMMON_QUEUE_DRIVER, 4, 0x300},
		{VIRTIO_COMMON_QUEUE_DEVICE, 4, 0x380},
		{VIRTIO_COMMON_QUEUE_ENABLE, 2, 1},
		{VIRTIO_COMMON_DEVICE_STATUS, 1, 0xF},
	};

	pci_host_mmio_write(bus, PLATFORM_ECAM_BASE + 0x8000 + PCI_COMMAND, 2, 7);
	for (unsigned i = 0; i < sizeof(writes) / sizeof(*writes); i++)
		pci_host_mmio_write(bus, PLATFORM_PCI_MMIO_BASE + writes[i][0], writes[i][1], writes[i][2]);
}

/* One step: what, where, how wide, and the value. */
static void step(struct pci_host *bus, struct virtio_console *console, const uint8_t *bytes)
{
	unsigned width = 1u << (bytes[1] & 3), at = bytes[2] | bytes[3] << 8;
	uint32_t value;

	memcpy(&value, bytes + 4, 4);
	output = messages = 0;
	switch (bytes[0] % 10) {
	case 0:
		pci_host_mmio_write(bus, PLATFORM_PCI_MMIO_BASE + at % VIRTIO_PCI_MEMORY_BYTES, width, value);
		break;
	case 1:
		pci_host_mmio_read(bus, PLATFORM_PCI_MMIO_BASE + at % VIRTIO_PCI_MEMORY_BYTES, width);
		break;
	case 2:
		pci_host_mmio_write(bus, PLATFORM_ECAM_BASE + 0x8000 + at % 0x1000, width, value);
		break;
	case 3:
		pci_host_mmio_read(bus, PLATFORM_ECAM_BASE + 0x8000 + at % 0x1000, width);
		break;
	case 4:
		pci_host_port_write(bus, (uint16_t)(PLATFORM_PCI_IO_BASE + at % 64), width & 7, value);
		break;
	case 5:
		virtio_console_input(console, bytes, STEP_BYTES);
		break;
	case 6:
		virtio_console_timer(console);
		break;
	case 7: /* the driver writes its rings */
		memcpy(ram + at % (RAM_BYTES - 4), &value, 4);
		break;
	case 8:
		virtio_pci_notify(&console->device, at);
		break;
	default:
		pci_host_mmio_write(bus, PLATFORM_PCI_MMIO_BASE + at % VIRTIO_COMMON_BYTES, width, value);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct pci_host bus;
	static struct virtio_console console;
	size_t in_ram = size < RAM_BYTES ? size : RAM_BYTES;

	ram = calloc(1, RAM_BYTES);
	if (ram == NULL)
		abort();
	memcpy(ram, data, in_ram);
	output = messages = 0;
	pci_host_init(&bus);
	virtio_console_init(&console, &host, 1, MODEL_TIMER_CONSOLE, 80, 24, false);
	if (!pci_host_plug(&bus, 1, &console.device.function))
		abort();
	start(&bus);
	/* The end of the input says what is done; it lies in RAM, too, when the input is short. */
	for (unsigned i = 0; i < STEPS_MAX && (i + 1) * STEP_BYTES <= size; i++)
		step(&bus, &console, data + size - (i + 1) * STEP_BYTES);
	pci_host_reset(&bus);
	free(ram);
	return 0;
}
