/*
 * The service VMs' heap: random use against a shadow, alignment, exhaustion, and misuse that must be caught.
 * UNIT_SOURCES: drivers-vm/runtime/heap.c
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "drivers-vm/runtime/heap.h"
#include "drivers-vm/runtime/runtime.h"

#include <stdlib.h>
#include <string.h>

#define REGION_BYTES 65536u
#define SLOTS        64u

static _Alignas(16) uint8_t region[REGION_BYTES];
static jmp_buf abort_target;

void runtime_abort(const char *reason)
{
	(void)reason;
	longjmp(abort_target, 1);
}

/* Runs `statement` and fails the test unless it ends in runtime_abort(). */
#define assert_aborts(statement) \
	do { \
		if (setjmp(abort_target) == 0) { \
			statement; \
			fail_msg("%s went on", #statement); \
		} \
	} while (0)

static struct heap heap;

static int set_up(void **state)
{
	(void)state;
	heap_init(&heap, region, sizeof(region));
	return 0;
}

static void heap_alloc__random_use__keeps_contents_and_order(void **state)
{
	static const size_t aligns[] = { 1, 16, 64, 4096 };
	uint8_t *slot[SLOTS] = { NULL };
	size_t size[SLOTS] = { 0 };

	(void)state;
	srand(1);
	size_t all = heap.free_bytes;

	for (unsigned round = 0; round < 20000; round++) {
		unsigned i = (unsigned)rand() % SLOTS;

		for (size_t k = 0; k < size[i]; k++)
			assert_int_equal(slot[i][k], (uint8_t)(i + 1));
		heap_free(&heap, slot[i]);
		size_t align = aligns[(unsigned)rand() % 4];

		size[i] = (unsigned)rand() % (round % 16 == 0 ? 5000 : 300);
		slot[i] = heap_alloc(&heap, size[i], align);
		if (slot[i] == NULL) {
			size[i] = 0;
			continue;
		}
		assert_int_equal((uintptr_t)slot[i] % (align < 16 ? 16 : align), 0);
		assert_true(heap_block_bytes(&heap, slot[i]) >= size[i]);
		memset(slot[i], (int)(i + 1), size[i]);
		if (round % 64 == 0)
			heap_check(&heap);
	}
	for (unsigned i = 0; i < SLOTS; i++)
		heap_free(&heap, slot[i]);
	heap_check(&heap);
	assert_int_equal(heap.free_bytes, all);
	assert_non_null(heap_alloc(&heap, REGION_BYTES - 64, 1)); /* all of it in one piece again */
}

static void heap_alloc__exhausted__returns_null_and_recovers(void **state)
{
	unsigned count = 0;
	void *last = NULL;

	(void)state;
	for (void *block; (block = heap_alloc(&heap, 1000, 1)) != NULL; count++)
		last = block;
	assert_in_range(count, 60, 65);
	assert_null(heap_alloc(&heap, 1000, 1));
	heap_free(&heap, last);
	assert_non_null(heap_alloc(&heap, 1000, 1));
}

static void heap_alloc__impossible_requests__returns_null(void **state)
{
	(void)state;
	assert_null(heap_alloc(&heap, SIZE_MAX, 1));
	assert_null(heap_alloc(&heap, SIZE_MAX - 15, 1));
	assert_null(heap_alloc(&heap, REGION_BYTES, 1));
	assert_null(heap_alloc(&heap, 16, 48));
	assert_null(heap_alloc(&heap, 16, (size_t)1 << 63));
	assert_non_null(heap_alloc(&heap, 0, 1));
	heap_check(&heap);
}

static void heap_init__tiny_region__is_always_full(void **state)
{
	(void)state;
	heap_init(&heap, region, 40);
	assert_null(heap_alloc(&heap, 1, 1));
	heap_check(&heap);
}

static void heap_init__unaligned_region__stays_inside(void **state)
{
	(void)state;
	memset(region, 0x5A, sizeof(region));
	heap_init(&heap, region + 3, 1000);
	uint8_t *block = heap_alloc(&heap, 900, 1);

	assert_non_null(block);
	memset(block, 0, 900);
	assert_int_equal(region[2], 0x5A);
	assert_int_equal(region[1003], 0x5A);
	heap_check(&heap);
}

static void heap_free__null__does_nothing(void **state)
{
	(void)state;
	size_t before = heap.free_bytes;

	heap_free(&heap, NULL);
	assert_int_equal(heap.free_bytes, before);
}

static void heap_free__twice__aborts(void **state)
{
	void *block = heap_alloc(&heap, 100, 1);

	(void)state;
	heap_free(&heap, block);
	assert_aborts(heap_free(&heap, block));
}

static void heap_free__foreign_pointer__aborts(void **state)
{
	static uint8_t other[64];
	uint8_t *block = heap_alloc(&heap, 100, 1);

	(void)state;
	assert_aborts(heap_free(&heap, other));
	assert_aborts(heap_free(&heap, block + 1));
	assert_aborts(heap_free(&heap, block + 16));
}

static void heap_free__overrun_header__aborts(void **state)
{
	uint8_t *block = heap_alloc(&heap, 96, 1);

	(void)state;
	heap_alloc(&heap, 96, 1);
	memset(block, 0xFF, heap_block_bytes(&heap, block) + 8);
	assert_aborts(heap_free(&heap, block));
	assert_aborts(heap_check(&heap));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(heap_alloc__random_use__keeps_contents_and_order, set_up),
		cmocka_unit_test_setup(heap_alloc__exhausted__returns_null_and_recovers, set_up),
		cmocka_unit_test_setup(heap_alloc__impossible_requests__returns_null, set_up),
		cmocka_unit_test_setup(heap_init__tiny_region__is_always_full, set_up),
		cmocka_unit_test_setup(heap_init__unaligned_region__stays_inside, set_up),
		cmocka_unit_test_setup(heap_free__null__does_nothing, set_up),
		cmocka_unit_test_setup(heap_free__twice__aborts, set_up),
		cmocka_unit_test_setup(heap_free__foreign_pointer__aborts, set_up),
		cmocka_unit_test_setup(heap_free__overrun_header__aborts, set_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
