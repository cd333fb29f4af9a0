/* Copy-on-write range maps. A published copy changes by marks only. */
#include "kernel/range.h"
#include "kernel/object.h"
#include "mm/pool.h"

static struct range_map *range_map_alloc(uint32_t count)
{
	uint64_t bytes = sizeof(struct range_map) + (uint64_t)count * sizeof(struct range);
	uint32_t order = 0;

	while ((PAGE_SIZE << order) < bytes)
		order++;
	if (order > RANGE_MAP_ORDER_MAX)
		return NULL;
	struct range_map *map = pool_alloc_pages(order);
	if (map != NULL) {
		map->count = count;
		map->order = order;
	}
	return map;
}

#define EACH_VISIBLE(map, r) \
	for (struct range *r = (map) != NULL ? (map)->range : NULL; r != NULL && r < (map)->range + (map)->count; r++) \
		if (!((r)->aux & RANGE_HIDDEN))

enum status range_insert(struct range_map **place, const struct range *added, struct cpu *self, struct range **out)
{
	struct range_map *old = *place;
	uint32_t count = 1;

	if (added->first > added->last)
		return STATUS_INVALID;
	EACH_VISIBLE(old, r)
	{
		if (r->first <= added->last && added->first <= r->last)
			return STATUS_EXISTS;
		count++;
	}
	struct range_map *map = range_map_alloc(count);
	if (map == NULL)
		return STATUS_NO_MEMORY;
	struct range *to = map->range;
	EACH_VISIBLE(old, r)
	*to++ = *r;
	for (; to > map->range && to[-1].first > added->first; to--)
		*to = to[-1];
	*to = *added;
	*out = to;
	__atomic_store_n(place, map, __ATOMIC_RELEASE);
	if (old != NULL) {
		object_quiesce(self);
		pool_free_pages(old, old->order);
	}
	return STATUS_OK;
}

void range_show(struct range *range)
{
	object_ref(range->target);
	__atomic_and_fetch(&range->aux, ~RANGE_HIDDEN, __ATOMIC_RELEASE);
}

void range_remove(struct range *range, struct cpu *self)
{
	__atomic_or_fetch(&range->aux, RANGE_HIDDEN, __ATOMIC_RELEASE);
	object_quiesce(self);
}

void range_clear(struct range_map **place)
{
	struct range_map *map = *place;

	EACH_VISIBLE(map, r)
	object_unref(r->target);
	*place = NULL;
	if (map != NULL)
		pool_free_pages(map, map->order);
}
