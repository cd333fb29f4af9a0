/* Processors that come and go, for the DSDT: devices with the registers of drivers-vm/lib/platform.h behind them. */
#ifndef DRIVERS_VM_CONTROL_ACPI_CPUS_H
#define DRIVERS_VM_CONTROL_ACPI_CPUS_H

#include "drivers-vm/control/aml.h"

/* Within \_SB_: the registers, and a device for each of `most` processors. */
void acpi_put_cpus(struct aml_writer *w, uint32_t most);
/* Within the event device's _EVT, for its interrupt: tells the guest's driver of each that has come or shall go. */
void acpi_put_cpu_events(struct aml_writer *w, uint32_t most);

#endif
