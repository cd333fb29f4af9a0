/*
 * Frames that change under VMs: sharing, copying on write, moving, discarding, limits and want of memory, on the real kernel core; and all of it
 * at random against a model that knows only what was written. After each test every frame is accounted for.
 */
/* clang-format off */
/* UNIT_SOURCES: build/unit/kernel_fake.a */
/* UNIT_FLAGS: @tests/unit/fake_kernel/fake.flags @tests/unit/fake_kernel/fake.wrap */
/* clang-format on */
#include "tests/unit/fake_kernel/fake.h"

#include "kernel/pvclock.h"
#include "mm/frame.h"
#include "mm/window.h"

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
#define RW         (HILUM_MAP_READ | HILUM_MAP_WRITE)
#define OUT_AT     0x8000ull
#define RAM_GPA    0x40000000ull /* where the VMs see their own memory */
#define OTHER_GPA  0x80000000ull /* where the service VM sees the guests', a GiB each */
#define PAGES      1024ull       /* of each object */
#define BYTES      (PAGES * PAGE_SIZE)
#define GIB_OF(n)  ((uint64_t)(n) << 30 | HILUM_MOVE_ORDER_MAX)

/* Two guests, and a service VM that has mapped the memory of both. Object 2 has large pages and is the second guest's too. */
enum { FIRST, SECOND, SERVICE, VMS };
enum { LARGE = 2, OBJECTS };
static hilum_handle_t vm[VMS], memory[OBJECTS];
static struct vcpu *vcpu[VMS];
static uint64_t guest_frames, saved_before;

static struct memory *object_of_memory(unsigned n)
{
	struct object *o = NULL;

	assert_int_equal(handle_resolve(&control->handles, memory[n], OBJECT_MEMORY, 0, &o), STATUS_OK);
	return &container_of(o, struct memory_object, object)->memory;
}

/* Where the VM that has an object as its own, or the service VM, sees a page of it. */
static gpa_t gpa_of(unsigned n, uint64_t page, bool service)
{
	return page * PAGE_SIZE + (service      ? OTHER_GPA + n * 0x40000000ull + (n == LARGE ? PAGE_SIZE : 0)
	                           : n == LARGE ? RAM_GPA + 0x10000000
	                                        : RAM_GPA);
}

static struct vm *vm_seeing(unsigned n, bool service)
{
	return vm_of(vm[service ? SERVICE : n == FIRST ? FIRST : SECOND]);
}

static struct hilum_frames figures(void)
{
	struct hilum_frames f;

	CALL_OK(HC_HOST_FRAMES, HOST_HANDLE, OUT_AT, 4 * MIB, 32 * MIB);
	memcpy(&f, control_memory() + OUT_AT, sizeof(f));
	return f;
}

static int set_up(void **state)
{
	(void)state;
	fake_boot(2);
	for (unsigned i = 0; i < VMS; i++) {
		hilum_handle_t h;
		vm[i] = make_vm(i == SERVICE ? HILUM_VM_DEVICES : HILUM_VM_KVM_LEAVES | HILUM_VM_WAIT_MEMORY);
		vcpu[i] = make_vcpu(vm[i], 0, 1, &h);
	}
	for (unsigned n = 0; n < OBJECTS; n++) {
		memory[n] = CALL_HANDLE(HC_MEMORY_CREATE, HOST_HANDLE, BYTES, HILUM_MEMORY_LAZY | (n == LARGE ? 0 : HILUM_MEMORY_SHARE));
		for (unsigned service = 0; service < 2; service++)
			CALL_OK(HC_MEMORY_MAP,
			        vm[service      ? SERVICE
			           : n == FIRST ? FIRST
			                        : SECOND],
			        memory[n], gpa_of(n, 0, service), 0, BYTES, RW);
	}
	guest_frames = frame_count(FRAME_GUEST);
	saved_before = figures().saved;
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	assert_false(vm_pages_move);
	fake_check_clean();
	return 0;
}

/* ---- What VMs do ---- */

static enum status write_page(unsigned n, uint64_t page, uint64_t value, bool service)
{
	uint64_t words[PAGE_SIZE / 8];

	for (unsigned i = 0; i < ARRAY_SIZE(words); i++)
		words[i] = value + i % 7;
	return vm_copy_out(vm_seeing(n, service), gpa_of(n, page, service), words, sizeof(words));
}

static void fill(unsigned n, uint64_t page, uint64_t value)
{
	assert_int_equal(write_page(n, page, value, false), STATUS_OK);
}

