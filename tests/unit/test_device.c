/*
 * Devices on the real kernel core, over an IOMMU that records: what a device reaches is what its VM has, from the moment it is
 * assigned to the moment it is taken away, and not longer.
 */
/* clang-format off */
/* UNIT_SOURCES: build/unit/kernel_fake.a */
/* UNIT_FLAGS: @tests/unit/fake_kernel/fake.flags @tests/unit/fake_kernel/fake.wrap */
/* clang-format on */
#include "tests/unit/fake_kernel/iommu_fake.h"

#include "kernel/device.h"

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
#define RID        0x20
#define RAM_GPA    0x100000ull
#define RW         (HILUM_MAP_READ | HILUM_MAP_WRITE)
#define OUT_AT     0x8000ull

static hilum_handle_t vm, vcpu, memory, device, event;

static int set_up(void **state)
{
	(void)state;
	fake_boot(2);
	memset(&fake_iommu, 0, sizeof(fake_iommu));
	vm = make_vm(HILUM_VM_DEVICES);
	make_vcpu(vm, 0, 1, &vcpu);
	memory = make_memory(4 * MIB);
	event = CALL_HANDLE(HC_EVENT_CREATE, vm, 0, 5, 0);
	device = CALL_HANDLE(HC_DEVICE_CREATE, HOST_HANDLE, RID, 0);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	fake_iommu.fail = false;
	fake_check_clean();
	for (unsigned i = 0; i < 65536; i++)
		assert_true(fake_iommu.domain[i] == 0 || i == FAKE_RESERVED_RID);
	for (unsigned i = CPU_IRQ_DEVICE_FIRST; i <= CPU_IRQ_DEVICE_LAST; i++)
		assert_true(fake_iommu.vector_rid[i] == 0 || fake_iommu.vector_rid[i] == FAKE_IOAPIC_RID);
	return 0;
}

static void assign(void)
{
	CALL_OK(HC_DEVICE_ASSIGN, device, vm, 0);
}

/* What the device sees at gpa: the host address, or HPA_INVALID. */
static hpa_t reach(gpa_t gpa, unsigned rights)
{
	uint64_t e = vm_of(vm)->domain->tree.root;

	for (int shift = 30; shift >= 12; shift -= 9) {
		const uint64_t *table = pool_va(e & NESTED_PT_ADDRESS);

		e = table[gpa >> shift & 511];
		if (!(e & 1) || ((rights & HILUM_MAP_WRITE) && !(e & 2)))
			return HPA_INVALID;
		if (shift == 12 || e & NESTED_PT_LARGE)
			return (e & NESTED_PT_ADDRESS & ~((1ull << shift) - 1)) | (gpa & ((1ull << shift) - 1));
	}
	return HPA_INVALID;
}

static hpa_t backing(gpa_t gpa)
{
	uint64_t bytes;
	hpa_t hpa = HPA_INVALID;

	(void)nested_pt_lookup(&vm_of(vm)->npt, gpa, HILUM_MAP_READ, &hpa, &bytes);
	return hpa;
}

static struct hilum_device_status status(void)
{
	struct hilum_device_status s;

	CALL_OK(HC_DEVICE_STATUS, device, OUT_AT);
	memcpy(&s, control_memory() + OUT_AT, sizeof(s));
	return s;
}

static void fault(uint16_t rid, uint64_t address)
{
	fake_iommu.faults[fake_iommu.fault_count++] = (struct iommu_fault){ rid, { HILUM_FAULT_DMA, 5, 1, 0, address } };
}

/* ---- Memory ---- */

static void map__vm_with_devices__is_mirrored_with_its_rights(void **state)
{
	(void)state;
	CALL_OK(HC_MEMORY_MAP, vm, memory, RAM_GPA, 0, MIB, RW);
	CALL_OK(HC_MEMORY_MAP, vm, memory, 0x40000000, MIB, 0x3000, HILUM_MAP_READ);
	for (gpa_t at = RAM_GPA; at < RAM_GPA + MIB; at += PAGE_SIZE)
		assert_int_equal(reach(at, RW), backing(at));
	assert_int_equal(reach(0x40002FFF, HILUM_MAP_READ), backing(0x40002FFF));
	assert_int_equal(reach(0x40000000, RW), HPA_INVALID);
	assert_int_equal(reach(RAM_GPA - 1, HILUM_MAP_READ), HPA_INVALID);
	assert_int_equal(reach(RAM_GPA + MIB, HILUM_MAP_READ), HPA_INVALID);
}

static void map__large_page__is_mirrored_large(void **state)
{
	(void)state;
	CALL_OK(HC_MEMORY_MAP, vm, memory, 0x200000, 0, 2 * MIB, RW);
	uint32_t pages = vm_of(vm)->domain->tree.table_pages;
	assert_int_equal(pages, 2);
	assert_int_equal(reach(0x3FFFFF, RW), backing(0x3FFFFF));
}

