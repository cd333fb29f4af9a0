#include "drivers-vm/control/compact.h"

#include "drivers-vm/control/events.h"
#include "drivers-vm/control/guest.h"

#include <string.h>

#define PIECE_BYTES        0x200000ull
#define PIECE_ORDER        9u
#define ORDERS             (HILUM_MOVE_ORDER_MAX + 1u)
#define LEAST_ORDER        13u      /* of a range that is left: what one call counts */
#define CHUNKS_MAX         0x20000u /* of 32 MiB, of the machine's addresses */
#define ROUNDS_MAX         64u
#define SPOILED_MAX        16u
#define SURVEY_SLACK_BYTES 0x4000000ull
#define TURN_NS            3000000ull
#define REST_NS            3000000ull
#define AT_ONCE_NS         3000000000ull
#define MARGIN_PAGES       0x400ull /* that stay free outside */

_Static_assert(4096ull << LEAST_ORDER == HILUM_FRAMES_BYTES_MAX, "a chunk is what one call counts");

enum phase {
	IDLE,
	SURVEY, /* which range can be had free? */
	LEAVE,  /* frames leave it */
	GATHER, /* guests' small pages become large ones */
};

struct count {
	uint64_t free, guest, other; /* frames of a range */
};

static enum phase phase;
static bool wants_all;                /* also blocks that are no larger than what is free */
static uint32_t chunk;                /* SURVEY: the next one, */
static struct count sum[ORDERS];      /* and the ranges that it is in, so far */
static uint64_t surveyed;             /* pages of RAM that were found so far */
static uint64_t best_score, best;     /* a range is its address | order */
static uint64_t range;                /* LEAVE: the one that is left; the last one */
static uint64_t spoiled[SPOILED_MAX]; /* ranges in which frames stay, */
static unsigned spoiled_count, rounds;
static uint32_t slot; /* whose memory is next, */
static uint64_t at;   /* and which piece of it */
static uint64_t next_ns;
static struct manager_compaction figures = { .state = "idle" };

static bool read_frames(struct hilum_frames *frames, uint64_t address, uint64_t bytes)
{
	memset(frames, 0, sizeof(*frames));
	return hc(HC_HOST_FRAMES, HILUM_HANDLE_HOST, (uintptr_t)frames, address, bytes) >= 0;
}

uint64_t compact_largest_free(const struct hilum_frames *frames)
{
	for (unsigned order = ORDERS; order-- > 0;)
		if (frames->free[order] != 0)
			return 4096ull << order;
	return 0;
}

/* In blocks of these orders. */
static uint64_t free_pages(const struct hilum_frames *frames, unsigned from, unsigned to)
{
	uint64_t pages = 0;

	for (unsigned order = from; order < to; order++)
		pages += (uint64_t)frames->free[order] << order;
	return pages;
}

static uint64_t large_bytes(const struct hilum_frames *frames)
{
	return free_pages(frames, PIECE_ORDER, ORDERS) * 4096;
}

static void begin(enum phase next)
{
	phase = next;
	slot = 0;
	at = 0;
}

static void begin_survey(void)
{
	begin(SURVEY);
	chunk = 0;
	surveyed = best_score = 0;
	memset(sum, 0, sizeof(sum));
}

static bool start(const char *why, bool all)
{
	struct hilum_frames frames;

	if (phase != IDLE || !read_frames(&frames, 0, 0))
		return false;
	begin_survey();
	wants_all = all;
	rounds = spoiled_count = 0;
	range = 0;
	hc(HC_HOST_INFO, HILUM_HANDLE_HOST, (uintptr_t)&control_host);
	figures = (struct manager_compaction){ .state = "running",
		                               .runs = figures.runs + 1,
		                               .moved_bytes = figures.moved_bytes,
		                               .before_bytes = compact_largest_free(&frames) };
	next_ns = manager_clock_ns();
	event_add("host.compaction", "", "begins: %s", why);
	return true;
}

bool compact_start(const char *why)
{
	return start(why, false);
}

static void end(void)
{
	struct hilum_frames frames;

	begin(IDLE);
	figures.state = "idle";
	figures.progress = 100;
	if (!read_frames(&frames, 0, 0))
		return;
	figures.after_bytes = compact_largest_free(&frames);
	service_log("compaction: the largest free block was %lu KiB and is %lu KiB, %lu MiB are free in blocks of 2 MiB and more",
	            (unsigned long)(figures.before_bytes >> 10), (unsigned long)(figures.after_bytes >> 10),
	            (unsigned long)(large_bytes(&frames) >> 20));
	event_add("host.compaction", "", "the largest free block was %lu KiB and is %lu KiB", (unsigned long)(figures.before_bytes >> 10),
	          (unsigned long)(figures.after_bytes >> 10));
}

static bool is_spoiled(uint64_t of, unsigned order)
{
	for (unsigned i = 0; i < spoiled_count; i++)
		if (order >= (spoiled[i] & 0xFFF) && (spoiled[i] ^ of) >> (order + 12) == 0)
			return true;
	return false;
}

/*
 * How good it would be to have this range free: 0 if that cannot be, or nothing is in the way there, or what goes out of it would break up
 * a free block that is no smaller.
 */
static uint64_t score(const struct count *c, unsigned order, const struct hilum_frames *frames)
{
	bool larger = (4096ull << order) > compact_largest_free(frames) || order == HILUM_MOVE_ORDER_MAX;

	if (c->guest == 0 || c->other != 0 || c->guest + c->free != 1ull << order || !(larger || wants_all) ||
	    free_pages(frames, 0, order) < c->free + c->guest + MARGIN_PAGES)
		return 0;
	return wants_all ? (c->free << 27 >> order) * 32 + order : (uint64_t)order << 32 | c->free;
}

