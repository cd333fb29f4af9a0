/*
 * The heap under a driver's test: counted, and any one allocation can be made to fail. What a device that works keeps for ever goes at the
 * end of its test. For tests with UNIT_FLAGS: -Wl,--wrap=calloc -Wl,--wrap=malloc -Wl,--wrap=aligned_alloc -Wl,--wrap=free
 */
#ifndef TESTS_UNIT_DRIVER_MEMORY_H
#define TESTS_UNIT_DRIVER_MEMORY_H

#include "cmocka_all.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

void *__real_malloc(size_t bytes);
void *__real_calloc(size_t count, size_t bytes);
void *__real_aligned_alloc(size_t align, size_t bytes);
void __real_free(void *block);

#define DRIVER_MEMORY_BLOCKS 4096u
#define DRIVER_MEMORY_NEVER  1000000

static void *driver_memory_block[DRIVER_MEMORY_BLOCKS]; /* in use, in the order they came */
static unsigned driver_memory_blocks;
static int driver_memory_failing_after = DRIVER_MEMORY_NEVER; /* so many more succeed; negative: it has failed */

static inline bool driver_memory_fails_now(void)
{
	if (driver_memory_failing_after < 0)
		return false;
	return driver_memory_failing_after-- == 0;
}

static inline void *driver_memory_note(void *block)
{
	assert_non_null(block);
	assert_true(driver_memory_blocks < DRIVER_MEMORY_BLOCKS);
	return driver_memory_block[driver_memory_blocks++] = block;
}

void *__wrap_malloc(size_t bytes)
{
	return driver_memory_fails_now() ? NULL : driver_memory_note(__real_malloc(bytes));
}

void *__wrap_calloc(size_t count, size_t bytes)
{
	return driver_memory_fails_now() ? NULL : driver_memory_note(__real_calloc(count, bytes));
}

void *__wrap_aligned_alloc(size_t align, size_t bytes)
{
	return driver_memory_fails_now() ? NULL : driver_memory_note(__real_aligned_alloc(align, bytes));
}

void __wrap_free(void *block)
{
	unsigned i = driver_memory_blocks;

	if (block == NULL)
		return;
	while (i != 0 && driver_memory_block[i - 1] != block)
		i--;
	assert_int_not_equal(i, 0); /* it is in use */
	memmove(&driver_memory_block[i - 1], &driver_memory_block[i], (driver_memory_blocks-- - i) * sizeof(void *));
	__real_free(block);
}

/* All that is left, and nothing fails any more. Not by free(), of which a compiler knows that it leaves our variables alone. */
static inline void driver_memory_forget(void)
{
	driver_memory_failing_after = DRIVER_MEMORY_NEVER;
	while (driver_memory_blocks != 0)
		__wrap_free(driver_memory_block[driver_memory_blocks - 1]);
}

#endif
