/*
 * Fuzz target of the memory between control VM and driver VM. The first byte says which of the two is hostile: the driver VM, which
 * writes what the input says into the area between any two steps of the control VM's card and disk; or the control VM, likewise, with
 * the driver VM's side. Where the first byte says so, the area changes before any load of it, too. Properties: no access outside of the area and of one's own memory (the sanitisers see it), bounded work, and each
 * operation of the disk is over once.
 *
 * FUZZ_SOURCES: drivers-vm/control/net/port.c drivers-vm/control/net/port_queue.c drivers-vm/control/net/port_disk.c
 * FUZZ_SOURCES: drivers-vm/driver/service_port.c drivers-vm/driver/virtqueue.c drivers-vm/driver/virtqueue_split.c
 * FUZZ_SOURCES: drivers-vm/driver/virtqueue_packed.c drivers-vm/driver/io_segment.c drivers-vm/driver/blk_device.c
 * FUZZ_SOURCES: drivers-vm/driver/blk_ram.c drivers-vm/driver/net_switch.c drivers-vm/driver/net_filter.c
 * FUZZ_SOURCES: drivers-vm/driver/net_offload.c
 * FUZZ_FLAGS: -fsanitize-coverage=trace-loads -Wl,--wrap=__asan_memcpy
 * FUZZ_OPTIONS: -max_len=2049
 */
#include "drivers-vm/control/net/port.h"
#include "drivers-vm/control/net/port_private.h"
#include "drivers-vm/driver/blk_ram.h"
#include "drivers-vm/driver/service_port.h"
#include "tests/fuzz/racing.h"

#include <stdlib.h>
#include <string.h>

#define STEP_BYTES   8u
#define STEPS_MAX    512u
#define MEDIUM_BYTES 0x8000u
#define SECTORS      (MEDIUM_BYTES / 512u)

#define KIND_DRIVER  0x01u /* is hostile */
#define KIND_CHANGES 0x40u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint8_t *area, *memory;
static unsigned kicks, under_way;

static void kick(void)
{
	kicks++;
}

static uint64_t now_ns(void)
{
	return 1;
}

/* A write into the area: small offsets are those of the rings, whose fields are hit more often than buffers. */
static void scribble(const uint8_t *step)
{
	uint32_t where = step[1] | (uint32_t)step[2] << 8, value;

	memcpy(&value, step + 4, sizeof(value));
	switch (step[3] % 4) {
	case 0: /* a field of a used or available ring's beginning */
		where = PORT_AREA_RINGS(where % PORT_AREA_QUEUES) + (where & 0x100 ? PORT_AREA_USED : PORT_AREA_AVAIL) +
		        (where >> 9) % 32 * 2;
		memcpy(area + where, &value, 2);
		break;
	case 1: /* descriptors */
		where = PORT_AREA_RINGS(where % PORT_AREA_QUEUES) + (where >> 8) * 4;
		memcpy(area + where, &value, 4);
		break;
	case 2:
		memcpy(area + PORT_AREA_DISK_HEADER + where % 20, &value, 4);
		break;
	default:
		memcpy(area + where % (PORT_AREA_BYTES - 4), &value, 4);
	}
}

/* ---- The control VM's side, against a hostile driver VM ---- */

static void frame(const uint8_t *bytes, size_t count)
{
	volatile uint8_t sum = 0;

	if (count < PORT_AREA_FRAME_BYTES_MIN || count > PORT_FRAME_BYTES)
		abort();
	for (size_t i = 0; i < count; i++)
		sum ^= bytes[i];
}

static void done(bool ok)
{
	(void)ok;
	if (under_way-- != 1)
		abort();
}

static void ask_disk(const uint8_t *step)
{
	const struct store_disk *disk = port_disk();
	size_t bytes = (step[4] % 4 + 1) * 512u;
	uint64_t sector = step[5];

	if (under_way != 0)
		return;
	under_way = 1;
	if (step[6] % 3 == 0)
		disk->read(disk->ctx, sector, memory, bytes, done);
	else if (step[6] % 3 == 1)
		disk->write(disk->ctx, sector, memory, bytes, done);
	else
		disk->flush(disk->ctx, done);
}

