/* The ring of events. An event that is read is copied out, so its reader may be as slow as it likes. */
#include "drivers-vm/control/events.h"

#include <stdarg.h>
#include <stdio.h>

static struct event ring[EVENTS_KEPT]; /* event `id` is at id % EVENTS_KEPT */
static uint64_t last;
static uint64_t (*clock_ns)(void);

void events_set_clock(uint64_t (*now_ns)(void))
{
	clock_ns = now_ns;
}

void event_add(const char *kind, const char *name, const char *format, ...)
{
	struct event *e = &ring[++last % EVENTS_KEPT];
	va_list args;

	e->id = last;
	e->time_ns = clock_ns != NULL ? clock_ns() : 0;
	snprintf(e->kind, sizeof(e->kind), "%s", kind);
	snprintf(e->name, sizeof(e->name), "%s", name);
	va_start(args, format);
	vsnprintf(e->message, sizeof(e->message), format, args);
	va_end(args);
}

bool event_after(uint64_t id, struct event *out)
{
	if (id >= last)
		return false;
	if (last - id > EVENTS_KEPT)
		id = last - EVENTS_KEPT;
	*out = ring[(id + 1) % EVENTS_KEPT];
	return true;
}

uint64_t event_last_id(void)
{
	return last;
}
