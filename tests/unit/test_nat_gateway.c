/*
 * The gateway between a switch with two guests and an uplink: what passes, with which addresses, and what
 * does not.
 *
 * UNIT_SOURCES: drivers-vm/driver/nat_gateway.c drivers-vm/driver/nat_packet.c drivers-vm/driver/nat_flow.c
 * UNIT_SOURCES: drivers-vm/driver/nat_hosts.c drivers-vm/driver/net_switch.c drivers-vm/driver/net_filter.c
 * UNIT_SOURCES: drivers-vm/driver/net_offload.c drivers-vm/driver/io_segment.c
 * UNIT_FLAGS: -Itests/unit
 */
#include "cmocka_all.h"

#include <stdlib.h>
#include <string.h>

#include "drivers-vm/driver/nat_gateway.h"
#include "nat_frames.h"

#define BRIDGE  3u
#define VLAN    7u
#define OUR     IP4(192, 168, 1, 20)
#define ROUTER  IP4(192, 168, 1, 1)
#define LAN     IP4(192, 168, 1, 77)
#define DNS     IP4(192, 168, 1, 53)
#define WEB     IP4(93, 184, 216, 34)
#define GATEWAY IP4(10, 0, 100, 1)
#define GUEST   IP4(10, 0, 100, 7)
#define OTHER   IP4(10, 0, 100, 8)
#define ACK     0x10u

struct port {
	struct net_port port; /* first */
	unsigned frames, flushes;
	struct net_frame last;
	uint8_t bytes[2048];
};

static struct net_switch guests;
static struct nat_gateway gateway;
static struct nat_store store;
static struct port guest, other, uplink;
static struct frame f;
static uint64_t now;
static unsigned taken[NAT_STACK_WAYS];
static uint8_t taken_bytes[2048];
static uint32_t known; /* the one neighbour with an Ethernet address */

static const uint8_t guest_mac[6] = { 2, 0, 0, 0, 0, 7 }, other_mac[6] = { 2, 0, 0, 0, 0, 8 }, uplink_mac[6] = { 0x52, 0x54, 0, 1, 2, 3 };
static const uint8_t router_mac[6] = { 0, 1, 1, 1, 1, 1 }, all_mac[6] = { 255, 255, 255, 255, 255, 255 };

static void receive(struct net_port *p, struct net_frame *frame)
{
	struct port *to = (struct port *)p;

	to->frames++;
	to->last = *frame;
	assert_int_equal(io_segments_read(frame->segment, frame->segments, 0, to->bytes, sizeof(to->bytes)),
	                 frame->bytes < sizeof(to->bytes) ? frame->bytes : sizeof(to->bytes));
}

static void flush(struct net_port *p)
{
	((struct port *)p)->flushes++;
}

static uint64_t now_ns(struct nat_gateway *g)
{
	(void)g;
	return now;
}

static void take(struct nat_gateway *g, enum nat_stack_way way, const struct net_frame *frame)
{
	assert_ptr_equal(g, &gateway);
	assert_false(frame->csum_partial);
	assert_int_equal(frame->gso, NET_GSO_NONE);
	taken[way]++;
	io_segments_read(frame->segment, frame->segments, 0, taken_bytes, sizeof(taken_bytes));
}

static bool find_neighbour(struct nat_gateway *g, uint32_t address, uint8_t *mac)
{
	(void)g;
	if (address != known)
		return false;
	memcpy(mac, router_mac, 6);
	return true;
}

static void add_port(struct net_switch *sw, struct port *p, const uint8_t *mac)
{
	static const struct net_port_ops ops = { .receive = receive, .flush = flush };

	memset(p, 0, sizeof(*p));
	p->port.ops = &ops;
	p->port.policy.bridge = BRIDGE;
	p->port.policy.vlan = VLAN;
	memcpy(p->port.policy.mac, mac, 6);
	p->port.can = NET_CAN_CSUM | NET_CAN_TCP4;
	assert_true(net_switch_add(sw, &p->port));
}

