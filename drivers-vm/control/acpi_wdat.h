/* The table that describes the guest's watchdog. */
#ifndef DRIVERS_VM_CONTROL_ACPI_WDAT_H
#define DRIVERS_VM_CONTROL_ACPI_WDAT_H

#include "drivers-vm/control/aml.h"

void acpi_put_wdat(struct aml_writer *w);

#endif
