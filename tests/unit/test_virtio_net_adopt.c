/*
 * A virtio network card outlives the driver VM: this one is stopped after each of its instructions that changes its state or the guest's
 * memory, and a fresh one goes on from there. Each buffer comes back once, and what arrives is whole.
 *
 * UNIT_SOURCES: drivers-vm/driver/pci_host.c drivers-vm/driver/pci_function.c
 * UNIT_SOURCES: drivers-vm/driver/pci_msix.c drivers-vm/driver/virtio_pci.c
 * UNIT_SOURCES: drivers-vm/driver/virtio_device.c drivers-vm/driver/virtio_common.c
 * UNIT_SOURCES: drivers-vm/driver/virtio_adopt.c drivers-vm/driver/virtio_net_adopt.c
 * UNIT_SOURCES: drivers-vm/driver/virtio_net.c drivers-vm/driver/virtio_net_send.c drivers-vm/driver/virtio_net_receive.c drivers-vm/driver/net_switch.c
 * UNIT_SOURCES: drivers-vm/driver/net_filter.c drivers-vm/driver/net_offload.c
 * UNIT_SOURCES: drivers-vm/driver/token_bucket.c drivers-vm/driver/virtqueue.c
 * UNIT_SOURCES: drivers-vm/driver/virtqueue_split.c drivers-vm/driver/virtqueue_packed.c
 * UNIT_SOURCES: drivers-vm/driver/io_segment.c
 * UNIT_FLAGS: -Itests/unit/fake_model
 */
#include "stop_anywhere.h"
#include "virtio_driver.h"
#include "drivers-vm/driver/virtio_net.h"

#define FRAMES   4u
#define SENT     3u
#define BUFFERS  10u
#define BUFFER   300u /* bytes of each for what arrives */
#define ARRIVING 700u /* so that a frame takes three */
#define AREA     0x400u
#define SEND_AT  DRIVER_DATA
#define TAKE_AT  (DRIVER_DATA + 4 * AREA)
#define RAM_KEPT (TAKE_AT + BUFFERS * AREA)
#define TIMER    ((unsigned)MODEL_TIMER_NIC)
#define FEATURES VIRTIO_NET_F_MRG_RXBUF
#define NEWS     9u /* what the last frame is filled with */

struct half {
	struct virtio_net nic;
	struct virtio_net_frame frame[FRAMES];
};

/* The world behind an uplink: keeps what it gets for a while, as a card does. */
struct wire {
	struct net_port port;
	struct net_frame *kept[8];
	unsigned count;
};

static struct driver d;
static struct half half[3];
static struct net_switch sw;
static struct wire wire;

static void keep(struct net_port *port, struct net_frame *frame)
{
	struct wire *w = (struct wire *)port;

	if (w->count < 8 && net_frame_hold(frame))
		w->kept[w->count++] = frame;
}

static void release(unsigned index)
{
	struct net_frame *frame = wire.kept[index];

	wire.kept[index] = wire.kept[--wire.count];
	net_frame_release(frame);
}

static void make(struct half *h)
{
	static const struct net_port_ops ops = { .receive = keep };
	const struct virtio_net_config config = {
		.net = &sw,
		.policy = { .bridge = 1, .mac = { 2, 0, 0, 0, 0, 1 } },
		.pairs = 1,
		.mtu = 1500,
		.packed = d.packed,
		.frame = h->frame,
		.frames = FRAMES,
	};

	memset(h, 0, sizeof(*h));
	memset(&sw, 0, sizeof(sw));
	wire = (struct wire){ .port = { .ops = &ops, .policy = { .bridge = 1, .uplink = true } } };
	pci_host_init(&d.bus);
	virtio_net_init(&h->nic, &d.fake.host, &config, TIMER);
	driver_plug(&d, &h->nic.device);
	net_switch_add(&sw, &wire.port);
	net_switch_add(&sw, &h->nic.port);
}

