/*
 * virtio devices of the host: the driver's side of a queue, disks and network cards, against a device in memory that does what each
 * test wants of it.
 *
 * UNIT_SOURCES: drivers-vm/driver/host_device_memory.c
 * UNIT_SOURCES: drivers-vm/driver/host_virtio.c drivers-vm/driver/host_virtqueue.c drivers-vm/driver/host_virtio_blk.c
 * UNIT_SOURCES: drivers-vm/driver/host_virtio_net.c drivers-vm/driver/host_virtio_net_start.c
 * UNIT_SOURCES: drivers-vm/driver/host_nic.c drivers-vm/driver/net_switch.c
 * UNIT_SOURCES: drivers-vm/driver/net_filter.c drivers-vm/driver/net_offload.c
 * UNIT_SOURCES: drivers-vm/driver/host_blk.c drivers-vm/driver/host_disk.c drivers-vm/driver/io_segment.c drivers-vm/driver/blk_device.c
 * UNIT_SOURCES: tests/unit/fake_host_pci/device.c
 * UNIT_FLAGS: -iquote tests/unit/fake_host_pci -Itests/unit
 * UNIT_FLAGS: -Wl,--wrap=calloc -Wl,--wrap=malloc -Wl,--wrap=aligned_alloc -Wl,--wrap=free
 */
#include "cmocka_all.h"
#include "driver_failures.h"

#include <stdlib.h>
#include <string.h>

#include "drivers-vm/driver/host_blk.h"
#include "drivers-vm/driver/host_nic.h"
#include "drivers-vm/driver/host_virtio.h"
#include "drivers-vm/driver/host_virtio_drivers.h"
#include "drivers-vm/driver/host_virtio_net.h"
#include "drivers-vm/driver/virtio_blk.h"
#include "drivers-vm/driver/virtio_net.h"
#include "drivers-vm/runtime/service.h"

#define PAGE         4096u
#define DISK_SECTORS 2048u
#define SECOND       1000000000ull
#define OFFERED      ((uint32_t)HOST_VIRTIO_F_INDIRECT | 3u) /* the upper 3: VERSION_1 and ACCESS_PLATFORM */

/* Where the capabilities say that things are in the BAR. */
enum { COMMON = 0, NOTIFY = 0x1000, CONFIG = 0x2000, BAR_BYTES = 0x3000 };

static uint8_t config_space[256], bar[BAR_BYTES] __attribute__((aligned(4096)));
static uint8_t medium[DISK_SECTORS * 512];
static uint32_t offered; /* in both halves of the features: the registers are memory */
static unsigned segments_seen;
static bool answers, status_error;
static struct host_pci pci;
static struct host_device *device;
/* The queues' pages as the driver wrote them, and how far the device is. */
#define QUEUES 32u
static struct {
	uint8_t *page;
	uint16_t size, seen, used;
} queue[QUEUES];
static unsigned control_queue, vectors, asked_for; /* pairs that the driver asked for; 0: it did not */
static uint8_t control_answer;

static void queues_reset(void)
{
	memset(queue, 0, sizeof(queue));
	for (unsigned i = 0; i < QUEUES; i++)
		queue[i].size = 64;
	asked_for = 0;
}

static void put(uint8_t *at, unsigned bytes, uint64_t value)
{
	memcpy(at, &value, bytes);
}

static uint64_t get(const uint8_t *at, unsigned bytes)
{
	uint64_t v = 0;

	memcpy(&v, at, bytes);
	return v;
}

/* ---- The device: registers that select show what was selected, whenever the driver looks ---- */

static void give_back(unsigned q, uint32_t id, uint32_t bytes)
{
	uint8_t *ring = queue[q].page + HOST_VIRTQ_DEVICE_AREA;

	put(ring + 4 + 8 * (queue[q].used % queue[q].size), 4, id);
	put(ring + 8 + 8 * (queue[q].used % queue[q].size), 4, bytes);
	put(ring + 2, 2, ++queue[q].used);
}

