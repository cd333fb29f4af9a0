/*
 * A port with IP addresses speaks IPv4, IPv6 and ARP only, from these addresses; it announces no others (ARP,
 * neighbour advertisements) and no routes. What is needed to get an address (DHCP, duplicate address
 * detection) passes.
 */
#include "drivers-vm/driver/net_filter.h"

#include <string.h>

#define IP4_BYTES                     20u
#define IP6_BYTES                     40u
#define ARP_BYTES                     28u
#define DHCP_SERVER_PORT              67u
#define ICMP6_ROUTER_ADVERTISEMENT    134u
#define ICMP6_NEIGHBOUR_ADVERTISEMENT 136u
#define ICMP6_REDIRECT                137u

static const uint8_t nobody[16];

static bool has_ip4(const struct net_policy *policy, const uint8_t *address)
{
	for (unsigned i = 0; i < policy->ip4s; i++)
		if (memcmp(policy->ip4[i], address, 4) == 0)
			return true;
	return false;
}

/* RFC 4291, 2.5.6 and appendix A: the link-local address that belongs to the card's own. */
static bool is_link_local(const struct net_policy *policy, const uint8_t *address)
{
	const uint8_t *mac = policy->mac;
	const uint8_t own[16] = { 0xFE, 0x80, 0, 0, 0, 0, 0, 0, mac[0] ^ 2, mac[1], mac[2], 0xFF, 0xFE, mac[3], mac[4], mac[5] };

	return memcmp(own, address, 16) == 0;
}

static bool has_ip6(const struct net_policy *policy, const uint8_t *address)
{
	for (unsigned i = 0; i < policy->ip6s; i++)
		if (memcmp(policy->ip6[i], address, 16) == 0)
			return true;
	return policy->ip6s != 0 && is_link_local(policy, address);
}

/* RFC 826: both of the sender's addresses are its own; a probe's is 0 (RFC 5227, 1.1). */
static bool allows_arp(const struct net_policy *policy, const uint8_t *arp, unsigned bytes)
{
	static const uint8_t kind[6] = { 0, 1, NET_TYPE_IP4 >> 8, NET_TYPE_IP4 & 0xFF, 6, 4 };

	return bytes >= ARP_BYTES && memcmp(arp, kind, sizeof(kind)) == 0 && memcmp(arp + 8, policy->mac, NET_MAC_BYTES) == 0 &&
	       (memcmp(arp + 14, nobody, 4) == 0 || has_ip4(policy, arp + 14));
}

static bool allows_ip4(const struct net_policy *policy, const uint8_t *ip, unsigned bytes)
{
	unsigned header = bytes >= IP4_BYTES ? (ip[0] & 15u) * 4 : 0;

	if (header < IP4_BYTES || ip[0] >> 4 != 4)
		return false;
	if (has_ip4(policy, ip + 12))
		return true;
	/* A DHCP request of who has no address yet: RFC 2131, 4.1. */
	return memcmp(ip + 12, nobody, 4) == 0 && ip[9] == NET_IP_UDP && (net_get16(ip + 6) & 0x3FFF) == 0 && bytes >= header + 4 &&
	       net_get16(ip + header + 2) == DHCP_SERVER_PORT;
}

/* What a neighbour or a router announces: RFC 4861, 4.2 and 4.4. */
static bool allows_icmp6(const struct net_policy *policy, const uint8_t *icmp, unsigned bytes)
{
	if (bytes < 1)
		return false;
	switch (icmp[0]) {
	case ICMP6_ROUTER_ADVERTISEMENT:
	case ICMP6_REDIRECT:
		return false;
	case ICMP6_NEIGHBOUR_ADVERTISEMENT:
		return bytes >= 24 && has_ip6(policy, icmp + 8);
	default:
		return true;
	}
}

static bool allows_ip6(const struct net_policy *policy, const uint8_t *ip, unsigned bytes)
{
	unsigned at = IP6_BYTES;
	uint8_t next;

	if (policy->ip6s == 0 || bytes < IP6_BYTES || ip[0] >> 4 != 6)
		return false;
	if (memcmp(ip + 8, nobody, 16) != 0 && !has_ip6(policy, ip + 8))
		return false;
	next = ip[6];
	/* One hop-by-hop header, as multicast listener reports have. Neighbour discovery has none: RFC 6980.
	 */
	if (next == 0) {
		if (bytes < at + 8)
			return false;
		next = ip[at];
		at += 8u + 8u * ip[at + 1];
	}
	return next != NET_IP_ICMP6 || (at < bytes && allows_icmp6(policy, ip + at, bytes - at));
}

bool net_filter_allows(const struct net_policy *policy, const uint8_t *head, unsigned bytes, unsigned l3, uint16_t type)
{
	const uint8_t *source = head + NET_MAC_BYTES;

	if (source[0] & 1)
		return false;
	if (policy->uplink || policy->spoof)
		return true;
	if (memcmp(source, policy->mac, NET_MAC_BYTES) != 0)
		return false;
	if (policy->ip4s == 0 && policy->ip6s == 0)
		return true;
	switch (type) {
	case NET_TYPE_ARP:
		return allows_arp(policy, head + l3, bytes - l3);
	case NET_TYPE_IP4:
		return allows_ip4(policy, head + l3, bytes - l3);
	case NET_TYPE_IP6:
		return allows_ip6(policy, head + l3, bytes - l3);
	default:
		return false;
	}
}
