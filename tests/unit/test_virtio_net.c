/*
 * Virtio network cards under drivers with split and with packed rings, two of them on one switch.
 *
 * UNIT_SOURCES: drivers-vm/driver/pci_host.c drivers-vm/driver/pci_function.c
 * UNIT_SOURCES: drivers-vm/driver/pci_msix.c drivers-vm/driver/virtio_pci.c
 * UNIT_SOURCES: drivers-vm/driver/virtio_device.c drivers-vm/driver/virtio_common.c
 * UNIT_SOURCES: drivers-vm/driver/virtio_net.c drivers-vm/driver/virtio_net_send.c drivers-vm/driver/virtio_net_receive.c drivers-vm/driver/net_switch.c
 * UNIT_SOURCES: drivers-vm/driver/net_filter.c drivers-vm/driver/net_offload.c
 * UNIT_SOURCES: drivers-vm/driver/token_bucket.c drivers-vm/driver/virtqueue.c
 * UNIT_SOURCES: drivers-vm/driver/virtqueue_split.c drivers-vm/driver/virtqueue_packed.c
 * UNIT_SOURCES: drivers-vm/driver/io_segment.c
 * UNIT_FLAGS: -Itests/unit/fake_model
 */
#include "virtio_driver.h"
#include "drivers-vm/driver/virtio_net.h"

#define HEADER   12u
#define SEND     DRIVER_DATA
#define RECEIVE  (DRIVER_DATA + 0x80000)
#define FRAMES   4u
#define PAIRS    2u
#define TIMER    ((unsigned)MODEL_TIMER_NIC)
#define OFFLOADS VIRTIO_NET_F_OFFLOADS

/* A port that keeps what it gets until the test releases it, as a host's card does. */
struct keeper {
	struct net_port port;
	struct net_frame *kept[8];
	unsigned count;
};

static struct driver d[2];
static struct virtio_net nic[2];
static struct virtio_net_frame frames[2][FRAMES];
static struct net_switch sw;
static struct keeper keeper;

static void keep(struct net_port *port, struct net_frame *frame)
{
	struct keeper *k = (struct keeper *)port;

	assert_true(net_frame_hold(frame));
	k->kept[k->count++] = frame;
}

static void poll(struct net_port *port)
{
	struct keeper *k = (struct keeper *)port;

	while (k->count != 0)
		net_frame_release(k->kept[--k->count]);
}

static void make(unsigned i, bool packed, uint64_t rate)
{
	struct virtio_net_config config = {
		.net = &sw,
		.pairs = PAIRS,
		.mtu = 1500,
		.packed = packed,
		.bytes_per_second = rate,
		.frame = frames[i],
		.frames = FRAMES,
	};

	config.policy.mac[0] = 2;
	config.policy.mac[5] = (uint8_t)(i + 1);
	driver_init(&d[i]);
	d[i].packed = packed;
	virtio_net_init(&nic[i], &d[i].fake.host, &config, TIMER);
	driver_plug(&d[i], &nic[i].device);
	assert_true(net_switch_add(&sw, &nic[i].port));
}

static int set_up(bool packed)
{
	static const struct net_port_ops ops = { .receive = keep, .poll = poll };

	memset(&sw, 0, sizeof(sw));
	keeper = (struct keeper){ .port = { .ops = &ops, .can = 7, .policy = { .bridge = 1, .uplink = true } } };
	net_switch_add(&sw, &keeper.port);
	make(0, packed, 0);
	make(1, packed, 0);
	driver_start(&d[0], OFFLOADS | VIRTIO_NET_F_MRG_RXBUF | VIRTIO_NET_F_MQ | VIRTIO_NET_F_CTRL_VQ);
	driver_start(&d[1], OFFLOADS | VIRTIO_NET_F_MRG_RXBUF | VIRTIO_NET_F_MQ | VIRTIO_NET_F_CTRL_VQ);
	return 0;
}

static int set_up_split(void **state)
{
	(void)state;
	return set_up(false);
}

static int set_up_packed(void **state)
{
	(void)state;
	return set_up(true);
}

static int tear_down(void **state)
{
	(void)state;
	driver_done(&d[0]);
	driver_done(&d[1]);
	return 0;
}

/* A frame of `bytes` bytes from card `from` to card `to`, behind an empty header. */
static void frame_make(unsigned from, unsigned to, uint32_t bytes)
{
	uint8_t *at = d[from].ram + SEND;

	memset(at, 0, HEADER);
	for (uint32_t i = 0; i < bytes; i++)
		at[HEADER + i] = (uint8_t)(i * 13 + i / 256);
	memcpy(at + HEADER, nic[to].port.policy.mac, 6);
	memcpy(at + HEADER + 6, nic[from].port.policy.mac, 6);
	at[HEADER + 12] = 0x88;
	at[HEADER + 13] = 0xB5;
}

