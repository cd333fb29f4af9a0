/*
 * Network address translation between the guests of one bridge and one uplink: what passes, to whom, and with
 * which addresses. RFC 3022, RFC 4787, RFC 5382, RFC 5508. What is for the gateway itself (ARP, DHCP, echoes)
 * goes to the TCP/IP stack behind `ops`.
 *
 * Inside, a packet counts only if its source address is the card's (nat_hosts.h). Outside, only what belongs
 * to a connection that a guest has opened comes in. Frames keep the sender's buffers; their first segment,
 * which is nobody's memory but the driver VM's, is changed in place. All of it runs on vCPU 0.
 */
#ifndef DRIVERS_VM_DRIVER_NAT_GATEWAY_H
#define DRIVERS_VM_DRIVER_NAT_GATEWAY_H

#include "drivers-vm/driver/nat_flow.h"
#include "drivers-vm/driver/nat_hosts.h"
#include "drivers-vm/driver/net_switch.h"

#include <assert.h>

#define NAT_HOPS 16u

struct nat_gateway;

/* What goes to the stack. */
enum nat_stack_way {
	NAT_STACK_INSIDE,      /* a frame from a guest */
	NAT_STACK_OUTSIDE,     /* a frame from the uplink */
	NAT_STACK_RESOLVE,     /* a translated frame whose next hop's Ethernet address is not known */
	NAT_STACK_UNREACHABLE, /* a frame from a guest, which is to be told that there is no way */
	NAT_STACK_EXPIRED,     /* or that it has gone as far as it may */
	NAT_STACK_WAYS,
};

struct nat_gateway_ops {
	uint64_t (*now_ns)(struct nat_gateway *g); /* never 0, never back */
	/* The frame is complete (no checksum is missing), its data must be copied; it is for later: nothing
	 * is sent from here. */
	void (*take)(struct nat_gateway *g, enum nat_stack_way way, const struct net_frame *frame);
	/* The Ethernet address of a neighbour at the uplink; false: not known. */
	bool (*find_neighbour)(struct nat_gateway *g, uint32_t address, uint8_t *mac);
};

/* The way to the stack for frames whose checksums the sender left to others: a port that is joined to no
 * switch. */
struct nat_stack_port {
	struct net_port port;
	struct nat_gateway *gateway;
	enum nat_stack_way way;
};

struct nat_hop {
	uint32_t address; /* 0: none */
	uint8_t mac[NET_MAC_BYTES];
	uint64_t until_ns;
};

/* What outlives the driver VM. The next one looks at it before it believes it. */
struct nat_store {
	uint64_t magic;   /* NAT_STORE_MAGIC, once there is something */
	uint32_t address; /* at the uplink, which the connections have */
	uint32_t reserved;
	struct nat_host host[NAT_HOSTS_MAX];
	struct nat_flow flow[NAT_FLOWS];
};
#define NAT_STORE_MAGIC 0x31544E204D4C48ull /* "HLM NT1": another layout has another number */
static_assert(sizeof(struct nat_flow) == 40, "and a number more in NAT_STORE_MAGIC");

struct nat_gateway {
	const struct nat_gateway_ops *ops;
	struct net_switch *guests; /* `inside` is one of its ports */
	struct net_switch uplink;  /* of `outside`, the uplink, and perhaps the control VM's card */
	struct net_port inside, outside;
	struct nat_stack_port stack[NAT_STACK_WAYS];
	uint32_t address, mask, router, dns; /* at the uplink; 0: none yet */
	struct nat_store *store;
	struct nat_hop hop[NAT_HOPS];
	struct nat_hosts hosts;
	struct nat_flows flows;
};

struct nat_gateway_config {
	uint32_t bridge;
	uint16_t vlan;
	uint32_t subnet;
	unsigned prefix;
	uint64_t secret;
	struct net_switch *guests;
	struct nat_store *store; /* zeroes, or what the driver VM before has left of a gateway with the same subnet */
};

/* The gateway is the second address of the subnet. Joining its ports is the caller's. */
void nat_gateway_init(struct nat_gateway *g, const struct nat_gateway_ops *ops, const struct nat_gateway_config *config);

/* What the uplink is called by; another address than before ends all connections. */
void nat_gateway_set_uplink(struct nat_gateway *g, uint32_t address, uint32_t mask, uint32_t router, uint32_t dns);

#endif
