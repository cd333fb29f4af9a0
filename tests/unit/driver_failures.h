/*
 * A device of the host's is started with each allocation failing once. Either it is refused then, says that memory is short, does no DMA,
 * and leaves nothing behind; or it does with less, and says so too. The next start finds it as it was.
 */
#ifndef TESTS_UNIT_DRIVER_FAILURES_H
#define TESTS_UNIT_DRIVER_FAILURES_H

#include "driver_memory.h"

#include <stdio.h>

#include "drivers-vm/driver/host_device.h"
#include "tests/unit/fake_host_pci/device.h"

struct driver_failures {
	void (*power_up)(void); /* the device, as it is before a driver comes */
	const struct host_driver *driver;
	const struct host_pci *pci;
	unsigned event;
	void (*check)(struct host_device *device); /* that it works, at least with less */
	void (*forget)(void);                      /* what it offers is not offered any more */
};

/* Started with the n-th allocation failing. True: it works. */
static inline bool driver_failures_start(const struct driver_failures *f, int nth)
{
	f->power_up();
	fake_log_memory = fake_dma = false;
	driver_memory_failing_after = nth;
	struct host_device *device = f->driver->start(f->pci, f->event);
	host_device_started(device != NULL);
	int left = driver_memory_failing_after;

	driver_memory_failing_after = DRIVER_MEMORY_NEVER;
	if (device != NULL) {
		f->check(device);
		f->forget();
	} else if (fake_dma || driver_memory_blocks != 0) {
		fail_msg("failure %d: DMA is %s, %u blocks are left", nth, fake_dma ? "on" : "off", driver_memory_blocks);
	}
	driver_memory_forget();
	driver_memory_failing_after = left; /* how many were asked for */
	return device != NULL;
}

/* Returns how many allocations a start has. */
static inline int driver_failures_each(const struct driver_failures *f)
{
	unsigned refusals = 0;
	int count;

	assert_true(driver_failures_start(f, DRIVER_MEMORY_NEVER));
	assert_false(fake_log_memory);
	count = DRIVER_MEMORY_NEVER - driver_memory_failing_after;
	for (int nth = 0; nth < count; nth++) {
		refusals += !driver_failures_start(f, nth);
		assert_int_equal(driver_memory_failing_after, -1);
		if (!fake_log_memory)
			fail_msg("failure %d is not said", nth);
		if (!driver_failures_start(f, DRIVER_MEMORY_NEVER))
			fail_msg("after failure %d it does not start", nth);
	}
	print_message("%d allocations fail once each: the device is refused %u times\n", count, refusals);
	assert_true(refusals != 0);
	driver_memory_failing_after = DRIVER_MEMORY_NEVER;
	return count;
}

#endif
