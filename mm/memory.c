/*
 * Memory objects. Lock-free by design: a place goes from empty to filled once, by compare-and-swap, and never
 * back before the last reference is gone. Must never let a frame into an object before it is zeroed.
 */
#include "mm/memory.h"

#include "mm/entry.h"
#include "mm/pool.h"
#include "mm/window.h"

#define SLOT_PAGES  (1ull << FRAME_ORDER_2M)
#define SLOT_BYTES  (SLOT_PAGES * PAGE_SIZE)
#define GROUP_SLOTS 512ull /* 1 GiB: a page of slots */
#define GROUP_PAGES (GROUP_SLOTS * SLOT_PAGES)
#define GROUPS_MAX  (MEMORY_BYTES_MAX / (GROUP_PAGES * PAGE_SIZE))
#define TABLE_BYTES (SLOT_PAGES * sizeof(uint32_t))

/* A slot: 0 while empty, else a host-physical address (2M, 1G) or a pool address (TABLE) with a tag. */
#define SLOT_TAG   3ull
#define SLOT_2M	   1ull
#define SLOT_1G	   2ull /* the slot's part of a 1 GiB frame */
#define SLOT_TABLE 3ull /* of 32-bit frame numbers, 0: empty */

struct memory {
	uint64_t pages, populated_pages;
	uint32_t refs, owner, flags;
	bool writable;
	hpa_t base; /* wrapped frames, contiguous: there is no group then; 0: not wrapped */
	uint64_t *group[GROUPS_MAX];
};
static_assert(sizeof(struct memory) <= PAGE_SIZE, "an object with groups takes a page");
#define WRAPPER_BYTES offsetof(struct memory, group)

static uint64_t *slot_of(const struct memory *mem, uint64_t index)
{
	return &mem->group[index / GROUP_PAGES][index / SLOT_PAGES % GROUP_SLOTS];
}

static uint32_t *table_of(uint64_t value)
{
	return (uint32_t *)(value & ~SLOT_TAG);
}

/* ---- Filling ---- */

static enum status take_frames(const struct memory *mem, unsigned order, hpa_t *hpa)
{
	enum status status = frame_alloc(order, FRAME_GUEST, mem->owner, hpa);

	if (status == STATUS_OK)
		window_zero_frames(*hpa, order);
	return status;
}

static void give_frames(const struct memory *mem, unsigned order, hpa_t hpa)
{
	frame_free(hpa, order, FRAME_GUEST, mem->owner);
}

static void count_populated(struct memory *mem, unsigned order)
{
	__atomic_add_fetch(&mem->populated_pages, 1ull << order, __ATOMIC_RELAXED);
}

/* Whether a block of so many pages may stand at this page of the object. */
static bool may_hold(const struct memory *mem, uint64_t index, uint64_t pages)
{
	return index % pages == 0 && mem->pages - index >= pages && !(mem->flags & HILUM_MEMORY_4K_PAGES);
}

/* Fills an empty slot with one 2 MiB frame, if it may and can. The slot's value as it is then. */
__attribute__((noinline)) static uint64_t fill_slot_2m(struct memory *mem, uint64_t index)
{
	uint64_t there = 0;
	hpa_t hpa;

	if (!may_hold(mem, ALIGN_DOWN(index, SLOT_PAGES), SLOT_PAGES) ||
	    take_frames(mem, FRAME_ORDER_2M, &hpa) != STATUS_OK)
		return 0;
	if (entry_swap(slot_of(mem, index), &there, hpa | SLOT_2M)) {
		count_populated(mem, FRAME_ORDER_2M);
		return hpa | SLOT_2M;
	}
	give_frames(mem, FRAME_ORDER_2M, hpa);
	return there;
}

/* Gives an empty slot a table. The slot's value as it is then; 0: no memory. */
__attribute__((noinline)) static uint64_t fill_slot_table(struct memory *mem, uint64_t index)
{
	uint32_t *table = pool_alloc(TABLE_BYTES);
	uint64_t value = (uint64_t)table | SLOT_TABLE, there = 0;

	if (!table || entry_swap(slot_of(mem, index), &there, value))
		return table ? value : 0;
	pool_free(table, TABLE_BYTES);
	return there;
}

