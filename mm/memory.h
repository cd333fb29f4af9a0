/*
 * Memory objects: sets of host frames, which the kernel maps into VMs and names by handles.
 *
 * An object is an array of 2 MiB slots. A slot is empty (lazy), one 2 MiB frame, part of a 1 GiB frame, or a
 * table of 4 KiB frames, each of them empty or not. Slots only ever fill; what is there stays until the last
 * reference goes. That is why reading and populating need no lock: frames and tables come in by
 * compare-and-swap, zeroed before, and the loser gives back his own. Every frame is zeroed before it becomes
 * part of an object.
 */
#ifndef MM_MEMORY_H
#define MM_MEMORY_H

#include "mm/frame.h"
#include "mm/nested_pt.h"

struct memory;

#define MEMORY_BYTES_MAX (496ull << 30)

/*
 * Makes an object of `bytes` (multiple of 4 KiB, 1 page to MEMORY_BYTES_MAX), owned by `owner` in the frame
 * table, with one reference. flags: HILUM_MEMORY_LAZY (frames come on first use; else all now, the largest
 * blocks first) and HILUM_MEMORY_4K_PAGES. STATUS_INVALID: size or flags; STATUS_NO_MEMORY: frames or pool;
 * everything was given back.
 */
must_check enum status memory_create(uint64_t bytes, uint32_t flags, uint32_t owner, struct memory **out);

/*
 * An object over [hpa, hpa + bytes), page-aligned, frames in use that are not freed with it (boot modules,
 * the kernel's log ring): never lazy. Read-only: memory_map refuses HILUM_MAP_WRITE unless `writable`.
 * STATUS_NO_MEMORY: pool.
 */
must_check enum status memory_wrap_frames(hpa_t hpa, uint64_t bytes, bool writable, struct memory **out);

/*
 * An object over one page from pool_alloc_page that the kernel shares with a VM, writable. The page stays the
 * caller's, who frees it after the last memory_unref and not before (pool_free_page panics on a page in use).
 * STATUS_NO_MEMORY: pool.
 */
must_check enum status memory_wrap_pool_page(void *page, struct memory **out);

/* One user more; one less. The last one frees frames and object: by then no VM maps it and no TLB or window
 * knows its frames. */
void memory_ref(struct memory *mem);
void memory_unref(struct memory *mem);

/* Size in bytes; and how much of it has frames now. */
uint64_t memory_bytes(const struct memory *mem);
uint64_t memory_populated_bytes(const struct memory *mem);

bool memory_is_lazy(const struct memory *mem);
bool memory_is_writable(const struct memory *mem);

/*
 * The frame of page `index` (4 KiB pages), and the order of the block that it is part of (0, 9, 18; 0 for
 * wrapped frames). With `populate` an empty place is filled by one 4 KiB frame. STATUS_INVALID: index past
 * the end; STATUS_NOT_FOUND: empty and not `populate`; STATUS_NO_MEMORY.
 */
must_check enum status memory_get(struct memory *mem, uint64_t index, bool populate, hpa_t *hpa,
				  unsigned *order);

/*
 * Maps [offset, offset + bytes) of the object at gpa (all multiples of 4 KiB) with `rights`, as far as it is
 * populated, by the largest pages. Locking as nested_pt_map. The caller keeps a reference for as long as the
 * mapping exists. On error nothing is mapped: STATUS_INVALID (range, alignment), STATUS_DENIED (write to a
 * read-only object), STATUS_EXISTS, STATUS_NO_MEMORY. Pages of a lazy object that another core populates
 * meanwhile may be left to the fault path.
 */
must_check enum status memory_map(struct nested_pt *npt, struct memory *mem, gpa_t gpa, uint64_t offset,
				  uint64_t bytes, unsigned rights);

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
must_check enum status memory_populate_fault(struct nested_pt *npt, const struct memory_mapping *m,
					     gpa_t fault);

/* ---- For mm/ alone ---- */

/*
 * What lies at page `index`, which must exist, and how far it goes: *hpa (0: empty), and the number of pages
 * from there that are contiguous, or empty alike, at least 1; it may reach beyond the object's end.
 */
uint64_t memory_extent(const struct memory *mem, uint64_t index, hpa_t *hpa);

/* As memory_get with `populate`; with `large` an empty slot is filled by a 2 MiB frame where possible. */
must_check enum status memory_populate(struct memory *mem, uint64_t index, bool large, hpa_t *hpa,
				       unsigned *order);

#endif
