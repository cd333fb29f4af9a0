/* The guests' slots: who is in which, how one comes in and goes, and what the control VM asks of its machine. */
#include "drivers-vm/driver/slot_links.h"
#include "drivers-vm/driver/slot_private.h"
#include <stdlib.h>
#include <string.h>

struct slot *slot_table[CHANNEL_SLOTS]; /* made by vCPU 0 at their first use */
static bool incomplete[CHANNEL_SLOTS];  /* there was no memory for a slot: devices of its next guest were lost. vCPU 0 */

/* As slot_at, but makes it; NULL: no memory. vCPU 0. */
static struct slot *slot_use(uint32_t index)
{
	struct slot *s = slot_at(index);

	if (s == NULL && index < CHANNEL_SLOTS) {
		s = calloc(1, sizeof(*s));
		if (s == NULL) {
			service_log("slot %u: no memory for it in the driver VM", index);
			incomplete[index] = true;
		} else {
			s->index = index;
		}
		__atomic_store_n(&slot_table[index], s, __ATOMIC_RELEASE);
	}
	return s;
}

void slot_enter(struct slot *s)
{
	if (s->entered++ == 0)
		service_lock(&s->lock);
}

void slot_leave(struct slot *s)
{
	if (--s->entered == 0)
		service_unlock(&s->lock);
}

/* The slot, with its lock; NULL: no guest runs there. vCPU 0. */
static struct slot *enter_running(uint32_t index)
{
	struct slot *s = slot_at(index);

	if (s == NULL)
		return NULL;
	slot_enter(s);
	if (s->attached && !s->ending)
		return s;
	slot_leave(s);
	return NULL;
}

/* ---- Doorbells ---------------------------------------------------------------------------------------------------------------------- */

static void unbind_doorbell(struct slot *s, uint16_t port)
{
	if (port != 0)
		hc(HC_VM_UNBIND_TRAP, s->vm_handle, port);
}

/*
 * Let the kernel know which ports are doorbells now. Ports that cannot be bound are traps, and work as such. What is bound is noted
 * before it is, for a driver VM that comes after this one.
 */
void slot_rebind_doorbells(struct slot *s)
{
	s->doorbells_changed = false;
	for (unsigned i = 0; i < s->state->machine.virtios; i++) {
		uint16_t port = virtio_pci_doorbell(s->state->machine.virtio[i]);
		if (port == s->state->doorbell[i])
			continue;
		unbind_doorbell(s, s->state->doorbell[i]);
		s->state->doorbell[i] = port;
		virtqueue_order();
		if (port != 0)
			hc(HC_VM_BIND_TRAP, s->vm_handle, s->doorbell_event, port, port + VIRTIO_PCI_NOTIFY_BYTES - 1u);
	}
}

void slots_doorbell(uint32_t doorbell)
{
	for (uint32_t index = doorbell; index < CHANNEL_SLOTS; index += CHANNEL_DOORBELLS) {
		struct slot *s = enter_running(index);
		if (s == NULL)
			continue;
		machine_serve(&s->state->machine);
		slot_leave(s);
	}
}

/* ---- Guests come and go ------------------------------------------------------------------------------------------------------------ */

void slot_add_device(uint32_t index, const struct channel_message *m)
{
	struct slot *s = slot_use(index);

	if (s == NULL || s->attached)
		return;
	if (m->kind == CHANNEL_DISK)
		slot_devices_add_disk(&s->devices, m);
	else if (m->kind == CHANNEL_LINK)
		slot_devices_add_link(&s->devices, m);
	else
		slot_devices_add_nic(&s->devices, m);
}

/* All but the lock: another vCPU may have it, to see that the guest before is gone. */
static void slot_clear(struct slot *s, const struct channel_message *m)
{
	const struct slot_devices devices = s->devices;

	memset(&s->attached, 0, sizeof(*s) - offsetof(struct slot, attached));
	s->devices = devices;
	s->index = m->slot;
	slot_set_deadline(s, 0);
	s->vm_handle = m->attach.vm_handle;
	s->vcpus = m->attach.vcpus;
	s->physical_bits = m->attach.physical_bits;
	s->doorbell_event = m->attach.doorbell_event;
	s->ram = m->attach.ram_gpa;
	s->low_bytes = m->attach.low_bytes;
	s->high_bytes = m->attach.high_bytes;
	memcpy(s->name, m->attach.name, sizeof(s->name) - 1);
	slot_host_init(s);
}

static void slot_forget(struct slot *s)
{
	state_area_forget(&s->area);
	slot_links_leave(s);
	slot_devices_leave(&s->devices);
	slot_devices_free(&s->devices);
	hc(HC_HANDLE_CLOSE, s->vm_handle);
	hc(HC_HANDLE_CLOSE, s->doorbell_event);
}

/* The state's memory. */
static bool slot_open(struct slot *s, bool resume)
{
	void *at = (void *)channel_state_place(s->index);
	uint64_t layout = sizeof(struct slot_state) ^ slot_devices_layout() << 20;
	bool open = state_area_open(&s->area, at, CHANNEL_STATE_BYTES, layout, resume);

	s->state = open ? state_area_take(&s->area, 1, sizeof(*s->state)) : NULL;
	if (s->state == NULL)
		service_log("vm %s: %s", s->name, open ? "no memory for its devices' state" : "its devices' state is lost");
	return s->state != NULL;
}