static int start(void)
{
	static const struct nat_gateway_ops ops = { .now_ns = now_ns, .take = take, .find_neighbour = find_neighbour };
	const struct nat_gateway_config config = { BRIDGE, VLAN, IP4(10, 0, 100, 0), 24, 42, &guests, &store };

	memset(&guests, 0, sizeof(guests));
	memset(taken, 0, sizeof(taken));
	nat_gateway_init(&gateway, &ops, &config);
	add_port(&guests, &guest, guest_mac);
	add_port(&guests, &other, other_mac);
	add_port(&gateway.uplink, &uplink, all_mac);
	memset(uplink.port.policy.mac, 0, 6);
	uplink.port.policy.uplink = true;
	memcpy(gateway.outside.policy.mac, uplink_mac, 6);
	assert_true(net_switch_add(&guests, &gateway.inside) && net_switch_add(&gateway.uplink, &gateway.outside));
	nat_gateway_set_uplink(&gateway, OUR, IP4(255, 255, 255, 0), ROUTER, DNS);
	known = ROUTER;
	return 0;
}

static int set_up(void **state)
{
	(void)state;
	memset(&store, 0, sizeof(store));
	now = 1000000000;
	return start();
}

static struct nat_tuple tuple(uint8_t protocol, uint32_t source, uint16_t source_port, uint32_t target, uint16_t target_port)
{
	return (struct nat_tuple){ protocol, source, target, source_port, target_port };
}

static void from_guest(struct nat_tuple t, uint8_t flags, unsigned data)
{
	frame_make(&f, gateway.inside.policy.mac, guest_mac, t, flags, data);
	net_switch_forward(&guests, &guest.port, &f.frame, now);
}

static void from_uplink(struct nat_tuple t, uint8_t flags, unsigned data)
{
	frame_make(&f, uplink_mac, router_mac, t, flags, data);
	net_switch_forward(&gateway.uplink, &uplink.port, &f.frame, now);
}

/* What the port got last. */
static struct nat_packet got(struct port *p)
{
	struct net_frame frame = { .segment = &(struct io_segment){ p->bytes, 160 }, .segments = 1, .bytes = p->last.bytes };

	assert_true(packet_is_sound(p->bytes + 14));
	return nat_packet_read(&frame);
}

static void same(const struct nat_packet *p, struct nat_tuple t)
{
	assert_int_equal(p->tuple.protocol, t.protocol);
	assert_int_equal(p->tuple.source, t.source);
	assert_int_equal(p->tuple.source_port, t.source_port);
	assert_int_equal(p->tuple.target, t.target);
	assert_int_equal(p->tuple.target_port, t.target_port);
}

static void nat_gateway__tcp_there_and_back__translated_both_ways(void **state)
{
	(void)state;
	from_guest(tuple(NET_IP_TCP, GUEST, 40000, WEB, 80), NAT_TCP_SYN, 0);
	assert_int_equal(uplink.frames, 1);
	struct nat_packet p = got(&uplink);
	same(&p, tuple(NET_IP_TCP, OUR, 40000, WEB, 80));
	assert_int_equal(p.ttl, 63);
	assert_memory_equal(uplink.bytes, router_mac, 6);
	assert_memory_equal(uplink.bytes + 6, uplink_mac, 6);
	from_uplink(tuple(NET_IP_TCP, WEB, 80, OUR, 40000), NAT_TCP_SYN | ACK, 700);
	assert_int_equal(guest.frames, 1);
	p = got(&guest);
	same(&p, tuple(NET_IP_TCP, WEB, 80, GUEST, 40000));
	assert_memory_equal(guest.bytes, guest_mac, 6);
	assert_memory_equal(guest.bytes + 6, gateway.inside.policy.mac, 6);
	assert_int_equal(other.frames, 0);
}

static void nat_gateway__burst_ends__both_sides_are_told(void **state)
{
	(void)state;
	from_guest(tuple(NET_IP_UDP, GUEST, 4000, WEB, 80), 0, 0);
	net_switch_flush(&guests);
	assert_int_equal(uplink.flushes, 1);
	from_uplink(tuple(NET_IP_UDP, WEB, 80, OUR, 4000), 0, 0);
	net_switch_flush(&gateway.uplink);
	assert_int_equal(guest.flushes, 1);
}

