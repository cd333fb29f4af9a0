/*
 * The control VM's card and disk with the driver VM's side behind them, both on one area: frames and sectors both ways, who reaches whom,
 * and a driver VM that breaks the rules or is replaced.
 *
 * UNIT_SOURCES: drivers-vm/control/net/port.c drivers-vm/control/net/port_queue.c drivers-vm/control/net/port_disk.c
 * UNIT_SOURCES: drivers-vm/driver/service_port.c drivers-vm/driver/virtqueue.c drivers-vm/driver/virtqueue_split.c
 * UNIT_SOURCES: drivers-vm/driver/virtqueue_packed.c drivers-vm/driver/io_segment.c drivers-vm/driver/blk_device.c
 * UNIT_SOURCES: drivers-vm/driver/net_switch.c drivers-vm/driver/net_filter.c drivers-vm/driver/net_offload.c
 * UNIT_FLAGS: -Itests/unit
 */
#include "cmocka_all.h"

#include <stdlib.h>
#include <string.h>

#include "drivers-vm/control/net/port.h"
#include "drivers-vm/control/net/port_private.h"
#include "drivers-vm/control/net/port_queue.h"
#include "drivers-vm/driver/service_port.h"

#define SECTORS 64u
#define ENTRIES PORT_AREA_NET_ENTRIES

static const uint8_t uplink_mac[6] = { 0x52, 0x54, 0, 0x12, 0x34, 0x56 }, own_mac[6] = { 0x72, 0x54, 0, 0x12, 0x34, 0x56 };
static const uint8_t peer_mac[6] = { 0x02, 0, 0, 0, 0, 0x99 };

static uint8_t *area;
static struct service_port port;
static struct net_switch net;
static unsigned kicks, signals;

/* The wire, and a guest on the same bridge. */
struct other {
	struct net_port port; /* first */
	unsigned frames;
	uint8_t last[2048];
	uint32_t bytes;
};

static struct other wire, guest;

static void other_receive(struct net_port *p, struct net_frame *frame)
{
	struct other *o = (struct other *)p;

	o->frames++;
	o->bytes = (uint32_t)io_segments_read(frame->segment, frame->segments, 0, o->last, sizeof(o->last));
}

/* The disk: done at once, or when the test says so. */
static struct {
	struct blk_device device; /* first */
	uint8_t medium[SECTORS * 512];
	bool later, fails;
	struct blk_request *waiting;
	unsigned flushes;
} drive;

static enum blk_status drive_do(struct blk_request *r)
{
	if (drive.fails)
		return BLK_IO_ERROR;
	drive.flushes += r->operation == BLK_FLUSH;
	if (r->operation == BLK_READ)
		io_segments_write(r->segment, r->segments, 0, drive.medium + r->sector * 512, r->sectors * 512);
	if (r->operation == BLK_WRITE)
		io_segments_read(r->segment, r->segments, 0, drive.medium + r->sector * 512, r->sectors * 512);
	return BLK_OK;
}

static enum blk_status drive_submit(struct blk_device *device, struct blk_request *r)
{
	(void)device;
	if (!drive.later)
		return drive_do(r);
	assert_null(drive.waiting);
	drive.waiting = r;
	return BLK_PENDING;
}

static void drive_finish(void)
{
	struct blk_request *r = drive.waiting;

	drive.waiting = NULL;
	r->done(r, drive_do(r));
}

static void kick(void)
{
	kicks++;
}

static void signal(void)
{
	signals++;
}

static uint64_t now_ns(void)
{
	return 1;
}

/* A driver VM starts, and the control VM sets up its port. */
static void start_driver(void)
{
	static const struct net_port_ops ops = { .receive = other_receive };
	static const struct blk_device_ops drive_ops = { .submit = drive_submit };

	memset(&net, 0, sizeof(net));
	memset(area, 0, PORT_AREA_BYTES);
	wire.port.ops = guest.port.ops = &ops;
	wire.port.policy = (struct net_policy){ .bridge = 1, .uplink = true };
	guest.port.policy = (struct net_policy){ .bridge = 1, .spoof = true };
	net_switch_add(&net, &wire.port);
	net_switch_add(&net, &guest.port);
	drive.device = (struct blk_device){ .ops = &drive_ops, .sectors = SECTORS, .flushes = true };
	drive.waiting = NULL;
	service_port_init(&port, area, signal, now_ns);
	assert_true(service_port_join(&port, &net, &wire.port.policy, uplink_mac));
	service_port_give_disk(&port, &drive.device);
	port_net_start(area, port.port.policy.mac, kick);
	port_disk_start(area, SECTORS, kick);
}

