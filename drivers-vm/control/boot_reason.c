/* See boot_reason.h. */
#include "drivers-vm/control/boot_reason.h"

#include "drivers-vm/control/host_health.h"
#include "drivers-vm/control/store/store.h"

#include <stdio.h>

#define KEY "setting/running"

static char reason[BOOT_REASON_BYTES] = "unknown";
static bool known;

void boot_reason_set(const char *text)
{
	snprintf(reason, sizeof(reason), "%s", text);
	known = true;
}

void boot_reason_begin(void)
{
	size_t bytes;

	if (known)
		return;
	if (store_is_kept())
		boot_reason_set(store_get(KEY, &bytes) != NULL ? "recovery" : "power-on");
	store_put(KEY, "1", 1, 0);
}

void boot_reason_end(void)
{
	store_remove(KEY);
}

const char *boot_reason(void)
{
	static const char *const ends[] = { [HILUM_END_NONE] = "reset", [HILUM_END_PANIC] = "panic", [HILUM_END_RESET] = "requested" };

	if (host_health_watchdog_has_fired())
		return "watchdog";
	if (host_health_last_end() != HILUM_END_UNKNOWN)
		return ends[host_health_last_end()];
	return reason;
}
