/* The page tables of a guest as segments: see elf.h. SDM vol. 3A, "4-Level Paging and 5-Level Paging". */
#include "drivers-vm/control/coredump/elf.h"

#include "drivers-vm/lib/guest_walk.h"
#include "drivers-vm/lib/platform.h"

#include <string.h>

#define ENTRIES       512u
#define ENTRY_PRESENT 1ull
#define ENTRY_LARGE   (1ull << 7)
#define ENTRY_ADDRESS 0x000FFFFFFFFFF000ull
#define LEVELS_MAX    5u

struct walk {
	const struct coredump_layout *layout;
	coredump_page *page;
	void *ctx;
	unsigned tables;
	struct coredump_segment *out;
	unsigned found, most;
	uint64_t table[LEVELS_MAX][ENTRIES]; /* copies, one for each level: the guest's pages are looked at once */
};

/* The part of [gpa, gpa + bytes) that is RAM from its beginning on; zero: none. */
static uint64_t ram_bytes(const struct coredump_layout *layout, uint64_t gpa, uint64_t bytes)
{
	uint64_t left = gpa < layout->low_bytes ? layout->low_bytes - gpa : 0;

	if (left == 0 && gpa >= PLATFORM_HIGH_RAM_BASE && gpa - PLATFORM_HIGH_RAM_BASE < layout->high_bytes)
		left = layout->high_bytes - (gpa - PLATFORM_HIGH_RAM_BASE);
	return left < bytes ? left : bytes;
}

static void add(struct walk *w, uint64_t gva, uint64_t gpa, uint64_t bytes)
{
	struct coredump_segment *last = w->found != 0 ? &w->out[w->found - 1] : NULL;

	bytes = ram_bytes(w->layout, gpa, bytes);
	if (bytes == 0)
		return;
	/* A segment of the file: physical addresses go on where its bytes do. */
	if (last != NULL && last->gva + last->bytes == gva && last->gpa + last->bytes == gpa &&
	    (gpa < PLATFORM_HIGH_RAM_BASE) == (last->gpa < PLATFORM_HIGH_RAM_BASE))
		last->bytes += bytes;
	else if (w->found < w->most)
		w->out[w->found++] = (struct coredump_segment){ gva, gpa, bytes };
}

/* `level` 0 is that of pages. False: enough was looked at. */
static bool walk_table(struct walk *w, unsigned level, uint64_t gpa, uint64_t gva, unsigned first)
{
	unsigned shift = 12 + 9 * level;
	const uint64_t *page = w->tables++ < COREDUMP_TABLES_MAX ? w->page(w->ctx, gpa) : NULL;
	uint64_t *table = w->table[level];

	if (page == NULL)
		return w->tables <= COREDUMP_TABLES_MAX; /* not RAM: nothing is there */
	memcpy(table, page, sizeof(w->table[level]));
	for (unsigned i = first; i < ENTRIES; i++) {
		uint64_t entry = table[i], at = gva | (uint64_t)i << shift;
		bool leaf = level == 0 || (level <= 2 && (entry & ENTRY_LARGE));

		if (!(entry & ENTRY_PRESENT))
			continue;
		if (leaf)
			add(w, at, entry & ENTRY_ADDRESS & ~((1ull << shift) - 1), 1ull << shift);
		else if (!walk_table(w, level - 1, entry & ENTRY_ADDRESS, at, 0))
			return false;
	}
	return true;
}

unsigned coredump_walk(const struct hilum_vcpu_state *state, const struct coredump_layout *layout, coredump_page *page, void *ctx,
                       struct coredump_segment *out, unsigned most)
{
	static struct walk w; /* too large for a service VM's stack */
	unsigned top = state->cr4 & CR4_LA57 ? 4 : 3;

	if (!(state->efer & EFER_LMA) || !(state->cr0 & CR0_PG))
		return 0;
	w = (struct walk){ .layout = layout, .page = page, .ctx = ctx, .out = out, .most = most };
	walk_table(&w, top, state->cr3 & ENTRY_ADDRESS, ~0ull << (12 + 9 * (top + 1)), ENTRIES / 2);
	return w.found;
}
