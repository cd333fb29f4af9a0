/* Memory as an operator sees it: the machine's, a VM's, its limits, and compaction. */
#include "drivers-vm/control/compact.h"
#include "drivers-vm/control/events.h"
#include "drivers-vm/control/guest.h"
#include "drivers-vm/control/guest_memory.h"
#include "drivers-vm/control/manager_private.h"
#include "drivers-vm/control/share_scan.h"

#include <string.h>

#define PAGE_BYTES 4096u

void manager_memory(struct manager_memory *out)
{
	const struct share_counts *counts = share_count();
	struct hilum_frames frames = { 0 };

	memset(out, 0, sizeof(*out));
	guest_memory_figures(out);
	if (hc(HC_HOST_FRAMES, HILUM_HANDLE_HOST, (uintptr_t)&frames, 0, 0) >= 0) {
		out->largest_free = compact_largest_free(&frames);
		out->saved = frames.saved * PAGE_BYTES;
	}
	out->scanned = counts->scanned;
	out->merged = counts->merged;
	compact_figures(&out->compaction);
}

enum manager_result manager_compact(struct manager_error *error)
{
	return compact_start("an operator asked for it") ? MANAGER_OK : manager_refuse(error, MANAGER_CONFLICT, "", "it goes on already");
}

static struct guest *guest_of(const char *name)
{
	int slot = manager_slot(name);
	struct guest *g = slot >= 0 ? guest_at((uint32_t)slot) : NULL;

	return g != NULL && g->made ? g : NULL;
}

bool manager_vm_memory(const char *name, struct manager_vm_memory *out)
{
	const struct guest *g = guest_of(name);
	struct hilum_memory_status status = { 0 };

	if (g == NULL)
		return false;
	hc(HC_MEMORY_STATUS, g->memory, (uintptr_t)&status);
	*out = (struct manager_vm_memory){
		.resident = status.resident_bytes, .most = g->memory_max, .least = g->memory_min, .balloon_target = guest_balloon_target(g)
	};
	return true;
}

enum manager_result manager_set_memory_limits(const char *name, uint64_t most, uint64_t least, struct manager_error *error)
{
	struct guest *g = guest_of(name);
	uint64_t missing;

	if (manager_entry_find(name) == NULL)
		return manager_refuse(error, MANAGER_NOT_FOUND, "", "there is no VM of this name");
	if (g == NULL || g->ended)
		return manager_refuse(error, MANAGER_CONFLICT, "", "it does not run");
	if (most == 0 || most > g->config->memory_bytes || most % PAGE_BYTES != 0)
		return manager_refuse(error, MANAGER_INVALID, "max_bytes", "must be a multiple of 4 KiB up to its memory");
	if (least > most || least % PAGE_BYTES != 0)
		return manager_refuse(error, MANAGER_INVALID, "min_bytes", "must be a multiple of 4 KiB up to max_bytes");
	if (most < g->config->memory_bytes && (g->config->balloon_bytes == CONFIG_NO_BALLOON || g->config->prefault))
		return manager_refuse(error, MANAGER_INVALID, "max_bytes", "less than its memory needs a balloon, and prefault = false");
	missing = guest_memory_missing_for(g, most, least);
	if (missing != 0)
		return manager_refuse(error, MANAGER_NO_MEMORY, "max_bytes", "%lu MiB are missing for that",
		                      (unsigned long)((missing + 0xFFFFF) >> 20));
	guest_set_limits((uint32_t)manager_slot(name), most, least);
	event_add("vm.memory-limits", name, "at most %lu MiB, at least %lu MiB", (unsigned long)(most >> 20), (unsigned long)(least >> 20));
	return MANAGER_OK;
}