/* The machine is made: it goes on where it stood. */
static void slot_adopt(struct slot *s, const struct machine_config *config)
{
	const struct slot_state *old = state_area_old(&s->area, s->state);
	struct machine_config behind;

	slot_devices_old(&s->area, config, &behind);
	s->state->crashing = model_flag(&old->crashing);
	for (unsigned i = 0; i < MACHINE_VIRTIOS; i++)
		s->state->doorbell[i] = old->doorbell[i];
	machine_adopt(&s->state->machine, &old->machine, &behind);
}

static void slot_resume(struct slot *s)
{
	slot_enter(s);
	/* They are bound to an event of the driver VM that is gone. */
	for (unsigned i = 0; i < MACHINE_VIRTIOS; i++) {
		unbind_doorbell(s, s->state->doorbell[i]);
		s->state->doorbell[i] = 0;
	}
	machine_resume(&s->state->machine);
	slot_rebind_doorbells(s);
	slot_leave(s);
	s->host.kick(s); /* for those that rang meanwhile */
}

static bool slot_make(struct slot *s, const struct channel_message *m, struct machine_config *config)
{
	bool resume = m->attach.flags & CHANNEL_VM_RESUME;

	if (!slot_open(s, resume))
		return false;
	if (!service_map_memory(s->ram, s->low_bytes + s->high_bytes)) {
		service_log("vm %s: the driver VM has no memory for the tables of its RAM", s->name);
		return false;
	}
	if (!slot_devices_make(&s->devices, &s->area, m, config))
		return false;
	s->state->start_tsc = service_tsc();
	if (resume) {
		const struct slot_state *old = state_area_old(&s->area, s->state);
		s->state->start_tsc = old->start_tsc < s->state->start_tsc ? old->start_tsc : s->state->start_tsc;
	}
	s->console = config->virtio_console ? MACHINE_CONSOLE_VIRTIO : MACHINE_CONSOLE_SERIAL;
	machine_init(&s->state->machine, config, &s->host);
	if (resume)
		slot_adopt(s, config);
	state_area_commit(&s->area);
	return slot_devices_join(&s->devices, s->name);
}

bool slot_attach(uint32_t index, const struct channel_message *m)
{
	struct slot *s = slot_use(index);
	struct machine_config config = {
		.vcpus = m->attach.vcpus,
		.present = m->attach.present,
		.serial = m->attach.serial,
		.watchdog = m->attach.flags & CHANNEL_VM_WATCHDOG,
		.virtio_console = m->attach.console == CHANNEL_CONSOLE_VIRTIO,
		.debug_exit_port = (uint16_t)m->attach.debug_exit,
		.debug_crash_port = (uint16_t)m->attach.debug_crash,
		.rtc_epoch_seconds = slots_wall_clock(),
	};

	if (s == NULL || s->attached || !service_map_memory(channel_trap_page(index, 0), CHANNEL_SLOT_STRIDE)) {
		service_log("vm %.31s: the driver VM has no memory for it", m->attach.name);
		hc(HC_HANDLE_CLOSE, m->attach.vm_handle);
		hc(HC_HANDLE_CLOSE, m->attach.doorbell_event);
		return false;
	}
	slot_clear(s, m);
	s->devices.incomplete |= incomplete[index];
	slot_record_open(s, m->attach.flags & CHANNEL_VM_RESUME);
	if (!slot_make(s, m, &config)) {
		slot_forget(s);
		return false;
	}
	s->attached = true;
	slot_links_join(s);
	slot_note_input(index);
	if (m->attach.flags & CHANNEL_VM_RESUME)
		slot_resume(s);
	return true;
}

void slot_detach(uint32_t index)
{
	struct slot *s = slot_at(index);

	if (index < CHANNEL_SLOTS)
		incomplete[index] = false;
	if (s == NULL)
		return;
	service_lock(&s->lock);
	bool attached = s->attached;
	if (attached)
		machine_flush(&s->state->machine);
	s->attached = false;
	slot_set_deadline(s, 0);
	service_unlock(&s->lock);
	if (!attached) {
		slot_devices_free(&s->devices);
		return;
	}
	slot_devices_leave(&s->devices);
	while (machine_is_busy(&s->state->machine))
		slot_devices_poll(&s->devices);
	slot_forget(s);
}

/* ---- What is asked of a guest's machine --------------------------------------------------------------------------------------------- */

size_t slot_input(uint32_t index, const uint8_t *bytes, size_t count)
{
	struct slot *s = enter_running(index);

	if (s == NULL)
		return count; /* of a guest that is gone: dropped */
	size_t taken = machine_console_input(&s->state->machine, s->console, bytes, count);
	slot_leave(s);
	return taken;
}

void slot_press_button(uint32_t index)
{
	struct slot *s = enter_running(index);

	if (s == NULL)
		return;
	machine_set_gsi(&s->state->machine, PLATFORM_POWER_BUTTON_GSI, true);
	machine_set_gsi(&s->state->machine, PLATFORM_POWER_BUTTON_GSI, false);
	slot_leave(s);
}

void slot_set_balloon(uint32_t index, uint64_t pages)
{
	struct slot *s = enter_running(index);

	if (s == NULL)
		return;
	if (s->devices.balloon != NULL && pages <= UINT32_MAX)
		virtio_balloon_set_target(s->devices.balloon, (uint32_t)pages);
	slot_leave(s);
}

void slot_touch_watchdog(uint32_t index)
{
	struct slot *s = enter_running(index);

	if (s == NULL)
		return;
	watchdog_touch(&s->state->machine.watchdog);
	slot_leave(s);
}

void slot_set_vcpus(uint32_t index, uint64_t present, uint64_t shall_go)
{
	struct slot *s = enter_running(index);

	if (s == NULL)
		return;
	machine_set_vcpus(&s->state->machine, present, shall_go);
	slot_leave(s);
}
