/*
 * What the scanner for identical pages remembers: a table of fixed size from digests to places. Pure. Buckets of four: a page is worth
 * sharing when it was met twice with the same digest, and another place with that digest is known; or at once, when that other place
 * has been shared before. What does not fit is forgotten, and met again in a later pass.
 */
#ifndef DRIVERS_VM_CONTROL_SHARE_TABLE_H
#define DRIVERS_VM_CONTROL_SHARE_TABLE_H

#include <stdbool.h>
#include <stdint.h>

#define SHARE_TABLE_WAYS 4u

struct share_place {
	uint32_t slot; /* below 65536 */
	uint32_t page; /* of its RAM */
};

/* Zeroes: empty. */
struct share_entry {
	uint64_t key;
	uint32_t page;
	uint16_t slot;
	uint8_t pass; /* in which it was met last */
	uint8_t state;
};
_Static_assert(sizeof(struct share_entry) == 16, "four in a line of the cache");

struct share_table {
	struct share_entry *entry; /* zeroed at first */
	uint64_t buckets;          /* a power of two */
	uint8_t pass;
};

/* A page with this digest, of a VM of this tenant (a number), was met. True: it is to be shared with *other. */
bool share_table_meet(struct share_table *table, uint64_t digest, uint32_t tenant, struct share_place place, struct share_place *other);

/* What came of that: both are one page now; or `other` does not have those contents any more. */
void share_table_shared(struct share_table *table, uint64_t digest, uint32_t tenant, struct share_place place, struct share_place other);
void share_table_differed(struct share_table *table, uint64_t digest, uint32_t tenant, struct share_place other);

/* All pages were met once more. */
void share_table_next_pass(struct share_table *table);

/* The VM in this slot is gone. */
void share_table_forget(struct share_table *table, uint32_t slot);

#endif
