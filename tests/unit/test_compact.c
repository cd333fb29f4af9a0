/*
 * Compaction: which ranges are left, that every piece of every guest is moved once, and that it ends.
 *
 * UNIT_SOURCES: drivers-vm/control/compact.c
 * UNIT_FLAGS: -iquote tests/unit/fake_control
 */
#include "cmocka_all.h"

#include <string.h>

#include "drivers-vm/control/compact.h"
#include "drivers-vm/control/events.h"
#include "drivers-vm/control/guest.h"

#define MIB          0x100000ull
#define PIECE        0x200000ull
#define PAGES        0x40000ull /* of a GiB */
#define PIECES       32u
#define GIB_RANGE(n) ((uint64_t)(n) << 30 | 18)

struct gib {
	uint64_t free, guest, other;
};

static struct guest guests[4];
static struct config_vm config[4];
static struct gib gibs[4];
static uint64_t now_ns;
static unsigned left[4][PIECES], gathered[4][PIECES];
static uint64_t left_range;
static unsigned stays; /* moves of the first guest that find a device there */
static int64_t answer;

struct hilum_host_info control_host;

struct guest *guest_at(uint32_t slot)
{
	return &guests[slot];
}

uint32_t guest_slots(void)
{
	return 4;
}

uint64_t manager_clock_ns(void)
{
	return now_ns;
}

void service_log(const char *format, ...)
{
	(void)format;
}

void event_add(const char *kind, const char *name, const char *format, ...)
{
	(void)name;
	(void)format;
	assert_string_equal(kind, "host.compaction");
}

static void show_frames(struct hilum_frames *out, uint64_t address, uint64_t bytes)
{
	uint64_t gib = address >> 30, share = 0x40000000ull / (bytes != 0 ? bytes : 1);

	memset(out, 0, sizeof(*out));
	for (unsigned i = 0; i < 4; i++)
		out->free[gibs[i].free == PAGES ? 18 : 10] += (uint32_t)(gibs[i].free == PAGES ? 1 : gibs[i].free >> 10);
	if (bytes != 0 && gib < 4) {
		out->range_free = gibs[gib].free / share;
		out->range_guest = gibs[gib].guest / share;
		out->range_other = gibs[gib].other / share;
	}
}

int64_t fake_call(uint64_t number, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f)
{
	(void)e;
	(void)f;
	now_ns += 100000;
	if (number == HC_HOST_FRAMES)
		show_frames((struct hilum_frames *)b, c, d);
	if (number == HC_HOST_INFO)
		((struct hilum_host_info *)b)->memory_bytes = 4ull << 30;
	if (number != HC_MEMORY_MOVE)
		return 0;
	assert_int_equal(c & HILUM_MEMORY_QUIET, a == 201 ? 0 : HILUM_MEMORY_QUIET);
	c &= ~(uint64_t)HILUM_MEMORY_QUIET;
	assert_true(a >= 200 && a < 204 && b % PIECE == 0 && b < config[a - 200].memory_bytes);
	if (c == HILUM_MOVE_LEAVE) {
		if (a == 201 && stays != 0)
			return stays--, HILUM_E_BUSY;
		left[a - 200][b / PIECE]++;
		left_range = d;
		if (answer > 0 && a == 202 && b / PIECE == PIECES - 1) { /* all have left it */
			uint64_t moved = gibs[d >> 30].guest;
			gibs[d >> 30].free += moved;
			gibs[d >> 30].guest = 0;
			moved = moved < gibs[0].free ? moved : gibs[0].free;
			gibs[0].free -= moved;
			gibs[0].guest += moved;
		}
	} else {
		assert_int_equal(c, HILUM_MOVE_GATHER);
		gathered[a - 200][b / PIECE]++;
	}
	return answer;
}

static void run(void)
{
	for (unsigned turns = 0; turns < 100000; turns++) {
		uint64_t next = compact_run();
		if (next == 0)
			return;
		assert_true(next > now_ns); /* others have their turn */
		now_ns = next;
	}
	fail_msg("it does not end");
}

