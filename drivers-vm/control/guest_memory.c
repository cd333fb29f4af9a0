#include "drivers-vm/control/guest_memory.h"

#include "drivers-vm/control/events.h"
#include "drivers-vm/control/guest.h"
#include "drivers-vm/control/memory_policy.h"
#include "drivers-vm/control/share_scan.h"

#include <string.h>

#define MIB(bytes)       ((unsigned long)((bytes) >> 20))
#define PACE_NS          250000000ull
#define PATIENCE_NS      5000000000ull  /* for others to give up memory */
#define AGAIN_NS         1000000000ull  /* one that waits again so soon has not had what it needed */
#define LIMIT_NS         20000000000ull /* for a balloon to bring a guest below a limit */
#define LIMIT_NEAR_BYTES 0x200000ull
#define WAIT_PACE_NS     50000000ull
#define ENOUGH_BYTES     0x400000ull /* free, for one that waits to try again */
#define BALLAST_BYTES    0x800000ull /* kept where memory is overcommitted: the driver VM goes on by it when nothing else is left */
#define DETAIL_MIB(b)    ((unsigned long)(((b) + 0xFFFFF) >> 20))

static uint32_t overcommit = 100;
static hilum_handle_t ballast; /* or 0: it is not there now */
/* Of a guest that waits for memory: since when (0: it does not), and when it was let go last. */
static struct {
	uint64_t since_ns, again_ns;
	uint64_t tighten_ns; /* until then its limit follows what it has; 0: it is in force */
	bool doomed;         /* the driver VM waited for its sake: it ends with the next turn */
} wait[CHANNEL_SLOTS];
static uint64_t next_ns; /* of guest_memory_run; 0: nothing is to be watched */

void guest_memory_begin(const struct config *config)
{
	overcommit = config->overcommit;
}

void guest_memory_recover(void)
{
	for (uint32_t slot = 0; slot < CHANNEL_SLOTS; slot++) {
		if (!guest_at(slot)->made)
			continue;
		share_slot_changed(slot);
		guest_check_status(slot); /* vCPUs may wait for memory since then */
	}
	next_ns = manager_clock_ns();
}

uint64_t guest_memory_resident(const struct guest *g)
{
	struct hilum_memory_status status;

	return g->memory == 0 || hc(HC_MEMORY_STATUS, g->memory, (uintptr_t)&status) < 0 ? 0 : status.resident_bytes;
}

/* Of guests that are populated at first access, until the next time; too much for a stack. */
static struct memory_guest gathered[CHANNEL_SLOTS];
static uint32_t gathered_slot[CHANNEL_SLOTS]; /* whose they are */

static void gather(struct memory_figures *figures)
{
	hc(HC_HOST_INFO, HILUM_HANDLE_HOST, (uintptr_t)&control_host);
	*figures = (struct memory_figures){
		.total = control_host.memory_bytes,
		.free = control_host.free_bytes,
		.overcommit = overcommit,
		.guest = gathered,
	};
	for (uint32_t i = 0; i < guest_slots(); i++) {
		const struct guest *g = guest_at(i);
		if (g->config == NULL || g->memory == 0 || g->config->prefault)
			continue;
		uint64_t resident = guest_memory_resident(g);
		gathered[figures->guests] = (struct memory_guest){
			.memory = g->config->memory_bytes,
			.least = g->memory_min,
			.resident = resident,
			.most = g->memory_max > resident ? g->memory_max : resident,
			.pressure = g->balloon_pressure,
			.balloon = g->config->balloon_bytes != CONFIG_NO_BALLOON && !g->ended && !g->paused,
		};
		gathered_slot[figures->guests++] = i;
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
	                  : c->prefault                    ? "give it less, end another VM, or set prefault = false"
	                  : overcommit == 100              ? "give it less, end another VM, or set overcommit in [hilum]"
	                                                   : "give it less, end another VM, or raise overcommit in [hilum]");
}

