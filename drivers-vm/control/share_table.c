#include "drivers-vm/control/share_table.h"

#include <stddef.h>
#include <string.h>

enum state {
	EMPTY,
	MET,    /* once, or its contents have changed since */
	STABLE, /* twice with the same contents */
	SHARED, /* the page that others were made one with */
};

/* The same contents of different tenants are different things. */
static uint64_t make_key(uint64_t digest, uint32_t tenant)
{
	uint64_t key = digest ^ (tenant + 1) * 0x9E3779B97F4A7C15ull;

	key ^= key >> 32;
	key *= 0xD6E8FEB86659FD93ull;
	return key ^ key >> 32;
}

static struct share_entry *bucket_of(const struct share_table *table, uint64_t key)
{
	return &table->entry[(key & (table->buckets - 1)) * SHARE_TABLE_WAYS];
}

static bool is_at(const struct share_entry *entry, struct share_place place)
{
	return entry->state != EMPTY && entry->slot == place.slot && entry->page == place.page;
}

static struct share_entry *find_own(struct share_entry *bucket, struct share_place place)
{
	for (unsigned i = 0; i < SHARE_TABLE_WAYS; i++)
		if (is_at(&bucket[i], place))
			return &bucket[i];
	return NULL;
}

/* Another place with the same contents, one that is shared before all others. */
static struct share_entry *find_other(struct share_entry *bucket, uint64_t key, struct share_place place)
{
	struct share_entry *found = NULL;

	for (unsigned i = 0; i < SHARE_TABLE_WAYS; i++)
		if (bucket[i].state != EMPTY && bucket[i].key == key && !is_at(&bucket[i], place) &&
		    (found == NULL || bucket[i].state > found->state))
			found = &bucket[i];
	return found;
}

/* Whose place a new entry takes: an empty one, or the one that was met longest ago and is of least use. */
static struct share_entry *find_room(const struct share_table *table, struct share_entry *bucket)
{
	struct share_entry *room = &bucket[0];
	unsigned best = 0;

	for (unsigned i = 0; i < SHARE_TABLE_WAYS; i++) {
		unsigned age = (uint8_t)(table->pass - bucket[i].pass), worth = 1 + 4 * age + (SHARED - bucket[i].state);
		if (bucket[i].state == EMPTY)
			return &bucket[i];
		if (worth > best) {
			best = worth;
			room = &bucket[i];
		}
	}
	return room;
}

bool share_table_meet(struct share_table *table, uint64_t digest, uint32_t tenant, struct share_place place, struct share_place *other)
{
	uint64_t key = make_key(digest, tenant);
	struct share_entry *bucket = bucket_of(table, key), *own = find_own(bucket, place), *found = find_other(bucket, key, place);

	if (own != NULL && own->key == key && own->state == MET && own->pass != table->pass)
		own->state = STABLE;
	else if (own != NULL && own->key != key)
		own->state = MET;
	if (found != NULL && (found->state == SHARED || (own != NULL && own->state == STABLE))) {
		*other = (struct share_place){ .slot = found->slot, .page = found->page };
		return true;
	}
	if (own == NULL) {
		own = find_room(table, bucket);
		own->state = MET;
	}
	own->key = key;
	own->slot = (uint16_t)place.slot;
	own->page = place.page;
	own->pass = table->pass;
	return false;
}

static void remove_at(struct share_table *table, uint64_t key, struct share_place place)
{
	struct share_entry *own = find_own(bucket_of(table, key), place);

	if (own != NULL && own->key == key)
		own->state = EMPTY;
}

void share_table_shared(struct share_table *table, uint64_t digest, uint32_t tenant, struct share_place place, struct share_place other)
{
	uint64_t key = make_key(digest, tenant);
	struct share_entry *kept = find_own(bucket_of(table, key), other);

	remove_at(table, key, place);
	if (kept != NULL && kept->key == key) {
		kept->state = SHARED;
		kept->pass = table->pass;
	}
}

void share_table_differed(struct share_table *table, uint64_t digest, uint32_t tenant, struct share_place other)
{
	remove_at(table, make_key(digest, tenant), other);
}

void share_table_next_pass(struct share_table *table)
{
	table->pass++;
}

void share_table_forget(struct share_table *table, uint32_t slot)
{
	for (uint64_t i = 0; i < table->buckets * SHARE_TABLE_WAYS; i++)
		if (table->entry[i].slot == slot)
			table->entry[i].state = EMPTY;
}
