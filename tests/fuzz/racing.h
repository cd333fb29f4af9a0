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

#define RACING_REGIONS 8u

/* A target may say what is never written. */
#ifndef RACING_VALUE
#define RACING_VALUE(byte) (byte)
#endif

static struct {
	uint8_t *memory;
	size_t bytes;
} racing_region[RACING_REGIONS];
static unsigned racing_regions;
static const uint8_t *racing_input;
static size_t racing_input_bytes, racing_at;

/* `memory` changes from racing_start on, until racing_end. Further ones than there is room for do not. */
static inline void racing_share(void *memory, size_t bytes)
{
	if (racing_regions == RACING_REGIONS)
		return;
	racing_region[racing_regions].memory = memory;
	racing_region[racing_regions++].bytes = bytes;
}

/* As `input` says; nothing changes without one. */
static inline void racing_start(const uint8_t *input, size_t bytes)
{
	racing_input = input;
	racing_input_bytes = bytes;
	racing_at = 0;
}

static inline void racing_end(void)
{
	racing_input_bytes = 0;
	racing_regions = 0;
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
	if (racing_input_bytes == 0 || bytes == 0)
		return;
	for (unsigned i = 0; i < racing_regions; i++) {
		size_t at = (uintptr_t)address - (uintptr_t)racing_region[i].memory;
		if (at >= racing_region[i].bytes || bytes > racing_region[i].bytes - at)
			continue;
		uint8_t what = racing_next();
		if (what % 4 != 0)
			return;
		uint8_t value = racing_next();
		racing_region[i].memory[at + what / 4 % bytes] = RACING_VALUE(value);
		return;
	}
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

/* Not there in a program without sanitisers, which scripts/coverage makes. */
void *__real___asan_memcpy(void *to, const void *from, size_t bytes) __attribute__((weak));
void *__wrap___asan_memcpy(void *to, const void *from, size_t bytes);

RACING_NONE void *__wrap___asan_memcpy(void *to, const void *from, size_t bytes)
{
	racing_read(from, bytes);
	return __real___asan_memcpy(to, from, bytes);
}

#endif
