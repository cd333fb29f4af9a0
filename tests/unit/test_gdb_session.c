/*
 * A debugger's session: what it maps, how its guest's clock stands, and who tells whom when either of them goes.
 *
 * UNIT_SOURCES: drivers-vm/control/gdb/session.c drivers-vm/control/gdb/stub.c drivers-vm/control/gdb/packet.c
 * UNIT_SOURCES: drivers-vm/control/gdb/text.c drivers-vm/control/gdb/registers.c drivers-vm/control/gdb/memory.c
 * UNIT_SOURCES: drivers-vm/control/gdb/points.c drivers-vm/control/gdb/run.c drivers-vm/control/gdb/debug_registers.c
 * UNIT_SOURCES: drivers-vm/control/gdb/commands.c drivers-vm/control/gdb/queries.c drivers-vm/control/gdb/monitor.c
 * UNIT_SOURCES: drivers-vm/lib/guest_walk.c
 * UNIT_FLAGS: -iquote tests/unit/fake_control
 */
#include "cmocka_all.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "drivers-vm/control/api/platform.h"
#include "drivers-vm/control/gdb/gdb.h"
#include "drivers-vm/control/gdb/probe.h"
#include "drivers-vm/control/guest.h"
#include "drivers-vm/lib/platform.h"

#define GUESTS    3u
#define VCPUS     2u
#define VCPU_BASE 100u /* handles: + 10 * slot + vCPU */
#define MEMORY    50u  /* + slot */
#define MIB       0x100000ull
#define GIB       0x40000000ull
#define HIGH_WORD 0x1122334455667788ull

uint64_t fake_places;
static struct guest guests[GUESTS];
static struct config_vm configs[GUESTS];
static bool running[GUESTS][VCPUS], held[GUESTS], ended, crashed_now;
static uint64_t debug[GUESTS][VCPUS], stops, now, turned_back;
static unsigned maps, unmaps, checked, begun;
static bool map_fails;
static enum manager_result begin_result;

static uint32_t slot_of(uint64_t handle)
{
	return (uint32_t)(handle - VCPU_BASE) / 10;
}

static int64_t call_on_vcpu(uint64_t number, uint64_t handle, uint64_t b)
{
	uint32_t slot = slot_of(handle), n = (handle - VCPU_BASE) % 10;
	struct hilum_vcpu_state *state = (struct hilum_vcpu_state *)b;
	int64_t hits = (int64_t)(stops >> n & 1 ? HILUM_DEBUG_OPCODE : 0);

	assert_true(slot < GUESTS && n < VCPUS);
	switch (number) {
	case HC_VCPU_PAUSE:
		running[slot][n] = false;
		return 0;
	case HC_VCPU_RUN:
		assert_false(running[slot][n]);
		running[slot][n] = true;
		return 0;
	case HC_VCPU_GET_STATE:
		assert_false(running[slot][n]);
		memset(state, 0, sizeof(*state));
		state->rip = 0x1000;
		return 0;
	case HC_VCPU_SET_STATE:
		assert_false(running[slot][n]);
		return 0;
	default:
		assert_int_equal(number, HC_VCPU_DEBUG);
		assert_false(running[slot][n]);
		debug[slot][n] = b;
		stops &= ~(1ull << n);
		return hits;
	}
}

int64_t fake_call(uint64_t number, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f)
{
	(void)f;
	switch (number) {
	case HC_MEMORY_MAP:
		assert_int_equal(a, HILUM_HANDLE_SELF);
		assert_int_equal(c % GIB, fake_places % GIB);
		assert_int_equal(d, 0);
		assert_int_equal(e, configs[b - MEMORY].memory_bytes);
		maps += !map_fails;
		return map_fails ? HILUM_E_NO_MEMORY : 0;
	case HC_MEMORY_UNMAP:
		unmaps++;
		return 0;
	case HC_VM_STATUS:
		memset((void *)b, 0, sizeof(struct hilum_vm_status));
		((struct hilum_vm_status *)b)->debug_stops = stops;
		return 0;
	default:
		return call_on_vcpu(number, a, b);
	}
}

uint64_t service_tsc(void)
{
	return now;
}

bool service_map_memory(uint64_t gpa, uint64_t bytes)
{
	return gpa >= fake_places && bytes != 0;
}

void service_log(const char *format, ...)
{
	(void)format;
}

struct guest *guest_at(uint32_t slot)
{
	return &guests[slot];
}

void guest_host_cpuid(uint32_t leaf, uint32_t subleaf, uint32_t r[4])
{
	(void)subleaf;
	memset(r, 0, 16);
	r[0] = leaf == 0x80000008 ? 40 : 0;
	r[2] = leaf == 1 ? 1u << 26 : 0;
}

void guest_turn_back_clock(uint32_t slot, uint64_t stood_tsc)
{
	for (unsigned i = 0; i < VCPUS; i++)
		assert_false(running[slot][i]);
	turned_back += stood_tsc;
}

void guest_check_status(uint32_t slot)
{
	checked++;
	assert_false(crashed_now && gdb_guest_crashed(slot, 0)); /* the debugger is gone by now */
}

