/* The driver VM: made from its boot module, given the host's serial line and the kernel's log, and talked to. */
#include "drivers-vm/control/control.h"
#include "drivers-vm/control/device.h"
#include "drivers-vm/control/firmware.h"
#include "drivers-vm/control/host_health.h"
#include "drivers-vm/control/net/port_setup.h"
#include "drivers-vm/control/guard.h"
#include "drivers-vm/control/guest.h"
#include "drivers-vm/control/guest_memory.h"
#include "drivers-vm/control/recover.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COM2_PORT 0x2F8u

#define CMOS_PORT_INDEX 0x70u /* and the data port after it */

hilum_handle_t driver_vm;
uint64_t driver_wall_clock_ns;
static struct channel *channel;
static uint32_t channel_taken;
static uint64_t log_from; /* the kernel's log up to there is printed for certain */

/* What a started driver VM is made of; handles that are 0 are not there. */
struct driver_parts {
	const struct hilum_image_header *image;
	hilum_handle_t memory, channel_memory, shared, status_event, serial_event, log_event, timer_event, answer_event;
	hilum_handle_t vcpu[HILUM_MAX_VCPUS], beat_event[HILUM_MAX_VCPUS]; /* vCPU 0's is also the command event */
	uint32_t vcpus;
	uint8_t beat_seen[HILUM_MAX_VCPUS], beats_missed[HILUM_MAX_VCPUS];
	bool beat_asked[HILUM_MAX_VCPUS];
	uint64_t asked_by_guest[HILUM_MAX_VCPUS]; /* guest_core_is_undisturbed's */
};

static struct driver_parts parts;
static bool lost; /* it does not answer any more */

static bool fail(const char *what, int64_t error)
{
	service_log("driver VM: %s: %s", what, control_error(error));
	return false;
}

static const struct hilum_image_header *driver_image(void)
{
	const struct module *m = module_find("driver");
	const struct hilum_image_header *h = m != NULL ? (const void *)m->data : NULL;

	if (m == NULL) {
		service_log("no boot module is named 'driver': add 'module2 /boot/driver.bin driver' to the boot loader's menu");
		return NULL;
	}
	if (m->bytes < sizeof(*h) || h->magic != HILUM_IMAGE_MAGIC || h->image_bytes != m->bytes || h->abi_version != HILUM_ABI_VERSION ||
	    h->load_gpa > h->memory_bytes || h->image_bytes > h->memory_bytes - h->load_gpa ||
	    ((h->load_gpa | h->memory_bytes) & 0x1FFFFF)) {
		service_log("boot module 'driver' is no service image of this build: use the driver.bin built with this kernel");
		return NULL;
	}
	return h;
}

int64_t driver_map(hilum_handle_t memory, uint64_t gpa, uint64_t bytes)
{
	return hc(HC_MEMORY_MAP, driver_vm, memory, gpa, 0, bytes, HILUM_MAP_READ | HILUM_MAP_WRITE);
}

int64_t driver_unmap(uint64_t gpa, uint64_t bytes)
{
	return hc(HC_MEMORY_UNMAP, driver_vm, gpa, bytes);
}

static bool map_memory(struct driver_parts *p)
{
	int64_t memory = control_memory_create(p->image->memory_bytes, 0);
	uint8_t *at;

	if (memory < 0)
		return fail("memory", memory);
	p->memory = (hilum_handle_t)memory;
	if (!control_map_here(p->memory, p->image->memory_bytes, &at))
		return fail("mapping its memory", HILUM_E_NO_MEMORY);
	memcpy(at + p->image->load_gpa, p->image, p->image->image_bytes);
	control_unmap_here(at, p->image->memory_bytes);
	int64_t error = hc(HC_MEMORY_MAP, driver_vm, p->memory, 0, 0, p->image->memory_bytes,
	                   HILUM_MAP_READ | HILUM_MAP_WRITE | HILUM_MAP_EXECUTE);
	if (error < 0)
		return fail("mapping its memory", error);
	int64_t shared = hc(HC_VM_SHARED_MEMORY, driver_vm);
	p->shared = shared > 0 ? (hilum_handle_t)shared : 0;
	if (shared < 0 || (error = driver_map(p->shared, HILUM_SERVICE_SHARED_GPA, 4096)) < 0)
		return fail("its shared page", shared < 0 ? shared : error);
	error = hc(HC_MEMORY_MAP, driver_vm, HILUM_HANDLE_LOG, CHANNEL_LOG_GPA, 0, 4096 + 65536, HILUM_MAP_READ);
	if (error < 0)
		return fail("the kernel's log", error);
	return true;
}

