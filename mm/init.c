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

#define BLOCK_BYTES (1ull << 21)
#define GIB	    (1ull << 30)
#define ENTRY_SPAN                                                                                           \
	(PAGE_SIZE / sizeof(struct frame) * PAGE_SIZE) /* RAM that one page of the table describes */
#define TABLES_FIXED 64u /* image, windows, first stacks, roots of the regions */
#define TABLES_A_GIB 4u	 /* its frame table's entries, its directory in the pool's region */

static bool holds_ram(const struct boot_info *info, hpa_t base, uint64_t bytes)
{
	for (uint32_t i = 0; i < info->range_count; i++) {
		const struct boot_range *r = &info->ranges[i];

		if (frame_knows_range(r) && r->base < base + bytes && r->base + r->bytes > base)
			return true;
	}
	return false;
}

/* What the first host tables and the frame table take, in whole blocks. */
static uint64_t seed_bytes(const struct boot_info *info)
{
	uint64_t pages = TABLES_FIXED;

	for (hpa_t at = 0; at < FRAME_HPA_LIMIT; at += frame_has_gib(at) ? ENTRY_SPAN : GIB) {
		if (frame_has_gib(at))
			pages += (at % GIB == 0) * TABLES_A_GIB + holds_ram(info, at, ENTRY_SPAN);
	}
	return ALIGN_UP(pages * PAGE_SIZE, BLOCK_BYTES);
}

/* The highest place in free RAM for it. */
static hpa_t choose_seed(const struct boot_info *info, uint64_t bytes)
{
	for (uint32_t i = info->range_count; i-- > 0;) {
		const struct boot_range *r = &info->ranges[i];
		hpa_t end = r->base + r->bytes;

		end = ALIGN_DOWN(end < FRAME_HPA_LIMIT ? end : FRAME_HPA_LIMIT, BLOCK_BYTES);
		if (r->type == BOOT_RANGE_FREE && end >= bytes && end - bytes >= r->base)
			return end - bytes;
	}
	boot_refuse("no %llu MiB of free memory in one piece", (unsigned long long)(bytes >> 20));
}

/* Maps the table for every GiB with RAM, and makes the pool's directories there, so that it can grow by one
 * entry. Where there is no RAM the table is one page of zeroes: buddies are looked up anywhere in a GiB. */
static void map_regions(const struct boot_info *info)
{
	static const uint8_t no_ram[PAGE_SIZE] __attribute__((aligned(PAGE_SIZE)));
	enum status status;

	for (hpa_t at = 0; at < FRAME_HPA_LIMIT; at += frame_has_gib(at) ? ENTRY_SPAN : GIB) {
		if (!frame_has_gib(at))
			continue;
		uint64_t *directory = at % GIB ? NULL : host_pt_entry(POOL_BASE + at, 2);

		assert(at % GIB || directory);
		uint64_t page = FRAME_TABLE_BASE + (at >> PAGE_SHIFT) * sizeof(struct frame);

		if (holds_ram(info, at, ENTRY_SPAN))
			status = host_pt_map_page(page, host_pt_alloc_page(),
						  HOST_PT_WRITE | HOST_PT_NO_EXECUTE);
		else
			status = host_pt_map_page(page, kernel_virt_to_hpa(no_ram), HOST_PT_NO_EXECUTE);
		assert(status == STATUS_OK); /* seed_bytes has counted them */
	}
}

void mm_init(const struct boot_info *info)
{
	frame_note_ranges(info);
	uint64_t bytes = seed_bytes(info);
	hpa_t seed = choose_seed(info, bytes);

	host_pt_init(seed, bytes);
	map_regions(info);
	frame_init(info, seed, seed + bytes);
	if (!window_init())
		panic("no memory for the windows' page tables");
	for (hpa_t at = host_pt_use_pool(); at < seed + bytes; at += PAGE_SIZE)
		frame_pool_donate(at, FRAME_ORDER_4K);
	log_info("memory: %llu MiB, %llu MiB free", (unsigned long long)(frame_total() * PAGE_SIZE >> 20),
		 (unsigned long long)(frame_count(FRAME_FREE) * PAGE_SIZE >> 20));
}
