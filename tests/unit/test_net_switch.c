/*
 * The switch with ports that record what they get: who reaches whom, tags, learning, and work left undone.
 *
 * UNIT_SOURCES: drivers-vm/driver/net_switch.c drivers-vm/driver/net_filter.c
 * UNIT_SOURCES: drivers-vm/driver/net_offload.c drivers-vm/driver/io_segment.c
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "drivers-vm/driver/net_filter.h"
#include "drivers-vm/driver/net_switch.h"

#define PORTS  6u
#define FRAMES 64u

struct got {
	uint32_t bytes;
	bool csum_partial;
	uint8_t gso;
	uint16_t csum_start;
	uint8_t data[4096];
};

struct port {
	struct net_port port; /* first */
	unsigned frames, flushes;
	struct got got[FRAMES];
};

static struct net_switch sw;
static struct port port[PORTS];
static uint8_t bytes[8192];
static struct io_segment segment[4];
static struct net_frame frame;
static uint64_t now;

static void receive(struct net_port *p, struct net_frame *f)
{
	struct port *to = (struct port *)p;
	struct got *got = &to->got[to->frames++ % FRAMES];

	assert_true(f->bytes <= sizeof(got->data) && f->segments <= NET_SEGMENTS_MAX + 1);
	*got = (struct got){ f->bytes, f->csum_partial, f->gso, f->csum_start, { 0 } };
	assert_int_equal(io_segments_read(f->segment, f->segments, 0, got->data, sizeof(got->data)), f->bytes);
}

static void flush(struct net_port *p)
{
	((struct port *)p)->flushes++;
}

static int set_up(void **state)
{
	static const struct net_port_ops ops = { .receive = receive, .flush = flush };

	(void)state;
	memset(&sw, 0, sizeof(sw));
	memset(port, 0, sizeof(port));
	for (unsigned i = 0; i < PORTS; i++) {
		port[i].port.ops = &ops;
		port[i].port.policy.mac[0] = 2;
		port[i].port.policy.mac[5] = (uint8_t)(i + 1);
		port[i].port.can = NET_CAN_CSUM | NET_CAN_TCP4 | NET_CAN_TCP6;
		assert_true(net_switch_add(&sw, &port[i].port));
	}
	now = 1000;
	return 0;
}

static struct net_policy *policy(unsigned i)
{
	return &port[i].port.policy;
}

/* A frame of `count` bytes in three segments, the head first. */
static void frame_make(const uint8_t *to, const uint8_t *from, uint32_t count)
{
	uint32_t head = count < NET_HEAD_BYTES ? count : NET_HEAD_BYTES, rest = count - head;

	for (unsigned i = 0; i < count; i++)
		bytes[i] = (uint8_t)(i * 7);
	memcpy(bytes, to, 6);
	memcpy(bytes + 6, from, 6);
	net_put16(bytes + 12, 0x88B5); /* for experiments */
	segment[0] = (struct io_segment){ bytes, head };
	segment[1] = (struct io_segment){ bytes + head, rest / 3 };
	segment[2] = (struct io_segment){ bytes + head + rest / 3, rest - rest / 3 };
	frame = (struct net_frame){ .segment = segment, .segments = rest >= 3 ? 3 : 1, .bytes = count };
}

static void send(unsigned from)
{
	net_switch_forward(&sw, &port[from].port, &frame, now);
}

/* Sends a frame from one port to an address and returns the ports that got it, one bit each. */
static unsigned reach(unsigned from, const uint8_t *to)
{
	unsigned before[PORTS], reached = 0;

	for (unsigned i = 0; i < PORTS; i++)
		before[i] = port[i].frames;
	frame_make(to, policy(from)->mac, 60);
	send(from);
	for (unsigned i = 0; i < PORTS; i++)
		reached |= (port[i].frames - before[i]) << i;
	return reached;
}

static const uint8_t broadcast[6] = { 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF };
static const uint8_t stranger[6] = { 0x02, 0x99, 0, 0, 0, 1 };