static void send(unsigned from, uint32_t bytes)
{
	const struct driver_part parts[] = { { SEND, HEADER, false }, { SEND + HEADER, bytes, false } };

	driver_offer(&d[from], 1, parts, 2);
	driver_kick(&d[from], 1);
}

static void offer_receive(unsigned card, unsigned count, uint32_t bytes)
{
	for (unsigned i = 0; i < count; i++) {
		const struct driver_part part = { RECEIVE + i * 0x2000, bytes, true };
		driver_offer(&d[card], 0, &part, 1);
	}
}

/* ---- Frames ---- */

static void transmit__frame_for_the_other__arrives_as_it_was(void **state)
{
	uint32_t written;

	(void)state;
	for (uint32_t bytes = 14; bytes < 1514; bytes += 71) {
		offer_receive(1, 1, 1600);
		frame_make(0, 1, bytes);
		send(0, bytes);
		assert_true(driver_take(&d[0], 1, &written) >= 0);
		assert_true(driver_take(&d[1], 0, &written) >= 0);
		assert_int_equal(written, HEADER + bytes);
		assert_memory_equal(d[1].ram + RECEIVE + HEADER, d[0].ram + SEND + HEADER, bytes);
		assert_int_equal(d[1].ram[RECEIVE + VIRTIO_NET_HEADER_BUFFERS], 1);
		assert_int_equal(d[1].ram[RECEIVE], 0);
		assert_int_equal(d[1].fake.msi[0].data, DRIVER_VECTOR + 1);
	}
}

static void transmit__cut_into_many_parts__one_frame(void **state)
{
	struct driver_part part[DRIVER_SIZE];
	uint32_t written, bytes = 700, at = 0;

	(void)state;
	offer_receive(1, 1, 1600);
	frame_make(0, 1, bytes);
	for (unsigned i = 0; i < DRIVER_SIZE; i++) {
		uint32_t count = i + 1 < DRIVER_SIZE ? 1 + i * 5 : HEADER + bytes - at;
		part[i] = (struct driver_part){ SEND + at, count, false };
		at += count;
	}
	driver_offer(&d[0], 1, part, DRIVER_SIZE);
	driver_kick(&d[0], 1);
	assert_true(driver_take(&d[1], 0, &written) >= 0);
	assert_int_equal(written, HEADER + bytes);
	assert_memory_equal(d[1].ram + RECEIVE + HEADER, d[0].ram + SEND + HEADER, bytes);
}

static void receive__larger_than_a_buffer__spread_over_several(void **state)
{
	uint32_t written, at = 0;

	(void)state;
	offer_receive(1, 6, 256);
	frame_make(0, 1, 1000);
	send(0, 1000);
	for (unsigned i = 0; i < 4; i++) {
		unsigned skip = i == 0 ? HEADER : 0;
		assert_true(driver_take(&d[1], 0, &written) >= 0);
		assert_int_equal(written, i < 3 ? 256 : HEADER + 1000 - 3 * 256);
		assert_memory_equal(d[1].ram + RECEIVE + i * 0x2000 + skip, d[0].ram + SEND + HEADER + at, written - skip);
		at += written - skip;
	}
	assert_int_equal(d[1].ram[RECEIVE + VIRTIO_NET_HEADER_BUFFERS], 4);
	assert_int_equal(driver_take(&d[1], 0, &written), -1);
}

static void receive__too_few_buffers__dropped_and_they_stay(void **state)
{
	uint32_t written;

	(void)state;
	offer_receive(1, 3, 256);
	frame_make(0, 1, 1000);
	send(0, 1000);
	assert_true(driver_take(&d[0], 1, &written) >= 0);
	assert_int_equal(driver_take(&d[1], 0, &written), -1);
	assert_int_equal(nic[1].port.counts.dropped, 1);
	frame_make(0, 1, 700);
	send(0, 700);
	for (unsigned i = 0; i < 3; i++)
		assert_true(driver_take(&d[1], 0, &written) >= 0);
	assert_int_equal(nic[1].port.counts.dropped, 1);
}

static void receive__driver_without_mergeable_buffers__whole_or_not_at_all(void **state)
{
	uint32_t written;

	(void)state;
	driver_start(&d[1], 0);
	offer_receive(1, 2, 256);
	frame_make(0, 1, 300);
	send(0, 300);
	assert_int_equal(driver_take(&d[1], 0, &written), -1);
	frame_make(0, 1, 200);
	send(0, 200);
	assert_true(driver_take(&d[1], 0, &written) >= 0);
	assert_int_equal(written, HEADER + 200);
}

