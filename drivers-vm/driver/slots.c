/* Traps and timers of the guests' machines. A guest's bytes reach nothing but its own slot. */
#include "drivers-vm/driver/slots.h"
#include "drivers-vm/driver/slot_links.h"
#include "drivers-vm/driver/deadlines.h"
#include "drivers-vm/driver/entropy.h"
#include "drivers-vm/lib/insn_guest.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct slot *slots[CHANNEL_SLOTS];  /* made by vCPU 0 at their first use */
static bool incomplete[CHANNEL_SLOTS];     /* there was no memory for a slot: devices of its next guest were lost. vCPU 0 */
static struct service_lock deadlines_lock; /* taken with a slot's lock held, or with none */
static struct deadlines deadlines;         /* host TSC, of each slot with a timer that runs */

#define UNSUPPORTED_LOGGED 8u /* lines a guest may cause so */

/* ---- The machine's surroundings ------------------------------------------------------------------------------------------------ */

static uint64_t host_now(void *ctx)
{
	struct slot *s = ctx;

	return service_tsc_to_ns(service_tsc() - s->state->start_tsc);
}

struct slot *slot_at(uint32_t index)
{
	return index < CHANNEL_SLOTS ? __atomic_load_n(&slots[index], __ATOMIC_ACQUIRE) : NULL;
}

/* Likewise, but makes it; NULL: no memory. vCPU 0. */
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
		__atomic_store_n(&slots[index], s, __ATOMIC_RELEASE);
	}
	return s;
}

static uint64_t tsc_of(const struct slot *s, uint64_t ns)
{
	return s->state->start_tsc + service_ns_to_tsc(ns) + 1;
}

/* 0: none of its timers runs. With its lock. */
static void set_deadline(const struct slot *s, uint64_t deadline_tsc)
{
	service_lock(&deadlines_lock);
	deadlines_set(&deadlines, s->index, deadline_tsc);
	service_unlock(&deadlines_lock);
}

static void host_timer_arm(void *ctx, unsigned timer, uint64_t deadline_ns)
{
	struct slot *s = ctx;

	s->deadline_ns[timer] = deadline_ns;
	if (deadline_ns == 0)
		return;
	if (s->next_ns != 0 && deadline_ns >= s->next_ns)
		return;
	s->next_ns = deadline_ns;
	set_deadline(s, tsc_of(s, deadline_ns));
	timers_changed(tsc_of(s, deadline_ns));
}

static void host_inject(void *ctx, uint64_t address, uint32_t data)
{
	struct slot *s = ctx;

	hc(HC_VM_INJECT_MSI, s->vm_handle, address, data);
}

static void host_intr(void *ctx, bool level)
{
	struct slot *s = ctx;

	hc(HC_VM_SET_EXTINT, s->vm_handle, level);
}

static void *host_ram(void *ctx, uint64_t gpa, uint64_t bytes)
{
	struct slot *s = ctx;

	if (gpa < s->low_bytes && bytes <= s->low_bytes - gpa)
		return (void *)(uintptr_t)(s->ram + gpa);
	gpa -= PLATFORM_HIGH_RAM_BASE;
	if (gpa < s->high_bytes && bytes <= s->high_bytes - gpa)
		return (void *)(uintptr_t)(s->ram + s->low_bytes + gpa);
	return NULL;
}

/* A device that is at work would find no memory there; what it begins later is touched by us first. */
static bool host_discard(void *ctx, void *bytes, uint64_t count)
{
	struct slot *s = ctx;
	uint64_t offset = (uintptr_t)bytes - s->ram;
	uint64_t gpa = offset < s->low_bytes ? offset : offset - s->low_bytes + PLATFORM_HIGH_RAM_BASE;

	for (uint64_t at = 0, piece; at < count; at += piece) {
		piece = count - at < HILUM_DISCARD_BYTES_MAX ? count - at : HILUM_DISCARD_BYTES_MAX;
		if (machine_is_busy(&s->state->machine) || hc(HC_MEMORY_DISCARD, s->vm_handle, gpa + at, piece) != 0)
			return false;
	}
	return true;
}