static void adopt(struct half *h, const struct half *old)
{
	make(h);
	virtio_net_adopt(&h->nic, &old->nic, old->frame);
}

static void arrive(uint8_t what)
{
	static uint8_t bytes[ARRIVING];
	struct io_segment segment = { bytes, sizeof(bytes) };
	struct net_frame frame = { .segment = &segment, .segments = 1, .bytes = sizeof(bytes), .references = 1 };
	static const uint8_t head[] = { 2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0 };

	memset(bytes, what, sizeof(bytes));
	memcpy(bytes, head, sizeof(head));
	net_switch_forward(&sw, &wire.port, &frame, 1);
	net_switch_flush(&sw);
}

static int send(unsigned number)
{
	static const uint8_t head[] = { 2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0 };
	const uint64_t at = SEND_AT + number * AREA;
	const struct driver_part parts[] = { { at, 12, false }, { at + 12, 200, false } };

	memset(d.ram + at, 0, AREA);
	memcpy(d.ram + at + 12, head, sizeof(head));
	return driver_offer(&d, 1, parts, 2);
}

static void work(void)
{
	driver_kick(&d, 1);
	arrive(1);
	if (wire.count == SENT)
		release(1);
	arrive(2);
	while (wire.count != 0)
		release(0);
}

static void resume(struct half *h)
{
	virtio_net_resume(&h->nic);
	virtio_pci_serve(&h->nic.device);
	while (wire.count != 0)
		release(0);
}

/* Which of the guest's buffers for arriving frames has this id: they were offered in their order, one after the other. */
static const uint8_t *buffer_of(int id, unsigned first)
{
	return d.ram + TAKE_AT + ((unsigned)id - first) % DRIVER_SIZE * AREA;
}

/* One frame out of its buffers; what it is filled with, or 0: there is none. */
static uint8_t take_frame(unsigned first, bool *seen)
{
	uint8_t frame[1024];
	uint32_t bytes, total = 0;
	unsigned buffers = 1;

	for (unsigned i = 0; i < buffers; i++) {
		int id = driver_take(&d, 0, &bytes);
		if (id < 0) {
			assert_int_equal(i, 0);
			return 0;
		}
		assert_false(seen[id]);
		seen[id] = true;
		assert_in_range(bytes, 1, BUFFER);
		memcpy(frame + total, buffer_of(id, first), bytes);
		total += bytes;
		buffers = frame[VIRTIO_NET_HEADER_BUFFERS];
	}
	assert_int_equal(total, 12 + ARRIVING);
	for (unsigned i = 12 + NET_HEADER_BYTES; i < total; i++)
		assert_int_equal(frame[i], frame[total - 1]);
	return frame[total - 1];
}

static void check_sent(const int *ids)
{
	bool seen[DRIVER_SIZE] = { false };
	uint32_t bytes;

	for (unsigned i = 0; i < SENT; i++) {
		int id = driver_take(&d, 1, &bytes);
		assert_in_range(id, 0, DRIVER_SIZE - 1);
		assert_false(seen[id]);
		seen[id] = true;
	}
	assert_int_equal(driver_take(&d, 1, &bytes), -1);
	for (unsigned i = 0; i < SENT; i++)
		assert_true(seen[ids[i]]);
}

static void goes_on(const struct half *old, struct half *h, const int *ids, unsigned first)
{
	bool seen[DRIVER_SIZE] = { false };
	uint8_t before = 0, now;

	adopt(h, old);
	adopt(h, old);
	assert_int_equal(h->nic.device.status, 0x0F);
	resume(h);
	check_sent(ids);
	arrive(NEWS);
	for (now = take_frame(first, seen); now != NEWS; now = take_frame(first, seen)) {
		assert_true(now > before);
		before = now;
	}
	assert_int_equal(take_frame(first, seen), 0);
	send(0);
	driver_kick(&d, 1);
	assert_int_equal(wire.count, 1);
}

