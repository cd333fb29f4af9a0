/*
 * The host's PCI devices: found over ECAM at start, and given to the driver VM, each with its own page of configuration space, its
 * memory BARs and a handle. docs/decisions/0011 says why just these.
 */
#ifndef DRIVERS_VM_CONTROL_DEVICE_H
#define DRIVERS_VM_CONTROL_DEVICE_H

#include "drivers-vm/control/config.h"

#include <hilum/abi.h>

/*
 * Find the devices that `config` lets the driver VM have. Nothing is changed but for the moment in which BARs are sized. Says in the
 * log why there are none, where that is not what the configuration asks for.
 */
void devices_find(const struct config *config);

/* Whether there is a network card among them, with a driver or not. */
bool devices_have_network(void);

/* Give them all to `vm`, a fresh driver VM, and tell it; what fails is told and left out. */
void devices_give(hilum_handle_t vm);

/* The driver VM goes: they do nothing any more on their own, and are reset where they can be. Before anything of it is given back. */
void devices_stop(void);

/* Their configuration space is mapped in the control VM in this range, and stays there when another control VM takes over. */
#define DEVICES_CONFIG_GPA   0xA0000000ull
#define DEVICES_CONFIG_LIMIT 0xB0000000ull

/* A device's fault event has fired: tell which, and how often. */
void devices_report_faults(void);
/* So far, of all devices. */
uint64_t devices_fault_count(void);

#endif
