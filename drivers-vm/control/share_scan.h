/*
 * Finds identical pages of VMs with `share = true` and has the kernel make them one: at a bounded rate, in turns of a few milliseconds from
 * the main loop, and only among VMs of one tenant. Sees digests, never contents; the kernel compares.
 */
#ifndef DRIVERS_VM_CONTROL_SHARE_SCAN_H
#define DRIVERS_VM_CONTROL_SHARE_SCAN_H

#include "drivers-vm/control/config.h"

struct share_counts {
	uint64_t scanned; /* pages whose digest was taken */
	uint64_t merged;  /* pages that were given another one's frame */
	uint64_t differed, busy;
	uint64_t passes;
};

void share_begin(const struct config *config);
/* For the main loop. Returns when it must be called again, as manager_clock_ns counts; 0: nobody shares. */
uint64_t share_run(void);
/* The guest of this slot begins or ends. */
void share_slot_changed(uint32_t slot);
const struct share_counts *share_count(void);

#endif
