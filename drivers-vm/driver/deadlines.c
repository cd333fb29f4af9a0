/* See deadlines.h. */
#include "drivers-vm/driver/deadlines.h"

static void put(struct deadlines *d, unsigned at, unsigned number)
{
	d->heap[at] = (uint16_t)number;
	d->place[number] = (uint16_t)(at + 1);
}

/* Moves `number`, whose place is free, from there towards the root as far as its deadline goes; returns where the free place is now. */
static unsigned sift_up(struct deadlines *d, unsigned at, unsigned number)
{
	while (at != 0 && d->key[d->heap[(at - 1) / 2]] > d->key[number]) {
		put(d, at, d->heap[(at - 1) / 2]);
		at = (at - 1) / 2;
	}
	return at;
}

/* Likewise towards the leaves. */
static unsigned sift_down(struct deadlines *d, unsigned at, unsigned number)
{
	for (unsigned child; (child = 2 * at + 1) < d->count; at = child) {
		if (child + 1 < d->count && d->key[d->heap[child + 1]] < d->key[d->heap[child]])
			child++;
		if (d->key[d->heap[child]] >= d->key[number])
			break;
		put(d, at, d->heap[child]);
	}
	return at;
}

static void settle(struct deadlines *d, unsigned at, unsigned number)
{
	put(d, sift_down(d, sift_up(d, at, number), number), number);
}

void deadlines_set(struct deadlines *d, unsigned number, uint64_t deadline)
{
	unsigned place = d->place[number];

	d->key[number] = deadline;
	if (deadline != 0) {
		settle(d, place != 0 ? place - 1 : d->count++, number);
		return;
	}
	if (place == 0)
		return;
	d->place[number] = 0;
	unsigned last = d->heap[--d->count];
	if (last != number)
		settle(d, place - 1, last);
}

uint64_t deadlines_first(const struct deadlines *d, unsigned *number)
{
	if (d->count == 0)
		return 0;
	*number = d->heap[0];
	return d->key[*number];
}
