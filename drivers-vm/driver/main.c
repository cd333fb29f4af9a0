/*
 * The driver VM: one vCPU on each core answers traps of the guests there; vCPU 0 also serves the control VM's commands, the host's
 * serial line, the kernel's log and the models' timers. It holds devices and guests' memory, but no power over other VMs.
 */
#include "drivers-vm/driver/cmos.h"
#include "drivers-vm/driver/console_mux.h"
#include "drivers-vm/driver/host_device.h"
#include "drivers-vm/driver/host_nic.h"
#include "drivers-vm/driver/host_watchdog.h"
#include "drivers-vm/driver/nat.h"
#include "drivers-vm/driver/serial.h"
#include "drivers-vm/driver/service_port_setup.h"
#include "drivers-vm/driver/slots.h"
#include "drivers-vm/runtime/heap.h"
#include <hilum/log_ring.h>
#include <string.h>

static struct channel *const channel = (struct channel *)CHANNEL_GPA;
static struct service_lock channel_lock; /* the ring to the control VM */
static struct service_lock console_lock; /* mux and serial line */
static struct console_mux mux;
static uint32_t channel_taken;
static uint32_t control_event, timer_event;
static uint64_t wall_clock_ns;           /* since 1970 at TSC 0 */
static volatile uint64_t timer_deadline; /* what vCPU 0 waits for; 0: nothing */
static uint64_t log_position;            /* bytes of the kernel's log printed */
static bool log_waits;                   /* for the serial line, with more of it */
static bool set_up;
static volatile uint64_t tell_at; /* when the control VM is to learn of output that it waits for; 0: it need not */
static uint64_t told_at;
static volatile bool typed; /* operators have typed, or a guest has room for what they have */
static uint64_t counted_at; /* TSC of the last time that the guests' counts were brought up to date */

#define TELL_NS  5000000ull   /* from one time to the next */
#define COUNT_NS 250000000ull /* likewise; a beat of the control VM's is longer */

static void signal_control(void)
{
	hc(HC_EVENT_SIGNAL, control_event);
}

static void tell_control(const struct channel_message *m)
{
	service_lock(&channel_lock);
	while (!channel_put(&channel->to_control, m))
		hc(HC_EVENT_SIGNAL, control_event);
	service_unlock(&channel_lock);
	hc(HC_EVENT_SIGNAL, control_event);
}

void control_request(uint32_t slot, enum channel_request request, uint64_t value)
{
	struct channel_message m = { .kind = CHANNEL_REQUEST, .slot = slot, .request = { request, value } };

	tell_control(&m);
}

uint64_t slots_wall_clock(void)
{
	return (wall_clock_ns + service_tsc_to_ns(service_tsc())) / 1000000000;
}

void timers_changed(uint64_t deadline_tsc)
{
	uint64_t waits = timer_deadline;

	if ((waits == 0 || deadline_tsc < waits) && timer_event != 0)
		hc(HC_EVENT_SIGNAL, timer_event);
}

/* ---- Console --------------------------------------------------------------------------------------------------------------------- */

void console_output(uint32_t slot, unsigned console, const uint8_t *bytes, size_t count)
{
	(void)console; /* a guest's serial port and virtio console share one screen: it uses one of them */
	bool tell = false;

	service_lock(&console_lock);
	console_mux_output(&mux, slot, bytes, count);
	if (slot_record_output(slot, bytes, count) && tell_at == 0) {
		uint64_t now = service_tsc(), soonest = told_at + service_ns_to_tsc(TELL_NS);
		tell_at = now < soonest ? soonest : now;
		tell = true;
	}
	service_unlock(&console_lock);
	if (tell)
		timers_changed(tell_at);
}

/* Returns when it must be called again; 0: nobody waits. vCPU 0. */
static uint64_t tell_of_output(void)
{
	uint64_t now = tell_at != 0 ? service_tsc() : 0;

	if (tell_at == 0 || now < tell_at)
		return tell_at;
	told_at = now;
	tell_at = 0;
	hc(HC_EVENT_SIGNAL, control_event);
	return 0;
}

void console_room(uint32_t slot, unsigned console)
{
	(void)console;
	slot_note_input(slot);
	typed = true;
	timers_changed(service_tsc()); /* vCPU 0 offers again what waits */
}

static void line_write(void *ctx, const uint8_t *bytes, size_t count)
{
	(void)ctx;
	serial_write(bytes, count);
}

/* Of the kernel's log, with what the terminal is put back to around each line. */
#define LOG_PIECE      256u
#define LOG_PIECE_ROOM (16u * LOG_PIECE)

/*
 * New lines of the kernel's log, as many as the line has room for: nobody waits for a slow one here. See <hilum/log_ring.h> for the
 * protocol.
 */
