/*
 * A control VM that changes frames under guests while they run on all cores and check what they have written: it shares pages that are
 * the same, moves them from one GiB of the machine to the other, makes blocks of single frames, and lets one guest want for memory. Its
 * lines in the log are what tests/system looks for.
 */
#include "drivers-vm/runtime/service.h"

#include <string.h>

#define HOST        HILUM_HANDLE_HOST
#define RW          (HILUM_MAP_READ | HILUM_MAP_WRITE)
#define RWX         (RW | HILUM_MAP_EXECUTE)
#define PAGE        4096ull
#define PIECE       0x200000ull
#define BYTES       (2 * PIECE) /* of each guest */
#define PAGES       (BYTES / PAGE)
#define CODE_GPA    0x10000u
#define STATUS_GPA  0x8000u /* of vCPU 0; 16 bytes each */
#define DATA_GPA    0x1C0000u
#define DATA_END    0x240000u /* in both pieces */
#define GUESTS      4u        /* two whose pages may be shared, one with large pages, one that gets too few */
#define LARGE       2u
#define HUNGRY      3u
#define LIMIT_BYTES 0x40000u
#define VCPUS       2u
#define HERE(n)     (0xC0000000ull + (n)*2 * BYTES + ((n) == LARGE ? PAGE : 0)) /* askew: single frames come of what is touched there */
#define TURNS_MAX   20000u
#define SHARES      64u
#define ROUNDS      5u
#define MERGES_MAX  12u /* a turn: the guests are to run, too */

extern const uint8_t moving_guest[], moving_guest_end[];

static struct guest {
	hilum_handle_t vm, memory, vcpu[VCPUS];
} guests[GUESTS];
static uint64_t digests[GUESTS][PAGES];
static uint32_t cores;
static unsigned shares, moves, gathers, busy, failed;
static uint64_t most_tsc[3]; /* that a digest, a merge and a move took */

static void pause_ms(uint64_t ms)
{
	struct hypercall_trap trap;

	while (hypercall_wait(0, service_tsc() + service_ns_to_tsc(ms * 1000000), &trap) != HILUM_WAIT_TIMEOUT)
		;
}

static volatile uint32_t *status_of(unsigned n, unsigned vcpu)
{
	return (volatile uint32_t *)(uintptr_t)(HERE(n) + STATUS_GPA + 16 * vcpu);
}

static hilum_handle_t must(const char *what, int64_t result)
{
	if (result < 0) {
		service_log("moving: %s: error %ld", what, (long)result);
		runtime_abort("a call has failed");
	}
	return (hilum_handle_t)result;
}

/* 32-bit protected mode without paging, flat: each vCPU has a half of the data. */
static void start_vcpu(struct guest *g, unsigned n)
{
	const struct hilum_segment data = { .limit = 0xFFFFFFFF, .selector = 0x10, .attributes = 0xC93 };
	const uint32_t half = (DATA_END - DATA_GPA) / VCPUS;
	static struct hilum_vcpu_state state;

	memset(&state, 0, sizeof(state));
	state.rip = CODE_GPA;
	state.rflags = 0x202; /* nothing comes, but Bochs lets host interrupts end only a guest that takes some */
	state.cr0 = 0x11;
	state.xcr0 = 1;
	state.cs = (struct hilum_segment){ .limit = 0xFFFFFFFF, .selector = 0x08, .attributes = 0xC9B };
	state.ds = state.es = state.fs = state.gs = state.ss = data;
	state.tr = (struct hilum_segment){ .limit = 0xFFFF, .attributes = 0x8B };
	state.ldtr = (struct hilum_segment){ .limit = 0xFFFF, .attributes = 0x82 };
	state.gpr[6] = DATA_GPA + n * half;
	state.gpr[5] = DATA_GPA + (n + 1) * half;
	state.gpr[7] = STATUS_GPA + 16 * n;
	g->vcpu[n] = must("vCPU", hc(HC_VCPU_CREATE, g->vm, n, n % cores, 256));
	must("state",
	     hc(HC_VCPU_SET_STATE, g->vcpu[n], &state, HILUM_STATE_GPR | HILUM_STATE_SEGMENTS | HILUM_STATE_CR | HILUM_STATE_EVENTS));
	must("run", hc(HC_VCPU_RUN, g->vcpu[n]));
}

