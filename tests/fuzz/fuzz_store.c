/*
 * Fuzz target of the state on the disk: the input is what stands in a slot, its sums made right where the first byte says so. Properties:
 * no access outside (the sanitisers see it); values that are taken are written again in the same form, and taken again; what is refused has
 * added nothing.
 *
 * FUZZ_SOURCES: drivers-vm/control/store/store.c drivers-vm/control/store/store_format.c
 * FUZZ_OPTIONS: -max_len=4096
 */
#include "drivers-vm/control/store/store_format.h"
#include "drivers-vm/control/store/store_private.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void empty(void)
{
	const char *key;

	while ((key = store_next("", "")) != NULL) {
		char copy[STORE_KEY_BYTES];

		strcpy(copy, key);
		store_remove(copy);
	}
}

/* All values in the form of the disk. */
static uint8_t *serialize(size_t *bytes)
{
	*bytes = store_serialized_bytes();
	uint8_t *made = malloc(*bytes ? *bytes : 1);

	if (*bytes > STORE_BYTES || !made)
		abort();
	store_serialize(made);
	if (!store_values_are_valid(made, *bytes))
		abort();
	return made;
}

static void check_header(const uint8_t *data)
{
	uint8_t sector[STORE_SECTOR_BYTES], again[STORE_SECTOR_BYTES];
	struct store_header header;

	memcpy(sector, data, sizeof(sector));
	if (store_header_read(sector, &header) != STORE_HEADER_VALID)
		return;
	if (header.body_bytes > STORE_BYTES)
		abort();
	store_header_make(&header, again);
	if (store_header_read(again, &header) != STORE_HEADER_VALID)
		abort();
}

static void check_values(const uint8_t *from, size_t bytes)
{
	size_t count, second_count;

	empty();
	if (!store_load(from, bytes)) {
		if (!store_values_are_valid(from, bytes) && store_serialized_bytes() != 0)
			abort();
		return;
	}
	uint8_t *made = serialize(&count);
	empty();
	if (!store_load(made, count))
		abort();
	uint8_t *second = serialize(&second_count);
	if (second_count != count || memcmp(made, second, count) != 0)
		abort();
	free(made);
	free(second);
}

/* The header of a slot whose numbers are the input's and whose sum is right. */
static void check_made_header(const uint8_t *data)
{
	struct store_header header;
	uint8_t sector[STORE_SECTOR_BYTES];

	memcpy(&header.sequence, data, sizeof(header.sequence));
	memcpy(&header.body_bytes, data + 8, sizeof(header.body_bytes));
	memcpy(&header.body_crc, data + 12, sizeof(header.body_crc));
	store_header_make(&header, sector);
	check_header(sector);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	if (bytes < 1)
		return 0;
	uint8_t *exact = malloc(bytes);
	if (!exact)
		abort();
	memcpy(exact, data + 1, bytes - 1);
	if (data[0] % 4 == 1 && bytes > STORE_SECTOR_BYTES)
		check_header(exact);
	else if (data[0] % 4 == 2 && bytes > 16)
		check_made_header(exact);
	else if (data[0] % 4 == 3)
		(void)!store_put_serialized(exact, bytes - 1);
	else
		check_values(exact, bytes - 1);
	free(exact);
	empty();
	return 0;
}
