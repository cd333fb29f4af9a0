/*
 * Makes large blocks of free memory, by moving guests' frames while they run: first out of the largest range of the machine's addresses, of
 * 32 MiB to 1 GiB, that can be had free and is larger than all that is free, one after the other; then 512 pages of 4 KiB at a time into
 * blocks of 2 MiB where guests may have large pages. In turns of a few milliseconds from the main loop, or at one go before a start that
 * wants large pages. The kernel moves; guests never notice but by the time it takes.
 */
#ifndef DRIVERS_VM_CONTROL_COMPACT_H
#define DRIVERS_VM_CONTROL_COMPACT_H

#include "drivers-vm/control/manager.h"

/* False: it is at work already. */
bool compact_start(const char *why);

/* For the main loop. Returns when it must be called again, as manager_clock_ns counts; 0: nothing is to be done. */
uint64_t compact_run(void);

/* Tries to have `bytes` free in blocks of 2 MiB and more; for some seconds at most. */
void compact_for(uint64_t bytes);

void compact_figures(struct manager_compaction *out);

/* The largest free block, bytes. */
uint64_t compact_largest_free(const struct hilum_frames *frames);

#endif