#define CHANNEL_HERE 0x90000000ull /* of the control VM */

static bool make_channel(struct driver_parts *p)
{
	int64_t memory = control_memory_create(4096, 0);
	const uint64_t here = CHANNEL_HERE;

	if (memory < 0)
		return fail("channel", memory);
	p->channel_memory = (hilum_handle_t)memory;
	int64_t error = hc(HC_MEMORY_MAP, HILUM_HANDLE_SELF, memory, here, 0, 4096, HILUM_MAP_READ | HILUM_MAP_WRITE);
	if (error >= 0)
		error = driver_map(p->channel_memory, CHANNEL_GPA, 4096);
	if (error < 0)
		return fail("channel", error);
	channel = (struct channel *)here;
	channel_taken = 0;
	return true;
}

static bool start_vcpu(struct driver_parts *p, uint32_t index)
{
	struct hilum_vcpu_state *s = calloc(1, sizeof(*s));
	const struct hilum_segment data = { .limit = 0xFFFFFFFF, .selector = 0x10, .attributes = 0xC93 };
	int64_t vcpu = hc(HC_VCPU_CREATE, driver_vm, index, index, 256);

	if (vcpu < 0 || s == NULL) {
		free(s);
		return fail("vCPU", vcpu < 0 ? vcpu : HILUM_E_NO_MEMORY);
	}
	p->vcpu[index] = (hilum_handle_t)vcpu;
	s->rip = p->image->entry;
	s->gpr[3] = index;
	s->rflags = 2;
	s->cr0 = 0x11;
	s->xcr0 = 1;
	s->cs = (struct hilum_segment){ .limit = 0xFFFFFFFF, .selector = 0x08, .attributes = 0xC9B };
	s->ds = s->es = s->fs = s->gs = s->ss = data;
	s->tr = (struct hilum_segment){ .limit = 0xFFFF, .attributes = 0x8B };
	s->ldtr = (struct hilum_segment){ .limit = 0xFFFF, .attributes = 0x82 };
	s->activity = HILUM_ACTIVITY_RUN;
	int64_t error = hc(HC_VCPU_SET_STATE, vcpu, (uintptr_t)s,
	                   HILUM_STATE_GPR | HILUM_STATE_SEGMENTS | HILUM_STATE_CR | HILUM_STATE_EVENTS);
	free(s);
	if (error >= 0)
		error = hc(HC_VCPU_RUN, vcpu);
	return error >= 0 || fail("starting it", error);
}

/* The event that wakes the driver VM's vCPU with `bit`; the driver VM gets a handle where it must signal itself. */
static bool driver_event(hilum_handle_t *event, uint32_t vcpu, unsigned bit)
{
	int64_t made = hc(HC_EVENT_CREATE, driver_vm, vcpu, bit, 0);

	*event = made > 0 ? (hilum_handle_t)made : 0;
	return made > 0;
}

