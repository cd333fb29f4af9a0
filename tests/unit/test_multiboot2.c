/*
 * The Multiboot2 information's parser. Each block is parsed from an allocation of its exact size, so that
 * ASan sees any step beyond it.
 *
 * UNIT_SOURCES: boot/multiboot2.c boot/memory_map.c arch/x86_64/string_copy.c
 * UNIT_FLAGS: -Itests/unit
 */
#include "cmocka_all.h"

#include <stdlib.h>
#include <string.h>

#include "arch/x86_64/features.h"
#include "arch/x86_64/status.h"
#include "boot/multiboot2.h"

struct cpu_features cpu_features = { .phys_bits = 52 };

static struct boot_info info;
static const char *defect;
static uint8_t block[65536];
static size_t used;

static void put(const void *data, size_t bytes)
{
	memcpy(block + used, data, bytes);
	used += bytes;
}

static void put32(uint32_t v)
{
	put(&v, 4);
}

static void put64(uint64_t v)
{
	put(&v, 8);
}

static void start(void)
{
	memset(block, 0xEE, sizeof(block));
	used = 8;
}

static void align(void)
{
	used = (used + 7) & ~7ul;
}

static void tag(uint32_t type, const void *data, uint32_t bytes)
{
	put32(type);
	put32(8 + bytes);
	put(data, bytes);
	align();
}

static void memory_map(void)
{
	put32(6);
	put32(16 + 2 * 24);
	put32(24);
	put32(0);
	put64(0);
	put64(0x9FC00);
	put32(1);
	put32(0);
	put64(0x100000);
	put64(0xFF00000);
	put32(1);
	put32(0);
}

static void module(uint32_t from, uint32_t to, const char *name)
{
	put32(3);
	put32((uint32_t)(16 + strlen(name) + 1));
	put32(from);
	put32(to);
	put(name, strlen(name) + 1);
	align();
}

static void finish(void)
{
	tag(0, "", 0);
	memcpy(block, &(uint32_t){ (uint32_t)used }, 4);
}

/* Parses the first `bytes` bytes. */
static enum status parse_prefix(size_t bytes)
{
	uint8_t *copy = malloc(bytes);

	assert_non_null(copy);
	memcpy(copy, block, bytes);
	defect = multiboot2_parse(copy, bytes, &info);
	enum status status = defect ? STATUS_INVALID : STATUS_OK;

	free(copy);
	return status;
}

static void multiboot2_parse__complete_block__everything_copied(void **state)
{
	uint8_t rsdp1[20] = "RSD PTR one", rsdp2[36] = "RSD PTR two";

	(void)state;
	start();
	module(0x200000, 0x200006, "hilum.toml and more");
	tag(1, "serial=0x2f8 x", 15);
	tag(2, "GRUB 2", 7);
	memory_map();
	tag(15, rsdp2, 36);
	tag(14, rsdp1, 20);
	finish();
	assert_int_equal(multiboot2_size(block), used);
	assert_int_equal(parse_prefix(used), STATUS_OK);
	assert_string_equal(info.cmdline, "serial=0x2f8 x");
	assert_int_equal(info.module_count, 1);
	assert_int_equal(info.modules[0].base, 0x200000);
	assert_int_equal(info.modules[0].bytes, 6);
	assert_string_equal(info.modules[0].name, "hilum.toml and more");
	assert_true(info.has_rsdp);
	assert_memory_equal(info.rsdp, rsdp2, 36);
	assert_int_equal(info.range_count, 4);
	assert_int_equal(info.ranges[0].bytes, 0x9F000);
	assert_int_equal(info.ranges[2].base, 0x200000);
	assert_int_equal(info.ranges[2].bytes, 0x1000);
	assert_int_equal(info.ranges[2].type, BOOT_RANGE_MODULE);
}

static void multiboot2_parse__any_prefix__refused_without_reading_on(void **state)
{
	size_t bytes;

	(void)state;
	start();
	memory_map();
	module(0x200000, 0x201000, "m");
	tag(1, "x", 2);
	finish();
	bytes = used;
	for (size_t n = 8; n < bytes; n++)
		assert_int_not_equal(parse_prefix(n), STATUS_OK);
	assert_int_equal(parse_prefix(bytes), STATUS_OK);
}

static void multiboot2_parse__tag_shorter_than_its_header__refused(void **state)
{
	(void)state;
	for (uint32_t bytes = 0; bytes < 8; bytes++) {
		start();
		put32(1);
		put32(bytes);
		finish();
		assert_int_equal(parse_prefix(used), STATUS_INVALID);
		assert_non_null(defect);
	}
}

static void multiboot2_parse__tag_longer_than_the_block__refused(void **state)
{
	(void)state;
	start();
	put32(1);
	put32(0xFFFFFFF8);
	finish();
	assert_int_equal(parse_prefix(used), STATUS_INVALID);
}

static void multiboot2_parse__no_memory_map__not_found(void **state)
{
	(void)state;
	start();
	finish();
	assert_int_equal(parse_prefix(used), STATUS_INVALID);
}

static void multiboot2_parse__memory_map_entries_too_small__refused(void **state)
{
	uint32_t data[4] = { 8, 0, 0, 0 };

	(void)state;
	start();
	tag(6, data, 16);
	finish();
	assert_int_equal(parse_prefix(used), STATUS_INVALID);
	start();
	tag(6, data, 4);
	finish();
	assert_int_equal(parse_prefix(used), STATUS_INVALID);
}