static void host_console_write(void *ctx, unsigned console, const uint8_t *bytes, size_t count)
{
	struct slot *s = ctx;

	console_output(s->index, console, bytes, count);
}

static void host_console_ready(void *ctx, unsigned console)
{
	struct slot *s = ctx;

	console_room(s->index, console);
}

/* Acted on once the machine's call has returned. */
static void host_doorbells_changed(void *ctx)
{
	struct slot *s = ctx;

	s->doorbells_changed = true;
}

static void host_kick(void *ctx)
{
	struct slot *s = ctx;

	hc(HC_EVENT_SIGNAL, s->doorbell_event);
}

static void host_ring_peer(void *ctx, uint32_t number, unsigned vector)
{
	slot_links_note(ctx, number, vector);
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

static void host_enter(void *ctx)
{
	slot_enter(ctx);
}

static void host_leave(void *ctx)
{
	slot_leave(ctx);
}

static size_t host_entropy(void *ctx, void *to, size_t count)
{
	(void)ctx;
	return entropy_read(to, count);
}

/*
 * For tests, where the configuration gives a port for it: 1 is a crash and 2 a hang, here, with the lock held; 3 asks the control VM for
 * a fresh driver VM, which strikes wherever the others are. In the driver VM that comes after it, the same write comes again. 4 is a crash
 * of the control VM, 5 a hang, 6 a crash after whatever it executes some milliseconds later, 8 a wait without end; 7 are crashes of both.
 */
static void debug_crash(struct slot *s, uint32_t value)
{
	bool again = s->state->crashing;

	s->state->crashing = !again && (value == 1 || value == 2 || value == 7);
	if (value == 3)
		control_request(s->index, CHANNEL_REQUEST_RESTART, 0);
	if (value >= 4 && value <= 6)
		control_request(s->index, CHANNEL_REQUEST_CONTROL, CHANNEL_CONTROL_CRASH + (value - 4));
	if (value == 8)
		control_request(s->index, CHANNEL_REQUEST_CONTROL, CHANNEL_CONTROL_WAIT);
	if (!s->state->crashing)
		return;
	if (value == 7)
		control_request(s->index, CHANNEL_REQUEST_CONTROL, CHANNEL_CONTROL_CRASH);
	if (value == 1 || value == 7)
		runtime_abort("a guest has written to its debug_crash port");
	for (;;)
		__asm__ volatile("pause");
}

static void host_request(void *ctx, enum model_request request, uint32_t value)
{
	struct slot *s = ctx;
	static const enum channel_request as[] = {
		[MODEL_REQUEST_POWER_OFF] = CHANNEL_REQUEST_POWER_OFF,   [MODEL_REQUEST_RESET] = CHANNEL_REQUEST_RESET,
		[MODEL_REQUEST_DEBUG_EXIT] = CHANNEL_REQUEST_DEBUG_EXIT, [MODEL_REQUEST_WATCHDOG] = CHANNEL_REQUEST_GUEST_WATCHDOG,
		[MODEL_REQUEST_EJECT] = CHANNEL_REQUEST_EJECT,
	};

	if (request == MODEL_REQUEST_DEBUG_CRASH) {
		debug_crash(s, value);
		return;
	}
	if (s->ending)
		return;
	s->ending = request != MODEL_REQUEST_WATCHDOG && request != MODEL_REQUEST_EJECT;
	control_request(s->index, as[request], value);
}

static void host_log(void *ctx, const char *format, ...)
{
	struct slot *s = ctx;
	char line[160];
	va_list args;

	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	service_log("vm %s: %s", s->name, line);
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
static void rebind_doorbells(struct slot *s)
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

/* ---- Commands ----------------------------------------------------------------------------------------------------------------------- */

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
	set_deadline(s, 0);
	s->vm_handle = m->attach.vm_handle;
	s->vcpus = m->attach.vcpus;
	s->physical_bits = m->attach.physical_bits;
	s->doorbell_event = m->attach.doorbell_event;
	s->ram = m->attach.ram_gpa;
	s->low_bytes = m->attach.low_bytes;
	s->high_bytes = m->attach.high_bytes;
	memcpy(s->name, m->attach.name, sizeof(s->name) - 1);
	s->host = (struct model_host){
		.ctx = s,
		.now_ns = host_now,
		.timer_arm = host_timer_arm,
		.inject_msi = host_inject,
		.set_intr_line = host_intr,
		.guest_ram = host_ram,
		.discard = host_discard,
		.console_write = host_console_write,
		.console_ready = host_console_ready,
		.doorbells_changed = host_doorbells_changed,
		.kick = host_kick,
		.ring_peer = host_ring_peer,
		.enter = host_enter,
		.leave = host_leave,
		.entropy = host_entropy,
		.request = host_request,
		.log = host_log,
	};
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
	rebind_doorbells(s);
	slot_leave(s);
	host_kick(s); /* for those that rang meanwhile */
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
	set_deadline(s, 0);
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

/* ---- Traps ---------------------------------------------------------------------------------------------------------------------------- */

static uint64_t emulate_mmio_read(void *opaque, uint64_t gpa, unsigned bytes)
{
	struct slot *s = opaque;

	return machine_mmio_read(&s->state->machine, gpa, bytes);
}

static void emulate_mmio_write(void *opaque, uint64_t gpa, unsigned bytes, uint64_t value)
{
	struct slot *s = opaque;

	machine_mmio_write(&s->state->machine, gpa, bytes, value);
}

static uint32_t emulate_port_read(void *opaque, uint16_t port, unsigned bytes)
{
	struct slot *s = opaque;

	return machine_port_read(&s->state->machine, port, bytes);
}

static void emulate_port_write(void *opaque, uint16_t port, unsigned bytes, uint32_t value)
{
	struct slot *s = opaque;

	machine_port_write(&s->state->machine, port, bytes, value);
}

static void emulate(struct slot *s, struct hilum_trap *page)
{
	static const struct insn_guest_host host = {
		.ram = host_ram,
		.mmio_read = emulate_mmio_read,
		.mmio_write = emulate_mmio_write,
		.port_read = emulate_port_read,
		.port_write = emulate_port_write,
	};
	const struct insn_guest_config config = {
		.host = &host,
		.opaque = s,
		.physical_bits = s->physical_bits,
		.has_1g_pages = true,
	};
	uint64_t rip = page->rip;

	if (insn_guest_emulate(&config, page) == INSN_UNSUPPORTED && s->unsupported++ < UNSUPPORTED_LOGGED)
		service_log("vm %s: instruction at %#lx cannot be emulated: #UD", s->name, (unsigned long)rip);
}

void slots_doorbell(uint32_t doorbell)
{
	for (uint32_t index = doorbell; index < CHANNEL_SLOTS; index += CHANNEL_DOORBELLS) {
		struct slot *s = slot_at(index);
		if (s == NULL || !s->attached)
			continue;
		slot_enter(s);
		if (!s->ending)
			machine_serve(&s->state->machine);
		slot_leave(s);
	}
}

bool slot_trap(const struct hypercall_trap *t)
{
	struct slot *s = slot_at((uint32_t)t->badge);
	struct hilum_trap *page = (struct hilum_trap *)channel_trap_page((uint32_t)t->badge, t->vcpu);
	struct slot_ring rings[MODEL_LINKS];

	if (s == NULL)
		return false;
	service_lock(&s->lock);
	/* It may have come for the guest that was in the slot before, and been overtaken by that one's end. */
	if (!s->attached || s->ending || t->badge != channel_badge(s->index, s->vm_handle)) {
		service_unlock(&s->lock);
		return false;
	}
	switch (t->kind) {
	case HILUM_TRAP_PORT:
		if (t->write)
			machine_port_write(&s->state->machine, (uint16_t)t->address, t->size, (uint32_t)t->value);
		else
			page->value = machine_port_read(&s->state->machine, (uint16_t)t->address, t->size);
		break;
	case HILUM_TRAP_STRING:
	case HILUM_TRAP_MMIO:
		emulate(s, page);
		break;
	case HILUM_TRAP_EOI:
		machine_eoi(&s->state->machine, (uint8_t)t->value);
		break;
	case HILUM_TRAP_INTACK:
		page->value = (uint64_t)machine_pic_acknowledge(&s->state->machine);
		break;
	default:
		break;
	}
	if (s->doorbells_changed)
		rebind_doorbells(s);
	bool answer = !s->ending;
	unsigned rung = s->rings != 0 ? slot_links_take(s, rings) : 0;
	service_unlock(&s->lock);
	slot_links_ring(rings, rung);
	return answer;
}

size_t slot_input(uint32_t index, const uint8_t *bytes, size_t count)
{
	struct slot *s = slot_at(index);
	size_t taken = count; /* of a guest that is gone: dropped */

	if (s == NULL)
		return taken;
	service_lock(&s->lock);
	if (s->attached && !s->ending)
		taken = machine_console_input(&s->state->machine, s->console, bytes, count);
	service_unlock(&s->lock);
	return taken;
}

void slot_press_button(uint32_t index)
{
	struct slot *s = slot_at(index);

	if (s == NULL)
		return;
	slot_enter(s);
	if (s->attached && !s->ending) {
		machine_set_gsi(&s->state->machine, PLATFORM_POWER_BUTTON_GSI, true);
		machine_set_gsi(&s->state->machine, PLATFORM_POWER_BUTTON_GSI, false);
	}
	slot_leave(s);
}

void slot_set_balloon(uint32_t index, uint64_t pages)
{
	struct slot *s = slot_at(index);

	if (s == NULL)
		return;
	slot_enter(s);
	if (s->attached && !s->ending && s->devices.balloon != NULL && pages <= UINT32_MAX)
		virtio_balloon_set_target(s->devices.balloon, (uint32_t)pages);
	slot_leave(s);
}

void slot_touch_watchdog(uint32_t index)
{
	struct slot *s = slot_at(index);

	if (s == NULL)
		return;
	slot_enter(s);
	if (s->attached && !s->ending)
		watchdog_touch(&s->state->machine.watchdog);
	slot_leave(s);
}

void slot_set_vcpus(uint32_t index, uint64_t present, uint64_t shall_go)
{
	struct slot *s = slot_at(index);

	if (s == NULL)
		return;
	slot_enter(s);
	if (s->attached && !s->ending)
		machine_set_vcpus(&s->state->machine, present, shall_go);
	slot_leave(s);
}

static uint64_t run_timers_of(struct slot *s)
{
	uint64_t now, next = 0;

	if (s->next_ns == 0)
		return 0;
	now = host_now(s);
	if (s->next_ns > now)
		return tsc_of(s, s->next_ns);
	for (unsigned i = 0; i < MODEL_TIMER_COUNT; i++) {
		if (s->deadline_ns[i] != 0 && s->deadline_ns[i] <= now) {
			s->deadline_ns[i] = 0;
			machine_timer(&s->state->machine, i);
		}
	}
	for (unsigned i = 0; i < MODEL_TIMER_COUNT; i++)
		if (s->deadline_ns[i] != 0 && (next == 0 || s->deadline_ns[i] < next))
			next = s->deadline_ns[i];
	s->next_ns = next;
	return next != 0 ? tsc_of(s, next) : 0;
}

/* The slot that is to be looked at first; NULL: none. */
static struct slot *first_due(uint64_t *deadline_tsc)
{
	unsigned index = 0;

	service_lock(&deadlines_lock);
	*deadline_tsc = deadlines_first(&deadlines, &index);
	service_unlock(&deadlines_lock);
	return *deadline_tsc != 0 ? slot_at(index) : NULL;
}

uint64_t slots_run_timers(void)
{
	uint64_t now = service_tsc(), first;
	struct slot *s;

	while ((s = first_due(&first)) != NULL && first <= now) {
		slot_enter(s);
		uint64_t next = s->attached && !s->ending ? run_timers_of(s) : 0;
		/* One that is late already has its next turn after all others. */
		set_deadline(s, next != 0 && next <= now ? now + 1 : next);
		slot_leave(s);
	}
	return first;
}
