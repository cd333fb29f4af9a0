/*
 * Frames that change or go under VMs that run: discarding, sharing, copying on write, moving. All of it happens to memory that no VM, TLB,
 * window or IOMMU knows any more; it comes back by the next faults. Runs under the object lock. Must never change what a device may be
 * using, unless the caller vouches that none is.
 */
#include "kernel/cpu.h"
#include "kernel/vm.h"

const struct memory_object *vm_frozen[2];

/* The part of [from, to) of a memory object that a region shows. False: none. */
static bool region_shows(const struct range *r, const struct memory_object *object, uint64_t from, uint64_t to, gpa_t *gpa, uint64_t *bytes)
{
	uint64_t begin = ALIGN_DOWN(r->aux, PAGE_SIZE), end = begin + (r->last - r->first + 1);
	uint64_t first = begin > from ? begin : from, last = end < to ? end : to;

	*gpa = r->first + (first - begin);
	*bytes = last - first;
	return r->target == &object->object && !(r->aux & RANGE_HIDDEN) && first < last;
}

/* A device was told of a page only after its VM had touched it, since the VM lost it last. */
static bool devices_may_reach(const struct vm *vm, gpa_t gpa, uint64_t bytes)
{
	uint64_t page_bytes;
	hpa_t hpa;

	while (vm->devices != 0 && bytes != 0 && !nested_pt_lookup(&vm->npt, gpa + bytes - PAGE_SIZE, HILUM_MAP_READ, &hpa, &page_bytes))
		bytes -= PAGE_SIZE;
	return vm->devices != 0 && bytes != 0;
}

/* For all VMs that map a part of it: false if their devices may reach it, or (`unmap`) take it out of them. */
static bool pages_visit(const struct memory_object *object, uint64_t from, uint64_t to, bool unmap, struct cpu *self)
{
	uint64_t bytes;
	gpa_t gpa;

	for (struct vm *vm = vm_list; vm != NULL; vm = vm->next)
		for (uint32_t i = 0; vm->regions != NULL && i < vm->regions->count; i++) {
			if (!region_shows(&vm->regions->range[i], object, from, to, &gpa, &bytes))
				continue;
			if (unmap)
				vm_unmap_pages(vm, gpa, bytes, self);
			else if (devices_may_reach(vm, gpa, bytes))
				return false;
		}
	return true;
}

/* From STATUS_OK on nobody reaches the pages, until pages_give. STATUS_BUSY: a device may, and the caller does not say that none does. */
static enum status pages_take(const struct memory_object *object, unsigned n, uint64_t from, uint64_t to, uint64_t quiet, struct cpu *self)
{
	__atomic_store_n(&vm_frozen[n], object, __ATOMIC_SEQ_CST);
	object_quiesce(self); /* no core populates it any more */
	if (!(quiet & HILUM_MEMORY_QUIET) && !pages_visit(object, from, to, false, self))
		return STATUS_BUSY;
	pages_visit(object, from, to, true, self);
	return STATUS_OK;
}

static void pages_give(void)
{
	__atomic_store_n(&vm_frozen[0], NULL, __ATOMIC_RELEASE);
	__atomic_store_n(&vm_frozen[1], NULL, __ATOMIC_RELEASE);
}

enum status vm_discard(struct vm *vm, gpa_t gpa, uint64_t bytes, struct cpu *self)
{
	const struct range *r = range_find(vm->regions, gpa);

	if (bytes == 0 || bytes > HILUM_DISCARD_BYTES_MAX || r == NULL || bytes - 1 > r->last - gpa || !(r->aux & HILUM_MAP_WRITE))
		return STATUS_INVALID;
	struct memory_object *object = container_of(r->target, struct memory_object, object);
	struct memory *memory = &object->memory;
	uint64_t offset = gpa - r->first + ALIGN_DOWN(r->aux, PAGE_SIZE), grain = memory_grain(memory);
	uint64_t from = ALIGN_UP(offset, grain), to = ALIGN_DOWN(offset + bytes, grain);
	if (!(memory->flags & HILUM_MEMORY_LAZY))
		return STATUS_INVALID;
	while (from < to && !memory_has_frames(memory, from, from + grain))
		from += grain; /* a guest may ask again and again: all cores are stopped for something only */
	if (from >= to)
		return STATUS_OK;
	enum status status = pages_take(object, 0, from, to, HILUM_MEMORY_QUIET, self);
	memory_discard(memory, from, to);
	pages_give();
	return status;
}

static bool can_share(const struct memory *memory, uint64_t offset)
{
	return memory->flags & HILUM_MEMORY_SHARE && !(offset & PAGE_MASK) && offset < memory->bytes;
}

enum status vm_share(struct memory_object *a, struct memory_object *b, const uint64_t *arg, struct cpu *self, uint64_t *done)
{
	uint64_t from = arg[1], to = arg[3];
	enum status status = STATUS_OK;

	*done = 0;
	if (!can_share(&a->memory, from) || !can_share(&b->memory, to) || (arg[4] & ~(uint64_t)HILUM_MEMORY_QUIET))
		return STATUS_INVALID;
	if (!memory_is_same(&a->memory, from, &b->memory, to))
		return STATUS_OK;
	if (!memory_is_shared(&a->memory, from)) /* else nobody writes to it */
		status = pages_take(a, 0, from, from + PAGE_SIZE, arg[4], self);
	if (status == STATUS_OK)
		status = pages_take(b, 1, to, to + PAGE_SIZE, arg[4], self);
	if (status == STATUS_OK && memory_is_same(&a->memory, from, &b->memory, to)) {
		status = memory_share(&a->memory, from, &b->memory, to);
		*done = status == STATUS_OK;
	}
	pages_give();
	return status;
}

enum status vm_unshare(struct memory_object *object, uint64_t offset)
{
	struct cpu *self = cpu_self();
	enum status status = STATUS_OK;

	if (!object_lock_try())
		return status;
	if (memory_is_shared(&object->memory, offset)) { /* and no device has been told of it: host_pci_dma_address writes first */
		status = pages_take(object, 0, offset, offset + PAGE_SIZE, HILUM_MEMORY_QUIET, self);
		status = memory_unshare(&object->memory, offset);
		pages_give();
	}
	object_unlock(self); /* the object may be gone */
	return status;
}

enum status vm_move(struct memory_object *object, const uint64_t *arg, struct cpu *self, uint64_t *done)
{
	struct memory *memory = &object->memory;
	uint64_t offset = arg[1], how = arg[2] & ~(uint64_t)HILUM_MEMORY_QUIET, end = offset + MEMORY_PIECE_BYTES;
	uint32_t gib = how == HILUM_MOVE_GATHER ? FRAME_ANY_GIB : (uint32_t)arg[3];

	*done = 0;
	if ((how != HILUM_MOVE_GATHER && how != HILUM_MOVE_LEAVE) || arg[3] >= FRAME_ANY_GIB || (offset & (MEMORY_PIECE_BYTES - 1)) ||
	    offset >= memory->bytes || memory->base != 0)
		return STATUS_INVALID;
	enum status status = memory_move(memory, offset, gib, true, done);
	if (*done == 0)
		return status;
	*done = 0;
	status = pages_take(object, 0, offset, end < memory->bytes ? end : memory->bytes, arg[2], self);
	if (status == STATUS_OK)
		status = memory_move(memory, offset, gib, false, done);
	pages_give();
	return status;
}
