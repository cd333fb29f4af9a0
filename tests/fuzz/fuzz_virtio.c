/*
 * Fuzz target of the virtio devices and all below them: the input is the guest's RAM and what its driver
 * does; its first byte says with which device, with which kind of ring, and whether RAM changes under the
 * device's hands: whenever it asks for anything, another vCPU has written a byte of the rings, and before any load of RAM perhaps the byte
 * that is loaded. Properties: no access outside of RAM, of the models or of the medium (the sanitisers see it), and bounded work for each
 * access of the guest.
 *
 * FUZZ_SOURCES: drivers-vm/driver/pci_host.c drivers-vm/driver/pci_function.c drivers-vm/driver/pci_msix.c
 * FUZZ_SOURCES: drivers-vm/driver/virtio_pci.c drivers-vm/driver/virtio_device.c drivers-vm/driver/virtio_common.c
 * FUZZ_SOURCES: drivers-vm/driver/virtio_adopt.c drivers-vm/driver/virtio_console.c drivers-vm/driver/virtqueue.c
 * FUZZ_SOURCES: drivers-vm/driver/virtqueue_split.c drivers-vm/driver/virtqueue_packed.c drivers-vm/driver/io_segment.c
 * FUZZ_SOURCES: drivers-vm/driver/virtio_blk.c drivers-vm/driver/blk_device.c drivers-vm/driver/blk_ram.c
 * FUZZ_SOURCES: drivers-vm/driver/token_bucket.c drivers-vm/driver/virtio_net.c drivers-vm/driver/virtio_net_send.c drivers-vm/driver/virtio_net_receive.c drivers-vm/driver/net_switch.c
 * FUZZ_SOURCES: drivers-vm/driver/net_filter.c drivers-vm/driver/net_offload.c drivers-vm/driver/virtio_rng.c
 * FUZZ_SOURCES: drivers-vm/driver/virtio_balloon.c
 * FUZZ_FLAGS: -fsanitize-coverage=trace-loads -Wl,--wrap=__asan_memcpy
 * FUZZ_OPTIONS: -max_len=4096
 */
#include "drivers-vm/driver/blk_ram.h"
#include "drivers-vm/driver/virtio_balloon.h"
#include "drivers-vm/driver/virtio_blk.h"
#include "drivers-vm/driver/virtio_console.h"
#include "drivers-vm/driver/virtio_net.h"
#include "drivers-vm/driver/virtio_rng.h"
#include "tests/fuzz/racing.h"

#include <stdlib.h>
#include <string.h>

#define RAM_BYTES    0x2000u
#define STEP_BYTES   8u
#define STEPS_MAX    256u
#define OUTPUT_MAX   VIRTIO_CONSOLE_SLICE_BYTES /* in one access */
#define MESSAGE_MAX  256u
#define MEDIUM_BYTES 0x4000u
#define RECEIVED_MAX (16u * 65536u) /* by the other port, in one access */

#define KIND_PACKED  0x80u
#define KIND_CHANGES 0x40u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { CONSOLE, DISK, NIC, RNG, BALLOON, DEVICES };

static uint8_t *ram;
static size_t output, messages, received;
static struct virtio_console console;
static struct virtio_blk disk;
static struct virtio_blk_request request[3];
static struct blk_ram medium;
static struct virtio_net nic;
static struct virtio_net_frame frame[3];
static struct net_switch net;
static struct virtio_rng rng;
static struct virtio_balloon balloon;
static struct virtio_pci *device;

/* What another vCPU writes meanwhile, three bytes for each time, over and over; none: 0 bytes. */
static const uint8_t *changes;
static size_t change_bytes, change_at;

static void change_ram(void)
{
	if (change_bytes < 3)
		return;
	if (change_at + 3 > change_bytes)
		change_at = 0;
	/* The rings and their first buffers are at the start. */
	ram[(changes[change_at] | (changes[change_at + 1] & 7u) << 8) % RAM_BYTES] = changes[change_at + 2];
	change_at += 3;
}

static uint64_t now(void *ctx)
{
	(void)ctx;
	change_ram();
	return 1;
}

static void timer_arm(void *ctx, unsigned timer, uint64_t deadline)
{
	(void)ctx;
	(void)deadline;
	if (timer >= MODEL_TIMER_COUNT)
		abort();
}

