/* Copy-on-write range maps. Never touches a published copy. */
#include "kernel/range.h"
#include "arch/x86_64/string.h"
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

enum status range_copy_insert(const struct range_map *map, const struct range *added, struct range_map **out)
{
	uint32_t count = map != NULL ? map->count : 0;
	uint32_t at = 0;

	if (added->first > added->last)
		return STATUS_INVALID;
	while (at < count && map->range[at].last < added->first)
		at++;
	if (at < count && map->range[at].first <= added->last)
		return STATUS_EXISTS;
	struct range_map *copy = range_map_alloc(count + 1);
	if (copy == NULL)
		return STATUS_NO_MEMORY;
	if (count != 0) {
		memcpy(copy->range, map->range, at * sizeof(struct range));
		memcpy(copy->range + at + 1, map->range + at, (count - at) * sizeof(struct range));
	}
	copy->range[at] = *added;
	*out = copy;
	return STATUS_OK;
}

enum status range_copy_remove(const struct range_map *map, uint64_t first, struct range *removed, struct range_map **out)
{
	uint32_t count = map != NULL ? map->count : 0;
	uint32_t at = 0;

	while (at < count && map->range[at].first != first)
		at++;
	if (at == count)
		return STATUS_NOT_FOUND;
	struct range_map *copy = range_map_alloc(count - 1);
	if (copy == NULL)
		return STATUS_NO_MEMORY;
	memcpy(copy->range, map->range, at * sizeof(struct range));
	memcpy(copy->range + at, map->range + at + 1, (count - 1 - at) * sizeof(struct range));
	*removed = map->range[at];
	*out = copy;
	return STATUS_OK;
}

void range_map_free(struct range_map *map)
{
	if (map != NULL)
		pool_free_pages(map, map->order);
}