static uint64_t read_page(unsigned n, uint64_t page, bool service)
{
	uint64_t words[PAGE_SIZE / 8];

	assert_int_equal(vm_copy_in(vm_seeing(n, service), gpa_of(n, page, service), words, sizeof(words)), STATUS_OK);
	for (unsigned i = 1; i < ARRAY_SIZE(words); i++)
		assert_int_equal(words[i], words[0] == 0 ? 0 : words[0] + i % 7);
	return words[0];
}

/* The frame behind it, 0 for none, without populating. */
static hpa_t frame_of(unsigned n, uint64_t page)
{
	uint64_t bytes;
	hpa_t hpa = 0;

	(void)nested_pt_lookup(&object_of_memory(n)->tree, page * PAGE_SIZE, HILUM_MAP_READ, &hpa, &bytes);
	return hpa;
}

static bool maps(unsigned n, uint64_t page, bool service, unsigned rights, uint64_t *bytes)
{
	hpa_t hpa;

	return nested_pt_lookup(&vm_seeing(n, service)->npt, gpa_of(n, page, service), rights, &hpa, bytes);
}

static int64_t share(unsigned a, uint64_t a_page, unsigned b, uint64_t b_page)
{
	return CALL(HC_MEMORY_SHARE, memory[a], a_page * PAGE_SIZE, memory[b], b_page * PAGE_SIZE, 0);
}

static struct hilum_memory_status status_of(unsigned n)
{
	struct hilum_memory_status s;

	CALL_OK(HC_MEMORY_STATUS, memory[n], OUT_AT);
	memcpy(&s, control_memory() + OUT_AT, sizeof(s));
	return s;
}

static void assert_frames(uint64_t expected)
{
	assert_int_equal(frame_count(FRAME_GUEST) - guest_frames, expected);
}

/* ---- Others meanwhile ---- */

/* How often the caller's core has waited for the others. */
static uint64_t waits_since(uint64_t *epoch)
{
	uint64_t before = *epoch;

	*epoch = cpu_table[0]->epoch;
	return *epoch - before;
}

/* Before the pages go, so that nobody populates them, and after, so that no TLB or window has them. */
static void change__pages_of_a_vm__other_cores_pass_twice(void **state)
{
	(void)state;
	fill(FIRST, 3, 77);
	fill(FIRST, 8, 1);
	fill(FIRST, 20, 2);
	fill(SECOND, 5, 77);
	uint64_t epoch = cpu_table[0]->epoch;
	CALL_OK(HC_MEMORY_DISCARD, vm[FIRST], gpa_of(FIRST, 8, false), PAGE_SIZE);
	assert_true(waits_since(&epoch) >= 2);
	assert_int_equal(share(FIRST, 3, SECOND, 5), 1);
	assert_true(waits_since(&epoch) >= 4); /* each of the two objects' */
	assert_true(CALL(HC_MEMORY_MOVE, memory[FIRST], 0, HILUM_MOVE_LEAVE, GIB_OF(frame_of(FIRST, 20) >> 30)) > 0);
	assert_true(waits_since(&epoch) >= 2);
	assert_int_equal(write_page(SECOND, 5, 78, false), STATUS_OK);
	assert_true(waits_since(&epoch) >= 2);
}

static unsigned ran_meanwhile, populated_meanwhile;

static uint64_t touch_a_page(struct vcpu *v)
{
	uint64_t bytes;

	if (vm_pages_move) {
		ran_meanwhile++;
		assert_int_equal(vm_populate(v->vm, gpa_of(FIRST, 9, false), HILUM_MAP_WRITE), STATUS_OK);
		populated_meanwhile += maps(FIRST, 9, false, RW, &bytes);
	}
	v->cpu->resched = true;
	return 100;
}

static void change__guest_faults_meanwhile__gets_nothing_and_comes_again(void **state)
{
	(void)state;
	fill(FIRST, 8, 1);
	ran_meanwhile = populated_meanwhile = 0;
	fake_guest = touch_a_page;
	vcpu_run(vcpu[FIRST]);
	CALL_OK(HC_MEMORY_DISCARD, vm[FIRST], gpa_of(FIRST, 8, false), PAGE_SIZE);
	assert_true(ran_meanwhile > 0);
	assert_int_equal(populated_meanwhile, 0);
	fill(FIRST, 9, 2);
}

/* ---- Sharing ---- */