static void net_switch_forward__known_unknown_and_all__the_right_ports(void **state)
{
	(void)state;
	assert_int_equal(reach(0, policy(3)->mac), 1u << 3);
	assert_int_equal(reach(0, broadcast), 0x3E);
	assert_int_equal(reach(0, stranger), 0); /* who could be behind a card of one address? */
	assert_int_equal(reach(0, policy(0)->mac), 0);
	policy(4)->uplink = true;
	policy(5)->spoof = true;
	assert_int_equal(reach(0, stranger), 0x30);
	const uint8_t pause[6] = { 0x01, 0x80, 0xC2, 0, 0, 1 };
	assert_int_equal(reach(0, pause), 0);
	assert_memory_equal(port[3].got[0].data, policy(3)->mac, 6);
	assert_int_equal(port[3].got[0].bytes, 60);
}

static void net_switch_forward__bridges_tenants_vlans__kept_apart(void **state)
{
	(void)state;
	policy(1)->bridge = 1;
	policy(2)->tenant = 1;
	policy(3)->vlan = 5;
	assert_int_equal(reach(0, broadcast), 0x30);
	for (unsigned i = 1; i <= 3; i++) {
		assert_int_equal(reach(0, policy(i)->mac), 0);
		assert_int_equal(reach(i, policy(0)->mac), 0);
	}
	policy(4)->tenant = 1;
	assert_int_equal(reach(2, broadcast), 1u << 4);
	policy(5)->uplink = true; /* is everybody's, but of its bridge and VLAN */
	assert_int_equal(reach(2, broadcast), 1u << 4 | 1u << 5);
	assert_int_equal(reach(5, policy(2)->mac), 1u << 2);
	assert_int_equal(reach(1, broadcast), 0);
	assert_int_equal(reach(3, broadcast), 0);
}

static void net_switch_forward__source_of_another__refused_and_counted(void **state)
{
	(void)state;
	frame_make(policy(1)->mac, policy(2)->mac, 60);
	send(0);
	assert_int_equal(port[1].frames, 0);
	assert_int_equal(port[0].port.counts.refused, 1);
	assert_int_equal(port[0].port.counts.sent_frames, 0);
}

static void net_switch_forward__address_behind_an_uplink__learned_moved_and_forgotten(void **state)
{
	(void)state;
	policy(4)->uplink = policy(5)->uplink = true;
	frame_make(broadcast, stranger, 60);
	send(4);
	assert_int_equal(reach(0, stranger), 1u << 4);
	frame_make(broadcast, stranger, 60);
	send(5);
	assert_int_equal(reach(0, stranger), 1u << 5);
	now += NET_SWITCH_AGING_NS;
	assert_int_equal(reach(0, stranger), 0x30);
	frame_make(broadcast, stranger, 60);
	send(5);
	net_switch_remove(&sw, &port[5].port);
	assert_int_equal(reach(0, stranger), 1u << 4);
	/* An address that a guest has is nobody else's. */
	frame_make(broadcast, policy(1)->mac, 60);
	send(4);
	assert_int_equal(reach(0, policy(1)->mac), 1u << 1);
}

static void net_switch_forward__more_addresses_than_places__others_still_learned(void **state)
{
	uint8_t mac[6] = { 2, 0x55 };

	(void)state;
	policy(4)->uplink = true;
	for (unsigned i = 0; i < 100000; i++) {
		mac[3] = (uint8_t)(i >> 16);
		mac[4] = (uint8_t)(i >> 8);
		mac[5] = (uint8_t)i;
		now++;
		frame_make(policy(0)->mac, mac, 60);
		send(4);
	}
	assert_int_equal(reach(0, mac), 1u << 4);
	assert_int_equal(reach(0, policy(1)->mac), 1u << 1);
}

