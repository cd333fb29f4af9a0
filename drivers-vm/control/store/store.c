/* The values in memory: a list in the order of the keys. Small numbers of them; a look-up is a walk. */
#include "drivers-vm/control/store/store.h"

#include "drivers-vm/control/store/store_format.h"
#include "drivers-vm/control/store/store_private.h"

#include <stdlib.h>
#include <string.h>

struct entry {
	struct entry *next;
	uint32_t flags;
	size_t count;
	char key[STORE_KEY_BYTES];
	uint8_t bytes[];
};

static struct entry *entries;
static size_t serialized_bytes;
static uint64_t changes;
static void (*watch)(const char *key);

void store_set_watcher(void (*watcher)(const char *key))
{
	watch = watcher;
}

void store_tell_watcher(const char *key)
{
	if (watch != NULL)
		watch(key);
}

/* The place of the first entry whose key is not before `key`. */
static struct entry **place_of(const char *key)
{
	struct entry **at = &entries;

	while (*at != NULL && strcmp((*at)->key, key) < 0)
		at = &(*at)->next;
	return at;
}

static struct entry *find(const char *key)
{
	struct entry *e = *place_of(key);

	return e != NULL && strcmp(e->key, key) == 0 ? e : NULL;
}

static size_t bytes_of(const char *key, size_t count)
{
	return STORE_VALUE_HEAD + strlen(key) + count;
}

const void *store_get(const char *key, size_t *bytes)
{
	const struct entry *e = find(key);

	*bytes = e != NULL ? e->count : 0;
	return e != NULL ? e->bytes : NULL;
}

const char *store_next(const char *prefix, const char *key)
{
	size_t length = strlen(prefix);

	for (const struct entry *e = *place_of(key); e != NULL; e = e->next)
		if (strcmp(e->key, key) > 0 && strncmp(e->key, prefix, length) == 0)
			return e->key;
	return NULL;
}

static bool is_key(const char *key)
{
	size_t length = 0;

	for (; key[length] != '\0'; length++)
		if (key[length] <= ' ' || key[length] > '~' || length + 1 == STORE_KEY_BYTES)
			return false;
	return length != 0;
}

static void take_out(struct entry **at)
{
	struct entry *e = *at;

	serialized_bytes -= bytes_of(e->key, e->count);
	*at = e->next;
	memset(e->bytes, 0, e->count); /* it may have been a secret */
	free(e);
}

static bool insert(const char *key, const void *value, size_t bytes, uint32_t flags)
{
	struct entry *old = find(key), *e;
	size_t room = STORE_BYTES - serialized_bytes + (old != NULL ? bytes_of(key, old->count) : 0);

	if (bytes > STORE_VALUE_BYTES || bytes_of(key, bytes) > room)
		return false;
	e = malloc(sizeof(*e) + bytes);
	if (e == NULL)
		return false;
	*e = (struct entry){ .flags = flags, .count = bytes };
	memcpy(e->key, key, strlen(key) + 1);
	if (bytes != 0)
		memcpy(e->bytes, value, bytes);
	struct entry **at = place_of(key);
	if (old != NULL)
		take_out(at);
	e->next = *at;
	*at = e;
	serialized_bytes += bytes_of(key, bytes);
	return true;
}

bool store_put(const char *key, const void *value, size_t bytes, uint32_t flags)
{
	const struct entry *old;

	if (!is_key(key) || (flags & ~STORE_SECRET) != 0)
		return false;
	old = find(key);
	if (old != NULL && old->count == bytes && old->flags == flags && (bytes == 0 || memcmp(old->bytes, value, bytes) == 0))
		return true;
	if (!insert(key, value, bytes, flags))
		return false;
	changes++;
	store_tell_watcher(key);
	return true;
}

void store_remove(const char *key)
{
	struct entry **at = place_of(key);

	if (*at == NULL || strcmp((*at)->key, key) != 0)
		return;
	take_out(at);
	changes++;
	store_tell_watcher(key);
}

uint64_t store_changes(void)
{
	return changes;
}

size_t store_serialized_bytes(void)
{
	return serialized_bytes;
}

static uint8_t *serialize(uint8_t *to, const struct entry *e)
{
	const struct store_value value = { e->key, e->bytes, strlen(e->key), e->count, e->flags };

	return store_value_make(to, &value);
}

void store_serialize(uint8_t *to)
{
	for (const struct entry *e = entries; e != NULL; e = e->next)
		to = serialize(to, e);
}

size_t store_serialize_value(const char *key, uint8_t *to)
{
	const struct entry *e = find(key);

	if (e != NULL && to != NULL)
		serialize(to, e);
	return e != NULL ? bytes_of(key, e->count) : 0;
}

bool store_put_serialized(const uint8_t *from, size_t bytes)
{
	const uint8_t *end = from + bytes;
	struct store_value value;
	char key[STORE_KEY_BYTES] = "";

	if (!store_value_read(&from, end, &value) || from != end)
		return false;
	memcpy(key, value.key, value.key_bytes);
	return store_put(key, value.bytes, value.count, value.flags);
}

bool store_load(const uint8_t *from, size_t bytes)
{
	const uint8_t *end = from + bytes;
	struct store_value value;

	if (!store_values_are_valid(from, bytes))
		return false;
	while (from != end && store_value_read(&from, end, &value)) {
		char key[STORE_KEY_BYTES] = "";
		memcpy(key, value.key, value.key_bytes);
		if (find(key) == NULL && !insert(key, value.bytes, value.count, value.flags))
			return false;
	}
	return true;
}
