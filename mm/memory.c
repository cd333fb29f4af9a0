/*
 * Memory objects, and their pages in the nested tables of VMs. Lock-free by design: a place goes from empty
 * to filled once, by compare-and-swap, and never back before the object goes, but for what mm/memory_frames.c does while nobody is there.
 * Must never let a frame into an object before it is zeroed.
 */
#include "mm/memory.h"

#include "arch/x86_64/features.h"
#include "mm/window.h"

/* ---- Filling ---- */

/* Puts a block of 2^order frames at `offset` rounded down to it. As nested_pt_install; STATUS_NO_MEMORY also
 * if the object must not or cannot hold such a block there. */
static enum status fill(struct memory *mem, uint64_t offset, unsigned order)
{
	uint64_t bytes = PAGE_SIZE << order, at = ALIGN_DOWN(offset, bytes);
	enum status status = STATUS_NO_MEMORY;
	hpa_t hpa;

	if (mem->bytes - at < bytes || (order && memory_grain(mem) == PAGE_SIZE))
		return status;
	if (__atomic_add_fetch(&mem->resident, bytes, __ATOMIC_RELAXED) - 1 <= mem->limit - 1 &&
	    frame_alloc(order, FRAME_GUEST, mem->owner, FRAME_NOWHERE, &hpa) == STATUS_OK) {
		window_zero_frames(hpa, order);
		status = nested_pt_install(&mem->tree, at, hpa, order, HILUM_MAP_READ | HILUM_MAP_WRITE);
		if (status != STATUS_OK)
			frame_free(hpa, order, FRAME_GUEST, mem->owner);
	}
	if (status != STATUS_OK)
		__atomic_sub_fetch(&mem->resident, bytes, __ATOMIC_RELAXED);
	return status;
}

enum status memory_get(struct memory *mem, uint64_t offset, unsigned order, hpa_t *hpa, uint64_t *block_bytes)
{
	if (offset >= mem->bytes)
		return STATUS_INVALID;
	if (mem->base) {
		*hpa = mem->base + offset;
		*block_bytes = PAGE_SIZE;
		return STATUS_OK;
	}
	while (!nested_pt_lookup(&mem->tree, offset, HILUM_MAP_READ, hpa, block_bytes)) {
		enum status status = fill(mem, offset, order);

		/* STATUS_EXISTS: another core's block, to be found now; or smaller ones around a hole. */
		if (status == STATUS_NO_MEMORY && !order)
			return status;
		if (status != STATUS_OK && order)
			order -= FRAME_ORDER_2M;
	}
	return STATUS_OK;
}

static enum status fill_all(struct memory *mem)
{
	enum status status = STATUS_OK;
	uint64_t block_bytes;
	hpa_t hpa;

	for (uint64_t at = 0; at < mem->bytes && status == STATUS_OK; at += block_bytes) {
		unsigned order = at & ((PAGE_SIZE << FRAME_ORDER_1G) - 1) ? FRAME_ORDER_2M : FRAME_ORDER_1G;

		status = memory_get(mem, at, order, &hpa, &block_bytes);
	}
	return status;
}

/* ---- Life ---- */

/* Of any object, at `base` or (0) at frames of its own. */
static bool is_valid(hpa_t base, uint64_t bytes)
{
	return bytes && !((base | bytes) & PAGE_MASK) && bytes <= MEMORY_BYTES_MAX && base < HPA_LIMIT && base + bytes <= HPA_LIMIT;
}

enum status memory_create(uint64_t bytes, uint32_t flags, uint32_t owner, struct memory *out)
{
	struct memory mem = { .bytes = bytes, .owner = owner, .flags = flags, .writable = true };

	if (!is_valid(0, bytes) || flags & ~(HILUM_MEMORY_LAZY | HILUM_MEMORY_4K_PAGES | HILUM_MEMORY_SHARE | HILUM_MEMORY_MOVES))
		return STATUS_INVALID;
	if (nested_pt_init(&mem.tree, &nested_pt_format) != STATUS_OK)
		return STATUS_NO_MEMORY;
	enum status status = flags & HILUM_MEMORY_LAZY ? STATUS_OK : fill_all(&mem);

	if (status == STATUS_OK)
		*out = mem;
	else
		memory_destroy(&mem);
	return status;
}