static void share__same_pages__one_frame_until_a_write(void **state)
{
	uint64_t bytes;

	(void)state;
	fill(FIRST, 3, 77);
	fill(SECOND, 5, 77);
	assert_int_equal(read_page(SECOND, 5, true), 77);
	assert_int_equal(share(FIRST, 3, SECOND, 5), 1);
	assert_int_equal(frame_of(FIRST, 3), frame_of(SECOND, 5));
	assert_frames(1);
	assert_int_equal(figures().saved - saved_before, 1);
	assert_int_equal(status_of(SECOND).resident_bytes, PAGE_SIZE);
	for (unsigned service = 0; service < 2; service++)
		assert_int_equal(read_page(SECOND, 5, service), 77);
	assert_false(maps(SECOND, 5, false, RW, &bytes));
	assert_false(maps(SECOND, 5, true, RW, &bytes));
	fill(SECOND, 5, 78);
	assert_int_equal(read_page(SECOND, 5, true), 78);
	assert_int_equal(read_page(FIRST, 3, true), 77);
	assert_frames(2);
	assert_int_equal(figures().saved, saved_before);
	assert_int_equal(write_page(FIRST, 3, 79, true), STATUS_OK); /* the last one: the frame stays */
	assert_int_equal(read_page(FIRST, 3, false), 79);
	assert_frames(2);
}

static void share__many_pages_of_one_vm__are_one_frame(void **state)
{
	(void)state;
	for (uint64_t i = 0; i < 100; i++)
		fill(FIRST, i, 5);
	for (uint64_t i = 1; i < 100; i++)
		assert_int_equal(share(FIRST, 0, FIRST, i), 1);
	assert_frames(1);
	assert_int_equal(figures().saved - saved_before, 99);
	assert_int_equal(share(FIRST, 0, FIRST, 1), 0); /* shared already */
	CALL_OK(HC_MEMORY_DISCARD, vm[FIRST], RAM_GPA, 50 * PAGE_SIZE);
	assert_int_equal(read_page(FIRST, 49, false), 0);
	assert_int_equal(read_page(FIRST, 50, false), 5);
	assert_int_equal(status_of(FIRST).resident_bytes, 51 * PAGE_SIZE);
}

static void share__different_absent_or_itself__nothing_happens(void **state)
{
	(void)state;
	fill(FIRST, 0, 1);
	fill(SECOND, 0, 2);
	assert_int_equal(share(FIRST, 0, SECOND, 0), 0);
	assert_int_equal(share(FIRST, 0, SECOND, 1), 0);
	assert_int_equal(share(FIRST, 1, SECOND, 0), 0);
	assert_int_equal(share(FIRST, 0, FIRST, 0), 0);
	unsigned kicks = fake_kicks[1];
	assert_int_equal(share(FIRST, 0, SECOND, 0), 0);
	assert_int_equal(fake_kicks[1], kicks); /* no core is stopped for nothing */
	assert_int_equal(CALL(HC_MEMORY_SHARE, memory[LARGE], 0, memory[FIRST], 0, 0), HILUM_E_INVALID);
	assert_frames(2);
}

static void share__frame_with_all_its_users__is_busy(void **state)
{
	(void)state;
	fill(FIRST, 0, 1);
	fill(SECOND, 0, 1);
	frame_entry(frame_of(FIRST, 0))->refs = UINT16_MAX;
	assert_int_equal(share(FIRST, 0, SECOND, 0), HILUM_E_BUSY);
	assert_int_equal(write_page(SECOND, 0, 2, false), STATUS_OK);
	frame_entry(frame_of(FIRST, 0))->refs = 1;
}

static void share__lock_taken__writer_comes_again(void **state)
{
	uint32_t version = 0;

	(void)state;
	fill(FIRST, 0, 9);
	fill(SECOND, 0, 9);
	assert_int_equal(share(FIRST, 0, SECOND, 0), 1);
	assert_true(object_lock_try());
	assert_int_equal(write_page(SECOND, 0, 1, false), STATUS_BUSY);
	struct vexit wrmsr = { .kind = HILUM_EXIT_WRMSR, .length = 2 };
	struct vcpu *v = vcpu[SECOND];
	uint64_t rip = v->rip;
	v->gpr[1] = MSR_KVM_FIRST + KVM_WALL_CLOCK;
	v->gpr[0] = (uint32_t)gpa_of(SECOND, 0, false);
	v->gpr[2] = 0;
	exit_handle(v, &wrmsr);
	assert_int_equal(v->rip, rip); /* neither done nor refused */
	assert_int_equal(v->pending_event, 0);
	v->kvm[KVM_STEAL_TIME] = gpa_of(SECOND, 0, false) | 1;
	pvclock_update_steal(v); /* another time */
	assert_true(v->kvm[KVM_STEAL_TIME] & 1);
	object_unlock(cpu_self());
	exit_handle(v, &wrmsr);
	assert_int_equal(v->rip, rip + 2);
	assert_int_equal(vm_copy_in(vm_of(vm[SECOND]), gpa_of(SECOND, 0, false), &version, sizeof(version)), STATUS_OK);
	assert_int_equal(version, 2);
	assert_int_equal(read_page(FIRST, 0, false), 9);
}

