/* The host firmware's ACPI tables, as far as the control VM needs them, and what it does with them. */
#ifndef DRIVERS_VM_CONTROL_FIRMWARE_H
#define DRIVERS_VM_CONTROL_FIRMWARE_H

#include <stdint.h>

/* Reads them, once. */
void firmware_init(void);

/* The MCFG and its length; NULL: there is none. */
const uint8_t *firmware_mcfg(uint64_t *bytes);

/* The global system interrupt that ISA interrupt `irq` arrives as. */
uint32_t firmware_gsi(uint8_t irq);

/* Powers the machine off; returns if that cannot be done, which the log tells. */
void firmware_power_off(void);

#endif
