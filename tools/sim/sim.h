/* The simulator's parts: a manager without a machine, consoles of guests that are not there, a store in memory, and a clock. */
#ifndef TOOLS_SIM_SIM_H
#define TOOLS_SIM_SIM_H

#include "drivers-vm/control/manager.h"

/* Nanoseconds of a clock that does not jump, and since 1970. */
uint64_t sim_now_ns(void);
uint64_t sim_wall_ns(void);

/* ---- fake_manager.c ---------------------------------------------------------------------------------------------------------------- */
/* Two images and `vms` VMs, as if of hilum.toml; the first one runs. */
void fake_manager_start(unsigned vms);
/* Time goes on: guests react to their power buttons. To be called often. */
void fake_manager_poll(void);

/* ---- fake_console.c ---------------------------------------------------------------------------------------------------------------- */
struct fake_console {
	uint8_t *ring; /* MANAGER_CONSOLE_BYTES */
	uint64_t written;
	char line[128];
	size_t length;
};

/* What a guest's shell asks of its VM. */
enum fake_request {
	FAKE_NOTHING,
	FAKE_POWEROFF,
	FAKE_REBOOT,
	FAKE_CRASH,
};

bool fake_console_init(struct fake_console *console);
void fake_console_print(struct fake_console *console, const char *text);
/* The banner of a guest that starts, and its prompt. */
void fake_console_boot(struct fake_console *console, const char *name);
enum fake_request fake_console_type(struct fake_console *console, const uint8_t *bytes, size_t count);
size_t fake_console_read(const struct fake_console *console, uint64_t *position, uint8_t *to, size_t size);

#endif
