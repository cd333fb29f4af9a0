/*
 * Reading packets of both sides, and changing addresses and ports without a wrong checksum.
 *
 * UNIT_SOURCES: drivers-vm/driver/nat_packet.c
 * UNIT_FLAGS: -Itests/unit
 */
#include "cmocka_all.h"

#include <stdlib.h>

#include "nat_frames.h"

static const uint8_t mac_a[6] = { 2, 0, 0, 0, 0, 1 }, mac_b[6] = { 2, 0, 0, 0, 0, 2 };
static struct frame f;

static const struct nat_tuple tcp = { NET_IP_TCP, IP4(10, 0, 100, 7), IP4(93, 184, 216, 34), 40000, 443 };
static const struct nat_tuple udp = { NET_IP_UDP, IP4(10, 0, 100, 7), IP4(8, 8, 8, 8), 5353, 53 };
static const struct nat_tuple echo = { NAT_ICMP, IP4(10, 0, 100, 7), IP4(9, 9, 9, 9), 77, 77 };

static void same_tuple(const struct nat_tuple *a, const struct nat_tuple *b)
{
	assert_int_equal(a->protocol, b->protocol);
	assert_int_equal(a->source, b->source);
	assert_int_equal(a->target, b->target);
	assert_int_equal(a->source_port, b->source_port);
	assert_int_equal(a->target_port, b->target_port);
}

static void nat_packet_read__tcp_udp_echo__their_tuples(void **state)
{
	const struct nat_tuple *all[] = { &tcp, &udp, &echo };

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		frame_make(&f, mac_a, mac_b, *all[i], NAT_ICMP_ECHO, 33);
		struct nat_packet p = nat_packet_read(&f.frame);
		assert_int_equal(p.kind, NAT_PACKET_DATA);
		assert_int_equal(p.ttl, 64);
		same_tuple(&p.tuple, all[i]);
	}
}

static void nat_packet_read__malformed__is_bad(void **state)
{
	static const struct {
		unsigned offset;
		uint8_t value;
	} broken[] = {
		{ 14, 0x44 }, { 14, 0x65 }, { 14, 0x4F }, /* header length; version; options that are not there */
		{ 16, 0xFF }, { 17, 19 },                 /* total length: too long, too short */
		{ 20, 0x20 }, { 21, 1 },                  /* a first fragment, a later one */
		{ 23, 41 },                               /* another protocol */
	};

	(void)state;
	for (unsigned i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
		frame_make(&f, mac_a, mac_b, tcp, 0, 0);
		f.bytes[broken[i].offset] = broken[i].value;
		assert_int_equal(nat_packet_read(&f.frame).kind, NAT_PACKET_BAD);
	}
	for (unsigned bytes = 14; bytes < 54; bytes++) {
		frame_make(&f, mac_a, mac_b, tcp, 0, 0);
		frame_finish(&f, bytes);
		assert_int_equal(nat_packet_read(&f.frame).kind, NAT_PACKET_BAD);
	}
	frame_make(&f, mac_a, mac_b, echo, 13, 20); /* a timestamp request */
	assert_int_equal(nat_packet_read(&f.frame).kind, NAT_PACKET_BAD);
}

static void nat_packet_read__offload_of_another_header__is_bad(void **state)
{
	(void)state;
	frame_make(&f, mac_a, mac_b, tcp, 0, 100);
	f.frame.csum_partial = true;
	f.frame.csum_start = 34;
	f.frame.csum_offset = 16;
	assert_int_equal(nat_packet_read(&f.frame).kind, NAT_PACKET_DATA);
	f.frame.csum_offset = 6;
	assert_int_equal(nat_packet_read(&f.frame).kind, NAT_PACKET_BAD);
	f.frame.csum_offset = 16;
	f.frame.csum_start = 36;
	assert_int_equal(nat_packet_read(&f.frame).kind, NAT_PACKET_BAD);
}

/* Any addresses and ports, one after the other on the same packet: the checksums stay right. */
static void nat_packet_set__any_values__sound_packet(void **state)
{
	const struct nat_tuple *all[] = { &tcp, &udp, &echo };

	(void)state;
	srandom(1);
	for (unsigned i = 0; i < 3000; i++) {
		frame_make(&f, mac_a, mac_b, *all[i % 3], NAT_ICMP_ECHO, (unsigned)random() % 200);
		for (unsigned k = 0; k < 3; k++) {
			struct nat_packet p = nat_packet_read(&f.frame);
			uint32_t address = k == 1 ? 0xFFFFFFFF : (uint32_t)random() * 3u;
			uint16_t port = k == 1 ? 0xFFFF : (uint16_t)random();
			nat_packet_set_source(&f.frame, &p, address, port);
			nat_packet_age(&f.frame);
			p = nat_packet_read(&f.frame);
			assert_int_equal(p.tuple.source, address);
			assert_int_equal(p.tuple.source_port, port);
			assert_int_equal(p.ttl, 63 - 2 * k);
			nat_packet_set_target(&f.frame, &p, ~address, (uint16_t)~port);
			nat_packet_age(&f.frame);
			p = nat_packet_read(&f.frame);
			assert_int_equal(p.tuple.target, ~address);
			assert_int_equal(p.tuple.target_port, (uint16_t)~port);
			assert_true(packet_is_sound(f.bytes + 14));
		}
	}
}

