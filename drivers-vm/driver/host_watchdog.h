/*
 * The machine's watchdog, a timer that resets it: Intel's 6300ESB (as in QEMU, libvirt and oVirt). The control VM says for how long, and
 * says it again as long as all is well; nothing in this VM prolongs it by itself.
 */
#ifndef DRIVERS_VM_DRIVER_HOST_WATCHDOG_H
#define DRIVERS_VM_DRIVER_HOST_WATCHDOG_H

#include "drivers-vm/driver/host_device.h"

#define HOST_WATCHDOG_SECONDS_MAX 2046u

extern const struct host_driver host_watchdog_driver;

enum host_watchdog_state {
	HOST_WATCHDOG_NONE, /* this machine has none */
	HOST_WATCHDOG_READY,
	HOST_WATCHDOG_FIRED, /* it is what has reset the machine last */
};
enum host_watchdog_state host_watchdog_state(void);

/* The machine is reset after so many seconds (1 to _SECONDS_MAX), unless this is called again; 0: never. */
void host_watchdog_set(uint32_t seconds);

#endif