static void net_switch_forward__trunk__tags_come_and_go(void **state)
{
	(void)state;
	policy(4)->trunk = policy(4)->uplink = true;
	policy(1)->vlan = policy(2)->vlan = 7;
	/* Out: with a tag. */
	frame_make(stranger, policy(1)->mac, 200);
	send(1);
	assert_int_equal(port[4].frames, 1);
	assert_int_equal(port[4].got[0].bytes, 204);
	assert_int_equal(net_get16(port[4].got[0].data + 12), NET_TYPE_TAG);
	assert_int_equal(net_get16(port[4].got[0].data + 14), 7);
	assert_memory_equal(port[4].got[0].data, bytes, 12);
	assert_memory_equal(port[4].got[0].data + 16, bytes + 12, 188);
	/* In: without. */
	frame_make(policy(2)->mac, stranger, 200);
	memmove(bytes + 16, bytes + 12, 100);
	net_put16(bytes + 12, NET_TYPE_TAG);
	net_put16(bytes + 14, 3u << 13 | 7);
	send(4);
	assert_int_equal(port[2].frames, 1);
	assert_int_equal(port[2].got[0].bytes, 196);
	assert_memory_equal(port[2].got[0].data, bytes, 12);
	assert_memory_equal(port[2].got[0].data + 12, bytes + 16, 184);
	/* Of another VLAN: not for it. Of none: for those without. */
	net_put16(bytes + 14, 8);
	send(4);
	assert_int_equal(port[2].frames, 1);
	frame_make(policy(2)->mac, stranger, 60);
	send(4);
	assert_int_equal(port[2].frames, 1);
	assert_int_equal(reach(0, stranger), 1u << 4);
	assert_int_equal(port[4].got[1].bytes, 60);
}

static void net_switch_forward__tags_where_none_may_be__refused(void **state)
{
	(void)state;
	policy(4)->trunk = policy(4)->uplink = true;
	for (unsigned vlan = 0; vlan < 16; vlan++) {
		frame_make(broadcast, policy(0)->mac, 60);
		net_put16(bytes + 12, NET_TYPE_TAG);
		net_put16(bytes + 14, (uint16_t)vlan);
		send(0);
		assert_int_equal(port[0].port.counts.refused, vlan + 1);
	}
	frame_make(broadcast, stranger, 60);
	net_put16(bytes + 12, NET_TYPE_TAG);
	net_put16(bytes + 14, 4095);
	send(4);
	net_put16(bytes + 14, 1);
	net_put16(bytes + 16, NET_TYPE_TAG); /* a tag within the tag */
	send(4);
	frame_make(broadcast, stranger, 17);
	net_put16(bytes + 12, NET_TYPE_TAG);
	send(4);
	assert_int_equal(port[4].port.counts.refused, 3);
	frame_make(broadcast, policy(0)->mac, 13);
	send(0);
	assert_int_equal(port[0].port.counts.refused, 17);
	for (unsigned i = 0; i < PORTS; i++)
		assert_int_equal(port[i].frames, 0);
}

static void net_switch_flush__after_a_burst__each_port_told_once(void **state)
{
	(void)state;
	reach(0, policy(1)->mac);
	reach(0, policy(1)->mac);
	reach(0, broadcast);
	net_switch_remove(&sw, &port[2].port);
	net_switch_flush(&sw);
	net_switch_flush(&sw);
	assert_int_equal(port[0].flushes, 0);
	assert_int_equal(port[1].flushes, 1);
	assert_int_equal(port[2].flushes, 0);
	assert_int_equal(port[3].flushes, 1);
	assert_int_equal(sw.waiting, 0);
}

/* ---- Work left undone ---- */

static uint16_t sum(const uint8_t *at, unsigned count, uint32_t start)
{
	uint32_t total = start;

	for (unsigned i = 0; i < count; i++)
		total += (uint32_t)at[i] << (i % 2 ? 0 : 8);
	while (total >> 16)
		total = (total & 0xFFFF) + (total >> 16);
	return (uint16_t)total;
}

/* A TCP segment with `data` bytes, 12 bytes of options, and the pseudo header's sum in the checksum's place.
 */