static void nat_packet_set__udp_without_checksum__stays_so(void **state)
{
	(void)state;
	frame_make(&f, mac_a, mac_b, udp, 0, 10);
	net_put16(f.bytes + 40, 0);
	struct nat_packet p = nat_packet_read(&f.frame);
	nat_packet_set_source(&f.frame, &p, IP4(1, 2, 3, 4), 99);
	assert_int_equal(net_get16(f.bytes + 40), 0);
}

/* A sum of the pseudo header stands where the checksum will be. */
static void nat_packet_set__checksum_left_undone__right_once_done(void **state)
{
	const struct nat_tuple *all[] = { &tcp, &udp };

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		unsigned at = 34 + csum_at(all[i]->protocol), bytes;
		frame_make(&f, mac_a, mac_b, *all[i], 0, 50);
		bytes = f.frame.bytes - 34;
		net_put16(f.bytes + at, (uint16_t)~plain_csum(NULL, 0, pseudo_sum(f.bytes + 14, bytes)));
		f.frame.csum_partial = true;
		f.frame.csum_start = 34;
		f.frame.csum_offset = (uint16_t)csum_at(all[i]->protocol);
		struct nat_packet p = nat_packet_read(&f.frame);
		nat_packet_set_source(&f.frame, &p, IP4(203, 0, 113, 9), 61000);
		assert_int_equal(net_get16(f.bytes + at), (uint16_t)~plain_csum(NULL, 0, pseudo_sum(f.bytes + 14, bytes)));
		net_put16(f.bytes + at, plain_csum(f.bytes + 34, bytes, 0));
		assert_true(packet_is_sound(f.bytes + 14));
	}
}

static void nat_packet_set_error__quoted_tcp_udp_echo__sound_inside_and_out(void **state)
{
	const struct nat_tuple *all[] = { &tcp, &udp, &echo };

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		frame_make_error(&f, mac_a, mac_b, IP4(7, 7, 7, 7), all[i]->source, all[i], NAT_ICMP_ECHO);
		struct nat_packet p = nat_packet_read(&f.frame);
		assert_int_equal(p.kind, NAT_PACKET_ICMP_ERROR);
		assert_int_equal(p.quoted.source, all[i]->source);
		assert_int_equal(p.quoted.source_port, all[i]->source_port);
		nat_packet_set_error(&f.frame, &p, IP4(10, 0, 100, 9), 4242, IP4(10, 0, 100, 1));
		p = nat_packet_read(&f.frame);
		assert_int_equal(p.tuple.target, IP4(10, 0, 100, 9));
		assert_int_equal(p.quoted.source, IP4(10, 0, 100, 9));
		assert_int_equal(p.quoted.source_port, 4242);
		assert_int_equal(p.quoted.target, IP4(10, 0, 100, 1));
		assert_true(packet_is_sound(f.bytes + 14));
		assert_int_equal(plain_csum(f.bytes + 42, 20, 0), 0); /* the quoted header's own */
	}
}

static void nat_packet_read__error_that_quotes_too_little__is_bad(void **state)
{
	(void)state;
	for (unsigned bytes = 42; bytes < 70; bytes++) {
		frame_make_error(&f, mac_a, mac_b, IP4(7, 7, 7, 7), udp.source, &udp, 0);
		net_put16(f.bytes + 16, (uint16_t)(bytes - 14));
		assert_int_equal(nat_packet_read(&f.frame).kind, NAT_PACKET_BAD);
		frame_finish(&f, bytes);
		assert_int_equal(nat_packet_read(&f.frame).kind, NAT_PACKET_BAD);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nat_packet_read__tcp_udp_echo__their_tuples),
		cmocka_unit_test(nat_packet_read__malformed__is_bad),
		cmocka_unit_test(nat_packet_read__offload_of_another_header__is_bad),
		cmocka_unit_test(nat_packet_set__any_values__sound_packet),
		cmocka_unit_test(nat_packet_set__udp_without_checksum__stays_so),
		cmocka_unit_test(nat_packet_set__checksum_left_undone__right_once_done),
		cmocka_unit_test(nat_packet_set_error__quoted_tcp_udp_echo__sound_inside_and_out),
		cmocka_unit_test(nat_packet_read__error_that_quotes_too_little__is_bad),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
