/*
 * The frame table: who owns each 4 KiB frame of RAM; and the buddy allocator that lives inside it.
 *
 * Frames are handed out in blocks of 2^order frames, aligned to their size. A block's state is in the entry
 * of its first frame (its head); every other entry of the block says FRAME_TAIL. Two zones share the code:
 * general memory (FRAME_FREE), and what the kernel's pool took from it (FRAME_POOL_FREE, mm/pool.h). The
 * table never holds or touches a frame's contents: a frame comes with whatever was in it, and whoever hands
 * it on zeroes it first.
 *
 * Lock: frame_lock (rank FRAME) covers the table, the free lists and the counters. Every function here takes
 * it by itself.
 */
#ifndef MM_FRAME_H
#define MM_FRAME_H

#include "arch/x86_64/panic.h"
#include "arch/x86_64/status.h"
#include "boot/boot_info.h"

#include <hilum/abi.h>

#define FRAME_ORDER_4K  0u
#define FRAME_ORDER_2M  9u
#define FRAME_ORDER_1G  18u
#define FRAME_ORDER_MAX FRAME_ORDER_1G

#define FRAME_HPA_LIMIT (1ull << 44) /* RAM above is left alone: frame numbers have 32 bits */

enum frame_type {
	FRAME_ABSENT = 0, /* not RAM, or RAM of the firmware's (ACPI tables too) that is none of ours */
	FRAME_TAIL,       /* part of the block whose head lies below */
	FRAME_FREE,
	FRAME_POOL_FREE, /* taken by the pool, mapped, not in use */
	FRAME_POOL,      /* pages of the pool in use */
	FRAME_KERNEL,    /* image, trampoline, frame table */
	FRAME_GUEST,     /* memory object's */
	FRAME_MODULE,    /* boot module's */
	FRAME_TYPE_COUNT
};

#define FRAME_OWNER_KERNEL 0u
#define FRAME_OWNER_MOVES  1u /* a memory object with HILUM_MEMORY_MOVES */

/* One entry. A block in use may keep anything in next and prev: they belong to the owner of the block then.
 */
struct frame {
	uint32_t next, prev; /* frame numbers, 0 for none (frame 0 is never free): neighbours in a free list */
	uint32_t owner;      /* FRAME_OWNER_*, or what was given at allocation */
	uint16_t refs;       /* users of a block in use, at least 1 */
	uint8_t type;        /* enum frame_type */
	uint8_t order;       /* of the block; meaningless in tails */
};
_Static_assert(sizeof(struct frame) == 16, "DESIGN.md: 16 bytes a frame");

/* A naturally aligned range of 2^order frames in one word: its address | order. */
#define FRAME_NOWHERE (1ull << 63) /* a range that no RAM is in */

/*@ requires (range & PAGE_MASK) < 64 - PAGE_SHIFT;
  @ assigns \nothing;
  @*/
static inline bool frame_in_range(hpa_t hpa, uint64_t range)
{
	return !((hpa ^ range) >> (PAGE_SHIFT + (range & PAGE_MASK)));
}

/*
 * Takes a block of 2^order frames (order <= FRAME_ORDER_MAX; FRAME_ORDER_2M for FRAME_POOL, which comes from
 * what the pool has), not from `range`, and records type (one of those in use) and owner, with one reference. *out is its
 * host-physical address. Contents are stale: zero it before a VM can see it. STATUS_NO_MEMORY: no free block
 * is large enough, or a search in the range, which is bounded, finds none.
 */
must_check enum status frame_alloc(unsigned order, enum frame_type type, uint32_t owner, uint64_t range, hpa_t *out);

/*
 * Gives back a block from frame_alloc; order, type and owner must be those it was taken with and exactly one
 * reference must be left, else the kernel panics. No CPU may be able to reach it any more.
 */
void frame_free(hpa_t hpa, unsigned order, enum frame_type type, uint32_t owner);

/* The head entry of the block that `hpa` lies in, its address in *head (may be NULL); NULL if hpa is no RAM
 * that we know. */
struct frame *frame_lookup(hpa_t hpa, hpa_t *head);

/* `step` users more (fewer, if negative) of the block in use whose head is hpa. The last one goes by
 * frame_free only. */
void frame_add_refs(hpa_t hpa, int step);

/* All of *out, and what [base, base + bytes), of whole pages, is used for; as good as the moment. */
void frame_get_figures(hpa_t base, uint64_t bytes, struct hilum_frames *out);

/* Frames (4 KiB each) that are of this type now. FRAME_TAIL and FRAME_ABSENT give 0: a tail counts as its
 * head's type. */
uint64_t frame_count(enum frame_type type);

/* All frames of all types. Constant after boot. */
extern uint64_t frame_total;

/* ---- Device registers: mm/mmio.c ----
 *
 * A VM may have those that are not RAM, that root mode does not use itself, and to which a write is no interrupt.
 */

/* No RAM that we know of lies in [first, last]. */
bool mmio_is_no_ram(hpa_t first, hpa_t last);

/* Keeps [first, last] for root mode, for ever. False: RAM, or too many such ranges. Boot core, before VMs exist. */
bool mmio_claim(hpa_t first, hpa_t last);

/* True if a VM may have [hpa, hpa + bytes); it does not wrap. */
bool mmio_is_free(hpa_t hpa, uint64_t bytes);

/* ---- For mm/ alone ---- */

/* The entry of one frame of RAM that is known to exist. */
struct frame *frame_entry(hpa_t hpa);

/* First step: notes the GiBs that known RAM below FRAME_HPA_LIMIT touches, as frame_has_gib tells then, and
 * returns their number. */
uint64_t frame_note_ranges(const struct boot_info *info);

/* Fills the table, which must be mapped (entries of zeroes) for every such GiB. The FREE ranges go to the allocator. */
void frame_init(const struct boot_info *info);

/* True if any frame of the GiB that hpa lies in is RAM known to us; the frame table is mapped there then. */
bool frame_has_gib(hpa_t hpa);

/* Turns a block of FRAME_KERNEL frames that the pool has mapped (2 MiB, or a page of the first block) into
 * free pool memory. */
void frame_pool_donate(hpa_t hpa, unsigned order);

#endif
