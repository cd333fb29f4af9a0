/*
 * The store on a disk that loses power: after every single sector that it writes, with any of the sectors that were not flushed on the
 * medium or not, whole or torn. What is found afterwards is the state before or the state after, never anything else.
 *
 * UNIT_SOURCES: drivers-vm/control/store/store.c drivers-vm/control/store/store_format.c drivers-vm/control/store/store_sync.c
 * UNIT_FLAGS: -Itests/unit
 */
#include "cmocka_all.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "drivers-vm/control/store/store_format.h"
#include "drivers-vm/control/store/store_sync.h"
#include "drivers-vm/runtime/service.h"

#define SECTOR      STORE_SECTOR_BYTES
#define UNFLUSHED   4096u
#define CUTS        16u
#define LOST        8u /* sectors of which each may be lost or not */
#define NEVER       UINT32_MAX
#define GENERATIONS 3000u

enum operation { NONE, READ, WRITE, FLUSH };

/* The disk: what is on the medium, and what waits in its cache in the order in which it came. */
static struct {
	uint8_t medium[STORE_SECTORS_MIN * SECTOR];
	struct {
		uint64_t sector;
		uint8_t bytes[SECTOR];
	} cache[UNFLUSHED];
	unsigned cached;
	uint32_t left; /* sectors that it still writes before the power goes */
	bool dead, fails, lies;
	enum operation operation;
	uint64_t sector;
	uint8_t *to;
	const uint8_t *from;
	size_t bytes;
	void (*done)(bool ok);
} drive;

static char last_log[200];

void service_log(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(last_log, sizeof(last_log), format, args);
	va_end(args);
}

static uint64_t seed = 88172645463325252ull;

static uint32_t random_next(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (uint32_t)(seed >> 16);
}

static void ask(enum operation operation, uint64_t sector, size_t bytes, void (*done)(bool ok))
{
	assert_int_equal(drive.operation, NONE); /* one at a time */
	assert_int_equal(bytes % SECTOR, 0);
	assert_true(bytes <= 65536);
	assert_true(sector + bytes / SECTOR <= STORE_SECTORS_MIN);
	drive.operation = operation;
	drive.sector = sector;
	drive.bytes = bytes;
	drive.done = done;
}

static void drive_read(void *ctx, uint64_t sector, void *to, size_t bytes, void (*done)(bool ok))
{
	(void)ctx;
	drive.to = to;
	ask(READ, sector, bytes, done);
}

static void drive_write(void *ctx, uint64_t sector, const void *from, size_t bytes, void (*done)(bool ok))
{
	(void)ctx;
	drive.from = from;
	ask(WRITE, sector, bytes, done);
}

static void drive_flush(void *ctx, void (*done)(bool ok))
{
	(void)ctx;
	ask(FLUSH, 0, 0, done);
}

static struct store_disk disk = { STORE_SECTORS_MIN, NULL, drive_read, drive_write, drive_flush };

static void write_sectors(void)
{
	for (size_t at = 0; at < drive.bytes && !drive.dead; at += SECTOR) {
		assert_true(drive.cached < UNFLUSHED);
		drive.cache[drive.cached].sector = drive.sector + at / SECTOR;
		memcpy(drive.cache[drive.cached++].bytes, drive.from + at, SECTOR);
		drive.dead = drive.left-- == 0;
	}
}

static void flush_cache(void)
{
	if (!drive.lies)
		for (unsigned i = 0; i < drive.cached; i++)
			memcpy(drive.medium + drive.cache[i].sector * SECTOR, drive.cache[i].bytes, SECTOR);
	if (!drive.lies)
		drive.cached = 0;
}

/* Does one operation; false: there is none, or no power. */
static bool drive_step(void)
{
	enum operation operation = drive.operation;

	if (operation == NONE || drive.dead)
		return false;
	drive.operation = NONE;
	if (operation == READ) {
		memcpy(drive.to, drive.medium + drive.sector * SECTOR, drive.bytes);
		for (unsigned i = 0; i < drive.cached; i++)
			if (drive.cache[i].sector >= drive.sector && drive.cache[i].sector < drive.sector + drive.bytes / SECTOR)
				memcpy(drive.to + (drive.cache[i].sector - drive.sector) * SECTOR, drive.cache[i].bytes, SECTOR);
	} else if (operation == WRITE && !drive.fails) {
		write_sectors();
	} else if (operation == FLUSH) {
		flush_cache();
	}
	if (drive.dead)
		return false;
	drive.done(!drive.fails);
	return true;
}

