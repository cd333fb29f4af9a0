/*
 * The state on the disk: two slots, each a header sector and the values behind it. Numbers are little-endian. Pure; whoever wrote the disk
 * is not believed.
 *
 *   header   magic, version, CRC32C of the header, sequence number, bytes of values, CRC32C of the values; zeroes up to 512 bytes
 *   values   each: flags (32 bits), bytes of the key (16), zero (16), bytes of the value (32), key, value; keys ascending
 */
#ifndef DRIVERS_VM_CONTROL_STORE_STORE_FORMAT_H
#define DRIVERS_VM_CONTROL_STORE_STORE_FORMAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STORE_SECTOR_BYTES 512u
#define STORE_SLOTS        2u
#define STORE_SLOT_SECTORS 4096u /* from one slot to the next */
#define STORE_SECTORS_MIN  ((uint64_t)STORE_SLOTS * STORE_SLOT_SECTORS)
#define STORE_VALUE_HEAD   12u

struct store_header {
	uint64_t sequence;
	uint32_t body_bytes, body_crc;
};

enum store_header_kind {
	STORE_HEADER_VALID,
	STORE_HEADER_NONE, /* no state was ever written there */
	STORE_HEADER_DAMAGED,
	STORE_HEADER_FOREIGN, /* of another version of Hilum */
};

void store_header_make(const struct store_header *header, uint8_t sector[STORE_SECTOR_BYTES]);
enum store_header_kind store_header_read(const uint8_t sector[STORE_SECTOR_BYTES], struct store_header *header);

/* CRC-32C (RFC 3720, 12.1) of what `crc` is the sum of, 0 for nothing, and of these bytes. */
uint32_t store_crc(uint32_t crc, const uint8_t *bytes, size_t count);

/* One value of the list at `at`. */
struct store_value {
	const char *key; /* without a NUL */
	const uint8_t *bytes;
	size_t key_bytes, count;
	uint32_t flags;
};

/* Writes one value, whose place has STORE_VALUE_HEAD + key_bytes + count bytes; returns the place behind it. */
uint8_t *store_value_make(uint8_t *at, const struct store_value *value);

/* Reads the value at *at and moves *at behind it; false: none ends at `end` or before it, or it breaks a rule. */
bool store_value_read(const uint8_t **at, const uint8_t *end, struct store_value *value);

/* Whether [from, from + bytes) is a list of values, all well, their keys ascending. */
bool store_values_are_valid(const uint8_t *from, size_t bytes);

#endif