/* The next buffer that the driver put; false: there is none. */
static bool next_buffer(unsigned q, uint32_t *id, struct host_virtq_descriptor *d)
{
	const uint8_t *ring = queue[q].page + HOST_VIRTQ_DRIVER_AREA;

	if ((uint16_t)get(ring + 2, 2) == queue[q].seen)
		return false;
	*id = (uint32_t)get(ring + 4 + 2 * (queue[q].seen++ % queue[q].size), 2);
	memcpy(d, queue[q].page + 16 * *id, 16);
	return true;
}

/* A request: copies it from or to `medium`. */
static void serve_disk(void)
{
	struct host_virtq_descriptor d, *table;
	uint32_t id;

	while (answers && queue[0].page != NULL && next_buffer(0, &id, &d)) {
		assert_int_equal(d.flags, HOST_VIRTQ_INDIRECT);
		table = (void *)d.address;
		const struct virtio_blk_header *h = (void *)table[0].address;
		unsigned last = d.bytes / 16 - 1;
		uint8_t *at = medium + h->sector * 512, *status = (uint8_t *)table[last].address;
		const struct virtio_blk_range *range = (void *)table[1].address;
		for (unsigned i = 0; i < last; i++) {
			assert_true(table[i].flags & HOST_VIRTQ_NEXT);
			assert_int_equal(table[i].next, i + 1);
		}
		assert_int_equal(table[last].flags, HOST_VIRTQ_WRITE);
		if (last > segments_seen)
			segments_seen = last;
		for (unsigned i = 1; i < last && h->type <= 1; at += table[i++].bytes) {
			assert_true(table[i].bytes <= 4096);
			assert_int_equal(table[i].flags & HOST_VIRTQ_WRITE, h->type == 0 ? HOST_VIRTQ_WRITE : 0);
			if (h->type == 0)
				memcpy((void *)table[i].address, at, table[i].bytes);
			else
				memcpy(at, (void *)table[i].address, table[i].bytes);
		}
		if (h->type == VIRTIO_BLK_T_GET_ID)
			memcpy((void *)table[1].address, "VD-1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 20);
		if (h->type == VIRTIO_BLK_T_DISCARD || h->type == VIRTIO_BLK_T_WRITE_ZEROES)
			memset(medium + range->sector * 512, h->type == VIRTIO_BLK_T_DISCARD ? 0xDD : 0, range->sectors * 512);
		*status = status_error ? VIRTIO_BLK_S_IOERR : VIRTIO_BLK_S_OK;
		give_back(0, id, 1);
	}
}

static void serve_control(void)
{
	struct host_virtq_descriptor d, *table;
	uint32_t id;

	queue[control_queue].size = 2;
	while (queue[control_queue].page != NULL && control_answer != 0xFF && next_buffer(control_queue, &id, &d)) {
		assert_int_equal(d.flags, HOST_VIRTQ_INDIRECT);
		assert_int_equal(d.bytes, 2 * 16);
		table = (void *)d.address;
		assert_int_equal(table[0].bytes, 4);
		assert_int_equal(table[0].flags, HOST_VIRTQ_NEXT);
		assert_int_equal(table[0].next, 1);
		assert_int_equal(table[1].bytes, 1);
		assert_int_equal(table[1].flags, HOST_VIRTQ_WRITE);
		assert_int_equal(get((uint8_t *)table[0].address, 2), VIRTIO_NET_CTRL_MQ | VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET << 8);
		asked_for = (unsigned)get((uint8_t *)table[0].address + 2, 2);
		*(uint8_t *)table[1].address = control_answer;
		give_back(control_queue, id, 1);
	}
}

static void device_moves(void)
{
	serve_disk();
	if (control_queue != 0)
		serve_control();
}

uint64_t service_tsc(void)
{
	device_moves();
	return fake_now += 1000;
}

uint32_t host_pci_read(const struct host_pci *p, unsigned offset, unsigned bytes)
{
	(void)p;
	return offset < sizeof(config_space) ? (uint32_t)get(config_space + offset, bytes) : 0;
}

unsigned host_pci_capability(const struct host_pci *p, uint8_t id, unsigned from)
{
	(void)p;
	assert_int_equal(id, 9);
	return from != 0 ? from : 0x40;
}

bool host_pci_bind_irq(const struct host_pci *p, unsigned index, uint32_t vcpu, unsigned bit)
{
	(void)p, (void)vcpu, (void)bit;
	return index < vectors;
}

/* Where the driver puts queues: noted as the driver asks for their pages' addresses. */
uint64_t host_pci_dma_address(const struct host_pci *p, const void *at)
{
	unsigned q = (unsigned)get(bar + 0x16, 2);

	(void)p;
	if (driver_memory_blocks != 0 && at == driver_memory_block[driver_memory_blocks - 1] && q < QUEUES && queue[q].page == NULL)
		queue[q].page = (uint8_t *)(uintptr_t)at;
	return (uintptr_t)at;
}

/* ---- Set-up ---- */

static void put_capability(unsigned at, unsigned next, unsigned type, uint32_t offset, uint32_t bytes)
{
	put(config_space + at, 4, 9 | next << 8 | 20 << 16 | type << 24);
	put(config_space + at + 4, 4, 0);
	put(config_space + at + 8, 4, offset);
	put(config_space + at + 12, 4, bytes);
	put(config_space + at + 16, 4, 4);
}

static int set_up(void **state)
{
	(void)state;
	memset(config_space, 0, sizeof(config_space));
	memset(bar, 0, sizeof(bar));
	queues_reset();
	for (unsigned i = 0; i < sizeof(medium); i++)
		medium[i] = (uint8_t)(i * 5 + i / 512);
	offered = OFFERED;
	put(bar + 4, 4, offered);
	put(bar + 0x18, 2, 256); /* queue size */
	put_capability(0x40, 0x60, 1, COMMON, 0x38);
	put_capability(0x60, 0x80, 2, NOTIFY, 0x1000);
	put_capability(0x80, 0, 4, CONFIG, 0x1000);
	put(bar + CONFIG + VIRTIO_BLK_CAPACITY, 8, DISK_SECTORS);
	put(bar + CONFIG + VIRTIO_BLK_SIZE_MAX, 4, PAGE);
	answers = true;
	vectors = 1;
	control_queue = 0;
	control_answer = VIRTIO_NET_OK;
	status_error = false;
	segments_seen = 0;
	pci = (struct host_pci){ .rid = 0x20, .same_addresses = true, .bar[0] = bar, .bar_bytes[0] = sizeof(bar) };
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	host_disk_forget_all();
	host_nic_forget_all();
	free(device);
	device = NULL;
	driver_memory_forget();
	return 0;
}

static void offer(uint32_t features)
{
	put(bar + 4, 4, features);
}

static bool starts(const struct host_driver *driver)
{
	free(device);
	device = NULL;
	queues_reset();
	device = driver->start(&pci, 32);
	host_device_started(device != NULL);
	return device != NULL;
}

/* ---- Disks ---- */

struct answer {
	struct blk_request request; /* first */
	unsigned answers;
	enum blk_status status;
};

static void note(struct blk_request *request, enum blk_status status)
{
	struct answer *a = (struct answer *)request;

	a->answers++;
	a->status = status;
}

static struct blk_device *disk(void)
{
	return &((struct host_blk *)device)->disk.device;
}

static enum blk_status submit(struct answer *a, enum blk_operation operation, uint64_t sector, const struct io_segment *segment,
                              unsigned segments)
{
	uint64_t bytes = 0;

	for (unsigned i = 0; i < segments; i++)
		bytes += segment[i].count;
	*a = (struct answer){ .request = { .operation = operation,
		                           .sector = sector,
		                           .sectors = bytes / 512,
		                           .segment = segment,
		                           .segments = segments,
		                           .done = note } };
	assert_int_equal(blk_request_check(disk(), &a->request), BLK_OK);
	return disk()->ops->submit(disk(), &a->request);
}

static enum blk_status transfer(enum blk_operation operation, uint64_t sector, const struct io_segment *segment, unsigned segments)
{
	struct answer a;

	assert_int_equal(submit(&a, operation, sector, segment, segments), BLK_PENDING);
	for (unsigned i = 0; a.answers == 0 && i < 10000; i++)
		disk()->ops->poll(disk());
	assert_int_equal(a.answers, 1);
	return a.status;
}

static void start__disk__offers_it_by_its_serial_number(void **state)
{
	struct blk_device *found;

	(void)state;
	assert_true(starts(&host_virtio_blk_driver));
	assert_null(host_disk_find("VD-1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", &found));
	assert_int_equal(found->sectors, DISK_SECTORS);
	assert_false(found->flushes || found->discards || found->read_only);
}

static void start__device_lies__is_refused_with_dma_off(void **state)
{
	(void)state;
	offer(OFFERED & ~2u);
	assert_false(starts(&host_virtio_blk_driver));
	assert_string_equal(fake_log, "virtio: not used: it goes round the IOMMU (in QEMU: give it iommu_platform=on)");
	offer(OFFERED & ~(uint32_t)HOST_VIRTIO_F_INDIRECT);
	assert_false(starts(&host_virtio_blk_driver));
	offer(OFFERED);
	put(bar + CONFIG + VIRTIO_BLK_CAPACITY, 8, UINT64_MAX);
	assert_false(starts(&host_virtio_blk_driver));
	put(bar + CONFIG + VIRTIO_BLK_CAPACITY, 8, DISK_SECTORS);
	put(bar + CONFIG + VIRTIO_BLK_SIZE_MAX, 4, 1);
	assert_false(starts(&host_virtio_blk_driver));
	put(bar + CONFIG + VIRTIO_BLK_SIZE_MAX, 4, PAGE);
	put(bar + 0x18, 2, 0); /* no queue */
	assert_false(starts(&host_virtio_blk_driver));
	put(bar + 0x18, 2, 256);
	put(bar + 0x1E, 2, 0xFFFF); /* its doorbell is past the BAR */
	assert_false(starts(&host_virtio_blk_driver));
	put(bar + 0x1E, 2, 0);
	put_capability(0x40, 0x60, 1, BAR_BYTES - 0x30, 0x38);
	assert_false(starts(&host_virtio_blk_driver));
	put_capability(0x40, 0x40, 3, COMMON, 0x38); /* a list without end */
	assert_false(starts(&host_virtio_blk_driver));
	assert_string_equal(fake_log, "virtio: it has no modern interface");
	assert_false(fake_dma);
}

static void submit__any_cut_of_the_buffer__moves_the_data(void **state)
{
	static const unsigned cuts[][6] = { { 512 },          { 4096, 4096 }, { 100, 412, 512 }, { 1, 1, 510 },
		                            { 65536, 65536 }, { 4096 * 40 },  { 700, 324 } };
	static uint8_t arena[64 * PAGE] __attribute__((aligned(4096)));

	(void)state;
	assert_true(starts(&host_virtio_blk_driver));
	for (unsigned i = 0; i < sizeof(cuts) / sizeof(cuts[0]); i++)
		for (unsigned offset = 0; offset < 3; offset++) {
			struct io_segment segment[6];
			unsigned n = 0, at = offset * 123, check = 0;
			for (; n < 6 && cuts[i][n] != 0; at += cuts[i][n++] + offset * 77)
				segment[n] = (struct io_segment){ arena + at, cuts[i][n] };
			assert_int_equal(transfer(BLK_READ, 10 + i, segment, n), BLK_OK);
			for (unsigned s = 0; s < n; s++)
				for (unsigned b = 0; b < segment[s].count; b++, check++)
					assert_int_equal(segment[s].bytes[b], medium[(10 + i) * 512 + check]);
			for (unsigned s = 0; s < n; s++)
				memset(segment[s].bytes, (int)(s + 3), segment[s].count);
			assert_int_equal(transfer(BLK_WRITE, 1000, segment, n), BLK_OK);
			check = 0;
			for (unsigned s = 0; s < n; s++)
				for (unsigned b = 0; b < segment[s].count; b++, check++)
					assert_int_equal(medium[1000 * 512 + check], s + 3);
		}
}

/* One descriptor of data a request, and 3 bytes in the first piece: only a copy makes whole sectors of that. */
static void submit__device_takes_one_segment__bounces(void **state)
{
	static uint8_t arena[2 * PAGE] __attribute__((aligned(4096)));
	const struct io_segment segment[] = { { arena, 3 }, { arena + 100, 1021 }, { arena + 4096, 2048 } };

	(void)state;
	offer(OFFERED | 4u); /* VIRTIO_BLK_F_SEG_MAX */
	put(bar + CONFIG + VIRTIO_BLK_SEG_MAX, 4, 1);
	assert_true(starts(&host_virtio_blk_driver));
	assert_int_equal(transfer(BLK_READ, 7, segment, 3), BLK_OK);
	assert_memory_equal(arena, medium + 7 * 512, 3);
	assert_memory_equal(arena + 100, medium + 7 * 512 + 3, 1021);
	assert_memory_equal(arena + 4096, medium + 9 * 512, 2048);
	assert_int_equal(segments_seen, 2);
	memset(arena, 0x77, sizeof(arena));
	assert_int_equal(transfer(BLK_WRITE, 8, segment, 3), BLK_OK);
	assert_int_equal(medium[8 * 512], 0x77);
	assert_int_equal(medium[14 * 512 - 1], 0x77);
	assert_int_equal(medium[14 * 512], (uint8_t)(14 * 512 * 5 + 14));
}

static void submit__device_says_error__request_fails(void **state)
{
	static uint8_t data[512];
	const struct io_segment segment = { data, 512 };

	(void)state;
	assert_true(starts(&host_virtio_blk_driver));
	status_error = true;
	assert_int_equal(transfer(BLK_READ, 0, &segment, 1), BLK_IO_ERROR);
	status_error = false;
	assert_int_equal(transfer(BLK_READ, 0, &segment, 1), BLK_OK);
}

static void interrupt__forged_or_missing_completions__disk_is_given_up(void **state)
{
	static uint8_t data[512];
	const struct io_segment segment = { data, 512 };
	static const uint32_t forged[] = { 5, 63, 64, 0xFFFFFFFF };
	struct answer a;

	(void)state;
	for (unsigned i = 0; i < 5; i++) {
		answers = true;
		assert_true(starts(&host_virtio_blk_driver));
		answers = false;
		assert_int_equal(submit(&a, BLK_READ, 0, &segment, 1), BLK_PENDING);
		if (i < 4) {
			give_back(0, forged[i], 1);
			device->ops->interrupt(device);
		} else {
			fake_now += 11 * SECOND;
			device->ops->check(device, fake_now);
		}
		assert_int_equal(a.answers, 1);
		assert_int_equal(a.status, BLK_IO_ERROR);
		assert_false(fake_dma);
		host_disk_forget_all();
	}
}

/* ---- Network cards ---- */

static struct net_switch sw;
static uint8_t heard[4096];
static unsigned heard_bytes, heard_frames;
static unsigned released;

static void hear(struct net_port *port, struct net_frame *frame)
{
	(void)port;
	heard_bytes = frame->bytes;
	heard_frames++;
	assert_true(frame->bytes <= sizeof(heard));
	assert_true(frame->segment[0].count >= (frame->bytes < NET_HEAD_BYTES ? frame->bytes : NET_HEAD_BYTES));
	io_segments_read(frame->segment, frame->segments, 0, heard, frame->bytes);
}

static const struct net_port_ops hear_ops = { .receive = hear };
static struct net_port listener;

static bool join(const char *name)
{
	struct channel_message m = { .kind = CHANNEL_UPLINK, .uplink = { .bridge = 1 } };

	memset(&sw, 0, sizeof(sw));
	memset(&listener, 0, sizeof(listener));
	heard_frames = released = 0;
	listener.ops = &hear_ops;
	listener.policy = (struct net_policy){ .bridge = 1, .mac = { 2, 0, 0, 0, 0, 1 } };
	assert_true(net_switch_add(&sw, &listener));
	memcpy(m.uplink.device, name, strlen(name));
	fake_log[0] = '\0';
	host_nic_join(&sw, &m);
	return fake_log[0] == '\0';
}

static uint32_t more_features; /* of a card */

static void prepare_card(void)
{
	static const uint8_t mac[6] = { 0x52, 0x54, 0, 0xAA, 0xBB, 1 };

	memcpy(bar + CONFIG, mac, sizeof(mac));
	put(bar + CONFIG + VIRTIO_NET_STATUS, 2, VIRTIO_NET_S_LINK_UP);
	offer(OFFERED | (uint32_t)VIRTIO_NET_F_MAC | (uint32_t)VIRTIO_NET_F_MRG_RXBUF | (uint32_t)VIRTIO_NET_F_STATUS | more_features);
	answers = false;
}

static bool start_card(void)
{
	prepare_card();
	return starts(&host_virtio_net_driver);
}

/* With as many pairs as all sides can. The device has `has` of them. */
static void prepare_card_with_pairs(unsigned has)
{
	more_features = (uint32_t)VIRTIO_NET_F_MQ | (uint32_t)VIRTIO_NET_F_CTRL_VQ;
	put(bar + CONFIG + VIRTIO_NET_MAX_PAIRS, 2, has);
	control_queue = 2 * has;
	prepare_card();
	more_features = 0;
}

static bool start_card_with_pairs(unsigned has)
{
	prepare_card_with_pairs(has);
	return starts(&host_virtio_net_driver);
}

static unsigned pairs_of_card(void)
{
	return ((struct host_virtio_net *)device)->pairs;
}

static void start__several_pairs__as_many_as_all_sides_can(void **state)
{
	static const struct {
		unsigned has, vectors, answer, asked, expected;
	} table[] = {
		{ 4, 8, 0, 4, 4 },
		{ 2, 8, 0, 2, 2 },
		{ 1, 8, 0, 0, 1 },
		{ 8, 8, 0, 4, 4 },
		{ 4, 3, 0, 3, 3 },
		{ 4, 1, 0, 0, 1 },
		{ 4, 8, VIRTIO_NET_ERR, 4, 1 },
		{ 4, 8, 0xFF, 0, 1 }, /* refused, and not answered */
	};

	(void)state;
	for (unsigned i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		vectors = table[i].vectors;
		control_answer = (uint8_t)table[i].answer;
		assert_true(start_card_with_pairs(table[i].has));
		assert_int_equal(asked_for, table[i].asked);
		assert_int_equal(pairs_of_card(), table[i].expected);
		for (unsigned q = 0; q < 2 * pairs_of_card(); q++)
			assert_non_null(queue[q].page);
		host_nic_forget_all();
	}
	vectors = 0;
	assert_false(start_card_with_pairs(4));
}

/* A frame of `bytes` for the listener arrives in buffers of `each` bytes, which say that they are `claimed`. */
static unsigned arrives_in; /* a receive queue */

static void arrive(unsigned bytes, unsigned each, unsigned claimed)
{
	static const uint8_t addresses[] = { 2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 9, 0x12, 0x34 };
	unsigned at = 0;

	for (unsigned i = 0; at < bytes; i++) {
		struct host_virtq_descriptor d;
		uint32_t id;
		unsigned skip = i == 0 ? 12 : 0, n = 0;
		assert_true(next_buffer(arrives_in, &id, &d));
		assert_int_equal(d.flags, HOST_VIRTQ_WRITE);
		memset((void *)d.address, 0, 12);
		if (i == 0)
			put((uint8_t *)d.address + 10, 2, claimed);
		for (; skip + n < each && at < bytes; n++, at++)
			((uint8_t *)d.address)[skip + n] = at < sizeof(addresses) ? addresses[at] : (uint8_t)(at * 3);
		give_back(arrives_in, id, skip + n);
	}
	device->ops->interrupt(device);
}

static void receive__frames_of_all_lengths__reach_the_switch(void **state)
{
	(void)state;
	assert_true(start_card());
	assert_false(join("52:54:00:aa:bb:02"));
	assert_true(join("52:54:00:aa:bb:01"));
	for (unsigned i = 1; i <= 200; i++) {
		arrive(60 + i, 4096, 1);
		assert_int_equal(heard_frames, i);
		assert_int_equal(heard_bytes, 60 + i);
		assert_int_equal(heard[59], (uint8_t)(59 * 3));
	}
	arrive(3000, 1024, 3);
	assert_int_equal(heard_bytes, 3000);
	for (unsigned i = 14; i < 3000; i++)
		assert_int_equal(heard[i], (uint8_t)(i * 3));
	assert_true(fake_dma);
}

static void receive__impossible_lengths__card_is_given_up(void **state)
{
	static const unsigned bad[][3] = { { 100, 4096, 0 }, { 100, 4096, 2 }, { 100, 4096, 18 }, { 100, 4096, 0xFFFF } };

	(void)state;
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_true(start_card());
		assert_true(join("00:04.0"));
		arrive(bad[i][0], bad[i][1], bad[i][2]);
		assert_int_equal(heard_frames, 0);
		assert_false(fake_dma);
		assert_non_null(strstr(fake_log, "given up"));
		device->ops->interrupt(device); /* and no more of it */
		host_nic_forget_all();
	}
}

