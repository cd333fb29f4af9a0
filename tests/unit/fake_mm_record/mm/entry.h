/* Entry writes as the real header makes them, but each is shown to the test before the next one. */
#ifndef MM_ENTRY_H
#define MM_ENTRY_H

#include "arch/x86_64/types.h"

extern void (*fake_entry_written)(uint64_t *entry, uint64_t old, uint64_t new);

static inline uint64_t entry_read(const uint64_t *entry)
{
	return __atomic_load_n(entry, __ATOMIC_ACQUIRE);
}

static inline void entry_write(uint64_t *entry, uint64_t value)
{
	uint64_t old = __atomic_exchange_n(entry, value, __ATOMIC_ACQ_REL);

	if (fake_entry_written)
		fake_entry_written(entry, old, value);
}

static inline bool entry_swap(uint64_t *entry, uint64_t *expected, uint64_t value)
{
	uint64_t old = *expected;

	if (!__atomic_compare_exchange_n(entry, expected, value, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
		return false;
	if (fake_entry_written)
		fake_entry_written(entry, old, value);
	return true;
}

#endif