static void unmap__mirrored_range__is_flushed_before_it_returns(void **state)
{
	(void)state;
	CALL_OK(HC_MEMORY_MAP, vm, memory, RAM_GPA, 0, MIB, RW);
	unsigned flushes = fake_iommu.flushes;
	CALL_OK(HC_MEMORY_UNMAP, vm, RAM_GPA, MIB);
	assert_int_equal(fake_iommu.flushes, flushes + 1);
	assert_int_equal(reach(RAM_GPA, HILUM_MAP_READ), HPA_INVALID);
}

static void map__lazy_memory__is_mirrored_as_it_is_populated(void **state)
{
	(void)state;
	hilum_handle_t lazy = CALL_HANDLE(HC_MEMORY_CREATE, HOST_HANDLE, MIB, HILUM_MEMORY_LAZY | HILUM_MEMORY_4K_PAGES);
	CALL_OK(HC_MEMORY_MAP, vm, lazy, RAM_GPA, 0, MIB, RW);
	assert_int_equal(reach(RAM_GPA, HILUM_MAP_READ), HPA_INVALID);
	assert_int_equal(vm_populate(vm_of(vm), RAM_GPA + 0x5000, HILUM_MAP_WRITE), STATUS_OK);
	assert_int_equal(reach(RAM_GPA + 0x5123, RW), backing(RAM_GPA + 0x5123));
	assert_int_equal(reach(RAM_GPA + 0x4000, HILUM_MAP_READ), HPA_INVALID);
}

static bool has(const struct vm *of, gpa_t gpa)
{
	uint64_t bytes;
	hpa_t hpa;

	return nested_pt_lookup(&of->npt, gpa, HILUM_MAP_READ, &hpa, &bytes);
}

/* Blocks 0 to 3 are there; what is given back is 1 MiB to 6 MiB, that is, blocks 1 and 2. */
static void discard__part_of_lazy_memory__whole_blocks_go_everywhere(void **state)
{
	hilum_handle_t lazy = CALL_HANDLE(HC_MEMORY_CREATE, HOST_HANDLE, 8 * MIB, HILUM_MEMORY_LAZY), other = make_vm(0);
	uint64_t before = frame_count(FRAME_GUEST);

	(void)state;
	CALL_OK(HC_MEMORY_MAP, vm, lazy, 0x40000000, 0, 8 * MIB, RW);
	CALL_OK(HC_MEMORY_MAP, vm, lazy, 0x50000000, 5 * MIB, 3 * MIB, RW);
	CALL_OK(HC_MEMORY_MAP, other, lazy, 0x10001000, MIB, 2 * MIB, HILUM_MAP_READ);
	for (uint64_t at = 0; at < 8 * MIB; at += MIB)
		assert_int_equal(vm_populate(vm_of(vm), 0x40000000 + at, HILUM_MAP_WRITE), STATUS_OK);
	assert_int_equal(vm_populate(vm_of(vm), 0x50000000, HILUM_MAP_WRITE), STATUS_OK);
	assert_int_equal(vm_populate(vm_of(vm), 0x50000000 + 2 * MIB, HILUM_MAP_WRITE), STATUS_OK);
	assert_int_equal(vm_populate(vm_of(other), 0x10001000, HILUM_MAP_READ), STATUS_OK);
	assert_int_equal(vm_populate(vm_of(other), 0x10001000 + MIB, HILUM_MAP_READ), STATUS_OK);
	assert_int_equal(frame_count(FRAME_GUEST) - before, 8 * MIB / PAGE_SIZE);
	unsigned flushes = fake_iommu.flushes;
	CALL_OK(HC_MEMORY_DISCARD, vm, 0x40000000 + MIB, 5 * MIB);
	assert_int_equal(frame_count(FRAME_GUEST) - before, 4 * MIB / PAGE_SIZE);
	assert_int_equal(fake_iommu.flushes, flushes + 2);
	for (uint64_t at = 0; at < 8 * MIB; at += MIB) {
		bool there = at < 2 * MIB || at >= 6 * MIB;
		assert_int_equal(has(vm_of(vm), 0x40000000 + at), there);
		assert_int_equal(reach(0x40000000 + at, RW) != HPA_INVALID, there);
	}
	assert_false(has(vm_of(vm), 0x50000000)); /* MiB 5 */
	assert_true(has(vm_of(vm), 0x50000000 + 2 * MIB));
	assert_true(has(vm_of(other), 0x10001000)); /* MiB 1 */
	assert_false(has(vm_of(other), 0x10001000 + MIB));
	/* And all of it comes back. */
	assert_int_equal(vm_populate(vm_of(vm), 0x40000000 + 2 * MIB, HILUM_MAP_WRITE), STATUS_OK);
	assert_int_equal(vm_populate(vm_of(other), 0x10001000 + MIB, HILUM_MAP_READ), STATUS_OK);
	assert_int_equal(reach(0x40000000 + 2 * MIB, RW), backing(0x40000000 + 2 * MIB));
	assert_int_equal(frame_count(FRAME_GUEST) - before, 6 * MIB / PAGE_SIZE);
	CALL_OK(HC_MEMORY_DISCARD, vm, 0x40000000 + 3 * MIB, 2 * MIB + MIB - 1); /* no whole block: 3 to 6 MiB less a byte */
	CALL_OK(HC_MEMORY_DISCARD, vm, 0x40000000 + MIB, PAGE_SIZE);
	unsigned kicks = fake_kicks[1];
	CALL_OK(HC_MEMORY_DISCARD, vm, 0x40000000 + 4 * MIB, 2 * MIB); /* nothing is there: no core is stopped */
	assert_int_equal(fake_kicks[1], kicks);
	assert_int_equal(frame_count(FRAME_GUEST) - before, 6 * MIB / PAGE_SIZE);
}