static void multiboot2_parse__module_ends_before_start_or_is_short__refused(void **state)
{
	(void)state;
	start();
	memory_map();
	module(0x2000, 0x1000, "backwards");
	finish();
	assert_int_equal(parse_prefix(used), STATUS_INVALID);
	start();
	memory_map();
	tag(3, "12345678", 8);
	finish();
	assert_int_equal(parse_prefix(used), STATUS_INVALID);
}

static void multiboot2_parse__more_modules_than_room__refused(void **state)
{
	(void)state;
	start();
	memory_map();
	for (uint32_t i = 0; i < BOOT_MODULES_MAX; i++)
		module(0x200000 + i * 0x1000, 0x201000 + i * 0x1000, "m");
	size_t keep = used;

	finish();
	assert_int_equal(parse_prefix(used), STATUS_OK);
	assert_int_equal(info.module_count, BOOT_MODULES_MAX);
	used = keep;
	module(0, 0, "one more");
	finish();
	assert_int_equal(parse_prefix(used), STATUS_INVALID);
}

static void multiboot2_parse__strings_too_long_or_unterminated__cut(void **state)
{
	char text[1000];

	(void)state;
	memset(text, 'a', sizeof(text));
	start();
	memory_map();
	tag(1, text, sizeof(text));
	finish();
	assert_int_equal(parse_prefix(used), STATUS_OK);
	assert_int_equal(strlen(info.cmdline), BOOT_CMDLINE_MAX - 1);
}

static void screen(uint64_t base, uint32_t pitch, uint32_t width, uint32_t height, uint8_t bits, uint8_t type)
{
	uint8_t tail[2] = { bits, type };

	start();
	memory_map();
	put32(8);
	put32(32);
	put64(base);
	put32(pitch);
	put32(width);
	put32(height);
	put(tail, 2);
	put("\0", 2);
	finish();
	assert_int_equal(parse_prefix(used), STATUS_OK);
}

static void multiboot2_parse__screen__only_a_consistent_one(void **state)
{
	(void)state;
	screen(0xFD000000, 3200, 800, 600, 32, 1);
	assert_int_equal(info.screen.type, BOOT_SCREEN_RGB);
	assert_int_equal(info.screen.height, 600);
	screen(0xB8000, 160, 80, 25, 16, 2);
	assert_int_equal(info.screen.type, BOOT_SCREEN_TEXT);
	screen(0xFD000000, 3199, 800, 600, 32, 1);
	assert_int_equal(info.screen.type, BOOT_SCREEN_NONE);
	screen(0xFD000000, 0xFFFFFFFF, 800, 0xFFFFFFFF, 32, 1);
	assert_int_equal(info.screen.type, BOOT_SCREEN_NONE);
	screen(0xB8000, 100, 80, 25, 16, 2);
	assert_int_equal(info.screen.type, BOOT_SCREEN_NONE);
	screen(0xA0000, 320, 320, 200, 8, 0);
	assert_int_equal(info.screen.type, BOOT_SCREEN_NONE);
}

static void multiboot2_parse__random_damage__never_reads_outside(void **state)
{
	uint8_t whole[1024];
	size_t bytes;

	(void)state;
	start();
	memory_map();
	module(0x200000, 0x201000, "m");
	tag(1, "serial=none", 12);
	tag(14, "RSD PTR 123456789012", 20);
	finish();
	bytes = used;
	memcpy(whole, block, bytes);
	srand(2);
	for (int round = 0; round < 20000; round++) {
		memcpy(block, whole, bytes);
		for (int n = 0; n < 3; n++)
			block[(size_t)rand() % bytes] = (uint8_t)rand();
		enum status status = parse_prefix(bytes);

		assert_true(status == STATUS_OK || defect);
	}
}

static void multiboot2_size__absurd__zero(void **state)
{
	(void)state;
	start();
	finish();
	memcpy(block, &(uint32_t){ 15 }, 4);
	assert_int_equal(multiboot2_size(block), 0);
	memcpy(block, &(uint32_t){ MULTIBOOT2_MBI_MAX + 1 }, 4);
	assert_int_equal(multiboot2_size(block), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(multiboot2_parse__complete_block__everything_copied),
		cmocka_unit_test(multiboot2_parse__any_prefix__refused_without_reading_on),
		cmocka_unit_test(multiboot2_parse__tag_shorter_than_its_header__refused),
		cmocka_unit_test(multiboot2_parse__tag_longer_than_the_block__refused),
		cmocka_unit_test(multiboot2_parse__no_memory_map__not_found),
		cmocka_unit_test(multiboot2_parse__memory_map_entries_too_small__refused),
		cmocka_unit_test(multiboot2_parse__module_ends_before_start_or_is_short__refused),
		cmocka_unit_test(multiboot2_parse__more_modules_than_room__refused),
		cmocka_unit_test(multiboot2_parse__strings_too_long_or_unterminated__cut),
		cmocka_unit_test(multiboot2_parse__screen__only_a_consistent_one),
		cmocka_unit_test(multiboot2_parse__random_damage__never_reads_outside),
		cmocka_unit_test(multiboot2_size__absurd__zero),
	};

	return cmocka_run_group_tests_name("multiboot2", tests, NULL, NULL);
}
