/*
 * The final host page tables, built by the real mm_init on a fake machine.
 */
/* clang-format off */
/* UNIT_SOURCES: mm/init.c boot/memory_map.c mm/nested_pt.c mm/host_pt.c mm/mmio.c mm/frame.c mm/pool.c mm/window.c tests/unit/fake_mm/machine.c tests/unit/fake_mm/audit.c */
/* UNIT_FLAGS: -iquote tests/unit/fake_mm */
/* clang-format on */
#include "audit.h"
#include "machine.h"

#include <string.h>

#include "arch/x86_64/features.h"
#include "arch/x86_64/cpu.h"
#include "boot/hooks.h"
#include "mm/frame.h"
#include "mm/host_pt.h"
#include "mm/pool.h"
#include "mm/window.h"

static struct boot_info info; /* fake_boot_info, and what mm_init takes */

struct found {
	uint64_t image, table, pool, mmio, stack, other; /* bytes in each region */
	uint64_t text, rodata, closed, data;
	bool sound;
};

static bool is_sealed; /* mm_seal was called */

static bool within(uint64_t va, uint64_t base, uint64_t bytes)
{
	return va >= base && va < base + bytes;
}

static bool is_in_stack(uint64_t va)
{
	return within(va, STACK_OF_CPU((va - STACK_BASE) / STACK_SLOT_BYTES), STACK_BYTES);
}

static void check_image(struct found *f, uint64_t va, hpa_t hpa, uint64_t flags)
{
	uint64_t offset = va - (uint64_t)fake_image;

	f->image += PAGE_SIZE;
	if (hpa != FAKE_IMAGE_HPA + offset)
		f->sound = false;
	if (offset < 0x2000)
		f->text += flags == 0;
	else if (offset < 0x3000)
		f->rodata += flags == HOST_PT_NO_EXECUTE;
	else if (offset < 0x5000)
		f->closed += flags == (HOST_PT_NO_EXECUTE | (is_sealed ? 0 : HOST_PT_WRITE));
	else
		f->data += flags == (HOST_PT_NO_EXECUTE | HOST_PT_WRITE);
}

static void visit(void *context, uint64_t va, uint64_t bytes, hpa_t hpa, uint64_t flags)
{
	struct found *f = context;
	const struct frame *frame = frame_lookup(hpa, NULL);

	if (flags & HOST_PT_WRITE && !(flags & HOST_PT_NO_EXECUTE))
		f->sound = false;
	if (within(va, (uint64_t)fake_image, sizeof(uint8_t[FAKE_IMAGE_PAGES * PAGE_SIZE]))) {
		check_image(f, va, hpa, flags);
	} else if (within(va, FRAME_TABLE_BASE, FAKE_RAM_BYTES / PAGE_SIZE * sizeof(struct frame))) {
		f->table += bytes;
		if (!frame || frame->type != FRAME_KERNEL)
			f->sound = false;
	} else if (within(va, POOL_BASE, FAKE_RAM_BYTES)) {
		f->pool += bytes;
		if (hpa != va - POOL_BASE || bytes != 2ull << 20)
			f->sound = false;
	} else if (within(va, MMIO_BASE, 1ull << 39)) {
		f->mmio += bytes;
		if (flags != (HOST_PT_WRITE | HOST_PT_UNCACHED | HOST_PT_NO_EXECUTE) || frame)
			f->sound = false;
	} else if (within(va, STACK_BASE, 64 * STACK_SLOT_BYTES)) {
		f->stack += bytes;
		if (!frame || frame->type != FRAME_POOL || !is_in_stack(va))
			f->sound = false;
	} else {
		f->other += bytes;
	}
}

static struct found walk(void)
{
	struct found f = { .sound = true };

	audit_host_tables(visit, &f);
	return f;
}

static void mm_init__machine_map__maps_image_table_and_pool_only(void **state)
{
	struct found f = walk();

	(void)state;
	assert_true(f.sound);
	assert_int_equal(f.image, FAKE_IMAGE_PAGES * PAGE_SIZE);
	assert_int_equal(f.text, 2);
	assert_int_equal(f.rodata, 1);
	assert_int_equal(f.closed, 2);
	assert_int_equal(f.data, 3);
	assert_int_equal(f.table, 6 * 4ull << 20); /* GiBs 0 to 2 and 4 to 6 hold RAM */
	assert_int_equal(f.pool, 2ull << 20);      /* the seed; the frame table lies elsewhere */
	assert_int_equal(f.mmio + f.stack, 0);
	assert_int_equal(f.other, sizeof(struct hilum_last_run)); /* the last of the log, below the image */
	assert_true(audit_frames());
}

