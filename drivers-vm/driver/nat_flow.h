/*
 * The connections that address translation knows, in a table of fixed size. Pure; time is the caller's.
 *
 * A host is whoever has an address inside. At its limit a host's own oldest connection makes room for a new
 * one, and in a full table the oldest of the host that has the most: so nobody can keep others from opening
 * connections. Of a host's connections those go first that have not come about, or are closing.
 */
#ifndef DRIVERS_VM_DRIVER_NAT_FLOW_H
#define DRIVERS_VM_DRIVER_NAT_FLOW_H

#include "drivers-vm/driver/nat_packet.h"

#define NAT_FLOWS         4096u
#define NAT_FLOWS_OF_HOST 1024u
#define NAT_FLOW_BUCKETS  4096u /* a power of two */
#define NAT_HOSTS         256u
#define NAT_NONE          0xFFFFu /* no index */

enum nat_state {
	NAT_STATE_FREE,
	NAT_STATE_NEW, /* nothing has come back */
	NAT_STATE_OPEN,
	NAT_STATE_CLOSING, /* TCP: both ends have finished, or one has reset it */
};

struct nat_link {
	uint16_t older, newer; /* NAT_NONE: the end */
};

struct nat_list {
	uint16_t oldest, newest;
};

struct nat_flow {
	uint64_t until_ns;           /* then it counts as gone */
	uint32_t inside, seen, peer; /* addresses: the guest's, of its peer as the guest knows it, and of its peer */
	uint16_t inside_port, peer_port, outside_port;
	uint8_t protocol;
	uint8_t state;    /* enum nat_state */
	uint8_t finished; /* TCP: bit 0: the guest, bit 1: its peer */
	uint8_t host;
	uint16_t next_inside, next_outside; /* in the buckets */
	struct nat_link order;
};

struct nat_flows {
	uint64_t secret;           /* makes hashes and ports unforeseeable */
	uint64_t evicted, refused; /* counts */
	uint16_t free;             /* linked by next_inside */
	uint16_t used;
	uint16_t inside[NAT_FLOW_BUCKETS], outside[NAT_FLOW_BUCKETS];
	struct {
		uint16_t flows;
		struct nat_list passing, open; /* in the order of their last use */
	} host[NAT_HOSTS];
	struct nat_flow *flow; /* NAT_FLOWS of them */
};

/* An empty table over the memory `flow`, which outlives the driver VM. */
void nat_flows_init(struct nat_flows *flows, struct nat_flow *flow, uint64_t secret);

/*
 * A table of what a driver VM before this one has left in `flow`, of guests with addresses from `subnet` on.
 * It has crashed: what makes no sense there is left out.
 */
void nat_flows_adopt(struct nat_flows *flows, struct nat_flow *flow, uint64_t secret, uint32_t subnet, uint64_t now_ns);

/*
 * The connection of a packet from inside; a new one if there is none. `t` as the guest sent it, `peer` whom
 * it really goes to. NULL: no port is free, or the packet opens nothing.
 */
struct nat_flow *nat_flow_outward(struct nat_flows *flows, const struct nat_tuple *t, uint8_t tcp_flags, uint32_t peer, uint8_t host,
                                  uint64_t now_ns);

/* The connection of a packet from outside; NULL: none. */
struct nat_flow *nat_flow_inward(struct nat_flows *flows, const struct nat_tuple *t, uint64_t now_ns);

/* A packet of the connection passes: it is in use, and TCP's flags tell how far it is. */
void nat_flow_use(struct nat_flows *flows, struct nat_flow *flow, bool inward, uint8_t tcp_flags, uint64_t now_ns);

/* Forgets those of one host: its address has become somebody else's. */
void nat_flow_drop_host(struct nat_flows *flows, uint8_t host);

#endif