static void nat_gateway__large_segment__stays_whole_and_the_senders(void **state)
{
	(void)state;
	frame_make(&f, gateway.inside.policy.mac, guest_mac, tuple(NET_IP_TCP, GUEST, 40000, WEB, 80), ACK, 1800);
	net_put16(f.bytes + 50, (uint16_t)~plain_csum(NULL, 0, pseudo_sum(f.bytes + 14, 1820)));
	f.frame.csum_partial = true;
	f.frame.csum_start = 34;
	f.frame.csum_offset = 16;
	f.frame.gso = NET_GSO_TCP4;
	f.frame.gso_bytes = 1000;
	net_switch_forward(&guests, &guest.port, &f.frame, now);
	assert_int_equal(uplink.frames, 1);
	assert_int_equal(uplink.last.gso, NET_GSO_TCP4);
	assert_true(uplink.last.csum_partial);
	assert_ptr_equal(uplink.last.segment[1].bytes, f.bytes + NET_HEAD_BYTES);
	assert_int_equal(net_get16(uplink.bytes + 50), (uint16_t)~plain_csum(NULL, 0, pseudo_sum(uplink.bytes + 14, 1820)));
	/* A card that cannot do it gets pieces with good checksums. */
	uplink.port.can = 0;
	frame_make(&f, gateway.inside.policy.mac, guest_mac, tuple(NET_IP_TCP, GUEST, 40000, WEB, 80), ACK, 1800);
	net_put16(f.bytes + 50, (uint16_t)~plain_csum(NULL, 0, pseudo_sum(f.bytes + 14, 1820)));
	f.frame.csum_partial = true;
	f.frame.csum_start = 34;
	f.frame.csum_offset = 16;
	f.frame.gso = NET_GSO_TCP4;
	f.frame.gso_bytes = 1000;
	net_switch_forward(&guests, &guest.port, &f.frame, now);
	assert_int_equal(uplink.frames, 3);
	struct nat_packet p = got(&uplink);
	same(&p, tuple(NET_IP_TCP, OUR, 40000, WEB, 80));
}

static void nat_gateway__echo__reaches_the_world_and_the_guest_again(void **state)
{
	(void)state;
	from_guest(tuple(NAT_ICMP, GUEST, 77, WEB, 77), NAT_ICMP_ECHO, 56);
	struct nat_packet p = got(&uplink);
	same(&p, tuple(NAT_ICMP, OUR, 77, WEB, 77));
	from_uplink(tuple(NAT_ICMP, WEB, 77, OUR, 77), NAT_ICMP_ECHO, 56); /* a question is no answer */
	assert_int_equal(guest.frames, 0);
	from_uplink(tuple(NAT_ICMP, WEB, 77, OUR, 77), NAT_ICMP_ECHO_REPLY, 56);
	p = got(&guest);
	same(&p, tuple(NAT_ICMP, WEB, 77, GUEST, 77));
}

static void nat_gateway__dns_at_the_gateway__another_answers(void **state)
{
	(void)state;
	from_guest(tuple(NET_IP_UDP, GUEST, 5000, GATEWAY, 53), 0, 30);
	struct nat_packet p;
	known = DNS;
	assert_int_equal(uplink.frames, 0); /* its Ethernet address is not known yet */
	assert_int_equal(taken[NAT_STACK_RESOLVE], 1);
	from_guest(tuple(NET_IP_UDP, GUEST, 5000, GATEWAY, 53), 0, 30);
	p = got(&uplink);
	same(&p, tuple(NET_IP_UDP, OUR, 5000, DNS, 53));
	from_uplink(tuple(NET_IP_UDP, DNS, 53, OUR, 5000), 0, 60);
	p = got(&guest);
	same(&p, tuple(NET_IP_UDP, GATEWAY, 53, GUEST, 5000));
	/* The same server asked by its own name is another connection, from another port. */
	from_guest(tuple(NET_IP_UDP, GUEST, 5000, DNS, 53), 0, 30);
	p = got(&uplink);
	assert_int_not_equal(p.tuple.source_port, 5000);
	from_uplink(tuple(NET_IP_UDP, DNS, 53, OUR, p.tuple.source_port), 0, 60);
	p = got(&guest);
	same(&p, tuple(NET_IP_UDP, DNS, 53, GUEST, 5000));
}

