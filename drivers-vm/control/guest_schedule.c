/* Which share of the machine's cores a guest gets: the configuration's words as the kernel's. */
#include "drivers-vm/control/guest.h"
#include <stdio.h>

#define PER_MILLE_OF_PERCENT 10u

/* The part number `index` of `count` of what the VM has in all: they sum up to it. What is not zero stays so: zero means no limit. */
static uint32_t part(uint32_t percent, uint32_t index, uint32_t count)
{
	uint32_t all = percent * PER_MILLE_OF_PERCENT, share = all * (index + 1) / count - all * index / count;

	return all != 0 && share == 0 ? 1 : share;
}

/* The bit of the core that comes after `skip` others. */
static uint64_t nth_core(uint64_t cores, uint32_t skip)
{
	while (skip-- != 0)
		cores &= cores - 1;
	return cores & -cores;
}

/* vCPU `index`, before which the guest has `place` of its `count`. One that the guest does not have runs nothing, and is promised nothing. */
static int64_t schedule_vcpu(const struct guest *g, uint32_t index, uint32_t place, uint32_t count)
{
	const struct config_vm *c = g->config;
	bool plugged = g->plugged >> index & 1;
	const struct hilum_schedule schedule = {
		.cores = c->dedicated ? nth_core(c->cpus, index) : c->cpus,
		.weight = c->weight,
		.cap = plugged ? part(c->cap, place, count) : 0,
		.reservation = plugged ? part(c->reservation, place, count) : 0,
		.flags = c->dedicated ? HILUM_SCHEDULE_DEDICATED : 0,
	};

	return hc(HC_VCPU_SCHEDULE, g->vcpu[index], (uintptr_t)&schedule);
}

/* The vCPU of a guest whose core this is alone; NULL: nobody's. */
static hilum_handle_t vcpu_alone_on(uint32_t core)
{
	for (uint32_t slot = 0; slot < guest_slots(); slot++) {
		const struct guest *g = guest_at(slot);

		if (!g->made || !g->config->dedicated || core >= 64)
			continue;
		for (uint32_t i = 0; i < g->vcpus; i++)
			if (nth_core(g->config->cpus, i) == 1ull << core)
				return g->vcpu[i];
	}
	return 0;
}

bool guest_core_is_undisturbed(uint32_t core, uint64_t *asked)
{
	hilum_handle_t vcpu = vcpu_alone_on(core);
	struct hilum_vcpu_stats stats;
	uint64_t before = *asked;

	if (vcpu == 0 || hc(HC_VCPU_STATS, vcpu, (uintptr_t)&stats) < 0)
		return false;
	*asked = stats.exits[HILUM_EXIT_PORT] + stats.exits[HILUM_EXIT_MMIO];
	return *asked == before;
}

static enum manager_result refuse(const struct config_vm *c, int64_t result, struct manager_error *error)
{
	const char *field = "cpus", *detail = "none of these cores is there for it";

	if (result == HILUM_E_BUSY && c->dedicated) {
		field = "dedicated";
		detail = "one of its cores is needed by others";
	} else if (result == HILUM_E_BUSY) {
		field = c->reservation != 0 ? "reservation" : "cpus";
		detail = c->reservation != 0 ? "its cores have not so much left that is not reserved" : "its cores are dedicated to others";
	} else if (result != HILUM_E_INVALID) {
		field = "";
		detail = control_error(result);
	}
	snprintf(error->field, sizeof(error->field), "%s", field);
	snprintf(error->detail, sizeof(error->detail), "%s", detail);
	return MANAGER_INVALID;
}

enum manager_result guest_schedule(uint32_t slot, struct manager_error *error)
{
	const struct guest *g = guest_at(slot);
	uint32_t place = 0, count = guest_count_vcpus(g);

	for (uint32_t i = 0; i < g->vcpus; i++) {
		int64_t result = schedule_vcpu(g, i, place, count);

		place += g->plugged >> i & 1;
		if (result < 0)
			return refuse(g->config, result, error);
	}
	return MANAGER_OK;
}
