/*
 * GUID partition tables on a disk in memory: found, second table, and every kind of damage.
 *
 * UNIT_SOURCES: drivers-vm/driver/gpt.c drivers-vm/driver/blk_device.c
 * UNIT_SOURCES: drivers-vm/driver/blk_ram.c drivers-vm/driver/io_segment.c
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "drivers-vm/driver/blk_ram.h"
#include "drivers-vm/driver/gpt.h"

#define SECTORS 256u
#define ENTRIES 128u
#define UUID    "0fc63daf-8483-4772-8e79-3d69d8477de4"

static uint8_t *medium;
static struct blk_ram disk;

/* Bit by bit from the top, unlike the code under test. */
static uint32_t checksum(const uint8_t *bytes, size_t count)
{
	uint32_t crc = ~0u, reversed = 0;

	for (size_t i = 0; i < count; i++) {
		for (unsigned bit = 0; bit < 8; bit++) {
			bool top = (crc >> 31) ^ (bytes[i] >> bit & 1);
			crc = crc << 1 ^ (top ? 0x04C11DB7u : 0);
		}
	}
	for (unsigned bit = 0; bit < 32; bit++)
		reversed |= (crc >> bit & 1) << (31 - bit);
	return ~reversed;
}

static void put(uint8_t *at, uint64_t value, unsigned bytes)
{
	memcpy(at, &value, bytes);
}

static void seal(unsigned header, unsigned entries)
{
	uint8_t *h = medium + header * 512;

	put(h + 88, checksum(medium + entries * 512, ENTRIES * 128), 4);
	put(h + 16, 0, 4);
	put(h + 16, checksum(h, 92), 4);
}

static void put_header(unsigned at, unsigned other, unsigned entries)
{
	uint8_t *h = medium + at * 512;

	memcpy(h, "EFI PART", 8);
	put(h + 8, 0x10000, 4);
	put(h + 12, 92, 4);
	put(h + 24, at, 8);
	put(h + 32, other, 8);
	put(h + 40, 34, 8);
	put(h + 48, SECTORS - 34, 8);
	put(h + 72, entries, 8);
	put(h + 80, ENTRIES, 4);
	put(h + 84, 128, 4);
	seal(at, entries);
}

static uint8_t *entry(unsigned index)
{
	return medium + 2 * 512 + 128 * index;
}

static void put_entry(unsigned index, uint64_t first, uint64_t last, const char *name)
{
	static const uint8_t guid[16] = { 0xaf, 0x3d, 0xc6, 0x0f, 0x83, 0x84, 0x72, 0x47, 0x8e, 0x79, 0x3d, 0x69, 0xd8, 0x47, 0x7d, 0xe4 };

	memset(entry(index), 0x11, 16);
	memcpy(entry(index) + 16, guid, 16);
	entry(index)[31] = (uint8_t)(0xe4 + index);
	put(entry(index) + 32, first, 8);
	put(entry(index) + 40, last, 8);
	memset(entry(index) + 56, 0, 72);
	for (unsigned i = 0; name[i] != '\0'; i++)
		entry(index)[56 + 2 * i] = (uint8_t)name[i];
}

/* Both tables from the entries of the first one. */
static void write_tables(void)
{
	memcpy(medium + (SECTORS - 33) * 512, entry(0), ENTRIES * 128);
	put_header(1, SECTORS - 1, 2);
	put_header(SECTORS - 1, 1, SECTORS - 33);
}

static int set_up(void **state)
{
	(void)state;
	medium = calloc(SECTORS, 512);
	blk_ram_init(&disk, medium, SECTORS * 512, false);
	put_entry(0, 40, 49, "boot");
	put_entry(5, 50, 99, "root");
	put_entry(127, 100, 100, "123456789012345678901234567890123456");
	write_tables();
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	free(medium);
	return 0;
}

static const char *find(struct gpt_wanted wanted, uint64_t *first, uint64_t *sectors)
{
	return gpt_find(&disk.device, &wanted, first, sectors);
}

static void expect(struct gpt_wanted wanted, uint64_t first, uint64_t sectors)
{
	uint64_t f = 0, s = 0;

	assert_null(find(wanted, &f, &s));
	assert_int_equal(f, first);
	assert_int_equal(s, sectors);
}

static void expect_none(struct gpt_wanted wanted)
{
	uint64_t f = 77, s = 78;

	assert_non_null(find(wanted, &f, &s));
	assert_int_equal(f, 77);
	assert_int_equal(s, 78);
}

static void gpt_find__number_label_uuid__its_place(void **state)
{
	(void)state;
	expect((struct gpt_wanted){ .number = 1 }, 40, 10);
	expect((struct gpt_wanted){ .number = 128 }, 100, 1);
	expect((struct gpt_wanted){ .label = "root" }, 50, 50);
	expect((struct gpt_wanted){ .label = "123456789012345678901234567890123456" }, 100, 1);
	expect((struct gpt_wanted){ .uuid = UUID }, 40, 10);
	expect((struct gpt_wanted){ .uuid = "0FC63DAF-8483-4772-8E79-3D69D8477DE9" }, 50, 50);
}

static void gpt_find__not_there__said_so(void **state)
{
	(void)state;
	expect_none((struct gpt_wanted){ .number = 2 });
	expect_none((struct gpt_wanted){ .number = 129 });
	expect_none((struct gpt_wanted){ .label = "roo" });
	expect_none((struct gpt_wanted){ .label = "root1" });
	expect_none((struct gpt_wanted){ .uuid = "00000000-0000-0000-0000-000000000000" });
}