static void nat_gateway__next_hop_unknown__the_stack_gets_a_finished_packet(void **state)
{
	(void)state;
	known = 0;
	from_guest(tuple(NET_IP_UDP, GUEST, 5000, WEB, 99), 0, 30);
	assert_int_equal(uplink.frames, 0);
	assert_int_equal(taken[NAT_STACK_RESOLVE], 1);
	assert_int_equal(net_get32(taken_bytes + 26), OUR);
	assert_true(packet_is_sound(taken_bytes + 14));
	known = LAN; /* on the same wire: without the router */
	from_guest(tuple(NET_IP_UDP, GUEST, 5000, LAN, 99), 0, 30);
	assert_int_equal(uplink.frames, 1);
}

static void nat_gateway__neighbour_silent_for_long__asked_again(void **state)
{
	(void)state;
	from_guest(tuple(NET_IP_UDP, GUEST, 5000, WEB, 99), 0, 30);
	known = 0;
	now += 59000000000ull;
	from_guest(tuple(NET_IP_UDP, GUEST, 5000, WEB, 99), 0, 30);
	assert_int_equal(uplink.frames, 2);
	now += 2000000000;
	from_guest(tuple(NET_IP_UDP, GUEST, 5000, WEB, 99), 0, 30);
	assert_int_equal(uplink.frames, 2);
	assert_int_equal(taken[NAT_STACK_RESOLVE], 1);
}

static void nat_gateway__unasked_from_outside__stays_outside(void **state)
{
	const struct nat_tuple tries[] = {
		tuple(NET_IP_TCP, WEB, 81, OUR, 40000), /* another port of the peer's */
		tuple(NET_IP_TCP, LAN, 80, OUR, 40000),   tuple(NET_IP_TCP, WEB, 80, OUR, 40001), tuple(NET_IP_UDP, WEB, 80, OUR, 40000),
		tuple(NET_IP_TCP, WEB, 80, GUEST, 40000), /* straight to the guest's own address */
		tuple(NET_IP_TCP, OTHER, 80, OUR, 40000), tuple(NET_IP_UDP, WEB, 80, OUR, 53),    tuple(NAT_ICMP, WEB, 40000, OUR, 40000),
	};

	(void)state;
	from_guest(tuple(NET_IP_TCP, GUEST, 40000, WEB, 80), NAT_TCP_SYN, 0);
	for (unsigned i = 0; i < sizeof(tries) / sizeof(tries[0]); i++)
		from_uplink(tries[i], NAT_TCP_SYN, 10);
	assert_int_equal(guest.frames + other.frames, 0);
	assert_int_equal(taken[NAT_STACK_INSIDE] + taken[NAT_STACK_OUTSIDE] + taken[NAT_STACK_RESOLVE], 0);
	assert_int_equal(gateway.flows.used, 1);
}

static void nat_gateway__anothers_address__does_not_pass(void **state)
{
	(void)state;
	from_guest(tuple(NET_IP_UDP, GUEST, 5000, WEB, 99), 0, 30);
	assert_int_equal(uplink.frames, 1);
	frame_make(&f, gateway.inside.policy.mac, other_mac, tuple(NET_IP_UDP, GUEST, 5001, WEB, 99), 0, 30);
	net_switch_forward(&guests, &other.port, &f.frame, now);
	frame_make(&f, gateway.inside.policy.mac, other_mac, tuple(NET_IP_UDP, GATEWAY, 5001, WEB, 99), 0, 30);
	net_switch_forward(&guests, &other.port, &f.frame, now);
	frame_make(&f, gateway.inside.policy.mac, other_mac, tuple(NET_IP_UDP, WEB, 5001, LAN, 99), 0, 30);
	net_switch_forward(&guests, &other.port, &f.frame, now);
	assert_int_equal(uplink.frames, 1);
	assert_int_equal(gateway.inside.counts.refused, 3);
}