enum manager_result manager_debug_begin(const char *name, uint32_t *slot, bool *is_ended, struct manager_error *error)
{
	*slot = (uint32_t)(name[0] - 'a');
	*is_ended = ended;
	snprintf(error->detail, sizeof(error->detail), "it cannot");
	if (begin_result != MANAGER_OK)
		return begin_result;
	assert_true(*slot < GUESTS && !held[*slot]);
	held[*slot] = true;
	begun++;
	return MANAGER_OK;
}

void manager_debug_end(uint32_t slot)
{
	assert_true(held[slot]);
	held[slot] = false;
	begun--;
}

static unsigned probes;

void gdb_probe_start(void)
{
	probes++;
}

bool gdb_probe_says_yes(void)
{
	return true;
}

static char error[API_ERROR_BYTES], said[512];

static int set_up(void **state)
{
	(void)state;
	void *places = mmap(NULL, 8 * GIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	assert_ptr_not_equal(places, MAP_FAILED);
	fake_places = ((uint64_t)places + GIB - 1) & ~(GIB - 1);
	memset(held, 0, sizeof(held));
	ended = crashed_now = map_fails = false;
	maps = unmaps = checked = begun = 0;
	stops = turned_back = 0;
	now = 5000;
	begin_result = MANAGER_OK;
	for (uint32_t slot = 0; slot < GUESTS; slot++) {
		configs[slot] = (struct config_vm){ .name = "g", .vcpus = VCPUS, .memory_bytes = 64 * MIB };
		guests[slot] = (struct guest){ .config = &configs[slot],
			                       .made = true,
			                       .vcpus = VCPUS,
			                       .vm = 20 + slot,
			                       .memory = MEMORY + slot,
			                       .map = { .low_bytes = 48 * MIB, .high_bytes = 16 * MIB } };
		for (unsigned n = 0; n < VCPUS; n++) {
			guests[slot].vcpu[n] = VCPU_BASE + 10 * slot + n;
			running[slot][n] = true;
			debug[slot][n] = 0;
		}
	}
	return 0;
}

static int open_one(const char *name)
{
	int session = api_gdb_open(name, error);

	assert_true(session >= 0);
	return session;
}

static const char *ask(int session, const char *packet)
{
	char framed[200];
	uint8_t sum = 0;

	for (const char *c = packet; *c != '\0'; c++)
		sum += (uint8_t)*c;
	int length = snprintf(framed, sizeof(framed), "$%s#%02x", packet, sum);
	assert_int_equal(api_gdb_receive(session, framed, (size_t)length), length);
	said[api_gdb_send(session, said, sizeof(said) - 1)] = '\0';
	return said;
}

static void open__runs__stands_and_its_memory_is_mapped(void **state)
{
	(void)state;
	probes = 0;
	int s = open_one("a");
	assert_int_equal(probes, 1);
	assert_true(api_gdb_is_open(s));
	assert_false(running[0][0] || running[0][1]);
	assert_true(running[1][0]);
	assert_int_equal(maps, 1);
	api_gdb_close(s);
	assert_true(running[0][0] && running[0][1]);
	assert_int_equal(unmaps, 1);
	assert_int_equal(begun, 0);
	assert_false(api_gdb_is_open(s));
	api_gdb_close(s);
}

static void open__cannot__says_why(void **state)
{
	(void)state;
	begin_result = MANAGER_CONFLICT;
	assert_true(api_gdb_open("a", error) < 0);
	assert_string_equal(error, "it cannot");
	begin_result = MANAGER_OK;
	map_fails = true;
	assert_true(api_gdb_open("a", error) < 0);
	assert_int_equal(begun, 0);
	map_fails = false;
	configs[0].memory_bytes = 7 * GIB; /* more than there is room for */
	assert_true(api_gdb_open("a", error) < 0);
	assert_int_equal(begun, 0);
	assert_true(running[0][0]);
}

static void open__several__each_has_its_place(void **state)
{
	int s[GUESTS];

	(void)state;
	for (unsigned i = 0; i < GUESTS; i++)
		s[i] = open_one((const char[]){ (char)('a' + i), '\0' });
	assert_int_equal(maps, 3);
	*(uint64_t *)(fake_places + 0x2000) = 1;
	*(uint64_t *)(fake_places + GIB + 0x2000) = 2;
	*(uint64_t *)(fake_places + 2 * GIB + 0x2000) = 3;
	assert_string_equal(ask(s[1], "m2000,1"), "+$02#62");
	api_gdb_close(s[1]);
	s[1] = open_one("b"); /* the place is free again */
	assert_string_equal(ask(s[1], "m2000,1"), "+$02#62");
	assert_string_equal(ask(s[2], "m2000,1"), "+$03#63");
	for (unsigned i = 0; i < GUESTS; i++)
		api_gdb_close(s[i]);
	assert_int_equal(maps, unmaps);
}

static void open__more_than_there_can_be__refused(void **state)
{
	(void)state;
	int s[3] = { open_one("a"), open_one("b"), open_one("c") };
	begin_result = MANAGER_NOT_FOUND;
	assert_true(api_gdb_open("d", error) < 0);
	for (unsigned i = 0; i < 3; i++)
		api_gdb_close(s[i]);
	assert_int_equal(api_gdb_receive(-1, "x", 1), 1);
	assert_int_equal(api_gdb_send(77, said, 1), 0);
	assert_false(api_gdb_is_open(GDB_SESSIONS_MAX));
}

static void memory__above_4_gib__behind_the_low_part(void **state)
{
	(void)state;
	int s = open_one("a");
	*(uint64_t *)(fake_places + 48 * MIB) = HIGH_WORD;
	assert_string_equal(ask(s, "qRcmd,706879736963616c20313030303030303030203"
	                           "8"),
	                    "+$3130303030303030303a203838203737203636203535203434203333203232203131"
	                    "0a#29"); /* physical 100000000 8 */
	assert_int_equal(strncmp(ask(s, "m3000000,1"), "+$E0e", 5), 0);
	api_gdb_close(s);
}

static void clock__stands_with_the_guest(void **state)
{
	(void)state;
	int s = open_one("a");
	now += 700;
	ask(s, "vCont;c");
	assert_int_equal(turned_back, 700);
	now += 1000;
	api_gdb_receive(s, "\3", 1);
	now += 50;
	ask(s, "vCont;s:1");
	assert_int_equal(turned_back, 750);
	api_gdb_close(s);
	assert_int_equal(turned_back, 750); /* it did not stand */
}

static void clock__paused_before__stood_since_then(void **state)
{
	(void)state;
	guests[0].paused = true;
	guests[0].paused_tsc = now - 400;
	running[0][0] = running[0][1] = false;
	int s = open_one("a");
	assert_false(guests[0].paused);
	api_gdb_close(s);
	assert_int_equal(turned_back, 400);
	assert_true(running[0][0] && running[0][1]);
}

static void check__stopped__told(void **state)
{
	(void)state;
	int s = open_one("a");
	ask(s, "Z0,1000,1");
	ask(s, "c");
	assert_int_equal(debug[0][1], HILUM_DEBUG_OPCODE | HILUM_DEBUG_BREAK);
	running[0][1] = false; /* by itself */
	stops = 2;
	gdb_guest_check(1);
	assert_int_equal(stops, 2);
	gdb_guest_check(0);
	said[api_gdb_send(s, said, sizeof(said) - 1)] = '\0';
	assert_string_equal(said, "$T05thread:2;#d8");
	assert_false(running[0][0]);
	api_gdb_close(s);
}

static void crash__debugger_looks_first(void **state)
{
	(void)state;
	assert_false(gdb_guest_crashed(0, 1));
	int s = open_one("a");
	ask(s, "c");
	assert_true(gdb_guest_crashed(0, 1));
	assert_true(gdb_guest_crashed(0, 1));
	said[api_gdb_send(s, said, sizeof(said) - 1)] = '\0';
	assert_string_equal(said, "$T06thread:2;#d9");
	assert_false(running[0][0]);
	crashed_now = true;
	ask(s, "c");
	assert_int_equal(strncmp(said, "+$X06", 5), 0);
	assert_int_equal(checked, 1);
	assert_false(api_gdb_is_open(s) || running[0][0]);
	api_gdb_close(s);
	assert_int_equal(checked, 1);
	assert_int_equal(begun, 0);
}

static void kept_for_a_look__never_runs(void **state)
{
	(void)state;
	ended = true;
	running[0][0] = running[0][1] = false;
	int s = open_one("a");
	assert_int_equal(strncmp(ask(s, "?"), "+$T06", 5), 0);
	api_gdb_close(s);
	assert_false(running[0][0] || running[0][1]);
	assert_int_equal(checked, 0);
}

static void gone__debugger_is_told_and_nothing_is_touched(void **state)
{
	(void)state;
	int s = open_one("a");
	ask(s, "Z0,1000,1");
	ask(s, "c");
	gdb_guest_gone(1);
	assert_true(api_gdb_is_open(s));
	gdb_guest_gone(0);
	assert_int_equal(unmaps, 1);
	assert_int_equal(begun, 0);
	running[0][0] = running[0][1] = false; /* and destroyed */
	assert_false(api_gdb_is_open(s));
	said[api_gdb_send(s, said, sizeof(said) - 1)] = '\0';
	assert_string_equal(said, "$W00#b7");
	assert_int_equal(api_gdb_receive(s, "$g#67", 5), 5);
	api_gdb_close(s);
	assert_false(running[0][0]);
	assert_int_equal(unmaps, 1);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup(name, set_up)
	const struct CMUnitTest tests[] = {
		CASE(open__runs__stands_and_its_memory_is_mapped),
		CASE(open__cannot__says_why),
		CASE(open__several__each_has_its_place),
		CASE(open__more_than_there_can_be__refused),
		CASE(memory__above_4_gib__behind_the_low_part),
		CASE(clock__stands_with_the_guest),
		CASE(clock__paused_before__stood_since_then),
		CASE(check__stopped__told),
		CASE(crash__debugger_looks_first),
		CASE(kept_for_a_look__never_runs),
		CASE(gone__debugger_is_told_and_nothing_is_touched),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
