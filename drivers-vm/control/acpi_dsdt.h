/* The DSDT of the guest platform; part of acpi_build. */
#ifndef DRIVERS_VM_CONTROL_ACPI_DSDT_H
#define DRIVERS_VM_CONTROL_ACPI_DSDT_H

#include "drivers-vm/control/acpi_build.h"
#include "drivers-vm/control/aml.h"

void acpi_put_dsdt(struct aml_writer *w, const struct acpi_platform *platform);

#endif
