/*
 * The state between memory and disk. At the start the slot with the higher sequence number counts whose sums are right. What changes is
 * written as a whole to the other slot: values, flush, header, flush; from then on that slot counts. So a power cut at any moment leaves
 * one slot that nobody was writing, and a half-written one that does not count.
 */
#ifndef DRIVERS_VM_CONTROL_STORE_STORE_SYNC_H
#define DRIVERS_VM_CONTROL_STORE_STORE_SYNC_H

#include "drivers-vm/control/store/store.h"

/* Begins to read; once. `disk` stays the caller's and must stay. NULL: there is none, nothing is kept. */
void store_open(const struct store_disk *disk);

/* Where on the disk the state is that counts. */
struct store_position {
	uint64_t sequence;
	uint32_t newest; /* its slot */
	bool kept;
};
void store_get_position(struct store_position *out);

/* Instead of store_open, when another control VM has read it: all values are in memory (store_load), the state that counts is there, and all is
 * written anew. NULL: there is no disk. */
void store_set_position(const struct store_position *position);
void store_resume(const struct store_disk *disk);

/* It takes too long: nothing is kept. */
void store_abandon(void);

/* Whether what was kept is in memory, or nothing is kept: before that nobody can know what there is. */
bool store_is_ready(void);

/* Begins to write if something has changed. Returns the time at which it must be called again at the latest, in the clock of `now_ns`; 0:
 * after a change, or after an operation of the disk. */
uint64_t store_poll(uint64_t now_ns);

#endif
