/*
 * Sorted maps of disjoint ranges: memory regions and doorbells. Readers on any core search without a lock. Writers hold the object
 * lock: an insertion makes a new copy, publishes it, waits for a grace period and frees the old one. A range may be hidden: it is
 * then found by nobody, in nobody's way, and left out of the next copy; so a removal cannot fail.
 */
#ifndef KERNEL_RANGE_H
#define KERNEL_RANGE_H

#include "arch/x86_64/status.h"
#include "arch/x86_64/types.h"

struct object;
struct cpu;

struct range {
	uint64_t first;
	uint64_t last;         /* inclusive */
	struct object *target; /* referenced while it is not hidden */
	uint64_t aux;          /* what the owner wants, but for RANGE_HIDDEN */
};
#define RANGE_HIDDEN (1ull << 11)

struct range_map {
	uint32_t count;
	uint32_t order; /* pool pages of this copy: 1 << order */
	uint64_t reserved;
	struct range range[];
};

#define RANGE_MAP_ORDER_MAX 5u

/* The range that holds `key`, or NULL. `map` may be NULL (empty). */
/*@ requires map != \null ==> \valid_read(&map->count) && \valid_read(map->range + (0 .. map->count - 1)) && map->count <= INT32_MAX;
  @ assigns \nothing;
  @ ensures \result != \null ==> map != \null && \exists integer i; 0 <= i < map->count && \result == map->range + i;
  @ ensures \result != \null ==> \result->first <= key <= \result->last;
  @*/
static inline struct range *range_find(struct range_map *map, uint64_t key)
{
	if (map == NULL)
		return NULL;
	uint32_t low = 0, high = map->count;
	/*@ loop invariant 0 <= low <= high <= map->count;
	  @ loop assigns low, high;
	  @ loop variant high - low;
	  @*/
	while (low < high) {
		uint32_t middle = (low + high) / 2;
		struct range *r = &map->range[middle];
		if (key > r->last)
			low = middle + 1;
		else if (key < r->first)
			high = middle;
		else
			return __atomic_load_n(&r->aux, __ATOMIC_ACQUIRE) & RANGE_HIDDEN ? NULL : r;
	}
	return NULL;
}

/*
 * Insert `added`, which may be hidden at first; *out is its place until the next insertion. Errors: STATUS_INVALID (first > last),
 * STATUS_EXISTS (overlaps), STATUS_NO_MEMORY (pool, or more than RANGE_MAP_ORDER_MAX pages).
 */
must_check enum status range_insert(struct range_map **map, const struct range *added, struct cpu *self, struct range **out);

/* Let everybody find a range that was inserted hidden, with a reference to its target. */
void range_show(struct range *range);

/* Hide a range that range_find has given. No core has it in hand when this returns; the reference is the caller's. */
void range_remove(struct range *range, struct cpu *self);

/* Forget all ranges with their references. Nobody reads the map any more. */
void range_clear(struct range_map **map);

#endif
