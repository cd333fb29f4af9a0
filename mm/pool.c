/*
 * The kernel's pool: pages are blocks of the frame allocator's pool zone; small objects live in slabs of one
 * page.
 *
 * A slab's book-keeping is in its frame entry: `next` and `prev` link the slabs of a class that have room,
 * `owner` holds the offset of the first free object (low half, SLAB_END: none) and the number of objects in
 * use (high half). A free object's first two bytes hold the offset of the next free one. Takes pool_lock,
 * then frame_lock. Never touches memory that is not the pool's.
 */
#include "mm/pool.h"

#include "arch/x86_64/spinlock.h"
#include "arch/x86_64/string.h"
#include "mm/frame.h"
#include "mm/host_pt.h"

#define CLASS_SHIFT_MIN 5u /* 32 bytes */
#define CLASS_COUNT	7u /* to 2048 */
#define SLAB_END	0xFFFFu

static_assert(POOL_BYTES_MIN == 1u << CLASS_SHIFT_MIN, "smallest class");
static_assert(POOL_BYTES_MAX == 1u << (CLASS_SHIFT_MIN + CLASS_COUNT - 1), "largest class");

static struct spinlock pool_lock = SPINLOCK_INIT(LOCK_RANK_FRAME - 5);
static uint32_t partial[CLASS_COUNT]; /* frame numbers of the first slab with room; under pool_lock, as all
					 slab entries */

/* ---- Pages ---- */

/* Adds 2 MiB. The block is this core's alone until it is donated: no lock. */
static bool pool_grow(void)
{
	hpa_t block;

	if (frame_alloc(FRAME_ORDER_2M, FRAME_KERNEL, FRAME_OWNER_KERNEL, &block) != STATUS_OK)
		return false;
	host_pt_map_pool_block(block);
	frame_pool_donate(block, FRAME_ORDER_2M);
	return true;
}

static void *alloc_pages(unsigned order, enum frame_type type)
{
	hpa_t hpa;

	while (frame_pool_alloc(order, type, &hpa) != STATUS_OK) {
		if (!pool_grow())
			return NULL;
	}
	return memset(pool_va(hpa), 0, PAGE_SIZE << order);
}

void *pool_alloc_pages(unsigned order)
{
	assert(order <= POOL_ORDER_MAX);
	return alloc_pages(order, FRAME_POOL);
}

void *pool_alloc_page(void)
{
	return alloc_pages(0, FRAME_POOL);
}

void pool_free_pages(void *pages, unsigned order)
{
	if (pages)
		frame_pool_free(pool_hpa(pages), order, FRAME_POOL);
}

void pool_free_page(void *page)
{
	pool_free_pages(page, 0);
}

/* ---- Small objects ---- */

static unsigned class_of(size_t bytes)
{
	assert(bytes > 0 && bytes <= POOL_BYTES_MAX);
	if (bytes <= POOL_BYTES_MIN)
		return 0;
	return 64u - (unsigned)__builtin_clzll(bytes - 1) - CLASS_SHIFT_MIN;
}

static struct frame *slab_entry(uint32_t number)
{
	return frame_entry((hpa_t)number << PAGE_SHIFT);
}

static void slab_link(unsigned class, uint32_t number)
{
	struct frame *f = slab_entry(number);

	f->prev = 0;
	f->next = partial[class];
	if (f->next)
		slab_entry(f->next)->prev = number;
	partial[class] = number;
}

static void slab_unlink(unsigned class, const struct frame *f)
{
	if (f->next)
		slab_entry(f->next)->prev = f->prev;
	if (f->prev)
		slab_entry(f->prev)->next = f->next;
	else
		partial[class] = f->next;
}

/* Cuts a fresh page into free objects. */
static bool slab_create(unsigned class)
{
	uint8_t *page = alloc_pages(0, FRAME_SLAB);
	size_t bytes = POOL_BYTES_MIN << class;

	if (!page)
		return false;
	for (size_t at = 0; at < PAGE_SIZE; at += bytes)
		*(uint16_t *)(page + at) = (uint16_t)(at + bytes < PAGE_SIZE ? at + bytes : SLAB_END);
	uint32_t number = (uint32_t)(pool_hpa(page) >> PAGE_SHIFT);

	slab_entry(number)->owner = 0;
	slab_link(class, number);
	return true;
}

void *pool_alloc(size_t bytes)
{
	unsigned class = class_of(bytes);

	spin_lock(&pool_lock);
	if (!partial[class] && !slab_create(class)) {
		spin_unlock(&pool_lock);
		return NULL;
	}
	struct frame *f = slab_entry(partial[class]);
	uint8_t *object = (uint8_t *)pool_va((hpa_t)partial[class] << PAGE_SHIFT) + (f->owner & SLAB_END);
	uint32_t in_use = (f->owner >> 16) + 1;

	f->owner = in_use << 16 | *(uint16_t *)object;
	if ((f->owner & SLAB_END) == SLAB_END)
		slab_unlink(class, f);
	spin_unlock(&pool_lock);
	return memset(object, 0, POOL_BYTES_MIN << class);
}

void pool_free(void *object, size_t bytes)
{
	if (!object)
		return;
	unsigned class = class_of(bytes);
	hpa_t page = pool_hpa(object) & ~PAGE_MASK;
	uint32_t offset = (uint32_t)((uint64_t)object & PAGE_MASK);
	struct frame *f = frame_entry(page);

	assert(f->type == FRAME_SLAB && !(offset & ((POOL_BYTES_MIN << class) - 1)));
	spin_lock(&pool_lock);
	uint32_t in_use = (f->owner >> 16) - 1;

	if ((f->owner & SLAB_END) == SLAB_END)
		slab_link(class, (uint32_t)(page >> PAGE_SHIFT));
	*(uint16_t *)object = (uint16_t)f->owner;
	f->owner = in_use << 16 | offset;
	if (in_use == 0) {
		slab_unlink(class, f);
		frame_pool_free(page, 0, FRAME_SLAB);
	}
	spin_unlock(&pool_lock);
}

uint64_t pool_bytes(void)
{
	return (frame_count(FRAME_POOL) + frame_count(FRAME_SLAB) + frame_count(FRAME_POOL_FREE)) * PAGE_SIZE;
}

uint64_t pool_free_bytes(void)
{
	return frame_count(FRAME_POOL_FREE) * PAGE_SIZE;
}