static int setup(void **state)
{
	(void)state;
	run();
	memset(guests, 0, sizeof(guests));
	memset(left, 0, sizeof(left));
	memset(gathered, 0, sizeof(gathered));
	for (unsigned i = 1; i < 3; i++) {
		config[i] = (struct config_vm){ .memory_bytes = PIECES * PIECE, .hugepages = i == 1 };
		config[i].nic_count = i == 1;
		guests[i] = (struct guest){ .config = &config[i], .made = true, .memory = 200 + i };
	}
	gibs[0] = (struct gib){ PAGES / 2, PAGES / 4, PAGES / 4 };
	gibs[1] = (struct gib){ PAGES * 3 / 4, PAGES / 4, 0 };
	gibs[2] = (struct gib){ PAGES, 0, 0 };
	gibs[3] = (struct gib){ PAGES / 4, PAGES * 3 / 4, 0 };
	answer = 512;
	stays = 0;
	return 0;
}

static unsigned count(unsigned of[4][PIECES], unsigned slot, unsigned wanted)
{
	unsigned found = 0;

	for (unsigned i = 0; i < PIECES; i++)
		found += of[slot][i] == wanted;
	return found;
}

static void compact_run__a_gib_without_the_kernel__is_left_and_all_pieces_are_moved_once(void **state)
{
	struct manager_compaction figures;

	(void)state;
	compact_figures(&figures);
	uint64_t moved = figures.moved_bytes, runs = figures.runs;
	assert_true(compact_start("a test"));
	assert_false(compact_start("a test"));
	run();
	assert_int_equal(left_range, GIB_RANGE(1)); /* then there is no room for what is in the last one */
	assert_int_equal(count(left, 1, 1) + count(left, 2, 1), 2 * PIECES);
	assert_int_equal(count(gathered, 1, 1), PIECES);
	assert_int_equal(count(gathered, 2, 0), PIECES); /* it may have no large pages */
	compact_figures(&figures);
	assert_string_equal(figures.state, "idle");
	assert_int_equal(figures.progress, 100);
	assert_int_equal(figures.runs, runs + 1);
	assert_int_equal(figures.moved_bytes - moved, 3 * PIECES * PIECE);
}

static void compact_run__a_page_stays__another_range_is_left(void **state)
{
	(void)state;
	stays = 1;
	gibs[3] = (struct gib){ PAGES / 2, PAGES / 2, 0 };
	assert_true(compact_start("a test"));
	run();
	assert_int_equal(left_range, GIB_RANGE(3));
	assert_int_equal(count(left, 1, 1) + count(left, 2, 1), 2 * PIECES);
}

static void compact_run__nowhere_to_move_to__ends(void **state)
{
	(void)state;
	answer = HILUM_E_NO_MEMORY;
	assert_true(compact_start("a test"));
	run();
	assert_int_equal(count(left, 1, 1) + count(left, 2, 1), 1);
	assert_int_equal(count(gathered, 1, 1), 1);
}

static void compact_run__no_guest_memory_in_the_way__nothing_is_left(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 4; i++)
		gibs[i].guest = 0;
	assert_true(compact_start("a test"));
	run();
	assert_int_equal(count(left, 1, 0) + count(left, 2, 0), 2 * PIECES);
}

static void compact_run__a_guest_ends_meanwhile__its_memory_is_not_touched(void **state)
{
	(void)state;
	assert_true(compact_start("a test"));
	guests[1] = (struct guest){ 0 };
	run();
	assert_int_equal(count(left, 1, 0), PIECES);
	assert_int_equal(count(left, 2, 1), PIECES);
}

static void compact_for__enough_is_free_in_large_blocks__nothing_happens(void **state)
{
	(void)state;
	compact_for(64 * MIB);
	assert_int_equal(compact_run(), 0);
	compact_for(1ull << 40);                /* can never be: it comes back all the same */
	assert_int_equal(count(left, 2, 0), 0); /* also by ranges that are smaller than what is free */
	assert_int_equal(left_range, 3ull << 30 | 16);
}

#define CASE(name) cmocka_unit_test_setup(name, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(compact_run__a_gib_without_the_kernel__is_left_and_all_pieces_are_moved_once),
		CASE(compact_run__a_page_stays__another_range_is_left),
		CASE(compact_run__nowhere_to_move_to__ends),
		CASE(compact_run__no_guest_memory_in_the_way__nothing_is_left),
		CASE(compact_run__a_guest_ends_meanwhile__its_memory_is_not_touched),
		CASE(compact_for__enough_is_free_in_large_blocks__nothing_happens),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
