/* Header and entries, with their checksums, read through a buffer of a few sectors. */
#include "drivers-vm/driver/gpt.h"

#include <stdio.h>
#include <string.h>

#define SIGNATURE      0x5452415020494645ull /* "EFI PART" */
#define REVISION       0x00010000u
#define BUFFER_SECTORS 8u
#define BUFFER_BYTES   (BUFFER_SECTORS * BLK_SECTOR_BYTES)

/* Table 5-5, GPT Header. */
struct gpt_header {
	uint64_t signature;
	uint32_t revision, header_bytes, header_crc, reserved;
	uint64_t my_lba, alternate_lba, first_usable, last_usable;
	uint8_t disk_guid[16];
	uint64_t entries_lba;
	uint32_t entries, entry_bytes, entries_crc;
	uint32_t end; /* what follows is reserved */
};
_Static_assert(offsetof(struct gpt_header, end) == 92, "5.3.2");

/* Table 5-6, GPT Partition Entry. */
struct gpt_entry {
	uint8_t type[16], guid[16];
	uint64_t first, last;
	uint64_t attributes;
	uint8_t name[2 * GPT_NAME_UNITS];
};
_Static_assert(sizeof(struct gpt_entry) == 128, "5.3.3");

/* One reading of a table. */
struct search {
	const struct gpt_wanted *wanted;
	const struct gpt_header *header;
	unsigned found;
	uint64_t first, last;
};

static uint8_t buffer[BUFFER_BYTES];

/* 5.3.1: the CRC32 of ISO 3309, polynomial 0x04C11DB7. */
static uint32_t crc32(uint32_t crc, const uint8_t *bytes, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		crc ^= bytes[i];
		for (unsigned bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0xEDB88320u : 0);
	}
	return crc;
}

static void guid_text(const uint8_t *g, char text[GPT_UUID_BYTES])
{
	snprintf(text, GPT_UUID_BYTES, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", g[3], g[2], g[1], g[0], g[5],
	         g[4], g[7], g[6], g[8], g[9], g[10], g[11], g[12], g[13], g[14], g[15]);
}

static bool same_text(const char *a, const char *b)
{
	for (; *a != '\0' || *b != '\0'; a++, b++) {
		char x = *a >= 'A' && *a <= 'Z' ? (char)(*a + 32) : *a;
		char y = *b >= 'A' && *b <= 'Z' ? (char)(*b + 32) : *b;
		if (x != y)
			return false;
	}
	return true;
}

/* Units outside of the basic plane stay pairs of three bytes each: they match nothing that is UTF-8. */
static void name_text(const uint8_t *name, char text[GPT_NAME_BYTES])
{
	unsigned used = 0;

	for (unsigned i = 0; i < GPT_NAME_UNITS; i++) {
		unsigned unit = name[2 * i] | name[2 * i + 1] << 8;
		if (unit == 0)
			break;
		if (unit < 0x80) {
			text[used++] = (char)unit;
		} else if (unit < 0x800) {
			text[used++] = (char)(0xC0 | unit >> 6);
			text[used++] = (char)(0x80 | (unit & 0x3F));
		} else {
			text[used++] = (char)(0xE0 | unit >> 12);
			text[used++] = (char)(0x80 | (unit >> 6 & 0x3F));
			text[used++] = (char)(0x80 | (unit & 0x3F));
		}
	}
	text[used] = '\0';
}

static bool is_wanted(const struct gpt_wanted *wanted, uint32_t number, const struct gpt_entry *entry)
{
	char text[GPT_NAME_BYTES > GPT_UUID_BYTES ? GPT_NAME_BYTES : GPT_UUID_BYTES];

	if (wanted->number != 0)
		return wanted->number == number;
	if (wanted->label != NULL) {
		name_text(entry->name, text);
		return strcmp(text, wanted->label) == 0;
	}
	guid_text(entry->guid, text);
	return wanted->uuid != NULL && same_text(text, wanted->uuid);
}