static unsigned tcp_make(bool ip6, unsigned data)
{
	unsigned l3 = 14, l4 = l3 + (ip6 ? 40 : 20), head = l4 + 32, length = 32 + data;
	uint8_t *ip = bytes + l3, *tcp = bytes + l4;

	frame_make(policy(1)->mac, policy(0)->mac, head + data);
	net_put16(bytes + 12, ip6 ? NET_TYPE_IP6 : NET_TYPE_IP4);
	memset(ip, 0, 40);
	ip[0] = ip6 ? 0x60 : 0x45;
	if (ip6) {
		net_put16(ip + 4, (uint16_t)length);
		ip[6] = NET_IP_TCP;
		memset(ip + 8, 0x20, 32);
	} else {
		net_put16(ip + 2, (uint16_t)(20 + length));
		net_put16(ip + 4, 0xFFFF); /* the next ones wrap */
		ip[9] = NET_IP_TCP;
		memset(ip + 12, 0x0A, 8);
		net_put16(ip + 10, (uint16_t)~sum(ip, 20, 0));
	}
	memset(tcp, 0, 32);
	net_put32(tcp + 4, 0xFFFFFF00);
	tcp[12] = 8 << 4;
	tcp[13] = 0x80 | 0x10 | 0x08 | 0x01; /* CWR, ACK, PSH, FIN */
	net_put16(tcp + 16, sum(ip + (ip6 ? 8 : 12), ip6 ? 32 : 8, NET_IP_TCP + length));
	frame.csum_partial = true;
	frame.csum_start = (uint16_t)l4;
	frame.csum_offset = 16;
	return head;
}

static void expect_tcp(const struct got *got, bool ip6, unsigned data, uint32_t sequence, uint8_t flags, uint16_t id)
{
	unsigned l4 = 14 + (ip6 ? 40 : 20), length = got->bytes - l4;
	const uint8_t *ip = got->data + 14, *tcp = got->data + l4;

	assert_int_equal(length, 32 + data);
	assert_int_equal(net_get32(tcp + 4), sequence);
	assert_int_equal(tcp[13], flags);
	if (ip6) {
		assert_int_equal(net_get16(ip + 4), length);
	} else {
		assert_int_equal(net_get16(ip + 2), 20 + length);
		assert_int_equal(net_get16(ip + 4), id);
		assert_int_equal(sum(ip, 20, 0), 0xFFFF);
	}
	assert_false(got->csum_partial);
	assert_int_equal(sum(tcp, length, sum(ip + (ip6 ? 8 : 12), ip6 ? 32 : 8, NET_IP_TCP + length)), 0xFFFF);
}

static void offload__receiver_that_can__gets_it_as_it_is(void **state)
{
	(void)state;
	tcp_make(false, 3000);
	frame.gso = NET_GSO_TCP4;
	frame.gso_bytes = 1000;
	send(0);
	assert_int_equal(port[1].frames, 1);
	assert_true(port[1].got[0].csum_partial);
	assert_int_equal(port[1].got[0].gso, NET_GSO_TCP4);
	assert_memory_equal(port[1].got[0].data, bytes, frame.bytes);
}

static void offload__receiver_that_cannot_sum__sum_filled_in(void **state)
{
	(void)state;
	port[1].port.can = 0;
	for (unsigned data = 0; data < 400; data += 37) {
		tcp_make(data % 2, data);
		send(0);
		expect_tcp(&port[1].got[(port[1].frames - 1) % FRAMES], data % 2, data, 0xFFFFFF00, 0x99, 0xFFFF);
	}
}

static void offload__receiver_that_cannot_take_large_segments__gets_small_ones(void **state)
{
	(void)state;
	for (unsigned ip6 = 0; ip6 < 2; ip6++) {
		unsigned head, data = 2501, size = 999, at = 0;
		port[1].frames = 0;
		port[1].port.can = ip6 ? 0 : NET_CAN_TCP6;
		head = tcp_make(ip6, data);
		frame.gso = ip6 ? NET_GSO_TCP6 : NET_GSO_TCP4;
		frame.gso_bytes = (uint16_t)size;
		send(0);
		assert_int_equal(port[1].frames, 3);
		for (unsigned i = 0; i < 3; i++, at += size) {
			unsigned part = i < 2 ? size : data - at;
			uint8_t flags = (i == 0 ? 0x80 : 0) | 0x10 | (i == 2 ? 0x09 : 0);
			expect_tcp(&port[1].got[i], ip6, part, 0xFFFFFF00 + at, flags, (uint16_t)(0xFFFF + i));
			assert_memory_equal(port[1].got[i].data + head, bytes + head + at, part);
		}
	}
}

