/* See memory_map.h. */
#include "boot/memory_map.h"
#include "arch/x86_64/features.h"
#include "arch/x86_64/string.h"

static hpa_t min_hpa(hpa_t a, hpa_t b)
{
	return a < b ? a : b;
}

/* The greatest type that the map and `added` give to `at`, and where that may change next. */
static enum boot_range_type type_at(const struct boot_info *info, const struct boot_range *added, hpa_t at, hpa_t *next)
{
	enum boot_range_type type = BOOT_RANGE_NONE;

	*next = HPA_LIMIT;
	for (uint32_t i = 0; i <= info->range_count; i++) {
		const struct boot_range *r = i < info->range_count ? &info->ranges[i] : added;
		hpa_t end = r->base + r->bytes;

		if (r->base > at) {
			*next = min_hpa(*next, r->base);
		} else if (end > at) {
			*next = min_hpa(*next, end);
			type = r->type > type ? r->type : type;
		}
	}
	return type;
}

enum status memory_map_add(struct boot_info *info, hpa_t base, uint64_t bytes, enum boot_range_type type)
{
	static struct boot_range map[BOOT_RANGES_MAX]; /* too large for the stack; boot is single-threaded */
	hpa_t end = base + bytes < base ? HPA_LIMIT : min_hpa(base + bytes, HPA_LIMIT);
	uint32_t count = 0;

	if (type == BOOT_RANGE_FREE) {
		base = ALIGN_UP(base, PAGE_SIZE);
		end = ALIGN_DOWN(end, PAGE_SIZE);
	} else {
		base = ALIGN_DOWN(base, PAGE_SIZE);
		end = ALIGN_UP(end, PAGE_SIZE);
	}
	if (!bytes || base >= end)
		return STATUS_OK;
	const struct boot_range added = { base, end - base, type };

	for (hpa_t at = 0, next; at < HPA_LIMIT; at = next) {
		struct boot_range *last = count ? &map[count - 1] : NULL;

		type = type_at(info, &added, at, &next);
		if (type == BOOT_RANGE_NONE)
			continue;
		if (last && last->type == type && last->base + last->bytes == at)
			last->bytes += next - at;
		else if (count == BOOT_RANGES_MAX)
			return STATUS_NO_MEMORY;
		else
			map[count++] = (struct boot_range){ at, next - at, type };
	}
	memcpy(info->ranges, map, sizeof(map));
	info->range_count = count;
	return STATUS_OK;
}

hpa_t memory_map_find(const struct boot_info *info, uint64_t bytes, uint64_t align, hpa_t limit)
{
	for (uint32_t i = info->range_count; i-- > 0;) {
		const struct boot_range *r = &info->ranges[i];
		hpa_t end = ALIGN_DOWN(min_hpa(r->base + r->bytes, limit), align);

		if (r->type == BOOT_RANGE_FREE && end >= bytes && end - bytes >= r->base)
			return end - bytes;
	}
	return HPA_INVALID;
}
