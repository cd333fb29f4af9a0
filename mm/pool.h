/*
 * The kernel's own memory: pages and small objects, all mapped at POOL_BASE + hpa and nowhere else writable.
 *
 * The pool grows by 2 MiB blocks from the frame allocator; a page that was in the pool once stays in it.
 * Growing adds one entry to tables that exist since boot, so it needs neither memory nor a TLB shoot-down.
 * Locks: pool_lock (rank POOL) covers the list of small objects; the frame lock is taken inside. Any
 * context but NMI.
 */
#ifndef MM_POOL_H
#define MM_POOL_H

#include "arch/x86_64/layout.h"

#define POOL_ORDER_MAX    9u   /* of pool_alloc_pages: 2 MiB, what the pool grows by */
#define POOL_OBJECT_BYTES 128u /* of each small object; for more, take pages */

/* One zeroed page. NULL: the machine has neither a free pool page nor a free 2 MiB block. */
must_check void *pool_alloc_page(void);

/* 2^order contiguous zeroed pages, aligned to their size; order <= POOL_ORDER_MAX. NULL as above. */
must_check void *pool_alloc_pages(unsigned order);

/* Give back what pool_alloc_page(s) returned, with the same order. NULL is ignored. */
void pool_free_page(void *page);
void pool_free_pages(void *pages, unsigned order);

/* A zeroed object of up to POOL_OBJECT_BYTES, aligned to that. NULL: as pool_alloc_page. */
must_check void *pool_alloc(size_t bytes);

/* Gives it back. NULL is ignored. */
void pool_free(void *object);

/* Between a pool address and its host-physical address. Pure arithmetic: no check that the page is the
 * pool's. */
static inline hpa_t pool_hpa(const void *va)
{
	return (uint64_t)va - POOL_BASE;
}

/*@ assigns \nothing;
  @ ensures \result == (void *)(uint64_t)(POOL_BASE + hpa);
  @*/
static inline void *pool_va(hpa_t hpa)
{
	return (void *)(POOL_BASE + hpa);
}

/*
 * Boot core: pages come from [seed, end), upwards, which POOL_BASE maps already, until pool_open hands what is left of it to the frame
 * allocator.
 */
void pool_start(hpa_t seed, hpa_t end);
void pool_open(void);

#endif