static bool make_events(struct driver_parts *p)
{
	int64_t answer = control_event(CONTROL_EVENT_DRIVER);
	bool ok = driver_event(&p->serial_event, 0, CHANNEL_EVENT_SERIAL) && driver_event(&p->log_event, 0, CHANNEL_EVENT_LOG) &&
	          driver_event(&p->timer_event, 0, CHANNEL_EVENT_TIMER) && answer > 0;

	p->answer_event = answer > 0 ? (hilum_handle_t)answer : 0;
	for (uint32_t i = 0; i < p->vcpus && ok; i++)
		ok = driver_event(&p->beat_event[i], i, i == 0 ? CHANNEL_EVENT_COMMAND : CHANNEL_EVENT_BEAT);
	return ok || fail("events", HILUM_E_NO_MEMORY);
}

static bool setup(struct driver_parts *p, const char *show)
{
	struct channel_message m = { .kind = CHANNEL_SETUP };

	if (!make_events(p))
		return false;
	if (control_host.serial_port != 0) {
		int64_t error = hc(HC_IRQ_BIND, HILUM_HANDLE_HOST, firmware_gsi(control_host.serial_port == COM2_PORT ? 3 : 4),
		                   p->serial_event);
		if (error < 0)
			fail("the serial line's interrupt", error);
		m.setup.serial_port = control_host.serial_port;
		m.setup.serial_event = (uint32_t)hc(HC_HANDLE_GRANT, driver_vm, p->serial_event, HILUM_RIGHT_SIGNAL);
	}
	m.setup.timer_event = (uint32_t)hc(HC_HANDLE_GRANT, driver_vm, p->timer_event, HILUM_RIGHT_SIGNAL);
	m.setup.control_event = (uint32_t)hc(HC_HANDLE_GRANT, driver_vm, p->answer_event, HILUM_RIGHT_SIGNAL);
	m.setup.self = (uint32_t)hc(HC_HANDLE_GRANT, driver_vm, driver_vm, HILUM_RIGHT_BIND | HILUM_RIGHT_READ);
	snprintf(m.setup.show, sizeof(m.setup.show), "%s", show != NULL ? show : "");
	uint64_t written = (uint64_t)hc(HC_HOST_LOG_TAKE, HILUM_HANDLE_HOST, p->log_event);
	if (log_from == 0)
		log_from = written; /* the kernel has printed it */
	m.setup.log_position = log_from;
	return driver_call(&m, CHANNEL_READY, 10000000000ull) || fail("setting it up", HILUM_E_BUSY);
}

bool driver_start(const char *show)
{
	struct driver_parts *p = &parts;
	struct hilum_vm_config config = { .flags = HILUM_VM_REALTIME | HILUM_VM_DEVICES | HILUM_VM_NO_FPU | HILUM_VM_WAIT_MEMORY,
		                          .name = "driver" };

	*p = (struct driver_parts){ .image = driver_image() };
	lost = false;
	if (p->image == NULL)
		return false;
	int64_t status = control_event(CONTROL_EVENT_DRIVER_STATUS);
	p->status_event = status > 0 ? (hilum_handle_t)status : 0;
	config.status_event = p->status_event;
	int64_t vm = status < 0 ? status : hc(HC_VM_CREATE, HILUM_HANDLE_HOST, (uintptr_t)&config);
	if (vm < 0)
		return fail("creating it", vm);
	driver_vm = (hilum_handle_t)vm;
	if (!map_memory(p) || !make_channel(p))
		return false;
	if (control_host.serial_port != 0)
		hc(HC_VM_GRANT_PORTS, driver_vm, HILUM_HANDLE_HOST, control_host.serial_port, 8);
	hc(HC_VM_GRANT_PORTS, driver_vm, HILUM_HANDLE_HOST, CMOS_PORT_INDEX, 2);
	p->vcpus = control_host.core_count < HILUM_MAX_VCPUS ? control_host.core_count : HILUM_MAX_VCPUS;
	for (uint32_t i = 0; i < p->vcpus; i++)
		if (!start_vcpu(p, i))
			return false;
	return setup(p, show);
}

static void close(hilum_handle_t *handle)
{
	if (*handle != 0)
		hc(HC_HANDLE_CLOSE, *handle);
	*handle = 0;
}

