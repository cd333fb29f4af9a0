#include "drivers-vm/control/compact.h"

#include "drivers-vm/control/events.h"
#include "drivers-vm/control/guest.h"

#include <string.h>

#define PIECE_BYTES  0x200000ull
#define PIECE_ORDER  9u
#define ORDERS	     19u
#define GIB_PAGES    0x40000ull
#define GIBS_MAX     4096u /* of the machine's addresses */
#define GIB_BYTES    0x40000000ull
#define SURVEY_SLACK_BYTES 0x4000000ull
#define TURN_NS	     3000000ull
#define REST_NS	     3000000ull
#define AT_ONCE_NS   3000000000ull
#define MARGIN_PAGES 0x1000ull /* that stay free outside */

enum phase {
	IDLE,
	SURVEY, /* which GiB can be had free most easily? */
	LEAVE,	/* frames leave it */
	GATHER, /* guests' small pages become large ones */
};

static enum phase phase;
static uint32_t gib;	 /* SURVEY: the next one; LEAVE: the one that is left */
static uint64_t surveyed; /* pages of RAM that were found so far */
static uint64_t best_score;
static uint32_t best_gib;
static uint32_t slot; /* whose memory is next, */
static uint64_t at;   /* and which piece of it */
static uint64_t next_ns;
static struct manager_compaction figures = {.state = "idle"};

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

static uint64_t free_pages(const struct hilum_frames *frames)
{
	uint64_t sum = 0;

	for (unsigned order = 0; order < ORDERS; order++)
		sum += frames->free[order] << order;
	return sum;
}

static uint64_t large_bytes(const struct hilum_frames *frames)
{
	uint64_t sum = 0;

	for (unsigned order = PIECE_ORDER; order < ORDERS; order++)
		sum += frames->free[order] << (order + 12);
	return sum;
}

static void begin(enum phase next)
{
	phase = next;
	slot = 0;
	at = 0;
}

bool compact_start(const char *why)
{
	struct hilum_frames frames;

	if (phase != IDLE)
		return false;
	if (!read_frames(&frames, 0, 0))
		return false;
	begin(SURVEY);
	gib = 0;
	surveyed = best_score = 0;
	best_gib = GIBS_MAX;
	hc(HC_HOST_INFO, HILUM_HANDLE_HOST, (uintptr_t)&control_host);
	figures = (struct manager_compaction){.state = "running", .runs = figures.runs + 1, .moved_bytes = figures.moved_bytes,
					      .before_bytes = compact_largest_free(&frames)};
	next_ns = manager_clock_ns();
	event_add("host.compaction", "", "begins: %s", why);
	return true;
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

/* How good it would be to have this GiB free; 0: it cannot be, or nothing is in the way there. */
static uint64_t score(uint64_t range_free, uint64_t range_guest, uint64_t range_other, uint64_t free)
{
	uint64_t outside = free - range_free;

	if (range_guest == 0 || range_guest + range_free < GIB_PAGES >> 9 || outside < range_guest + MARGIN_PAGES)
		return 0;
	return (range_other == 0 && range_free + range_guest == GIB_PAGES ? 2 * GIB_PAGES : 0) + range_free + range_guest / 2;
}

static void survey_one(void)
{
	uint64_t range_free = 0, range_guest = 0, range_other = 0, free = 0;
	struct hilum_frames frames;

	for (uint64_t from = 0; from < GIB_BYTES; from += HILUM_FRAMES_BYTES_MAX) {
		if (!read_frames(&frames, gib * GIB_BYTES + from, HILUM_FRAMES_BYTES_MAX))
			continue;
		range_free += frames.range_free;
		range_guest += frames.range_guest;
		range_other += frames.range_other;
		free = free_pages(&frames);
	}
	surveyed += range_free + range_guest + range_other;
	uint64_t found = score(range_free, range_guest, range_other, free);
	if (found > best_score) {
		best_score = found;
		best_gib = gib;
	}
	/* What is left of RAM is not worth a look: some of it is the kernel's own, and counted nowhere. */
	if (++gib < GIBS_MAX && (surveyed * 4096 + SURVEY_SLACK_BYTES) * 64 < control_host.memory_bytes * 63)
		return;
	gib = best_gib;
	begin(best_score != 0 ? LEAVE : GATHER);
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

	figures.progress = (phase == LEAVE ? 10 : 55) + share;
}

static void move_one(void)
{
	if (!find_piece()) {
		if (phase == LEAVE)
			begin(GATHER);
		else
			end();
		return;
	}
	const struct guest *g = guest_at(slot);
	int64_t moved = hc(HC_MEMORY_MOVE, g->memory, at, phase == LEAVE ? HILUM_MOVE_LEAVE : HILUM_MOVE_GATHER, phase == LEAVE ? gib : 0);
	figures.moved_bytes += moved > 0 ? (uint64_t)moved * 4096 : 0;
	figures.busy += moved == HILUM_E_BUSY;
	show_progress();
	at += PIECE_BYTES;
	if (moved == HILUM_E_NO_MEMORY)
		slot = CHANNEL_SLOTS; /* there is nowhere to move to */
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
	compact_start("a VM that starts wants large pages");
	while (phase != IDLE && manager_clock_ns() < until && read_frames(&frames, 0, 0) && large_bytes(&frames) < bytes)
		work_until(manager_clock_ns() + TURN_NS);
}

void compact_figures(struct manager_compaction *out)
{
	*out = figures;
}
