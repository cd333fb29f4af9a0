/* Timers of the guests' machines: each slot keeps its own, and one heap says which slot is next. */
#include "drivers-vm/driver/deadlines.h"
#include "drivers-vm/driver/slot_private.h"

static struct service_lock deadlines_lock; /* taken with a slot's lock held, or with none */
static struct deadlines deadlines;         /* host TSC, of each slot with a timer that runs */

uint64_t slot_now(void *ctx)
{
	struct slot *s = ctx;

	return service_tsc_to_ns(service_tsc() - s->state->start_tsc);
}

static uint64_t tsc_of(const struct slot *s, uint64_t ns)
{
	return s->state->start_tsc + service_ns_to_tsc(ns) + 1;
}

void slot_set_deadline(const struct slot *s, uint64_t deadline_tsc)
{
	service_lock(&deadlines_lock);
	deadlines_set(&deadlines, s->index, deadline_tsc);
	service_unlock(&deadlines_lock);
}

void slot_timer_arm(void *ctx, unsigned timer, uint64_t deadline_ns)
{
	struct slot *s = ctx;

	s->deadline_ns[timer] = deadline_ns;
	if (deadline_ns == 0)
		return;
	if (s->next_ns != 0 && deadline_ns >= s->next_ns)
		return;
	s->next_ns = deadline_ns;
	slot_set_deadline(s, tsc_of(s, deadline_ns));
	timers_changed(tsc_of(s, deadline_ns));
}

static uint64_t run_timers_of(struct slot *s)
{
	uint64_t now, next = 0;

	if (s->next_ns == 0)
		return 0;
	now = slot_now(s);
	if (s->next_ns > now)
		return tsc_of(s, s->next_ns);
	for (unsigned i = 0; i < MODEL_TIMER_COUNT; i++) {
		if (s->deadline_ns[i] != 0 && s->deadline_ns[i] <= now) {
			s->deadline_ns[i] = 0;
			machine_timer(&s->state->machine, i);
		}
	}
	for (unsigned i = 0; i < MODEL_TIMER_COUNT; i++)
		if (s->deadline_ns[i] != 0 && (next == 0 || s->deadline_ns[i] < next))
			next = s->deadline_ns[i];
	s->next_ns = next;
	return next != 0 ? tsc_of(s, next) : 0;
}

/* The slot that is to be looked at first; NULL: none. */
static struct slot *first_due(uint64_t *deadline_tsc)
{
	unsigned index = 0;

	service_lock(&deadlines_lock);
	*deadline_tsc = deadlines_first(&deadlines, &index);
	service_unlock(&deadlines_lock);
	return *deadline_tsc != 0 ? slot_at(index) : NULL;
}

uint64_t slots_run_timers(void)
{
	uint64_t now = service_tsc(), first;
	struct slot *s;

	while ((s = first_due(&first)) != NULL && first <= now) {
		slot_enter(s);
		uint64_t next = s->attached && !s->ending ? run_timers_of(s) : 0;
		/* One that is late already has its next turn after all others. */
		slot_set_deadline(s, next != 0 && next <= now ? now + 1 : next);
		slot_leave(s);
	}
	return first;
}