/* What it had left to say, and how far it had come with the log. It may say anything. */
static void take_last_words(void)
{
	uint64_t printed = __atomic_load_n(&channel->to_control.log_position, __ATOMIC_RELAXED);
	uint64_t written = (uint64_t)hc(HC_HOST_LOG_TAKE, HILUM_HANDLE_HOST, 0);

	driver_poll();
	if (printed > log_from && printed <= written)
		log_from = printed;
}

void driver_stop(void)
{
	struct driver_parts *p = &parts;

	for (uint32_t i = 0; i < p->vcpus; i++)
		if (p->vcpu[i] != 0)
			hc(HC_VCPU_PAUSE, p->vcpu[i]);
	devices_stop();
	if (channel != NULL)
		take_last_words();
	port_stop();
	hc(HC_VM_DESTROY, driver_vm);
	driver_vm = 0;
	if (channel != NULL)
		hc(HC_MEMORY_UNMAP, HILUM_HANDLE_SELF, CHANNEL_HERE, 4096);
	channel = NULL;
	hilum_handle_t *const handles[] = { &p->memory,       &p->channel_memory, &p->shared,      &p->status_event,
		                            &p->serial_event, &p->log_event,      &p->timer_event, &p->answer_event };
	for (unsigned i = 0; i < sizeof(handles) / sizeof(handles[0]); i++)
		close(handles[i]);
	for (uint32_t i = 0; i < HILUM_MAX_VCPUS; i++) {
		close(&p->vcpu[i]);
		close(&p->beat_event[i]);
	}
	__atomic_fetch_and(&service_shared()->pending[0][0], ~(1ull << CONTROL_EVENT_DRIVER_STATUS | 1ull << CONTROL_EVENT_DRIVER),
	                   __ATOMIC_ACQ_REL);
}

void driver_run_waiting(uint64_t vcpus)
{
	for (uint32_t i = 0; i < parts.vcpus; i++)
		if (vcpus >> i & 1) {
			hc(HC_VCPU_PAUSE, parts.vcpu[i]); /* it has really stopped then */
			hc(HC_VCPU_RUN, parts.vcpu[i]);
		}
}

const char *driver_ending(void)
{
	struct hilum_vm_status status;

	if (driver_vm == 0 || hc(HC_VM_STATUS, driver_vm, (uintptr_t)&status) < 0)
		return NULL;
	if (status.memory_stops != 0)
		guest_memory_driver_waits(status.memory_gpa, status.memory_stops);
	if (status.state != HILUM_VM_CRASHED)
		return NULL;
	lost = true;
	return control_crash(status.crash);
}

bool driver_is_lost(void)
{
	return lost;
}

/* While something is waited for: whether it can still come. */
static bool is_alive(void)
{
	const uint64_t bit = 1ull << CONTROL_EVENT_DRIVER_STATUS;

	if (!lost && (__atomic_fetch_and(&service_shared()->pending[0][0], ~bit, __ATOMIC_ACQ_REL) & bit))
		driver_ending(); /* a crash is not forgotten: driver_is_lost */
	return !lost;
}

/* A vCPU on a core that is a guest's alone is left in peace as long as that guest asks nothing of it. vCPU 0 works for all. */
static bool needs_beat(uint32_t i)
{
	return !guest_core_is_undisturbed(i, &parts.asked_by_guest[i]) || i == 0 || parts.beats_missed[i] != 0;
}

bool driver_has_missed_beats(unsigned allowed)
{
	/* Of this driver VM: another one, that lived as long, has counted to the same number. */
	uint8_t *seen = parts.beat_seen, *missed = parts.beats_missed;

	for (uint32_t i = 0; i < parts.vcpus; i++) {
		uint8_t beat = __atomic_load_n(&channel->to_control.beat[i % sizeof(channel->to_control.beat)], __ATOMIC_RELAXED);
		missed[i] = beat == seen[i] && parts.beat_asked[i] ? missed[i] + 1 : 0;
		seen[i] = beat;
		if (missed[i] > allowed) {
			memset(missed, 0, sizeof(parts.beats_missed));
			return true;
		}
		parts.beat_asked[i] = needs_beat(i);
		if (parts.beat_asked[i])
			hc(HC_EVENT_SIGNAL, parts.beat_event[i]);
	}
	return false;
}

