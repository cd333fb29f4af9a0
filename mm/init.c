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
	(PAGE_SIZE / sizeof(struct frame) * PAGE_SIZE) /* RAM that one page of the table describes */
#define TABLES_FIXED 64u /* image, windows, first stacks, roots of the regions */
#define TABLES_A_GIB 4u	 /* its frame table's entries, its directory in the pool's region */

static hpa_t end_of(const struct boot_range *r, hpa_t limit)
{
	return r->base + r->bytes < limit ? r->base + r->bytes : limit;
}

/* The highest aligned place in free RAM below 4 GiB for the first host tables. */
static struct frame_taken choose_seed(const struct boot_info *info)
{
	uint64_t bytes = TABLES_FIXED * PAGE_SIZE;

	for (hpa_t at = 0; at < FRAME_HPA_LIMIT; at += GIB)
		bytes += frame_has_gib(at) * TABLES_A_GIB * PAGE_SIZE;
	bytes = ALIGN_UP(bytes, SEED_ALIGN);
	for (uint32_t i = info->range_count; i-- > 0;) {
		const struct boot_range *r = &info->ranges[i];
		hpa_t end = ALIGN_DOWN(end_of(r, SEED_LIMIT), SEED_ALIGN);

		if (r->type == BOOT_RANGE_FREE && end >= bytes && end - bytes >= r->base)
			return (struct frame_taken){end - bytes, end};
	}
	boot_refuse("no %llu MiB of free memory in one piece below 4 GiB", (unsigned long long)(bytes >> 20));
}

/* Room for the frame table, and at most two pages a range more: the largest free range, below the seed if
 * that lies in it. */
static struct frame_taken choose_table(const struct boot_info *info, const struct frame_taken *seed)
{
	struct frame_taken best = {0, 0};
	uint64_t bytes = 0;

	for (uint32_t i = 0; i < info->range_count; i++) {
		const struct boot_range *r = &info->ranges[i];
		hpa_t end = end_of(r, FRAME_HPA_LIMIT);

		if (frame_knows_range(r))
			bytes += ((end - r->base) / ENTRY_SPAN + 2) * PAGE_SIZE;
		if (seed->base >= r->base && seed->base < end)
			end = seed->base;
		if (r->type == BOOT_RANGE_FREE && end > r->base && end - r->base > best.end - best.base)
			best = (struct frame_taken){r->base, end};
	}
	if (best.end - best.base < bytes)
		boot_refuse("no %llu KiB of free memory in one piece for the frame table",
			    (unsigned long long)(bytes >> 10));
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

/* Maps the table's page for RAM at `at` to hpa, zeroed; to the one page of zeroes if hpa is 0: buddies are
 * looked up anywhere in a GiB. */
static void map_table_page(hpa_t at, hpa_t hpa)
{
	static const uint8_t no_ram[PAGE_SIZE] __attribute__((aligned(PAGE_SIZE)));
	void *page = (struct frame *)FRAME_TABLE_BASE + (at >> PAGE_SHIFT);
	enum status status = host_pt_map_page((uint64_t)page, hpa ? hpa : kernel_virt_to_hpa(no_ram),
					      HOST_PT_NO_EXECUTE | (hpa ? HOST_PT_WRITE : 0));

	if (status != STATUS_OK)
		panic("no memory for the frame table's page tables");
	if (hpa)
		memset(page, 0, PAGE_SIZE);
}

/* Maps the table for every GiB with RAM, and makes the pool's directories there, so that it can grow by one
 * entry. */
static void map_regions(const struct boot_info *info, struct frame_taken *table)
{
	hpa_t next = table->base;

	for (hpa_t at = 0; at < FRAME_HPA_LIMIT; at += frame_has_gib(at) ? ENTRY_SPAN : GIB) {
		if (!frame_has_gib(at))
			continue;
		if (at % GIB == 0 && !host_pt_entry(POOL_BASE + at, 2))
			panic("no memory for the pool's page tables");
		if (holds_ram(info, at, ENTRY_SPAN)) {
			map_table_page(at, next);
			next += PAGE_SIZE;
		} else {
			map_table_page(at, 0);
		}
	}
	table->end = next;
}

void mm_init(const struct boot_info *info, const struct acpi_info *acpi)
{
	struct frame_taken taken[2]; /* seed, frame table */

	(void)acpi;
	frame_note_ranges(info);
	taken[0] = choose_seed(info);
	taken[1] = choose_table(info, &taken[0]);
	host_pt_init(taken[0].base, taken[0].end - taken[0].base);
	map_regions(info, &taken[1]);
	frame_init(info, taken, ARRAY_SIZE(taken));
	if (!window_init())
		panic("no memory for the windows' page tables");
	for (hpa_t at = host_pt_use_pool(); at < taken[0].end; at += PAGE_SIZE)
		frame_pool_donate(at, FRAME_ORDER_4K);
	log_info("memory: %llu MiB, %llu MiB free", (unsigned long long)(frame_total() * PAGE_SIZE >> 20),
		 (unsigned long long)(frame_count(FRAME_FREE) * PAGE_SIZE >> 20));
}