/* The chunk is the last one of this range of this order? Then the range is looked at. */
static void survey_range(unsigned order, const struct hilum_frames *frames)
{
	uint64_t address = (uint64_t)chunk * HILUM_FRAMES_BYTES_MAX & ~((4096ull << order) - 1), found;

	sum[order].free += frames->range_free;
	sum[order].guest += frames->range_guest;
	sum[order].other += frames->range_other;
	if ((chunk + 1) % (1u << (order - LEAST_ORDER)) != 0)
		return;
	found = score(&sum[order], order, frames);
	if (found > best_score && !is_spoiled(address, order)) {
		best_score = found;
		best = address | order;
	}
	sum[order] = (struct count){ 0 };
}

/* Something in the range stays: another one is looked for. */
static void spoil_range(void)
{
	if (spoiled_count == SPOILED_MAX) {
		begin(GATHER);
		return;
	}
	spoiled[spoiled_count++] = range;
	begin_survey();
}

static void survey_one(void)
{
	struct hilum_frames frames;

	if (!read_frames(&frames, (uint64_t)chunk * HILUM_FRAMES_BYTES_MAX, HILUM_FRAMES_BYTES_MAX))
		memset(&frames, 0, sizeof(frames));
	surveyed += frames.range_free + frames.range_guest + frames.range_other;
	for (unsigned order = LEAST_ORDER; order < ORDERS; order++)
		survey_range(order, &frames);
	/* What is left of RAM is not worth a look: some of it is the kernel's own, and counted nowhere. */
	bool whole = (++chunk & 31) == 0;
	if (chunk < CHUNKS_MAX && (!whole || (surveyed * 4096 + SURVEY_SLACK_BYTES) * 64 < control_host.memory_bytes * 63))
		return;
	if (best_score != 0 && best == range) {
		spoil_range(); /* it was left just now */
		return;
	}
	range = best;
	begin(best_score != 0 && rounds++ < ROUNDS_MAX ? LEAVE : GATHER);
}

/* Moves to the next guest with memory that can move; false: there is none. */
static bool find_piece(void)
{
	for (; slot < guest_slots(); slot++, at = 0) {
		const struct guest *g = guest_at(slot);
		if (g->config != NULL && g->made && at < g->config->memory_bytes && (phase == LEAVE || g->config->hugepages))
			return true; /* without hugepages its pages stay small */
	}
	return false;
}

static void show_progress(void)
{
	const struct guest *g = guest_at(slot);
	unsigned share = (45 * slot + (unsigned)(45 * at / g->config->memory_bytes)) / guest_slots();

	share += phase == LEAVE ? 10 : 55;
	figures.progress = share > figures.progress ? share : figures.progress; /* there may be several rounds */
}

/* HILUM_MEMORY_QUIET if no device is ever told of its pages: its disks are in memory, and it has no network card. */
static uint64_t quiet(const struct config_vm *c)
{
	bool found = c->nic_count != 0;

	for (unsigned i = 0; i < c->disk_count; i++)
		found |= c->disk[i].device != NULL;
	return found ? 0 : HILUM_MEMORY_QUIET;
}

static void move_one(void)
{
	if (!find_piece()) {
		if (phase == LEAVE)
			begin_survey();
		else
			end();
		return;
	}
	const struct guest *g = guest_at(slot);
	uint64_t how = (phase == LEAVE ? HILUM_MOVE_LEAVE : HILUM_MOVE_GATHER) | quiet(g->config);
	int64_t moved = hc(HC_MEMORY_MOVE, g->memory, at, how, phase == LEAVE ? range : 0);
	figures.moved_bytes += moved > 0 ? (uint64_t)moved * 4096 : 0;
	figures.busy += moved == HILUM_E_BUSY;
	show_progress();
	at += PIECE_BYTES;
	if (moved == HILUM_E_BUSY && phase == LEAVE)
		spoil_range();
	else if (moved == HILUM_E_NO_MEMORY && phase == LEAVE)
		begin(GATHER); /* there is nowhere to move to */
	else if (moved == HILUM_E_NO_MEMORY)
		slot = CHANNEL_SLOTS;
}

static void work_until(uint64_t ns)
{
	do {
		if (phase == SURVEY)
			survey_one();
		else
			move_one();
	} while (phase != IDLE && manager_clock_ns() < ns);
}

uint64_t compact_run(void)
{
	if (phase == IDLE || manager_clock_ns() < next_ns)
		return phase == IDLE ? 0 : next_ns;
	uint64_t now = manager_clock_ns();
	work_until(now + TURN_NS);
	uint64_t end_ns = manager_clock_ns(), rest = end_ns - now > REST_NS ? end_ns - now : REST_NS;
	next_ns = end_ns + rest;
	return phase == IDLE ? 0 : next_ns;
}

void compact_for(uint64_t bytes)
{
	uint64_t until = manager_clock_ns() + AT_ONCE_NS;
	struct hilum_frames frames;

	if (!read_frames(&frames, 0, 0) || large_bytes(&frames) >= bytes)
		return;
	start("a VM that starts wants large pages", true);
	while (phase != IDLE && manager_clock_ns() < until && read_frames(&frames, 0, 0) && large_bytes(&frames) < bytes)
		work_until(manager_clock_ns() + TURN_NS);
}

void compact_figures(struct manager_compaction *out)
{
	*out = figures;
}
