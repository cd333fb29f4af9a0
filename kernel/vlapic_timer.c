/*
 * The local APIC's timer: one-shot, periodic, TSC-deadline. SDM vol. 3A, "APIC Timer".
 *
 * Nothing counts. A running timer is the host TSC at which it reaches zero next (`deadline_tsc`); the current
 * count follows from the clock. A periodic deadline is moved by whole periods, so it never drifts. While the
 * local vector is masked no host timer is set and the state is brought up to date (`settle`) when somebody
 * looks. Owner only, like everything that is not an interrupt.
 */
#include "kernel/vlapic_internal.h"

static inline bool counts(const struct vlapic *v)
{
	return !(v->reg[APIC_LVT_TIMER] & APIC_LVT_TIMER_DEADLINE);
}

/*
 * Brings a timer whose deadline has passed to its state at `now`; fires its vector (once, however many
 * periods were missed).
 */
static void settle(struct vlapic *v, uint64_t now)
{
	uint64_t deadline = v->deadline_tsc;

	if (!deadline || now < deadline)
		return;
	if (vlapic_timer_mode(v->reg[APIC_LVT_TIMER]) == APIC_TIMER_PERIODIC) {
		deadline += v->period_tsc;
		if (unlikely(now >= deadline))
			deadline += ((now - deadline) / v->period_tsc + 1) * v->period_tsc;
		v->deadline_tsc = deadline;
	} else {
		v->deadline_tsc = 0;
		v->guest_deadline = 0;
	}
	vlapic_fire_lvt(v, APIC_LVT_TIMER);
}

/* Makes the host timer follow the state. */
static void arm(struct vlapic *v)
{
	if (v->deadline_tsc && !(v->reg[APIC_LVT_TIMER] & APIC_LVT_MASKED)) {
		v->timer_armed = true;
		vlapic_timer_set(v, v->deadline_tsc);
	} else if (v->timer_armed) {
		v->timer_armed = false;
		vlapic_timer_cancel(v);
	}
}

static void disarm(struct vlapic *v)
{
	v->deadline_tsc = 0;
	v->guest_deadline = 0;
	arm(v);
}

void vlapic_timer_stop(struct vlapic *v)
{
	settle(v, rdtsc());
	disarm(v);
}

void vlapic_timer_expired(struct vlapic *v)
{
	v->timer_armed = false;
	settle(v, rdtsc());
	arm(v);
}

/* Starts counting down from `count` at `now`; later periods last initial_count counts. */
static void start(struct vlapic *v, uint64_t now, uint64_t count)
{
	uint64_t first = count << v->divide_shift;

	v->period_tsc = (uint64_t)v->reg[APIC_INITIAL_COUNT] << v->divide_shift;
	if (v->period_tsc < v->bus->timer_min_period_tsc)
		v->period_tsc = v->bus->timer_min_period_tsc;
	if (vlapic_timer_mode(v->reg[APIC_LVT_TIMER]) == APIC_TIMER_PERIODIC && count == v->reg[APIC_INITIAL_COUNT])
		first = v->period_tsc;
	v->deadline_tsc = now + first;
	arm(v);
}

/*
 * Counts that are left at `now`, which is before the deadline; the one under way counts whole. 0 if it does
 * not run.
 */
static uint64_t remaining(const struct vlapic *v, uint64_t now)
{
	uint64_t left = v->deadline_tsc - now, divisor = 1ull << v->divide_shift;

	return v->deadline_tsc && counts(v) ? (left + divisor - 1) >> v->divide_shift : 0;
}

void vlapic_timer_write_initial(struct vlapic *v, uint32_t count)
{
	uint64_t now = rdtsc();

	if (!counts(v))
		return; /* "writes to the initial-count register are ignored" in TSC-deadline mode */
	settle(v, now);
	v->reg[APIC_INITIAL_COUNT] = count;
	if (count)
		start(v, now, count);
	else
		disarm(v);
}

/* The count goes on from where it is, at the new rate. */
void vlapic_timer_write_divide(struct vlapic *v, uint32_t dcr)
{
	uint64_t now = rdtsc(), left;

	settle(v, now);
	left = remaining(v, now);
	v->reg[APIC_DIVIDE] = dcr;
	v->divide_shift = (uint8_t)((((dcr & 3) | (dcr >> 1 & 4)) + 1) & 7); /* 000 divides by 2, 110 by 128, 111 by 1 */
	if (left)
		start(v, now, left);
}

void vlapic_timer_write_lvt(struct vlapic *v, uint32_t lvt)
{
	uint32_t old = v->reg[APIC_LVT_TIMER];

	settle(v, rdtsc());
	PUBLISH(v->reg[APIC_LVT_TIMER], lvt);
	if (((lvt ^ old) & APIC_LVT_TIMER_MASK) && ((lvt | old) & APIC_LVT_TIMER_DEADLINE)) /* to or from it: disarms */
		disarm(v);
	else
		arm(v);
}

uint32_t vlapic_timer_read_count(struct vlapic *v)
{
	uint64_t now = rdtsc(), left;

	settle(v, now);
	left = remaining(v, now);
	return left < v->reg[APIC_INITIAL_COUNT] ? (uint32_t)left : v->reg[APIC_INITIAL_COUNT];
}

void vlapic_timer_write_deadline(struct vlapic *v, uint64_t guest_tsc)
{
	uint64_t now = rdtsc(), guest_now = now + v->tsc_offset;

	if (vlapic_timer_mode(v->reg[APIC_LVT_TIMER]) != APIC_TIMER_TSC_DEADLINE)
		return; /* ignored in the other modes */
	settle(v, now);
	if (!guest_tsc) {
		disarm(v);
		return;
	}
	v->guest_deadline = guest_tsc;
	if (guest_tsc <= guest_now) {
		v->deadline_tsc = now;
		settle(v, now);
	} else if (__builtin_add_overflow(now, guest_tsc - guest_now, &v->deadline_tsc)) {
		v->deadline_tsc = UINT64_MAX; /* beyond the life of the machine */
	}
	arm(v);
}

uint64_t vlapic_timer_read_deadline(struct vlapic *v)
{
	settle(v, rdtsc());
	return v->guest_deadline;
}

void vlapic_set_tsc_offset(struct vlapic *v, uint64_t offset)
{
	settle(v, rdtsc());
	v->tsc_offset = offset;
	if (v->guest_deadline)
		vlapic_timer_write_deadline(v, v->guest_deadline);
}