static void gpt_find__label_that_two_have__refused(void **state)
{
	(void)state;
	put_entry(9, 120, 121, "root");
	write_tables();
	expect_none((struct gpt_wanted){ .label = "root" });
	expect((struct gpt_wanted){ .number = 10 }, 120, 2);
}

static void gpt_find__name_outside_of_ascii__as_utf_8(void **state)
{
	(void)state;
	put(entry(0) + 56, 0x00E4, 2);
	put(entry(0) + 58, 0x20AC, 2);
	put(entry(0) + 60, 0, 2);
	write_tables();
	expect((struct gpt_wanted){ .label = "\xC3\xA4\xE2\x82\xAC" }, 40, 10);
	memset(entry(0) + 56, 0xFF, 72); /* the longest name there can be */
	write_tables();
	expect((struct gpt_wanted){ .number = 1 }, 40, 10);
	expect_none((struct gpt_wanted){ .label = "nothing" });
}

static void gpt_find__first_table_damaged_anywhere__second_one(void **state)
{
	(void)state;
	for (unsigned at = 512; at < 512 + 92; at++) {
		medium[at] ^= 0x40;
		expect((struct gpt_wanted){ .label = "root" }, 50, 50);
		medium[at] ^= 0x40;
	}
	for (unsigned at = 1024; at < 1024 + ENTRIES * 128; at += 97) {
		medium[at] ^= 1;
		expect((struct gpt_wanted){ .label = "root" }, 50, 50);
		medium[at] ^= 1;
	}
	memset(medium, 0, 34 * 512);
	expect((struct gpt_wanted){ .label = "root" }, 50, 50);
	memset(medium + (SECTORS - 1) * 512, 0, 512);
	expect_none((struct gpt_wanted){ .label = "root" });
}

/* Sums that are right do not make it right. */
static void gpt_find__sealed_nonsense__refused(void **state)
{
	const struct {
		unsigned at, bytes;
		uint64_t value;
	} wrong[] = {
		{ 8, 4, 0x20000 },  { 12, 4, 91 },    { 12, 4, 513 },   { 12, 4, ~0u },         { 24, 8, 2 },    { 40, 8, SECTORS },
		{ 48, 8, SECTORS }, { 48, 8, ~0ull }, { 72, 8, ~0ull }, { 72, 8, SECTORS - 2 }, { 80, 4, 0 },    { 80, 4, ~0u },
		{ 80, 4, 1025 },    { 84, 4, 0 },     { 84, 4, 64 },    { 84, 4, 192 },         { 84, 4, 8192 },
	};

	(void)state;
	memset(medium + (SECTORS - 1) * 512, 0, 512);
	for (unsigned i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		put_header(1, SECTORS - 1, 2);
		put(medium + 512 + wrong[i].at, wrong[i].value, wrong[i].bytes);
		seal(1, 2);
		expect_none((struct gpt_wanted){ .number = 1 });
	}
	put_header(1, SECTORS - 1, 2);
	expect((struct gpt_wanted){ .number = 1 }, 40, 10);
}

static void gpt_find__partition_outside_of_the_disk__refused(void **state)
{
	const uint64_t wrong[][2] = { { 33, 40 }, { 40, SECTORS - 33 }, { 40, 39 }, { ~0ull, 40 }, { 40, ~0ull }, { 0, ~0ull } };

	(void)state;
	for (unsigned i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		put_entry(0, wrong[i][0], wrong[i][1], "boot");
		write_tables();
		expect_none((struct gpt_wanted){ .number = 1 });
	}
}

static void gpt_find__tiny_disk__refused(void **state)
{
	(void)state;
	for (unsigned sectors = 0; sectors < 40; sectors++) {
		blk_ram_init(&disk, medium, sectors * 512, false);
		expect_none((struct gpt_wanted){ .number = 1 });
	}
}

static void blk_part__requests__reach_the_part_and_nothing_else(void **state)
{
	struct blk_part part;
	uint8_t sector[512];
	const struct io_segment segment = { sector, 512 };
	struct blk_request request = { .operation = BLK_WRITE, .sector = 9, .sectors = 1, .segment = &segment, .segments = 1 };

	(void)state;
	blk_part_init(&part, &disk.device, 40, 10);
	memset(sector, 0x77, sizeof(sector));
	assert_int_equal(blk_request_check(&part.device, &request), BLK_OK);
	assert_int_equal(part.device.ops->submit(&part.device, &request), BLK_OK);
	assert_int_equal(medium[49 * 512], 0x77);
	request.sector = 10;
	assert_int_equal(blk_request_check(&part.device, &request), BLK_IO_ERROR);
	request = (struct blk_request){ .operation = BLK_FLUSH };
	assert_int_equal(blk_request_check(&part.device, &request), BLK_OK);
	assert_int_equal(part.device.ops->submit(&part.device, &request), BLK_OK);
	assert_true(blk_read_wait(&part.device, 9, 1, sector));
	assert_false(blk_read_wait(&part.device, 10, 1, sector));
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(gpt_find__number_label_uuid__its_place),
		CASE(gpt_find__not_there__said_so),
		CASE(gpt_find__label_that_two_have__refused),
		CASE(gpt_find__name_outside_of_ascii__as_utf_8),
		CASE(gpt_find__first_table_damaged_anywhere__second_one),
		CASE(gpt_find__sealed_nonsense__refused),
		CASE(gpt_find__partition_outside_of_the_disk__refused),
		CASE(gpt_find__tiny_disk__refused),
		CASE(blk_part__requests__reach_the_part_and_nothing_else),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
