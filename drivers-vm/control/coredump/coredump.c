/*
 * The guest's memory is seen through one window, 2 MiB at a time. What a guest with lazy memory has never touched is populated by being
 * read, so that is done only while the host has memory to spare.
 */
#include "drivers-vm/control/coredump/coredump.h"

#include "drivers-vm/control/coredump/elf.h"
#include "drivers-vm/control/guest.h"
#include "drivers-vm/control/places.h"
#include "drivers-vm/lib/platform.h"

#include <stdlib.h>
#include <string.h>

#define WINDOW_BYTES 0x200000ull
#define SEGMENTS_MAX 2048u
#define RESERVE      (16ull << 20) /* of memory that is left for other things */

struct coredump {
	hilum_handle_t memory;
	struct coredump_layout layout;
	uint8_t *head;
	size_t head_bytes;
};

static const struct coredump *seen; /* whose memory is in the window, */
static uint64_t seen_at;            /* from this offset on */

static void close_window(void)
{
	if (seen != NULL)
		hc(HC_MEMORY_UNMAP, HILUM_HANDLE_SELF, PLACES_COREDUMP, WINDOW_BYTES);
	seen = NULL;
}

static bool has_memory(void)
{
	return hc(HC_HOST_INFO, HILUM_HANDLE_HOST, (uintptr_t)&control_host) >= 0 && control_host.free_bytes >= RESERVE;
}

/* [offset, ...) of its memory, up to the window's end; NULL: it cannot be seen. */
static const uint8_t *look(const struct coredump *core, uint64_t offset)
{
	uint64_t at = offset & ~(WINDOW_BYTES - 1);

	if (seen != core || seen_at != at) {
		close_window();
		if (!has_memory() || !service_map_memory(PLACES_COREDUMP, WINDOW_BYTES) ||
		    hc(HC_MEMORY_MAP, HILUM_HANDLE_SELF, core->memory, PLACES_COREDUMP, at, WINDOW_BYTES, HILUM_MAP_READ) < 0)
			return NULL;
		seen = core;
		seen_at = at;
	}
	return (const uint8_t *)PLACES_COREDUMP + (offset - at);
}

static const uint64_t *page_of(void *ctx, uint64_t gpa)
{
	const struct coredump *core = ctx;
	uint64_t offset = gpa;

	if (gpa >= core->layout.low_bytes) {
		if (gpa < PLATFORM_HIGH_RAM_BASE || gpa - PLATFORM_HIGH_RAM_BASE >= core->layout.high_bytes)
			return NULL;
		offset = gpa - PLATFORM_HIGH_RAM_BASE + core->layout.low_bytes;
	}
	return (const uint64_t *)look(core, offset);
}

static uint32_t crashed_vcpu(const struct guest *g)
{
	struct hilum_vm_status status;

	return hc(HC_VM_STATUS, g->vm, (uintptr_t)&status) >= 0 && status.state == HILUM_VM_CRASHED && status.vcpu < g->vcpus ? status.vcpu
	                                                                                                                      : UINT32_MAX;
}

/* Registers of all; the crashed one comes first. */
static void put_threads(struct coredump *core, const struct guest *g, uint32_t crashed)
{
	static struct hilum_vcpu_state state;
	uint32_t n = crashed != UINT32_MAX;

	for (uint32_t i = 0; i < g->vcpus; i++) {
		memset(&state, 0, sizeof(state));
		hc(HC_VCPU_GET_STATE, g->vcpu[i], (uintptr_t)&state, COREDUMP_STATE_GROUPS);
		coredump_put_thread(core->head, &core->layout, i == crashed ? 0 : n++, i, &state, i == crashed);
	}
}

static bool fill(struct coredump *core, const struct guest *g, struct coredump_segment *segment)
{
	static struct hilum_vcpu_state state;
	uint32_t crashed = crashed_vcpu(g);
	int64_t memory = hc(HC_HANDLE_GRANT, HILUM_HANDLE_SELF, g->memory, HILUM_RIGHT_MAP | HILUM_RIGHT_READ);

	if (memory < 0)
		return false;
	core->memory = (hilum_handle_t)memory;
	core->layout = (struct coredump_layout){ .vcpus = g->vcpus, .low_bytes = g->map.low_bytes, .high_bytes = g->map.high_bytes };
	memset(&state, 0, sizeof(state));
	if (hc(HC_VCPU_GET_STATE, g->vcpu[crashed != UINT32_MAX ? crashed : 0], (uintptr_t)&state, COREDUMP_STATE_GROUPS) >= 0)
		core->layout.segments = coredump_walk(&state, &core->layout, page_of, core, segment, SEGMENTS_MAX);
	core->head_bytes = coredump_head_bytes(&core->layout);
	core->head = calloc(1, core->head_bytes);
	if (core->head == NULL)
		return false;
	coredump_put_head(core->head, &core->layout, segment);
	put_threads(core, g, crashed);
	return true;
}

struct coredump *coredump_take(uint32_t slot)
{
	const struct guest *g = guest_at(slot);
	struct coredump *core = g->made ? calloc(1, sizeof(*core)) : NULL;
	struct coredump_segment *segment = core != NULL ? calloc(SEGMENTS_MAX, sizeof(*segment)) : NULL;

	if (segment != NULL && fill(core, g, segment)) {
		close_window();
		free(segment);
		return core;
	}
	free(segment);
	coredump_free(core);
	return NULL;
}

void coredump_rest(const struct coredump *core)
{
	if (seen == core)
		close_window();
}

void coredump_free(struct coredump *core)
{
	if (core == NULL)
		return;
	coredump_rest(core);
	if (core->memory != 0)
		hc(HC_HANDLE_CLOSE, core->memory);
	free(core->head);
	free(core);
}

uint64_t coredump_bytes(const struct coredump *core)
{
	return core->head_bytes + core->layout.low_bytes + core->layout.high_bytes;
}

size_t coredump_read(struct coredump *core, uint64_t offset, uint8_t *to, size_t count, bool *failed)
{
	size_t done = 0;

	*failed = false;
	if (offset < core->head_bytes) {
		done = core->head_bytes - offset < count ? core->head_bytes - offset : count;
		memcpy(to, core->head + offset, done);
	}
	while (done < count && offset + done < coredump_bytes(core)) {
		uint64_t at = offset + done - core->head_bytes, left = WINDOW_BYTES - at % WINDOW_BYTES;
		size_t n = left < count - done ? left : count - done;
		const uint8_t *from = look(core, at);

		if (from == NULL) {
			*failed = true;
			break;
		}
		memcpy(to + done, from, n);
		done += n;
	}
	return done;
}
