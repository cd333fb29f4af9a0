/*
 * Frames that change or go under VMs that run: discarding, sharing, copying on write, moving. All of it happens to memory that no VM, TLB,
 * window or IOMMU knows any more; it comes back by the next faults. Runs under the object lock. Must never change what a device may be
 * using, unless the caller vouches that none is.
 */
#include "kernel/cpu.h"
#include "kernel/vm.h"
#include "mm/iommu.h"

bool vm_pages_move;

/* A device was told of a page only after its VM had touched it, since the VM lost it last. */
static bool devices_may_reach(const struct vm *vm, gpa_t gpa, uint64_t bytes)
{
	uint64_t page_bytes;
	hpa_t hpa;

	while (vm->devices != 0 && bytes != 0 && !nested_pt_lookup(&vm->npt, gpa + bytes - PAGE_SIZE, HILUM_MAP_READ, &hpa, &page_bytes))
		bytes -= PAGE_SIZE;
	return vm->devices != 0 && bytes != 0;
}

/*
 * All that VMs map of [from, to) of an object goes out of them. From STATUS_OK on nobody reaches the pages, until pages_give, which follows in
 * any case. STATUS_BUSY: a device may, and `flags` does not say that none does; what is out of a VM then comes back by a fault, too.
 */
static enum status pages_take(const struct memory_object *object, uint64_t from, uint64_t to, uint64_t flags, struct cpu *self)
{
	enum status status = STATUS_OK;

	__atomic_store_n(&vm_pages_move, true, __ATOMIC_SEQ_CST);
	object_quiesce(self); /* no core populates it any more */
	for (struct vm *vm = vm_list; vm != NULL; vm = vm->next)
		for (uint32_t i = 0; vm->regions != NULL && i < vm->regions->count; i++) {
			const struct range *r = &vm->regions->range[i];
			uint64_t begin = ALIGN_DOWN(r->aux, PAGE_SIZE), end = begin + (r->last - r->first + 1);
			uint64_t first = begin > from ? begin : from, last = end < to ? end : to;
			gpa_t gpa = r->first + (first - begin);
			if (r->target != &object->object || r->aux & RANGE_HIDDEN || first >= last)
				continue;
			if (!(flags & HILUM_MEMORY_QUIET) && devices_may_reach(vm, gpa, last - first)) {
				status = STATUS_BUSY;
				continue;
			}
			nested_pt_unmap(&vm->npt, gpa, last - first, &vm->garbage);
			iommu_unmap(vm->domain, gpa, last - first);
		}
	object_quiesce(self); /* and none has translations */
	for (struct vm *vm = vm_list; vm != NULL; vm = vm->next)
		nested_pt_garbage_free(&vm->npt, &vm->garbage);
	return status;
}

static void pages_give(void)
{
	__atomic_store_n(&vm_pages_move, false, __ATOMIC_RELEASE);
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
	while (from < to && !memory_discard(memory, from, from + grain, true))
		from += grain; /* a guest may ask again and again: all cores are stopped for something only */
	if (from >= to)
		return STATUS_OK;
	enum status status = pages_take(object, from, to, HILUM_MEMORY_QUIET, self);
	(void)memory_discard(memory, from, to, false);
	pages_give();
	return status;
}

int64_t vm_share(struct memory_object *a, uint64_t from, struct memory_object *b, uint64_t to, uint64_t flags, struct cpu *self)
{
	enum status status = STATUS_OK;

	if (!(a->memory.flags & b->memory.flags & HILUM_MEMORY_SHARE) || ((from | to) & PAGE_MASK) || from >= a->memory.bytes ||
	    to >= b->memory.bytes || (flags & ~(uint64_t)HILUM_MEMORY_QUIET))
		return STATUS_INVALID;
	if (memory_share(&a->memory, from, &b->memory, to, true) != STATUS_OK)
		return 0;
	if (!memory_is_shared(&a->memory, from)) /* else nobody writes to it */
		status = pages_take(a, from, from + PAGE_SIZE, flags, self);
	if (status == STATUS_OK)
		status = pages_take(b, to, to + PAGE_SIZE, flags, self);
	if (status == STATUS_OK)
		status = memory_share(&a->memory, from, &b->memory, to, false);
	pages_give();
	return status == STATUS_BUSY ? status : status == STATUS_OK;
}

enum status vm_unshare(struct memory_object *object, uint64_t offset)
{
	struct cpu *self = cpu_self();

	if (!object_lock_try())
		return STATUS_OK;
	enum status status = pages_take(object, offset, offset + PAGE_SIZE, HILUM_MEMORY_QUIET,
	                                self); /* no device is told of such a page */
	if (status == STATUS_OK)
		status = memory_unshare(&object->memory, offset);
	pages_give();
	object_unlock(self); /* the object may be gone */
	return status;
}

int64_t vm_move(struct memory_object *object, uint64_t offset, uint64_t flags, uint64_t range, struct cpu *self)
{
	struct memory *memory = &object->memory;
	uint64_t how = flags & ~(uint64_t)HILUM_MEMORY_QUIET, moved;

	if (how == HILUM_MOVE_GATHER)
		range = FRAME_NOWHERE;
	else if (how != HILUM_MOVE_LEAVE || range >= FRAME_HPA_LIMIT ||
	         (range & PAGE_MASK) - HILUM_MOVE_ORDER_MIN > HILUM_MOVE_ORDER_MAX - HILUM_MOVE_ORDER_MIN)
		return STATUS_INVALID;
	if ((offset & (MEMORY_PIECE_BYTES - 1)) || offset >= memory->bytes || memory->base != 0)
		return STATUS_INVALID;
	enum status status = memory_move(memory, offset, range, true, &moved);
	if (moved == 0)
		return 0;
	uint64_t left = memory->bytes - offset;
	status = pages_take(object, offset, offset + (left < MEMORY_PIECE_BYTES ? left : MEMORY_PIECE_BYTES), flags, self);
	if (status == STATUS_OK)
		status = memory_move(memory, offset, range, false, &moved);
	pages_give();
	return status == STATUS_OK ? (int64_t)moved : status;
}
