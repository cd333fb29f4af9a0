#include "drivers-vm/control/guest_memory.h"

#include "drivers-vm/control/events.h"
#include "drivers-vm/control/guest.h"
#include "drivers-vm/control/memory_policy.h"

#define MIB(bytes)    ((unsigned long)((bytes) >> 20))
#define PACE_NS	      250000000ull
#define DETAIL_MIB(b) ((unsigned long)(((b) + 0xFFFFF) >> 20))

static uint32_t overcommit = 100;
static uint64_t next_ns; /* of guest_memory_run; 0: nothing is to be watched */

void guest_memory_begin(const struct config *config)
{
	overcommit = config->overcommit;
}

uint64_t guest_memory_resident(const struct guest *g)
{
	struct hilum_vm_status status;

	return g->memory == 0 || hc(HC_VM_STATUS, g->vm, (uintptr_t)&status) < 0 ? 0 : status.resident_bytes;
}

/* Of guests that are populated at first access; slot[] says whose they are. */
static void gather(struct memory_figures *figures, struct memory_guest guest[CHANNEL_SLOTS], uint32_t slot[CHANNEL_SLOTS])
{
	hc(HC_HOST_INFO, HILUM_HANDLE_HOST, (uintptr_t)&control_host);
	*figures = (struct memory_figures){
		.total = control_host.memory_bytes, .free = control_host.free_bytes, .overcommit = overcommit, .guest = guest,
	};
	for (uint32_t i = 0; i < CHANNEL_SLOTS; i++) {
		const struct guest *g = guest_at(i);
		if (g->config == NULL || g->memory == 0 || g->config->prefault)
			continue;
		uint64_t resident = guest_memory_resident(g);
		guest[figures->guests] = (struct memory_guest){
			.memory = g->config->memory_bytes, .least = g->memory_min, .resident = resident,
			.most = g->memory_max > resident ? g->memory_max : resident, .pressure = g->balloon_pressure,
			.balloon = g->config->balloon_bytes != CONFIG_NO_BALLOON && !g->ended && !g->paused,
		};
		slot[figures->guests++] = i;
	}
}

static uint64_t image_bytes(const char *name)
{
	const struct module *m = name != NULL ? module_find(name) : NULL;

	return m != NULL ? m->bytes : 0;
}

/* What it takes at its start for good, besides its RAM: copies of its RAM disks. */
static uint64_t disk_bytes(const struct config_vm *c)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < c->disk_count; i++)
		if (c->disk[i].module != NULL && !c->disk[i].readonly)
			sum += image_bytes(c->disk[i].module);
	return sum;
}

static bool refuse(const struct guest *g, const struct memory_figures *figures, uint64_t wants, uint64_t missing)
{
	const struct config_vm *c = g->config;

	return guest_fail(g, MANAGER_NO_MEMORY, "memory",
			  "it may use %lu MiB, and %lu MiB are missing (%lu MiB free, %lu MiB promised to others): %s", DETAIL_MIB(wants),
			  DETAIL_MIB(missing), MIB(figures->free), MIB(memory_promised(figures) - memory_resident(figures)),
			  c->prefault && overcommit == 100 ? "give it less memory or end another VM"
			  : c->prefault	  ? "give it less, end another VM, or set prefault = false"
			  : overcommit == 100 ? "give it less, end another VM, or set overcommit in [hilum]"
					      : "give it less, end another VM, or raise overcommit in [hilum]");
}

bool guest_memory_admit(const struct guest *g)
{
	struct memory_guest guest[CHANNEL_SLOTS];
	uint32_t slot[CHANNEL_SLOTS];
	struct memory_figures figures;
	const struct config_vm *c = g->config;
	uint64_t disks = disk_bytes(c), missing;

	gather(&figures, guest, slot);
	if (c->prefault) {
		missing = memory_missing(&figures, c->memory_bytes + disks, 0, 0);
	} else {
		/* Its images are loaded at once. That is memory of its own, and counted as it begins. */
		uint64_t loaded = image_bytes(c->kernel) + image_bytes(c->initrd), now = disks + loaded + MEMORY_RESERVE_BYTES;
		missing = memory_missing(&figures, disks, g->memory_max, g->memory_min);
		if (missing == 0 && now > figures.free)
			missing = now - figures.free;
	}
	next_ns = missing == 0 && !c->prefault && overcommit > 100 ? manager_clock_ns() + PACE_NS : next_ns;
	return missing == 0 || refuse(g, &figures, (c->prefault ? c->memory_bytes : g->memory_max) + disks, missing);
}

uint64_t guest_memory_spare(void)
{
	struct memory_guest guest[CHANNEL_SLOTS];
	uint32_t slot[CHANNEL_SLOTS];
	struct memory_figures figures;

	gather(&figures, guest, slot);
	return memory_spare(&figures);
}

void guest_memory_tell_shortage(uint32_t slot)
{
	const struct guest *g = guest_at(slot);
	uint64_t resident = guest_memory_resident(g);

	hc(HC_HOST_INFO, HILUM_HANDLE_HOST, (uintptr_t)&control_host);
	service_log("vm %s: out of memory: it has %lu MiB of %lu MiB, the machine has %lu MiB free of %lu MiB", g->config->name, MIB(resident),
		    MIB(g->config->memory_bytes), MIB(control_host.free_bytes), MIB(control_host.memory_bytes));
	event_add("vm.out-of-memory", g->config->name, "it has %lu MiB of %lu MiB, the machine %lu MiB free", MIB(resident),
		  MIB(g->config->memory_bytes), MIB(control_host.free_bytes));
}

uint64_t guest_memory_run(void)
{
	struct memory_guest guest[CHANNEL_SLOTS];
	uint32_t slot[CHANNEL_SLOTS];
	struct memory_figures figures;

	if (next_ns == 0 || manager_clock_ns() < next_ns)
		return next_ns;
	gather(&figures, guest, slot);
	bool pressed = memory_balance(&figures);
	for (unsigned i = 0; i < figures.guests; i++) {
		if (guest[i].pressure == guest_at(slot[i])->balloon_pressure)
			continue;
		if (guest_at(slot[i])->balloon_pressure == 0)
			event_add("vm.balloon", guest_at(slot[i])->config->name, "memory is short: asked for %lu MiB", MIB(guest[i].pressure));
		guest_press_balloon(slot[i], guest[i].pressure);
	}
	next_ns = pressed || memory_is_short_of_promises(&figures) ? manager_clock_ns() + PACE_NS : 0;
	return next_ns;
}

void guest_memory_figures(struct manager_memory *out)
{
	struct memory_guest guest[CHANNEL_SLOTS];
	uint32_t slot[CHANNEL_SLOTS];
	struct memory_figures figures;

	gather(&figures, guest, slot);
	out->overcommit = overcommit;
	out->promised = memory_promised(&figures);
	out->resident = memory_resident(&figures);
	out->spare = memory_spare(&figures);
}