static void transmit__work_left_undone__passed_to_who_can(void **state)
{
	struct virtio_net_header h = { .flags = 1, .csum_start = 34, .csum_offset = 16, .gso_type = 1, .gso_bytes = 1000 };
	struct virtio_net_header got;
	uint32_t written;
	uint8_t *ip = d[0].ram + SEND + HEADER + 14;

	(void)state;
	offer_receive(1, 4, 0x2000);
	frame_make(0, 1, 3000);
	memcpy(d[0].ram + SEND, &h, sizeof(h));
	ip[-2] = 8;
	ip[-1] = 0;
	ip[0] = 0x45;
	ip[9] = 6;
	ip[20 + 12] = 5 << 4;
	send(0, 3000);
	assert_true(driver_take(&d[1], 0, &written) >= 0);
	memcpy(&got, d[1].ram + RECEIVE, sizeof(got));
	h.header_bytes = 54;
	h.buffers = 1;
	assert_memory_equal(&got, &h, sizeof(h));
	/* One that knows nothing of it gets what a wire would carry. */
	driver_start(&d[1], VIRTIO_NET_F_MRG_RXBUF);
	offer_receive(1, 4, 0x2000);
	send(0, 3000);
	for (unsigned i = 0; i < 3; i++) {
		assert_true(driver_take(&d[1], 0, &written) >= 0);
		assert_int_equal(written, HEADER + 54 + (i < 2 ? 1000 : 3000 - 54 - 2000));
		assert_int_equal(d[1].ram[RECEIVE + i * 0x2000], 0);
	}
	/* And who has not negotiated it must not ask for it. */
	driver_start(&d[0], 0);
	send(0, 3000);
	assert_int_equal(nic[0].port.counts.refused, 1);
}

static void transmit__no_frames__given_back_and_counted(void **state)
{
	const struct driver_part tiny = { SEND, HEADER - 1, false }, huge = { SEND, HEADER + 1600, false };
	const struct driver_part none = { SEND, 64, true };
	uint32_t written;

	(void)state;
	frame_make(0, 1, 1600);
	driver_offer(&d[0], 1, &tiny, 1);
	driver_offer(&d[0], 1, &huge, 1);
	driver_offer(&d[0], 1, &none, 1);
	driver_kick(&d[0], 1);
	for (unsigned i = 0; i < 3; i++)
		assert_true(driver_take(&d[0], 1, &written) >= 0);
	assert_int_equal(nic[0].port.counts.refused, 3);
	for (uint32_t bytes = 1; bytes < 14; bytes++) {
		send(0, bytes);
		assert_true(driver_take(&d[0], 1, &written) >= 0);
	}
	assert_int_equal(nic[0].port.counts.refused, 16);
	assert_int_equal(driver_status(&d[0]), 0x0F);
}

static void receive__broken_ring__that_card_only(void **state)
{
	const struct driver_part wrong = { DRIVER_RAM_BYTES - 1, 2, true };
	uint32_t written;

	(void)state;
	driver_offer(&d[1], 0, &wrong, 1);
	frame_make(0, 1, 100);
	send(0, 100);
	assert_true(driver_status(&d[1]) & VIRTIO_STATUS_NEEDS_RESET);
	assert_int_equal(driver_status(&d[0]), 0x0F);
	assert_true(driver_take(&d[0], 1, &written) >= 0);
}

/* ---- Frames that others keep ---- */

static void transmit__kept_by_a_port__given_back_when_released(void **state)
{
	uint32_t written;

	(void)state;
	for (unsigned i = 0; i < 2; i++)
		nic[i].port.policy.bridge = 1;
	offer_receive(1, 8, 2000);
	for (unsigned i = 0; i < FRAMES + 2; i++) {
		frame_make(0, 1, 100);
		memset(d[0].ram + SEND + HEADER, 0xFF, 6);
		send(0, 100);
	}
	assert_int_equal(keeper.count, FRAMES);
	assert_int_equal(driver_take(&d[0], 1, &written), -1);
	assert_true(virtio_net_is_busy(&nic[0]));
	assert_true(driver_take(&d[1], 0, &written) >= 0); /* the others have their copies */
	net_frame_release(keeper.kept[1]);
	assert_true(driver_take(&d[0], 1, &written) >= 0);
	assert_int_equal(keeper.count, FRAMES + 1); /* one that had waited for room */
	net_frame_release(keeper.kept[0]);
	for (unsigned i = 2; i < FRAMES + 2; i++)
		net_frame_release(keeper.kept[i]);
	for (unsigned i = 0; i < FRAMES + 1; i++)
		assert_true(driver_take(&d[0], 1, &written) >= 0);
	assert_false(virtio_net_is_busy(&nic[0]));
}