/* While frames are taken out nobody puts one in; single pages go page by page where there are no larger ones. */
static void discard__single_pages__go_and_nothing_comes_while_frozen(void **state)
{
	hilum_handle_t lazy = CALL_HANDLE(HC_MEMORY_CREATE, HOST_HANDLE, 4 * MIB, HILUM_MEMORY_LAZY | HILUM_MEMORY_4K_PAGES);

	(void)state;
	CALL_OK(HC_MEMORY_MAP, vm, lazy, RAM_GPA, 0, 4 * MIB, RW);
	for (uint64_t at = 0; at < 3 * PAGE_SIZE; at += PAGE_SIZE)
		assert_int_equal(vm_populate(vm_of(vm), RAM_GPA + at, HILUM_MAP_WRITE), STATUS_OK);
	uint64_t frames = frame_count(FRAME_GUEST);
	CALL_OK(HC_MEMORY_DISCARD, vm, RAM_GPA + PAGE_SIZE - 1, PAGE_SIZE + 2); /* one whole page */
	assert_true(has(vm_of(vm), RAM_GPA));
	assert_false(has(vm_of(vm), RAM_GPA + PAGE_SIZE));
	assert_true(has(vm_of(vm), RAM_GPA + 2 * PAGE_SIZE));
	assert_int_equal(reach(RAM_GPA + PAGE_SIZE, RW), HPA_INVALID);
	assert_int_equal(frame_count(FRAME_GUEST), frames - 1);
	vm_pages_move = true;
	assert_int_equal(vm_populate(vm_of(vm), RAM_GPA + PAGE_SIZE, HILUM_MAP_WRITE), STATUS_OK);
	assert_false(has(vm_of(vm), RAM_GPA + PAGE_SIZE));
	assert_int_equal(reach(RAM_GPA + PAGE_SIZE, RW), HPA_INVALID);
	vm_pages_move = false;
	assert_int_equal(vm_populate(vm_of(vm), RAM_GPA + PAGE_SIZE, HILUM_MAP_WRITE), STATUS_OK);
	assert_true(has(vm_of(vm), RAM_GPA + PAGE_SIZE));
}

/* A device cannot come again: what it may have been told of stays where it is, unless the caller knows better. */
static void move_and_share__what_a_device_may_use__is_busy(void **state)
{
	hilum_handle_t shared = CALL_HANDLE(HC_MEMORY_CREATE, HOST_HANDLE, 2 * MIB, HILUM_MEMORY_LAZY | HILUM_MEMORY_SHARE);

	(void)state;
	CALL_OK(HC_MEMORY_MAP, vm, shared, RAM_GPA, 0, 2 * MIB, RW);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(vm_populate(vm_of(vm), RAM_GPA + i * PAGE_SIZE, HILUM_MAP_WRITE), STATUS_OK);
	hpa_t page = backing(RAM_GPA);
	uint64_t gib = page >> 30;
	assert_int_equal(CALL(HC_MEMORY_SHARE, shared, 0, shared, PAGE_SIZE, 0), 1); /* no device */
	assert_int_equal(vm_populate(vm_of(vm), RAM_GPA, HILUM_MAP_READ), STATUS_OK);
	assert_int_equal(reach(RAM_GPA, HILUM_MAP_READ), page);
	assert_int_equal(reach(RAM_GPA, RW), HPA_INVALID); /* whoever tells a device of it writes first: */
	assign();
	vm_of(vm)->flags |= HILUM_VM_DEVICES;
	assert_int_equal(vm_populate(vm_of(vm), RAM_GPA, HILUM_MAP_WRITE), STATUS_OK);
	assert_int_equal(vm_populate(vm_of(vm), RAM_GPA, HILUM_MAP_WRITE), STATUS_OK);
	assert_int_equal(reach(RAM_GPA, RW), backing(RAM_GPA));
	assert_int_equal(CALL(HC_MEMORY_SHARE, shared, PAGE_SIZE, shared, 0, 0), HILUM_E_BUSY);
	assert_int_equal(CALL(HC_MEMORY_MOVE, shared, 0, HILUM_MOVE_LEAVE, gib << 30 | 18), HILUM_E_BUSY);
	page = backing(RAM_GPA);
	assert_int_equal(reach(RAM_GPA, RW), page);
	unsigned flushes = fake_iommu.flushes;
	assert_true(CALL(HC_MEMORY_MOVE, shared, 0, HILUM_MOVE_LEAVE | HILUM_MEMORY_QUIET, gib << 30 | 18) > 0);
	assert_true(fake_iommu.flushes > flushes);
	assert_int_equal(reach(RAM_GPA, HILUM_MAP_READ), HPA_INVALID);
	assert_true(CALL(HC_MEMORY_MOVE, shared, 0, HILUM_MOVE_LEAVE, (gib ^ 1) << 30 | 18) > 0); /* nobody has touched it since */
	assert_int_equal(vm_populate(vm_of(vm), RAM_GPA, HILUM_MAP_WRITE), STATUS_OK);            /* touched again */
	assert_int_equal(reach(RAM_GPA, RW), backing(RAM_GPA));
}

