/*
 * Whether debug registers work: what the probe's VM is made of, what comes out, and that nothing is left of it.
 *
 * UNIT_SOURCES: drivers-vm/control/gdb/probe.c
 * UNIT_FLAGS: -iquote tests/unit/fake_control
 */
#include "cmocka_all.h"

#include <string.h>

#include "drivers-vm/control/control.h"
#include "drivers-vm/control/gdb/probe.h"

enum { VM = 20, VCPU, MEMORY };

static uint8_t page[4096];
static unsigned vms, vcpus, memories, maps_here, runs, calls, fail_at;
static uint64_t stops, halts;

static int64_t make(unsigned *count, int64_t handle)
{
	assert_int_equal((*count)++, 0);
	return handle;
}

static void unmake(uint64_t handle)
{
	unsigned *count = handle == VCPU ? &vcpus : &memories;

	assert_true(handle == VCPU || handle == MEMORY);
	assert_int_equal((*count)--, 1);
}

static int64_t set_state(const struct hilum_vcpu_state *state, uint64_t mask)
{
	assert_int_equal(mask, HILUM_STATE_DR);
	assert_int_equal(state->dr[0], 0xFFFFFFF0);
	assert_true(state->dr7 & 3);
	return 0;
}

int64_t fake_call(uint64_t number, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f)
{
	if (number != HC_HANDLE_CLOSE && number != HC_VM_DESTROY && ++calls == fail_at)
		return HILUM_E_NO_MEMORY;
	switch (number) {
	case HC_VM_CREATE:
		return make(&vms, VM);
	case HC_VM_DESTROY:
		assert_int_equal(a, VM);
		assert_int_equal(vms--, 1);
		return 0;
	case HC_VCPU_CREATE:
		return make(&vcpus, VCPU);
	case HC_HANDLE_CLOSE:
		unmake(a);
		return 0;
	case HC_MEMORY_MAP:
		assert_true(a == VM && b == MEMORY && c == 0xFFFFF000 && d == 0 && e == 4096 && f == (HILUM_MAP_READ | HILUM_MAP_EXECUTE));
		return 0;
	case HC_VCPU_SET_STATE:
		return set_state((const struct hilum_vcpu_state *)b, c);
	case HC_VCPU_DEBUG:
		assert_int_equal(b, HILUM_DEBUG_TRAP);
		return 0;
	case HC_VCPU_RUN:
		runs++;
		return 0;
	case HC_VM_STATUS:
		((struct hilum_vm_status *)b)->debug_stops = stops;
		return 0;
	default:
		assert_int_equal(number, HC_VCPU_STATS);
		((struct hilum_vcpu_stats *)b)->exits[HILUM_EXIT_HALT] = halts;
		return 0;
	}
}

int64_t control_memory_create(uint64_t bytes, uint32_t flags)
{
	assert_int_equal(bytes, sizeof(page));
	assert_int_equal(flags, 0);
	return ++calls == fail_at ? HILUM_E_NO_MEMORY : make(&memories, MEMORY);
}

bool control_map_here(hilum_handle_t memory, uint64_t bytes, uint8_t **at)
{
	assert_true(memory == MEMORY && bytes == sizeof(page));
	if (++calls == fail_at)
		return false;
	maps_here++;
	*at = page;
	return true;
}

void control_unmap_here(uint8_t *at, uint64_t bytes)
{
	assert_true(at == page && bytes == sizeof(page));
	maps_here--;
}

static void nothing_is_left(void)
{
	assert_int_equal(vms + vcpus + memories + maps_here, 0);
}

/* What was found stays: the cases are one story. */
static void probe__each_call_fails__nothing_left_and_tried_again(void **state)
{
	(void)state;
	for (fail_at = 1; runs == 0; fail_at++) {
		assert_true(fail_at < 20);
		calls = 0;
		gdb_probe_start();
		if (runs == 0)
			nothing_is_left();
		assert_true(gdb_probe_says_yes());
	}
	assert_int_equal(fail_at, 10); /* eight calls */
	assert_int_equal(page[0xFF0], 0x90);
}

static void probe__it_has_not_run_yet__yes(void **state)
{
	(void)state;
	fail_at = 0;
	gdb_probe_start();
	assert_int_equal(runs, 1);
	assert_true(gdb_probe_says_yes());
	assert_int_equal(vms, 1);
}

static void probe__it_halts__no(void **state)
{
	(void)state;
	halts = 1;
	assert_false(gdb_probe_says_yes());
	nothing_is_left();
	stops = 1;
	gdb_probe_start();
	assert_false(gdb_probe_says_yes());
	assert_int_equal(runs, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(probe__each_call_fails__nothing_left_and_tried_again),
		cmocka_unit_test(probe__it_has_not_run_yet__yes),
		cmocka_unit_test(probe__it_halts__no),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