static void nat_gateway__address_of_the_configuration__its_cards_only(void **state)
{
	const uint8_t ip[4] = { 10, 0, 100, 9 };

	(void)state;
	memcpy(other.port.policy.ip4[0], ip, 4);
	other.port.policy.ip4s = 1;
	from_guest(tuple(NET_IP_UDP, IP4(10, 0, 100, 9), 5000, WEB, 99), 0, 30);
	assert_int_equal(uplink.frames, 0);
	frame_make(&f, gateway.inside.policy.mac, other_mac, tuple(NET_IP_UDP, IP4(10, 0, 100, 9), 5000, WEB, 99), 0, 30);
	net_switch_forward(&guests, &other.port, &f.frame, now);
	assert_int_equal(uplink.frames, 1);
	assert_int_equal(nat_hosts_choose(&gateway.hosts, other_mac, 0, now), IP4(10, 0, 100, 9));
}

static void nat_gateway__no_way_there__dropped(void **state)
{
	const uint32_t nowhere[] = {
		OTHER, IP4(10, 0, 100, 255), IP4(127, 0, 0, 1), IP4(224, 0, 0, 1), IP4(255, 255, 255, 255), IP4(0, 0, 0, 1), OUR
	};

	(void)state;
	for (unsigned i = 0; i < sizeof(nowhere) / sizeof(nowhere[0]); i++)
		from_guest(tuple(NET_IP_UDP, GUEST, 5000, nowhere[i], 99), 0, 30);
	from_guest(tuple(NET_IP_TCP, GUEST, 5000, GATEWAY, 80), NAT_TCP_SYN, 0);
	assert_int_equal(uplink.frames + guest.frames + other.frames, 0);
	for (unsigned i = 0; i < NAT_STACK_WAYS; i++)
		assert_int_equal(taken[i], 0);
}

static void nat_gateway__no_uplink_or_last_hop__the_guest_is_told(void **state)
{
	(void)state;
	frame_make(&f, gateway.inside.policy.mac, guest_mac, tuple(NET_IP_UDP, GUEST, 5000, WEB, 99), 0, 30);
	f.bytes[22] = 1;
	net_switch_forward(&guests, &guest.port, &f.frame, now);
	assert_int_equal(taken[NAT_STACK_EXPIRED], 1);
	nat_gateway_set_uplink(&gateway, 0, 0, 0, 0);
	from_guest(tuple(NET_IP_UDP, GUEST, 5000, WEB, 99), 0, 30);
	from_guest(tuple(NET_IP_UDP, GUEST, 5000, GATEWAY, 53), 0, 30);
	assert_int_equal(taken[NAT_STACK_UNREACHABLE], 2);
	assert_int_equal(net_get32(taken_bytes + 26), GUEST); /* as it was sent */
	frame_make(&f, gateway.inside.policy.mac, other_mac, tuple(NET_IP_UDP, GUEST, 5000, WEB, 99), 0, 30);
	net_switch_forward(&guests, &other.port, &f.frame, now); /* somebody else's address: no answer to that */
	assert_int_equal(taken[NAT_STACK_UNREACHABLE], 2);
	assert_int_equal(uplink.frames + guest.frames + other.frames, 0);
}

static void nat_gateway__address_changes__connections_end(void **state)
{
	(void)state;
	from_guest(tuple(NET_IP_UDP, GUEST, 5000, WEB, 99), 0, 30);
	nat_gateway_set_uplink(&gateway, 0, 0, 0, 0);
	nat_gateway_set_uplink(&gateway, OUR, IP4(255, 255, 255, 0), ROUTER, DNS);
	from_uplink(tuple(NET_IP_UDP, WEB, 99, OUR, 5000), 0, 30);
	assert_int_equal(guest.frames, 1); /* the same one after a while without */
	nat_gateway_set_uplink(&gateway, OUR + 1, IP4(255, 255, 255, 0), ROUTER, DNS);
	from_uplink(tuple(NET_IP_UDP, WEB, 99, OUR + 1, 5000), 0, 30);
	assert_int_equal(guest.frames, 1);
}