static void released_one(struct net_frame *frame)
{
	(void)frame;
	released++;
}

static void send(struct net_frame *frame, struct io_segment *segment, uint8_t *data, unsigned bytes, bool held)
{
	*frame = (struct net_frame){
		.segment = segment, .segments = 2, .bytes = bytes, .references = 1, .done = held ? released_one : NULL
	};
	segment[0] = (struct io_segment){ data, 100 };
	segment[1] = (struct io_segment){ data + 100, bytes - 100 };
	struct net_port *port = sw.port[1];
	port->ops->receive(port, frame);
	port->ops->flush(port);
	net_frame_release(frame);
}

static void send__held_and_copied__reach_the_device_and_are_released(void **state)
{
	static uint8_t data[9000];
	struct net_frame frame[80];
	struct io_segment segment[80][2];
	struct host_virtq_descriptor d, *table;
	uint32_t id;

	(void)state;
	for (unsigned i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 11);
	assert_true(start_card());
	assert_true(join("00:04.0"));
	for (unsigned held = 0; held < 2; held++) {
		unsigned at = 0;
		send(&frame[0], segment[0], data, 1500, held);
		assert_int_equal(released, 0);
		assert_true(next_buffer(1, &id, &d));
		table = (void *)d.address;
		assert_int_equal(table[0].bytes, 12);
		for (unsigned i = 1; i < d.bytes / 16; i++) {
			assert_memory_equal((void *)table[i].address, data + at, table[i].bytes);
			at += table[i].bytes;
		}
		assert_int_equal(at, 1500);
		give_back(1, id, 0);
		device->ops->interrupt(device);
		assert_int_equal(released, held);
	}
	send(&frame[0], segment[0], data, 9000, false); /* too long for a copy */
	assert_int_equal(sw.port[1]->counts.dropped, 1);
	for (unsigned i = 0; i < 80; i++)
		send(&frame[i], segment[i], data, 200, true);
	assert_int_equal(sw.port[1]->counts.dropped, 1 + 16);
	assert_int_equal(released, 1 + 16);
	fake_now += 11 * SECOND; /* nothing is sent any more */
	device->ops->check(device, fake_now);
	assert_false(fake_dma);
	assert_int_equal(released, 1 + 80);
	send(&frame[0], segment[0], data, 200, true);
	assert_int_equal(released, 1 + 81);
}

