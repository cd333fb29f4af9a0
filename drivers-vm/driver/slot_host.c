/* What a guest's machine asks of its surroundings: interrupts, memory, console, and its own end. */
#include "drivers-vm/driver/entropy.h"
#include "drivers-vm/driver/slot_links.h"
#include "drivers-vm/driver/slot_private.h"
#include <stdarg.h>
#include <stdio.h>

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

void *slot_ram(void *ctx, uint64_t gpa, uint64_t bytes)
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

void slot_host_init(struct slot *s)
{
	s->host = (struct model_host){
		.ctx = s,
		.now_ns = slot_now,
		.timer_arm = slot_timer_arm,
		.inject_msi = host_inject,
		.set_intr_line = host_intr,
		.guest_ram = slot_ram,
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
