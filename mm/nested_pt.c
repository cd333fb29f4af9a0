/*
 * Nested page tables. Every function first finds out what it needs, takes those pages from the pool (a plan),
 * and then changes the tree in a part that cannot fail. Entries change only through mm/entry.h. Takes no
 * lock; see the header for what the caller excludes. Never touches the memory that leaves name.
 */
#include "mm/nested_pt.h"

#include "arch/x86_64/panic.h"
#include "mm/entry.h"
#include "mm/frame.h"
#include "mm/pool.h"

#define LEVEL_TOP 4u
#define ENTRIES	  512u

struct nested_pt_format nested_pt_format;
static unsigned max_leaf_level;

static uint64_t level_bytes(unsigned level)
{
	return 1ull << (PAGE_SHIFT + 9 * (level - 1));
}

static uint64_t *entry_at(hpa_t table, gpa_t gpa, unsigned level)
{
	return (uint64_t *)pool_va(table) + (gpa / level_bytes(level) & (ENTRIES - 1));
}

/* Of an entry at this level; a leaf of level 1 looks like a table to the hardware's eye too. */
static bool is_table(uint64_t entry, unsigned level)
{
	return level > 1 && (entry & (NESTED_PT_PRESENT | NESTED_PT_LARGE)) == NESTED_PT_PRESENT;
}

static uint64_t leaf_value(hpa_t hpa, unsigned level, unsigned rights)
{
	return hpa | nested_pt_format.leaf[rights] | (level > 1 ? NESTED_PT_LARGE : 0);
}

void nested_pt_set_format(const struct nested_pt_format *format, unsigned max_level)
{
	assert(max_level == 2 || max_level == 3);
	nested_pt_format = *format;
	nested_pt_format.flip ^= NESTED_PT_PRESENT; /* nested_pt_step hands entries over with it inverted */
	for (unsigned i = 0; i < ARRAY_SIZE(format->need); i++)
		nested_pt_format.need[i] |= NESTED_PT_PRESENT;
	max_leaf_level = max_level;
}

/* ---- Plans: pages taken before the first change ---- */

static void plan_push(struct nested_pt_plan *plan, uint64_t *page)
{
	*page = (uint64_t)plan->pages;
	plan->pages = page;
}

static uint64_t *plan_pop(struct nested_pt_plan *plan)
{
	uint64_t *page = plan->pages;

	if (page) {
		plan->pages = (uint64_t *)*page;
		*page = 0;
	}
	return page;
}

void nested_pt_plan_end(struct nested_pt_plan *plan)
{
	uint64_t *page;

	while ((page = plan_pop(plan)) != NULL)
		pool_free_page(page);
}

enum status nested_pt_plan_fill(struct nested_pt_plan *plan)
{
	for (; plan->needed; plan->needed--) {
		uint64_t *page = pool_alloc_page();

		if (!page) {
			nested_pt_plan_end(plan);
			return STATUS_NO_MEMORY;
		}
		plan_push(plan, page);
	}
	return STATUS_OK;
}

/* ---- Mapping ---- */

/*
 * Puts an empty table into an empty entry. Returns the entry as it is then: another core's table if that was
 * faster; 0: no memory. plan NULL: straight from the pool.
 */
__attribute__((noinline)) static uint64_t link_table(struct nested_pt *npt, uint64_t *entry,
						     struct nested_pt_plan *plan)
{
	uint64_t *page = plan ? plan_pop(plan) : pool_alloc_page();
	uint64_t there = 0;

	if (!page)
		return 0;
	uint64_t value = pool_hpa(page) | nested_pt_format.table;

	if (entry_swap(entry, &there, value)) {
		__atomic_add_fetch(&npt->table_pages, 1, __ATOMIC_RELAXED);
		return value;
	}
	if (plan)
		plan_push(plan, page);
	else
		pool_free_page(page);
	return there;
}

