/*
 * Memory that another vCPU writes between any two loads of the code under test. A target that includes this is built with
 * -fsanitize-coverage=trace-loads and -Wl,--wrap=__asan_memcpy: the compiler then calls a function before each load and each copy, and
 * where that is about to read of the memory given, the bytes that it would read may change first. What changes is the input's: of a row
 * of bytes that is read over and over, one says whether and where, the next what is there from now on.
 */
#ifndef TESTS_FUZZ_RACING_H
#define TESTS_FUZZ_RACING_H

#include <stddef.h>
#include <stdint.h>

#define RACING_NONE __attribute__((no_sanitize("coverage")))

static uint8_t *racing_memory;
static size_t racing_memory_bytes;
static const uint8_t *racing_input;
static size_t racing_input_bytes, racing_at;

/* From now on `memory` changes as `input` says; none of either: nothing does. */
static inline void racing_start(uint8_t *memory, size_t bytes, const uint8_t *input, size_t input_bytes)
{
	racing_memory = memory;
	racing_memory_bytes = bytes;
	racing_input = input;
	racing_input_bytes = input_bytes;
	racing_at = 0;
}

RACING_NONE static inline uint8_t racing_next(void)
{
	if (racing_at >= racing_input_bytes)
		racing_at = 0;
	return racing_input[racing_at++];
}

/* `bytes` at `address` are about to be read: one read of four finds another byte there. */
RACING_NONE static void racing_read(const void *address, size_t bytes)
{
	size_t at = (uintptr_t)address - (uintptr_t)racing_memory;

	if (racing_input_bytes == 0 || bytes == 0 || at >= racing_memory_bytes || bytes > racing_memory_bytes - at)
		return;
	uint8_t what = racing_next();
	if (what % 4 == 0)
		racing_memory[at + what / 4 % bytes] = racing_next();
}

#define RACING_LOAD(bytes) \
	RACING_NONE void __sanitizer_cov_load##bytes(void *address); \
	RACING_NONE void __sanitizer_cov_load##bytes(void *address) \
	{ \
		racing_read(address, bytes); \
	}
RACING_LOAD(1)
RACING_LOAD(2)
RACING_LOAD(4)
RACING_LOAD(8)
RACING_LOAD(16)

void *__real___asan_memcpy(void *to, const void *from, size_t bytes);
void *__wrap___asan_memcpy(void *to, const void *from, size_t bytes);

RACING_NONE void *__wrap___asan_memcpy(void *to, const void *from, size_t bytes)
{
	racing_read(from, bytes);
	return __real___asan_memcpy(to, from, bytes);
}

#endif
