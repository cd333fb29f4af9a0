/*
 * The control VM's card and disk (drivers-vm/lib/port_area.h): the device's side. The card is a port of the switch that an uplink is on,
 * which reaches that uplink and no guest: DESIGN rule, guests never talk to the control VM. The disk is a partition. All of it runs on
 * vCPU 0.
 */
#ifndef DRIVERS_VM_DRIVER_SERVICE_PORT_H
#define DRIVERS_VM_DRIVER_SERVICE_PORT_H

#include "drivers-vm/driver/blk_device.h"
#include "drivers-vm/driver/net_switch.h"
#include "drivers-vm/driver/virtqueue.h"
#include "drivers-vm/lib/port_area.h"

#define SERVICE_PORT_SLICE 64u /* frames sent at one go */

struct service_port {
	uint8_t *area;
	struct model_host host; /* the queues' view of the area */
	void (*signal)(void);   /* rings the control VM's doorbell */
	uint64_t (*now_ns)(void);
	/* The card. */
	struct net_port port;
	struct net_switch *net; /* NULL: there is no card */
	uint8_t uplink[NET_MAC_BYTES];
	struct virtqueue receive, transmit;
	bool filled; /* frames were received since the last flush */
	/* The disk. */
	struct blk_device *disk; /* NULL: there is none */
	struct virtqueue requests;
	struct blk_request request; /* one at a time */
	struct io_segment segment[VIRTQUEUE_SEGMENTS_MAX], data;
	struct virtqueue_buffer buffer;
	uint8_t *status;
	uint32_t written;
	bool busy;
	bool stale; /* what is busy was asked for by another control VM: nobody waits for it */
};

/* Nothing joined, no disk. */
void service_port_init(struct service_port *p, uint8_t *area, void (*signal)(void), uint64_t (*now_ns)(void));

/* The card gets queues and an address beside the uplink's, in the uplink's bridge and VLAN. False: the switch has no port left. */
bool service_port_join(struct service_port *p, struct net_switch *net, const struct net_policy *uplink, const uint8_t mac[NET_MAC_BYTES]);
/* The disk gets its queue. */
void service_port_give_disk(struct service_port *p, struct blk_device *disk);

/* There is another control VM: the area is emptied, and the queues begin anew, on both sides. */
void service_port_begin_anew(struct service_port *p);

/* What the control VM has put into the queues; true: there is more to do, after the others' turn. */
bool service_port_send(struct service_port *p);
void service_port_run_disk(struct service_port *p);

#endif
