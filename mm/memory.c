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
#define GROUP_SLOTS 512ull /* 1 GiB */
#define GROUP_SHIFT 9u
#define GROUP_PAGES (GROUP_SLOTS * SLOT_PAGES)

/* A slot: 0 while empty, else a host-physical address (SLOT_2M, SLOT_1G) or a pool address (SLOT_TABLE) with
 * a tag. */
#define SLOT_TAG   3ull
#define SLOT_2M	   1ull
#define SLOT_1G	   2ull /* the slot's part of a 1 GiB frame */
#define SLOT_TABLE 3ull /* of 32-bit frame numbers, 0: empty */

struct memory {
	uint64_t pages, populated_pages;
	uint64_t overhead_bytes;
	uint32_t refs, owner, flags;
	bool writable;
	hpa_t base;	   /* wrapped frames, contiguous; 0: not wrapped */
	uint64_t **groups; /* [slots / 512] arrays of slots; NULL if wrapped */
};

/* ---- Arrays of any size that the pool offers ---- */

static unsigned array_order(uint64_t bytes)
{
	unsigned order = 0;

	while (PAGE_SIZE << order < bytes)
		order++;
	return order;
}

static void *array_alloc(struct memory *mem, uint64_t bytes)
{
	bool small = bytes <= POOL_BYTES_MAX;
	void *array = small ? pool_alloc(bytes) : pool_alloc_pages(array_order(bytes));

	if (array)
		__atomic_add_fetch(&mem->overhead_bytes, small ? bytes : PAGE_SIZE << array_order(bytes),
				   __ATOMIC_RELAXED);
	return array;
}

static void array_free(void *array, uint64_t bytes)
{
	if (bytes <= POOL_BYTES_MAX)
		pool_free(array, bytes);
	else
		pool_free_pages(array, array_order(bytes));
}

/* ---- Shape ---- */

static uint64_t slot_count(const struct memory *mem)
{
	return (mem->pages + SLOT_PAGES - 1) / SLOT_PAGES;
}

static uint64_t group_count(const struct memory *mem)
{
	return (slot_count(mem) + GROUP_SLOTS - 1) / GROUP_SLOTS;
}

static uint64_t slots_in_group(const struct memory *mem, uint64_t group)
{
	uint64_t left = slot_count(mem) - group * GROUP_SLOTS;

	return left < GROUP_SLOTS ? left : GROUP_SLOTS;
}

/* Pages of the object that a slot covers: fewer than SLOT_PAGES in the last one only. */
static uint64_t pages_in_slot(const struct memory *mem, uint64_t slot)
{
	uint64_t left = mem->pages - slot * SLOT_PAGES;

	return left < SLOT_PAGES ? left : SLOT_PAGES;
}

