/*
 * What a port may send, frame by frame.
 *
 * UNIT_SOURCES: drivers-vm/driver/net_filter.c
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>

#include "drivers-vm/driver/net_filter.h"

#define L3 NET_HEADER_BYTES

static const uint8_t own_mac[6] = { 2, 0, 0, 0, 0, 1 }, other_mac[6] = { 2, 0, 0, 0, 0, 2 };
static const uint8_t own_ip4[4] = { 10, 0, 0, 5 }, other_ip4[4] = { 10, 0, 0, 6 }, no_ip4[4];
static const uint8_t own_ip6[16] = { 0xFD, [15] = 5 }, other_ip6[16] = { 0xFD, [15] = 6 }, no_ip6[16];
static const uint8_t link_local[16] = { 0xFE, 0x80, [8] = 0, 0, 0, 0xFF, 0xFE, 0, 0, 1 };

static struct net_policy policy;
static uint8_t frame[128];

static int set_up(void **state)
{
	(void)state;
	policy = (struct net_policy){ .ip4s = 1, .ip6s = 1 };
	memcpy(policy.mac, own_mac, 6);
	memcpy(policy.ip4[0], own_ip4, 4);
	memcpy(policy.ip6[0], own_ip6, 16);
	memset(frame, 0, sizeof(frame));
	memset(frame, 0xFF, 6);
	memcpy(frame + 6, own_mac, 6);
	return 0;
}

static bool allows(uint16_t type, unsigned bytes)
{
	net_put16(frame + 12, type);
	return net_filter_allows(&policy, frame, bytes, L3, type);
}

static void make_arp(const uint8_t *mac, const uint8_t *ip)
{
	const uint8_t start[8] = { 0, 1, 8, 0, 6, 4, 0, 1 };

	memcpy(frame + L3, start, 8);
	memcpy(frame + L3 + 8, mac, 6);
	memcpy(frame + L3 + 14, ip, 4);
}

static void make_ip4(const uint8_t *source, uint8_t protocol, uint16_t port)
{
	memset(frame + L3, 0, 40);
	frame[L3] = 0x45;
	frame[L3 + 9] = protocol;
	memcpy(frame + L3 + 12, source, 4);
	net_put16(frame + L3 + 22, port);
}

static void make_ip6(const uint8_t *source, uint8_t next, uint8_t type, const uint8_t *target)
{
	memset(frame + L3, 0, 80);
	frame[L3] = 0x60;
	frame[L3 + 6] = next;
	memcpy(frame + L3 + 8, source, 16);
	frame[L3 + 40] = type;
	memcpy(frame + L3 + 48, target, 16);
}

static void net_filter_allows__source_address_of_the_card__own_only(void **state)
{
	(void)state;
	policy.ip4s = policy.ip6s = 0;
	assert_true(allows(0x88CC, 60));
	memcpy(frame + 6, other_mac, 6);
	assert_false(allows(0x88CC, 60));
	policy.spoof = true;
	assert_true(allows(0x88CC, 60));
	policy.spoof = false;
	policy.uplink = true;
	assert_true(allows(0x88CC, 60));
	frame[6] |= 1; /* nobody has a group address */
	assert_false(allows(0x88CC, 60));
}

static void net_filter_allows__arp__own_addresses_and_probes(void **state)
{
	(void)state;
	make_arp(own_mac, own_ip4);
	assert_true(allows(NET_TYPE_ARP, 42));
	assert_false(allows(NET_TYPE_ARP, 41));
	make_arp(own_mac, no_ip4);
	assert_true(allows(NET_TYPE_ARP, 60));
	make_arp(own_mac, other_ip4);
	assert_false(allows(NET_TYPE_ARP, 60));
	make_arp(other_mac, own_ip4);
	assert_false(allows(NET_TYPE_ARP, 60));
	make_arp(own_mac, own_ip4);
	frame[L3 + 4] = 8;
	assert_false(allows(NET_TYPE_ARP, 60));
}

static void net_filter_allows__ip4__own_source_or_dhcp(void **state)
{
	(void)state;
	make_ip4(own_ip4, NET_IP_TCP, 80);
	assert_true(allows(NET_TYPE_IP4, 60));
	assert_true(allows(NET_TYPE_IP4, 34));
	assert_false(allows(NET_TYPE_IP4, 33));
	make_ip4(other_ip4, NET_IP_TCP, 80);
	assert_false(allows(NET_TYPE_IP4, 60));
	make_ip4(no_ip4, NET_IP_UDP, 67);
	assert_true(allows(NET_TYPE_IP4, 60));
	assert_false(allows(NET_TYPE_IP4, 37));
	frame[L3 + 7] = 1; /* a fragment has no ports */
	assert_false(allows(NET_TYPE_IP4, 60));
	make_ip4(no_ip4, NET_IP_TCP, 67);
	assert_false(allows(NET_TYPE_IP4, 60));
	make_ip4(no_ip4, NET_IP_UDP, 53);
	assert_false(allows(NET_TYPE_IP4, 60));
	make_ip4(own_ip4, NET_IP_TCP, 80);
	frame[L3] = 0x44;
	assert_false(allows(NET_TYPE_IP4, 60));
	frame[L3] = 0x65;
	assert_false(allows(NET_TYPE_IP4, 60));
}

