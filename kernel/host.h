/* The machine as an object: what the holder of its handle may ask and do. */
#ifndef KERNEL_HOST_H
#define KERNEL_HOST_H

#include "kernel/object.h"

struct event;

extern struct object host_object;

void host_get_info(struct hilum_host_info *out);
void host_get_health(struct hilum_host_health *out);

/*
 * A service VM prints the log from now on; `event` (may be NULL) is signalled at new lines. Returns the ring's write_seq up to which
 * the kernel has printed. Object lock held.
 */
uint64_t host_log_take(struct event *event);
void host_log_notify(void);

#endif
