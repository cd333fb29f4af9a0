/*
 * The scanner for identical pages, over guests whose pages are numbers: what it finds, at which rate, and never between tenants.
 *
 * UNIT_SOURCES: drivers-vm/control/share_scan.c drivers-vm/control/share_table.c
 * UNIT_FLAGS: -iquote tests/unit/fake_control
 */
#include "cmocka_all.h"

#include <string.h>
#include <sys/mman.h>

#include "drivers-vm/control/guest.h"
#include "drivers-vm/control/places.h"
#include "drivers-vm/control/share_scan.h"

#define SECOND 1000000000ull
#define PAGES  1024u
#define GUESTS 3u

uint64_t fake_places;

static struct guest guests[CHANNEL_SLOTS];
static struct config_vm config[GUESTS];
static uint64_t page[GUESTS][PAGES]; /* contents */
static bool shared[GUESTS][PAGES];
static uint64_t now_ns, call_ns;
static unsigned merged, looked;

struct hilum_host_info control_host = { .memory_bytes = 64ull << 20 };

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

bool service_map_memory(uint64_t gpa, uint64_t bytes)
{
	assert_int_equal(gpa, PLACES_SHARE_TABLE);
	return mprotect((void *)gpa, bytes, PROT_READ | PROT_WRITE) == 0;
}

int64_t control_memory_create(uint64_t bytes, uint32_t flags)
{
	assert_true(bytes >= 4096 && flags == 0);
	return 9;
}

static int64_t share(uint64_t a, uint64_t a_at, uint64_t b, uint64_t b_at)
{
	uint64_t to = a_at / 4096, from = b_at / 4096;

	assert_true(a < GUESTS && b < GUESTS && to < PAGES && from < PAGES);
	assert_string_equal(config[a].tenant, config[b].tenant);
	if (shared[b][from] || page[a][to] != page[b][from])
		return 0;
	shared[a][to] = shared[b][from] = true;
	merged++;
	return 1;
}

/* A guest's memory is 200 and its slot. */
int64_t fake_call(uint64_t number, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f)
{
	(void)e;
	(void)f;
	now_ns += call_ns;
	if (number == HC_MEMORY_SHARE)
		return share(a - 200, b, c - 200, d);
	if (number == HC_BATCH)
		for (uint64_t i = 0; i < b; i++) {
			struct hilum_call *call = (struct hilum_call *)a + i;
			call->result = fake_call(call->number, call->arg[0], call->arg[1], 0, 0, 0, 0);
		}
	if (number != HC_MEMORY_DIGEST)
		return 0;
	assert_true(b / 4096 < PAGES);
	uint64_t digest = shared[a - 200][b / 4096] ? 0 : page[a - 200][b / 4096];
	looked += digest != 0;
	return (int64_t)digest;
}

static int setup(void **state)
{
	static struct config host = { .share_rate = 1000 };

	(void)state;
	for (uint32_t slot = 0; slot < 4; slot++) {
		guests[slot].made = false;
		share_slot_changed(slot);
	}
	now_ns += 10 * SECOND;
	share_run();
	memset(shared, 0, sizeof(shared));
	memset(page, 0, sizeof(page));
	merged = looked = call_ns = 0;
	share_begin(&host);
	for (uint32_t slot = 0; slot < GUESTS; slot++) {
		config[slot] = (struct config_vm){ .share = true, .tenant = slot < 2 ? "t" : "u", .memory_bytes = PAGES * 4096 };
		guests[slot] = (struct guest){ .config = &config[slot], .made = true, .memory = 200 + slot };
		for (unsigned i = 0; i < PAGES; i++)
			page[slot][i] = i % 2 == 0 ? 1000 + i : 100000 * (slot + 1) + i; /* every other one is in all of them */
	}
	return 0;
}

static void begin(void)
{
	for (uint32_t slot = 0; slot < GUESTS; slot++)
		share_slot_changed(slot);
}

static void run_for(uint64_t ns)
{
	for (uint64_t end = now_ns + ns; now_ns < end;) {
		uint64_t next = share_run();
		now_ns = next > now_ns ? next : now_ns + 1;
	}
}

static void share_run__clones_of_one_tenant__share_what_is_the_same(void **state)
{
	(void)state;
	begin();
	run_for(60 * SECOND);
	assert_in_range(merged, PAGES / 2 - 8, PAGES / 2); /* a bucket of the table may be too small for some */
	assert_true(shared[0][0] && shared[1][0] && !shared[2][0] && !shared[0][1]);
}

static void share_run__rate__is_kept(void **state)
{
	(void)state;
	begin();
	run_for(SECOND);
	assert_in_range(looked, 800, 1200);
	looked = 0;
	now_ns += 100 * SECOND; /* a pause is not made up for */
	run_for(SECOND);
	assert_in_range(looked, 800, 1300);
}

static void share_run__calls_that_take_long__others_have_their_turn(void **state)
{
	uint64_t spent = 0, begun;

	(void)state;
	begin();
	call_ns = 50000;
	begun = now_ns;
	while (now_ns - begun < SECOND) {
		uint64_t before = now_ns, next = share_run();
		spent += now_ns - before;
		assert_true(now_ns - before <= 64 * call_ns + 3000000);
		now_ns = next > now_ns ? next : now_ns + 1;
	}
	assert_true(spent * 10 < (now_ns - begun) * 4);
}

static void share_run__nobody_shares__sleeps(void **state)
{
	(void)state;
	config[0].share = config[1].share = config[2].share = false;
	begin();
	assert_int_equal(share_run(), 0);
}

static void share_slot_changed__a_vm_ends__its_pages_are_not_asked_for(void **state)
{
	(void)state;
	begin();
	run_for(SECOND);
	guests[0].made = false;
	share_slot_changed(0);
	guests[0] = (struct guest){ 0 }; /* a call with its memory would fail in share() */
	run_for(20 * SECOND);
	assert_int_equal(merged, 0);
}

#define CASE(name) cmocka_unit_test_setup(name, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(share_run__clones_of_one_tenant__share_what_is_the_same),    CASE(share_run__rate__is_kept),
		CASE(share_run__calls_that_take_long__others_have_their_turn),    CASE(share_run__nobody_shares__sleeps),
		CASE(share_slot_changed__a_vm_ends__its_pages_are_not_asked_for),
	};

	fake_places = (uint64_t)mmap(NULL, 8ull << 30, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
