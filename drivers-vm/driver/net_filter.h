/* Who may send what: the source addresses of a frame against its port's policy. Pure. */
#ifndef DRIVERS_VM_DRIVER_NET_FILTER_H
#define DRIVERS_VM_DRIVER_NET_FILTER_H

#include "drivers-vm/driver/net_port.h"

#define NET_TYPE_IP4 0x0800u
#define NET_TYPE_ARP 0x0806u
#define NET_TYPE_TAG 0x8100u
#define NET_TYPE_IP6 0x86DDu

#define NET_IP_TCP   6u
#define NET_IP_UDP   17u
#define NET_IP_ICMP6 58u

static inline uint16_t net_get16(const uint8_t *at)
{
	return (uint16_t)(at[0] << 8 | at[1]);
}

static inline void net_put16(uint8_t *at, uint16_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

static inline uint32_t net_get32(const uint8_t *at)
{
	return (uint32_t)net_get16(at) << 16 | net_get16(at + 2);
}

static inline void net_put32(uint8_t *at, uint32_t value)
{
	net_put16(at, (uint16_t)(value >> 16));
	net_put16(at + 2, (uint16_t)value);
}

/*
 * Whether a frame may leave the port. `head` holds its first `bytes` bytes, at least NET_HEADER_BYTES; `l3`
 * is where the header of type `type` begins, behind a tag if there is one.
 */
bool net_filter_allows(const struct net_policy *policy, const uint8_t *head, unsigned bytes, unsigned l3, uint16_t type);

#endif