static void map__device_registers__are_no_part_of_the_domain(void **state)
{
	(void)state;
	hilum_handle_t registers = CALL_HANDLE(HC_MEMORY_CREATE, HOST_HANDLE, MIB, HILUM_MEMORY_DEVICE, 0xFD000000);
	CALL_OK(HC_MEMORY_MAP, vm, registers, RAM_GPA, 0, MIB, RW);
	assert_int_equal(backing(RAM_GPA), 0xFD000000);
	assert_int_equal(reach(RAM_GPA, HILUM_MAP_READ), HPA_INVALID);
	CALL_OK(HC_MEMORY_UNMAP, vm, RAM_GPA, MIB);
}

static void map__beyond_the_iommus_addresses__is_refused_and_undone(void **state)
{
	(void)state;
	assert_int_equal(CALL(HC_MEMORY_MAP, vm, memory, (1ull << 39) - PAGE_SIZE, 0, 2 * PAGE_SIZE, RW), HILUM_E_INVALID);
	assert_int_equal(backing((1ull << 39) - PAGE_SIZE), HPA_INVALID);
	CALL_OK(HC_MEMORY_MAP, vm, memory, (1ull << 39) - PAGE_SIZE, 0, PAGE_SIZE, RW);
	assert_int_equal(reach((1ull << 39) - 1, RW), backing((1ull << 39) - 1));
}

static void map__vm_without_devices__has_no_domain(void **state)
{
	(void)state;
	hilum_handle_t plain = make_vm(0);
	assert_null(vm_of(plain)->domain);
	assert_int_equal(CALL(HC_DEVICE_ASSIGN, device, plain, 0), HILUM_E_INVALID);
}

static void create_vm__no_domain_left__is_refused(void **state)
{
	(void)state;
	struct hilum_vm_config config = { .flags = HILUM_VM_DEVICES, .name = "one" };
	memcpy(control_memory(), &config, sizeof(config));
	for (unsigned i = 0; i < IOMMU_DOMAINS_MAX - 1; i++)
		CALL_HANDLE(HC_VM_CREATE, HOST_HANDLE, 0);
	assert_int_equal(CALL(HC_VM_CREATE, HOST_HANDLE, 0), HILUM_E_NO_MEMORY);
	CALL_OK(HC_VM_DESTROY, vm);
	CALL_HANDLE(HC_VM_CREATE, HOST_HANDLE, 0);
}

/* ---- Life ---- */

static void assign__device__reaches_that_vm_only(void **state)
{
	(void)state;
	assert_int_equal(fake_iommu.domain[RID], 0);
	assert_int_equal(status().state, HILUM_DEVICE_BLOCKED);
	assign();
	assert_int_equal(fake_iommu.domain[RID], vm_of(vm)->domain->id);
	assert_int_equal(status().state, HILUM_DEVICE_ASSIGNED);
	assert_int_equal(CALL(HC_DEVICE_ASSIGN, device, make_vm(HILUM_VM_DEVICES), 0), HILUM_E_BUSY);
	CALL_OK(HC_DEVICE_ASSIGN, device, 0, 0);
	assert_int_equal(fake_iommu.domain[RID], 0);
	assign();
}

static void destroy_vm__assigned_device__is_blocked_and_free_again(void **state)
{
	(void)state;
	assign();
	CALL(HC_DEVICE_BIND_IRQ, device, 0, event);
	CALL_OK(HC_VM_DESTROY, vm);
	assert_int_equal(fake_iommu.domain[RID], 0);
	assert_int_equal(status().state, HILUM_DEVICE_BLOCKED);
	for (unsigned i = 0; i < 256; i++)
		assert_int_equal(fake_iommu.vector_rid[i], 0);
	vm = make_vm(HILUM_VM_DEVICES);
	assign();
}

