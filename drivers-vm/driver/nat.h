/* The gateways of this driver VM, one for each uplink that guests reach by translated addresses. All of it
 * runs on vCPU 0. */
#ifndef DRIVERS_VM_DRIVER_NAT_H
#define DRIVERS_VM_DRIVER_NAT_H

#include "drivers-vm/lib/channel.h"

#include <stdbool.h>

/* CHANNEL_UPLINK with CHANNEL_NIC_NAT: a gateway between the bridge and the card. The log says if that cannot
 * be. */
void nat_add(const struct channel_message *m);

/* Does what waits; returns when it must be called again at the latest, as a TSC value, 0: there is no
 * gateway. */
uint64_t nat_run(void);

#endif
