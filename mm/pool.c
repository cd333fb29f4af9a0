/*
 * The kernel's pool: pages are blocks of the frame allocator's pool zone; small objects are cut from pages
 * that stay cut. Takes pool_lock, then frame_lock. Never touches memory that is not the
 * pool's.
 */
#include "mm/pool.h"

#include "arch/x86_64/spinlock.h"
#include "arch/x86_64/string.h"
#include "mm/frame.h"
#include "mm/host_pt.h"

struct free_object {
	struct free_object *next;
};

static struct spinlock pool_lock = SPINLOCK_INIT(LOCK_RANK_POOL);
static struct free_object *free_objects; /* under pool_lock */
static hpa_t seed_next, seed_end;        /* single pages, while boot runs on one core; empty from pool_open on */

/* ---- Pages ---- */

void pool_start(hpa_t seed, hpa_t end)
{
	seed_next = seed;
	seed_end = end;
}

void pool_open(void)
{
	for (; seed_next < seed_end; seed_next += PAGE_SIZE)
		frame_pool_donate(seed_next, FRAME_ORDER_4K);
}

/* Adds 2 MiB. The block is this core's alone until it is donated: no lock. */
static bool pool_grow(void)
{
	hpa_t block;

	if (frame_alloc(FRAME_ORDER_2M, FRAME_KERNEL, FRAME_OWNER_KERNEL, FRAME_NOWHERE, &block) != STATUS_OK)
		return false;
	host_pt_map_block(POOL_BASE + block, block);
	frame_pool_donate(block, FRAME_ORDER_2M);
	return true;
}

void *pool_alloc_pages(unsigned order)
{
	hpa_t hpa;

	assert(order <= POOL_ORDER_MAX);
	if (unlikely(seed_next < seed_end)) {
		assert(order == 0);
		seed_next += PAGE_SIZE;
		return memset(pool_va(seed_next - PAGE_SIZE), 0, PAGE_SIZE);
	}
	while (frame_alloc(order, FRAME_POOL, FRAME_OWNER_KERNEL, FRAME_NOWHERE, &hpa) != STATUS_OK) {
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

static void object_push(void *object)
{
	struct free_object *f = object;

	f->next = free_objects;
	free_objects = f;
}

void *pool_alloc(size_t bytes)
{
	assert(bytes <= POOL_OBJECT_BYTES);
	spin_lock(&pool_lock);
	if (!free_objects) {
		uint8_t *page = pool_alloc_page();

		for (size_t at = 0; page && at < PAGE_SIZE; at += POOL_OBJECT_BYTES)
			object_push(page + at);
	}
	struct free_object *object = free_objects;

	if (object)
		free_objects = object->next;
	spin_unlock(&pool_lock);
	return object ? memset(object, 0, POOL_OBJECT_BYTES) : NULL;
}

void pool_free(void *object)
{
	if (!object)
		return;
	assert(!((uint64_t)object & (POOL_OBJECT_BYTES - 1)));
	spin_lock(&pool_lock);
	object_push(object);
	spin_unlock(&pool_lock);
}
