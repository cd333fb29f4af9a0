/* The earliest of many deadlines, one for each of a fixed set of numbers. Pure; the caller serialises calls. No call takes longer than log n. */
#ifndef DRIVERS_VM_DRIVER_DEADLINES_H
#define DRIVERS_VM_DRIVER_DEADLINES_H

#include <stdint.h>

#define DEADLINES_MAX 512u

/* A binary heap; all zeroes is an empty one. */
struct deadlines {
	unsigned count;
	uint16_t heap[DEADLINES_MAX];  /* numbers, none before its parent */
	uint16_t place[DEADLINES_MAX]; /* of a number in `heap`, plus one; 0: it has no deadline */
	uint64_t key[DEADLINES_MAX];
};

/* The deadline of `number`, below DEADLINES_MAX, from now on; 0: none. */
void deadlines_set(struct deadlines *d, unsigned number, uint64_t deadline);
/* The earliest, and whose it is; 0: there is none, and *number is left alone. */
uint64_t deadlines_first(const struct deadlines *d, unsigned *number);

#endif
