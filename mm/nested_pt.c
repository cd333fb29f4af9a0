/*
 * Nested page tables. Entries change only through mm/entry.h. Takes no lock; see the header for what the
 * caller excludes. Never touches the memory that leaves name.
 */
#include "mm/nested_pt.h"

#include "arch/x86_64/cpu.h"
#include "mm/entry.h"
#include "mm/frame.h"
#include "mm/pool.h"

#define ENTRIES 512u

sealed struct nested_pt_format nested_pt_format;

/*@ logic integer level_size(integer level) = level == 1 ? 0x1000 : level == 2 ? 0x200000 : level == 3 ? 0x40000000 : 0x8000000000; */

/*@ requires 1 <= level <= 4;
  @ assigns \nothing;
  @ ensures level == 1 ==> \result == level_size(1);
  @ ensures level == 2 ==> \result == level_size(2);
  @ ensures level == 3 ==> \result == level_size(3);
  @ ensures level == 4 ==> \result == level_size(4);
  @*/
static uint64_t level_bytes(unsigned level)
{
	return 1ull << (PAGE_SHIFT + 9 * (level - 1));
}

/*@ requires 1 <= level <= 4;
  @ assigns \nothing;
  @*/
static uint64_t *entry_at(hpa_t table, gpa_t gpa, unsigned level)
{
	uint64_t index = gpa / level_bytes(level) % ENTRIES;

	/*@ assert in_the_table: 0 <= index < ENTRIES && index == gpa / level_size(level) % ENTRIES; */
	return (uint64_t *)pool_va(table) + index;
}

/* Of an entry at this level; a leaf of level 1 looks like a table to the hardware's eye too. */
/*@ assigns \nothing;
  @ ensures \result ==> level > 1 && (entry & NESTED_PT_PRESENT) != 0;
  @*/
static bool is_table(uint64_t entry, unsigned level)
{
	return level > 1 && (entry & (NESTED_PT_PRESENT | NESTED_PT_LARGE)) == NESTED_PT_PRESENT;
}

void nested_pt_set_format(const struct nested_pt_format *format, unsigned max_level)
{
	assert(max_level == 2 || max_level == 3);
	nested_pt_format = *format;
	nested_pt_format.flip ^= NESTED_PT_PRESENT;             /* nested_pt_step hands entries over with it inverted */
	for (unsigned i = 0; i < ARRAY_SIZE(format->need); i++) /* what a leaf that grants just this has, and every wider one */
		nested_pt_format.need[i] = ((format->leaf[i | HILUM_MAP_READ] ^ format->flip) & ~format->uncached) | NESTED_PT_PRESENT;
	nested_pt_format.levels = 4;
	nested_pt_format.max_leaf_level = max_level;
}

/* Into RAM, for an IOMMU that walks past the caches. */
static void flush(const struct nested_pt_format *format, const void *p, size_t bytes)
{
	for (size_t at = 0; format->flush && at < bytes; at += 64)
		cpu_flush_line((const char *)p + at);
}

/* ---- Mapping ---- */

/*
 * Puts an empty table into an empty entry. Returns the entry as it is then: another core's table if that was
 * faster; 0: no memory.
 */
static uint64_t link_table(struct nested_pt *npt, uint64_t *entry, unsigned level)
{
	uint64_t *page = pool_alloc_page();
	uint64_t there = 0;

	if (!page)
		return 0;
	uint64_t value = pool_hpa(page) | npt->format->table | (level - 1) * npt->format->level;

	flush(npt->format, page, PAGE_SIZE);
	if (!entry_swap(entry, &there, value)) {
		pool_free_page(page);
		return there;
	}
	flush(npt->format, entry, sizeof(*entry));
	__atomic_add_fetch(&npt->table_pages, 1, __ATOMIC_RELAXED);
	return value;
}

/* Inlined below: each page fault of a guest comes by here. */
inline __attribute__((always_inline)) enum status nested_pt_entry(struct nested_pt *npt, gpa_t gpa, unsigned level, uint64_t **out)
{
	hpa_t table = npt->root;

	for (unsigned l = npt->format->levels; l > level; l--) {
		uint64_t *entry = entry_at(table, gpa, l);
		uint64_t e = entry_read(entry);

		if (unlikely(!e))
			e = link_table(npt, entry, l);
		if (!e)
			return STATUS_NO_MEMORY;
		if (e & NESTED_PT_LARGE)
			return STATUS_EXISTS;
		table = e & NESTED_PT_ADDRESS;
	}
	*out = entry_at(table, gpa, level);
	return STATUS_OK;
}

enum status nested_pt_install(struct nested_pt *npt, gpa_t gpa, hpa_t hpa, unsigned order, unsigned rights)
{
	const struct nested_pt_format *format = npt->format;
	uint64_t *entry, there = 0;
	enum status status = nested_pt_entry(npt, gpa, 1 + order / 9, &entry);

	if (status != STATUS_OK)
		return status;
	if (!entry_swap(entry, &there,
	                (hpa | format->leaf[rights & 7] | (order ? NESTED_PT_LARGE : 0)) ^
	                        (rights & NESTED_PT_UNCACHED ? format->uncached : 0)))
		return STATUS_EXISTS;
	flush(format, entry, sizeof(*entry));
	return STATUS_OK;
}

