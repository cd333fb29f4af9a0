/*
 * Memory objects: sets of host frames, which the kernel maps into VMs and names by handles.
 *
 * An object is a tree of the nested tables' kind (mm/nested_pt.h), from offsets to frames. Places only ever
 * fill, unless the object is frozen; what is there stays until then, or until the object is destroyed. That is
 * why reading and populating need no lock: frames come in by compare-and-swap, zeroed before, and the loser
 * gives back his own. Frames that the object
 * does not own need no tree: they are one contiguous range.
 *
 * A place that grants READ alone shares its frame with other places (the frame has more references): no VM may write there. One that is
 * to be written gets a frame of its own first (memory_unshare).
 */
#ifndef MM_MEMORY_H
#define MM_MEMORY_H

#include "mm/frame.h"
#include "mm/nested_pt.h"

#define MEMORY_BYTES_MAX (1ull << 40)

/* Read outside mm/ by `bytes` and memory_is_device only. May be moved: nothing points into it. */
struct memory {
	struct nested_pt tree; /* offset to frame; of wrapped frames there is none */
	uint64_t bytes;
	uint64_t resident, limit; /* bytes with a frame, maybe too many for a moment; most of them (0: any) */
	uint32_t owner, flags;
	bool writable;
	hpa_t base; /* wrapped frames, contiguous; 0: not wrapped */
};

/*
 * Makes an object of `bytes` (multiple of 4 KiB, 1 page to MEMORY_BYTES_MAX), owned by `owner` in the frame
 * table. flags: HILUM_MEMORY_LAZY (frames come on first use; else all now, the largest
 * blocks first), HILUM_MEMORY_4K_PAGES and HILUM_MEMORY_SHARE. STATUS_INVALID: size or flags; STATUS_NO_MEMORY: frames or pool;
 * everything was given back.
 */
must_check enum status memory_create(uint64_t bytes, uint32_t flags, uint32_t owner, struct memory *out);

/*
 * An object over [hpa, hpa + bytes), page-aligned, frames in use that are not freed with it (boot modules,
 * pages of the pool) and cannot be freed before it: never lazy. Read-only: memory_map refuses HILUM_MAP_WRITE
 * unless `writable`. STATUS_INVALID: alignment, size, or no RAM that we know.
 */
must_check enum status memory_wrap_frames(hpa_t hpa, uint64_t bytes, bool writable, struct memory *out);

/*
 * An object over device registers at [hpa, hpa + bytes), page-aligned: mapped uncached, and invisible to devices.
 * STATUS_DENIED: RAM, or registers that root mode uses (mm/frame.h); STATUS_INVALID: alignment or size.
 */
must_check enum status memory_wrap_device(hpa_t hpa, uint64_t bytes, struct memory *out);

static inline bool memory_is_device(const struct memory *mem)
{
	return mem->flags & HILUM_MEMORY_DEVICE;
}

/*
 * Frees the object's frames: by then no VM maps it and no TLB or window knows them.
 */
void memory_destroy(struct memory *mem);

/*
 * The frame address of the byte at `offset`, and the size of the block that it is part of (4 KiB, 2 MiB,
 * 1 GiB; 4 KiB for wrapped frames). An empty place is filled by a block of up to 2^order frames (order 0, 9,
 * 18). STATUS_INVALID: offset past the end; STATUS_NO_MEMORY.
 */
must_check enum status memory_get(struct memory *mem, uint64_t offset, unsigned order, hpa_t *hpa, uint64_t *block_bytes);

/*
 * Maps [offset, offset + bytes) of the object at gpa with `rights`, all valid for both, by the largest pages;
 * of a lazy object nothing: memory_populate_fault does. Locking as nested_pt_map. The object
 * must outlive the mapping. STATUS_DENIED (write to a read-only object); STATUS_EXISTS and
 * STATUS_NO_MEMORY as nested_pt_map: the caller unmaps the range.
 */
must_check enum status memory_map(struct nested_pt *npt, const struct memory *mem, gpa_t gpa, uint64_t offset, uint64_t bytes,
                                  unsigned rights);

/* One mapping of an object, as the kernel keeps it. */
struct memory_mapping {
	struct memory *memory;
	gpa_t gpa; /* of its first byte */
	uint64_t bytes;
	uint64_t offset; /* in the object */
	unsigned rights; /* HILUM_MAP_* */
};

/*
 * Answers a nested page fault at `fault` within mapping m: populates, and installs 2 MiB if the place is
 * empty, aligned in all three spaces, inside the mapping, and such a frame is free; else 4 KiB. STATUS_OK
 * also when another core has been faster. The caller has checked the access against m->rights, and keeps the
 * mapping from being unmapped meanwhile. STATUS_NO_MEMORY: no frame, or no page for a table.
 */
must_check enum status memory_populate_fault(struct nested_pt *npt, const struct memory_mapping *m, gpa_t fault);

/* ---- Frames under an object that lives: mm/memory_frames.c ----
 *
 * The caller keeps all others of these away. Offsets are page-aligned and inside the object, which is no wrapped one. But for those that only
 * look, no VM maps the pages, none can populate them, and no TLB or window knows their frames.
 */
#define MEMORY_PIECE_BYTES (PAGE_SIZE << FRAME_ORDER_2M)

/* The frames that come and go together: pages, or pieces. */
static inline uint64_t memory_grain(const struct memory *mem)
{
	return mem->flags & (HILUM_MEMORY_4K_PAGES | HILUM_MEMORY_SHARE) ? PAGE_SIZE : MEMORY_PIECE_BYTES;
}

/* For mm/memory*.c: a place that had this block has it no more. */
void memory_release_block(hpa_t hpa, unsigned order);

/* Looks: whether that page's frame is shared. */
bool memory_is_shared(const struct memory *mem, uint64_t offset);

/* Empties [from, to), of whole grains: zero when it is next used. `look`: only tells whether there is anything. */
bool memory_discard(struct memory *mem, uint64_t from, uint64_t to, bool look);

/* Looks: 64 bits that depend on the contents of a private page, never HILUM_DIGEST_NONE, which is for all others. */
uint64_t memory_digest(const struct memory *mem, uint64_t offset);

/*
 * b's page gets a's frame, and its own goes. STATUS_NOT_FOUND: they do not read the same at this moment, are one frame, or b's is shared
 * already. STATUS_BUSY: a's frame has too many users. `look`: only tells whether they read the same.
 */
must_check enum status memory_share(struct memory *a, uint64_t a_offset, struct memory *b, uint64_t b_offset, bool look);

/* The page gets a frame of its own, if it has none. STATUS_NO_MEMORY. */
must_check enum status memory_unshare(struct memory *mem, uint64_t offset);

/*
 * Of the piece at `offset`: its frames become one block, if it has all, single ones, and grains are pieces (FRAME_NOWHERE); or, its private
 * blocks up to 2 MiB that lie in that range (mm/frame.h; of 2 MiB at least) go elsewhere. *moved is how many frames have moved, also with STATUS_NO_MEMORY. `look`: how many
 * would, and nothing changes.
 */
must_check enum status memory_move(struct memory *mem, uint64_t offset, uint64_t range, bool look, uint64_t *moved);

#endif