static void inject_msi(void *ctx, uint64_t address, uint32_t data)
{
	(void)ctx;
	(void)data;
	if (address >> 20 != 0xFEE || ++messages > MESSAGE_MAX)
		abort();
	change_ram();
}

static void *guest_ram(void *ctx, uint64_t gpa, uint64_t bytes)
{
	(void)ctx;
	change_ram();
	return gpa <= RAM_BYTES && bytes <= RAM_BYTES - gpa ? ram + gpa : NULL;
}

static void console_write(void *ctx, unsigned number, const uint8_t *bytes, size_t count)
{
	volatile uint8_t sum = 0;

	(void)ctx;
	(void)number;
	for (size_t i = 0; i < count; i++)
		sum ^= bytes[i];
	output += count;
	if (output > OUTPUT_MAX + 1)
		abort();
}

static size_t entropy(void *ctx, void *to, size_t count)
{
	(void)ctx;
	memset(to, 0x5A, count);
	return count;
}

/* The other end of the switch: looks at every byte, and can do nothing that the sender left undone. */
static void receive(struct net_port *port, struct net_frame *f)
{
	volatile uint8_t sum = 0;
	uint32_t bytes = 0;

	(void)port;
	if (f->segments > NET_SEGMENTS_MAX + 1)
		abort();
	for (unsigned i = 0; i < f->segments; i++) {
		for (uint32_t j = 0; j < f->segment[i].count; j++)
			sum ^= f->segment[i].bytes[j];
		bytes += f->segment[i].count;
	}
	received += bytes;
	if (bytes != f->bytes || received > VIRTIO_NET_SLICE * RECEIVED_MAX)
		abort();
}

static const struct net_port_ops port_ops = { .receive = receive };
static struct net_port other = { .ops = &port_ops, .policy = { .uplink = true, .trunk = true } };

static const struct model_host host = {
	.now_ns = now,
	.timer_arm = timer_arm,
	.inject_msi = inject_msi,
	.guest_ram = guest_ram,
	.console_write = console_write,
	.entropy = entropy,
};

/* What every driver does first, so that the input need not find it: all on, queues at the start of RAM. */
static void start(struct pci_host *bus)
{
	static const uint32_t writes[][3] = {
		{ VIRTIO_COMMON_DEVICE_STATUS, 1, 3 },         { VIRTIO_COMMON_DRIVER_FEATURE_SELECT, 4, 1 },
		{ VIRTIO_COMMON_DRIVER_FEATURE, 4, 5 }, /* as far as it is offered */
		{ VIRTIO_COMMON_DRIVER_FEATURE_SELECT, 4, 0 }, { VIRTIO_COMMON_DRIVER_FEATURE, 4, 0xFFFFFFFF },
		{ VIRTIO_COMMON_DEVICE_STATUS, 1, 0xB },       { VIRTIO_COMMON_QUEUE_SIZE, 2, 8 },
		{ VIRTIO_COMMON_QUEUE_DRIVER, 4, 0x100 },      { VIRTIO_COMMON_QUEUE_DEVICE, 4, 0x180 },
		{ VIRTIO_COMMON_QUEUE_MSIX_VECTOR, 2, 1 },     { VIRTIO_COMMON_QUEUE_ENABLE, 2, 1 },
		{ VIRTIO_COMMON_QUEUE_SELECT, 2, 1 },          { VIRTIO_COMMON_QUEUE_SIZE, 2, 8 },
		{ VIRTIO_COMMON_QUEUE_DESC, 4, 0x200 },        { VIRTIO_COMMON_QUEUE_DRIVER, 4, 0x300 },
		{ VIRTIO_COMMON_QUEUE_DEVICE, 4, 0x380 },      { VIRTIO_COMMON_QUEUE_ENABLE, 2, 1 },
		{ VIRTIO_COMMON_DEVICE_STATUS, 1, 0xF },
	};

	pci_host_mmio_write(bus, PLATFORM_ECAM_BASE + 0x8000 + PCI_COMMAND, 2, 7);
	for (unsigned i = 0; i < sizeof(writes) / sizeof(*writes); i++) {
		uint64_t value = writes[i][2];
		if (writes[i][0] == VIRTIO_COMMON_DRIVER_FEATURE)
			value &= device->offered >> (value == 5 ? 32 : 0);
		pci_host_mmio_write(bus, PLATFORM_PCI_MMIO_BASE + writes[i][0], writes[i][1], value);
	}
}