static void share__guest_writes_in_a_fault__gets_its_own_page(void **state)
{
	struct vexit fault = { .kind = HILUM_EXIT_MMIO, .memory = { .gpa = gpa_of(SECOND, 0, false), .write = true } };
	uint64_t bytes;

	(void)state;
	fill(FIRST, 0, 9);
	fill(SECOND, 0, 9);
	assert_int_equal(share(FIRST, 0, SECOND, 0), 1);
	assert_int_equal(read_page(SECOND, 0, false), 9); /* mapped, read-only */
	exit_handle(vcpu[SECOND], &fault);
	exit_handle(vcpu[SECOND], &fault);
	assert_true(maps(SECOND, 0, false, RW, &bytes));
	assert_int_equal(vcpu[SECOND]->stats.exits[HILUM_EXIT_PAGE_FAULT], 2);
	assert_true(frame_of(FIRST, 0) != frame_of(SECOND, 0));
	assert_int_equal(read_page(SECOND, 0, false), 9);
}

static void share__mapping_made_later__cannot_write_either(void **state)
{
	hilum_handle_t eager = CALL_HANDLE(HC_MEMORY_CREATE, HOST_HANDLE, 2 * MIB, HILUM_MEMORY_SHARE);
	uint64_t value = 1;

	(void)state;
	CALL_OK(HC_MEMORY_MAP, vm[FIRST], eager, 0, 0, 2 * MIB, RW);
	assert_int_equal(CALL(HC_MEMORY_SHARE, eager, 0, eager, PAGE_SIZE, 0), 1);
	CALL_OK(HC_MEMORY_MAP, vm[SECOND], eager, 0, 0, 2 * MIB, RW);
	assert_int_equal(vm_copy_out(vm_of(vm[SECOND]), PAGE_SIZE, &value, 8), STATUS_OK);
	assert_int_equal(vm_copy_in(vm_of(vm[FIRST]), 0, &value, 8), STATUS_OK);
	assert_int_equal(value, 0);
	assert_int_equal(vm_copy_in(vm_of(vm[FIRST]), PAGE_SIZE, &value, 8), STATUS_OK);
	assert_int_equal(value, 1);
}

static void digest__tells_contents_apart_and_nothing_of_other_pages(void **state)
{
	int64_t digest[6];

	(void)state;
	fill(FIRST, 0, 1);
	fill(FIRST, 1, 2);
	fill(FIRST, 2, 1);
	fill(FIRST, 3, 4);
	fill(FIRST, 4, 4);
	assert_int_equal(share(FIRST, 3, FIRST, 4), 1);
	for (unsigned i = 0; i < 6; i++)
		digest[i] = CALL(HC_MEMORY_DIGEST, memory[FIRST], i * PAGE_SIZE);
	assert_int_equal(digest[0], digest[2]);
	assert_true(digest[0] != digest[1] && digest[0] > 0 && digest[1] > 0);
	for (unsigned i = 3; i < 6; i++)
		assert_int_equal(digest[i], HILUM_DIGEST_NONE);
	assert_frames(4); /* looking takes none */
	assert_int_equal(CALL(HC_MEMORY_DIGEST, memory[LARGE], 0), HILUM_E_INVALID);
}

/* ---- Moving ---- */

static void leave__pages_of_a_gib__go_to_another_and_nobody_notices(void **state)
{
	(void)state;
	for (uint64_t i = 0; i < PAGES; i += 3)
		fill(FIRST, i, 100 + i);
	assert_int_equal(read_page(FIRST, 600, true), 700);
	fill(SECOND, 0, 100);
	assert_int_equal(share(FIRST, 0, SECOND, 0), 1); /* stays: shared */
	uint64_t gib = frame_of(FIRST, 3) >> 30, frames = frame_count(FRAME_GUEST);
	int64_t moved = CALL(HC_MEMORY_MOVE, memory[FIRST], 0, HILUM_MOVE_LEAVE, GIB_OF(gib));
	assert_int_equal(moved, 512 / 3); /* without page 0 */
	assert_int_equal(CALL(HC_MEMORY_MOVE, memory[FIRST], 2 * MIB, HILUM_MOVE_LEAVE, GIB_OF(gib)), 512 / 3 + 1);
	assert_int_equal(CALL(HC_MEMORY_MOVE, memory[FIRST], 0, HILUM_MOVE_LEAVE, GIB_OF(gib)), 0);
	assert_int_equal(frame_count(FRAME_GUEST), frames);
	for (uint64_t i = 3; i < PAGES; i += 3) {
		assert_true(frame_of(FIRST, i) >> 30 != gib);
		assert_int_equal(read_page(FIRST, i, i % 2), 100 + i);
	}
	assert_int_equal(read_page(FIRST, 0, true), 100);
	assert_frames(342);
}

