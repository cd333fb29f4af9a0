/* Setting up the control VM's card and disk with each driver VM, and their part in the main loop. */
#ifndef DRIVERS_VM_CONTROL_NET_PORT_SETUP_H
#define DRIVERS_VM_CONTROL_NET_PORT_SETUP_H

#include "drivers-vm/control/config.h"
#include "drivers-vm/lib/channel.h"
#include "drivers-vm/runtime/service.h"

/* There is a fresh driver VM, which has its devices and uplinks: asks it for card and disk. The answer comes later. */
void port_setup(const struct config *config);
/* Its answer has come. */
void port_setup_answered(const struct channel_message *m);
/* The driver VM ends. */
void port_stop(void);
/* None follows it. */
void port_end(void);

/* Whether the first driver VM has said what there is, or will not. */
bool port_is_settled(void);

/*
 * At the start, after driver_begin: waits until the state that was kept is in memory, or it is known that there is none: store_is_ready
 * holds from then on. A disk that takes longer than `timeout_ns` is not used.
 */
void port_wait_for_state(uint64_t timeout_ns);

/* Before the machine goes off: waits until what has changed is on the disk, up to `timeout_ns`. */
void port_wait_for_write(uint64_t timeout_ns);

/* Disk and store, as far as they can go on; to be called whenever the control VM has woken up. Returns when it must be called again at the
 * latest, as a TSC value, 0: when something happens. */
uint64_t port_run(void);

#endif