bool guest_memory_admit(const struct guest *g)
{
	struct memory_figures figures;
	const struct config_vm *c = g->config;
	uint64_t disks = disk_bytes(c), missing;

	gather(&figures);
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

uint64_t guest_memory_missing_for(const struct guest *g, uint64_t most, uint64_t least)
{
	struct memory_figures figures;

	if (g->config->prefault || (most <= g->memory_max && least <= g->memory_min))
		return 0;
	gather(&figures);
	return memory_missing(&figures, 0, most > g->memory_max ? most - g->memory_max : 0,
	                      least > g->memory_min ? least - g->memory_min : 0);
}

uint64_t guest_memory_spare(void)
{
	struct memory_figures figures;

	gather(&figures);
	return memory_spare(&figures);
}

void guest_memory_tell_shortage(uint32_t slot)
{
	const struct guest *g = guest_at(slot);
	uint64_t resident = guest_memory_resident(g);

	hc(HC_HOST_INFO, HILUM_HANDLE_HOST, (uintptr_t)&control_host);
	service_log("vm %s: out of memory: it has %lu MiB of %lu MiB, the machine has %lu MiB free of %lu MiB", g->config->name,
	            MIB(resident), MIB(g->config->memory_bytes), MIB(control_host.free_bytes), MIB(control_host.memory_bytes));
	event_add("vm.out-of-memory", g->config->name, "it has %lu MiB of %lu MiB, the machine %lu MiB free", MIB(resident),
	          MIB(g->config->memory_bytes), MIB(control_host.free_bytes));
}

/* ---- When there is none --------------------------------------------------------------------------------------------------------- */

static uint64_t free_bytes(void)
{
	hc(HC_HOST_INFO, HILUM_HANDLE_HOST, (uintptr_t)&control_host);
	return control_host.free_bytes;
}

/* It has what it may have, nearly: that is why it waits. */
static bool is_at_limit(const struct guest *g)
{
	return g->memory_max < g->config->memory_bytes && guest_memory_resident(g) + LIMIT_NEAR_BYTES > g->memory_max;
}

/* A limit that is below what the guest has comes in force as its balloon fills. True: that goes on. */
static bool tighten(uint32_t slot)
{
	const struct guest *g = guest_at(slot);
	uint64_t resident, now = manager_clock_ns();

	if (wait[slot].tighten_ns == 0)
		return false;
	resident = guest_memory_resident(g);
	if (resident <= g->memory_max || now > wait[slot].tighten_ns)
		wait[slot].tighten_ns = 0;
	hc(HC_MEMORY_LIMIT, g->memory, wait[slot].tighten_ns != 0 ? resident + LIMIT_NEAR_BYTES : g->memory_max);
	return wait[slot].tighten_ns != 0;
}

void guest_memory_limit(uint32_t slot)
{
	const struct guest *g = guest_at(slot);

	wait[slot].tighten_ns = 0;
	if (g->memory_max >= g->config->memory_bytes) {
		hc(HC_MEMORY_LIMIT, g->memory, 0);
		return;
	}
	wait[slot].tighten_ns = manager_clock_ns() + LIMIT_NS;
	tighten(slot);
	next_ns = manager_clock_ns();
}

static void watch_soon(void)
{
	next_ns = manager_clock_ns();
}

void guest_memory_waits(uint32_t slot)
{
	uint64_t now = manager_clock_ns();

	if (wait[slot].since_ns == 0 || (wait[slot].again_ns != 0 && now - wait[slot].again_ns > AGAIN_NS)) {
		wait[slot].since_ns = now;
		event_add("vm.waits-for-memory", guest_at(slot)->config->name, "%lu MiB are free", MIB(free_bytes()));
	}
	wait[slot].again_ns = 0;
	watch_soon();
}

/* Those of its vCPUs that wait try again. */
static void try_again(uint32_t slot)
{
	const struct guest *g = guest_at(slot);
	struct hilum_vm_status status;

	wait[slot].again_ns = manager_clock_ns();
	if (g->paused || hc(HC_VM_STATUS, g->vm, (uintptr_t)&status) < 0)
		return; /* when it goes on all of them do */
	for (uint32_t i = 0; i < g->config->vcpus; i++)
		if (status.memory_stops >> i & 1) {
			hc(HC_VCPU_PAUSE, g->vcpu[i]); /* it has really stopped then */
			hc(HC_VCPU_RUN, g->vcpu[i]);
		}
}

static void end_for_want(uint32_t slot)
{
	memset(&wait[slot], 0, sizeof(wait[slot]));
	guest_memory_tell_shortage(slot);
	manager_guest_ended(slot, GUEST_CRASHED, HILUM_CRASH_NO_MEMORY);
}

/* One that waits: it tries again when there is memory, or ends when there is none for long. */
static void serve_waiting(uint32_t slot)
{
	if (wait[slot].since_ns == 0 || wait[slot].again_ns != 0)
		return;
	if (free_bytes() >= ENOUGH_BYTES && !is_at_limit(guest_at(slot)))
		try_again(slot);
	else if (manager_clock_ns() - wait[slot].since_ns > PATIENCE_NS)
		end_for_want(slot);
}

/* Returns how soon that is to be done again; 0: nobody waits. */
static uint64_t serve_all(void)
{
	bool any = false;

	for (uint32_t slot = 0; slot < CHANNEL_SLOTS; slot++) {
		const struct guest *g = guest_at(slot);
		if (!g->made || g->ended) {
			memset(&wait[slot], 0, sizeof(wait[slot]));
			continue;
		}
		if (wait[slot].doomed) {
			end_for_want(slot);
			return WAIT_PACE_NS; /* that took time, and gave memory */
		}
		serve_waiting(slot);
		any |= tighten(slot) || (wait[slot].since_ns != 0 && wait[slot].again_ns == 0);
	}
	return any ? WAIT_PACE_NS : 0;
}

/* Its vCPUs stand still for good, and what it has in blocks goes back at once. */
static void doom(uint32_t slot)
{
	const struct guest *g = guest_at(slot);

	wait[slot].doomed = true;
	watch_soon();
	for (uint32_t i = 0; i < g->config->vcpus; i++)
		hc(HC_VCPU_PAUSE, g->vcpu[i]);
	hc(HC_MEMORY_LIMIT, g->memory, 0);
	for (uint64_t at = 0; at < g->config->memory_bytes && free_bytes() < ENOUGH_BYTES; at += HILUM_DISCARD_BYTES_MAX) {
		uint64_t left = g->config->memory_bytes - at;
		hc(HC_MEMORY_DISCARD, driver_vm, g->driver_ram + at, left < HILUM_DISCARD_BYTES_MAX ? left : HILUM_DISCARD_BYTES_MAX);
	}
}

static void keep_ballast(void)
{
	if (overcommit == 100 || ballast != 0 || free_bytes() < BALLAST_BYTES + MEMORY_RESERVE_BYTES)
		return;
	int64_t memory = control_memory_create(BALLAST_BYTES, 0);
	ballast = memory > 0 ? (hilum_handle_t)memory : 0;
}

static void drop_ballast(void)
{
	if (ballast != 0)
		hc(HC_HANDLE_CLOSE, ballast);
	ballast = 0;
}

void guest_memory_driver_waits(uint64_t gpa, uint64_t vcpus)
{
	for (uint32_t slot = 0; slot < guest_slots(); slot++) {
		const struct guest *g = guest_at(slot);
		bool its = g->driver_ram != 0 && gpa >= g->driver_ram && gpa - g->driver_ram < g->config->memory_bytes;
		if (its && !wait[slot].doomed && (free_bytes() < ENOUGH_BYTES || is_at_limit(g))) {
			drop_ballast();
			doom(slot);
		}
	}
	if (free_bytes() < ENOUGH_BYTES)
		drop_ballast();
	driver_run_waiting(vcpus);
}

/* ---- Balloons ------------------------------------------------------------------------------------------------------------------- */

uint64_t guest_memory_run(void)
{
	struct memory_figures figures;

	if (next_ns == 0 || manager_clock_ns() < next_ns)
		return next_ns;
	uint64_t pace = serve_all();
	gather(&figures);
	bool pressed = memory_balance(&figures);
	for (unsigned i = 0; i < figures.guests; i++) {
		if (gathered[i].pressure == guest_at(gathered_slot[i])->balloon_pressure)
			continue;
		if (guest_at(gathered_slot[i])->balloon_pressure == 0)
			event_add("vm.balloon", guest_at(gathered_slot[i])->config->name, "memory is short: asked for %lu MiB",
			          MIB(gathered[i].pressure));
		guest_press_balloon(gathered_slot[i], gathered[i].pressure);
	}
	if (pace == 0 && (pressed || memory_is_short_of_promises(&figures)))
		pace = PACE_NS;
	next_ns = pace != 0 ? manager_clock_ns() + pace : 0;
	if (figures.free > 2 * memory_low_water(&figures))
		keep_ballast();
	return next_ns;
}

void guest_memory_figures(struct manager_memory *out)
{
	struct memory_figures figures;

	gather(&figures);
	out->overcommit = overcommit;
	out->promised = memory_promised(&figures);
	out->resident = memory_resident(&figures);
	out->spare = memory_spare(&figures);
}
