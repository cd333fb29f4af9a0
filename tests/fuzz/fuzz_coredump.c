/*
 * Fuzz target of core files: the input is the guest's control registers and its first pages, of which its page tables are made, and which
 * change while they are walked where its first byte says so. Properties: pieces that are found ascend, do not overlap, lie in RAM and in
 * the upper half; and the head that is made of them stays in its own size (the sanitisers see it).
 *
 * FUZZ_SOURCES: drivers-vm/control/coredump/elf.c drivers-vm/control/coredump/walk.c
 * FUZZ_OPTIONS: -max_len=4096
 */
#include "drivers-vm/control/coredump/elf.h"

#include <stdlib.h>
#include <string.h>

#define PAGES    16u
#define SEGMENTS 64u
#define UPPER    (1ull << 63)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

struct world {
	uint64_t page[PAGES][COREDUMP_PAGE_BYTES / 8];
	uint64_t given[COREDUMP_PAGE_BYTES / 8];
	unsigned looked_at;
	bool changes;
};
static struct world world;

static const uint64_t *page_at(void *ctx, uint64_t gpa)
{
	struct world *w = ctx;

	if (++w->looked_at > COREDUMP_TABLES_MAX)
		abort();
	if (gpa % COREDUMP_PAGE_BYTES != 0)
		abort();
	if (gpa / COREDUMP_PAGE_BYTES >= PAGES)
		return NULL;
	if (w->changes)
		w->page[gpa / COREDUMP_PAGE_BYTES][w->looked_at % 512] ^= 1ull << (w->looked_at % 52);
	memcpy(w->given, w->page[gpa / COREDUMP_PAGE_BYTES], sizeof(w->given)); /* with the next call it is another's */
	return w->given;
}

/* Entries of eight bytes: the page, the index, and what stands there. */
static void make_tables(const uint8_t *data, size_t bytes)
{
	memset(&world, 0, sizeof(world));
	for (; bytes >= 11; data += 11, bytes -= 11)
		memcpy(&world.page[data[0] % PAGES][(data[1] | data[2] << 8) % 512], data + 3, 8);
}

static void check(const struct coredump_segment *found, unsigned count, const struct coredump_layout *layout)
{
	for (unsigned i = 0; i < count; i++) {
		const struct coredump_segment *s = &found[i];
		bool low = s->gpa < layout->low_bytes && s->bytes <= layout->low_bytes - s->gpa;
		bool high = s->gpa >= 1ull << 32 && s->gpa - (1ull << 32) < layout->high_bytes &&
		            s->bytes <= layout->high_bytes - (s->gpa - (1ull << 32));

		if (s->bytes == 0 || (s->gva | s->gpa | s->bytes) % COREDUMP_PAGE_BYTES || (!low && !high))
			abort();
		if (s->gva < UPPER && s->gva < (1ull << 31))
			abort();
		if (i && s->gva - s[-1].gva < s[-1].bytes)
			abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	struct coredump_layout layout = { .vcpus = 1, .low_bytes = PAGES * COREDUMP_PAGE_BYTES };
	static struct hilum_vcpu_state state;
	struct coredump_segment found[SEGMENTS];

	if (bytes < 28)
		return 0;
	memset(&state, 0, sizeof(state));
	memcpy(&state.cr3, data + 1, 8);
	memcpy(&state.cr4, data + 9, 8);
	memcpy(&state.efer, data + 17, 8);
	state.cr0 = data[25] & 1 ? 0x80000001 : data[25];
	layout.vcpus = 1 + data[26] % 4;
	layout.high_bytes = (uint64_t)(data[27] % 4) << 30;
	make_tables(data + 28, bytes - 28);
	world.changes = data[0] & 1;
	unsigned count = coredump_walk(&state, &layout, page_at, &world, found, SEGMENTS);
	count = count < SEGMENTS ? count : SEGMENTS;
	check(found, count, &layout);
	layout.segments = count;
	size_t head_bytes = coredump_head_bytes(&layout);
	uint8_t *head = calloc(1, head_bytes);
	if (!head)
		abort();
	coredump_put_head(head, &layout, found);
	for (uint32_t i = 0; i < layout.vcpus; i++)
		coredump_put_thread(head, &layout, i, i, &state, data[0] & 2);
	free(head);
	return 0;
}
