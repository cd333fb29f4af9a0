/*
 * What is joined to the switch: a guest's network card, a host's network card, the address translation.
 * Frames are Ethernet without preamble and checksum. All of it runs on the driver VM's vCPU 0.
 */
#ifndef DRIVERS_VM_DRIVER_NET_PORT_H
#define DRIVERS_VM_DRIVER_NET_PORT_H

#include "drivers-vm/driver/io_segment.h"

#include <stdbool.h>

#define NET_MAC_BYTES    6u
#define NET_HEADER_BYTES 14u /* addresses and type */
#define NET_TAG_BYTES    4u  /* IEEE 802.1Q */
#define NET_HEAD_BYTES \
	160u                       /* room for Ethernet, tag, and the largest IPv4 and TCP headers, which are 138 \
			       */
#define NET_FRAME_BYTES_MAX 65553u /* a tagged frame with the largest IP packet */
#define NET_SEGMENTS_MAX    64u

/* Work that the sender has left to whoever is able to do it. */
enum net_gso {
	NET_GSO_NONE = 0,
	NET_GSO_TCP4 = 1, /* as in virtio-net's header */
	NET_GSO_TCP6 = 4,
};
#define NET_CAN_CSUM 1u /* fill in a checksum */
#define NET_CAN_TCP4 2u /* cut a large TCP segment into those that the wire carries */
#define NET_CAN_TCP6 4u

struct net_frame {
	/*
	 * The data. The first segment is memory of the driver VM's own, not the guest's, and holds the first
	 * min(bytes, NET_HEAD_BYTES) at least: what was checked is what arrives.
	 */
	struct io_segment *segment;
	unsigned segments; /* at most NET_SEGMENTS_MAX; NET_SEGMENTS_MAX + 1 for a receiver */
	uint32_t bytes;
	bool csum_partial; /* the sum from csum_start to the end is missing at csum_start + csum_offset, in
			      the first segment */
	uint8_t gso;       /* enum net_gso */
	uint16_t gso_bytes, csum_start, csum_offset;
	unsigned references;
	void (*done)(struct net_frame *frame); /* NULL: it cannot be kept */
};

/*
 * A port that goes on using a frame's segments after `receive` returns, as a network card that sends from
 * them, holds the frame and releases it later. False: this one must be copied.
 */
static inline bool net_frame_hold(struct net_frame *frame)
{
	if (frame->done == NULL)
		return false;
	frame->references++;
	return true;
}

static inline void net_frame_release(struct net_frame *frame)
{
	if (frame->done != NULL && --frame->references == 0)
		frame->done(frame);
}

/*
 * One of `ways`, the same for all frames of a flow: by MAC addresses and, of IPv4, addresses, and ports if there are no options. What the
 * first segment holds.
 */
unsigned net_frame_flow(const struct net_frame *frame, unsigned ways);

struct net_port;

struct net_port_ops {
	/* A frame for this port. What it has no room for is dropped. */
	void (*receive)(struct net_port *port, struct net_frame *frame);
	/* Optional. No more frames come for now: time for the interrupt, or for the card's doorbell. */
	void (*flush)(struct net_port *port);
	/*
	 * Of a port that holds frames: releases those that it has done with, without waiting for an
	 * interrupt. Called again and again until all are back when a guest goes, so a card that hangs must
	 * be reset by its driver.
	 */
	void (*poll)(struct net_port *port);
};

#define NET_PORT_IPS 4u /* of each kind */

/* What a port may do and with whom. */
struct net_policy {
	uint32_t bridge; /* ports of different bridges do not see each other */
	uint32_t tenant; /* nor do those of different tenants; but an uplink is everybody's */
	uint16_t vlan;   /* of its untagged frames; 0: none */
	bool trunk;      /* carries tagged frames of all VLANs */
	bool uplink;     /* leads to the world: any address may be behind it */
	bool spoof;      /* may send from any address */
	uint8_t mac[NET_MAC_BYTES];
	uint8_t ip4[NET_PORT_IPS][4], ip6[NET_PORT_IPS][16]; /* may send from these only; none of both: from any */
	unsigned ip4s, ip6s;
};

struct net_port_counts {
	uint64_t sent_frames, sent_bytes;         /* by the port */
	uint64_t received_frames, received_bytes; /* for it */
	uint64_t refused;                         /* against its policy, or malformed */
	uint64_t dropped;                         /* for it, without room */
};

struct net_port {
	const struct net_port_ops *ops;
	struct net_policy policy;
	uint32_t can; /* NET_CAN_*: what may be left to `receive` */
	struct net_port_counts counts;
	/* The switch's own. */
	bool waiting;                  /* for its flush */
	struct net_port *next_waiting; /* in the order in which they got something */
	struct net_port *next_of_mac;  /* in the list of those whose addresses have the same hash */
};

#endif