static void run(uint64_t now)
{
	do
		store_poll(now);
	while (drive_step());
}

/* Which of the cached sectors made it: `mask` says; torn ones are a mixture of old and new, or of nothing sensible. */
static void cut_power(uint32_t mask, bool torn)
{
	for (unsigned i = 0; i < drive.cached; i++) {
		uint8_t *at = drive.medium + drive.cache[i].sector * SECTOR;
		bool made = i < 32 ? mask >> i & 1 : random_next() & 1;
		uint32_t how = random_next() % 4, edge = random_next() % SECTOR;
		if (!made)
			continue;
		if (!torn || how == 0)
			memcpy(at, drive.cache[i].bytes, SECTOR);
		else if (how == 1)
			memcpy(at, drive.cache[i].bytes, edge);
		else if (how == 2)
			memcpy(at + edge, drive.cache[i].bytes + edge, SECTOR - edge);
		else
			for (unsigned k = 0; k < SECTOR; k++)
				at[k] = (uint8_t)random_next();
	}
	drive.cached = 0;
	drive.dead = drive.lies = false;
	drive.left = NEVER;
	drive.operation = NONE;
}

static void forget(void)
{
	const char *key;

	while ((key = store_next("", "")) != NULL) {
		char copy[STORE_KEY_BYTES];
		strcpy(copy, key);
		store_remove(copy);
	}
}

static void start(void)
{
	forget();
	last_log[0] = '\0';
	store_open(&disk);
	while (!store_is_ready())
		assert_true(drive_step());
}

static int blank(void **state)
{
	(void)state;
	memset(&drive, 0, sizeof(drive));
	drive.left = NEVER;
	start();
	assert_true(store_is_kept());
	return 0;
}

/* State number n: three keys, of which one is there now and then, and of different sizes. */
static size_t value_of(unsigned n, uint8_t *bytes, size_t most)
{
	size_t count = n * 977u % most;

	for (size_t i = 0; i < count; i++)
		bytes[i] = (uint8_t)(n * 31 + i / 7);
	return count;
}

static void put_state(unsigned n, size_t most)
{
	static uint8_t bytes[STORE_VALUE_BYTES];

	assert_true(store_put("number", &n, sizeof(n), 0));
	assert_true(store_put("vm/value", bytes, value_of(n, bytes, most), STORE_SECRET));
	if (n % 3 == 0)
		assert_true(store_put("now-and-then", &n, sizeof(n), 0));
	else
		store_remove("now-and-then");
}

/* Checks that a whole state is there and returns its number; 0: none. */
static unsigned found_state(size_t most)
{
	static uint8_t bytes[STORE_VALUE_BYTES];
	unsigned n = 0;
	size_t count;
	const void *found = store_get("number", &count);

	if (found == NULL) {
		assert_null(store_next("", ""));
		return 0;
	}
	assert_int_equal(count, sizeof(n));
	memcpy(&n, found, sizeof(n));
	found = store_get("vm/value", &count);
	assert_non_null(found);
	assert_int_equal(count, value_of(n, bytes, most));
	assert_memory_equal(found, bytes, count);
	assert_int_equal(store_get("now-and-then", &count) != NULL, n % 3 == 0);
	return n;
}

static void store_open__blank_disk__is_empty_and_kept(void **state)
{
	(void)state;
	assert_null(store_next("", ""));
	assert_string_equal(last_log, "");
}

static void store_poll__changes__are_there_after_a_restart(void **state)
{
	(void)state;
	for (unsigned n = 1; n < 20; n++) {
		put_state(n, STORE_VALUE_BYTES);
		assert_false(store_is_clean());
		run(0);
		assert_true(store_is_clean());
		start();
		assert_int_equal(found_state(STORE_VALUE_BYTES), n);
	}
}