static void leave__range_of_2_mib__only_what_is_in_it_moves(void **state)
{
	hpa_t before[PAGES];
	unsigned inside = 0;

	(void)state;
	for (uint64_t i = 0; i < PAGES; i++) {
		fill(FIRST, i, 100 + i);
		before[i] = frame_of(FIRST, i);
	}
	uint64_t range = ALIGN_DOWN(before[512], 2 * MIB);
	for (uint64_t i = 0; i < 512; i++)
		inside += before[i] - range < 2 * MIB;
	assert_int_equal(CALL(HC_MEMORY_MOVE, memory[FIRST], 0, HILUM_MOVE_LEAVE, range | HILUM_MOVE_ORDER_MIN), inside);
	for (uint64_t i = 0; i < PAGES; i++) {
		bool moves = i < 512 && before[i] - range < 2 * MIB;
		assert_int_equal(frame_of(FIRST, i) != before[i], moves);
		assert_true(!moves || frame_of(FIRST, i) - range >= 2 * MIB);
		assert_int_equal(read_page(FIRST, i, i % 2), 100 + i);
	}
	assert_true(CALL(HC_MEMORY_MOVE, memory[FIRST], 2 * MIB, HILUM_MOVE_LEAVE, range | HILUM_MOVE_ORDER_MIN) > 0);
	assert_int_equal(read_page(FIRST, 512, true), 612);
}

static void leave__page_whose_other_user_has_gone__moves_and_can_be_written(void **state)
{
	(void)state;
	fill(FIRST, 0, 100);
	fill(SECOND, 0, 100);
	assert_int_equal(share(FIRST, 0, SECOND, 0), 1);
	uint64_t gib = frame_of(FIRST, 0) >> 30;
	assert_int_equal(CALL(HC_MEMORY_MOVE, memory[FIRST], 0, HILUM_MOVE_LEAVE, GIB_OF(gib)), 0);
	assert_int_equal(write_page(SECOND, 0, 101, false), STATUS_OK);
	assert_int_equal(CALL(HC_MEMORY_MOVE, memory[FIRST], 0, HILUM_MOVE_LEAVE, GIB_OF(gib)), 1);
	assert_true(frame_of(FIRST, 0) >> 30 != gib);
	assert_int_equal(write_page(FIRST, 0, 102, false), STATUS_OK);
	assert_int_equal(read_page(FIRST, 0, true), 102);
	assert_int_equal(read_page(SECOND, 0, true), 101);
}

static void leave__large_block__moves_as_a_block(void **state)
{
	uint64_t bytes;

	(void)state;
	fill(LARGE, 700, 9);
	uint64_t gib = frame_of(LARGE, 700) >> 30;
	assert_int_equal(CALL(HC_MEMORY_MOVE, memory[LARGE], 2 * MIB, HILUM_MOVE_LEAVE, GIB_OF(gib)), 512);
	assert_true(frame_of(LARGE, 700) >> 30 != gib);
	assert_int_equal(read_page(LARGE, 700, false), 9);
	assert_true(maps(LARGE, 512, false, RW, &bytes));
	assert_int_equal(bytes, 2 * MIB);
	assert_frames(512);
}

static void leave__nowhere_to_go__some_may_have_moved_and_all_is_there(void **state)
{
	(void)state;
	for (uint64_t i = 0; i < 20; i++)
		fill(FIRST, i, 1 + i);
	uint64_t gib = frame_of(FIRST, 0) >> 30;
	failing_after = 7;
	failing_on = true;
	assert_int_equal(CALL(HC_MEMORY_MOVE, memory[FIRST], 0, HILUM_MOVE_LEAVE, GIB_OF(gib)), HILUM_E_NO_MEMORY);
	failing_after = FAILING_NONE;
	for (uint64_t i = 0; i < 20; i++) {
		assert_int_equal(frame_of(FIRST, i) >> 30 != gib, i < 7);
		assert_int_equal(read_page(FIRST, i, i % 2), 1 + i);
	}
	assert_frames(20);
}

