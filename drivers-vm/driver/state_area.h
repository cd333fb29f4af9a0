/*
 * Memory that outlives the driver VM: the control VM owns it, and maps it at the same place into each driver
 * VM. It has two halves. One holds what counts; a driver VM that comes after another makes its own in the
 * other half, with the first to look at, and then lets that one count by a single store. So there is a whole
 * state at any moment, also when the new driver VM dies of the old one's.
 */
#ifndef DRIVERS_VM_DRIVER_STATE_AREA_H
#define DRIVERS_VM_DRIVER_STATE_AREA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct state_area {
	uint8_t *base;
	size_t bytes;
	size_t used;   /* of the half at hand */
	unsigned half; /* 0 or 1 */
};

/*
 * Takes the area at `base` into use, empty if `resume` is false. `layout` names what is kept and how: a state
 * of another layout is nobody's. False: `resume`, and there is nothing of that layout.
 */
bool state_area_open(struct state_area *area, void *base, size_t bytes, uint64_t layout, bool resume);

/* `count` times `bytes`, zeroed, aligned to 64, at the same place in both halves if all calls are the same;
 * NULL: no room. */
void *state_area_take(struct state_area *area, size_t count, size_t bytes);

/* The same place in the half of the driver VM before. NULL gives NULL. Anything may be found there. */
const void *state_area_old(const struct state_area *area, const void *mine);

/* From now on the half at hand counts. */
void state_area_commit(struct state_area *area);

/* Nothing counts any more. */
void state_area_forget(struct state_area *area);

#endif
