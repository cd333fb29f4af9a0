/* The state store, in memory only. */
#include "drivers-vm/control/store/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VALUES_MAX 256u

static struct value {
	char key[STORE_KEY_BYTES];
	void *bytes; /* NULL: this place is free */
	size_t count;
} values[VALUES_MAX];

static size_t total;

bool store_is_kept(void)
{
	return true;
}

bool store_is_clean(void)
{
	return true;
}

static struct value *find(const char *key)
{
	for (unsigned i = 0; i < VALUES_MAX; i++)
		if (values[i].bytes != NULL && strcmp(values[i].key, key) == 0)
			return &values[i];
	return NULL;
}

const void *store_get(const char *key, size_t *bytes)
{
	const struct value *value = find(key);

	if (value == NULL)
		return NULL;
	*bytes = value->count;
	return value->bytes;
}

const char *store_next(const char *prefix, const char *key)
{
	const char *best = NULL;

	for (unsigned i = 0; i < VALUES_MAX; i++)
		if (values[i].bytes != NULL && strncmp(values[i].key, prefix, strlen(prefix)) == 0 && strcmp(values[i].key, key) > 0 &&
		    (best == NULL || strcmp(values[i].key, best) < 0))
			best = values[i].key;
	return best;
}

void store_remove(const char *key)
{
	struct value *value = find(key);

	if (value == NULL)
		return;
	total -= value->count;
	free(value->bytes);
	*value = (struct value){ 0 };
}

static struct value *find_free(void)
{
	for (unsigned i = 0; i < VALUES_MAX; i++)
		if (values[i].bytes == NULL)
			return &values[i];
	return NULL;
}

bool store_put(const char *key, const void *value, size_t bytes, uint32_t flags)
{
	const struct value *old = find(key);
	size_t freed = old == NULL ? 0 : old->count;
	void *copy;

	(void)flags;
	if (strlen(key) >= STORE_KEY_BYTES || bytes > STORE_VALUE_BYTES || bytes > STORE_BYTES - (total - freed))
		return false;
	copy = malloc(bytes + 1);
	if (copy == NULL)
		return false;
	memcpy(copy, value, bytes);
	store_remove(key);
	struct value *place = find_free();

	if (place == NULL) {
		free(copy);
		return false;
	}
	snprintf(place->key, sizeof(place->key), "%s", key);
	place->bytes = copy;
	place->count = bytes;
	total += bytes;
	return true;
}