static void look_at(struct search *s, uint32_t number, const uint8_t *bytes)
{
	static const uint8_t unused[16];
	struct gpt_entry entry;

	memcpy(&entry, bytes, sizeof(entry));
	if (memcmp(entry.type, unused, sizeof(unused)) == 0 || !is_wanted(s->wanted, number, &entry))
		return;
	s->found++;
	s->first = entry.first;
	s->last = entry.last;
}

/* Reads all entries; false: they cannot be read, or their checksum is wrong. Entries never cross the buffer:
 * both are powers of two. */
static bool read_entries(struct blk_device *device, struct search *s)
{
	const struct gpt_header *h = s->header;
	uint32_t left = h->entries * h->entry_bytes, crc = ~0u, number = 1;
	uint64_t sector = h->entries_lba;

	while (left != 0) {
		uint32_t part = left < BUFFER_BYTES ? left : BUFFER_BYTES;
		uint32_t sectors = (part + BLK_SECTOR_BYTES - 1) / BLK_SECTOR_BYTES;
		if (!blk_read_wait(device, sector, sectors, buffer))
			return false;
		crc = crc32(crc, buffer, part);
		for (uint32_t at = 0; at < part; at += h->entry_bytes)
			look_at(s, number++, buffer + at);
		left -= part;
		sector += sectors;
	}
	return ~crc == h->entries_crc;
}

/* The header at `lba`, checked; false: there is none, or it is damaged. */
static bool read_header(struct blk_device *device, uint64_t lba, struct gpt_header *h)
{
	uint32_t crc;

	if (!blk_read_wait(device, lba, 1, buffer))
		return false;
	memcpy(h, buffer, sizeof(*h));
	if (h->signature != SIGNATURE || h->revision != REVISION || h->header_bytes < offsetof(struct gpt_header, end) ||
	    h->header_bytes > BLK_SECTOR_BYTES)
		return false;
	memset(buffer + offsetof(struct gpt_header, header_crc), 0, sizeof(h->header_crc));
	crc = ~crc32(~0u, buffer, h->header_bytes);
	if (crc != h->header_crc || h->my_lba != lba || h->entries == 0 || h->entries > GPT_ENTRIES_MAX)
		return false;
	return h->entry_bytes >= sizeof(struct gpt_entry) && h->entry_bytes <= GPT_ENTRY_BYTES_MAX &&
	       (h->entry_bytes & (h->entry_bytes - 1)) == 0 && h->first_usable <= h->last_usable && h->last_usable < device->sectors;
}

static bool read_table(struct blk_device *device, uint64_t lba, struct gpt_header *h, struct search *s)
{
	*s = (struct search){ .wanted = s->wanted, .header = h };
	return read_header(device, lba, h) && read_entries(device, s);
}

const char *gpt_find(struct blk_device *device, const struct gpt_wanted *wanted, uint64_t *first, uint64_t *sectors)
{
	struct gpt_header header;
	struct search s = { .wanted = wanted };

	if (device->sectors < 3 || (!read_table(device, 1, &header, &s) && !read_table(device, device->sectors - 1, &header, &s)))
		return "it has no valid GUID partition table";
	if (s.found == 0)
		return "it has no such partition";
	if (s.found > 1)
		return "it has more than one such partition";
	if (s.first < header.first_usable || s.last > header.last_usable || s.first > s.last)
		return "its partition table has that partition outside of the disk";
	*first = s.first;
	*sectors = s.last - s.first + 1;
	return NULL;
}

/* ---- The partition as a device ---- */

static enum blk_status submit(struct blk_device *device, struct blk_request *request)
{
	struct blk_part *part = (struct blk_part *)device;

	if (request->operation != BLK_FLUSH)
		request->sector += part->first;
	return part->whole->ops->submit(part->whole, request);
}

static void poll(struct blk_device *device)
{
	struct blk_device *whole = ((struct blk_part *)device)->whole;

	if (whole->ops->poll != NULL)
		whole->ops->poll(whole);
}

void blk_part_init(struct blk_part *part, struct blk_device *whole, uint64_t first, uint64_t sectors)
{
	static const struct blk_device_ops ops = { .submit = submit, .poll = poll };

	part->device = *whole;
	part->device.ops = &ops;
	part->device.sectors = sectors;
	part->whole = whole;
	part->first = first;
}
