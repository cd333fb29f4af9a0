/* See store_format.h. */
#include "drivers-vm/control/store/store_format.h"

#include "drivers-vm/control/store/store.h"

#include <string.h>

#define MAGIC        0x455441545348494Cull /* "LIHSTATE" */
#define VERSION      1u
#define SEQUENCE_MAX (UINT64_MAX / 2) /* more is no sequence number */
#define KNOWN_FLAGS  STORE_SECRET

struct disk_header {
	uint64_t magic;
	uint32_t version, header_crc;
	uint64_t sequence;
	uint32_t body_bytes, body_crc;
};
_Static_assert(sizeof(struct disk_header) == 32, "no gaps");
_Static_assert((STORE_BYTES + STORE_SECTOR_BYTES - 1) / STORE_SECTOR_BYTES + 1 <= STORE_SLOT_SECTORS, "slots do not overlap");

uint32_t store_crc(uint32_t crc, const uint8_t *bytes, size_t count)
{
	/* Of the 16 values of four bits, polynomial 0x1EDC6F41 reflected. */
	static const uint32_t table[16] = {
		0x00000000, 0x105EC76F, 0x20BD8EDE, 0x30E349B1, 0x417B1DBC, 0x5125DAD3, 0x61C69362, 0x7198540D,
		0x82F63B78, 0x92A8FC17, 0xA24BB5A6, 0xB21572C9, 0xC38D26C4, 0xD3D3E1AB, 0xE330A81A, 0xF36E6F75,
	};

	crc = ~crc;
	for (size_t i = 0; i < count; i++) {
		crc = crc >> 4 ^ table[(crc ^ bytes[i]) & 15];
		crc = crc >> 4 ^ table[(crc ^ bytes[i] >> 4) & 15];
	}
	return ~crc;
}

void store_header_make(const struct store_header *header, uint8_t sector[STORE_SECTOR_BYTES])
{
	struct disk_header h = { MAGIC, VERSION, 0, header->sequence, header->body_bytes, header->body_crc };

	memset(sector, 0, STORE_SECTOR_BYTES);
	memcpy(sector, &h, sizeof(h));
	h.header_crc = store_crc(0, sector, STORE_SECTOR_BYTES);
	memcpy(sector, &h, sizeof(h));
}

enum store_header_kind store_header_read(const uint8_t sector[STORE_SECTOR_BYTES], struct store_header *header)
{
	static const uint8_t zeroes[STORE_SECTOR_BYTES - sizeof(struct disk_header)];
	struct disk_header h;
	uint32_t crc;

	memcpy(&h, sector, sizeof(h));
	if (h.magic != MAGIC)
		return STORE_HEADER_NONE;
	crc = h.header_crc;
	h.header_crc = 0;
	if (store_crc(store_crc(0, (const uint8_t *)&h, sizeof(h)), sector + sizeof(h), STORE_SECTOR_BYTES - sizeof(h)) != crc)
		return STORE_HEADER_DAMAGED;
	if (h.version != VERSION)
		return STORE_HEADER_FOREIGN;
	if (h.sequence == 0 || h.sequence > SEQUENCE_MAX || h.body_bytes > STORE_BYTES ||
	    memcmp(sector + sizeof(h), zeroes, sizeof(zeroes)) != 0)
		return STORE_HEADER_DAMAGED;
	*header = (struct store_header){ h.sequence, h.body_bytes, h.body_crc };
	return STORE_HEADER_VALID;
}

/* ---- Values ---- */

struct value_head {
	uint32_t flags;
	uint16_t key_bytes, zero;
	uint32_t count;
};
_Static_assert(sizeof(struct value_head) == STORE_VALUE_HEAD, "no gaps");

uint8_t *store_value_make(uint8_t *at, const struct store_value *value)
{
	const struct value_head head = { value->flags, (uint16_t)value->key_bytes, 0, (uint32_t)value->count };

	memcpy(at, &head, sizeof(head));
	at += sizeof(head);
	memcpy(at, value->key, value->key_bytes);
	at += value->key_bytes;
	if (value->count != 0)
		memcpy(at, value->bytes, value->count);
	return at + value->count;
}

bool store_value_read(const uint8_t **at, const uint8_t *end, struct store_value *value)
{
	struct value_head head;

	if ((size_t)(end - *at) < sizeof(head))
		return false;
	memcpy(&head, *at, sizeof(head));
	const uint8_t *rest = *at + sizeof(head);
	if ((head.flags & ~KNOWN_FLAGS) != 0 || head.zero != 0 || head.key_bytes == 0 || head.key_bytes >= STORE_KEY_BYTES ||
	    head.count > STORE_VALUE_BYTES || (size_t)(end - rest) < head.key_bytes + (size_t)head.count)
		return false;
	for (unsigned i = 0; i < head.key_bytes; i++)
		if (rest[i] <= ' ' || rest[i] > '~')
			return false;
	*value = (struct store_value){ (const char *)rest, rest + head.key_bytes, head.key_bytes, head.count, head.flags };
	*at = rest + head.key_bytes + head.count;
	return true;
}

static bool is_before(const struct store_value *a, const struct store_value *b)
{
	size_t shorter = a->key_bytes < b->key_bytes ? a->key_bytes : b->key_bytes;
	int order = memcmp(a->key, b->key, shorter);

	return order < 0 || (order == 0 && a->key_bytes < b->key_bytes);
}

bool store_values_are_valid(const uint8_t *from, size_t bytes)
{
	const uint8_t *end = from + bytes;
	struct store_value last = { 0 }, value;

	while (from != end) {
		if (!store_value_read(&from, end, &value) || (last.key != NULL && !is_before(&last, &value)))
			return false;
		last = value;
	}
	return true;
}
