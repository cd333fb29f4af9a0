/* Network, certificate and HTTPS in the control VM's start and main loop. Each step waits for what it needs; nothing waits for these. */
#ifndef DRIVERS_VM_CONTROL_NET_HTTPS_H
#define DRIVERS_VM_CONTROL_NET_HTTPS_H

#include "drivers-vm/control/config.h"

/* Once, with what lives for ever. */
void https_begin(const struct config_api *config);
/* To be called whenever the control VM has woken up. Returns the TSC value at which it must be called again at the latest, 0: when
 * something happens. One in the past: there is more to do. */
uint64_t https_run(void);
/* What https_begin was given. */
const struct config_api *https_config(void);

#endif
