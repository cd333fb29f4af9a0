/*
 * Start of memory management, in the one order that works: host tables over a seed of memory, the frame
 * table, the allocator, the pool. Runs once on the boot core; stops the boot with a sentence where the
 * machine has too little memory.
 */
#include "boot/hooks.h"
#include "boot/memory_map.h"

#include "arch/x86_64/log.h"
#include "arch/x86_64/panic.h"
#include "arch/x86_64/string.h"
#include "mm/frame.h"
#include "mm/host_pt.h"
#include "mm/window.h"

#define BLOCK_BYTES (1ull << 21)
#define GIB	    (1ull << 30)
#define TABLE_A_GIB  (GIB / PAGE_SIZE * sizeof(struct frame)) /* frame table: whole blocks */
#define TABLES_FIXED 64u /* page tables: image, windows, first stacks, roots of the regions */
#define TABLES_A_GIB 2u	 /* its frame table's directory, its own in the pool's region */

static_assert(TABLE_A_GIB % BLOCK_BYTES == 0, "mapped in blocks");

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
		for (uint64_t i = 0; i < TABLE_A_GIB; i += BLOCK_BYTES)
			host_pt_map_block(entries + i, table + i);
		table += TABLE_A_GIB;
		memset((void *)entries, 0, TABLE_A_GIB);
	}
}

void mm_init(const struct boot_info *info)
{
	uint64_t gibs = frame_note_ranges(info);
	uint64_t tables = ALIGN_UP((TABLES_FIXED + gibs * TABLES_A_GIB) * PAGE_SIZE, BLOCK_BYTES);
	uint64_t bytes = tables + gibs * TABLE_A_GIB;
	hpa_t seed = memory_map_find(info, bytes, BLOCK_BYTES, FRAME_HPA_LIMIT);

	if (seed == HPA_INVALID)
		boot_refuse("no %lu MiB of free memory in one piece", (unsigned long)(bytes >> 20));
	host_pt_init(seed, bytes);
	map_regions(seed + tables);
	frame_init(info, seed, seed + bytes);
	if (!window_init())
		panic("no memory for the windows' page tables");
	hpa_t rest = host_pt_use_pool();

	assert(rest <= seed + tables);
	for (hpa_t at = rest; at < seed + tables; at += PAGE_SIZE)
		frame_pool_donate(at, FRAME_ORDER_4K);
	log_info("memory: %lu MiB, %lu MiB free", frame_total() >> (20 - PAGE_SHIFT),
		 frame_count(FRAME_FREE) >> (20 - PAGE_SHIFT));
}
