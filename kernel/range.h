/*
 * Sorted maps of disjoint ranges: memory regions, trapped ports, trapped MMIO. Readers on any core search without a lock; a writer
 * (under the object lock) builds a new copy, publishes it, waits for a grace period and frees the old one.
 */
#ifndef KERNEL_RANGE_H
#define KERNEL_RANGE_H

#include "arch/x86_64/status.h"
#include "arch/x86_64/types.h"

struct object;

struct range {
	uint64_t first;
	uint64_t last; /* inclusive */
	struct object *target; /* referenced, or NULL */
	uint64_t aux;
};

struct range_map {
	uint32_t count;
	uint32_t order; /* pool pages of this copy: 1 << order */
	uint64_t reserved;
	struct range range[];
};

#define RANGE_MAP_ORDER_MAX 3u

/* The range that holds `key`, or NULL. `map` may be NULL (empty). */
static inline const struct range *range_find(const struct range_map *map, uint64_t key)
{
	if (map == NULL)
		return NULL;
	uint32_t low = 0, high = map->count;
	while (low < high) {
		uint32_t middle = (low + high) / 2;
		const struct range *r = &map->range[middle];
		if (key > r->last)
			low = middle + 1;
		else if (key < r->first)
			high = middle;
		else
			return r;
	}
	return NULL;
}

/*
 * Make a copy of `map` with `added` in it. Errors: STATUS_INVALID (first > last), STATUS_EXISTS (overlaps), STATUS_NO_MEMORY
 * (pool, or more than RANGE_MAP_ORDER_MAX pages).
 */
must_check enum status range_copy_insert(const struct range_map *map, const struct range *added, struct range_map **out);

/*
 * Make a copy of `map` without the range that starts at `first`, which is handed back in `removed`. Error: STATUS_NOT_FOUND,
 * STATUS_NO_MEMORY.
 */
must_check enum status range_copy_remove(const struct range_map *map, uint64_t first, struct range *removed, struct range_map **out);

/* Free a copy that no core reads any more; NULL is allowed. */
void range_map_free(struct range_map *map);

#endif