static void net_filter_allows__ip6__own_source_and_announcements(void **state)
{
	(void)state;
	make_ip6(own_ip6, NET_IP_TCP, 0, no_ip6);
	assert_true(allows(NET_TYPE_IP6, 54));
	assert_false(allows(NET_TYPE_IP6, 53));
	frame[L3] = 0x40;
	assert_false(allows(NET_TYPE_IP6, 54));
	make_ip6(link_local, NET_IP_UDP, 0, no_ip6);
	assert_true(allows(NET_TYPE_IP6, 80));
	make_ip6(other_ip6, NET_IP_TCP, 0, no_ip6);
	assert_false(allows(NET_TYPE_IP6, 80));
	make_ip6(own_ip6, NET_IP_ICMP6, 136, own_ip6);
	assert_true(allows(NET_TYPE_IP6, 86));
	assert_false(allows(NET_TYPE_IP6, 70));
	make_ip6(own_ip6, NET_IP_ICMP6, 136, other_ip6);
	assert_false(allows(NET_TYPE_IP6, 86));
	make_ip6(own_ip6, NET_IP_ICMP6, 134, no_ip6);
	assert_false(allows(NET_TYPE_IP6, 86));
	make_ip6(no_ip6, NET_IP_ICMP6, 135, own_ip6); /* duplicate address detection */
	assert_true(allows(NET_TYPE_IP6, 86));
}

static void net_filter_allows__announcement_behind_a_hop_by_hop_header__seen(void **state)
{
	(void)state;
	make_ip6(own_ip6, 0, NET_IP_ICMP6, no_ip6);
	frame[L3 + 48] = 134;
	assert_false(allows(NET_TYPE_IP6, 100));
	frame[L3 + 48] = 143; /* a multicast listener report */
	assert_true(allows(NET_TYPE_IP6, 100));
	frame[L3 + 41] = 255; /* a header that does not end in the frame */
	assert_false(allows(NET_TYPE_IP6, 100));
	assert_false(allows(NET_TYPE_IP6, 61));
}

static void net_filter_allows__other_types_and_missing_families__refused(void **state)
{
	(void)state;
	assert_false(allows(0x88CC, 60));
	policy.ip6s = 0;
	make_ip6(no_ip6, NET_IP_ICMP6, 135, own_ip6);
	assert_false(allows(NET_TYPE_IP6, 86));
	policy.ip6s = 1;
	policy.ip4s = 0;
	make_ip4(own_ip4, NET_IP_TCP, 80);
	assert_false(allows(NET_TYPE_IP4, 60));
}

static void net_filter_allows__any_bytes_of_any_length__no_access_beyond(void **state)
{
	uint32_t seed = 7;

	(void)state;
	for (unsigned i = 0; i < 200000; i++) {
		static const uint16_t types[] = { NET_TYPE_ARP, NET_TYPE_IP4, NET_TYPE_IP6 };
		unsigned bytes = L3 + i % 100;
		uint8_t exact[114];
		uint8_t *at = exact + sizeof(exact) - bytes; /* its end is the array's */

		for (unsigned j = 0; j < bytes; j++) {
			seed = seed * 1664525u + 1013904223u;
			at[j] = (uint8_t)(seed >> 24);
		}
		memcpy(at + 6, own_mac, 6);
		if (i % 3 == 2 && bytes >= L3 + 24) {
			at[L3] = 0x60;
			at[L3 + 6] = i % 2 ? 0 : NET_IP_ICMP6;
			memset(at + L3 + 8, 0, 16);
		}
		net_filter_allows(&policy, at, bytes, L3, types[i % 3]);
	}
}

#define CASE(name) cmocka_unit_test_setup(name, set_up)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(net_filter_allows__source_address_of_the_card__own_only),
		CASE(net_filter_allows__arp__own_addresses_and_probes),
		CASE(net_filter_allows__ip4__own_source_or_dhcp),
		CASE(net_filter_allows__ip6__own_source_and_announcements),
		CASE(net_filter_allows__announcement_behind_a_hop_by_hop_header__seen),
		CASE(net_filter_allows__other_types_and_missing_families__refused),
		CASE(net_filter_allows__any_bytes_of_any_length__no_access_beyond),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