/* Each flow stays in one queue, all of them are used, and all that come back are released; frames arrive by any. */
static void send__several_pairs__flows_spread(void **state)
{
	static uint8_t data[64][200];
	static struct net_frame frame[64];
	static struct io_segment segment[64][2];
	struct host_virtq_descriptor d;
	unsigned used[4] = { 0 };
	uint32_t id;

	(void)state;
	vectors = 8;
	assert_true(start_card_with_pairs(4));
	assert_true(join("00:04.0"));
	for (unsigned i = 0; i < 64; i++) {
		data[i][37] = (uint8_t)(i / 2); /* the low byte of a port: two frames of each flow */
		send(&frame[i], segment[i], data[i], 200, true);
		for (unsigned p = 0; p < 4; p++)
			if (next_buffer(2 * p + 1, &id, &d)) {
				const struct host_virtq_descriptor *table = (void *)d.address;
				assert_ptr_equal((void *)table[1].address, data[i]);
				used[p]++;
				give_back(2 * p + 1, id, 0);
			}
		device->ops->interrupt(device);
	}
	assert_int_equal(released, 64);
	for (unsigned p = 0; p < 4; p++) {
		if (used[p] == 0 || used[p] % 2 != 0)
			fail_msg("pairs: %u %u %u %u frames", used[0], used[1], used[2], used[3]);
		arrives_in = 2 * p;
		for (unsigned i = 0; i < 100; i++)
			arrive(100, 4096, 1);
		assert_int_equal(heard_frames, 100 * (p + 1));
	}
	arrives_in = 0;
	for (unsigned i = 0; i < 64; i++)
		send(&frame[i], segment[i], data[i], 200, true);
	give_back(3, 77, 0); /* nobody gave it that */
	device->ops->interrupt(device);
	assert_false(fake_dma);
	assert_int_equal(released, 128); /* of all pairs */
}

