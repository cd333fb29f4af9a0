/*
 * Slots of guests that begin and end: their timers, and their locks, which other vCPUs of the driver VM hold meanwhile. Machine and
 * devices are this test's.
 *
 * UNIT_SOURCES: drivers-vm/driver/slots.c drivers-vm/driver/slot_host.c drivers-vm/driver/slot_timers.c drivers-vm/driver/slot_traps.c drivers-vm/driver/deadlines.c tests/unit/fake_slots/quiet.c
 * UNIT_FLAGS: -iquote tests/unit/fake_slots
 */
#include "cmocka_all.h"

#include "drivers-vm/driver/slots.h"

#include <stdlib.h>
#include <string.h>

#define SLOTS 4u
#define PORT  0x70u

extern unsigned quiet_calls; /* fake_slots/quiet.c */

static uint32_t handle = 0x10009; /* of the latest guest: each has another */

static uint64_t now;
static struct slot_state states[SLOTS];
static unsigned ran[SLOTS][MODEL_TIMER_COUNT]; /* how often each timer of each slot's machine ran out */
static unsigned writes;
static bool is_late;         /* slot 0's timers, always */
static uint64_t begins_with; /* each machine arms its clock's timer so, when it is made; 0: none */
static unsigned busy;        /* so many polls until the devices are idle */
static enum channel_request request;

/* ---- What is around them ------------------------------------------------------------------------------------------------------ */

uint64_t service_tsc(void)
{
	return now;
}

void runtime_abort(const char *reason)
{
	fail_msg("%s", reason);
	abort();
}

void service_log(const char *format, ...)
{
	fail_msg("%s", format);
}

/* Nobody else runs here: a lock that is held is one that nobody will give back. */
void service_lock(struct service_lock *lock)
{
	assert_int_equal(lock->held, 0);
	lock->held = 1;
}

void service_unlock(struct service_lock *lock)
{
	assert_int_equal(lock->held, 1);
	lock->held = 0;
}

void control_request(uint32_t slot, enum channel_request what, uint64_t value)
{
	(void)slot;
	(void)value;
	request = what;
}

void timers_changed(uint64_t deadline_tsc)
{
	assert_true(deadline_tsc != 0);
}

void slot_devices_poll(struct slot_devices *devices)
{
	(void)devices;
	busy--;
}

bool state_area_open(struct state_area *area, void *base, size_t bytes, uint64_t layout, bool resume)
{
	(void)bytes;
	(void)layout;
	(void)resume;
	*area = (struct state_area){ .base = base };
	return true;
}

void *state_area_take(struct state_area *area, size_t count, size_t bytes)
{
	uint64_t slot = ((uintptr_t)area->base - CHANNEL_SLOT_GPA) / CHANNEL_SLOT_STRIDE;

	assert_int_equal(count * bytes, sizeof(states[0]));
	memset(&states[slot], 0, sizeof(states[slot]));
	return &states[slot];
}

/* ---- The machine ---------------------------------------------------------------------------------------------------------------- */

void machine_init(struct machine *m, const struct machine_config *config, const struct model_host *host)
{
	m->config = *config;
	m->host = host;
	if (begins_with != 0)
		model_timer_arm(host, MODEL_TIMER_RTC_SECOND, begins_with);
}

void machine_timer(struct machine *m, unsigned id)
{
	struct slot *s = m->host->ctx;

	assert_int_equal(s->lock.held, 1);
	ran[s->index][id]++;
	if (is_late && s->index == 0)
		model_timer_arm(m->host, id, 1);
}

/* The value is when its timer is to run out. */
void machine_port_write(struct machine *m, uint16_t port, unsigned size, uint32_t value)
{
	(void)size;
	writes++;
	if (port == PORT)
		model_timer_arm(m->host, MODEL_TIMER_UART_RX, value);
	else
		m->host->request(m->host->ctx, MODEL_REQUEST_RESET, 0);
}

bool machine_is_busy(const struct machine *m)
{
	(void)m;
	return busy != 0;
}

/* ---- Guests --------------------------------------------------------------------------------------------------------------------- */

static void begin(uint32_t slot)
{
	const struct channel_message m = { .kind = CHANNEL_ATTACH,
		                           .slot = slot,
		                           .attach = { .name = "g", .vcpus = 1, .vm_handle = ++handle } };

	assert_true(slot_attach(slot, &m));
}