/* As in memory that the control VM keeps while one driver VM follows another. */
static void nat_gateway__driver_vm_starts_afresh__connections_go_on(void **state)
{
	(void)state;
	from_guest(tuple(NET_IP_TCP, GUEST, 40000, WEB, 80), NAT_TCP_SYN, 0);
	from_uplink(tuple(NET_IP_TCP, WEB, 80, OUR, 40000), NAT_TCP_SYN | ACK, 0);
	from_guest(tuple(NET_IP_UDP, GUEST, 500, GATEWAY, 53), 0, 0);
	uint16_t port =
		nat_flow_outward(&gateway.flows, &(struct nat_tuple){ NET_IP_UDP, GUEST, GATEWAY, 500, 53 }, 0, DNS, 7, now)->outside_port;
	start();
	assert_int_equal(gateway.flows.used, 2);
	from_uplink(tuple(NET_IP_TCP, WEB, 80, OUR, 40000), ACK, 100);
	assert_int_equal(guest.frames, 1);
	struct nat_packet p = got(&guest);
	same(&p, tuple(NET_IP_TCP, WEB, 80, GUEST, 40000));
	from_uplink(tuple(NET_IP_UDP, DNS, 53, OUR, port), 0, 100);
	p = got(&guest);
	same(&p, tuple(NET_IP_UDP, GATEWAY, 53, GUEST, 500));
	/* And whoever had an address has it still. */
	frame_make(&f, gateway.inside.policy.mac, other_mac, tuple(NET_IP_UDP, GUEST, 5001, WEB, 99), 0, 30);
	net_switch_forward(&guests, &other.port, &f.frame, now);
	assert_int_equal(uplink.frames, 0);
	store.address++;
	nat_gateway_set_uplink(&gateway, OUR, 0, 0, 0); /* the uplink's address is another than it was */
	assert_int_equal(gateway.flows.used, 0);
}

/* A driver VM that has gone mad can leave anything behind. */
static void nat_gateway__rubbish_left_behind__only_what_can_be_is_taken(void **state)
{
	(void)state;
	srandom(5);
	for (unsigned round = 0; round < 20; round++) {
		set_up(state);
		for (unsigned i = 0; i < 300; i++)
			from_guest(tuple(i % 2 ? NET_IP_UDP : NET_IP_TCP, GUEST, (uint16_t)(2000 + i), WEB, 80), NAT_TCP_SYN, 0);
		for (unsigned i = 0; i < 1u << (round / 2); i++)
			((uint8_t *)&store)[8 + (unsigned)random() % (sizeof(store) - 8)] = (uint8_t)random();
		if (round % 2)
			memcpy(&store.flow[round], &store.flow[round + 1], sizeof(store.flow[0])); /* twice the same */
		start();
		unsigned listed = 0;
		for (unsigned i = 0; i < NAT_HOSTS; i++)
			for (uint16_t k = gateway.flows.host[i].passing.oldest; k != NAT_NONE; k = store.flow[k].order.newer)
				listed++;
		assert_true(listed <= gateway.flows.used && gateway.flows.used <= 300);
		for (unsigned i = 0; i < 300; i++) {
			from_uplink(tuple(i % 2 ? NET_IP_UDP : NET_IP_TCP, WEB, 80, OUR, (uint16_t)(2000 + i)), ACK, 10);
			from_guest(tuple(i % 2 ? NET_IP_UDP : NET_IP_TCP, GUEST, (uint16_t)(2000 + i), WEB, 80), NAT_TCP_SYN, 0);
		}
	}
}

