/* The ring of events. An event that is read is copied out, so its reader may be as slow as it likes. */
#include "drivers-vm/control/events.h"

#include <stdarg.h>
#include <stdio.h>

static struct event_ring own, *ring = &own;
static uint64_t (*clock_ns)(void);
static void (*watch)(const char *kind, const char *name);
static bool is_quiet;

void events_use(struct event_ring *of)
{
	ring = of;
	for (unsigned i = 0; i < EVENTS_KEPT; i++) {
		struct event *e = &ring->at[i];
		e->kind[sizeof(e->kind) - 1] = e->name[sizeof(e->name) - 1] = e->message[sizeof(e->message) - 1] = '\0';
	}
}

void events_set_watcher(void (*watcher)(const char *kind, const char *name))
{
	watch = watcher;
}

void events_set_quiet(bool quiet)
{
	is_quiet = quiet;
}

void events_set_clock(uint64_t (*now_ns)(void))
{
	clock_ns = now_ns;
}

void event_add(const char *kind, const char *name, const char *format, ...)
{
	struct event *e = &ring->at[(ring->last + 1) % EVENTS_KEPT];
	va_list args;

	if (is_quiet)
		return;
	e->id = ring->last + 1;
	e->time_ns = clock_ns != NULL ? clock_ns() : 0;
	snprintf(e->kind, sizeof(e->kind), "%s", kind);
	snprintf(e->name, sizeof(e->name), "%s", name);
	va_start(args, format);
	vsnprintf(e->message, sizeof(e->message), format, args);
	va_end(args);
	__atomic_store_n(&ring->last, e->id, __ATOMIC_RELEASE);
	if (watch != NULL)
		watch(kind, name);
}

bool event_after(uint64_t id, struct event *out)
{
	if (id >= ring->last)
		return false;
	if (ring->last - id > EVENTS_KEPT)
		id = ring->last - EVENTS_KEPT;
	*out = ring->at[(id + 1) % EVENTS_KEPT];
	return true;
}

uint64_t event_last_id(void)
{
	return ring->last;
}