static bool trap_by(uint64_t badge, uint16_t port, uint32_t value)
{
	const struct hypercall_trap t = {
		.badge = badge, .kind = HILUM_TRAP_PORT, .write = true, .address = port, .size = 4, .value = value
	};

	return slot_trap(&t);
}

/* Of the guest that is there, or was last. */
static bool trap(uint32_t slot, uint16_t port, uint32_t value)
{
	return trap_by(channel_badge(slot, slot_at(slot)->vm_handle), port, value);
}

static uint64_t at(uint64_t tsc)
{
	now = tsc;
	return slots_run_timers();
}

/* Slots stay, as in the driver VM; the guests of the test before go. */
static int setup(void **state)
{
	(void)state;
	begins_with = 0;
	busy = 0;
	for (unsigned i = 0; i < SLOTS; i++)
		slot_detach(i);
	now = 1000;
	writes = 0;
	is_late = false;
	request = 0;
	memset(ran, 0, sizeof(ran));
	return 0;
}

static void slot_attach__slot_that_nobody_had_before__leaves_the_timers_of_others(void **state)
{
	(void)state;
	begin(0);
	assert_true(trap(0, PORT, 500));
	begin(SLOTS - 1); /* for the first time in all these tests */
	assert_true(at(1400) != 0);
	assert_int_equal(ran[0][MODEL_TIMER_UART_RX], 0);
	at(1501);
	assert_int_equal(ran[0][MODEL_TIMER_UART_RX], 1);
}

static void slot_attach__slot_that_is_taken_again__leaves_the_timers_of_others(void **state)
{
	(void)state;
	begin(0);
	for (unsigned i = 0; i < 3; i++) {
		begin(1);
		assert_true(trap(0, PORT, (uint32_t)(now - 1000 + 500)));
		slot_detach(1);
		at(now + 501);
		assert_int_equal(ran[0][MODEL_TIMER_UART_RX], i + 1);
	}
}

static void slot_attach__machine_that_arms_a_timer_as_it_is_made__has_it_run(void **state)
{
	(void)state;
	begins_with = 300;
	begin(0);
	begin(1);
	assert_int_equal(at(1000), 1301);
	assert_int_equal(at(1301), 0);
	assert_int_equal(ran[0][MODEL_TIMER_RTC_SECOND], 1);
	assert_int_equal(ran[1][MODEL_TIMER_RTC_SECOND], 1);
}

static void slot_attach__guest_before_had_a_timer__is_not_the_new_ones(void **state)
{
	(void)state;
	begin(1);
	assert_true(trap(1, PORT, 100));
	slot_detach(1);
	begin(1);
	assert_int_equal(at(2000), 0);
	assert_int_equal(ran[1][MODEL_TIMER_UART_RX], 0);
	/* Nor does it stand in the way of a later one. */
	assert_true(trap(1, PORT, 1200));
	at(2201);
	assert_int_equal(ran[1][MODEL_TIMER_UART_RX], 1);
}

static void slot_attach__other_vcpu_looks_at_the_slot__lets_it_keep_the_lock(void **state)
{
	(void)state;
	begin(1);
	slot_detach(1);
	service_lock(&slot_at(1)->lock); /* a trap of the guest before: that it is gone is yet to be seen */
	begin(1);
	assert_int_equal(slot_at(1)->lock.held, 1);
	service_unlock(&slot_at(1)->lock);
	assert_true(trap(1, PORT, 100));
}

static void slot_detach__timer_runs__nothing_is_due_any_more(void **state)
{
	(void)state;
	begin(0);
	begin(1);
	assert_true(trap(0, PORT, 100));
	assert_true(trap(1, PORT, 50));
	slot_detach(1);
	assert_int_equal(at(1000), 1101);
	at(1101);
	assert_int_equal(ran[0][MODEL_TIMER_UART_RX], 1);
	assert_int_equal(ran[1][MODEL_TIMER_UART_RX], 0);
}

static void slot_detach__devices_are_at_work__waits_for_them(void **state)
{
	(void)state;
	begin(1);
	busy = 5;
	slot_detach(1);
	assert_int_equal(busy, 0);
}

