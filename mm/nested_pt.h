/*
 * Nested page tables: guest-physical to host-physical, 4 levels, one format for the machine that the vendor's
 * backend describes.
 *
 *   level 4 (512 GiB an entry) -> level 3 (1 GiB) -> level 2 (2 MiB) -> level 1 (4 KiB);  leaves at 1, 2 and,
 * where offered, 3.
 *
 * An entry is empty (all zero), a table (full rights, bit 7 clear) or a leaf. Hardware walks while we write:
 * each entry changes by one 64-bit store, a table is complete before it is linked, and a table that was
 * linked is not reused before its owner has flushed every TLB (struct nested_pt_garbage).
 *
 * Concurrency: map, unmap and destroy of one nested_pt exclude each other by a lock of the caller.
 * nested_pt_install and nested_pt_lookup may run beside map, and beside each other, on any core; beside unmap
 * only for addresses outside its range: a caller that populates must exclude the unmapping of the same
 * mapping (it could install a page after unmap has passed). Entries change by compare-and-swap where two
 * cores can meet; the loser's table is freed. A lookup reads tables that an unmap may just have taken out:
 * the shoot-down before nested_pt_garbage_free must wait until every core that looks up in this tree has
 * passed a point outside any lookup, not only until it has left the guest.
 *
 * Memory objects (mm/memory.h) are such trees too, which no hardware walks: offset to host-physical. So are the IOMMU's domains
 * (mm/iommu.h) and the host's own tables (mm/host_pt.h), each in a format of its own.
 */
#ifndef MM_NESTED_PT_H
#define MM_NESTED_PT_H

#include "arch/x86_64/layout.h"
#include "arch/x86_64/status.h"

#include <hilum/abi.h>

#define NESTED_PT_GPA_LIMIT (1ull << 48)

/* Bits that both vendors' formats share. APM vol. 2, 15.25 "Nested Paging"; SDM vol. 3C, 29.3 "The Extended
 * Page Table Mechanism". */
#define NESTED_PT_PRESENT 0x1ull  /* P; EPT: read access, which no leaf of ours is without */
#define NESTED_PT_LARGE   0x80ull /* leaf at level 2 or 3 */
#define NESTED_PT_ADDRESS 0x000FFFFFFFFFF000ull

#define NESTED_PT_UNCACHED 8u /* beside the rights: device registers */

/* Entry values of one vendor. Rights index: HILUM_MAP_* bits; every index with READ must be filled. */
struct nested_pt_format {
	uint64_t table;    /* bits of an entry that names a table, within bits 11:0, bit 7 clear, bit 0 set */
	uint64_t leaf[8];  /* bits of a 4 KiB leaf with these rights, bit 7 clear; LARGE is added at levels 2
			     and 3 */
	uint64_t flip;     /* bits that grant by being 0 (NX) */
	uint64_t uncached; /* bits in which a leaf for device registers differs from one for RAM */
	uint64_t level;    /* times (its level - 1), added to an entry that names a table; 0: no such field */
	/* The rest is for formats that are passed to nested_pt_init_as; nested_pt_set_format sets it itself. */
	uint64_t need[8];        /* a leaf grants these rights if all of these bits are 1 in (entry ^ flip) */
	unsigned levels;         /* 4, or 3: the root covers 512 GiB */
	unsigned max_leaf_level; /* 1, 2 or 3 */
	bool flush;              /* the hardware walks RAM, past the caches */
};
extern struct nested_pt_format nested_pt_format; /* read-only after nested_pt_set_format */

struct nested_pt {
	const struct nested_pt_format *format;
	hpa_t root; /* level-4 table, a pool page */
	/* From 1, rises after each change that makes TLB entries stale; the flush code compares it (acquire).
	 */
	uint64_t generation;
	uint32_t table_pages; /* pages of the pool in use, the root included */
};

/*
 * Tables taken out of a tree but perhaps still known to a TLB. Zero-initialise; pass to any number of unmaps
 * of one tree; after the shoot-down hand it to nested_pt_garbage_free.
 */
struct nested_pt_garbage {
	uint32_t first; /* frame number of the first table, linked through the frame table; 0: none */
};

/* Chooses the format for the machine, once at boot; max_leaf_level: 2, or 3 where 1 GiB pages exist. Copies
 * *format. */
void nested_pt_set_format(const struct nested_pt_format *format, unsigned max_leaf_level);

/*
 * Makes an empty tree in a format that lives as long as it does: nested_pt_format, or one of an IOMMU or the host, which nested_pt_lookup
 * cannot read. STATUS_NO_MEMORY: no pool page.
 */
must_check enum status nested_pt_init(struct nested_pt *npt, const struct nested_pt_format *format);

/*
 * Frees all tables, and hands every leaf to `leaf` (may be NULL): its address and the order of its frames. No
 * CPU may use the tree any more, TLBs included.
 */
void nested_pt_destroy(struct nested_pt *npt, void (*leaf)(hpa_t hpa, unsigned order));

