/*
 * The machine's health: cores that stand, what the watchdog then hears, and what is left of the last run, which may be anything.
 *
 * UNIT_SOURCES: drivers-vm/control/host_health.c drivers-vm/control/boot_reason.c
 * UNIT_FLAGS: -iquote tests/unit/fake_control
 */
#include "cmocka_all.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "drivers-vm/control/boot_reason.h"
#include "drivers-vm/control/control.h"
#include "drivers-vm/control/events.h"
#include "drivers-vm/control/host_health.h"
#include "drivers-vm/control/store/store.h"

#define CORES 2u

static struct config config = { .watchdog_seconds = 30 };
static struct hilum_host_health health;
static struct hilum_last_run run;
static struct channel_message sent;
static unsigned pets, lines;
static char all_lines[8192];
static uint64_t now;
static bool driver_lost;

struct hilum_host_info control_host = { .core_count = CORES };
hilum_handle_t driver_vm = 7;

int64_t fake_call(uint64_t number, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f)
{
	assert_int_equal(a, HILUM_HANDLE_HOST);
	(void)c;
	(void)d;
	(void)e;
	(void)f;
	if (number == HC_HOST_LAST_RUN)
		memcpy((void *)b, &run, sizeof(run));
	else if (number == HC_HOST_HEALTH)
		memcpy((void *)b, &health, sizeof(health));
	else
		return HILUM_E_UNSUPPORTED;
	return 0;
}

void service_log(const char *format, ...)
{
	size_t used = strlen(all_lines);
	va_list args;

	va_start(args, format);
	vsnprintf(all_lines + used, sizeof(all_lines) - used - 1, format, args);
	va_end(args);
	strcat(all_lines, "\n");
	lines++;
}

void event_add(const char *kind, const char *name, const char *format, ...)
{
	(void)kind;
	(void)name;
	(void)format;
}

void driver_send(const struct channel_message *message)
{
	sent = *message;
	pets++;
}

bool driver_is_lost(void)
{
	return driver_lost;
}

bool store_is_kept(void)
{
	return true;
}

const void *store_get(const char *key, size_t *bytes)
{
	(void)key;
	(void)bytes;
	return NULL;
}

bool store_put(const char *key, const void *value, size_t bytes, uint32_t flags)
{
	(void)key;
	(void)value;
	(void)bytes;
	(void)flags;
	return true;
}

void store_remove(const char *key)
{
	(void)key;
}

uint32_t recover_restarts(void)
{
	return 0;
}

uint64_t service_tsc(void)
{
	return now;
}

uint64_t service_ns_to_tsc(uint64_t ns)
{
	return ns;
}

static void fill(const char *text)
{
	memset(&run, 0, sizeof(run));
	run.end = HILUM_END_NONE;
	for (const char *c = text; *c != '\0'; c++)
		run.text[run.written++ % HILUM_LAST_RUN_BYTES] = *c;
}

static void host_health_read_log__any_bytes__printable_whole_lines_without_tokens(void **state)
{
	static char text[HILUM_LAST_RUN_BYTES + 1];

	(void)state;
	fill("one\n\x01\xFF\x1B[2J\nfirst token hilum_0123456789abcdefghijklmnopqrstuvwxyzABCDEFG end\n");
	host_health_read_log(&run, text);
	assert_string_equal(text, "one\n...[2J\nfirst token ************************************************* end\n");
	static char long_text[3 * HILUM_LAST_RUN_BYTES];
	size_t used = 0;
	for (int i = 0; used < 2 * HILUM_LAST_RUN_BYTES; i++)
		used += (size_t)snprintf(long_text + used, 32, "line %d of many\n", i);
	fill(long_text);
	host_health_read_log(&run, text);
	assert_memory_equal(text, "line ", 5); /* the piece of a line before is left out */
	assert_string_equal(text + strlen(text) - 8, "of many\n");
	run.written = UINT64_MAX - 5; /* a count that cannot be */
	host_health_read_log(&run, text);
	assert_true(strlen(text) <= HILUM_LAST_RUN_BYTES);
}

static void host_health_begin__panic__told_from_its_message_on(void **state)
{
	(void)state;
	fill("hilum: before\nhilum: panic: exception 6\nhilum: rax\n");
	run.end = HILUM_END_PANIC;
	host_health_begin(&config);
	assert_non_null(strstr(all_lines, "the machine was reset: a panic."));
	assert_non_null(strstr(all_lines, "last run: panic: exception 6\nlast run: rax\n"));
	assert_null(strstr(all_lines, "before"));
	assert_string_equal(boot_reason(), "panic");
}

static void host_health_begin__nothing_left__nothing_said(void **state)
{
	(void)state;
	memset(&run, 0, sizeof(run));
	run.end = 77;
	lines = 0;
	host_health_begin(&config);
	assert_int_equal(lines, 1); /* the defences */
}

static void poll_once(void)
{
	now += 1000000000;
	host_health_poll();
}

static void host_health_poll__cores_run__watchdog_hears_it(void **state)
{
	(void)state;
	pets = 0;
	for (unsigned i = 0; i < 5; i++) {
		health.passed[0]++;
		health.passed[1] += 100;
		poll_once();
	}
	assert_int_equal(pets, 5);
	assert_int_equal(sent.kind, CHANNEL_WATCHDOG);
	assert_int_equal(sent.request.value, 30);
	host_health_poll(); /* too soon */
	assert_int_equal(pets, 5);
}

static void host_health_poll__one_core_stands__watchdog_hears_nothing_until_it_goes_on(void **state)
{
	(void)state;
	pets = lines = 0;
	for (unsigned i = 0; i < 3; i++) {
		health.passed[0]++;
		poll_once();
	}
	assert_int_equal(pets, 0);
	assert_int_equal(lines, 1); /* once */
	health.passed[0]++;
	health.passed[1]++;
	poll_once();
	assert_int_equal(pets, 1);
}

static void host_health_poll__driver_vm_lost__not_told(void **state)
{
	(void)state;
	pets = 0;
	driver_lost = true;
	health.passed[0]++;
	health.passed[1]++;
	poll_once();
	driver_lost = false;
	assert_int_equal(pets, 0);
}

static void host_health_poll__faults__one_line_for_each_change(void **state)
{
	(void)state;
	lines = 0;
	for (unsigned i = 0; i < 4; i++) {
		health.passed[0]++;
		health.passed[1]++;
		health.nmis = i / 2 + 1;
		poll_once();
	}
	assert_int_equal(lines, 2);
}

static void host_health_watchdog_told__fired__is_the_reason(void **state)
{
	(void)state;
	assert_int_equal(host_health_watchdog(), 0);
	host_health_watchdog_told(false);
	assert_int_equal(host_health_watchdog(), 30);
	assert_string_equal(boot_reason(), "panic");
	host_health_watchdog_told(true);
	assert_string_equal(boot_reason(), "watchdog");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(host_health_read_log__any_bytes__printable_whole_lines_without_tokens),
		cmocka_unit_test(host_health_begin__panic__told_from_its_message_on),
		cmocka_unit_test(host_health_begin__nothing_left__nothing_said),
		cmocka_unit_test(host_health_poll__cores_run__watchdog_hears_it),
		cmocka_unit_test(host_health_poll__one_core_stands__watchdog_hears_nothing_until_it_goes_on),
		cmocka_unit_test(host_health_poll__driver_vm_lost__not_told),
		cmocka_unit_test(host_health_poll__faults__one_line_for_each_change),
		cmocka_unit_test(host_health_watchdog_told__fired__is_the_reason),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