static void offload__through_a_trunk__behind_the_tag(void **state)
{
	(void)state;
	policy(0)->vlan = 9;
	policy(1)->trunk = true;
	port[1].port.can = 0;
	tcp_make(false, 100);
	send(0);
	assert_int_equal(port[1].frames, 1);
	memmove(port[1].got[0].data + 12, port[1].got[0].data + 16, 1000);
	port[1].got[0].bytes -= 4;
	expect_tcp(&port[1].got[0], false, 100, 0xFFFFFF00, 0x99, 0xFFFF);
}

static void offload__that_does_not_fit_the_frame__refused(void **state)
{
	unsigned head;

	(void)state;
#define REFUSED(change) \
	do { \
		uint64_t before = port[0].port.counts.refused; \
		head = tcp_make(false, 1000); \
		frame.gso = NET_GSO_TCP4; \
		frame.gso_bytes = 500; \
		change; \
		send(0); \
		assert_int_equal(port[0].port.counts.refused, before + 1); \
	} while (0)
	REFUSED(frame.csum_partial = false);
	REFUSED(frame.gso_bytes = 0);
	REFUSED(frame.gso_bytes = 47);
	REFUSED(frame.gso = NET_GSO_TCP6);
	REFUSED(frame.gso = 3);
	REFUSED(frame.csum_start = 13);
	REFUSED(frame.csum_start = 0xFFFF);
	REFUSED(frame.csum_start = 38);
	REFUSED(frame.csum_offset = 6);
	REFUSED(frame.csum_offset = 0xFFFF);
	REFUSED(bytes[14] = 0x46);
	REFUSED(bytes[14 + 9] = NET_IP_UDP);
	REFUSED(bytes[34 + 12] = 4 << 4);
	REFUSED((segment[0].count = head - 1, frame.segments = 1, frame.bytes = head - 1));
	REFUSED((frame.gso = 0, frame.csum_start = NET_HEAD_BYTES, frame.csum_offset = 0));
	assert_int_equal(port[1].frames, 0);
}

/* Hundreds of cards beside those: each is found by its address, and only while it is there; a burst tells each once. */
static void net_switch_add__hundreds_of_ports__each_found_by_its_address(void **state)
{
	enum { MANY = 600 };
	static struct port many[MANY];

	(void)state;
	memset(many, 0, sizeof(many));
	for (unsigned i = 0; i < MANY; i++) {
		many[i].port = port[0].port;
		net_put16(many[i].port.policy.mac + 2, (uint16_t)(i + 1));
		assert_true(net_switch_add(&sw, &many[i].port));
	}
	for (unsigned i = 0; i < MANY; i += 2)
		net_switch_remove(&sw, &many[i].port);
	for (unsigned i = 0; i < MANY; i++) {
		frame_make(many[i].port.policy.mac, policy(1)->mac, 60);
		send(1);
		send(1);
	}
	for (unsigned i = 1; i < MANY; i += 4)
		net_switch_remove(&sw, &many[i].port); /* while its flush is due */
	net_switch_flush(&sw);
	net_switch_flush(&sw);
	for (unsigned i = 0; i < MANY; i++) {
		assert_int_equal(many[i].frames, i % 2 == 0 ? 0 : 2);
		assert_int_equal(many[i].flushes, i % 4 == 3);
	}
}

#define CASE(name) cmocka_unit_test_setup(name, set_up)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(net_switch_forward__known_unknown_and_all__the_right_ports),
		CASE(net_switch_forward__bridges_tenants_vlans__kept_apart),
		CASE(net_switch_forward__source_of_another__refused_and_counted),
		CASE(net_switch_forward__address_behind_an_uplink__learned_moved_and_forgotten),
		CASE(net_switch_forward__more_addresses_than_places__others_still_learned),
		CASE(net_switch_forward__trunk__tags_come_and_go),
		CASE(net_switch_forward__tags_where_none_may_be__refused),
		CASE(net_switch_flush__after_a_burst__each_port_told_once),
		CASE(net_switch_add__hundreds_of_ports__each_found_by_its_address),
		CASE(offload__receiver_that_can__gets_it_as_it_is),
		CASE(offload__receiver_that_cannot_sum__sum_filled_in),
		CASE(offload__receiver_that_cannot_take_large_segments__gets_small_ones),
		CASE(offload__through_a_trunk__behind_the_tag),
		CASE(offload__that_does_not_fit_the_frame__refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