#define SEND_NS 30000000000ull /* longer than any command takes */

void driver_kick(void)
{
	if (driver_vm != 0 && parts.beat_event[0] != 0)
		hc(HC_EVENT_SIGNAL, parts.beat_event[0]);
}

uint64_t driver_heap_free(void)
{
	return channel != NULL ? __atomic_load_n(&channel->to_control.heap_free, __ATOMIC_RELAXED) : 0;
}

void driver_typed(uint32_t slot)
{
	if (channel != NULL)
		__atomic_fetch_or(&channel->to_driver.typed[slot / 64], 1ull << slot % 64, __ATOMIC_ACQ_REL);
	driver_kick();
}

void driver_send(const struct channel_message *message)
{
	uint64_t deadline = service_tsc() + service_ns_to_tsc(SEND_NS);

	lost |= channel == NULL;
	while (is_alive() && !channel_put(&channel->to_driver, message)) {
		hc(HC_EVENT_SIGNAL, parts.beat_event[0]);
		guard_wait(service_tsc() + service_ns_to_tsc(1000000));
		driver_poll();
		lost |= service_tsc() > deadline;
	}
	hc(HC_EVENT_SIGNAL, parts.beat_event[0]);
}

static const struct channel_message *awaited; /* the answer driver_call waits for, or NULL */
static bool arrived, refused;

/*
 * The machine's clock is read in whole seconds, by each driver VM anew. So that times do not go back and forth, the one that is known goes on
 * unless it is wrong by more than that.
 */
static void set_wall_clock(uint64_t read_ns)
{
	uint64_t off = read_ns > driver_wall_clock_ns ? read_ns - driver_wall_clock_ns : driver_wall_clock_ns - read_ns;

	if (off > 2000000000ull)
		driver_wall_clock_ns = read_ns;
}

static void message_handle(const struct channel_message *m)
{
	if (m->slot >= CHANNEL_SLOTS)
		return;
	if (awaited != NULL && m->kind == awaited->kind && m->slot == awaited->slot)
		arrived = true;
	if (awaited != NULL && m->kind == CHANNEL_REFUSED && m->slot == awaited->slot)
		refused = true;
	if (m->kind == CHANNEL_PORT_READY)
		port_setup_answered(m);
	if (m->kind == CHANNEL_READY)
		set_wall_clock(m->request.value);
	if (m->kind == CHANNEL_REQUEST && m->request.value == CHANNEL_REQUEST_WATCHDOG) {
		host_health_watchdog_told(m->request.value2 == 2);
	} else if (m->kind == CHANNEL_REQUEST && m->request.value == CHANNEL_REQUEST_RESTART) {
		driver_request_restart();
	} else if (m->kind == CHANNEL_REQUEST && m->request.value != CHANNEL_REQUEST_CONTROL) {
		guest_request(m->slot, m->request.value, m->request.value2);
		recover_note_slot(m->slot);
	}
}

/* It is to end this control VM: the message must be gone by then. */
static void end_for_test(const struct channel_message *m)
{
	if (m->kind == CHANNEL_REQUEST && m->request.value == CHANNEL_REQUEST_CONTROL && m->slot < CHANNEL_SLOTS &&
	    guest_at(m->slot)->config != NULL && guest_at(m->slot)->config->debug_crash != 0)
		guard_end_for_test(m->request.value2);
}

void driver_poll(void)
{
	struct channel_message m;

	/* Taken only when it is handled: a control VM that ends meanwhile leaves it to the next one. */
	for (unsigned i = 0; i < CHANNEL_RING_SIZE && channel != NULL && channel_look(&channel->to_control, channel_taken, &m); i++) {
		message_handle(&m);
		if (channel != NULL)
			channel_drop(&channel->to_control, &channel_taken);
		end_for_test(&m);
	}
}

