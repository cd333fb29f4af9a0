/* What the parts of a virtio network card share: virtio_net.c, virtio_net_send.c, virtio_net_receive.c, virtio_net_adopt.c. */
#ifndef DRIVERS_VM_DRIVER_VIRTIO_NET_PRIVATE_H
#define DRIVERS_VM_DRIVER_VIRTIO_NET_PRIVATE_H

#include "drivers-vm/driver/virtio_net.h"

static inline bool virtio_net_has(const struct virtio_net *nic, uint64_t feature)
{
	return nic->device.negotiated & feature;
}

/* ---- virtio_net_send.c ---- */
/* Sends what the driver has put into a transmit queue, a slice of it at most. */
void virtio_net_transmit(struct virtio_net *nic, unsigned queue);
/* A frame's buffer goes back to the driver; a frame goes back to those that are free. */
void virtio_net_give(struct virtio_net_frame *f);
void virtio_net_free(struct virtio_net_frame *f);

/* ---- virtio_net_receive.c: the switch's port ---- */
void virtio_net_receive(struct net_port *port, struct net_frame *frame);
/* The driver is told of what was received. */
void virtio_net_flush(struct net_port *port);
/* NET_CAN_*: what frames for the guest may still want done. */
uint32_t virtio_net_offloads(const struct virtio_net *nic);

#endif
