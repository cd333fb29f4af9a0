/*
 * The host's devices and their drivers: which driver takes which device, whose interrupt an event is, and when a driver looks at its
 * clock. docs/drivers.md tells how to write another driver. All of it runs on vCPU 0.
 */
#ifndef DRIVERS_VM_DRIVER_HOST_DEVICE_H
#define DRIVERS_VM_DRIVER_HOST_DEVICE_H

#include "drivers-vm/driver/host_pci.h"

#define HOST_DEVICES_DRIVEN 32u
#define HOST_DEVICE_EVENT   32u /* vCPU 0's event bit of the first one; the others follow */

struct host_device;

struct host_device_ops {
	/* Its event has fired: completions are there, or not. */
	void (*interrupt)(struct host_device *device);
	/* Looks for what has taken too long; returns the TSC value at which it must be called again, 0: not before an interrupt. */
	uint64_t (*check)(struct host_device *device, uint64_t now_tsc);
};

struct host_device {
	const struct host_device_ops *ops;
	const struct host_pci *pci;
};

struct host_driver {
	const char *name;
	/* By vendor and device or by class: configuration space only. */
	bool (*matches)(const struct host_pci *pci);
	/*
	 * Resets the device and starts it. Its interrupts set bit `event` of vCPU 0. NULL: it does not work, and the driver has said
	 * why in the log; the device does no DMA then.
	 */
	struct host_device *(*start)(const struct host_pci *pci, unsigned event);
};

/* A device of the host's has come: find its driver. Waits for the device to start. */
void host_device_add(const struct channel_message *m);

/* Events of vCPU 0, word 0: those of devices are passed on. */
void host_device_events(uint64_t events);

/* Lets the drivers look at the clock; returns the next time that they must, as a TSC value, 0: none. */
uint64_t host_device_check(void);

/* One line of the log about a device. */
void host_device_log(const struct host_pci *pci, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* ---- host_device_memory.c ---- */

/* A driver's own state for a device, zeroed; free() gives it back. NULL: no memory, and the log says so. */
void *host_device_state(const struct host_pci *pci, size_t bytes);

/* A zeroed page for a device and its driver, while `start` runs; NULL: no memory. The device uses one no more that is given back. */
void *host_device_page(void);
void host_device_page_free(void *page);

/*
 * `start` has returned. The pages of a device that works are its own as long as the driver VM lives; those of one that does not go back
 * to the heap: it does no DMA any more.
 */
void host_device_started(bool works);

#endif
