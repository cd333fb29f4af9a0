/* What of a VM changes while it runs, until it ends: its vCPUs and its memory. */
#include "drivers-vm/control/events.h"
#include "drivers-vm/control/guest.h"
#include "drivers-vm/control/manager_private.h"

#define PAGE_BYTES 4096u

/* Not of one that has ended. */
static enum manager_result find_living(const char *name, struct manager_entry **found, struct manager_error *error)
{
	struct manager_entry *e = manager_entry_find(name);

	*found = e;
	if (e == NULL)
		return manager_refuse(error, MANAGER_NOT_FOUND, "", "there is no VM of this name");
	if (e->preserved || (e->state != MANAGER_RUNNING && e->state != MANAGER_PAUSED))
		return manager_conflict(e, error);
	return e->debugged ? manager_refuse(error, MANAGER_CONFLICT, "", "a debugger has it") : MANAGER_OK;
}

enum manager_result manager_set_vcpus(const char *name, unsigned count, struct manager_error *error)
{
	struct manager_entry *e;
	enum manager_result result = find_living(name, &e, error);

	if (result != MANAGER_OK)
		return result;
	const struct config_vm *config = &e->taken->config;
	if (config->vcpus_max <= config->vcpus)
		return manager_refuse(error, MANAGER_CONFLICT, "", "its definition has no vcpus_max beyond its vcpus");
	if (count < 1 || count > config->vcpus_max)
		return manager_refuse(error, MANAGER_INVALID, "count", "must be a number from 1 to %u", config->vcpus_max);
	result = guest_set_vcpus((uint32_t)e->slot, count);
	event_add("vm.vcpus", name, "%u are asked for", count);
	return result == MANAGER_OK ? result : manager_refuse(error, result, "", "there is no memory for all of them; the log says more");
}

enum manager_result manager_set_memory(const char *name, uint64_t bytes, struct manager_error *error)
{
	struct manager_entry *e;
	enum manager_result result = find_living(name, &e, error);

	if (result != MANAGER_OK)
		return result;
	const struct config_vm *config = &e->taken->config;
	if (config->balloon_bytes == CONFIG_NO_BALLOON)
		return manager_refuse(error, MANAGER_CONFLICT, "", "its definition has no balloon");
	if (bytes == 0 || bytes > config->memory_bytes || bytes % PAGE_BYTES != 0)
		return manager_refuse(error, MANAGER_INVALID, "bytes", "must be a multiple of 4 KiB up to its memory, %lu",
		                      (unsigned long)config->memory_bytes);
	guest_set_balloon((uint32_t)e->slot, config->memory_bytes - bytes);
	event_add("vm.memory", name, "%lu MiB are asked for", (unsigned long)(bytes >> 20));
	return MANAGER_OK;
}

void manager_guest_ejected(uint32_t slot, uint64_t vcpu)
{
	struct manager_entry *e = manager_entry_of_slot(slot);

	if (e != NULL && !e->preserved && !e->debugged && guest_take_vcpu(slot, vcpu))
		event_add("vm.vcpus", e->defined->config.name, "the guest has let go of vCPU %lu", (unsigned long)vcpu);
}
