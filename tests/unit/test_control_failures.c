/*
 * The control VM when memory is short: in a script that defines a VM, starts it, changes it, takes its core, loses the driver VM under it
 * and ends it, every allocation of its heap and every call of the kernel that needs memory fails once. Whatever the operator is told then,
 * nothing is left behind when the VM is gone, and the same script works afterwards.
 *
 * UNIT_SOURCES: drivers-vm/control/manager.c drivers-vm/control/manager_life.c drivers-vm/control/manager_core.c
 * UNIT_SOURCES: drivers-vm/control/manager_change.c drivers-vm/control/manager_end.c
 * UNIT_SOURCES: drivers-vm/control/guest.c drivers-vm/control/guest_life.c drivers-vm/control/guest_vcpus.c
 * UNIT_SOURCES: drivers-vm/control/guest_schedule.c
 * UNIT_SOURCES: drivers-vm/control/guest_share.c drivers-vm/control/guest_map.c drivers-vm/control/guest_clock.c
 * UNIT_SOURCES: drivers-vm/control/coredump/coredump.c drivers-vm/control/coredump/elf.c drivers-vm/control/coredump/walk.c
 * UNIT_SOURCES: drivers-vm/control/cpuid_build.c drivers-vm/control/driver_space.c drivers-vm/control/events.c
 * UNIT_SOURCES: tests/unit/fake_life/kernel.c
 * UNIT_FLAGS: -iquote tests/unit/fake_control -Itests/unit -Itests/unit/fake_life -Wl,--wrap=malloc -Wl,--wrap=calloc -Wl,--wrap=free
 */
#include "cmocka_all.h"

#include "kernel.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "drivers-vm/control/guest.h"
#include "drivers-vm/control/manager_private.h"

#define NAME  "vm"
#define NEVER 1000000

void *__real_malloc(size_t bytes);
void *__real_calloc(size_t count, size_t bytes);
void __real_free(void *p);

static unsigned blocks; /* of the heap, in use */
static struct manager_error error;

void *__wrap_malloc(size_t bytes)
{
	void *p = kernel_fails_now() ? NULL : __real_malloc(bytes);

	blocks += p != NULL;
	return p;
}

void *__wrap_calloc(size_t count, size_t bytes)
{
	void *p = kernel_fails_now() ? NULL : __real_calloc(count, bytes);

	blocks += p != NULL;
	return p;
}

void __wrap_free(void *p)
{
	blocks -= p != NULL;
	__real_free(p);
}

/* ---- The script ---------------------------------------------------------------------------------------------------------------------- */

static unsigned refused, asked;

static void note(bool done)
{
	asked++;
	refused += !done;
}

static void define(uint64_t memory_bytes)
{
	int after = kernel_failing_after;

	kernel_failing_after = -1; /* this is its caller's memory */
	struct manager_definition *d = calloc(1, sizeof(*d));
	bool created;

	snprintf(d->config.name, sizeof(d->config.name), NAME);
	d->arena = malloc(8);
	d->config.kernel = memcpy(d->arena, "k", 2);
	d->config.cmdline = "";
	d->config.memory_bytes = memory_bytes;
	d->config.vcpus = 1;
	d->config.vcpus_max = 4;
	d->config.weight = 256;
	d->config.balloon_bytes = CONFIG_NO_BALLOON;
	d->config.watchdog = CONFIG_WATCHDOG_WDAT;
	d->config.on_poweroff = CONFIG_ACTION_RESTART;
	d->config.on_reboot = CONFIG_ACTION_RESTART;
	d->config.on_crash = CONFIG_ACTION_COREDUMP_RESTART;
	d->config.on_watchdog = CONFIG_ON_WATCHDOG_PAUSE;
	kernel_failing_after = after;
	enum manager_result result = manager_define(d, &created, &error);
	note(result == MANAGER_OK);
	if (result != MANAGER_OK) {
		free(d->arena);
		free(d);
	}
}

static void act(enum manager_action action)
{
	note(manager_act(NAME, action, 0, &error) == MANAGER_OK);
}

