/* See host_health.h. The last run's log comes from memory that anything may have written to: each byte is made printable. */
#include "drivers-vm/control/host_health.h"

#include "drivers-vm/control/control.h"
#include "drivers-vm/control/events.h"
#include "drivers-vm/control/recover.h"

#include <stdio.h>
#include <string.h>

#define LOOK_NS     1000000000ull
#define SHOWN_LINES 8u /* of the last run, in this one's log */
#define OWN         "hilum: "
#define PANIC       OWN "panic: "
#define TOKEN       "hilum_"
#define TOKEN_BYTES (sizeof(TOKEN) - 1 + 43)

static const struct config *config;
static struct hilum_host_health now;
static uint64_t seen[HILUM_CORES_MAX], next_look;
static uint64_t told_counts;
static bool has_watchdog, watchdog_fired, looked, hanging;
static enum hilum_end last_end;
static char last_log[HILUM_LAST_RUN_BYTES + 1];

/* ---- The last run ------------------------------------------------------------------------------------------------------------------ */

static bool is_token_byte(char c)
{
	return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || c == '_' || c == '-';
}

static void hide_tokens(char *text)
{
	for (char *at = text; (at = strstr(at, TOKEN)) != NULL; at++) {
		size_t n = 0;
		while (n < TOKEN_BYTES && is_token_byte(at[n]))
			n++;
		if (n == TOKEN_BYTES)
			memset(at, '*', n);
	}
}

void host_health_read_log(const struct hilum_last_run *run, char *to)
{
	uint64_t bytes = run->written < HILUM_LAST_RUN_BYTES ? run->written : HILUM_LAST_RUN_BYTES;

	for (uint64_t i = 0; i < bytes; i++) {
		char c = run->text[(run->written - bytes + i) % HILUM_LAST_RUN_BYTES];
		to[i] = (c >= ' ' && c <= '~') || c == '\n' ? c : '.';
	}
	to[bytes] = '\0';
	const char *line = bytes < run->written ? strchr(to, '\n') : NULL;
	if (line != NULL)
		memmove(to, line + 1, strlen(line + 1) + 1);
	hide_tokens(to);
}

static unsigned lines_from(const char *text)
{
	unsigned lines = 0;

	for (; *text != '\0'; text++)
		lines += *text == '\n';
	return lines;
}

/* Without its own beginning: it must not pass for a line of this run. */
static void say_again(const char *line, int bytes)
{
	int skipped = strncmp(line, OWN, sizeof(OWN) - 1) == 0 ? (int)sizeof(OWN) - 1 : 0;

	service_log("last run: %.*s", bytes - skipped, line + skipped);
}

/* The last ones; of a panic those from its message on. */
static void show_last_lines(void)
{
	const char *line = strstr(last_log, PANIC), *end = line;

	if (line == NULL)
		for (line = last_log + strlen(last_log); line > last_log; line--)
			if (line[-1] == '\n' && lines_from(line) >= SHOWN_LINES)
				break;
	for (unsigned i = 0; i < SHOWN_LINES && (end = strchr(line, '\n')) != NULL; i++, line = end + 1)
		say_again(line, (int)(end - line));
}

static void tell_defences(void)
{
	static const char *const names[] = { "IBRS", "IBPB", "L1D flush", "VERW", "STIBP", "RSB filling", "SSBD for guests" };
	char text[96] = "";

	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (now.defences >> i & 1)
			snprintf(text + strlen(text), sizeof(text) - strlen(text), ", %s", names[i]);
	service_log("defences against speculation: retpolines%s", text);
}

void host_health_begin(const struct config *of)
{
	static struct hilum_last_run run;
	static const char *const words[] = {
		[HILUM_END_NONE] = "nobody said that it would end",
		[HILUM_END_PANIC] = "a panic",
		[HILUM_END_RESET] = "a reset that was asked for",
	};

	config = of;
	if (hc(HC_HOST_HEALTH, HILUM_HANDLE_HOST, (uintptr_t)&now) >= 0)
		tell_defences();
	if (hc(HC_HOST_LAST_RUN, HILUM_HANDLE_HOST, (uintptr_t)&run) < 0 || run.end == HILUM_END_UNKNOWN || run.end > HILUM_END_RESET)
		return;
	last_end = (enum hilum_end)run.end;
	host_health_read_log(&run, last_log);
	if (recover_restarts() != 0)
		return; /* an earlier control VM has said so */
	service_log("the machine was reset: %s. The last lines of that run:", words[last_end]);
	show_last_lines();
}

enum hilum_end host_health_last_end(void)
{
	return last_end;
}

const char *host_health_last_log(void)
{
	return last_log;
}

bool host_health_watchdog_has_fired(void)
{
	return watchdog_fired;
}

/* ---- The watchdog ------------------------------------------------------------------------------------------------------------------- */

static void pet(void)
{
	const struct channel_message m = { .kind = CHANNEL_WATCHDOG, .request = { config->watchdog_seconds, !has_watchdog } };

	if (config->watchdog_seconds != 0 && driver_vm != 0 && !driver_is_lost())
		driver_send(&m);
}

void host_health_driver_started(void)
{
	pet();
}

void host_health_watchdog_told(bool fired)
{
	if (!has_watchdog)
		service_log("watchdog: the machine is reset when it hangs for %u s", config->watchdog_seconds);
	if (fired && !watchdog_fired) {
		service_log("watchdog: it has ended the last run of the machine");
		event_add("host.watchdog", "", "it has reset the machine");
	}
	has_watchdog = true;
	watchdog_fired |= fired;
}

uint32_t host_health_watchdog(void)
{
	return has_watchdog ? config->watchdog_seconds : 0;
}

/* ---- The look ------------------------------------------------------------------------------------------------------------------------ */

/* A core passes a point between guests' instructions whenever it is interrupted, as each call interrupts it. */
static bool all_cores_run(void)
{
	bool all = true;

	for (uint32_t i = 0; i < control_host.core_count && i < HILUM_CORES_MAX; i++) {
		bool stands = looked && now.passed[i] == seen[i];
		if (stands && !hanging)
			service_log("core %u has not been between two instructions of a guest for a second: it hangs", i);
		hanging |= stands;
		all &= !stands;
		seen[i] = now.passed[i];
	}
	hanging &= !all;
	looked = true;
	return all;
}

static void tell_of_counts(void)
{
	uint64_t counts = now.nmis + now.storms + now.checks_corrected + now.checks_contained;

	if (counts == told_counts)
		return;
	told_counts = counts;
	service_log(
		"machine: %lu NMIs, %lu machine checks corrected and %lu contained (status 0x%lx, address 0x%lx), %lu devices cut off for interrupts",
		(unsigned long)now.nmis, (unsigned long)now.checks_corrected, (unsigned long)now.checks_contained,
		(unsigned long)now.check_status, (unsigned long)now.check_address, (unsigned long)now.storms);
	event_add("host.fault", "", "%lu NMIs, %lu machine checks, %lu interrupt storms so far", (unsigned long)now.nmis,
	          (unsigned long)(now.checks_corrected + now.checks_contained), (unsigned long)now.storms);
}

uint64_t host_health_poll(void)
{
	uint64_t at = service_tsc();

	if (at < next_look)
		return next_look;
	next_look = at + service_ns_to_tsc(LOOK_NS);
	if (hc(HC_HOST_HEALTH, HILUM_HANDLE_HOST, (uintptr_t)&now) < 0)
		return next_look;
	if (all_cores_run())
		pet();
	tell_of_counts();
	return next_look;
}

const struct hilum_host_health *host_health_now(void)
{
	return &now;
}
