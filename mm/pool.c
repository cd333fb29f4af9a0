/*
 * The kernel's pool: pages are blocks of the frame allocator's pool zone; small objects are cut from pages
 * that stay with their size class. Takes pool_lock, then frame_lock. Never touches memory that is not the
 * pool's.
 */
#include "mm/pool.h"

#include "arch/x86_64/spinlock.h"
#include "arch/x86_64/string.h"
#include "mm/frame.h"
#include "mm/host_pt.h"

#define CLASS_SHIFT_MIN 5u /* 32 bytes */
#define CLASS_COUNT	7u /* to 2048 */

static_assert(POOL_BYTES_MIN == 1u << CLASS_SHIFT_MIN, "smallest class");
static_assert(POOL_BYTES_MAX == 1u << (CLASS_SHIFT_MIN + CLASS_COUNT - 1), "largest class");

struct free_object {
	struct free_object *next;
};

static struct spinlock pool_lock = SPINLOCK_INIT(LOCK_RANK_POOL);
static struct free_object *free_objects[CLASS_COUNT]; /* under pool_lock */

/* ---- Pages ---- */

/* Adds 2 MiB. The block is this core's alone until it is donated: no lock. */
static bool pool_grow(void)
{
	hpa_t block;

	if (frame_alloc(FRAME_ORDER_2M, FRAME_KERNEL, FRAME_OWNER_KERNEL, &block) != STATUS_OK)
		return false;
	host_pt_map_block(POOL_BASE + block, block);
	frame_pool_donate(block, FRAME_ORDER_2M);
	return true;
}

void *pool_alloc_pages(unsigned order)
{
	hpa_t hpa;

	assert(order <= POOL_ORDER_MAX);
	while (frame_alloc(order, FRAME_POOL, FRAME_OWNER_KERNEL, &hpa) != STATUS_OK) {
		if (!pool_grow())
			return NULL;
	}
	return memset(pool_va(hpa), 0, PAGE_SIZE << order);
}

void *pool_alloc_page(void)
{
	return pool_alloc_pages(0);
}

void pool_free_pages(void *pages, unsigned order)
{
	if (pages)
		frame_free(pool_hpa(pages), order, FRAME_POOL, FRAME_OWNER_KERNEL);
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

static void object_push(unsigned class, void *object)
{
	struct free_object *f = object;

	f->next = free_objects[class];
	free_objects[class] = f;
}

void *pool_alloc(size_t bytes)
{
	unsigned class = class_of(bytes);
	size_t size = POOL_BYTES_MIN << class;

	spin_lock(&pool_lock);
	if (!free_objects[class]) {
		uint8_t *page = pool_alloc_page();

		for (size_t at = 0; page && at < PAGE_SIZE; at += size)
			object_push(class, page + at);
	}
	struct free_object *object = free_objects[class];

	if (object)
		free_objects[class] = object->next;
	spin_unlock(&pool_lock);
	return object ? memset(object, 0, size) : NULL;
}

void pool_free(void *object, size_t bytes)
{
	unsigned class = class_of(bytes);

	if (!object)
		return;
	assert(!((uint64_t)object & ((POOL_BYTES_MIN << class) - 1)));
	spin_lock(&pool_lock);
	object_push(class, object);
	spin_unlock(&pool_lock);
}

uint64_t pool_bytes(void)
{
	return (frame_count(FRAME_POOL) + frame_count(FRAME_POOL_FREE)) * PAGE_SIZE;
}

uint64_t pool_free_bytes(void)
{
	return frame_count(FRAME_POOL_FREE) * PAGE_SIZE;
}