static void print_log(void)
{
	const struct log_ring *ring = (const struct log_ring *)CHANNEL_LOG_GPA;
	uint64_t end = __atomic_load_n(&ring->write_seq, __ATOMIC_ACQUIRE);
	uint8_t copy[LOG_PIECE];

	if (end - log_position > LOG_RING_DATA_BYTES)
		log_position = end - LOG_RING_DATA_BYTES;
	while (log_position != end && serial_has_room(LOG_PIECE_ROOM)) {
		size_t n = end - log_position < sizeof(copy) ? end - log_position : sizeof(copy);
		for (size_t i = 0; i < n; i++)
			copy[i] = (uint8_t)ring->data[(log_position + i) % LOG_RING_DATA_BYTES];
		log_position += n;
		service_lock(&console_lock);
		console_mux_log(&mux, copy, n);
		service_unlock(&console_lock);
		channel->to_control.log_position = log_position;
	}
	log_waits = log_position != end;
}

static void serial_event(void)
{
	uint8_t bytes[64];
	size_t n;

	do {
		service_lock(&console_lock);
		n = serial_interrupt(bytes, sizeof(bytes));
		service_unlock(&console_lock);
		service_lock(&console_lock);
		console_mux_input(&mux, bytes, n);
		service_unlock(&console_lock);
	} while (n == sizeof(bytes));
	if (log_waits)
		print_log();
}

/* Offer what was typed to the guest on show; the lock is free meanwhile, as the guest may answer at once. */
static void offer_input(void)
{
	uint8_t bytes[64];
	unsigned guest;
	size_t n, taken;

	do {
		service_lock(&console_lock);
		n = console_mux_peek_input(&mux, &guest, bytes, sizeof(bytes));
		service_unlock(&console_lock);
		if (n == 0)
			return;
		taken = slot_input(guest, bytes, n);
		service_lock(&console_lock);
		console_mux_drop_input(&mux, guest, taken);
		service_unlock(&console_lock);
	} while (taken == n);
}

/* ---- Commands ----------------------------------------------------------------------------------------------------------------------- */

static uint8_t cmos_register(uint8_t reg)
{
	uint8_t value;

	__asm__ volatile("outb %0, %1" ::"a"((uint8_t)(0x80 | reg)), "Nd"((uint16_t)CMOS_PORT_INDEX)); /* bit 7: NMI stays masked */
	__asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"((uint16_t)CMOS_PORT_DATA));
	return value;
}

static void setup(const struct channel_message *m)
{
	timer_event = m->setup.timer_event;
	control_event = m->setup.control_event;
	wall_clock_ns = cmos_read_seconds(cmos_register) * 1000000000 - service_tsc_to_ns(service_tsc());
	host_pci_init(m->setup.self);
	slot_record_init(m->setup.self);
	serial_init((uint16_t)m->setup.serial_port, m->setup.serial_event);
	console_mux_init(&mux, m->setup.show, line_write, NULL);
	log_position = m->setup.log_position;
	set_up = true;
	channel->to_control.heap_free = heap_global_free_bytes();
	print_log();
}

static void set_watchdog(uint32_t seconds, bool asked)
{
	const struct channel_message m = { .kind = CHANNEL_REQUEST, .request = { CHANNEL_REQUEST_WATCHDOG, host_watchdog_state() } };

	host_watchdog_set(seconds);
	if (asked && m.request.value2 != HOST_WATCHDOG_NONE)
		tell_control(&m);
}

static void command(const struct channel_message *m)
{
	struct channel_message answer = { .slot = m->slot };

	if (m->slot >= CHANNEL_SLOTS)
		return;
	switch (m->kind) {
	case CHANNEL_SETUP:
		setup(m);
		answer.kind = CHANNEL_READY;
		answer.request.value = wall_clock_ns;
		break;
	case CHANNEL_DISK:
	case CHANNEL_NIC:
	case CHANNEL_LINK:
		slot_add_device(m->slot, m);
		return;
	case CHANNEL_DEVICE:
		host_device_add(m);
		return;
	case CHANNEL_UPLINK:
		if (m->uplink.flags & CHANNEL_NIC_NAT)
			nat_add(m);
		else
			host_nic_join(&driver_switch, m);
		return;
	case CHANNEL_ATTACH:
		answer.kind = CHANNEL_REFUSED;
		service_lock(&console_lock);
		console_mux_add(&mux, m->slot, m->attach.name); /* before there may be output */
		service_unlock(&console_lock);
		if (slot_attach(m->slot, m)) {
			answer.kind = CHANNEL_ATTACHED;
			break;
		}
		service_lock(&console_lock);
		console_mux_remove(&mux, m->slot);
		service_unlock(&console_lock);
		break;
	case CHANNEL_DETACH:
		slot_detach(m->slot);
		service_lock(&console_lock);
		console_mux_remove(&mux, m->slot);
		service_unlock(&console_lock);
		answer.kind = CHANNEL_DETACHED;
		break;
	case CHANNEL_PORT_AVOID:
		service_port_avoid(m);
		return;
	case CHANNEL_PORT:
		service_port_setup(m, &answer, signal_control);
		break;
	case CHANNEL_BUTTON:
		slot_press_button(m->slot);
		return;
	case CHANNEL_BALLOON:
		slot_set_balloon(m->slot, m->request.value);
		return;
	case CHANNEL_WATCHDOG:
		set_watchdog((uint32_t)m->request.value, m->request.value2 != 0);
		return;
	case CHANNEL_GUEST_WATCHDOG:
		slot_touch_watchdog(m->slot);
		return;
	case CHANNEL_VCPUS:
		slot_set_vcpus(m->slot, m->request.value, m->request.value2);
		return;
	case CHANNEL_PING:
		answer.kind = CHANNEL_PONG;
		break;
	case CHANNEL_FLUSH:
		do {
			print_log();
			service_lock(&console_lock);
			serial_flush();
			service_unlock(&console_lock);
		} while (log_waits);
		answer.kind = CHANNEL_FLUSHED;
		break;
	default:
		return;
	}
	tell_control(&answer);
}