static int set_up(void **state)
{
	(void)state;
	area = calloc(1, PORT_AREA_BYTES);
	memset(&wire, 0, sizeof(wire));
	memset(&guest, 0, sizeof(guest));
	memset(&drive, 0, sizeof(drive));
	kicks = signals = 0;
	start_driver();
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	port_net_stop();
	port_disk_end();
	port_disk_poll();
	free(area);
	return 0;
}

static unsigned frames;
static uint8_t frame_bytes[PORT_FRAME_BYTES];
static size_t frame_count;

static void take_frame(const uint8_t *bytes, size_t count)
{
	frames++;
	frame_count = count;
	memcpy(frame_bytes, bytes, count);
}

static unsigned poll(void)
{
	frames = 0;
	return port_net_poll(1000, take_frame);
}

static bool send_to(const uint8_t *to, size_t bytes, uint8_t fill)
{
	static uint8_t data[2048];
	uint8_t head[14] = { [12] = 8 };
	const struct port_piece piece[2] = { { head, sizeof(head) }, { data, bytes - sizeof(head) } };

	memcpy(head, to, 6);
	memcpy(head + 6, own_mac, 6);
	memset(data, fill, sizeof(data));
	return port_net_send(piece, 2);
}

static void arrive(struct other *from, const uint8_t *to, const uint8_t *sender, uint32_t bytes, uint8_t fill)
{
	static uint8_t data[2048];
	struct io_segment segment[2] = { { data, 14 }, { data + 14, bytes - 14 } };
	struct net_frame frame = { .segment = segment, .segments = bytes > 14 ? 2 : 1, .bytes = bytes };

	memset(data, fill, sizeof(data));
	memcpy(data, to, 6);
	memcpy(data + 6, sender, 6);
	data[12] = 8;
	net_switch_forward(&net, &from->port, &frame, 1);
	net_switch_flush(&net);
}

static void port_net_mac__beside_the_uplink__an_address_of_its_own(void **state)
{
	static const uint8_t global[6] = { 0x00, 0x1B, 0x21, 1, 2, 3 }, local[6] = { 0x22, 0x1B, 0x21, 1, 2, 3 };
	struct service_port other;
	uint8_t mac[6];

	(void)state;
	assert_true(port_net_mac(mac));
	assert_memory_equal(mac, own_mac, 6);
	service_port_init(&other, area, signal, now_ns);
	assert_true(service_port_join(&other, &net, &wire.port.policy, global));
	assert_memory_equal(other.port.policy.mac, local, 6);
	port_net_stop();
	assert_false(port_net_mac(mac));
}

static void port_net_send__frame__reaches_the_wire_and_no_guest(void **state)
{
	static const uint8_t everybody[6] = { 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF };

	(void)state;
	assert_true(send_to(peer_mac, 1514, 0x5A));
	assert_int_equal(kicks, 1);
	assert_false(service_port_send(&port));
	assert_int_equal(wire.frames, 1);
	assert_int_equal(wire.bytes, 1514);
	assert_memory_equal(wire.last, peer_mac, 6);
	assert_memory_equal(wire.last + 6, own_mac, 6);
	assert_int_equal(wire.last[1513], 0x5A);
	assert_true(send_to(everybody, 60, 1));
	service_port_send(&port);
	assert_int_equal(wire.frames, 2);
	assert_int_equal(guest.frames, 0);
}

static void port_net_send__too_long_or_too_short__is_refused(void **state)
{
	(void)state;
	assert_false(send_to(peer_mac, 1515, 0));
	assert_true(send_to(peer_mac, 14, 0));
	const struct port_piece piece = { peer_mac, 6 };
	assert_false(port_net_send(&piece, 1));
	const struct port_piece huge[2] = { { peer_mac, 14 }, { peer_mac, SIZE_MAX } };
	assert_false(port_net_send(huge, 2));
}