static void reset__frames_kept_by_a_port__over_only_when_released(void **state)
{
	uint32_t written;

	(void)state;
	nic[0].port.policy.bridge = 1;
	frame_make(0, 1, 100);
	memset(d[0].ram + SEND + HEADER, 0xFF, 6);
	send(0, 100);
	driver_set(&d[0], VIRTIO_COMMON_DEVICE_STATUS, 1, 0);
	assert_int_not_equal(driver_status(&d[0]), 0);
	net_switch_poll(&sw);
	assert_int_equal(driver_status(&d[0]), 0);
	assert_false(virtio_net_is_busy(&nic[0]));
	driver_start(&d[0], 0);
	assert_int_equal(driver_take(&d[0], 1, &written), -1);
}

/* ---- Control, limits ---- */

static uint8_t control(uint8_t class, uint8_t command, uint16_t pairs, uint32_t bytes)
{
	const struct driver_part parts[] = { { SEND, bytes, false }, { SEND + 16, 1, true } };
	uint32_t written;

	d[1].ram[SEND] = class;
	d[1].ram[SEND + 1] = command;
	memcpy(d[1].ram + SEND + 2, &pairs, 2);
	d[1].ram[SEND + 16] = 0xEE;
	driver_offer(&d[1], 2 * PAIRS, parts, 2);
	driver_kick(&d[1], 2 * PAIRS);
	assert_true(driver_take(&d[1], 2 * PAIRS, &written) >= 0);
	assert_int_equal(written, 1);
	return d[1].ram[SEND + 16];
}

static void control__queue_pairs__as_many_as_there_are(void **state)
{
	(void)state;
	assert_int_equal(driver_get(&d[1], VIRTIO_PCI_DEVICE_OFFSET + VIRTIO_NET_MAX_PAIRS, 2), PAIRS);
	assert_int_equal(control(4, 0, 2, 4), VIRTIO_NET_OK);
	assert_int_equal(nic[1].active_pairs, 2);
	assert_int_equal(control(4, 0, 3, 4), VIRTIO_NET_ERR);
	assert_int_equal(control(4, 0, 0, 4), VIRTIO_NET_ERR);
	assert_int_equal(control(4, 1, 1, 4), VIRTIO_NET_ERR);
	assert_int_equal(control(3, 0, 1, 4), VIRTIO_NET_ERR);
	assert_int_equal(control(4, 0, 1, 3), VIRTIO_NET_ERR);
	assert_int_equal(nic[1].active_pairs, 2);
}

static void receive__two_pairs__flows_spread_and_stay(void **state)
{
	unsigned got[2] = { 0, 0 };
	uint32_t written;

	(void)state;
	control(4, 0, 2, 4);
	for (unsigned flow = 0; flow < 32; flow++) {
		int queue = -1;
		for (unsigned round = 0; round < 2; round++) {
			for (unsigned q = 0; q < 2; q++) {
				const struct driver_part part = { RECEIVE, 2000, true };
				driver_offer(&d[1], 2 * q, &part, 1);
			}
			frame_make(0, 1, 100);
			d[0].ram[SEND + HEADER + 35] = (uint8_t)(flow * 3); /* a port */
			send(0, 100);
			assert_true(driver_take(&d[0], 1, &written) >= 0);
			unsigned q = driver_take(&d[1], 0, &written) >= 0 ? 0 : 1;
			if (q == 1)
				assert_true(driver_take(&d[1], 2, &written) >= 0);
			assert_true(queue < 0 || queue == (int)q);
			queue = (int)q;
			got[q]++;
			/* Use up the buffer of the other queue, too: the queues begin anew. */
			driver_start(&d[1], VIRTIO_NET_F_MRG_RXBUF | VIRTIO_NET_F_MQ | VIRTIO_NET_F_CTRL_VQ);
			control(4, 0, 2, 4);
		}
	}
	assert_true(got[0] > 8 && got[1] > 8);
}

