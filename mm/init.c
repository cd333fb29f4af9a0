/*
 * Start of memory management, in the one order that works: host tables over a seed of memory, the frame
 * table, the allocator, the pool. Runs once on the boot core; stops the boot with a sentence where the
 * machine has too little memory.
 */
#include "boot/hooks.h"

#include "arch/x86_64/log.h"
#include "arch/x86_64/panic.h"
#include "arch/x86_64/string.h"
#include "mm/frame.h"
#include "mm/host_pt.h"
#include "mm/window.h"

#define SEED_ALIGN (1ull << 21)
#define SEED_LIMIT (1ull << 32) /* the first tables reach it without early_map's help */
#define GIB	   (1ull << 30)
#define ENTRY_SPAN                                                                                           \
	(PAGE_SIZE / sizeof(struct frame) * PAGE_SIZE) /* RAM that one page of the frame table describes */
#define TABLES_FIXED 64u /* image, windows, first stacks, roots of the regions */
#define TABLES_A_GIB 4u	 /* its frame table's entries, its directory in the pool's region */

static uint64_t gib_count(void)
{
	uint64_t n = 0;

	for (hpa_t at = 0; at < FRAME_HPA_LIMIT; at += GIB)
		n += frame_has_gib(at);
	return n;
}

static hpa_t end_of(const struct boot_range *r, hpa_t limit)
{
	return r->base + r->bytes < limit ? r->base + r->bytes : limit;
}

/* The highest aligned place in free RAM below 4 GiB. */
static struct frame_taken choose_seed(const struct boot_info *info, uint64_t bytes)
{
	for (uint32_t i = info->range_count; i-- > 0;) {
		const struct boot_range *r = &info->ranges[i];
		hpa_t end = ALIGN_DOWN(end_of(r, SEED_LIMIT), SEED_ALIGN);

		if (r->type == BOOT_RANGE_FREE && end >= bytes && end - bytes >= r->base)
			return (struct frame_taken){end - bytes, end};
	}
	boot_refuse("no %llu MiB of free memory in one piece below 4 GiB", (unsigned long long)(bytes >> 20));
}

/* The top of the largest free range, below the seed if that lies in it. */
static struct frame_taken choose_table(const struct boot_info *info, const struct frame_taken *seed,
				       uint64_t bytes)
{
	struct frame_taken best = {0, 0};

	for (uint32_t i = 0; i < info->range_count; i++) {
		const struct boot_range *r = &info->ranges[i];
		hpa_t end = end_of(r, FRAME_HPA_LIMIT);

		if (r->type != BOOT_RANGE_FREE)
			continue;
		if (seed->base >= r->base && seed->base < end)
			end = seed->base;
		if (end > r->base && end - r->base > best.end - best.base)
			best = (struct frame_taken){r->base, end};
	}
	if (best.end - best.base < bytes)
		boot_refuse("no %llu MiB of free memory in one piece for the frame table",
			    (unsigned long long)(bytes >> 20));
	best.base = best.end - bytes;
	return best;
}

static bool holds_ram(const struct boot_info *info, hpa_t base, uint64_t bytes)
{
	for (uint32_t i = 0; i < info->range_count; i++) {
		const struct boot_range *r = &info->ranges[i];

		if (frame_knows_range(r) && r->base < base + bytes && r->base + r->bytes > base)
			return true;
	}
	return false;
}

/* Calls for each page of the frame table that must be mapped: RAM whose entries it holds, and if there is
 * any. */
static void for_each_table_page(const struct boot_info *info,
				void (*visit)(hpa_t at, bool holds, hpa_t *cursor), hpa_t *cursor)
{
	for (hpa_t at = 0; at < FRAME_HPA_LIMIT; at += frame_has_gib(at) ? ENTRY_SPAN : GIB) {
		if (frame_has_gib(at))
			visit(at, holds_ram(info, at, ENTRY_SPAN), cursor);
	}
}

static void count_table_page(hpa_t at, bool holds, hpa_t *cursor)
{
	(void)at;
	*cursor += holds ? PAGE_SIZE : 0;
}

/* Pages without RAM are all one read-only page: buddies may be looked up anywhere in a GiB. */
static void map_table_page(hpa_t at, bool holds, hpa_t *cursor)
{
	static const uint8_t no_ram[PAGE_SIZE] __attribute__((aligned(PAGE_SIZE)));
	void *page = (struct frame *)FRAME_TABLE_BASE + (at >> PAGE_SHIFT);
	hpa_t hpa = holds ? *cursor : kernel_virt_to_hpa(no_ram);
	uint64_t flags = HOST_PT_NO_EXECUTE | (holds ? HOST_PT_WRITE : 0);

	if (host_pt_map_page((uint64_t)page, hpa, flags) != STATUS_OK)
		panic("no memory for the frame table's page tables");
	if (holds) {
		memset(page, 0, PAGE_SIZE);
		*cursor += PAGE_SIZE;
	}
}

/* The directories of the pool's region, so that the pool can grow anywhere by one entry. */
static void prepare_pool_region(void)
{
	for (hpa_t at = 0; at < FRAME_HPA_LIMIT; at += GIB) {
		if (frame_has_gib(at) && !host_pt_entry(POOL_BASE + at, 2))
			panic("no memory for the pool's page tables");
	}
}

void mm_init(const struct boot_info *info, const struct acpi_info *acpi)
{
	struct frame_taken taken[2]; /* seed, frame table */
	uint64_t table_bytes = 0;
	hpa_t cursor;

	(void)acpi;
	frame_note_ranges(info);
	taken[0] = choose_seed(info,
			       ALIGN_UP((TABLES_FIXED + TABLES_A_GIB * gib_count()) * PAGE_SIZE, SEED_ALIGN));
	for_each_table_page(info, count_table_page, &table_bytes);
	taken[1] = choose_table(info, &taken[0], table_bytes);

	host_pt_init(taken[0].base, taken[0].end - taken[0].base);
	prepare_pool_region();
	cursor = taken[1].base;
	for_each_table_page(info, map_table_page, &cursor);
	frame_init(info, taken, ARRAY_SIZE(taken));
	if (!window_init())
		panic("no memory for the windows' page tables");
	for (hpa_t at = host_pt_use_pool(); at < taken[0].end; at += PAGE_SIZE)
		frame_pool_donate(at, FRAME_ORDER_4K);
	log_info("memory: %llu MiB, %llu MiB free", (unsigned long long)(frame_total() * PAGE_SIZE >> 20),
		 (unsigned long long)(frame_count(FRAME_FREE) * PAGE_SIZE >> 20));
}