static void control_step(const uint8_t *step)
{
	static const uint8_t mac[6] = { 2, 0, 0, 0, 0, 1 };
	const struct port_piece piece[2] = { { memory, 14 }, { memory + 14, step[4] * 6u } };

	switch (step[0] % 8) {
	case 0:
		port_net_send(piece, 2);
		break;
	case 1:
		if (port_net_poll(step[4] % 80, frame) > step[4] % 80)
			abort();
		break;
	case 2:
		ask_disk(step);
		break;
	case 3:
		port_disk_poll();
		break;
	case 4: /* a fresh driver VM */
		if (step[4] % 8 != 0)
			break;
		port_net_stop();
		port_disk_stop();
		memset(area, 0, PORT_AREA_BYTES);
		port_net_start(area, mac, kick);
		port_disk_start(area, SECTORS, kick);
		break;
	default:
		scribble(step);
	}
}

/* ---- The driver VM's side, against a hostile control VM ---- */

static struct service_port port;
static struct net_switch net;

static void receive(struct net_port *other, struct net_frame *f)
{
	(void)other;
	if (f->bytes > PORT_AREA_FRAME_BYTES_MAX)
		abort();
	for (unsigned i = 0; i < f->segments; i++)
		for (uint32_t k = 0; k < f->segment[i].count; k++)
			((volatile uint8_t *)f->segment[i].bytes)[k];
}

static void input(struct net_port *other, const uint8_t *step)
{
	static uint8_t bytes[1600];
	struct io_segment segment = { bytes, sizeof(bytes) };
	struct net_frame f = { .segment = &segment, .segments = 1 };

	memset(bytes, 0xFF, 6);
	bytes[6] = 2;
	segment.count = f.bytes = 14 + step[4] * 6u;
	net_switch_forward(&net, other, &f, 1);
	net_switch_flush(&net);
}

static void driver_step(struct net_port *other, const uint8_t *step)
{
	switch (step[0] % 8) {
	case 0:
		service_port_send(&port);
		break;
	case 1:
		service_port_run_disk(&port);
		break;
	case 2:
		input(other, step);
		break;
	default:
		scribble(step);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct net_port_ops ops = { .receive = receive };
	static const uint8_t mac[6] = { 2, 0, 0, 0, 0, 1 };
	struct net_port other = { .ops = &ops, .policy = { .uplink = true } };
	bool driver_is_hostile = size != 0 && data[0] & KIND_DRIVER;
	struct blk_ram medium;

	area = calloc(1, PORT_AREA_BYTES);
	memory = calloc(1, MEDIUM_BYTES);
	if (area == NULL || memory == NULL)
		abort();
	memset(&net, 0, sizeof(net));
	blk_ram_init(&medium, memory, MEDIUM_BYTES, false);
	service_port_init(&port, area, kick, now_ns);
	net_switch_add(&net, &other);
	if (!driver_is_hostile && (!service_port_join(&port, &net, &other.policy, mac)))
		abort();
	if (!driver_is_hostile)
		service_port_give_disk(&port, &medium.device);
	port_net_start(area, mac, kick); /* as a driver of the area that is a good one so far */
	port_disk_start(area, SECTORS, kick);
	racing_share(area, PORT_AREA_BYTES);
	if (size != 0 && data[0] & KIND_CHANGES)
		racing_start(data, size);
	for (unsigned i = 0; i < STEPS_MAX && (i + 1) * STEP_BYTES < size; i++) {
		const uint8_t *step = data + 1 + i * STEP_BYTES;
		if (driver_is_hostile)
			control_step(step);
		else if (step[0] & 0x80)
			control_step(step);
		else
			driver_step(&other, step);
	}
	port_net_stop();
	port_disk_end();
	port_disk_poll();
	if (under_way != 0)
		abort();
	racing_end();
	free(area);
	free(memory);
	return 0;
}