static void limit__more_than_the_rate__waits_for_its_time(void **state)
{
	uint32_t written;
	unsigned sent = 0;

	(void)state;
	tear_down(state);
	memset(&sw, 0, sizeof(sw));
	make(0, false, 10000); /* a burst of 1000 bytes */
	make(1, false, 0);
	driver_start(&d[0], 0);
	driver_start(&d[1], 0);
	frame_make(0, 1, 500);
	for (unsigned i = 0; i < 4; i++)
		send(0, 500);
	while (driver_take(&d[0], 1, &written) >= 0)
		sent++;
	assert_int_equal(sent, 2);
	for (unsigned i = 0; i < 2; i++) {
		unsigned timers = 0;
		int taken;
		do { /* the first may be about what was sent before */
			assert_in_range(d[0].fake.deadline[TIMER], 1, d[0].fake.now + 60000000);
			if (d[0].fake.now < d[0].fake.deadline[TIMER])
				d[0].fake.now = d[0].fake.deadline[TIMER];
			virtio_net_timer(&nic[0]);
			taken = driver_take(&d[0], 1, &written);
		} while (taken < 0 && ++timers < 2);
		assert_true(taken >= 0);
		d[0].fake.now += 50000000 - 200000;
	}
}

static void transmit__few_frames__told_of_in_time(void **state)
{
	uint64_t start = d[0].fake.now;

	(void)state;
	frame_make(0, 1, 100);
	send(0, 100);
	send(0, 100);
	assert_int_equal(d[0].fake.msi_count, 0);
	assert_int_equal(d[0].fake.deadline[TIMER], start + VIRTIO_NET_HOLD_NS);
	d[0].fake.now = start + VIRTIO_NET_HOLD_NS;
	virtio_net_timer(&nic[0]);
	assert_int_equal(d[0].fake.msi_count, 1);
	d[0].fake.deadline[TIMER] = 0;
	d[0].fake.now++;
	virtio_net_timer(&nic[0]);
	assert_int_equal(d[0].fake.msi_count, 1); /* once */
	assert_int_equal(d[0].fake.deadline[TIMER], 0);
	send(0, 100); /* and from the start again */
	assert_int_equal(d[0].fake.deadline[TIMER], d[0].fake.now + VIRTIO_NET_HOLD_NS);
}

/* By number, or by bytes: a driver that waits for memory, or room in the queue, may not have to wait for the time. */
static void transmit__many_frames_or_bytes__told_of_at_once(void **state)
{
	static const struct {
		uint32_t bytes, frames;
	} table[] = { { 60, DRIVER_SIZE / 4 }, { 11000, VIRTIO_NET_HOLD_BYTES / 11000 + 1 } };

	(void)state;
	nic[0].mtu = 11000;
	for (unsigned i = 0; i < 2; i++) {
		uint32_t written, before = d[0].fake.msi_count;
		frame_make(0, 1, table[i].bytes);
		for (unsigned n = 1; n <= table[i].frames; n++) {
			send(0, table[i].bytes);
			assert_true(driver_take(&d[0], 1, &written) >= 0);
			assert_int_equal(d[0].fake.msi_count - before, n == table[i].frames);
		}
	}
}

static void reset__frames_untold__forgotten(void **state)
{
	(void)state;
	frame_make(0, 1, 100);
	send(0, 100);
	driver_set(&d[0], VIRTIO_COMMON_DEVICE_STATUS, 1, 0);
	assert_int_equal(d[0].fake.deadline[TIMER], 0);
	d[0].fake.now += VIRTIO_NET_HOLD_NS;
	virtio_net_timer(&nic[0]);
	assert_int_equal(d[0].fake.msi_count, 0);
}

#define BOTH(name) \
	{ #name "/split", name, set_up_split, tear_down, NULL }, \
	{ \
#name "/packed", name, set_up_packed, tear_down, NULL \
	}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH(transmit__frame_for_the_other__arrives_as_it_was),
		BOTH(transmit__cut_into_many_parts__one_frame),
		BOTH(receive__larger_than_a_buffer__spread_over_several),
		BOTH(receive__too_few_buffers__dropped_and_they_stay),
		BOTH(receive__driver_without_mergeable_buffers__whole_or_not_at_all),
		BOTH(transmit__work_left_undone__passed_to_who_can),
		BOTH(transmit__no_frames__given_back_and_counted),
		BOTH(receive__broken_ring__that_card_only),
		BOTH(transmit__kept_by_a_port__given_back_when_released),
		BOTH(reset__frames_kept_by_a_port__over_only_when_released),
		BOTH(control__queue_pairs__as_many_as_there_are),
		BOTH(receive__two_pairs__flows_spread_and_stay),
		BOTH(limit__more_than_the_rate__waits_for_its_time),
		BOTH(transmit__few_frames__told_of_in_time),
		BOTH(transmit__many_frames_or_bytes__told_of_at_once),
		BOTH(reset__frames_untold__forgotten),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
