/*
 * Audits of what mm/ has built, from the tables themselves: the frame table, and the host page tables.
 */
#ifndef TESTS_UNIT_FAKE_MM_AUDIT_H
#define TESTS_UNIT_FAKE_MM_AUDIT_H

#include "arch/x86_64/types.h"

/*
 * Walks the frame table: every frame of RAM belongs to exactly one block, blocks are aligned, free lists are
 * linked both ways with one head for each order, no two free buddies stand unmerged, and the allocator's
 * counters agree. False, with a line on stderr, at the first flaw.
 */
bool audit_frames(void);

/* Calls visit for every leaf of the host tables that CR3 holds, rising by address; flags are HOST_PT_* bits.
 */
void audit_host_tables(void (*visit)(void *context, uint64_t va, uint64_t bytes, hpa_t hpa, uint64_t flags), void *context);

#endif
