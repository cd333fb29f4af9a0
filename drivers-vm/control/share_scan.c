#include "drivers-vm/control/share_scan.h"

#include "drivers-vm/control/guest.h"
#include "drivers-vm/control/places.h"
#include "drivers-vm/control/share_table.h"

#include <string.h>

#define PAGE_BYTES    4096ull
#define PAGES_AT_ONCE 64u
#define PACE_NS       20000000ull
#define TURN_NS       2000000ull   /* of work at one go, */
#define REST_NS       4000000ull   /* and then others have theirs */
#define PASS_NS       500000000ull /* at least, from the beginning of one pass to that of the next */
#define ABSENT_SHARE  16u          /* so many pages that are not there, or shared already, cost as much as one that is looked at */
#define ENTRIES_LEAST 0x4000ull
#define ENTRIES_MOST  0x100000ull

static uint32_t rate = 1; /* pages a second */
static struct share_table table;
static bool table_tried;
static struct share_counts counts;
static uint32_t tenant[CHANNEL_SLOTS]; /* numbers; 0: the slot's guest does not share */
static uint32_t slot;                  /* where the pass is, */
static uint64_t page;                  /* and on which page of its RAM */
static uint64_t credit;                /* in parts of a page: ABSENT_SHARE make one */
static uint64_t filled_ns;             /* credit was given up to then */
static uint64_t pass_ns;               /* when the pass began */
static uint64_t next_ns;

void share_begin(const struct config *config)
{
	rate = config->share_rate;
}

/* For a fourth of the machine's pages, within bounds. False: there is no memory for it, and nothing is shared. */
static bool make_table(void)
{
	uint64_t entries = ENTRIES_LEAST;
	int64_t memory;

	if (table_tried)
		return table.entry != NULL;
	table_tried = true;
	while (entries < ENTRIES_MOST && entries < control_host.memory_bytes / PAGE_BYTES / 4)
		entries *= 2;
	uint64_t bytes = entries * sizeof(struct share_entry);
	memory = control_memory_create(bytes, 0);
	if (memory < 0 ||
	    hc(HC_MEMORY_MAP, HILUM_HANDLE_SELF, memory, PLACES_SHARE_TABLE, 0, bytes, HILUM_MAP_READ | HILUM_MAP_WRITE) < 0 ||
	    !service_map_memory(PLACES_SHARE_TABLE, bytes)) {
		service_log("there is no memory to look for identical pages");
		return false;
	}
	table.entry = (struct share_entry *)PLACES_SHARE_TABLE;
	table.buckets = entries / SHARE_TABLE_WAYS;
	return true;
}

static bool shares(const struct guest *g)
{
	return g->made && g->config->share && g->config->tenant != NULL;
}

/* The number of its tenant: the slot, and one, of the first VM with that name. */
static uint32_t number_of(const struct guest *g)
{
	for (uint32_t i = 0; i < guest_slots(); i++)
		if (tenant[i] != 0 && strcmp(guest_at(i)->config->tenant, g->config->tenant) == 0)
			return tenant[i];
	return 0;
}

static uint32_t free_number(void)
{
	for (uint32_t number = 1;; number++) {
		bool taken = false;
		for (uint32_t i = 0; i < guest_slots(); i++)
			taken |= tenant[i] == number;
		if (!taken)
			return number;
	}
}

void share_slot_changed(uint32_t changed)
{
	const struct guest *g = guest_at(changed);

	if (tenant[changed] != 0)
		share_table_forget(&table, changed);
	tenant[changed] = 0;
	if (!shares(g) || !make_table())
		return;
	uint32_t number = number_of(g);
	tenant[changed] = number != 0 ? number : free_number();
	if (next_ns == 0)
		filled_ns = next_ns = manager_clock_ns();
}

const struct share_counts *share_count(void)
{
	return &counts;
}

