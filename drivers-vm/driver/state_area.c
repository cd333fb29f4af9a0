/* See state_area.h. A header, then the halves. */
#include "drivers-vm/driver/state_area.h"

#include <string.h>

#define MAGIC        0x54415453204D4C48ull /* "HLM STAT" */
#define HEADER_BYTES 4096u
#define ALIGN        64u

struct header {
	uint64_t magic, layout;
	uint32_t counts; /* 1 + the half that does; 0: none */
};

static size_t half_bytes(const struct state_area *area)
{
	return (area->bytes - HEADER_BYTES) / 2 & ~(size_t)(ALIGN - 1);
}

static uint8_t *half_at(const struct state_area *area, unsigned half)
{
	return area->base + HEADER_BYTES + half * half_bytes(area);
}

static void set_counts(struct state_area *area, uint32_t counts)
{
	__atomic_store_n(&((struct header *)area->base)->counts, counts, __ATOMIC_SEQ_CST);
}

bool state_area_open(struct state_area *area, void *base, size_t bytes, uint64_t layout, bool resume)
{
	struct header *header = base;

	*area = (struct state_area){ .base = base, .bytes = bytes };
	if (resume) {
		uint32_t counts = header->counts;
		area->half = counts == 1;
		return header->magic == MAGIC && header->layout == layout && (counts == 1 || counts == 2);
	}
	set_counts(area, 0);
	header->magic = MAGIC;
	header->layout = layout;
	return true;
}

void *state_area_take(struct state_area *area, size_t count, size_t bytes)
{
	size_t room = half_bytes(area) - area->used;

	if (bytes == 0 || count > room / bytes)
		return NULL;
	uint8_t *at = half_at(area, area->half) + area->used;
	size_t taken = (count * bytes + ALIGN - 1) & ~(size_t)(ALIGN - 1);
	area->used += taken < room ? taken : room;
	return memset(at, 0, count * bytes);
}

const void *state_area_old(const struct state_area *area, const void *mine)
{
	if (mine == NULL)
		return NULL;
	return half_at(area, !area->half) + ((const uint8_t *)mine - half_at(area, area->half));
}

void state_area_commit(struct state_area *area)
{
	set_counts(area, area->half + 1);
}

void state_area_forget(struct state_area *area)
{
	set_counts(area, 0);
}
