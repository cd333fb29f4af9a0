/* See host_device.h. */
#include "drivers-vm/driver/host_device.h"

#include "drivers-vm/driver/host_ahci.h"
#include "drivers-vm/driver/host_e1000e.h"
#include "drivers-vm/driver/host_nvme.h"
#include "drivers-vm/driver/host_virtio_drivers.h"
#include "drivers-vm/driver/host_watchdog.h"
#include "drivers-vm/runtime/service.h"

#include <stdarg.h>
#include <stdio.h>

static const struct host_driver *const drivers[] = { &host_ahci_driver,       &host_nvme_driver,   &host_virtio_blk_driver,
	                                             &host_virtio_net_driver, &host_e1000e_driver, &host_watchdog_driver };

static struct host_device *devices[HOST_DEVICES_DRIVEN];
static unsigned device_count;

void host_device_log(const struct host_pci *pci, const char *format, ...)
{
	char line[160];
	va_list args;

	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	service_log("device %02x:%02x.%x: %s", pci->rid >> 8, pci->rid >> 3 & 31, pci->rid & 7, line);
}

/* NULL: it does not work, and the log says why. */
static struct host_device *start(const struct host_driver *driver, const struct host_pci *pci)
{
	if (device_count == HOST_DEVICES_DRIVEN) {
		host_device_log(pci, "not used: drivers serve %u devices at most", HOST_DEVICES_DRIVEN);
		return NULL;
	}
	struct host_device *device = driver->start(pci, HOST_DEVICE_EVENT + device_count);
	host_device_started(device != NULL);
	return device;
}

void host_device_add(const struct channel_message *m)
{
	const struct host_pci *pci = host_pci_add(m);

	if (pci == NULL)
		return;
	uint32_t id = host_pci_read(pci, 0, 4), class = host_pci_read(pci, 8, 4) >> 8;

	for (unsigned i = 0; i < sizeof(drivers) / sizeof(drivers[0]); i++) {
		if (!drivers[i]->matches(pci))
			continue;
		host_device_log(pci, "%04x:%04x, class 0x%06x: driver %s", id & 0xFFFF, id >> 16, class, drivers[i]->name);
		struct host_device *device = start(drivers[i], pci);
		if (device != NULL)
			devices[device_count++] = device;
		return;
	}
	host_device_log(pci, "%04x:%04x, class 0x%06x: no driver for it", id & 0xFFFF, id >> 16, class);
}

void host_device_events(uint64_t events)
{
	for (uint64_t rung = events >> HOST_DEVICE_EVENT; rung != 0; rung &= rung - 1) {
		unsigned i = (unsigned)__builtin_ctzll(rung);
		if (i < device_count)
			devices[i]->ops->interrupt(devices[i]);
	}
}

uint64_t host_device_check(void)
{
	uint64_t now = device_count != 0 ? service_tsc() : 0, next = 0;

	for (unsigned i = 0; i < device_count; i++) {
		uint64_t at = devices[i]->ops->check(devices[i], now);
		if (at != 0 && (next == 0 || at < next))
			next = at;
	}
	return next;
}
