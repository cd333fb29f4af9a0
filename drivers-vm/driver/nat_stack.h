/*
 * lwIP beside a gateway: it answers ARP and echoes inside, leases addresses there, gets one at the uplink,
 * and finds neighbours. Frames wait in a queue until nat_stack_run, so that lwIP is entered from one place
 * only.
 */
#ifndef DRIVERS_VM_DRIVER_NAT_STACK_H
#define DRIVERS_VM_DRIVER_NAT_STACK_H

#include "drivers-vm/driver/nat_gateway.h"

#include "lwip/netif.h"
#include "lwip/udp.h"

#define NAT_STACK_QUEUE 64u
#define NAT_FRAME_BYTES 1514u

struct nat_stack {
	struct nat_gateway gateway; /* first */
	struct netif inside, outside;
	struct udp_pcb *dhcp;
	ip4_addr_t dns;        /* the uplink's */
	const uint8_t *client; /* whose frame is being answered; NULL: nobody's */
	struct {
		struct pbuf *data;
		enum nat_stack_way way;
		uint32_t peer;              /* of NAT_STACK_RESOLVE */
		uint8_t mac[NET_MAC_BYTES]; /* of the sender */
	} queue[NAT_STACK_QUEUE];
	unsigned put, taken;
	uint64_t started_ns;
	bool complained;
	char name[24]; /* of the uplink */
	struct nat_stack *next;
};

/* An address of the uplink's that is not from DHCP; all zeroes: it is. */
struct nat_stack_static {
	uint32_t address, router, dns;
	unsigned prefix;
};

/* The ports are joined, and the uplink is there, `mac` its address. False: no memory. */
bool nat_stack_start(struct nat_stack *s, const uint8_t *mac, const struct nat_stack_static *fixed);

/* Works off what waits. */
void nat_stack_run(struct nat_stack *s);

/* Runs lwIP's timers; returns when it must be called again, ns from now. */
uint64_t nat_stack_timers(void);

extern const struct nat_gateway_ops nat_stack_ops;

#endif