static void port_net_send__full__waits_and_is_told(void **state)
{
	unsigned sent = 0;

	(void)state;
	while (send_to(peer_mac, 100, 1))
		sent++;
	assert_int_equal(sent, ENTRIES);
	assert_int_equal(signals, 0);
	assert_true(service_port_send(&port)); /* a whole slice: perhaps there is more */
	assert_false(service_port_send(&port));
	assert_int_equal(signals, 1);
	assert_int_equal(wire.frames, ENTRIES);
	for (sent = 0; sent < 1000; sent++) {
		assert_true(send_to(peer_mac, 100, 1));
		service_port_send(&port);
	}
	assert_int_equal(signals, 1); /* nobody waits */
}

static void port_net_poll__frame_for_it__comes_whole(void **state)
{
	(void)state;
	arrive(&wire, own_mac, peer_mac, 1514, 0x77);
	assert_int_equal(signals, 1);
	assert_int_equal(poll(), 1);
	assert_int_equal(frame_count, 1514);
	assert_memory_equal(frame_bytes + 6, peer_mac, 6);
	assert_int_equal(frame_bytes[1513], 0x77);
	assert_int_equal(poll(), 0);
	arrive(&wire, own_mac, peer_mac, 1515, 0x77); /* longer than its medium carries */
	assert_int_equal(poll(), 0);
}

static void port_net_poll__more_than_buffers__the_rest_is_dropped(void **state)
{
	(void)state;
	for (unsigned round = 0; round < 5; round++) {
		for (unsigned i = 0; i < ENTRIES + 10; i++)
			arrive(&wire, own_mac, peer_mac, 60, (uint8_t)i);
		assert_int_equal(port_net_poll(10, take_frame), 10);
		assert_int_equal(poll(), ENTRIES - 10);
		assert_int_equal(frame_bytes[59], ENTRIES - 1);
	}
	assert_int_equal(port.port.counts.dropped, 50);
}

/* Guests never talk to the control VM, neither on its bridge nor by the address that they share with the gateway. */
static void port_net_poll__from_a_guest_or_the_gateway__does_not_come(void **state)
{
	static const uint8_t everybody[6] = { 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF };

	(void)state;
	arrive(&guest, own_mac, peer_mac, 60, 1);
	arrive(&guest, everybody, peer_mac, 60, 1);
	arrive(&wire, own_mac, uplink_mac, 60, 1);
	assert_int_equal(poll(), 0);
	assert_true(send_to(uplink_mac, 60, 1));
	wire.frames = 0;
	service_port_send(&port);
	assert_int_equal(wire.frames, 0);
}

/* ---- A driver VM that does not behave ---- */

static uint8_t *used_of(enum port_area_queue queue)
{
	return area + PORT_AREA_RINGS(queue) + PORT_AREA_USED;
}

static void put_used(enum port_area_queue queue, unsigned at, uint32_t id, uint32_t bytes)
{
	memcpy(used_of(queue) + 4 + 8 * at, &id, 4);
	memcpy(used_of(queue) + 8 + 8 * at, &bytes, 4);
}

static void put_index(enum port_area_queue queue, uint16_t index)
{
	memcpy(used_of(queue) + 2, &index, 2);
}

static void port_queue_take__wrong_id_twice_or_too_many__breaks_the_queue(void **state)
{
	struct port_queue queue;
	uint16_t head;
	uint32_t bytes;

	(void)state;
	for (unsigned how = 0; how < 5; how++) {
		port_queue_init(&queue, area, PORT_AREA_RECEIVE, 8);
		for (uint16_t i = 0; i < 4; i++)
			port_queue_offer(&queue, i);
		put_used(PORT_AREA_RECEIVE, 0, how == 0 ? 8 : how == 1 ? UINT32_MAX : how == 2 ? 5 : 1, 100);
		put_used(PORT_AREA_RECEIVE, 1, 1, 100);
		put_index(PORT_AREA_RECEIVE, how < 3 ? 1 : how == 3 ? 2 : 5);
		if (how == 3)
			assert_true(port_queue_take(&queue, &head, &bytes)); /* the first time */
		assert_false(port_queue_take(&queue, &head, &bytes));
		assert_true(queue.broken);
		put_used(PORT_AREA_RECEIVE, 0, 1, 100);
		put_index(PORT_AREA_RECEIVE, 1);
		assert_false(port_queue_take(&queue, &head, &bytes)); /* for good */
	}
}