/* The entry for gpa at `level`, with tables made on the way. STATUS_EXISTS: a larger leaf is in the way. */
static enum status reach(struct nested_pt *npt, gpa_t gpa, unsigned level, struct nested_pt_plan *plan,
			 uint64_t **out)
{
	hpa_t table = npt->root;

	for (unsigned l = LEVEL_TOP; l > level; l--) {
		uint64_t *entry = entry_at(table, gpa, l);
		uint64_t e = entry_read(entry);

		if (!e)
			e = link_table(npt, entry, plan);
		if (!e)
			return STATUS_NO_MEMORY;
		if (e & NESTED_PT_LARGE)
			return STATUS_EXISTS;
		table = e & NESTED_PT_ADDRESS;
	}
	*out = entry_at(table, gpa, level);
	return STATUS_OK;
}

__attribute__((noinline)) static enum status install(struct nested_pt *npt, gpa_t gpa, hpa_t hpa,
						     unsigned level, unsigned rights,
						     struct nested_pt_plan *plan)
{
	uint64_t *entry, there = 0;
	enum status status = reach(npt, gpa, level, plan, &entry);

	if (status != STATUS_OK)
		return status;
	return entry_swap(entry, &there, leaf_value(hpa, level, rights)) ? STATUS_OK : STATUS_EXISTS;
}

/* The level-1 table for gpa, where one exists already; else 0. */
static inline hpa_t last_table(const struct nested_pt *npt, gpa_t gpa)
{
	uint64_t e = nested_pt_step(npt->root, gpa, 39);

	if (!(e & NESTED_PT_STOP))
		e = nested_pt_step(e, gpa, 30);
	if (!(e & NESTED_PT_STOP))
		e = nested_pt_step(e, gpa, 21);
	return e & NESTED_PT_STOP ? 0 : e & NESTED_PT_ADDRESS;
}

enum status nested_pt_install(struct nested_pt *npt, gpa_t gpa, hpa_t hpa, unsigned order, unsigned rights)
{
	hpa_t table = order == FRAME_ORDER_4K ? last_table(npt, gpa) : 0;
	uint64_t there = 0;

	if (unlikely(!table))
		return install(npt, gpa, hpa, 1 + order / 9, rights, NULL);
	if (!entry_swap(entry_at(table, gpa, 1), &there, leaf_value(hpa, 1, rights)))
		return STATUS_EXISTS;
	return STATUS_OK;
}

/* The largest leaf that alignment and length allow. */
static unsigned fitting_level(gpa_t gpa, hpa_t hpa, uint64_t bytes)
{
	unsigned level = max_leaf_level;

	while (level > 1 && ((gpa | hpa) & (level_bytes(level) - 1) || bytes < level_bytes(level)))
		level--;
	return level;
}

/*
 * The level at which a leaf for gpa can go: fitting_level, or lower where a table stands in that place
 * already. Tables missing above it are noted in the plan, each once: a plan's addresses only rise. 0: gpa is
 * mapped.
 */
static unsigned plan_leaf(const struct nested_pt *npt, struct nested_pt_plan *plan, gpa_t gpa, unsigned fit)
{
	hpa_t table = npt->root;
	unsigned level = LEVEL_TOP;
	uint64_t e;

	while (is_table(e = entry_read(entry_at(table, gpa, level)), level)) {
		table = e & NESTED_PT_ADDRESS;
		level--;
	}
	if (e)
		return 0;
	for (; level > fit; level--) {
		if (gpa < plan->noted[level])
			continue;
		plan->noted[level] = (gpa | (level_bytes(level) - 1)) + 1;
		plan->needed++;
	}
	return level;
}

enum status nested_pt_plan_add(struct nested_pt_plan *plan, const struct nested_pt *npt, gpa_t gpa, hpa_t hpa,
			       uint64_t bytes)
{
	for (uint64_t at = 0; at < bytes;) {
		unsigned level =
			plan_leaf(npt, plan, gpa + at, fitting_level(gpa + at, hpa + at, bytes - at));

		if (!level)
			return STATUS_EXISTS;
		at += level_bytes(level);
	}
	return STATUS_OK;
}