static void slot_trap__guest_that_is_gone__gets_no_answer(void **state)
{
	(void)state;
	begin(1);
	slot_detach(1);
	assert_false(trap(1, PORT, 100));
	assert_false(trap_by(channel_badge(CHANNEL_SLOTS, handle), PORT, 100));
	assert_int_equal(writes, 0);
	assert_int_equal(at(5000), 0);
}

static void slot_trap__comes_after_the_next_guest__does_nothing_to_that_one(void **state)
{
	(void)state;
	begin(1);
	uint64_t before = channel_badge(1, handle);
	slot_detach(1);
	begin(1);
	assert_false(trap_by(before, PORT + 1, 0));
	assert_int_equal(request, 0);
	assert_int_equal(writes, 0);
	assert_true(trap(1, PORT, 100));
}

static void slot_trap__guest_asks_for_its_end__gets_no_answer_until_it_begins_anew(void **state)
{
	(void)state;
	begin(1);
	assert_false(trap(1, PORT + 1, 0));
	assert_int_equal(request, CHANNEL_REQUEST_RESET);
	assert_false(trap(1, PORT, 100));
	assert_int_equal(writes, 1);
	slot_detach(1);
	begin(1);
	assert_true(trap(1, PORT, 100));
}

static void slots_run_timers__one_is_always_late__others_have_their_turn(void **state)
{
	(void)state;
	begin(0);
	begin(1);
	assert_true(trap(0, PORT, 100));
	assert_true(trap(1, PORT, 200));
	is_late = true;
	assert_int_equal(at(9000), 9001);
	assert_int_equal(ran[0][MODEL_TIMER_UART_RX], 1);
	assert_int_equal(ran[1][MODEL_TIMER_UART_RX], 1);
}

/* All that is asked of a guest's machine from outside; how many calls of the machine that made. */
static unsigned ask_all(uint32_t slot)
{
	unsigned before = quiet_calls;

	slots_doorbell(slot);
	assert_int_equal(slot_input(slot, (const uint8_t *)"abc", 3), 3);
	slot_press_button(slot);
	slot_set_balloon(slot, 1);
	slot_touch_watchdog(slot);
	slot_set_vcpus(slot, 1, 0);
	return quiet_calls - before;
}

static void slot_commands__guest_that_ends_or_is_gone__its_machine_is_left_alone(void **state)
{
	static struct virtio_balloon balloon;

	(void)state;
	begin(0);
	slot_at(0)->devices.balloon = &balloon;
	assert_int_equal(ask_all(0), 7);    /* a button is pressed and let go */
	assert_false(trap(0, PORT + 1, 0)); /* it asks for its end */
	assert_int_equal(ask_all(0), 0);
	begin(1);
	slot_detach(1);
	assert_int_equal(ask_all(1), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(slot_attach__slot_that_nobody_had_before__leaves_the_timers_of_others, setup),
		cmocka_unit_test_setup(slot_attach__slot_that_is_taken_again__leaves_the_timers_of_others, setup),
		cmocka_unit_test_setup(slot_attach__machine_that_arms_a_timer_as_it_is_made__has_it_run, setup),
		cmocka_unit_test_setup(slot_attach__guest_before_had_a_timer__is_not_the_new_ones, setup),
		cmocka_unit_test_setup(slot_attach__other_vcpu_looks_at_the_slot__lets_it_keep_the_lock, setup),
		cmocka_unit_test_setup(slot_detach__timer_runs__nothing_is_due_any_more, setup),
		cmocka_unit_test_setup(slot_detach__devices_are_at_work__waits_for_them, setup),
		cmocka_unit_test_setup(slot_trap__guest_that_is_gone__gets_no_answer, setup),
		cmocka_unit_test_setup(slot_trap__comes_after_the_next_guest__does_nothing_to_that_one, setup),
		cmocka_unit_test_setup(slot_trap__guest_asks_for_its_end__gets_no_answer_until_it_begins_anew, setup),
		cmocka_unit_test_setup(slot_commands__guest_that_ends_or_is_gone__its_machine_is_left_alone, setup),
		cmocka_unit_test_setup(slots_run_timers__one_is_always_late__others_have_their_turn, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