static void nat_gateway__error_about_a_connection__reaches_its_guest(void **state)
{
	struct nat_tuple about = tuple(NET_IP_UDP, OUR, 5000, WEB, 99);

	(void)state;
	from_guest(tuple(NET_IP_UDP, GUEST, 5000, WEB, 99), 0, 30);
	frame_make_error(&f, uplink_mac, router_mac, ROUTER, OUR, &about, 0);
	net_switch_forward(&gateway.uplink, &uplink.port, &f.frame, now);
	assert_int_equal(guest.frames, 1);
	struct nat_packet p = got(&guest);
	assert_int_equal(p.kind, NAT_PACKET_ICMP_ERROR);
	assert_int_equal(p.tuple.target, GUEST);
	assert_int_equal(p.quoted.source, GUEST);
	about.source_port++;
	frame_make_error(&f, uplink_mac, router_mac, ROUTER, OUR, &about, 0);
	net_switch_forward(&gateway.uplink, &uplink.port, &f.frame, now);
	about = tuple(NET_IP_UDP, LAN, 5000, WEB, 99); /* not a packet of ours */
	frame_make_error(&f, uplink_mac, router_mac, ROUTER, OUR, &about, 0);
	net_switch_forward(&gateway.uplink, &uplink.port, &f.frame, now);
	assert_int_equal(guest.frames, 1);
}

static void arp(const uint8_t *mac, const uint8_t *says, uint32_t sender, uint32_t wanted)
{
	static const uint8_t kind[8] = { 0, 1, 8, 0, 6, 4, 0, 1 };

	frame_ethernet(&f, all_mac, mac, NET_TYPE_ARP);
	memset(f.bytes + 14, 0, 46);
	memcpy(f.bytes + 14, kind, sizeof(kind));
	memcpy(f.bytes + 22, says, 6);
	net_put32(f.bytes + 28, sender);
	net_put32(f.bytes + 38, wanted);
	frame_finish(&f, 60);
	net_switch_forward(&guests, mac == guest_mac ? &guest.port : &other.port, &f.frame, now);
}

static void nat_gateway__arp__only_honest_questions_for_the_gateway(void **state)
{
	(void)state;
	arp(guest_mac, guest_mac, GUEST, GATEWAY);
	assert_int_equal(taken[NAT_STACK_INSIDE], 1);
	arp(guest_mac, guest_mac, 0, GATEWAY); /* a probe */
	assert_int_equal(taken[NAT_STACK_INSIDE], 2);
	arp(guest_mac, guest_mac, GUEST, OTHER);
	arp(other_mac, other_mac, GUEST, GATEWAY);
	arp(other_mac, guest_mac, OTHER, GATEWAY);
	arp(other_mac, other_mac, GATEWAY, GATEWAY);
	assert_int_equal(taken[NAT_STACK_INSIDE], 2);
}

static void nat_gateway__dhcp__to_the_stack_from_both_sides(void **state)
{
	(void)state;
	frame_make(&f, all_mac, guest_mac, tuple(NET_IP_UDP, 0, 68, 0xFFFFFFFF, 67), 0, 250);
	net_switch_forward(&guests, &guest.port, &f.frame, now);
	assert_int_equal(taken[NAT_STACK_INSIDE], 1);
	from_guest(tuple(NET_IP_UDP, GUEST, 68, GATEWAY, 67), 0, 250);
	assert_int_equal(taken[NAT_STACK_INSIDE], 2);
	from_uplink(tuple(NET_IP_UDP, ROUTER, 67, OUR, 68), 0, 250);
	assert_int_equal(taken[NAT_STACK_OUTSIDE], 1);
	assert_int_equal(uplink.frames, 0);
}

/* Bytes of any kind from both sides, most of them nearly right: what comes out is sound, and never bears a
 * guest's address outside. */