static void close__last_handle__blocks_the_device(void **state)
{
	(void)state;
	assign();
	CALL_OK(HC_HANDLE_CLOSE, device);
	assert_int_equal(fake_iommu.domain[RID], 0);
	device = CALL_HANDLE(HC_DEVICE_CREATE, HOST_HANDLE, RID, 0);
}

/* The fault interrupt walks the list without a lock. */
static void close__last_handle__freed_when_no_core_can_know_it(void **state)
{
	(void)state;
	uint64_t epoch = cpu_table[0]->epoch;
	CALL_OK(HC_HANDLE_CLOSE, device);
	assert_true(cpu_table[0]->epoch >= epoch + 2); /* after the handle has gone, and after the list has forgotten it */
	device = CALL_HANDLE(HC_DEVICE_CREATE, HOST_HANDLE, RID, 0);
}

static void release__interrupt_is_bound__reaches_nobody_any_more(void **state)
{
	(void)state;
	assign();
	unsigned vector = (unsigned)(CALL(HC_DEVICE_BIND_IRQ, device, 0, event) >> 32);
	assert_int_equal(vm_of(vm)->devices, 1);
	CALL_OK(HC_DEVICE_ASSIGN, device, 0, 0);
	assert_int_equal(vm_of(vm)->devices, 0); /* else its pages could never be shared or moved again */
	assert_int_equal(fake_iommu.vector_rid[vector], 0);
	fake_irq[vector](vector);
	assert_int_equal(vm_of(vm)->shared->pending[0][0], 0);
}

static void create__no_requester_or_one_that_is_there__is_refused(void **state)
{
	(void)state;
	assert_int_equal(CALL(HC_DEVICE_CREATE, HOST_HANDLE, 0x10000, 0), HILUM_E_UNSUPPORTED);
	assert_int_equal(CALL(HC_DEVICE_CREATE, HOST_HANDLE, RID, 0), HILUM_E_EXISTS);
	hilum_handle_t second = CALL_HANDLE(HC_DEVICE_CREATE, HOST_HANDLE, RID + 1, 0),
		       third = CALL_HANDLE(HC_DEVICE_CREATE, HOST_HANDLE, RID + 2, 0);
	CALL_OK(HC_HANDLE_CLOSE, second); /* the one in the middle */
	assert_int_equal(CALL(HC_DEVICE_CREATE, HOST_HANDLE, RID, 0), HILUM_E_EXISTS);
	assert_int_equal(CALL(HC_DEVICE_CREATE, HOST_HANDLE, RID + 2, 0), HILUM_E_EXISTS);
	CALL_OK(HC_HANDLE_CLOSE, third);
}

static void assign__machine_without_iommu__only_if_the_caller_says_so(void **state)
{
	const uint32_t features = iommu_features;

	(void)state;
	iommu_features = 0;
	assert_int_equal(CALL(HC_DEVICE_ASSIGN, device, vm, 0), HILUM_E_UNSUPPORTED);
	CALL_OK(HC_DEVICE_ASSIGN, device, vm, HILUM_DEVICE_UNPROTECTED);
	CALL_OK(HC_DEVICE_ASSIGN, device, 0, 0);
	iommu_features = features;
}

static void assign__no_memory_for_tables__stays_blocked(void **state)
{
	(void)state;
	fake_iommu.fail = true;
	assert_int_equal(CALL(HC_DEVICE_ASSIGN, device, vm, 0), HILUM_E_NO_MEMORY);
	fake_iommu.fail = false;
	assert_int_equal(status().state, HILUM_DEVICE_BLOCKED);
	assign();
}

static void create__reserved_by_firmware__is_denied(void **state)
{
	(void)state;
	assert_int_equal(CALL(HC_DEVICE_CREATE, HOST_HANDLE, FAKE_RESERVED_RID, 0), HILUM_E_DENIED);
	assert_int_equal(CALL(HC_DEVICE_CREATE, HOST_HANDLE, FAKE_LIAR_RID, 0), HILUM_E_DENIED);
}

static void dma_address__own_device__is_the_vms_own(void **state)
{
	(void)state;
	hilum_handle_t own = CALL_HANDLE(HC_DEVICE_CREATE, HOST_HANDLE, 0x28, 0);
	CALL_OK(HC_MEMORY_MAP, vm, memory, RAM_GPA, 0, MIB, RW);
	assign();
	assert_int_equal(CALL(HC_DEVICE_DMA_ADDRESS, device, RAM_GPA), HILUM_E_DENIED); /* the caller is another VM */
	assert_int_equal(CALL(HC_DEVICE_DMA_ADDRESS, own, 0), HILUM_E_DENIED);
}