/* The largest leaf that alignment and length allow. */
/*@ requires 1 <= level <= 4;
  @ assigns \nothing;
  @ ensures 1 <= \result <= level;
  @ ensures \result > 1 ==> bytes >= level_size(\result) && ((gpa | hpa) & (level_size(\result) - 1)) == 0;
  @*/
static unsigned fitting_level(unsigned level, gpa_t gpa, hpa_t hpa, uint64_t bytes)
{
	/*@ loop invariant 1 <= level <= \at(level, Pre);
	  @ loop assigns level;
	  @ loop variant level;
	  @*/
	while (level > 1 && ((gpa | hpa) & (level_bytes(level) - 1) || bytes < level_bytes(level)))
		level--;
	return level;
}

enum status nested_pt_map(struct nested_pt *npt, gpa_t gpa, hpa_t hpa, uint64_t bytes, unsigned rights)
{
	for (uint64_t at = 0; at < bytes;) {
		unsigned level = fitting_level(npt->format->max_leaf_level, gpa + at, hpa + at, bytes - at);
		enum status status;

		/* An empty table may be where the large leaf would go: it stays, and smaller ones go into it.
		 */
		do
			status = nested_pt_install(npt, gpa + at, hpa + at, (level - 1) * 9, rights);
		while (status == STATUS_EXISTS && --level);
		if (status != STATUS_OK)
			return status;
		at += level_bytes(level);
	}
	return STATUS_OK;
}

/* ---- Unmapping ---- */

static void discard_table(struct nested_pt_garbage *garbage, hpa_t table, unsigned level)
{
	struct frame *f = frame_entry(table);

	f->next = garbage->first;
	f->prev = level;
	garbage->first = (uint32_t)(table >> PAGE_SHIFT);
}

/* Empties [first, last] in this table, which begins at `base`. */
static void unmap_table(const struct nested_pt *npt, hpa_t table, unsigned level, gpa_t base, gpa_t first, gpa_t last,
                        struct nested_pt_garbage *garbage)
{
	uint64_t step = level_bytes(level);
	unsigned from = first > base ? (unsigned)((first - base) / step) : 0;

	for (unsigned i = from; i < ENTRIES && base + i * step <= last; i++) {
		gpa_t at = base + i * step;
		uint64_t *entry = entry_at(table, at, level), e = entry_read(entry);
		bool whole = at >= first && at + step - 1 <= last;

		if (!e)
			continue;
		assert(whole || is_table(e, level));
		if (!whole) {
			unmap_table(npt, e & NESTED_PT_ADDRESS, level - 1, at, first, last, garbage);
			continue;
		}
		entry_write(entry, 0);
		flush(npt->format, entry, sizeof(*entry));
		if (is_table(e, level))
			discard_table(garbage, e & NESTED_PT_ADDRESS, level - 1);
	}
}

void nested_pt_unmap(struct nested_pt *npt, gpa_t gpa, uint64_t bytes, struct nested_pt_garbage *garbage)
{
	unmap_table(npt, npt->root, npt->format->levels, 0, gpa, gpa + bytes - 1, garbage);
	__atomic_add_fetch(&npt->generation, 1, __ATOMIC_RELEASE);
}

/* ---- Life ---- */

static void free_tables(struct nested_pt *npt, hpa_t table, unsigned level, void (*leaf)(hpa_t hpa, unsigned order))
{
	const uint64_t *entries = pool_va(table);

	for (unsigned i = 0; i < ENTRIES; i++) {
		if (is_table(entries[i], level))
			free_tables(npt, entries[i] & NESTED_PT_ADDRESS, level - 1, leaf);
		else if (entries[i] && leaf)
			leaf(entries[i] & NESTED_PT_ADDRESS, (level - 1) * 9);
	}
	pool_free_page(pool_va(table));
	__atomic_sub_fetch(&npt->table_pages, 1, __ATOMIC_RELAXED);
}

void nested_pt_garbage_free(struct nested_pt *npt, struct nested_pt_garbage *garbage)
{
	while (garbage->first) {
		hpa_t table = (hpa_t)garbage->first << PAGE_SHIFT;
		const struct frame *f = frame_entry(table);

		garbage->first = f->next;
		free_tables(npt, table, f->prev, NULL);
	}
}

enum status nested_pt_init(struct nested_pt *npt, const struct nested_pt_format *format)
{
	uint64_t *page = pool_alloc_page();

	if (!page)
		return STATUS_NO_MEMORY;
	flush(format, page, PAGE_SIZE);
	*npt = (struct nested_pt){ .format = format, .root = pool_hpa(page), .generation = 1, .table_pages = 1 };
	return STATUS_OK;
}

void nested_pt_destroy(struct nested_pt *npt, void (*leaf)(hpa_t hpa, unsigned order))
{
	free_tables(npt, npt->root, npt->format->levels, leaf);
	assert(npt->table_pages == 0);
	npt->root = 0;
}