/*
 * Maps [gpa, gpa + bytes) to [hpa, ...) with `rights` (HILUM_MAP_*, READ at least; NESTED_PT_UNCACHED), by the largest pages that
 * alignment, the format and what is there allow. All multiples of 4 KiB, end <= NESTED_PT_GPA_LIMIT; trusted.
 * Needs no shoot-down. STATUS_EXISTS (some page of it is mapped), STATUS_NO_MEMORY (tables): a part may be
 * mapped then, and the caller unmaps the range.
 */
must_check enum status nested_pt_map(struct nested_pt *npt, gpa_t gpa, hpa_t hpa, uint64_t bytes, unsigned rights);

/*
 * The place of gpa's entry at `level`, in tables that are made where they are missing. STATUS_EXISTS: a larger leaf is in the
 * way; STATUS_NO_MEMORY: a table's page.
 */
must_check enum status nested_pt_entry(struct nested_pt *npt, gpa_t gpa, unsigned level, uint64_t **out);

/*
 * Maps one page of 2^order frames (order 0, 9, 18) at gpa, both aligned to it. The arguments are trusted.
 * STATUS_EXISTS: something is there: a leaf (another core was faster), or for order > 0 a table.
 * STATUS_NO_MEMORY: a table's page.
 */
must_check enum status nested_pt_install(struct nested_pt *npt, gpa_t gpa, hpa_t hpa, unsigned order, unsigned rights);

/*
 * Removes whatever is mapped in [gpa, gpa + bytes), into which no leaf may reach from outside. The arguments
 * are trusted. Tables that served nothing but the range go to *garbage. Afterwards the generation is higher,
 * and the caller flushes all TLBs before it frees garbage or frames.
 */
void nested_pt_unmap(struct nested_pt *npt, gpa_t gpa, uint64_t bytes, struct nested_pt_garbage *garbage);

/* Frees the tables in *garbage, and empties it. Only after the shoot-down. */
void nested_pt_garbage_free(struct nested_pt *npt, struct nested_pt_garbage *garbage);

/* ---- The fast path ---- */

/*
 * One entry as it is at this moment, with PRESENT inverted: a table then has neither bit of NESTED_PT_STOP.
 * One aligned load, left plain so that the compiler may fold the address; nothing here reads an entry twice.
 */
static inline uint64_t nested_pt_step(uint64_t table, gpa_t gpa, unsigned shift)
{
	uint64_t at = POOL_BASE + (table & ~PAGE_MASK) + (gpa >> (shift - 3) & 511u * 8);

	return *(const uint64_t *)at ^ NESTED_PT_PRESENT;
}
#define NESTED_PT_STOP (NESTED_PT_PRESENT | NESTED_PT_LARGE)

/* The end of a lookup: `entry` as from nested_pt_step, of a page of `bytes` (a constant at each place of
use). */
/*@ requires bytes >= 1 && \valid(hpa) && \valid(page_bytes) && \separated(hpa, page_bytes, &nested_pt_format);
  @ assigns *hpa, *page_bytes;
  @ ensures \result ==> *page_bytes == bytes;
  @ ensures !\result ==> *hpa == \old(*hpa) && *page_bytes == \old(*page_bytes);
  @*/
static inline bool nested_pt_finish(uint64_t entry, gpa_t gpa, uint64_t bytes, unsigned rights, hpa_t *hpa, uint64_t *page_bytes)
{
	uint64_t need = nested_pt_format.need[rights & 7];

	if (unlikely(((entry ^ nested_pt_format.flip) & need) != need))
		return false;
	*hpa = ((entry ^ gpa) & NESTED_PT_ADDRESS & ~(bytes - 1)) ^ gpa;
	*page_bytes = bytes;
	return true;
}

/*
 * Translates gpa. True: a page is mapped there with all of `rights`; *hpa is the address of the very byte,
 * *page_bytes the size of the leaf (4 KiB, 2 MiB, 1 GiB). False: nothing, or fewer rights; outputs unchanged.
 * Lock-free; the answer holds as long as the caller keeps the mapping from going (see above).
 */
static inline bool nested_pt_lookup(const struct nested_pt *npt, gpa_t gpa, unsigned rights, hpa_t *hpa, uint64_t *page_bytes)
{
	uint64_t e;

	if (unlikely(gpa >= NESTED_PT_GPA_LIMIT))
		return false;
	e = nested_pt_step(npt->root, gpa, 39);
	if (unlikely(e & NESTED_PT_STOP))
		return false;
	e = nested_pt_step(e, gpa, 30);
	if (unlikely(e & NESTED_PT_STOP))
		return nested_pt_finish(e, gpa, 1ull << 30, rights, hpa, page_bytes);
	e = nested_pt_step(e, gpa, 21);
	if (likely(e & NESTED_PT_STOP))
		return nested_pt_finish(e, gpa, 1ull << 21, rights, hpa, page_bytes);
	e = nested_pt_step(e, gpa, 12);
	return nested_pt_finish(e, gpa, 1ull << 12, rights, hpa, page_bytes);
}

#endif