/* What a device is told of must not be somebody else's page, too, and must not change under it. */
static void dma_address__of_the_callers_memory__is_its_own_page(void **state)
{
	hilum_handle_t shared = CALL_HANDLE(HC_MEMORY_CREATE, HOST_HANDLE, 2 * MIB, HILUM_MEMORY_LAZY | HILUM_MEMORY_SHARE);
	const uint32_t features = iommu_features;
	uint64_t bytes;
	hpa_t hpa = 0;

	(void)state;
	CALL_OK(HC_MEMORY_MAP, SELF_HANDLE, shared, RAM_GPA, 0, 2 * MIB, RW);
	CALL_OK(HC_MEMORY_MAP, SELF_HANDLE, memory, 0x40000000, 0, MIB, HILUM_MAP_READ);
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(vm_populate(control, RAM_GPA + i * PAGE_SIZE, HILUM_MAP_WRITE), STATUS_OK);
	assert_int_equal(CALL(HC_MEMORY_SHARE, shared, 0, shared, PAGE_SIZE, 0), 1);
	control->flags |= HILUM_VM_DEVICES;
	CALL_OK(HC_DEVICE_ASSIGN, device, SELF_HANDLE, 0);
	assert_int_equal(CALL(HC_DEVICE_DMA_ADDRESS, device, RAM_GPA + 0x10), RAM_GPA + 0x10);
	assert_true(nested_pt_lookup(&control->npt, RAM_GPA, HILUM_MAP_WRITE, &hpa, &bytes));
	iommu_features = 0;
	assert_int_equal(CALL(HC_DEVICE_DMA_ADDRESS, device, RAM_GPA + 0x10), hpa + 0x10);
	assert_true(CALL(HC_DEVICE_DMA_ADDRESS, device, 0x40000000) > 0); /* to be sent: it need not be writable */
	assert_int_equal(CALL(HC_DEVICE_DMA_ADDRESS, device, 0x50000000), HILUM_E_FAULT);
	iommu_features = features;
	CALL_OK(HC_DEVICE_ASSIGN, device, 0, 0);
	control->flags &= ~HILUM_VM_DEVICES;
	CALL_OK(HC_MEMORY_UNMAP, SELF_HANDLE, RAM_GPA, 2 * MIB);
	CALL_OK(HC_MEMORY_UNMAP, SELF_HANDLE, 0x40000000, MIB);
}

/* ---- Interrupts ---- */

static void bind_irq__event_of_its_vm__is_tied_to_the_device(void **state)
{
	(void)state;
	assign();
	int64_t message = CALL(HC_DEVICE_BIND_IRQ, device, 0, event);
	unsigned vector = (unsigned)(message >> 32);
	assert_int_equal(message & 0xFFFFFFFF, 0xFEE01010);
	assert_int_equal(fake_iommu.vector_rid[vector], RID);
	assert_int_equal(fake_iommu.vector_core[vector], 1);
	fake_irq[vector](vector);
	assert_int_equal(vm_of(vm)->shared->pending[0][0], 1u << 5);
	CALL_OK(HC_IRQ_ACK, event);
	CALL_OK(HC_DEVICE_BIND_IRQ, device, 0, 0);
	assert_int_equal(fake_iommu.vector_rid[vector], 0);
	vm_of(vm)->shared->pending[0][0] = 0;
	fake_irq[vector](vector);
	assert_int_equal(vm_of(vm)->shared->pending[0][0], 0);
}

static void bind_irq__same_index_again__leaves_one(void **state)
{
	(void)state;
	assign();
	for (unsigned i = 0; i < 1000; i++)
		assert_true(CALL(HC_DEVICE_BIND_IRQ, device, 7, event) > 0);
	assert_true(CALL(HC_DEVICE_BIND_IRQ, device, 8, event) > 0);
	unsigned bound = 0;
	for (unsigned i = 0; i < 256; i++)
		bound += fake_iommu.vector_rid[i] == RID;
	assert_int_equal(bound, 2);
}

static void bind_irq__not_its_vm_or_not_assigned__is_refused(void **state)
{
	(void)state;
	hilum_handle_t other = make_vm(0);
	make_vcpu(other, 0, 0, NULL);
	hilum_handle_t foreign = CALL_HANDLE(HC_EVENT_CREATE, other, 0, 1, 0);
	assert_int_equal(CALL(HC_DEVICE_BIND_IRQ, device, 0, event), HILUM_E_INVALID);
	assign();
	assert_int_equal(CALL(HC_DEVICE_BIND_IRQ, device, 0, foreign), HILUM_E_INVALID);
}

static void bind_irq__vectors_used_up__is_refused(void **state)
{
	(void)state;
	assign();
	unsigned n = 0;
	while (CALL(HC_DEVICE_BIND_IRQ, device, n, event) > 0)
		n++;
	assert_int_equal(n, CPU_IRQ_DEVICE_LAST - CPU_IRQ_DEVICE_FIRST + 1);
	assert_int_equal(CALL(HC_DEVICE_BIND_IRQ, device, n, event), HILUM_E_NO_MEMORY);
	assert_int_equal(CALL(HC_IRQ_BIND, HOST_HANDLE, 4, event), HILUM_E_NO_MEMORY);
}

