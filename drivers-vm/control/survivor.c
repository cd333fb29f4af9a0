/* See survivor.h. */
#include "drivers-vm/control/survivor.h"

#include "drivers-vm/control/manager.h"
#include "drivers-vm/control/store/store.h"

#include <string.h>

#define MAGIC      0x5652555349484C49ull
#define PAGE_BYTES 4096u

struct copy {
	uint64_t sequence; /* 0: does not count; else the higher one does */
	uint64_t bytes;
	uint64_t sum; /* of the three */
	uint8_t at[];
};

static const struct {
	unsigned count;
	size_t bytes;
} kinds[SURVIVOR_KINDS] = {
	[SURVIVOR_HOST] = { 1, SURVIVOR_HOST_BYTES },
	[SURVIVOR_DEVICES] = { 1, SURVIVOR_HOST_BYTES },
	[SURVIVOR_STORE] = { 1, STORE_BYTES },
	[SURVIVOR_IMAGES] = { 1, SURVIVOR_IMAGES_BYTES },
	[SURVIVOR_VM] = { MANAGER_VMS_MAX, SURVIVOR_VM_BYTES },
};

static uint8_t *memory_at;
static survivor_fill fill_page;

static size_t copy_bytes(enum survivor_kind kind)
{
	return sizeof(struct copy) + kinds[kind].bytes;
}

static size_t records_offset(void)
{
	return sizeof(struct survivor_head) + sizeof(struct event_ring) + sizeof(struct audit_rings);
}

/* Where a kind's first record begins; of SURVIVOR_KINDS: the end. */
static size_t offset_of(unsigned kind)
{
	size_t offset = records_offset();

	for (unsigned i = 0; i < kind; i++)
		offset += 2 * kinds[i].count * copy_bytes(i);
	return offset;
}

static struct copy *copy_of(enum survivor_kind kind, unsigned index, unsigned which)
{
	return (struct copy *)(memory_at + offset_of(kind) + (2 * index + which) * copy_bytes(kind));
}

static uintptr_t page_behind(size_t offset)
{
	return ((uintptr_t)memory_at + offset + PAGE_BYTES - 1) & ~(uintptr_t)(PAGE_BYTES - 1);
}

/* The pages between two offsets, but for the one that holds the byte before the first, which is there. */
static bool fill(size_t from, size_t to)
{
	for (uintptr_t page = page_behind(from); page < page_behind(to); page += PAGE_BYTES)
		if (!fill_page((void *)page))
			return false;
	return true;
}

/* The records of VMs come last, and are there one after the other as places are used. */
static bool grow(unsigned index)
{
	struct survivor_head *head = survivor_head();
	size_t both = 2 * copy_bytes(SURVIVOR_VM), from = offset_of(SURVIVOR_VM);

	for (; head->vms <= index; head->vms++)
		if (!fill(from + head->vms * both, from + (head->vms + 1) * both))
			return false;
	return true;
}

/* Whether there is such a record, and its memory. */
static bool is_there(enum survivor_kind kind, unsigned index)
{
	return memory_at != NULL && index < kinds[kind].count && (kind != SURVIVOR_VM || index < survivor_head()->vms);
}

/* Against stray stores, not against an enemy: a word at a time, as records are written often. */
static uint64_t sum(uint64_t sequence, const uint8_t *at, uint64_t bytes)
{
	uint64_t hash = sequence ^ bytes << 32, word;

	for (uint64_t left = bytes; left != 0;) {
		uint64_t n = left < sizeof(word) ? left : sizeof(word);
		word = 0;
		memcpy(&word, at, n);
		hash = (hash ^ word) * 0x9E3779B97F4A7C15ull;
		hash ^= hash >> 29;
		at += n;
		left -= n;
	}
	return hash;
}

static bool is_valid(enum survivor_kind kind, const struct copy *c)
{
	return c->sequence != 0 && c->bytes <= kinds[kind].bytes && c->sum == sum(c->sequence, c->at, c->bytes);
}

/* The copy that counts; NULL: neither does. */
static struct copy *newest(enum survivor_kind kind, unsigned index)
{
	struct copy *a = copy_of(kind, index, 0), *b = copy_of(kind, index, 1);

	if (b->sequence > a->sequence) {
		struct copy *c = a;
		a = b;
		b = c;
	}
	if (is_valid(kind, a))
		return a;
	return is_valid(kind, b) ? b : NULL;
}

/* Behind a record's own bytes, one after the other, aligned. Those of an earlier record at the same place have another one's sum. */
struct entry {
	uint64_t sum; /* of the record's sequence number and the entry; stored last */
	uint64_t bytes;
	uint8_t at[];
};

#define ENTRY_ALIGN 8u

static size_t aligned(size_t bytes)
{
	return (bytes + ENTRY_ALIGN - 1) & ~(size_t)(ENTRY_ALIGN - 1);
}

/* Where the entries of a record of so many bytes begin. */
static size_t entries_offset(const struct copy *c)
{
	return aligned(c->bytes);
}