static uint64_t *slot_at(const struct memory *mem, uint64_t slot)
{
	return &mem->groups[slot >> GROUP_SHIFT][slot & (GROUP_SLOTS - 1)];
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

static void count_populated(struct memory *mem, unsigned order)
{
	__atomic_add_fetch(&mem->populated_pages, 1ull << order, __ATOMIC_RELAXED);
}

/* Fills an empty slot with one 2 MiB frame, if it may and can. Whoever fills it, the slot's value after it is
 * returned. */
__attribute__((noinline)) static uint64_t fill_slot_2m(struct memory *mem, uint64_t slot)
{
	uint64_t *place = slot_at(mem, slot), there = 0;
	hpa_t hpa;

	if (mem->flags & HILUM_MEMORY_4K_PAGES || pages_in_slot(mem, slot) < SLOT_PAGES)
		return 0;
	if (take_frames(mem, FRAME_ORDER_2M, &hpa) != STATUS_OK)
		return 0;
	if (entry_swap(place, &there, hpa | SLOT_2M)) {
		count_populated(mem, FRAME_ORDER_2M);
		return hpa | SLOT_2M;
	}
	frame_free(hpa, FRAME_ORDER_2M, FRAME_GUEST, mem->owner);
	return there;
}

/* Gives an empty slot a table. Returns the slot's value as it is then; 0: no memory. */
__attribute__((noinline)) static uint64_t fill_slot_table(struct memory *mem, uint64_t slot)
{
	uint64_t bytes = pages_in_slot(mem, slot) * sizeof(uint32_t), there = 0;
	uint32_t *table = array_alloc(mem, bytes);

	if (!table)
		return 0;
	if (entry_swap(slot_at(mem, slot), &there, (uint64_t)table | SLOT_TABLE))
		return (uint64_t)table | SLOT_TABLE;
	array_free(table, bytes);
	__atomic_sub_fetch(&mem->overhead_bytes, bytes, __ATOMIC_RELAXED);
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
	frame_free(hpa, FRAME_ORDER_4K, FRAME_GUEST, mem->owner);
	return there;
}

/* Finds page `index`, which exists, and fills it if it is empty: by a 2 MiB frame if `large` and possible. */
static enum status populate(struct memory *mem, uint64_t index, bool large, hpa_t *hpa, unsigned *order)
{
	uint64_t slot = index / SLOT_PAGES, value = entry_read(slot_at(mem, slot));

	if (!value && large)
		value = fill_slot_2m(mem, slot);
	if (!value)
		value = fill_slot_table(mem, slot);
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

/* Fills a group by one 1 GiB frame, before the object is shared. False: no whole group begins at this page,
 * or no frame. */
static bool fill_group_1g(struct memory *mem, uint64_t index)
{
	uint64_t *slots = mem->groups[index / GROUP_PAGES];
	hpa_t hpa;

	if (index % GROUP_PAGES || mem->pages - index < GROUP_PAGES || mem->flags & HILUM_MEMORY_4K_PAGES ||
	    take_frames(mem, FRAME_ORDER_1G, &hpa) != STATUS_OK)
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

static void release_slot(struct memory *mem, uint64_t slot)
{
	uint64_t value = *slot_at(mem, slot), pages = pages_in_slot(mem, slot);
	hpa_t hpa = value & ~SLOT_TAG;

	if ((value & SLOT_TAG) == SLOT_2M)
		frame_free(hpa, FRAME_ORDER_2M, FRAME_GUEST, mem->owner);
	if ((value & SLOT_TAG) == SLOT_1G && slot % GROUP_SLOTS == 0)
		frame_free(hpa, FRAME_ORDER_1G, FRAME_GUEST, mem->owner);
	if ((value & SLOT_TAG) != SLOT_TABLE)
		return;
	for (uint64_t i = 0; i < pages; i++) {
		uint32_t number = table_of(value)[i];

		if (number)
			frame_free((hpa_t)number << PAGE_SHIFT, FRAME_ORDER_4K, FRAME_GUEST, mem->owner);
	}
	array_free(table_of(value), pages * sizeof(uint32_t));
}

static void release_groups(struct memory *mem)
{
	for (uint64_t group = 0; group < group_count(mem); group++) {
		if (!mem->groups[group])
			break; /* memory_create failed here */
		for (uint64_t i = 0; i < slots_in_group(mem, group); i++)
			release_slot(mem, group * GROUP_SLOTS + i);
		array_free(mem->groups[group], slots_in_group(mem, group) * sizeof(uint64_t));
	}
	array_free(mem->groups, group_count(mem) * sizeof(uint64_t *));
}

static struct memory *object_alloc(uint64_t bytes, bool writable)
{
	struct memory *mem = pool_alloc(sizeof(*mem));

	if (mem)
		*mem = (struct memory){.pages = bytes / PAGE_SIZE,
				       .overhead_bytes = sizeof(*mem),
				       .refs = 1,
				       .writable = writable};
	return mem;
}

static enum status alloc_groups(struct memory *mem)
{
	mem->groups = array_alloc(mem, group_count(mem) * sizeof(uint64_t *));
	if (!mem->groups)
		return STATUS_NO_MEMORY;
	for (uint64_t group = 0; group < group_count(mem); group++) {
		mem->groups[group] = array_alloc(mem, slots_in_group(mem, group) * sizeof(uint64_t));
		if (!mem->groups[group])
			return STATUS_NO_MEMORY;
	}
	return STATUS_OK;
}

enum status memory_create(uint64_t bytes, uint32_t flags, uint32_t owner, struct memory **out)
{
	if (!bytes || bytes & PAGE_MASK || bytes > MEMORY_BYTES_MAX ||
	    flags & ~(HILUM_MEMORY_LAZY | HILUM_MEMORY_4K_PAGES))
		return STATUS_INVALID;
	struct memory *mem = object_alloc(bytes, true);

	if (!mem)
		return STATUS_NO_MEMORY;
	mem->owner = owner;
	mem->flags = flags;
	enum status status = alloc_groups(mem);

	if (status == STATUS_OK && !(flags & HILUM_MEMORY_LAZY))
		status = fill_all(mem);
	if (status != STATUS_OK) {
		memory_unref(mem);
		return status;
	}
	*out = mem;
	return STATUS_OK;
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
	struct memory *mem = object_alloc(bytes, writable);

	if (!mem)
		return STATUS_NO_MEMORY;
	for_each_block(hpa, bytes, frame_ref);
	mem->base = hpa;
	mem->populated_pages = mem->pages;
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
	if (mem->base)
		for_each_block(mem->base, mem->pages * PAGE_SIZE, frame_unref);
	else if (mem->groups)
		release_groups(mem);
	pool_free(mem, sizeof(*mem));
}

uint64_t memory_bytes(const struct memory *mem)
{
	return mem->pages * PAGE_SIZE;
}

uint64_t memory_populated_bytes(const struct memory *mem)
{
	return __atomic_load_n(&mem->populated_pages, __ATOMIC_RELAXED) * PAGE_SIZE;
}

uint64_t memory_overhead_bytes(const struct memory *mem)
{
	return __atomic_load_n(&mem->overhead_bytes, __ATOMIC_RELAXED);
}

bool memory_is_lazy(const struct memory *mem)
{
	return mem->flags & HILUM_MEMORY_LAZY;
}

bool memory_is_writable(const struct memory *mem)
{
	return mem->writable;
}

/* ---- Looking, and mapping ---- */

/*
 * What lies at page `index`, and how far it goes: *hpa (0: empty) and the number of pages from there that are
 * contiguous, or empty alike, at least 1.
 */
static uint64_t extent(const struct memory *mem, uint64_t index, hpa_t *hpa)
{
	uint64_t slot = index / SLOT_PAGES, within = index % SLOT_PAGES;

	if (mem->base) {
		*hpa = mem->base + index * PAGE_SIZE;
		return mem->pages - index;
	}
	uint64_t value = entry_read(slot_at(mem, slot));

	if ((value & SLOT_TAG) == SLOT_TABLE) {
		*hpa = (hpa_t)__atomic_load_n(&table_of(value)[within], __ATOMIC_ACQUIRE) << PAGE_SHIFT;
		return 1;
	}
	*hpa = value ? (value & ~SLOT_TAG) + within * PAGE_SIZE : 0;
	if ((value & SLOT_TAG) == SLOT_1G)
		return GROUP_PAGES - index % GROUP_PAGES;
	return pages_in_slot(mem, slot) - within;
}

/* The order of the aligned block around hpa that lies within the wrapped frames as a whole. */
__attribute__((noinline)) static unsigned wrapped_order(const struct memory *mem, hpa_t hpa)
{
	for (unsigned order = FRAME_ORDER_1G; order; order -= FRAME_ORDER_2M) {
		hpa_t block = ALIGN_DOWN(hpa, PAGE_SIZE << order);

		if (block >= mem->base && block + (PAGE_SIZE << order) <= mem->base + mem->pages * PAGE_SIZE)
			return order;
	}
	return FRAME_ORDER_4K;
}

static enum status get(struct memory *mem, uint64_t index, bool large, hpa_t *hpa, unsigned *order)
{
	if (index >= mem->pages)
		return STATUS_INVALID;
	if (likely(!mem->base))
		return populate(mem, index, large, hpa, order);
	*hpa = mem->base + index * PAGE_SIZE;
	*order = wrapped_order(mem, *hpa);
	return STATUS_OK;
}

enum status memory_get(struct memory *mem, uint64_t index, bool fill, hpa_t *hpa, unsigned *order)
{
	hpa_t at = 0;

	if (index < mem->pages && !fill) {
		extent(mem, index, &at);
		if (!at)
			return STATUS_NOT_FOUND;
	}
	return get(mem, index, false, hpa, order);
}

struct map_job {
	struct nested_pt *npt;
	const struct memory *mem;
	gpa_t gpa;
	uint64_t offset, bytes;
	unsigned rights;
	struct nested_pt_plan plan;
};

/* Plans or maps every populated piece. Mapping what was planned cannot fail; what a lazy object has got since
 * may be left out. */
static enum status map_pieces(struct map_job *job, bool commit)
{
	for (uint64_t at = 0; at < job->bytes;) {
		hpa_t hpa;
		uint64_t bytes = extent(job->mem, (job->offset + at) / PAGE_SIZE, &hpa) * PAGE_SIZE;
		enum status status = STATUS_OK;

		if (bytes > job->bytes - at)
			bytes = job->bytes - at;
		if (hpa && !commit)
			status = nested_pt_plan_add(&job->plan, job->npt, job->gpa + at, hpa, bytes);
		else if (hpa &&
			 !nested_pt_plan_map(&job->plan, job->npt, job->gpa + at, hpa, bytes, job->rights))
			assert(memory_is_lazy(job->mem));
		if (status != STATUS_OK)
			return status;
		at += bytes;
	}
	return STATUS_OK;
}

enum status memory_map(struct nested_pt *npt, struct memory *mem, gpa_t gpa, uint64_t offset, uint64_t bytes,
		       unsigned rights)
{
	struct map_job job = {
		.npt = npt, .mem = mem, .gpa = gpa, .offset = offset, .bytes = bytes, .rights = rights};
	enum status status = nested_pt_check(gpa, bytes, rights);

	if (status != STATUS_OK || offset & PAGE_MASK || offset > memory_bytes(mem) ||
	    bytes > memory_bytes(mem) - offset)
		return STATUS_INVALID;
	if (rights & HILUM_MAP_WRITE && !mem->writable)
		return STATUS_DENIED;
	status = map_pieces(&job, false);
	if (status == STATUS_OK)
		status = nested_pt_plan_fill(&job.plan);
	if (status != STATUS_OK)
		return status;
	status = map_pieces(&job, true);
	nested_pt_plan_end(&job.plan);
	return status;
}

enum status memory_populate_fault(struct nested_pt *npt, const struct memory_mapping *m, gpa_t fault)
{
	gpa_t page = fault & ~PAGE_MASK, block = ALIGN_DOWN(fault, SLOT_BYTES);
	bool large = !((m->gpa ^ m->offset) & (SLOT_BYTES - 1)) && block >= m->gpa &&
		     block + SLOT_BYTES <= m->gpa + m->bytes;
	enum status status;
	unsigned order;
	hpa_t hpa;

	status = get(m->memory, (page - m->gpa + m->offset) / PAGE_SIZE, large, &hpa, &order);
	if (status != STATUS_OK)
		return status;
	if (large && order >= FRAME_ORDER_2M && !((hpa ^ page) & (SLOT_BYTES - 1))) {
		status =
			nested_pt_install(npt, block, ALIGN_DOWN(hpa, SLOT_BYTES), FRAME_ORDER_2M, m->rights);
		if (status != STATUS_EXISTS)
			return status;
	}
	/* Also if a table of smaller pages stood in the way of a large one. */
	status = nested_pt_install(npt, page, hpa, FRAME_ORDER_4K, m->rights);
	return status == STATUS_EXISTS ? STATUS_OK : status;
}