static void irq_bind__pin__comes_from_its_ioapic(void **state)
{
	(void)state;
	CALL_OK(HC_IRQ_BIND, HOST_HANDLE, 4, event);
	assert_int_equal(fake_iommu.vector_rid[CPU_IRQ_DEVICE_FIRST], FAKE_IOAPIC_RID);
	assert_int_equal(fake_iommu.vector_core[CPU_IRQ_DEVICE_FIRST], 1);
}

static void irq_bind__pin_again__the_old_event_hears_nothing(void **state)
{
	hilum_handle_t second;

	(void)state;
	make_vcpu(vm, 1, 0, NULL);
	for (unsigned i = 0; i < 2; i++)
		vm_of(vm)->vcpu[i]->apic.reg[0xF] = 0x1FF; /* enabled */
	second = CALL_HANDLE(HC_EVENT_CREATE, vm, 1, 70, 0x41);
	CALL_OK(HC_IRQ_BIND, HOST_HANDLE, 4, event);
	CALL_OK(HC_IRQ_BIND, HOST_HANDLE, 4, second);
	for (unsigned vector = CPU_IRQ_DEVICE_FIRST; vector <= CPU_IRQ_DEVICE_LAST; vector++)
		fake_irq[vector](vector);
	assert_int_equal(vm_of(vm)->shared->pending[0][0], 0);
	assert_int_equal(vm_of(vm)->shared->pending[1][1], 1ull << (70 - 64));
	assert_int_equal(vm_of(vm)->vcpu[1]->apic.irr[1], 1ull << (0x41 - 64)); /* and comes as an interrupt there */
	assert_int_equal(vm_of(vm)->vcpu[0]->apic.irr[1], 0);
}

static void irq_device_interrupt__vector_that_nobody_bound__is_counted_and_masks_no_pin(void **state)
{
	uint64_t before = host_health.spurious;

	(void)state;
	fake_gsi_masked = 0;
	fake_irq[CPU_IRQ_DEVICE_LAST](CPU_IRQ_DEVICE_LAST);
	assert_int_equal(host_health.spurious, before + 1);
	assert_int_equal(fake_gsi_masked, 0);
}

/* ---- Faults ---- */

static void faults__of_an_assigned_device__are_counted_and_told(void **state)
{
	(void)state;
	CALL_OK(HC_HANDLE_CLOSE, device);
	device = CALL_HANDLE(HC_DEVICE_CREATE, HOST_HANDLE, RID, event);
	CALL_OK(HC_HANDLE_CLOSE, event); /* the device has it for as long as it lives */
	assign();
	fault(RID, 0x1000);
	fault(RID, 0x2000);
	fake_irq[CPU_IRQ_FAULT](CPU_IRQ_FAULT);
	struct hilum_device_status s = status();
	assert_int_equal(s.faults, 2);
	assert_int_equal(s.last.address, 0x1000);
	assert_int_equal(s.last.write, 1);
	assert_int_equal(s.last.reason, 5);
	assert_int_equal(s.state, HILUM_DEVICE_ASSIGNED);
	assert_int_equal(vm_of(vm)->shared->pending[0][0], 1u << 5);
}

static void faults__flood__cuts_the_device_off_until_it_is_assigned_anew(void **state)
{
	(void)state;
	assign();
	for (unsigned i = 0; i < 31; i++)
		fault(RID, i);
	fake_irq[CPU_IRQ_FAULT](CPU_IRQ_FAULT);
	assert_int_equal(status().state, HILUM_DEVICE_ASSIGNED);
	fault(RID, 31);
	fake_irq[CPU_IRQ_FAULT](CPU_IRQ_FAULT);
	assert_int_equal(status().state, HILUM_DEVICE_CUT_OFF);
	assert_int_equal(fake_iommu.domain[RID], 0);
	assert_true(fake_iommu.quiet[RID]);
	assert_int_equal(CALL(HC_DEVICE_ASSIGN, device, vm, 0), HILUM_E_BUSY);
	CALL_OK(HC_DEVICE_ASSIGN, device, 0, 0);
	assert_false(fake_iommu.quiet[RID]);
	assign();
	fault(RID, 0);
	fake_irq[CPU_IRQ_FAULT](CPU_IRQ_FAULT);
	assert_int_equal(status().state, HILUM_DEVICE_ASSIGNED);
	assert_int_equal(status().faults, 33);
	for (unsigned i = 1; i < 32; i++) { /* they count from the assignment on */
		assert_int_equal(status().state, HILUM_DEVICE_ASSIGNED);
		fault(RID, i);
		fake_irq[CPU_IRQ_FAULT](CPU_IRQ_FAULT);
	}
	assert_int_equal(status().state, HILUM_DEVICE_CUT_OFF);
	assert_int_equal(fake_iommu.domain[RID], 0);
}