/* The service VM's mapping of this object lies askew: what it touches comes as single frames. */
static void gather__single_frames__become_a_block_that_is_mapped_large(void **state)
{
	uint64_t bytes;

	(void)state;
	for (uint64_t i = 0; i < 512; i++)
		assert_int_equal(write_page(LARGE, i, 3 + i, true), STATUS_OK);
	assert_int_equal(read_page(LARGE, 5, false), 8);
	assert_true(maps(LARGE, 5, false, RW, &bytes));
	assert_int_equal(bytes, PAGE_SIZE);
	failing_after = 0;
	assert_int_equal(CALL(HC_MEMORY_MOVE, memory[LARGE], 0, HILUM_MOVE_GATHER, 0), HILUM_E_NO_MEMORY);
	failing_after = FAILING_NONE;
	assert_int_equal(CALL(HC_MEMORY_MOVE, memory[LARGE], 0, HILUM_MOVE_GATHER, 0), 512);
	assert_int_equal(CALL(HC_MEMORY_MOVE, memory[LARGE], 0, HILUM_MOVE_GATHER, 0), 0);
	for (uint64_t i = 0; i < 512; i++) {
		assert_int_equal(frame_of(LARGE, i), frame_of(LARGE, 0) + i * PAGE_SIZE);
		assert_int_equal(read_page(LARGE, i, i % 2), 3 + i);
	}
	assert_true(maps(LARGE, 5, false, RW, &bytes));
	assert_int_equal(bytes, 2 * MIB);
	assert_frames(512);
	assert_int_equal(status_of(LARGE).resident_bytes, 2 * MIB);
}

static void gather__page_missing_or_small_pages_only__nothing_moves(void **state)
{
	(void)state;
	for (uint64_t i = 0; i < 511; i++)
		assert_int_equal(write_page(LARGE, i, 3 + i, true), STATUS_OK);
	for (uint64_t i = 0; i < 512; i++)
		fill(FIRST, i, 1);
	assert_int_equal(CALL(HC_MEMORY_MOVE, memory[LARGE], 0, HILUM_MOVE_GATHER, 0), 0);
	assert_int_equal(CALL(HC_MEMORY_MOVE, memory[FIRST], 0, HILUM_MOVE_GATHER, 0), 0);
}

/* Moving all of a GiB's frames makes its free blocks large again. */
static void leave__whole_gib__largest_free_block_grows(void **state)
{
	static hpa_t holes[64];
	unsigned n = 0;

	(void)state;
	/* Every second block of 2 MiB of the upper GiB is a guest's. */
	for (uint64_t i = 0; i < PAGES; i++)
		fill(FIRST, i, 1 + i);
	while (frame_alloc(FRAME_ORDER_2M, FRAME_GUEST, 1, GIB_OF(0), &holes[n]) == STATUS_OK)
		n++;
	assert_int_equal(n, 16);
	for (unsigned i = 0; i < n; i += 2)
		frame_free(holes[i], FRAME_ORDER_2M, FRAME_GUEST, 1);
	for (uint64_t piece = 0; piece < BYTES; piece += 2 * MIB)
		assert_int_equal(CALL(HC_MEMORY_MOVE, memory[FIRST], piece, HILUM_MOVE_LEAVE, GIB_OF(0)), 512);
	for (unsigned i = 1; i < n; i += 2)
		frame_free(holes[i], FRAME_ORDER_2M, FRAME_GUEST, 1);
	uint32_t before = figures().free[FRAME_ORDER_2M + 4]; /* 32 MiB, which is all that the upper GiB has */
	for (uint64_t piece = 0; piece < BYTES; piece += 2 * MIB)
		assert_int_equal(CALL(HC_MEMORY_MOVE, memory[FIRST], piece, HILUM_MOVE_LEAVE, GIB_OF(1)), 512);
	assert_int_equal(figures().free[FRAME_ORDER_2M + 4], before + 1);
	for (uint64_t i = 0; i < PAGES; i++)
		assert_int_equal(read_page(FIRST, i, i % 2), 1 + i);
}

/* ---- Limits and want ---- */

