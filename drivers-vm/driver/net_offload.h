/*
 * Checksums and the cutting of large TCP segments, where the receiver cannot do what the sender left undone.
 * What a guest says about its frame is checked before anybody works by it.
 */
#ifndef DRIVERS_VM_DRIVER_NET_OFFLOAD_H
#define DRIVERS_VM_DRIVER_NET_OFFLOAD_H

#include "drivers-vm/driver/net_port.h"

/* Whether what a frame says to be left undone fits its headers; `l3` and `type` as for net_filter_allows. */
bool net_offload_check(const struct net_frame *frame, unsigned l3, uint16_t type);

/* Hand `frame`, which passed the check, to `port`: as it is, or as what can be done in its place. */
void net_offload_deliver(struct net_port *port, struct net_frame *frame, unsigned l3);

#endif
