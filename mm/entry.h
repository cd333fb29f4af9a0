/*
 * The only ways in which a page-table entry is changed: each is one 64-bit access, so that a hardware walker
 * sees the old value or the new one. Tests put a recording version in this header's place.
 */
#ifndef MM_ENTRY_H
#define MM_ENTRY_H

#include "arch/x86_64/types.h"

/*@ requires \valid_read(entry);
  @ assigns \nothing;
  @ ensures \result == *entry;
  @*/
static inline uint64_t entry_read(const uint64_t *entry)
{
	return __atomic_load_n(entry, __ATOMIC_ACQUIRE);
}

/* For entries that nobody else changes now. Everything written before is visible to who sees the new value.
 */
/*@ requires \valid(entry);
  @ assigns *entry;
  @ ensures *entry == value;
  @*/
static inline void entry_write(uint64_t *entry, uint64_t value)
{
	__atomic_store_n(entry, value, __ATOMIC_RELEASE);
}

/* Replaces *expected by value; false, with what is there in *expected, if another core or the hardware's A/D
 * update came first. */
/*@ requires \valid(entry) && \valid(expected) && \separated(entry, expected);
  @ assigns *entry, *expected;
  @ ensures \result <==> \old(*entry) == \old(*expected);
  @ ensures \result ==> *entry == value && *expected == \old(*expected);
  @ ensures !\result ==> *entry == \old(*entry) && *expected == \old(*entry);
  @*/
static inline bool entry_swap(uint64_t *entry, uint64_t *expected, uint64_t value)
{
	return __atomic_compare_exchange_n(entry, expected, value, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
}

#endif