static uint64_t entry_sum(const struct copy *c, size_t offset, const struct entry *e)
{
	return sum(c->sequence + offset, e->at, e->bytes) | 1; /* never that of fresh memory */
}

static struct copy *added_to; /* the store's record, where entries are added; NULL: it was not put yet */
static size_t added_end;      /* offset in it */

size_t survivor_bytes(void)
{
	return (offset_of(SURVIVOR_KINDS) + PAGE_BYTES - 1) & ~(size_t)(PAGE_BYTES - 1);
}

bool survivor_make(void *memory, survivor_fill how)
{
	memory_at = memory;
	fill_page = how;
	added_to = NULL;
	if (!fill(0, offset_of(SURVIVOR_VM))) {
		memory_at = NULL;
		return false;
	}
	survivor_head()->bytes = survivor_bytes();
	__atomic_store_n(&survivor_head()->magic, MAGIC, __ATOMIC_RELEASE);
	return true;
}

bool survivor_find(void *memory, survivor_fill how)
{
	memory_at = memory;
	fill_page = how;
	added_to = NULL;
	if (survivor_head()->magic == MAGIC && survivor_head()->bytes == survivor_bytes())
		return true;
	memory_at = NULL;
	return false;
}

struct survivor_head *survivor_head(void)
{
	return (struct survivor_head *)memory_at;
}

struct event_ring *survivor_events(void)
{
	return memory_at != NULL ? (struct event_ring *)(memory_at + sizeof(struct survivor_head)) : NULL;
}

struct audit_rings *survivor_audit(void)
{
	return memory_at != NULL ? (struct audit_rings *)(memory_at + sizeof(struct survivor_head) + sizeof(struct event_ring)) : NULL;
}

void *survivor_begin(enum survivor_kind kind, unsigned index, size_t bytes)
{
	if (memory_at == NULL || index >= kinds[kind].count || bytes > kinds[kind].bytes || (kind == SURVIVOR_VM && !grow(index)))
		return NULL;
	struct copy *old = newest(kind, index), *c = copy_of(kind, index, old == copy_of(kind, index, 0));
	__atomic_store_n(&c->sequence, 0, __ATOMIC_SEQ_CST); /* does not count from here on */
	return c->at;
}

void survivor_commit(enum survivor_kind kind, unsigned index, size_t bytes)
{
	struct copy *old = newest(kind, index), *c = copy_of(kind, index, old == copy_of(kind, index, 0));
	uint64_t sequence = old != NULL ? old->sequence + 1 : 1;

	c->bytes = bytes;
	c->sum = sum(sequence, c->at, bytes);
	__atomic_store_n(&c->sequence, sequence, __ATOMIC_SEQ_CST);
	if (kind == SURVIVOR_STORE) {
		added_to = c;
		added_end = entries_offset(c);
	}
}

void *survivor_add_begin(size_t bytes)
{
	bool room = added_to != NULL && bytes <= STORE_BYTES && added_end + sizeof(struct entry) + aligned(bytes) <= STORE_BYTES;

	return room ? ((struct entry *)(added_to->at + added_end))->at : NULL;
}

void survivor_add_commit(size_t bytes)
{
	struct entry *e = (struct entry *)(added_to->at + added_end);

	e->bytes = bytes;
	__atomic_store_n(&e->sum, entry_sum(added_to, added_end, e), __ATOMIC_SEQ_CST);
	added_end += sizeof(*e) + aligned(bytes);
}

const void *survivor_added(size_t *at, size_t *bytes)
{
	const struct copy *c = is_there(SURVIVOR_STORE, 0) ? newest(SURVIVOR_STORE, 0) : NULL;

	if (c == NULL)
		return NULL;
	size_t offset = *at != 0 ? *at : entries_offset(c), room = STORE_BYTES;
	const struct entry *e = (const struct entry *)(c->at + offset);
	if (offset > room || room - offset < sizeof(*e) || e->bytes > room - offset - sizeof(*e) || e->sum != entry_sum(c, offset, e))
		return NULL;
	*at = offset + sizeof(*e) + aligned(e->bytes);
	*bytes = e->bytes;
	return e->at;
}

void survivor_put(enum survivor_kind kind, unsigned index, const void *from, size_t bytes)
{
	size_t have;
	const void *old = survivor_get(kind, index, &have);

	if (bytes != 0 ? old != NULL && have == bytes && memcmp(old, from, bytes) == 0 : old == NULL)
		return;
	void *at = survivor_begin(kind, index, bytes);
	if (at == NULL)
		return;
	if (bytes != 0)
		memcpy(at, from, bytes);
	survivor_commit(kind, index, bytes);
}

const void *survivor_get(enum survivor_kind kind, unsigned index, size_t *bytes)
{
	const struct copy *c = is_there(kind, index) ? newest(kind, index) : NULL;

	*bytes = c != NULL ? c->bytes : 0;
	return *bytes != 0 ? c->at : NULL;
}