static void mm_init__machine_map__takes_little(void **state)
{
	uint64_t table = 6 * 4ull << 20;

	(void)state;
	/* The frame table, one 2 MiB block, the image's ten frames. */
	assert_true(frame_count(FRAME_FREE) * PAGE_SIZE >
	            (frame_total - frame_count(FRAME_MODULE)) * PAGE_SIZE - table - (2ull << 20) - 16 * PAGE_SIZE);
	assert_true(frame_count(FRAME_POOL_FREE) * PAGE_SIZE > 1ull << 20);
}

static void mm_map_mmio__any_alignment__maps_whole_pages_uncached(void **state)
{
	uint8_t *va = mm_map_mmio(0xFED00F00, 0x200);
	struct found f = walk();

	(void)state;
	assert_non_null(va);
	assert_int_equal((uint64_t)va & PAGE_MASK, 0xF00);
	assert_true(f.sound);
	assert_int_equal(f.mmio, 2 * PAGE_SIZE);
	assert_ptr_not_equal(mm_map_mmio(0xFEE00000, 0x1000), va);
}

static void mm_map_mmio__ram_wrap_or_nothing__refused(void **state)
{
	uint64_t before = walk().mmio;

	(void)state;
	assert_null(mm_map_mmio(0x100000, 0x1000));
	assert_null(mm_map_mmio(0xBFEDCFFF, 2)); /* reaches from RAM into ACPI tables */
	assert_null(mm_map_mmio(FAKE_MODULE_BASE, 0x1000));
	assert_null(mm_map_mmio(0xFFFFFFFFFFFFF000ull, 0x2000));
	assert_null(mm_map_mmio(1ull << cpu_features.phys_bits, 0x1000)); /* its page-table entries would have reserved bits */
	assert_null(mm_map_mmio((1ull << cpu_features.phys_bits) - 0x1000, 0x1001));
	assert_null(mm_map_mmio(0xFED00000, 0));
	assert_null(mm_map_mmio(0xFED00000, 1ull << 40));
	assert_int_equal(walk().mmio, before);
}

static void mm_map_stack__two_cores__leaves_guards_empty(void **state)
{
	struct found f;

	(void)state;
	assert_int_equal(mm_map_stack(0), STATUS_OK);
	assert_int_equal(mm_map_stack(63), STATUS_OK);
	f = walk();
	assert_true(f.sound);
	assert_int_equal(f.stack, 2 * STACK_BYTES);
}

static void window_map__after_init__appears_in_tables(void **state)
{
	uint64_t before = walk().other;

	(void)state;
	window_map(63, 15, 0x5000);
	assert_int_equal(walk().other, before + PAGE_SIZE);
	assert_true(walk().sound);
	window_clear(63);
	assert_int_equal(walk().other, before);
}

static void mm_seal__after_boot__takes_writing_from_the_sealed_part_alone(void **state)
{
	struct found before = walk(), f;

	(void)state;
	mm_seal();
	is_sealed = true;
	f = walk();
	assert_true(f.sound);
	assert_int_equal(f.image, before.image);
	assert_int_equal(f.rodata, 1);
	assert_int_equal(f.closed, 2);
	assert_int_equal(f.data, 3);
}

static void pool_alloc_pages__beyond_first_block__grows(void **state)
{
	uint64_t before = walk().pool;

	(void)state;
	for (unsigned i = 0; i < 3 * 512; i++)
		assert_non_null(pool_alloc_page());
	assert_int_equal(walk().pool, before + 3 * (2ull << 20));
	assert_true(walk().sound);
	assert_true(audit_frames());
}

static void mm_init__too_little_memory__refuses(void **state)
{
	static struct boot_info none = { .ranges = { { 0, 0x1000, BOOT_RANGE_KERNEL } }, .range_count = 1 };
	static struct boot_info small = { .ranges = { { 0x1000, 0x9E000, BOOT_RANGE_FREE }, { 0x100000, 0x180000, BOOT_RANGE_FREE } },
		                          .range_count = 2 };

	(void)state;
	expect_panic(mm_init(&none));
	expect_panic(mm_init(&small));
}

static int boot(void **state)
{
	(void)state;
	info = fake_boot_info;
	fake_machine_reserve();
	mm_init(&info);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mm_init__machine_map__maps_image_table_and_pool_only),
		cmocka_unit_test(mm_init__machine_map__takes_little),
		cmocka_unit_test(mm_map_mmio__any_alignment__maps_whole_pages_uncached),
		cmocka_unit_test(mm_map_mmio__ram_wrap_or_nothing__refused),
		cmocka_unit_test(mm_map_stack__two_cores__leaves_guards_empty),
		cmocka_unit_test(window_map__after_init__appears_in_tables),
		cmocka_unit_test(pool_alloc_pages__beyond_first_block__grows),
		cmocka_unit_test(mm_seal__after_boot__takes_writing_from_the_sealed_part_alone),
		cmocka_unit_test(mm_init__too_little_memory__refuses),
	};

	return cmocka_run_group_tests(tests, boot, NULL);
}