static void limit__reached__no_frame_more_until_it_rises(void **state)
{
	(void)state;
	CALL_OK(HC_MEMORY_LIMIT, memory[FIRST], 3 * PAGE_SIZE);
	CALL_OK(HC_MEMORY_LIMIT, memory[LARGE], 2 * MIB + PAGE_SIZE);
	for (uint64_t i = 0; i < 3; i++)
		fill(FIRST, i, 1);
	assert_int_equal(write_page(FIRST, 3, 1, false), STATUS_FAULT);
	assert_int_equal(write_page(FIRST, 2, 2, false), STATUS_OK);
	assert_int_equal(status_of(FIRST).resident_bytes, 3 * PAGE_SIZE);
	assert_int_equal(status_of(FIRST).limit_bytes, 3 * PAGE_SIZE);
	fill(LARGE, 0, 1);
	fill(LARGE, 512, 1); /* a single page has room, a block has not */
	assert_int_equal(write_page(LARGE, 513, 1, false), STATUS_FAULT);
	assert_int_equal(status_of(LARGE).resident_bytes, 2 * MIB + PAGE_SIZE);
	CALL_OK(HC_MEMORY_LIMIT, memory[FIRST], 0);
	fill(FIRST, 3, 1);
}

static struct hilum_vm_status vm_status(unsigned n)
{
	struct hilum_vm_status s;

	CALL_OK(HC_VM_STATUS, vm[n], OUT_AT);
	memcpy(&s, control_memory() + OUT_AT, sizeof(s));
	return s;
}

static uint64_t touch(struct vcpu *v)
{
	struct vexit fault = { .kind = HILUM_EXIT_MMIO, .memory = { .gpa = RAM_GPA + 0x3123, .write = true } };

	exit_handle(v, &fault);
	return 100;
}

static void want__vm_that_waits__stops_and_goes_on(void **state)
{
	struct vcpu *v = vcpu[FIRST];

	(void)state;
	fill(FIRST, 0, 1);
	vcpu_run(v);
	fake_guest = touch;
	failing_after = 0;
	failing_on = true;
	fake_run(1, 5); /* it stops in the first one */
	failing_on = false;
	failing_after = FAILING_NONE;
	assert_int_equal(vm_status(FIRST).memory_stops, 1);
	assert_int_equal(vm_status(FIRST).memory_gpa, RAM_GPA + 0x3123);
	assert_int_equal(vm_status(FIRST).state, HILUM_VM_RUNNING);
	assert_true(v->stopped);
	vcpu_run(v);
	assert_int_equal(vm_status(FIRST).memory_stops, 0);
	fake_run(1, 1);
	assert_true(frame_of(FIRST, 3) != 0);
	fake_guest = NULL;
}

static void want__vm_that_does_not_wait__crashes_alone(void **state)
{
	struct vexit fault = { .kind = HILUM_EXIT_MMIO, .memory = { .gpa = gpa_of(FIRST, 0, true), .write = true } };

	(void)state;
	vm_of(vm[SERVICE])->status.state = HILUM_VM_RUNNING;
	failing_after = 0;
	exit_handle(vcpu[SERVICE], &fault);
	failing_after = FAILING_NONE;
	assert_int_equal(vm_status(SERVICE).state, HILUM_VM_CRASHED);
	assert_int_equal(vm_status(SERVICE).crash, HILUM_CRASH_NO_MEMORY);
	assert_int_equal(vm_status(FIRST).state, HILUM_VM_STOPPED);
}

/* ---- At random ---- */

static struct {
	uint64_t value[OBJECTS][PAGES];
	unsigned shares, moves, failures;
} model;

static uint64_t pick(uint64_t n)
{
	return fake_random() % n;
}

static void step_write(unsigned n)
{
	uint64_t page = pick(PAGES) / (1 + pick(100)), value = 1 + pick(3) * 10;

	failing_after = pick(10) ? FAILING_NONE : 0;
	enum status status = write_page(n, page, value, pick(2));
	model.failures += status != STATUS_OK;
	assert_true(status == STATUS_OK || failing_after == FAILING_DONE);
	if (status == STATUS_OK)
		model.value[n][page] = value;
	failing_after = FAILING_NONE;
}

static void step_share(void)
{
	unsigned a = (unsigned)pick(2), b = (unsigned)pick(2);
	uint64_t i = pick(PAGES) / (1 + pick(100)), j = pick(PAGES) / (1 + pick(100));
	int64_t done = share(a, i, b, j);

	assert_true(done == 0 || done == 1);
	assert_true(done == 0 || (model.value[a][i] == model.value[b][j] && frame_of(a, i) == frame_of(b, j)));
	model.shares += (unsigned)done;
}