/* Adds `step` users to each block in the range; 0 only checks that all are RAM. */
static bool add_refs(hpa_t base, uint64_t bytes, int step)
{
	for (hpa_t at = base; at < base + bytes;) {
		hpa_t head;
		const struct frame *f = frame_lookup(at, &head);

		if (!f)
			return false;
		if (step)
			frame_add_refs(head, step);
		at = head + (PAGE_SIZE << f->order);
	}
	return true;
}

enum status memory_wrap_frames(hpa_t hpa, uint64_t bytes, bool writable, struct memory *out)
{
	if (!hpa || !is_valid(hpa, bytes) || !add_refs(hpa, bytes, 0))
		return STATUS_INVALID;
	add_refs(hpa, bytes, 1);
	*out = (struct memory){ .bytes = bytes, .writable = writable, .base = hpa };
	return STATUS_OK;
}

enum status memory_wrap_device(hpa_t hpa, uint64_t bytes, struct memory *out)
{
	if (!hpa || !is_valid(hpa, bytes))
		return STATUS_INVALID;
	if (!mmio_is_free(hpa, bytes))
		return STATUS_DENIED;
	*out = (struct memory){ .bytes = bytes, .writable = true, .base = hpa, .flags = HILUM_MEMORY_DEVICE };
	return STATUS_OK;
}

void memory_destroy(struct memory *mem)
{
	if (mem->base && !memory_is_device(mem))
		add_refs(mem->base, mem->bytes, -1);
	else if (!mem->base)
		nested_pt_destroy(&mem->tree, memory_release_block);
}

/* ---- Mapping ---- */

/* What a mapping with `rights` grants at `offset`. */
static unsigned rights_at(const struct memory *mem, uint64_t offset, unsigned rights)
{
	return memory_is_shared(mem, offset) ? rights & ~HILUM_MAP_WRITE : rights;
}

enum status memory_map(struct nested_pt *npt, const struct memory *mem, gpa_t gpa, uint64_t offset, uint64_t bytes, unsigned rights)
{
	enum status status = STATUS_OK;
	hpa_t hpa;

	if (rights & HILUM_MAP_WRITE && !mem->writable)
		return STATUS_DENIED;
	if (mem->base)
		return nested_pt_map(npt, gpa, mem->base + offset, bytes, rights | (memory_is_device(mem) ? NESTED_PT_UNCACHED : 0));
	if (mem->flags & HILUM_MEMORY_LAZY)
		return STATUS_OK;
	for (uint64_t at = offset, piece; at < offset + bytes && status == STATUS_OK; at += piece) {
		bool found = nested_pt_lookup(&mem->tree, at, HILUM_MAP_READ, &hpa, &piece);

		assert(found);
		piece -= at & (piece - 1);
		if (piece > offset + bytes - at)
			piece = offset + bytes - at;
		status = nested_pt_map(npt, gpa + (at - offset), hpa, piece, rights_at(mem, at, rights));
	}
	return status;
}

enum status memory_populate_fault(struct nested_pt *npt, const struct memory_mapping *m, gpa_t fault)
{
	gpa_t page = fault & ~PAGE_MASK, block = ALIGN_DOWN(fault, LARGE_PAGE_SIZE);
	bool large = !((m->gpa ^ m->offset) & (LARGE_PAGE_SIZE - 1)) && block >= m->gpa && block + LARGE_PAGE_SIZE <= m->gpa + m->bytes;
	uint64_t block_bytes;
	hpa_t hpa;
	enum status status = memory_get(m->memory, page - m->gpa + m->offset, large ? FRAME_ORDER_2M : FRAME_ORDER_4K, &hpa, &block_bytes);

	if (status != STATUS_OK)
		return status;
	if (large && block_bytes >= LARGE_PAGE_SIZE) {
		status = nested_pt_install(npt, block, ALIGN_DOWN(hpa, LARGE_PAGE_SIZE), FRAME_ORDER_2M, m->rights);
		if (status != STATUS_EXISTS)
			return status;
	}
	/* Also if a table of smaller pages stood in the way of a large one. */
	status = nested_pt_install(npt, page, hpa, FRAME_ORDER_4K, rights_at(m->memory, page - m->gpa + m->offset, m->rights));
	return status == STATUS_EXISTS ? STATUS_OK : status;
}