static void faults__of_nobodys_device__are_heard_once(void **state)
{
	(void)state;
	unsigned lines = fake_log_lines;
	fault(0x1234, 0x1000);
	fake_irq[CPU_IRQ_FAULT](CPU_IRQ_FAULT);
	assert_int_equal(fake_log_lines, lines + 1);
	assert_true(fake_iommu.quiet[0x1234]);
	hilum_handle_t found = CALL_HANDLE(HC_DEVICE_CREATE, HOST_HANDLE, 0x1234, 0);
	assert_false(fake_iommu.quiet[0x1234]);
	CALL_OK(HC_HANDLE_CLOSE, found);
}

/* The driver never takes the event. One that takes it now and then is not cut off, however many interrupts there are. */
static void interrupts__that_nobody_hears__cut_the_device_off(void **state)
{
	unsigned vector = CPU_IRQ_DEVICE_FIRST;

	(void)state;
	assign();
	assert_true(CALL(HC_DEVICE_BIND_IRQ, device, 0, event) > 0);
	while (fake_iommu.vector_rid[vector] != RID)
		vector++;
	for (unsigned i = 0; i < 100000; i++) {
		if (i % 5000 == 0)
			vm_of(vm)->shared->pending[0][0] = 0;
		fake_irq[vector](vector);
	}
	assert_int_equal(status().state, HILUM_DEVICE_ASSIGNED);
	unsigned more = 0;
	while (status().state == HILUM_DEVICE_ASSIGNED && more < 20000) {
		fake_irq[vector](vector);
		more++;
	}
	assert_true(more < 10000);
	assert_int_equal(status().state, HILUM_DEVICE_CUT_OFF);
	assert_int_equal(status().last.kind, HILUM_FAULT_INTERRUPT);
	assert_int_equal(fake_iommu.vector_rid[vector], 0);
	assert_true(fake_iommu.quiet[RID]);
	assert_int_equal(host_health.storms, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(map__vm_with_devices__is_mirrored_with_its_rights),
		TEST(map__large_page__is_mirrored_large),
		TEST(unmap__mirrored_range__is_flushed_before_it_returns),
		TEST(discard__part_of_lazy_memory__whole_blocks_go_everywhere),
		TEST(move_and_share__what_a_device_may_use__is_busy),
		TEST(discard__single_pages__go_and_nothing_comes_while_frozen),
		TEST(map__lazy_memory__is_mirrored_as_it_is_populated),
		TEST(map__device_registers__are_no_part_of_the_domain),
		TEST(map__beyond_the_iommus_addresses__is_refused_and_undone),
		TEST(map__vm_without_devices__has_no_domain),
		TEST(create_vm__no_domain_left__is_refused),
		TEST(assign__device__reaches_that_vm_only),
		TEST(destroy_vm__assigned_device__is_blocked_and_free_again),
		TEST(close__last_handle__blocks_the_device),
		TEST(close__last_handle__freed_when_no_core_can_know_it),
		TEST(release__interrupt_is_bound__reaches_nobody_any_more),
		TEST(create__no_requester_or_one_that_is_there__is_refused),
		TEST(assign__machine_without_iommu__only_if_the_caller_says_so),
		TEST(assign__no_memory_for_tables__stays_blocked),
		TEST(create__reserved_by_firmware__is_denied),
		TEST(dma_address__own_device__is_the_vms_own),
		TEST(dma_address__of_the_callers_memory__is_its_own_page),
		TEST(bind_irq__event_of_its_vm__is_tied_to_the_device),
		TEST(bind_irq__same_index_again__leaves_one),
		TEST(bind_irq__not_its_vm_or_not_assigned__is_refused),
		TEST(irq_device_interrupt__vector_that_nobody_bound__is_counted_and_masks_no_pin),
		TEST(bind_irq__vectors_used_up__is_refused),
		TEST(irq_bind__pin__comes_from_its_ioapic),
		TEST(irq_bind__pin_again__the_old_event_hears_nothing),
		TEST(faults__of_an_assigned_device__are_counted_and_told),
		TEST(faults__flood__cuts_the_device_off_until_it_is_assigned_anew),
		TEST(faults__of_nobodys_device__are_heard_once),
		TEST(interrupts__that_nobody_hears__cut_the_device_off),
	};

	fake_iommu_start();
	/* What firmware reserves is mapped for its device, except where it is RAM. */
	assert_int_equal(fake_iommu.domain[FAKE_RESERVED_RID], 1);
	assert_int_equal(fake_iommu.domain[FAKE_LIAR_RID], 0);
	assert_int_equal(fake_iommu.fault_message, 0xFEE00000 | (uint64_t)CPU_IRQ_FAULT << 32);
	assert_int_equal(iommu_features, HILUM_HOST_IOMMU | HILUM_HOST_IRQ_REMAPPING);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