bool nested_pt_plan_map(struct nested_pt_plan *plan, struct nested_pt *npt, gpa_t gpa, hpa_t hpa,
			uint64_t bytes, unsigned rights)
{
	for (uint64_t at = 0; at < bytes;) {
		unsigned level = fitting_level(gpa + at, hpa + at, bytes - at);
		enum status status;

		/* An empty table may be where the large leaf would go: it stays, and smaller leaves go into
		 * it. */
		do
			status = install(npt, gpa + at, hpa + at, level, rights, plan);
		while (status == STATUS_EXISTS && --level);
		if (status != STATUS_OK)
			return false;
		at += level_bytes(level);
	}
	return true;
}

static enum status check_range(gpa_t gpa, uint64_t bytes)
{
	if ((gpa | bytes) & PAGE_MASK || !bytes || gpa >= NESTED_PT_GPA_LIMIT ||
	    bytes > NESTED_PT_GPA_LIMIT - gpa)
		return STATUS_INVALID;
	return STATUS_OK;
}

enum status nested_pt_check(gpa_t gpa, uint64_t bytes, unsigned rights)
{
	if (!(rights & HILUM_MAP_READ) || rights & ~NESTED_PT_RIGHTS)
		return STATUS_INVALID;
	return check_range(gpa, bytes);
}

enum status nested_pt_map(struct nested_pt *npt, gpa_t gpa, hpa_t hpa, uint64_t bytes, unsigned rights)
{
	struct nested_pt_plan plan = {0};
	enum status status = hpa & PAGE_MASK ? STATUS_INVALID : nested_pt_check(gpa, bytes, rights);

	if (status == STATUS_OK)
		status = nested_pt_plan_add(&plan, npt, gpa, hpa, bytes);
	if (status == STATUS_OK)
		status = nested_pt_plan_fill(&plan);
	if (status != STATUS_OK)
		return status;
	bool complete = nested_pt_plan_map(&plan, npt, gpa, hpa, bytes, rights);

	assert(complete);
	nested_pt_plan_end(&plan);
	return STATUS_OK;
}

/* ---- Splitting ---- */

/* The leaf that reaches over `boundary`, its level in *level; NULL: none, the boundary lies between entries.
 */
static uint64_t *leaf_across(const struct nested_pt *npt, gpa_t boundary, unsigned *level)
{
	hpa_t table = npt->root;

	if (!(boundary & (level_bytes(3) - 1)))
		return NULL; /* also the end of the address space, which has no entry */
	for (unsigned l = LEVEL_TOP; l > 1; l--) {
		uint64_t *entry = entry_at(table, boundary, l);
		uint64_t e = entry_read(entry);

		if (is_table(e, l)) {
			table = e & NESTED_PT_ADDRESS;
			continue;
		}
		*level = l;
		return e && boundary & (level_bytes(l) - 1) ? entry : NULL;
	}
	return NULL;
}

/* Replaces a leaf by a full table of leaves one level lower, which translate alike. */
static void split_leaf(struct nested_pt *npt, uint64_t *entry, unsigned level, uint64_t *page)
{
	uint64_t step = level_bytes(level - 1), e = entry_read(entry);

	do { /* again if the hardware has set an accessed or dirty bit meanwhile */
		uint64_t child = level == 2 ? e & ~NESTED_PT_LARGE : e;

		for (unsigned i = 0; i < ENTRIES; i++)
			page[i] = child + i * step;
	} while (!entry_swap(entry, &e, pool_hpa(page) | nested_pt_format.table));
	__atomic_add_fetch(&npt->table_pages, 1, __ATOMIC_RELAXED);
}

/* Splits so that no leaf reaches over either end of the range. On STATUS_NO_MEMORY nothing was split. */
static enum status split_ends(struct nested_pt *npt, gpa_t gpa, uint64_t bytes)
{
	const gpa_t ends[2] = {gpa, gpa + bytes};
	struct nested_pt_plan plan = {0};
	unsigned level;
	uint64_t *entry;

	for (unsigned i = 0; i < 2; i++) {
		if (leaf_across(npt, ends[i], &level))
			plan.needed += level == 3 && ends[i] & (level_bytes(2) - 1) ? 2 : 1;
	}
	enum status status = nested_pt_plan_fill(&plan);