static void make_guest(unsigned n, uint64_t limit)
{
	struct hilum_vm_config config = { .flags = HILUM_VM_WAIT_MEMORY, .name = "moving" };
	struct guest *g = &guests[n];

	g->vm = must("VM", hc(HC_VM_CREATE, HOST, &config));
	g->memory = must("memory", hc(HC_MEMORY_CREATE, HOST, BYTES, HILUM_MEMORY_LAZY | (n == LARGE ? 0 : HILUM_MEMORY_SHARE)));
	must("map", hc(HC_MEMORY_MAP, g->vm, g->memory, 0, 0, BYTES, RWX));
	must("map here", hc(HC_MEMORY_MAP, HILUM_HANDLE_SELF, g->memory, HERE(n), 0, BYTES, RW));
	for (uint64_t at = 0; n == LARGE && at < BYTES; at += PAGE)
		(void)*(volatile uint8_t *)(uintptr_t)(HERE(n) + at);
	*status_of(n, 0) = 0;
	memcpy((void *)(uintptr_t)(HERE(n) + CODE_GPA), moving_guest, (size_t)(moving_guest_end - moving_guest));
	must("limit", hc(HC_MEMORY_LIMIT, g->memory, limit));
	for (unsigned v = 0; v < VCPUS; v++)
		start_vcpu(g, v);
}

static int64_t timed(unsigned what, int64_t result, uint64_t since)
{
	uint64_t took = service_tsc() - since;

	most_tsc[what] = took > most_tsc[what] ? took : most_tsc[what];
	busy += result == HILUM_E_BUSY;
	return result;
}

static void share_page(unsigned a, uint64_t a_page, unsigned b, uint64_t b_page)
{
	uint64_t since = service_tsc();

	if (digests[a][a_page] == digests[b][b_page] && digests[b][b_page] != HILUM_DIGEST_NONE)
		shares += timed(1, hc(HC_MEMORY_SHARE, guests[a].memory, a_page * PAGE, guests[b].memory, b_page * PAGE, 0), since) == 1;
}

/* Pages that had the same digest become one, if they still are the same. */
static void share_pages(unsigned turn)
{
	unsigned before = shares;

	for (unsigned n = 0; n < LARGE; n++)
		for (uint64_t page = 0; page < PAGES; page++) {
			uint64_t since = service_tsc();
			int64_t digest = timed(0, hc(HC_MEMORY_DIGEST, guests[n].memory, page * PAGE), since);
			digests[n][page] = digest < 0 ? must("digest", digest) : (uint64_t)digest;
		}
	for (uint64_t i = 0; i < PAGES && shares - before < MERGES_MAX; i++) {
		uint64_t page = (i + turn * 97) % PAGES;
		share_page(turn & 1, page < 8 ? page + 8 : page - 8, turn & 1, page); /* a page of the same kind of its own, */
		share_page(0, page, 1, page);                                         /* and the other guest's */
	}
}

static void move_pages(unsigned turn)
{
	const unsigned n = turn % (LARGE + 1);

	for (uint64_t at = 0; at < BYTES; at += PIECE) {
		uint64_t since = service_tsc();
		int64_t moved = timed(
			2, hc(HC_MEMORY_MOVE, guests[n].memory, at, HILUM_MOVE_LEAVE, (turn & 1ull) << 30 | HILUM_MOVE_ORDER_MAX), since);
		moves += moved > 0 ? (unsigned)moved : 0;
		since = service_tsc();
		moved = n == LARGE ? timed(2, hc(HC_MEMORY_MOVE, guests[n].memory, at, HILUM_MOVE_GATHER, 0), since) : 0;
		gathers += moved > 0;
	}
}

static uint64_t saved_frames(void)
{
	static struct hilum_frames frames;

	must("frames", hc(HC_HOST_FRAMES, HOST, &frames, 0, 0));
	return frames.saved;
}

/* The rounds that the slowest vCPU of the guest has made; a vCPU that has found a bad word is told once. */
static uint32_t rounds_of(unsigned n)
{
	uint32_t least = UINT32_MAX;

	for (unsigned v = 0; v < VCPUS; v++) {
		volatile uint32_t *status = status_of(n, v);
		least = status[0] < least ? status[0] : least;
		if (status[1] != 0) {
			service_log("moving: guest %u vCPU %u: %#x holds %#x in round %u", n, v, status[1], status[2], status[0]);
			status[1] = 0;
			failed++;
		}
	}
	return least;
}