/* Fills an empty place of a table. The frame that is there then; 0: no memory. */
static uint32_t fill_page(struct memory *mem, uint32_t *place)
{
	uint32_t there = 0;
	hpa_t hpa;

	if (take_frames(mem, FRAME_ORDER_4K, &hpa) != STATUS_OK)
		return 0;
	uint32_t number = (uint32_t)(hpa >> PAGE_SHIFT);

	if (__atomic_compare_exchange_n(place, &there, number, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
		count_populated(mem, FRAME_ORDER_4K);
		return number;
	}
	give_frames(mem, FRAME_ORDER_4K, hpa);
	return there;
}

/* Finds page `index`, which exists, and fills it if it is empty: by a 2 MiB frame if `large` and possible. */
static enum status populate(struct memory *mem, uint64_t index, bool large, hpa_t *hpa, unsigned *order)
{
	uint64_t value = entry_read(slot_of(mem, index));

	if (!value && large)
		value = fill_slot_2m(mem, index);
	if (!value)
		value = fill_slot_table(mem, index);
	if (!value)
		return STATUS_NO_MEMORY;
	if ((value & SLOT_TAG) != SLOT_TABLE) {
		*hpa = (value & ~SLOT_TAG) + index % SLOT_PAGES * PAGE_SIZE;
		*order = (value & SLOT_TAG) == SLOT_2M ? FRAME_ORDER_2M : FRAME_ORDER_1G;
		return STATUS_OK;
	}
	uint32_t *place = &table_of(value)[index % SLOT_PAGES];
	uint32_t number = __atomic_load_n(place, __ATOMIC_ACQUIRE);

	if (!number)
		number = fill_page(mem, place);
	if (!number)
		return STATUS_NO_MEMORY;
	*hpa = (hpa_t)number << PAGE_SHIFT;
	*order = FRAME_ORDER_4K;
	return STATUS_OK;
}

/* Fills a group by one 1 GiB frame, before the object is shared. False: none may begin here, or no frame. */
static bool fill_group_1g(struct memory *mem, uint64_t index)
{
	uint64_t *slots = mem->group[index / GROUP_PAGES];
	hpa_t hpa;

	if (!may_hold(mem, index, GROUP_PAGES) || take_frames(mem, FRAME_ORDER_1G, &hpa) != STATUS_OK)
		return false;
	for (uint64_t i = 0; i < GROUP_SLOTS; i++)
		slots[i] = (hpa + i * SLOT_BYTES) | SLOT_1G;
	count_populated(mem, FRAME_ORDER_1G);
	return true;
}

static enum status fill_all(struct memory *mem)
{
	unsigned order;
	hpa_t hpa;

	for (uint64_t index = 0; index < mem->pages; index += 1ull << order) {
		if (fill_group_1g(mem, index)) {
			order = FRAME_ORDER_1G;
			continue;
		}
		enum status status = populate(mem, index, true, &hpa, &order);

		if (status != STATUS_OK)
			return status;
	}
	return STATUS_OK;
}

/* ---- Life ---- */

static void release_table(const struct memory *mem, uint32_t *table)
{
	for (uint64_t i = 0; i < SLOT_PAGES; i++) {
		if (table[i])
			give_frames(mem, FRAME_ORDER_4K, (hpa_t)table[i] << PAGE_SHIFT);
	}
	pool_free(table, TABLE_BYTES);
}

static void release_group(const struct memory *mem, uint64_t *slots)
{
	for (uint64_t i = 0; slots && i < GROUP_SLOTS; i++) {
		uint64_t tag = slots[i] & SLOT_TAG;

		if (tag == SLOT_2M)
			give_frames(mem, FRAME_ORDER_2M, slots[i] & ~SLOT_TAG);
		else if (tag == SLOT_1G && i == 0)
			give_frames(mem, FRAME_ORDER_1G, slots[i] & ~SLOT_TAG);
		else if (tag == SLOT_TABLE)
			release_table(mem, table_of(slots[i]));
	}
	pool_free_page(slots);
}

enum status memory_create(uint64_t bytes, uint32_t flags, uint32_t owner, struct memory **out)
{
	if (!bytes || bytes & PAGE_MASK || bytes > MEMORY_BYTES_MAX ||
	    flags & ~(HILUM_MEMORY_LAZY | HILUM_MEMORY_4K_PAGES))
		return STATUS_INVALID;
	struct memory *mem = pool_alloc_page();
	enum status status = STATUS_OK;

	if (!mem)
		return STATUS_NO_MEMORY;
	mem->pages = bytes / PAGE_SIZE;
	mem->refs = 1;
	mem->owner = owner;
	mem->flags = flags;
	mem->writable = true;
	for (uint64_t first = 0; first < mem->pages && status == STATUS_OK; first += GROUP_PAGES) {
		mem->group[first / GROUP_PAGES] = pool_alloc_page();
		if (!mem->group[first / GROUP_PAGES])
			status = STATUS_NO_MEMORY;
	}
	if (status == STATUS_OK && !(flags & HILUM_MEMORY_LAZY))
		status = fill_all(mem);
	if (status == STATUS_OK)
		*out = mem;
	else
		memory_unref(mem);
	return status;
}

/* Calls frame_ref or frame_unref for the head of each block in the range; with neither, only checks that all
 * are RAM. */
static bool for_each_block(hpa_t base, uint64_t bytes, void (*visit)(hpa_t head))
{
	for (hpa_t at = base; at < base + bytes;) {
		hpa_t head;
		const struct frame *f = frame_lookup(at, &head);

		if (!f)
			return false;
		if (visit)
			visit(head);
		at = head + (PAGE_SIZE << f->order);
	}
	return true;
}

enum status memory_wrap_frames(hpa_t hpa, uint64_t bytes, bool writable, struct memory **out)
{
	if (!hpa || !bytes || (hpa | bytes) & PAGE_MASK || bytes > MEMORY_BYTES_MAX ||
	    !for_each_block(hpa, bytes, NULL))
		return STATUS_INVALID;
	struct memory *mem = pool_alloc(WRAPPER_BYTES);

	if (!mem)
		return STATUS_NO_MEMORY;
	for_each_block(hpa, bytes, frame_ref);
	mem->pages = mem->populated_pages = bytes / PAGE_SIZE;
	mem->refs = 1;
	mem->writable = writable;
	mem->base = hpa;
	*out = mem;
	return STATUS_OK;
}

enum status memory_wrap_pool_page(void *page, struct memory **out)
{
	return memory_wrap_frames(pool_hpa(page), PAGE_SIZE, true, out);
}

void memory_ref(struct memory *mem)
{
	uint32_t before = __atomic_fetch_add(&mem->refs, 1, __ATOMIC_RELAXED);

	assert(before > 0 && before < UINT32_MAX);
}

void memory_unref(struct memory *mem)
{
	uint32_t before = __atomic_fetch_sub(&mem->refs, 1, __ATOMIC_ACQ_REL);

	assert(before > 0);
	if (before > 1)
		return;
	if (mem->base) {
		for_each_block(mem->base, mem->pages * PAGE_SIZE, frame_unref);
		pool_free(mem, WRAPPER_BYTES);
		return;
	}
	for (uint64_t first = 0; first < mem->pages; first += GROUP_PAGES)
		release_group(mem, mem->group[first / GROUP_PAGES]);
	pool_free_page(mem);
}

uint64_t memory_bytes(const struct memory *mem)
{
	return mem->pages * PAGE_SIZE;
}

bool memory_is_writable(const struct memory *mem)
{
	return mem->writable;
}

bool memory_is_lazy(const struct memory *mem)
{
	return mem->flags & HILUM_MEMORY_LAZY;
}

uint64_t memory_populated_bytes(const struct memory *mem)
{
	return __atomic_load_n(&mem->populated_pages, __ATOMIC_RELAXED) * PAGE_SIZE;
}

/* ---- Looking ---- */

uint64_t memory_extent(const struct memory *mem, uint64_t index, hpa_t *hpa)
{
	uint64_t within = index % SLOT_PAGES;

	if (mem->base) {
		*hpa = mem->base + index * PAGE_SIZE;
		return mem->pages - index;
	}
	uint64_t value = entry_read(slot_of(mem, index));

	if ((value & SLOT_TAG) == SLOT_TABLE) {
		*hpa = (hpa_t)__atomic_load_n(&table_of(value)[within], __ATOMIC_ACQUIRE) << PAGE_SHIFT;
		return 1;
	}
	*hpa = value ? (value & ~SLOT_TAG) + within * PAGE_SIZE : 0;
	return (value & SLOT_TAG) == SLOT_1G ? GROUP_PAGES - index % GROUP_PAGES : SLOT_PAGES - within;
}

enum status memory_populate(struct memory *mem, uint64_t index, bool large, hpa_t *hpa, unsigned *order)
{
	if (index >= mem->pages)
		return STATUS_INVALID;
	if (likely(!mem->base))
		return populate(mem, index, large, hpa, order);
	*hpa = mem->base + index * PAGE_SIZE;
	*order = FRAME_ORDER_4K;
	return STATUS_OK;
}

enum status memory_get(struct memory *mem, uint64_t index, bool fill, hpa_t *hpa, unsigned *order)
{
	hpa_t at = 0;

	if (index < mem->pages && !fill) {
		memory_extent(mem, index, &at);
		if (!at)
			return STATUS_NOT_FOUND;
	}
	return memory_populate(mem, index, false, hpa, order);
}
