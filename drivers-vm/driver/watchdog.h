/*
 * The watchdog that ACPI's WDAT describes to the guest ("Hardware Watchdog Timer Design Specification", Microsoft; ACPI 6.4, Table
 * 5-6). It stands until the guest starts it, and counts down then, unless it is touched; when it comes to the end it says so, and counts
 * again. What follows is the control VM's.
 */
#ifndef DRIVERS_VM_DRIVER_WATCHDOG_H
#define DRIVERS_VM_DRIVER_WATCHDOG_H

#include "drivers-vm/driver/model_host.h"
#include "drivers-vm/lib/platform.h"

struct watchdog {
	const struct model_host *host;
	bool there;
	bool running;
	uint16_t count;       /* periods from one touch to the next */
	uint64_t deadline_ns; /* while it runs */
};

void watchdog_init(struct watchdog *dog, const struct model_host *host, bool there);
/* Goes on where it stood in a driver VM that is gone, with all its time again; anything may be found there. */
void watchdog_adopt(struct watchdog *dog, const struct watchdog *old);

/* A byte of its registers, at PLATFORM_WATCHDOG_... (platform.h); `offset` is below PLATFORM_WATCHDOG_PORTS. */
uint8_t watchdog_read(struct watchdog *dog, unsigned offset);
void watchdog_write(struct watchdog *dog, unsigned offset, uint8_t value);

/* It is touched; also for a guest that stood still and could not. Nothing while it does not run. */
void watchdog_touch(struct watchdog *dog);

/* MODEL_TIMER_WATCHDOG has expired, or may have. */
void watchdog_timer(struct watchdog *dog);

#endif
