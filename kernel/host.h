/* The machine as an object: what the holder of its handle may ask and do. */
#ifndef KERNEL_HOST_H
#define KERNEL_HOST_H

#include "kernel/object.h"

struct event;

extern struct object host_object;

void host_get_info(struct hilum_host_info *out);

/*
 * Turn the machine off (HILUM_POWER_*) by ACPI's PM1 control registers with `slp_typ` (SLP_TYPa in bits 7:0, SLP_TYPb in 15:8), or
 * reset it. Returns only on failure: STATUS_INVALID, STATUS_UNSUPPORTED (no such registers), STATUS_BUSY (the machine did not obey).
 */
must_check enum status host_power(uint64_t what, uint64_t slp_typ);

/*
 * A service VM prints the log from now on; `event` (may be NULL) is signalled at new lines. Returns the ring's write_seq up to which
 * the kernel has printed. Object lock held.
 */
uint64_t host_log_take(struct event *event);
void host_log_notify(void);

#endif
