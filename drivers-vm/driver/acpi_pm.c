/* Power-off and the four resets. A write that asks for neither changes a register and has no other effect. */
#include "drivers-vm/driver/acpi_pm.h"

#include <string.h>

#include "drivers-vm/lib/platform.h"

#define SLEEP_CONTROL_SLP_EN    0x20u
#define SLEEP_CONTROL_SLP_TYP   0x1Cu
#define SLEEP_CONTROL_TYP_SHIFT 2

#define CF9_RST_CPU 0x04u
#define CF9_MASK    0x0Eu

#define PORT92_INIT_NOW 0x01u
#define PORT92_A20      0x02u

#define KBC_STATUS_OBF    0x01u
#define KBC_STATUS_SYSTEM 0x04u
#define KBC_STATUS_UNLOCK 0x10u

static void request_reset(struct acpi_pm *pm, enum model_reset_cause cause)
{
	pm->host->request(pm->host->ctx, MODEL_REQUEST_RESET, cause);
}

static void sleep_control_write(struct acpi_pm *pm, uint8_t value)
{
	unsigned type = (value & SLEEP_CONTROL_SLP_TYP) >> SLEEP_CONTROL_TYP_SHIFT;

	pm->sleep_control = value & SLEEP_CONTROL_SLP_TYP; /* SLP_EN reads as zero */
	if ((value & SLEEP_CONTROL_SLP_EN) && type == PLATFORM_SLP_TYP_S5)
		pm->host->request(pm->host->ctx, MODEL_REQUEST_POWER_OFF, 0);
}

static void cf9_write(struct acpi_pm *pm, uint8_t value)
{
	bool rising = (value & CF9_RST_CPU) && !(pm->cf9 & CF9_RST_CPU);

	pm->cf9 = value & CF9_MASK;
	if (rising)
		request_reset(pm, MODEL_RESET_CF9);
}

static void port92_write(struct acpi_pm *pm, uint8_t value)
{
	bool rising = (value & PORT92_INIT_NOW) && !(pm->port92 & PORT92_INIT_NOW);

	pm->port92 = value & (PORT92_INIT_NOW | PORT92_A20);
	if (rising)
		request_reset(pm, MODEL_RESET_PORT92);
}

static void kbc_answer(struct acpi_pm *pm, uint8_t byte)
{
	pm->kbc_output = byte;
	pm->kbc_output_full = true;
}

/* 8042 commands: IBM PC AT Technical Reference, "Keyboard Controller Commands". */
static void kbc_command(struct acpi_pm *pm, uint8_t command)
{
	pm->kbc_data_command = 0;
	if ((command & 0xF0) == 0xF0) { /* pulse output lines: line 0 low is the CPU's reset */
		if (!(command & 1))
			request_reset(pm, MODEL_RESET_KEYBOARD);
		return;
	}
	switch (command) {
	case 0x20: /* read the command byte */
		kbc_answer(pm, pm->kbc_mode);
		break;
	case 0x60: /* write it */
	case 0xD1: /* write the output port */
	case 0xD2: /* write the keyboard's output buffer */
	case 0xD3: /* write the mouse's */
	case 0xD4: /* write to the mouse */
		pm->kbc_data_command = command;
		break;
	case 0xA7: /* disable, */
	case 0xA8: /* enable the mouse port */
		pm->kbc_mode = (pm->kbc_mode & ~0x20u) | (command == 0xA7 ? 0x20 : 0);
		break;
	case 0xA9: /* test the mouse port: the clock line is stuck low, there is no such port */
		kbc_answer(pm, 0x01);
		break;
	case 0xAA: /* self test passed */
		kbc_answer(pm, 0x55);
		break;
	case 0xAB: /* test the keyboard port: no fault */
		kbc_answer(pm, 0x00);
		break;
	case 0xAD: /* disable, */
	case 0xAE: /* enable the keyboard */
		pm->kbc_mode = (pm->kbc_mode & ~0x10u) | (command == 0xAD ? 0x10 : 0);
		break;
	case 0xD0: /* read the output port: reset line high, A20 */
		kbc_answer(pm, 0x01 | (pm->port92 & PORT92_A20));
		break;
	}
}

static void kbc_data(struct acpi_pm *pm, uint8_t value)
{
	uint8_t command = pm->kbc_data_command;

	pm->kbc_data_command = 0;
	switch (command) {
	case 0x60:
		pm->kbc_mode = value;
		break;
	case 0xD1:
		pm->port92 = (pm->port92 & ~PORT92_A20) | (value & PORT92_A20);
		if (!(value & 1))
			request_reset(pm, MODEL_RESET_KEYBOARD);
		break;
	case 0xD2:
	case 0xD3:
		kbc_answer(pm, value);
		break;
	}
	/* Anything else goes to a keyboard or mouse that is not there, and nobody answers. */
}

bool acpi_pm_owns(uint16_t port)
{
	switch (port) {
	case PLATFORM_SLEEP_CONTROL_PORT:
	case PLATFORM_SLEEP_STATUS_PORT:
	case PLATFORM_RESET_PORT:
	case ACPI_PM_CF9_PORT:
	case ACPI_PM_PORT92:
	case ACPI_PM_KBC_DATA_PORT:
	case ACPI_PM_KBC_COMMAND_PORT:
		return true;
	}
	return false;
}

uint8_t acpi_pm_read(struct acpi_pm *pm, uint16_t port)
{
	switch (port) {
	case PLATFORM_SLEEP_CONTROL_PORT:
		return pm->sleep_control;
	case ACPI_PM_CF9_PORT:
		return pm->cf9;
	case ACPI_PM_PORT92:
		return pm->port92;
	case ACPI_PM_KBC_DATA_PORT:
		pm->kbc_output_full = false;
		return pm->kbc_output;
	case ACPI_PM_KBC_COMMAND_PORT:
		return KBC_STATUS_UNLOCK | KBC_STATUS_SYSTEM | (pm->kbc_output_full ? KBC_STATUS_OBF : 0);
	}
	return 0; /* sleep status: WAK_STS never set, this machine does not sleep */
}

void acpi_pm_write(struct acpi_pm *pm, uint16_t port, uint8_t value)
{
	switch (port) {
	case PLATFORM_SLEEP_CONTROL_PORT:
		sleep_control_write(pm, value);
		break;
	case PLATFORM_RESET_PORT:
		if (value == PLATFORM_RESET_VALUE)
			request_reset(pm, MODEL_RESET_ACPI);
		break;
	case ACPI_PM_CF9_PORT:
		cf9_write(pm, value);
		break;
	case ACPI_PM_PORT92:
		port92_write(pm, value);
		break;
	case ACPI_PM_KBC_DATA_PORT:
		kbc_data(pm, value);
		break;
	case ACPI_PM_KBC_COMMAND_PORT:
		kbc_command(pm, value);
		break;
	}
}

void acpi_pm_init(struct acpi_pm *pm, const struct model_host *host)
{
	memset(pm, 0, sizeof(*pm));
	pm->host = host;
	pm->port92 = PORT92_A20;
	pm->kbc_mode = 0x45; /* translation, system flag, keyboard interrupt: what a BIOS leaves */
}
