/*
 * Start of memory management, in the one order that works: host tables over a seed of memory, the frame
 * table, the allocator, the pool. Runs once on the boot core; stops the boot with a sentence where the
 * machine has too little memory.
 */
#include "boot/hooks.h"
#include "boot/memory_map.h"

#include "arch/x86_64/log.h"
#include "arch/x86_64/string.h"
#include "mm/frame.h"
#include "mm/host_pt.h"
#include "mm/pool.h"
#include "mm/window.h"

#define GIB          (1ull << 30)
#define SEED_LIMIT   (4 * GIB)                                /* the first tables map the pool up to there: entry.asm */
#define TABLE_A_GIB  (GIB / PAGE_SIZE * sizeof(struct frame)) /* frame table: whole blocks */
#define TABLES_FIXED 64u                                      /* page tables: image, windows, first stacks, roots of the regions */
#define TABLES_A_GIB 2u                                       /* its frame table's directory, its own in the pool's region */

_Static_assert(TABLE_A_GIB % LARGE_PAGE_SIZE == 0, "mapped in blocks");

/*
 * Maps and empties the frame table, from `table` on, for each GiB with RAM, whole: buddies are looked up anywhere in a GiB. Makes
 * the pool's directories there, so that it can grow by one entry.
 */
static void map_regions(hpa_t table)
{
	for (hpa_t at = 0; at < FRAME_HPA_LIMIT; at += GIB) {
		if (!frame_has_gib(at))
			continue;
		uint64_t *directory = host_pt_entry(POOL_BASE + at, 2);
		uint64_t entries = (uint64_t)frame_entry(at);

		assert(directory); /* mm_init has counted them */
		for (uint64_t i = 0; i < TABLE_A_GIB; i += LARGE_PAGE_SIZE)
			host_pt_map_block(entries + i, table + i);
		table += TABLE_A_GIB;
		memset((void *)entries, 0, TABLE_A_GIB);
	}
}

/* Takes a piece of free memory below `limit` for the kernel. */
static hpa_t take(struct boot_info *info, uint64_t bytes, hpa_t limit)
{
	hpa_t hpa = memory_map_find(info, bytes, LARGE_PAGE_SIZE, limit);

	if (hpa == HPA_INVALID || memory_map_add(info, hpa, bytes, BOOT_RANGE_KERNEL) != STATUS_OK)
		boot_refuse("no %lu MiB of free memory in one piece", (unsigned long)(bytes >> 20));
	return hpa;
}

void mm_init(struct boot_info *info)
{
	uint64_t gibs = frame_note_ranges(info);
	uint64_t bytes = ALIGN_UP((TABLES_FIXED + gibs * TABLES_A_GIB) * PAGE_SIZE, LARGE_PAGE_SIZE);
	hpa_t seed = take(info, bytes, SEED_LIMIT), table = take(info, gibs * TABLE_A_GIB, FRAME_HPA_LIMIT);

	pool_start(seed, seed + bytes);
	host_pt_init(seed, seed + bytes);
	map_regions(table);
	frame_init(info);
	if (!window_init())
		panic("no memory for the windows' page tables");
	pool_open();
	log_info("memory: %lu MiB, %lu MiB free", frame_total >> (20 - PAGE_SHIFT), frame_count(FRAME_FREE) >> (20 - PAGE_SHIFT));
}