static void store_poll__change_while_writing__is_written_next(void **state)
{
	(void)state;
	put_state(1, 3000);
	store_poll(0);
	drive_step();
	put_state(2, 3000);
	run(0);
	assert_true(store_is_clean());
	start();
	assert_int_equal(found_state(3000), 2);
}

/* Every place of the cut, and every set of sectors that made it to the medium where there are few. */
static void power__cut_anywhere_and_any_sectors_lost__old_or_new(void **state)
{
	static uint8_t before[sizeof(drive.medium)];

	(void)state;
	put_state(3, 2000);
	run(0);
	put_state(4, 2000);
	run(0);
	memcpy(before, drive.medium, sizeof(before));
	for (unsigned torn = 0; torn < 2; torn++)
		for (uint32_t cut = 0; cut < CUTS; cut++)
			for (uint32_t mask = 0; mask < 1u << LOST; mask++) {
				memcpy(drive.medium, before, sizeof(before));
				drive.cached = 0;
				start();
				assert_int_equal(found_state(2000), 4);
				put_state(5, 2000);
				drive.left = cut;
				run(0);
				bool clean = store_is_clean();
				cut_power(mask, torn);
				start();
				unsigned n = found_state(2000);
				assert_true(n == 5 || (n == 4 && !clean));
			}
}

static void power__cut_again_and_again__never_worse_than_the_last_state(void **state)
{
	unsigned kept = 0;

	(void)state;
	for (unsigned n = 1; n <= GENERATIONS; n++) {
		size_t most = 6000;
		put_state(n, most);
		drive.left = random_next() % 24;
		run(0);
		bool clean = store_is_clean();
		cut_power(random_next(), true);
		start();
		unsigned found = found_state(most);
		assert_true(found == n || (found == kept && !clean));
		kept = found;
	}
}

/* A cache that forgets what it has been told to flush is no disk to keep anything on; but what is found is still a whole state. */
static void power__disk_lies_about_flushes__a_whole_state_still(void **state)
{
	unsigned newest = 0;

	(void)state;
	for (unsigned n = 1; n <= 300; n++) {
		put_state(n, 3000);
		drive.lies = n % 5 == 0;
		run(0);
		cut_power(random_next(), true);
		start();
		unsigned found = found_state(3000);
		assert_true(found <= n);
		newest = found > newest ? found : newest;
	}
	assert_true(newest >= 299);
}

static void store_poll__errors__are_tried_again_later(void **state)
{
	uint64_t again;

	(void)state;
	put_state(1, 3000);
	drive.fails = true;
	run(1000);
	assert_false(store_is_clean());
	assert_true(store_is_kept());
	assert_string_equal(last_log, "state: it cannot be written: tried again and again");
	again = store_poll(1000);
	assert_true(again > 1000);
	assert_int_equal(drive.operation, NONE);
	drive.fails = false;
	run(again);
	assert_true(store_is_clean());
	assert_string_equal(last_log, "state: written again");
	start();
	assert_int_equal(found_state(3000), 1);
}

static void store_open__disk_cannot_be_read__nothing_is_kept_and_nothing_is_written(void **state)
{
	(void)state;
	put_state(1, 3000);
	run(0);
	forget();
	drive.fails = true;
	store_open(&disk);
	while (!store_is_ready())
		assert_true(drive_step());
	assert_false(store_is_kept());
	drive.fails = false;
	put_state(2, 3000);
	assert_int_equal(store_poll(0), 0);
	assert_int_equal(drive.operation, NONE);
	start();
	assert_int_equal(found_state(3000), 1);
}

static void store_open__newer_copy_damaged__the_older_one(void **state)
{
	(void)state;
	put_state(1, 3000);
	run(0);
	put_state(2, 3000);
	run(0);
	drive.medium[STORE_SLOT_SECTORS * SECTOR + SECTOR + 20] ^= 1;
	start();
	assert_int_equal(found_state(3000), 1);
	assert_string_equal(last_log, "state: copy 1, number 2: damaged");
	put_state(3, 3000); /* in place of the damaged one */
	run(0);
	start();
	assert_int_equal(found_state(3000), 3);
}