static void take_core(void)
{
	static uint8_t piece[0x20000];
	uint64_t bytes;
	bool failed = false;
	int session = manager_core_open(NAME, &bytes, &error);

	note(session >= 0);
	if (session < 0)
		return;
	while (manager_core_read(session, piece, sizeof(piece), &failed) != 0)
		;
	manager_core_close(session, true);
}

/* The guest ends by itself, if it is there: by a crash, or as it asks. */
static void guest_ends(bool crashes)
{
	int slot = manager_slot(NAME);

	note(slot >= 0);
	if (slot < 0 || guest_at((uint32_t)slot) == NULL || !guest_at((uint32_t)slot)->made)
		return;
	if (crashes) {
		kernel_crash((uint32_t)slot);
		guest_check_status((uint32_t)slot);
	} else {
		guest_request((uint32_t)slot, CHANNEL_REQUEST_RESET, 0);
		guest_run_requests();
	}
}

static void driver_ends_and_comes_back(void)
{
	kernel_end_driver();
	kernel_driver_gone = false;
	guest_resume_all();
	manager_driver_is_back();
}

static bool is_running(void)
{
	struct manager_vm vm;

	return manager_find(NAME, &vm) && vm.state == MANAGER_RUNNING;
}

/* All that the VM goes through; whatever has failed, afterwards there is none. */
static void run_script(int nth)
{
	refused = asked = 0;
	kernel_failing_after = nth;
	define(0x400000);
	act(MANAGER_BOOT);
	note(manager_set_vcpus(NAME, 3, &error) == MANAGER_OK);
	act(MANAGER_PAUSE);
	take_core();
	driver_ends_and_comes_back();
	act(MANAGER_RESUME);
	define(0x600000);
	guest_ends(false);
	guest_ends(true);
	take_core();
	driver_ends_and_comes_back();
	act(MANAGER_NMI);
	act(MANAGER_RESET);
	note(is_running());
	act(MANAGER_DESTROY);
	act(MANAGER_BOOT);
	if (kernel_failing_after > 0)
		kernel_failing_after = nth == NEVER ? kernel_failing_after : -1; /* the rest gives back */
	act(MANAGER_DESTROY);
	note(manager_undefine(NAME, &error) == MANAGER_OK);
	manager_act(NAME, MANAGER_DESTROY, 0, &error);
	manager_undefine(NAME, &error);
	kernel_end_driver(); /* what is its own is not a guest's */
	kernel_driver_gone = false;
}

static void nothing_is_left(int nth)
{
	struct kernel_counts left = kernel_count();

	if (left.handles + left.objects + left.mappings + left.driver_handles + left.frames + blocks + manager_count() != 0)
		fail_msg("failure %d leaves %u handles, %u objects, %u mappings, %u handles of the driver VM, %lu frames, %u blocks of the "
		         "heap, %u VMs",
		         nth, left.handles, left.objects, left.mappings, left.driver_handles, (unsigned long)left.frames, blocks,
		         manager_count());
}

static void each_allocation__fails_once__leaves_nothing_and_all_works_again(void **state)
{
	unsigned refusals = 0;
	int count;

	(void)state;
	assert_true(service_map_memory(0, 0));
	blocks = 0;
	run_script(NEVER);
	count = NEVER - kernel_failing_after;
	nothing_is_left(NEVER);
	assert_int_equal(refused, 0);
	for (int nth = 0; nth < count; nth++) {
		run_script(nth);
		assert_true(kernel_failing_after < 0);
		refusals += refused != 0;
		nothing_is_left(nth);
		run_script(NEVER);
		if (refused != 0)
			fail_msg("after failure %d, %u of %u steps do not work", nth, refused, asked);
		nothing_is_left(nth);
	}
	print_message("%d allocations fail once each: in %u of these runs somebody is refused something\n", count, refusals);
	assert_true(count > 40 && (int)refusals > count / 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_allocation__fails_once__leaves_nothing_and_all_works_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