static void set_link(bool up)
{
	put(bar + CONFIG + VIRTIO_NET_STATUS, 2, up ? VIRTIO_NET_S_LINK_UP : 0);
}

/* The interrupt may be about the link alone, or about frames too: then the next check sees it. */
static void interrupt__link_goes_and_comes__is_followed(void **state)
{
	static uint8_t data[200];
	struct net_frame frame;
	struct io_segment segment[2];
	struct host_virtq_descriptor d;
	uint32_t id;

	(void)state;
	assert_true(start_card());
	assert_string_equal(fake_log, "virtio network card 52:54:00:aa:bb:01, link up");
	assert_true(join("00:04.0"));
	for (unsigned with_frame = 0; with_frame < 2; with_frame++)
		for (unsigned up = 0; up < 2; up++) {
			set_link(up);
			if (with_frame)
				arrive(100, 4096, 1);
			else
				device->ops->interrupt(device);
			for (unsigned i = 0; with_frame && i < 2; i++) {
				fake_now += 2 * SECOND;
				device->ops->check(device, fake_now);
			}
			assert_string_equal(fake_log, up ? "link up" : "link down");
			uint64_t dropped = sw.port[1]->counts.dropped;
			send(&frame, segment, data, 200, false);
			assert_int_equal(sw.port[1]->counts.dropped - dropped, !up);
			assert_int_equal(next_buffer(1, &id, &d), up);
			if (up)
				give_back(1, id, 0);
			device->ops->interrupt(device);
		}
	assert_true(fake_dma);
}