static void port_net_poll__impossible_length__is_dropped(void **state)
{
	const uint32_t lengths[] = { 0, 11, 12, 25, 1527, 2048, 2049, UINT32_MAX };
	unsigned count = sizeof(lengths) / sizeof(lengths[0]);

	(void)state;
	for (uint16_t i = 0; i < count; i++)
		put_used(PORT_AREA_RECEIVE, i, i, lengths[i]);
	put_index(PORT_AREA_RECEIVE, (uint16_t)count);
	assert_int_equal(poll(), 0);
	put_used(PORT_AREA_RECEIVE, count, 20, 26);
	put_index(PORT_AREA_RECEIVE, (uint16_t)(count + 1));
	assert_int_equal(poll(), 1);
	assert_int_equal(frame_count, 14);
}

/* ---- The disk ---- */

static int result; /* -1: not done */

static void done(bool ok)
{
	assert_int_equal(result, -1);
	result = ok;
}

static const struct store_disk *disk(void)
{
	result = -1;
	return port_disk();
}

static void run_disk(void)
{
	service_port_run_disk(&port);
	port_disk_poll();
}

static void port_disk__write_flush_read__is_the_same(void **state)
{
	static uint8_t out[4096], in[4096];

	(void)state;
	memset(out, 0xA5, sizeof(out));
	disk()->write(NULL, 5, out, sizeof(out), done);
	assert_int_equal(result, -1); /* not before the main loop has its turn */
	run_disk();
	assert_int_equal(result, 1);
	assert_memory_equal(drive.medium + 5 * 512, out, sizeof(out));
	disk()->flush(NULL, done);
	run_disk();
	assert_int_equal(result, 1);
	assert_int_equal(drive.flushes, 1);
	disk()->read(NULL, 5, in, sizeof(in), done);
	run_disk();
	assert_int_equal(result, 1);
	assert_memory_equal(in, out, sizeof(in));
	assert_int_equal(signals, 3);
}

static void port_disk__flush_of_a_disk_without_a_cache__succeeds(void **state)
{
	(void)state;
	drive.device.flushes = false;
	disk()->flush(NULL, done);
	run_disk();
	assert_int_equal(result, 1);
	assert_int_equal(drive.flushes, 0);
}

static void port_disk__outside_of_the_disk_or_an_error__fails(void **state)
{
	static uint8_t buffer[131072];

	(void)state;
	disk()->read(NULL, SECTORS - 1, buffer, 1024, done);
	run_disk();
	assert_int_equal(result, 0);
	disk()->read(NULL, UINT64_MAX, buffer, 512, done);
	run_disk();
	assert_int_equal(result, 0);
	disk()->write(NULL, 0, buffer, sizeof(buffer), done);
	run_disk();
	assert_int_equal(result, 0);
	disk()->write(NULL, 0, buffer, 100, done);
	run_disk();
	assert_int_equal(result, 0);
	drive.fails = true;
	disk()->read(NULL, 0, buffer, 512, done);
	run_disk();
	assert_int_equal(result, 0);
	drive.fails = false;
	disk()->read(NULL, 0, buffer, 512, done);
	run_disk();
	assert_int_equal(result, 1);
}

static void port_disk__driver_vm_replaced__the_operation_is_done_by_the_next(void **state)
{
	static uint8_t out[512], in[512];

	(void)state;
	drive.later = true;
	memset(out, 0x11, sizeof(out));
	disk()->write(NULL, 7, out, sizeof(out), done);
	service_port_run_disk(&port);
	assert_non_null(drive.waiting);
	port_net_stop();
	port_disk_stop();
	assert_false(port_disk_poll());
	assert_int_equal(result, -1);
	start_driver();
	service_port_run_disk(&port);
	assert_false(port_disk_poll());
	drive_finish();
	assert_true(port_disk_poll());
	assert_int_equal(result, 1);
	assert_int_equal(drive.medium[7 * 512], 0x11);
	/* One that is asked for in between waits. */
	port_disk_stop();
	disk()->read(NULL, 7, in, sizeof(in), done);
	assert_false(port_disk_poll());
	drive.later = false;
	start_driver();
	run_disk();
	assert_int_equal(result, 1);
	assert_memory_equal(in, out, sizeof(in));
}