static void input(unsigned kind, const uint8_t *bytes)
{
	static uint8_t data[NET_HEADER_BYTES + STEP_BYTES];
	struct io_segment segment = { data, sizeof(data) };
	struct net_frame f = { .segment = &segment, .segments = 1, .bytes = sizeof(data) };

	if (kind == CONSOLE) {
		virtio_console_input(&console, bytes, STEP_BYTES);
	} else if (kind == NIC) {
		memset(data, 0xFF, 6);
		memcpy(data + NET_HEADER_BYTES, bytes, STEP_BYTES);
		net_switch_forward(&net, &other, &f, 1);
		net_switch_flush(&net);
	} else if (kind == BALLOON) {
		virtio_balloon_set_target(&balloon, bytes[4]);
	}
}

static void timer(unsigned kind)
{
	if (kind == CONSOLE)
		virtio_console_timer(&console);
	else if (kind == DISK)
		virtio_blk_timer(&disk);
	else if (kind == NIC)
		virtio_net_timer(&nic);
}

/* One step: what, where, how wide, and the value. */
static void step(struct pci_host *bus, unsigned kind, const uint8_t *bytes)
{
	unsigned width = 1u << (bytes[1] & 3), at = bytes[2] | bytes[3] << 8;
	uint32_t value;

	memcpy(&value, bytes + 4, 4);
	output = messages = received = 0;
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
		input(kind, bytes);
		break;
	case 6:
		timer(kind);
		break;
	case 7: /* the driver writes its rings */
		memcpy(ram + at % (RAM_BYTES - 4), &value, 4);
		break;
	case 8:
		virtio_pci_notify(device, at);
		break;
	default:
		pci_host_mmio_write(bus, PLATFORM_PCI_MMIO_BASE + at % VIRTIO_COMMON_BYTES, width, value);
	}
}

static void make(unsigned kind, bool packed, uint8_t *disk_memory)
{
	const struct virtio_blk_config disk_config = {
		.device = &medium.device,
		.queues = 2,
		.packed = packed,
		.request = request,
		.requests = 3,
	};
	const struct virtio_net_config nic_config = {
		.net = &net,
		.pairs = 2,
		.mtu = 1500,
		.packed = packed,
		.frame = frame,
		.frames = 3,
		.policy = { .spoof = true },
	};
	struct virtio_pci *const all[DEVICES] = { &console.device, &disk.device, &nic.device, &rng.device, &balloon.device };

	blk_ram_init(&medium, disk_memory, MEDIUM_BYTES, false);
	memset(&net, 0, sizeof(net));
	virtio_console_init(&console, &host, 1, MODEL_TIMER_CONSOLE, 80, 24, packed);
	virtio_blk_init(&disk, &host, &disk_config, MODEL_TIMER_DISK);
	virtio_net_init(&nic, &host, &nic_config, MODEL_TIMER_NIC);
	virtio_rng_init(&rng, &host, packed);
	virtio_balloon_init(&balloon, &host, 100, packed);
	net_switch_add(&net, &nic.port);
	net_switch_add(&net, &other);
	device = all[kind];
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct pci_host bus;
	size_t in_ram = size < RAM_BYTES ? size : RAM_BYTES;
	unsigned kind = size != 0 ? data[0] % DEVICES : 0;
	uint8_t *disk_memory = calloc(1, MEDIUM_BYTES);

	ram = calloc(1, RAM_BYTES);
	if (ram == NULL || disk_memory == NULL)
		abort();
	memcpy(ram, data, in_ram);
	output = messages = received = 0;
	pci_host_init(&bus);
	changes = data;
	change_bytes = size != 0 && data[0] & KIND_CHANGES ? size : 0;
	change_at = 0;
	make(kind, size != 0 && data[0] & KIND_PACKED, disk_memory);
	if (!pci_host_plug(&bus, 1, &device->function))
		abort();
	start(&bus);
	racing_share(ram, RAM_BYTES);
	racing_start(changes, change_bytes);
	/* The end of the input says what is done; it lies in RAM, too, when the input is short. */
	for (unsigned i = 0; i < STEPS_MAX && (i + 1) * STEP_BYTES <= size; i++)
		step(&bus, kind, data + size - (i + 1) * STEP_BYTES);
	pci_host_reset(&bus);
	racing_end();
	free(ram);
	free(disk_memory);
	return 0;
}