static void change_frames(void)
{
	uint64_t most_saved = 0;
	uint32_t least = 0;
	unsigned turn = 0;

	for (; turn < TURNS_MAX && (least < ROUNDS || shares < SHARES) && failed == 0; turn++) {
		share_pages(turn);
		most_saved = saved_frames() > most_saved ? saved_frames() : most_saved;
		pause_ms(10);
		move_pages(turn);
		pause_ms(10);
		if (turn % 16 == 0)
			service_log("moving: turn %u, rounds %u %u %u, %u pages shared, %u frames moved", turn, rounds_of(0), rounds_of(1),
			            rounds_of(LARGE), shares, moves);
		least = UINT32_MAX;
		for (unsigned n = 0; n <= LARGE; n++)
			least = rounds_of(n) < least ? rounds_of(n) : least;
	}
	failed += least < ROUNDS || shares < SHARES || moves == 0 || gathers == 0 || busy != 0;
	service_log("moving: %u turns, %u rounds: %u pages shared, %lu frames saved at most, %u frames moved, %u blocks made", turn, least,
	            shares, (unsigned long)most_saved, moves, gathers);
	service_log("moving: at most %lu, %lu, %lu us for a digest, a merge, a move",
	            (unsigned long)(service_tsc_to_ns(most_tsc[0]) / 1000), (unsigned long)(service_tsc_to_ns(most_tsc[1]) / 1000),
	            (unsigned long)(service_tsc_to_ns(most_tsc[2]) / 1000));
}

/* A guest that may have no more frames stops where it needs one, says where, and goes on when it may. */
static void want_memory(void)
{
	struct hilum_vm_status status = { 0 };
	struct hilum_memory_status memory = { 0 };

	make_guest(HUNGRY, LIMIT_BYTES);
	for (unsigned i = 0; i < 5000 && status.memory_stops != (1u << VCPUS) - 1; i++) {
		pause_ms(2);
		must("status", hc(HC_VM_STATUS, guests[HUNGRY].vm, &status));
	}
	must("memory status", hc(HC_MEMORY_STATUS, guests[HUNGRY].memory, &memory));
	service_log("moving: vCPUs %#lx want memory at %#lx, %lu KiB are there, state %u", (unsigned long)status.memory_stops,
	            (unsigned long)status.memory_gpa, (unsigned long)(memory.resident_bytes >> 10), status.state);
	failed += status.memory_gpa < DATA_GPA || status.memory_gpa >= DATA_END || memory.resident_bytes != LIMIT_BYTES ||
	          status.state != HILUM_VM_RUNNING;
	must("limit", hc(HC_MEMORY_LIMIT, guests[HUNGRY].memory, 0));
	for (unsigned v = 0; v < VCPUS; v++) {
		must("pause", hc(HC_VCPU_PAUSE, guests[HUNGRY].vcpu[v]));
		must("run", hc(HC_VCPU_RUN, guests[HUNGRY].vcpu[v]));
	}
	for (unsigned i = 0; i < 5000 && failed == 0 && rounds_of(HUNGRY) < 2; i++)
		pause_ms(2);
	must("status", hc(HC_VM_STATUS, guests[HUNGRY].vm, &status));
	failed += rounds_of(HUNGRY) < 2 || status.memory_stops != 0;
}

_Noreturn void service_start(uint32_t vcpu)
{
	static struct hilum_host_info host;

	(void)vcpu;
	must("host", hc(HC_HOST_INFO, HOST, &host));
	cores = host.core_count;
	for (unsigned n = 0; n <= LARGE; n++)
		make_guest(n, 0);
	change_frames();
	want_memory();
	for (unsigned n = 0; n < GUESTS; n++) {
		must("destroy", hc(HC_VM_DESTROY, guests[n].vm));
		must("unmap", hc(HC_MEMORY_UNMAP, HILUM_HANDLE_SELF, HERE(n), BYTES));
		must("close", hc(HC_HANDLE_CLOSE, guests[n].memory));
	}
	failed += saved_frames() != 0;
	service_log("moving: %u failed", failed);
	for (;;)
		pause_ms(1000);
}