static void port_disk__no_driver_vm_any_more__operations_fail(void **state)
{
	uint8_t in[512];

	(void)state;
	disk()->read(NULL, 7, in, sizeof(in), done);
	port_disk_end();
	assert_true(port_disk_poll());
	assert_int_equal(result, 0);
	disk()->read(NULL, 7, in, sizeof(in), done);
	assert_true(port_disk_poll());
	assert_int_equal(result, 0);
}

static void port_disk__driver_vm_breaks_the_queue__operations_fail_until_the_next_one(void **state)
{
	uint8_t in[512];

	(void)state;
	disk()->read(NULL, 7, in, sizeof(in), done);
	put_used(PORT_AREA_DISK, 0, 3, 1);
	put_index(PORT_AREA_DISK, 1);
	assert_true(port_disk_poll());
	assert_int_equal(result, 0);
	disk()->read(NULL, 7, in, sizeof(in), done);
	assert_true(port_disk_poll());
	assert_int_equal(result, 0);
	start_driver();
	disk()->read(NULL, 7, in, sizeof(in), done);
	run_disk();
	assert_int_equal(result, 1);
}

static void service_port_run_disk__nonsense__is_an_error_or_breaks_the_queue(void **state)
{
	struct port_queue queue;
	uint64_t header[2] = { 99, 0 };
	uint16_t head;
	uint32_t bytes;

	(void)state;
	port_queue_init(&queue, area, PORT_AREA_DISK, PORT_AREA_DISK_ENTRIES);
	memcpy(area + PORT_AREA_DISK_HEADER, header, sizeof(header));
	port_queue_describe(&queue, 0, PORT_AREA_DISK_HEADER, 16, PORT_QUEUE_NEXT, 1);
	port_queue_describe(&queue, 1, PORT_AREA_DISK_STATUS, 1, PORT_QUEUE_WRITE, 0);
	port_queue_offer(&queue, 0);
	service_port_run_disk(&port);
	assert_true(port_queue_take(&queue, &head, &bytes));
	assert_int_equal(area[PORT_AREA_DISK_STATUS], 1);
	port_queue_describe(&queue, 0, PORT_AREA_DISK_HEADER, 16, 0, 0); /* no place for a status */
	port_queue_offer(&queue, 0);
	service_port_run_disk(&port);
	assert_false(port_queue_take(&queue, &head, &bytes));
	assert_true(port.requests.broken);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(port_net_mac__beside_the_uplink__an_address_of_its_own),
		TEST(port_net_send__frame__reaches_the_wire_and_no_guest),
		TEST(port_net_send__too_long_or_too_short__is_refused),
		TEST(port_net_send__full__waits_and_is_told),
		TEST(port_net_poll__frame_for_it__comes_whole),
		TEST(port_net_poll__more_than_buffers__the_rest_is_dropped),
		TEST(port_net_poll__from_a_guest_or_the_gateway__does_not_come),
		TEST(port_queue_take__wrong_id_twice_or_too_many__breaks_the_queue),
		TEST(port_net_poll__impossible_length__is_dropped),
		TEST(port_disk__write_flush_read__is_the_same),
		TEST(port_disk__flush_of_a_disk_without_a_cache__succeeds),
		TEST(port_disk__outside_of_the_disk_or_an_error__fails),
		TEST(port_disk__driver_vm_replaced__the_operation_is_done_by_the_next),
		TEST(port_disk__no_driver_vm_any_more__operations_fail),
		TEST(port_disk__driver_vm_breaks_the_queue__operations_fail_until_the_next_one),
		TEST(service_port_run_disk__nonsense__is_an_error_or_breaks_the_queue),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
