/*
 * The ways a guest ends or restarts its machine: sleep control, sleep status and reset registers of
 * hardware-reduced ACPI (ACPI 6.4, 4.8.3.7 and 4.8.4.6), the reset control register CF9h (ICH9
 * datasheet, 13.7.5), port 92h (13.7.2) and an 8042 keyboard controller that has neither keyboard nor mouse.
 */
#ifndef DRIVERS_VM_DRIVER_ACPI_PM_H
#define DRIVERS_VM_DRIVER_ACPI_PM_H

#include "drivers-vm/driver/model_host.h"

#define ACPI_PM_KBC_DATA_PORT    0x60u
#define ACPI_PM_KBC_COMMAND_PORT 0x64u
#define ACPI_PM_PORT92           0x92u
#define ACPI_PM_CF9_PORT         0xCF9u

struct acpi_pm {
	const struct model_host *host;
	uint8_t sleep_control, cf9, port92;
	uint8_t kbc_mode;         /* the 8042's command byte */
	uint8_t kbc_output;       /* its output buffer, */
	bool kbc_output_full;     /* and whether it holds an answer */
	uint8_t kbc_data_command; /* the command that the next byte at port 60h belongs to, 0 if none */
};

void acpi_pm_init(struct acpi_pm *pm, const struct model_host *host);

/* True if `port` is one of this model's; only then may it be read or written here. */
bool acpi_pm_owns(uint16_t port);
uint8_t acpi_pm_read(struct acpi_pm *pm, uint16_t port);
void acpi_pm_write(struct acpi_pm *pm, uint16_t port, uint8_t value);

#endif
