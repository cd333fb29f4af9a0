/* See memory_map.h. */
#include "boot/memory_map.h"

#define HPA_LIMIT (1ull << 52)

/* A map under construction, appended to in address order. `count` may pass the array's end: the map did not
 * fit. */
struct builder {
	struct boot_range ranges[BOOT_RANGES_MAX];
	uint32_t count;
};

static struct builder work; /* too large for the stack; boot is single-threaded */

static void append(hpa_t base, hpa_t end, enum boot_range_type type)
{
	struct boot_range *last =
		work.count && work.count <= BOOT_RANGES_MAX ? &work.ranges[work.count - 1] : NULL;

	if (base >= end)
		return;
	if (last && last->type == type && last->base + last->bytes == base) {
		last->bytes += end - base;
		return;
	}
	if (work.count < BOOT_RANGES_MAX)
		work.ranges[work.count] = (struct boot_range){base, end - base, type};
	work.count++;
}

static hpa_t max_hpa(hpa_t a, hpa_t b)
{
	return a > b ? a : b;
}

static hpa_t min_hpa(hpa_t a, hpa_t b)
{
	return a < b ? a : b;
}

/* Appends `old` with the new range laid over it; *at, the new range's first byte not yet appended, moves past
 * both. */
static void append_overlaid(const struct boot_range *old, hpa_t *at, hpa_t end, enum boot_range_type type)
{
	hpa_t old_end = old->base + old->bytes;

	append(old->base, min_hpa(old_end, *at), old->type);
	append(*at, min_hpa(end, old->base), type);
	*at = max_hpa(*at, min_hpa(end, old->base));
	if (old_end > *at && old->base <= *at) {
		append(*at, min_hpa(end, old_end), type > old->type ? type : old->type);
		hpa_t rest = max_hpa(*at, min_hpa(end, old_end));

		append(rest, old_end, old->type);
		*at = rest;
	} else if (old->base > *at) {
		append(old->base, old_end, old->type);
	}
}

enum status memory_map_add(struct boot_info *info, hpa_t base, uint64_t bytes, enum boot_range_type type)
{
	hpa_t end = base + bytes;

	if (end < base || end > HPA_LIMIT)
		end = HPA_LIMIT;
	if (type == BOOT_RANGE_FREE) {
		base = ALIGN_UP(base, PAGE_SIZE);
		end = ALIGN_DOWN(end, PAGE_SIZE);
	} else {
		base = ALIGN_DOWN(base, PAGE_SIZE);
		end = ALIGN_UP(end, PAGE_SIZE);
	}
	if (!bytes || base >= end)
		return STATUS_OK;
	work.count = 0;
	for (uint32_t i = 0; i < info->range_count; i++)
		append_overlaid(&info->ranges[i], &base, end, type);
	append(base, end, type);
	if (work.count > BOOT_RANGES_MAX)
		return STATUS_NO_MEMORY;
	for (uint32_t i = 0; i < work.count; i++)
		info->ranges[i] = work.ranges[i];
	info->range_count = work.count;
	return STATUS_OK;
}

hpa_t memory_map_find_page(const struct boot_info *info, hpa_t first, hpa_t limit)
{
	for (uint32_t i = info->range_count; i-- > 0;) {
		const struct boot_range *r = &info->ranges[i];
		hpa_t end = min_hpa(r->base + r->bytes, limit);

		if (r->type == BOOT_RANGE_FREE && end >= PAGE_SIZE &&
		    end - PAGE_SIZE >= max_hpa(r->base, first))
			return end - PAGE_SIZE;
	}
	return HPA_INVALID;
}
