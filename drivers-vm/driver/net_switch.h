/*
 * A learning switch (IEEE 802.1Q) between the ports: bridges, VLANs, tenants, and the check of what each port
 * sends. A port with a fixed address is known by it; addresses behind uplinks, trunks and ports that may
 * spoof are learned.
 */
#ifndef DRIVERS_VM_DRIVER_NET_SWITCH_H
#define DRIVERS_VM_DRIVER_NET_SWITCH_H

#include "drivers-vm/driver/net_port.h"

#define NET_SWITCH_PORTS    2064u /* four cards of each guest, and the machine's */
#define NET_SWITCH_LISTS    256u
#define NET_SWITCH_LEARNED  1024u /* a power of two */
#define NET_SWITCH_WAYS     4u    /* places where an address may be kept */
#define NET_SWITCH_AGING_NS 300000000000ull
#define NET_VLAN_MAX        4094u

struct net_learned {
	uint64_t key; /* address and VLAN; 0: free */
	uint32_t bridge;
	struct net_port *port;
	uint64_t seen_ns;
};

struct net_switch {
	unsigned ports;
	struct net_port *port[NET_SWITCH_PORTS];
	struct net_learned learned[NET_SWITCH_LEARNED];
	struct net_port *of_mac[NET_SWITCH_LISTS]; /* by the hash of their fixed addresses, in the order in which they were added */
	struct net_port *waiting;                  /* ports whose flush is due */
	struct net_port **waiting_end;
};

/* A switch without ports is all zeroes. The port's address stays as it is. False: there is no room for another port. */
bool net_switch_add(struct net_switch *sw, struct net_port *port);
void net_switch_remove(struct net_switch *sw, struct net_port *port);

/*
 * A frame from `port`, of at least NET_HEADER_BYTES: handed to those that it is for and that it may reach.
 * `now_ns` is any clock that does not go back.
 */
void net_switch_forward(struct net_switch *sw, struct net_port *port, struct net_frame *frame, uint64_t now_ns);

/* Has every port release the frames that it has done with. */
void net_switch_poll(struct net_switch *sw);

/* Ends a burst of frames: every port that got one is told. */
void net_switch_flush(struct net_switch *sw);

#endif