static void set_up(bool packed, int *ids, unsigned *first)
{
	driver_init(&d);
	d.packed = packed;
	make(&half[0]);
	driver_start(&d, FEATURES);
	for (unsigned i = 0; i < 11; i++) { /* so that the rings wrap later */
		uint32_t bytes;
		send(0);
		driver_kick(&d, 1);
		release(0);
		assert_true(driver_take(&d, 1, &bytes) >= 0);
	}
	for (unsigned i = 0; i < BUFFERS; i++) {
		const struct driver_part part = { TAKE_AT + i * AREA, BUFFER, true };
		int id = driver_offer(&d, 0, &part, 1);
		*first = i == 0 ? (unsigned)id : *first;
	}
	for (unsigned i = 0; i < SENT; i++)
		ids[i] = send(i);
}

static void stopped_anywhere(bool packed)
{
	struct stop_region kept[2] = { { &half[0], sizeof(half[0]) }, { NULL, RAM_KEPT } };
	struct driver_queue guest[2];
	unsigned first;
	int ids[SENT];

	set_up(packed, ids, &first);
	kept[1].at = d.ram;
	memcpy(guest, d.queue, sizeof(guest));
	for (unsigned i = 0, count = stop_everywhere(kept, 2, work); i < count; i++) {
		stop_restore(i);
		memcpy(d.queue, guest, sizeof(guest));
		goes_on(&half[0], &half[1], ids, first);
	}
	stop_done();
	driver_done(&d);
}

static void virtio_net_adopt__stopped_after_any_instruction_split__buffers_come_back_once(void **state)
{
	(void)state;
	stopped_anywhere(false);
}

static void virtio_net_adopt__stopped_after_any_instruction_packed__buffers_come_back_once(void **state)
{
	(void)state;
	stopped_anywhere(true);
}

static void spoil(uint32_t *seed)
{
	const struct stop_region regions[] = {
		{ &half[2].nic.device.queue[*seed >> 20 & 1], offsetof(struct virtqueue, given_bytes) },
		{ &half[2].frame[*seed >> 20 & 3], sizeof(half[2].frame[0]) },
		{ &half[2].nic.device, offsetof(struct virtio_pci, queue) },
		{ &half[2], sizeof(half[2]) },
	};
	const struct stop_region *region = &regions[*seed >> 28 & 3];

	*seed = *seed * 1664525 + 1013904223;
	((uint8_t *)region->at)[(*seed >> 4) % region->bytes] = (uint8_t)(*seed & 0x80000000 ? *seed >> 20 : 0xFF);
	*seed = *seed * 1664525 + 1013904223;
}

/* Whatever is in the old state: no byte beyond the guest's RAM is touched (ASan looks), and nothing hangs. */
static void nonsense(bool packed)
{
	uint32_t seed = 1;
	unsigned first;
	int ids[SENT];

	set_up(packed, ids, &first);
	driver_kick(&d, 1);
	release(1);
	for (unsigned round = 0; round < 20000; round++) {
		half[2] = half[0];
		for (unsigned i = 0; i <= round % 4; i++)
			spoil(&seed);
		adopt(&half[1], &half[2]);
		resume(&half[1]);
		arrive(NEWS);
		driver_set(&d, VIRTIO_COMMON_DEVICE_STATUS, 1, 0);
	}
	driver_done(&d);
}

static void virtio_net_adopt__nonsense_split__stays_within_the_guest(void **state)
{
	(void)state;
	nonsense(false);
}

static void virtio_net_adopt__nonsense_packed__stays_within_the_guest(void **state)
{
	(void)state;
	nonsense(true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(virtio_net_adopt__stopped_after_any_instruction_split__buffers_come_back_once),
		cmocka_unit_test(virtio_net_adopt__stopped_after_any_instruction_packed__buffers_come_back_once),
		cmocka_unit_test(virtio_net_adopt__nonsense_split__stays_within_the_guest),
		cmocka_unit_test(virtio_net_adopt__nonsense_packed__stays_within_the_guest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
