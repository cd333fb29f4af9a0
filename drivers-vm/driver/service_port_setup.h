/* Which card's network and which disk's partition the control VM's port is on. All of it runs on vCPU 0. */
#ifndef DRIVERS_VM_DRIVER_SERVICE_PORT_SETUP_H
#define DRIVERS_VM_DRIVER_SERVICE_PORT_SETUP_H

#include "drivers-vm/lib/channel.h"

#include <stdbool.h>

/* CHANNEL_PORT_AVOID: the control VM's state is not looked for on that disk. */
void service_port_avoid(const struct channel_message *m);

/* CHANNEL_PORT: what can be had is joined; *answer says what that is. `signal` rings the control VM's doorbell. */
void service_port_setup(const struct channel_message *m, struct channel_message *answer, void (*signal)(void));

/* The doorbell was rung, if `rung`; returns when it must be called again at the latest, as a TSC value, 0: when it rings. */
uint64_t service_port_run(bool rung);

#endif