static void store_open__both_copies_damaged__afresh_and_said(void **state)
{
	(void)state;
	for (unsigned n = 1; n < 3; n++) {
		put_state(n, 3000);
		run(0);
	}
	drive.medium[30] ^= 1;
	drive.medium[STORE_SLOT_SECTORS * SECTOR + 30] ^= 1;
	start();
	assert_int_equal(found_state(3000), 0);
	assert_true(store_is_kept());
	assert_string_equal(last_log, "state: both copies are damaged: begun afresh");
}

static void store_open__of_another_version__is_left_alone(void **state)
{
	uint32_t version = 2, crc = 0;

	(void)state;
	put_state(1, 3000);
	run(0);
	memcpy(drive.medium + 8, &version, sizeof(version));
	memcpy(drive.medium + 12, &crc, sizeof(crc));
	crc = store_crc(0, drive.medium, SECTOR);
	memcpy(drive.medium + 12, &crc, sizeof(crc));
	start();
	assert_false(store_is_kept());
	assert_string_equal(last_log, "state: written by another version of Hilum: left alone, nothing will be kept");
}

static void store_open__no_disk_or_a_small_one__works_in_memory(void **state)
{
	static struct store_disk small = { STORE_SECTORS_MIN - 1, NULL, drive_read, drive_write, drive_flush };

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		store_open(i == 0 ? NULL : &small);
		assert_true(store_is_ready());
		assert_false(store_is_kept());
		put_state(7, 3000);
		assert_int_equal(store_poll(0), 0);
		assert_false(store_is_clean());
		assert_int_equal(found_state(3000), 7);
		forget();
	}
}

static void store_abandon__disk_answers_later__its_answer_does_not_count(void **state)
{
	(void)state;
	put_state(1, 60000);
	run(0);
	for (unsigned steps = 0; steps < 4; steps++) {
		forget();
		store_open(&disk);
		for (unsigned i = 0; i < steps && !store_is_ready(); i++)
			drive_step();
		if (store_is_ready())
			break;
		store_abandon();
		assert_true(store_is_ready());
		while (drive_step())
			;
		assert_false(store_is_kept());
		assert_int_equal(found_state(60000), 0);
	}
	start();
	assert_int_equal(found_state(60000), 1);
}

static void store_open__put_before_it_was_read__is_written_too(void **state)
{
	(void)state;
	forget();
	store_open(&disk);
	put_state(5, 3000);
	run(0);
	assert_true(store_is_clean());
	start();
	assert_int_equal(found_state(3000), 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(store_open__blank_disk__is_empty_and_kept, blank),
		cmocka_unit_test_setup(store_poll__changes__are_there_after_a_restart, blank),
		cmocka_unit_test_setup(store_poll__change_while_writing__is_written_next, blank),
		cmocka_unit_test_setup(power__cut_anywhere_and_any_sectors_lost__old_or_new, blank),
		cmocka_unit_test_setup(power__cut_again_and_again__never_worse_than_the_last_state, blank),
		cmocka_unit_test_setup(power__disk_lies_about_flushes__a_whole_state_still, blank),
		cmocka_unit_test_setup(store_poll__errors__are_tried_again_later, blank),
		cmocka_unit_test_setup(store_open__disk_cannot_be_read__nothing_is_kept_and_nothing_is_written, blank),
		cmocka_unit_test_setup(store_open__newer_copy_damaged__the_older_one, blank),
		cmocka_unit_test_setup(store_open__both_copies_damaged__afresh_and_said, blank),
		cmocka_unit_test_setup(store_open__of_another_version__is_left_alone, blank),
		cmocka_unit_test_setup(store_open__no_disk_or_a_small_one__works_in_memory, blank),
		cmocka_unit_test_setup(store_abandon__disk_answers_later__its_answer_does_not_count, blank),
		cmocka_unit_test_setup(store_open__put_before_it_was_read__is_written_too, blank),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