static void nat_gateway__hostile_bytes_from_both_sides__nothing_leaks(void **state)
{
	static const uint32_t addresses[] = { GUEST, OTHER, GATEWAY, OUR, WEB, LAN, DNS, 0, 0xFFFFFFFF };
	static const uint8_t protocols[] = { NET_IP_TCP, NET_IP_UDP, NAT_ICMP, 41 };
	unsigned before, out = 0, in = 0;

	(void)state;
	srandom(4);
	for (unsigned i = 0; i < 100000; i++) {
		bool inside = random() % 2;
		struct nat_tuple t = tuple(protocols[random() % 4], addresses[random() % 9], (uint16_t)(5300 + random() % 4),
		                           addresses[random() % 9], (uint16_t)(random() % 4 == 0 ? 53 : 5300 + random() % 4));
		if (random() % 8 == 0)
			t.source_port = 53;
		const uint8_t *to = inside ? gateway.inside.policy.mac : uplink_mac;
		if (inside && random() % 2)
			t.source = GUEST;
		if (!inside && random() % 2)
			t.target = OUR;
		if (t.protocol == 41 || random() % 8 == 0)
			frame_make_error(&f, to, inside ? guest_mac : router_mac, t.source, t.target, &t, (uint8_t)(random() % 9));
		else
			frame_make(&f, to, inside ? guest_mac : router_mac, t, (uint8_t)(random() % 9), (unsigned)random() % 300);
		bool broken = random() % 4 == 0;
		for (unsigned k = 0; broken && k < 3; k++)
			f.bytes[14 + (unsigned)random() % 60] = (uint8_t)random();
		if (random() % 16 == 0)
			frame_finish(&f, 14 + (unsigned)random() % 100);
		now += (uint64_t)random() % 100000000;
		known = random() % 2 ? ROUTER : DNS;
		before = uplink.frames + guest.frames;
		net_switch_forward(inside ? &guests : &gateway.uplink, inside ? &guest.port : &uplink.port, &f.frame, now);
		if (uplink.frames + guest.frames == before)
			continue;
		struct port *p = inside ? &uplink : &guest;
		if (inside) {
			assert_int_equal(net_get32(p->bytes + 26), OUR);
		} else { /* to an address that is this guest's: it may have taken both, as nobody else asked
			    for one */
			const struct nat_host *host = nat_hosts_find(&gateway.hosts, net_get32(p->bytes + 30));
			assert_non_null(host);
			assert_memory_equal(host->mac, guest_mac, 6);
		}
		if (!broken)
			assert_true(packet_is_sound(p->bytes + 14));
		*(inside ? &out : &in) += 1;
	}
	assert_true(out > 1000 && in > 100);
	assert_int_equal(other.frames, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(nat_gateway__tcp_there_and_back__translated_both_ways, set_up),
		cmocka_unit_test_setup(nat_gateway__burst_ends__both_sides_are_told, set_up),
		cmocka_unit_test_setup(nat_gateway__large_segment__stays_whole_and_the_senders, set_up),
		cmocka_unit_test_setup(nat_gateway__echo__reaches_the_world_and_the_guest_again, set_up),
		cmocka_unit_test_setup(nat_gateway__dns_at_the_gateway__another_answers, set_up),
		cmocka_unit_test_setup(nat_gateway__next_hop_unknown__the_stack_gets_a_finished_packet, set_up),
		cmocka_unit_test_setup(nat_gateway__neighbour_silent_for_long__asked_again, set_up),
		cmocka_unit_test_setup(nat_gateway__unasked_from_outside__stays_outside, set_up),
		cmocka_unit_test_setup(nat_gateway__anothers_address__does_not_pass, set_up),
		cmocka_unit_test_setup(nat_gateway__address_of_the_configuration__its_cards_only, set_up),
		cmocka_unit_test_setup(nat_gateway__no_way_there__dropped, set_up),
		cmocka_unit_test_setup(nat_gateway__no_uplink_or_last_hop__the_guest_is_told, set_up),
		cmocka_unit_test_setup(nat_gateway__address_changes__connections_end, set_up),
		cmocka_unit_test_setup(nat_gateway__driver_vm_starts_afresh__connections_go_on, set_up),
		cmocka_unit_test_setup(nat_gateway__rubbish_left_behind__only_what_can_be_is_taken, set_up),
		cmocka_unit_test_setup(nat_gateway__error_about_a_connection__reaches_its_guest, set_up),
		cmocka_unit_test_setup(nat_gateway__arp__only_honest_questions_for_the_gateway, set_up),
		cmocka_unit_test_setup(nat_gateway__dhcp__to_the_stack_from_both_sides, set_up),
		cmocka_unit_test_setup(nat_gateway__hostile_bytes_from_both_sides__nothing_leaks, set_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