bool driver_call(const struct channel_message *message, enum channel_kind kind, uint64_t timeout_ns)
{
	struct channel_message answer = { .kind = kind, .slot = message->slot };
	uint64_t deadline = service_tsc() + service_ns_to_tsc(timeout_ns);

	guard_go_on();
	awaited = &answer;
	arrived = refused = false;
	driver_send(message);
	while (!arrived && !refused && is_alive() && service_tsc() < deadline) {
		guard_wait(deadline);
		/* Only this event is taken here: the others stay pending for the main loop. */
		__atomic_fetch_and(&service_shared()->pending[0][0], ~(1ull << CONTROL_EVENT_DRIVER), __ATOMIC_ACQ_REL);
		driver_poll();
	}
	awaited = NULL;
	/* The event also says that there is something in the port's queues: the main loop looks. */
	__atomic_fetch_or(&service_shared()->pending[0][0], 1ull << CONTROL_EVENT_DRIVER, __ATOMIC_ACQ_REL);
	lost |= !arrived && !refused; /* it hangs, if it has not crashed */
	return arrived;
}

/* ---- A control VM takes over ------------------------------------------------------------------------------------------------------------ */

void driver_keep(struct recover_kept *kept)
{
	RECOVER_KEEP(kept, driver_vm);
	RECOVER_KEEP(kept, driver_wall_clock_ns);
	RECOVER_KEEP(kept, log_from);
	RECOVER_KEEP(kept, parts);
}

/* Control VMs that end one after the other may do so of what the driver VM says; or of the driver VM itself. */
#define ATTEMPTS_HEARING 2u
#define ATTEMPTS_KEEPING 3u

/* Each of its parts that was there is still there. */
static bool claim_parts(struct driver_parts *p)
{
	const hilum_handle_t memories[] = { p->memory, p->channel_memory, p->shared };
	const hilum_handle_t events[] = { p->status_event, p->serial_event, p->log_event, p->timer_event, p->answer_event };
	bool all = recover_claim(driver_vm, HILUM_OBJECT_VM);

	for (unsigned i = 0; i < sizeof(memories) / sizeof(memories[0]); i++)
		all &= recover_claim(memories[i], HILUM_OBJECT_MEMORY);
	for (unsigned i = 0; i < sizeof(events) / sizeof(events[0]); i++)
		all &= recover_claim(events[i], HILUM_OBJECT_EVENT);
	p->vcpus = p->vcpus <= HILUM_MAX_VCPUS ? p->vcpus : HILUM_MAX_VCPUS;
	for (uint32_t i = 0; i < p->vcpus; i++)
		all &= recover_claim(p->vcpu[i], HILUM_OBJECT_VCPU) && recover_claim(p->beat_event[i], HILUM_OBJECT_EVENT);
	return all && p->vcpus != 0;
}

bool driver_adopt(void)
{
	struct driver_parts *p = &parts;

	p->image = driver_image();
	lost = !claim_parts(p) || p->image == NULL || recover_attempts() > ATTEMPTS_KEEPING ||
	       hc(HC_MEMORY_MAP, HILUM_HANDLE_SELF, p->channel_memory, CHANNEL_HERE, 0, 4096, HILUM_MAP_READ | HILUM_MAP_WRITE) < 0;
	if (lost)
		return false;
	channel = (struct channel *)CHANNEL_HERE;
	uint32_t written = __atomic_load_n(&channel->to_control.written, __ATOMIC_ACQUIRE);
	channel_taken = __atomic_load_n(&channel->to_control.taken, __ATOMIC_RELAXED);
	if (written - channel_taken > CHANNEL_RING_SIZE || recover_attempts() > ATTEMPTS_HEARING)
		channel_taken = written;
	return driver_ending() == NULL;
}