static void step_move(void)
{
	unsigned n = (unsigned)pick(OBJECTS);

	failing_after = pick(4) ? FAILING_NONE : (int)pick(5);
	int64_t moved = CALL(HC_MEMORY_MOVE, memory[n], pick(BYTES / (2 * MIB)) * 2 * MIB, pick(2) ? HILUM_MOVE_GATHER : HILUM_MOVE_LEAVE,
	                     GIB_OF(pick(2)));
	failing_after = FAILING_NONE;
	assert_true(moved >= 0 || moved == HILUM_E_NO_MEMORY);
	model.moves += moved > 0;
}

static void step_discard(unsigned n)
{
	uint64_t page = pick(PAGES), pages = 1 + pick(20), grain = n == LARGE ? 512 : 1;

	if (pick(20) == 0)
		page = pick(2) * 512, pages = 512;
	pages = pages < PAGES - page ? pages : PAGES - page;
	CALL_OK(HC_MEMORY_DISCARD, vm[SERVICE], gpa_of(n, page, true), pages * PAGE_SIZE);
	for (uint64_t i = (page + grain - 1) / grain * grain; i < (page + pages) / grain * grain; i++)
		model.value[n][i] = 0;
}

/* Frames, references and counters, from the trees alone. */
static void audit(void)
{
	uint64_t places = 0, private = 0;

	for (unsigned n = 0; n < OBJECTS; n++) {
		uint64_t here = 0;

		for (uint64_t i = 0; i < PAGES; i++) {
			hpa_t hpa = frame_of(n, i), head;
			if (hpa == 0) {
				assert_int_equal(model.value[n][i], 0);
				continue;
			}
			here++;
			assert_int_equal(frame_lookup(hpa, &head)->type, FRAME_GUEST);
			assert_true(frame_lookup(hpa, &head)->refs == 1 || memory_is_shared(object_of_memory(n), i * PAGE_SIZE));
			private += frame_lookup(hpa, &head)->refs == 1;
		}
		assert_int_equal(status_of(n).resident_bytes, here * PAGE_SIZE);
		places += here;
	}
	assert_int_equal(frame_count(FRAME_GUEST) - guest_frames, places - (figures().saved - saved_before));
	assert_true(private <= places);
}

static void random__100000_steps__all_that_was_written_is_read(void **state)
{
	(void)state;
	memset(&model, 0, sizeof(model));
	for (unsigned step = 0; step < 100000; step++) {
		unsigned n = (unsigned)pick(OBJECTS);
		uint64_t page = pick(PAGES);
		switch (pick(20)) {
		case 0:
			step_move();
			break;
		case 1:
			step_discard(n);
			break;
		case 2 ... 9:
			step_share();
			break;
		case 10 ... 12:
			assert_int_equal(read_page(n, page, pick(2)), model.value[n][page]);
			break;
		default:
			step_write(n);
		}
		if (step % 10000 == 0)
			audit();
	}
	for (unsigned n = 0; n < OBJECTS; n++)
		for (uint64_t i = 0; i < PAGES; i++)
			assert_int_equal(read_page(n, i, i % 2), model.value[n][i]);
	audit();
	print_message("%u pages shared, %u moves, %u failures\n", model.shares, model.moves, model.failures);
	assert_true(model.shares > 1000 && model.moves > 100 && model.failures > 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(change__pages_of_a_vm__other_cores_pass_twice),
		TEST(change__guest_faults_meanwhile__gets_nothing_and_comes_again),
		TEST(share__same_pages__one_frame_until_a_write),
		TEST(share__many_pages_of_one_vm__are_one_frame),
		TEST(share__different_absent_or_itself__nothing_happens),
		TEST(share__frame_with_all_its_users__is_busy),
		TEST(share__lock_taken__writer_comes_again),
		TEST(share__guest_writes_in_a_fault__gets_its_own_page),
		TEST(share__mapping_made_later__cannot_write_either),
		TEST(digest__tells_contents_apart_and_nothing_of_other_pages),
		TEST(leave__pages_of_a_gib__go_to_another_and_nobody_notices),
		TEST(leave__range_of_2_mib__only_what_is_in_it_moves),
		TEST(leave__page_whose_other_user_has_gone__moves_and_can_be_written),
		TEST(leave__large_block__moves_as_a_block),
		TEST(leave__nowhere_to_go__some_may_have_moved_and_all_is_there),
		TEST(gather__single_frames__become_a_block_that_is_mapped_large),
		TEST(gather__page_missing_or_small_pages_only__nothing_moves),
		TEST(leave__whole_gib__largest_free_block_grows),
		TEST(limit__reached__no_frame_more_until_it_rises),
		TEST(want__vm_that_waits__stops_and_goes_on),
		TEST(want__vm_that_does_not_wait__crashes_alone),
		TEST(random__100000_steps__all_that_was_written_is_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