static void power_up_disk(void)
{
	set_up(NULL);
}

static void check_disk(struct host_device *started)
{
	static uint8_t sectors[16 * 512];
	const struct io_segment segment = { sectors, sizeof(sectors) };

	device = started;
	assert_int_equal(transfer(BLK_READ, 40, &segment, 1), BLK_OK);
	assert_memory_equal(sectors, medium + 40 * 512, sizeof(sectors));
	device = NULL;
}

static void start__an_allocation_for_a_disk_fails__is_said_and_leaves_nothing(void **state)
{
	const struct driver_failures f = { power_up_disk, &host_virtio_blk_driver, &pci, 32, check_disk, host_disk_forget_all };

	(void)state;
	assert_true(driver_failures_each(&f) > 64);
}

static void power_up_card(void)
{
	set_up(NULL);
	vectors = 8;
	prepare_card_with_pairs(4);
}

static void check_card(struct host_device *started)
{
	device = started;
	assert_true(fake_dma && pairs_of_card() >= 1);
	assert_int_equal(asked_for, pairs_of_card() > 1 ? pairs_of_card() : 0);
	for (unsigned q = 0; q < 2 * pairs_of_card(); q++)
		assert_non_null(queue[q].page);
	device = NULL;
}

static void start__an_allocation_for_a_card_fails__is_said_and_leaves_nothing(void **state)
{
	const struct driver_failures f = { power_up_card, &host_virtio_net_driver, &pci, 32, check_card, host_nic_forget_all };

	(void)state;
	assert_true(driver_failures_each(&f) > 256);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(start__disk__offers_it_by_its_serial_number),
		CASE(start__device_lies__is_refused_with_dma_off),
		CASE(submit__any_cut_of_the_buffer__moves_the_data),
		CASE(submit__device_takes_one_segment__bounces),
		CASE(submit__device_says_error__request_fails),
		CASE(interrupt__forged_or_missing_completions__disk_is_given_up),
		CASE(receive__frames_of_all_lengths__reach_the_switch),
		CASE(receive__impossible_lengths__card_is_given_up),
		CASE(send__held_and_copied__reach_the_device_and_are_released),
		CASE(start__several_pairs__as_many_as_all_sides_can),
		CASE(send__several_pairs__flows_spread),
		CASE(interrupt__link_goes_and_comes__is_followed),
		CASE(start__an_allocation_for_a_disk_fails__is_said_and_leaves_nothing),
		CASE(start__an_allocation_for_a_card_fails__is_said_and_leaves_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