static void serve_commands(void)
{
	struct channel_message m;

	while (channel_take(&channel->to_driver, &channel_taken, &m))
		command(&m);
}

/* Of two deadlines; 0 is none. */
static uint64_t sooner(uint64_t a, uint64_t b)
{
	return a != 0 && (b == 0 || a < b) ? a : b;
}

/* Take the pending events of this vCPU, and show the control VM that it still does. */
static uint64_t beat(uint32_t vcpu)
{
	uint64_t events = service_take_events(vcpu, 0);
	uint8_t *beats = &channel->to_control.beat[vcpu % sizeof(channel->to_control.beat)];

	__atomic_store_n(beats, (uint8_t)(*beats + 1), __ATOMIC_RELAXED);
	return events;
}

/* What the control VM has told by the event that also announces its commands. */
static void look_around(void)
{
	for (unsigned word = 0; word < CHANNEL_SLOTS / 64; word++) {
		uint64_t bits = __atomic_exchange_n(&channel->to_driver.typed[word], 0, __ATOMIC_ACQ_REL);
		for (; bits != 0; bits &= bits - 1)
			slot_note_input(word * 64 + (unsigned)__builtin_ctzll(bits));
	}
	typed = true;
	if (service_tsc() - counted_at < service_ns_to_tsc(COUNT_NS))
		return;
	slots_record_counts();
	__atomic_store_n(&channel->to_control.heap_free, heap_global_free_bytes(), __ATOMIC_RELAXED);
	counted_at = service_tsc();
}

/* vCPU 0's duties besides traps; returns when it must be called again at the latest. */
static uint64_t duties(void)
{
	uint64_t events = beat(0);

	if (events & 1ull << CHANNEL_EVENT_COMMAND)
		serve_commands();
	if (!set_up)
		return 0;
	if (events & 1ull << CHANNEL_EVENT_COMMAND)
		look_around();
	if (events & 1ull << CHANNEL_EVENT_LOG)
		print_log();
	if (events & 1ull << CHANNEL_EVENT_SERIAL)
		serial_event();
	for (uint64_t rung = service_take_events(0, 1); rung != 0; rung &= rung - 1)
		slots_doorbell((uint32_t)__builtin_ctzll(rung));
	host_device_events(events);
	offer_input();
	if (typed) {
		typed = false;
		slots_offer_input();
	}
	uint64_t next = sooner(host_device_check(), slots_run_timers());
	next = sooner(next, service_port_run(events & 1ull << CHANNEL_EVENT_PORT));
	next = sooner(next, tell_of_output());
	return sooner(next, nat_run()); /* last: it works off what the others have left it */
}

_Noreturn void service_start(uint32_t vcpu)
{
	const volatile uint64_t *pending = service_shared()->pending[vcpu];
	struct hypercall_trap trap;
	int64_t why = HILUM_WAIT_EVENT;
	uint64_t flags = 0, deadline = 0;

	for (;;) {
		if (vcpu != 0 && (why != HILUM_WAIT_TRAP || pending[0] != 0)) {
			beat(vcpu);
		} else if (vcpu == 0 && (why != HILUM_WAIT_TRAP || (pending[0] | pending[1]) != 0)) {
			timer_deadline = 0; /* whatever another vCPU arms from here on is not seen below: it must say so */
			deadline = duties();
			timer_deadline = deadline;
		}
		why = hypercall_wait(flags, deadline, &trap);
		flags = why == HILUM_WAIT_TRAP && slot_trap(&trap) ? HILUM_WAIT_REPLY : 0;
	}
}