static void look_at(uint64_t digest, uint64_t at)
{
	const struct share_place here = { .slot = slot, .page = (uint32_t)at };
	const struct guest *g = guest_at(slot);
	struct share_place other;

	if (!share_table_meet(&table, digest, tenant[slot], here, &other))
		return;
	if (tenant[other.slot] != tenant[slot])
		return; /* two digests that look alike */
	int64_t shared = hc(HC_MEMORY_SHARE, guest_at(other.slot)->memory, other.page * PAGE_BYTES, g->memory, at * PAGE_BYTES, 0);
	counts.merged += shared == 1;
	counts.differed += shared == 0;
	counts.busy += shared == HILUM_E_BUSY;
	if (shared == 1)
		share_table_shared(&table, digest, tenant[slot], here, other);
	else
		share_table_differed(&table, digest, tenant[slot], other);
}

static void next_slot(uint64_t now)
{
	page = 0;
	if (++slot < guest_slots())
		return;
	slot = 0;
	share_table_next_pass(&table);
	counts.passes++;
	next_ns = pass_ns + PASS_NS > now ? pass_ns + PASS_NS : now + REST_NS;
	pass_ns = next_ns;
}

/* Some pages of the guest. Returns what they cost. */
static uint64_t look_at_some(const struct guest *g)
{
	static struct hilum_call digest[PAGES_AT_ONCE];
	uint64_t left = g->config->memory_bytes / PAGE_BYTES - page, cost = 0;
	uint64_t pages = left < PAGES_AT_ONCE ? left : PAGES_AT_ONCE;

	_Static_assert(PAGES_AT_ONCE <= HILUM_BATCH_MAX, "one exit for all");
	for (uint64_t i = 0; i < pages; i++)
		digest[i] = (struct hilum_call){ .number = HC_MEMORY_DIGEST, .arg = { g->memory, (page + i) * PAGE_BYTES } };
	hc(HC_BATCH, (uintptr_t)digest, pages);
	for (uint64_t i = 0; i < pages; i++) {
		bool is_there = digest[i].result > 0; /* below: it cannot be now */
		cost += is_there ? ABSENT_SHARE : 1;
		counts.scanned += is_there;
		if (is_there)
			look_at((uint64_t)digest[i].result, page + i);
	}
	page += pages;
	return cost;
}

static bool anybody_shares(void)
{
	for (uint32_t i = 0; i < guest_slots(); i++)
		if (tenant[i] != 0)
			return true;
	return false;
}

/* What may be looked at since the last time; a tenth of a second's at most, so that a pause is not made up for. */
static void fill_credit(uint64_t now)
{
	uint64_t most = (uint64_t)rate * ABSENT_SHARE / 10 + (uint64_t)PAGES_AT_ONCE * ABSENT_SHARE;
	uint64_t passed = now - filled_ns < 1000000000ull ? now - filled_ns : 1000000000ull;

	credit += passed * rate / 1000 * ABSENT_SHARE / 1000000;
	credit = credit < most ? credit : most;
	filled_ns = now;
}

uint64_t share_run(void)
{
	uint64_t now = manager_clock_ns(), until = now + TURN_NS;

	if (next_ns == 0 || now < next_ns)
		return next_ns;
	if (!anybody_shares()) {
		next_ns = 0;
		return 0;
	}
	next_ns = now + PACE_NS;
	fill_credit(now);
	uint64_t pass = counts.passes;
	while (counts.passes == pass && credit >= PAGES_AT_ONCE * ABSENT_SHARE) {
		const struct guest *g = guest_at(slot);
		if (slot >= guest_slots() || tenant[slot] == 0 || page * PAGE_BYTES >= g->config->memory_bytes) {
			next_slot(now);
			continue;
		}
		credit -= look_at_some(g);
		if (manager_clock_ns() > until)
			break;
	}
	/* Whatever else kept this core busy meanwhile: two thirds of the time are not for this. */
	uint64_t end = manager_clock_ns(), rest = 2 * (end - now) > REST_NS ? 2 * (end - now) : REST_NS;
	next_ns = next_ns > end + rest ? next_ns : end + rest;
	return next_ns;
}