	for (unsigned i = 0; i < 2 && status == STATUS_OK; i++) {
		while ((entry = leaf_across(npt, ends[i], &level)) != NULL)
			split_leaf(npt, entry, level, plan_pop(&plan));
	}
	nested_pt_plan_end(&plan);
	return status;
}

/* ---- Changing what is mapped ---- */

struct change {
	struct nested_pt *npt;
	gpa_t first, last;		   /* inclusive: the end may be the end of the address space */
	struct nested_pt_garbage *garbage; /* NULL: protect */
	unsigned rights;
};

static void discard_table(struct nested_pt_garbage *garbage, hpa_t table, unsigned level)
{
	struct frame *f = frame_entry(table);

	f->next = garbage->first;
	f->prev = level;
	garbage->first = (uint32_t)(table >> PAGE_SHIFT);
}

static void set_rights(uint64_t *entry, uint64_t e, unsigned level, unsigned rights)
{
	uint64_t value;

	do
		value = leaf_value(e & (NESTED_PT_ADDRESS | nested_pt_format.kept), level, rights);
	while (!entry_swap(entry, &e, value));
}

/* Applies the change to the part of it that this table, which begins at `base`, covers. */
static void change_table(const struct change *c, hpa_t table, unsigned level, gpa_t base)
{
	uint64_t step = level_bytes(level);
	unsigned from = c->first > base ? (unsigned)((c->first - base) / step) : 0;

	for (unsigned i = from; i < ENTRIES && base + i * step <= c->last; i++) {
		gpa_t first = base + i * step, last = first + step - 1;
		uint64_t *entry = entry_at(table, first, level), e = entry_read(entry);
		bool whole = first >= c->first && last <= c->last;

		if (!e)
			continue;
		if (is_table(e, level) && !(whole && c->garbage)) {
			change_table(c, e & NESTED_PT_ADDRESS, level - 1, first);
		} else if (c->garbage) {
			entry_write(entry, 0);
			if (is_table(e, level))
				discard_table(c->garbage, e & NESTED_PT_ADDRESS, level - 1);
		} else {
			set_rights(entry, e, level, c->rights);
		}
	}
}

static enum status change_range(struct nested_pt *npt, gpa_t gpa, uint64_t bytes,
				struct nested_pt_garbage *garbage, unsigned rights)
{
	enum status status = split_ends(npt, gpa, bytes);

	if (status != STATUS_OK)
		return status;
	struct change c = {npt, gpa, gpa + bytes - 1, garbage, rights};

	change_table(&c, npt->root, LEVEL_TOP, 0);
	__atomic_add_fetch(&npt->generation, 1, __ATOMIC_RELEASE);
	return STATUS_OK;
}

enum status nested_pt_unmap(struct nested_pt *npt, gpa_t gpa, uint64_t bytes,
			    struct nested_pt_garbage *garbage)
{
	enum status status = check_range(gpa, bytes);

	return status == STATUS_OK ? change_range(npt, gpa, bytes, garbage, 0) : status;
}

enum status nested_pt_protect(struct nested_pt *npt, gpa_t gpa, uint64_t bytes, unsigned rights)
{
	enum status status = nested_pt_check(gpa, bytes, rights);

	return status == STATUS_OK ? change_range(npt, gpa, bytes, NULL, rights) : status;
}

/* ---- Life ---- */

static void free_tables(struct nested_pt *npt, hpa_t table, unsigned level)
{
	const uint64_t *entries = pool_va(table);

	for (unsigned i = 0; level > 1 && i < ENTRIES; i++) {
		if (is_table(entries[i], level))
			free_tables(npt, entries[i] & NESTED_PT_ADDRESS, level - 1);
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
		free_tables(npt, table, f->prev);
	}
}

enum status nested_pt_init(struct nested_pt *npt)
{
	void *page = pool_alloc_page();

	if (!page)
		return STATUS_NO_MEMORY;
	*npt = (struct nested_pt){.root = pool_hpa(page), .generation = 1, .table_pages = 1};
	return STATUS_OK;
}

void nested_pt_destroy(struct nested_pt *npt)
{
	free_tables(npt, npt->root, LEVEL_TOP);
	assert(npt->table_pages == 0);
	npt->root = 0;
}
