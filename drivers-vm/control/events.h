/* What has happened to VMs, host and operators' sessions: the last EVENTS_KEPT of it, numbered. Pure. */
#ifndef DRIVERS_VM_CONTROL_EVENTS_H
#define DRIVERS_VM_CONTROL_EVENTS_H

#include <stdbool.h>
#include <stdint.h>

#define EVENTS_KEPT         1024u
#define EVENT_KIND_BYTES    24u
#define EVENT_NAME_BYTES    48u
#define EVENT_MESSAGE_BYTES 128u

struct event {
	uint64_t id;                       /* from 1, without gaps */
	uint64_t time_ns;                  /* since 1970 */
	char kind[EVENT_KIND_BYTES];       /* "vm.started", "vm.stopped", "vm.crashed", "vm.paused", "driver.restarted" ... */
	char name[EVENT_NAME_BYTES];       /* of the VM or image, or "" */
	char message[EVENT_MESSAGE_BYTES]; /* one line, or "" */
};

/* Where they are kept: 0 events in memory that is zero. `last` is stored last. */
struct event_ring {
	uint64_t last;
	struct event at[EVENTS_KEPT]; /* event `id` is at id % EVENTS_KEPT */
};
/* From now on they are kept there, with what is there already, of which a control VM has died. */
void events_use(struct event_ring *ring);
/* Called after each that was added. */
void events_set_watcher(void (*watcher)(const char *kind, const char *name));
/* While it is quiet none is added: what happens is not new. */
void events_set_quiet(bool quiet);

/* The clock of events; until it is set their time is zero. */
void events_set_clock(uint64_t (*now_ns)(void));
void event_add(const char *kind, const char *name, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* The first event after `id` that is still kept; false: there is none yet. */
bool event_after(uint64_t id, struct event *out);
/* Of the latest event; zero: none. */
uint64_t event_last_id(void);

#endif
