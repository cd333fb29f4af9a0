/* See guard.h. SDM vol. 3A, "Advanced Programmable Interrupt Controller": the timer in one-shot mode counts TSC ticks here. */
#include "drivers-vm/control/guard.h"

#include "drivers-vm/control/places.h"
#include "drivers-vm/lib/channel.h"
#include "drivers-vm/runtime/service.h"

#include <stdbool.h>

enum { APIC_SPURIOUS = 0xF0, APIC_LVT_TIMER = 0x320, APIC_TIMER_INITIAL = 0x380, APIC_TIMER_DIVIDE = 0x3E0 };
#define APIC_ENABLED  0x1FFu
#define DIVIDE_SHIFT  7u
#define DIVIDE_BY_128 0xAu
#define VECTOR        0x40u /* any: nothing is there */
#define STRIKE_NS     (1ull << 26)

static uint64_t due;     /* when it strikes; 0: it rests */
static uint64_t went_on; /* when guard_go_on was called last */
static bool strikes;     /* it is not put off any more */

static void apic_write(unsigned offset, uint32_t value)
{
	*(volatile uint32_t *)(PLACES_LAPIC + offset) = value;
}

static void strike_after(uint64_t tsc)
{
	due = service_tsc() + tsc;
	apic_write(APIC_TIMER_INITIAL, tsc >> DIVIDE_SHIFT >= UINT32_MAX ? UINT32_MAX : (uint32_t)(tsc >> DIVIDE_SHIFT) + 1);
}

/* The timer is written to seldom: only when less than half of its time is left. */
static void put_off(void)
{
	uint64_t now = service_tsc();

	if (!strikes && now - went_on < service_ns_to_tsc(GUARD_WAITS_NS) && now + service_ns_to_tsc(GUARD_NS / 2) > due)
		strike_after(service_ns_to_tsc(GUARD_NS));
}

void guard_begin(void)
{
	apic_write(APIC_SPURIOUS, APIC_ENABLED);
	apic_write(APIC_TIMER_DIVIDE, DIVIDE_BY_128);
	apic_write(APIC_LVT_TIMER, VECTOR);
	guard_go_on();
	__asm__ volatile("sti");
}

void guard_go_on(void)
{
	went_on = service_tsc();
	put_off();
}

void guard_rest(void)
{
	if (strikes)
		return;
	due = 0;
	apic_write(APIC_TIMER_INITIAL, 0);
}

void guard_wait(uint64_t deadline_tsc)
{
	uint64_t longest = service_tsc() + service_ns_to_tsc(GUARD_NS / 4);
	struct hypercall_trap none;

	put_off();
	hypercall_wait(0, deadline_tsc != 0 && deadline_tsc < longest ? deadline_tsc : longest, &none);
	put_off();
}

void guard_end_for_test(uint64_t how)
{
	if (how == CHANNEL_CONTROL_CRASH)
		runtime_abort("a guest has written to its debug_crash port");
	while (how == CHANNEL_CONTROL_HANG) /* NOLINT(bugprone-infinite-loop): it hangs for a test */
		__asm__ volatile("pause");
	while (how == CHANNEL_CONTROL_WAIT) /* NOLINT(bugprone-infinite-loop): likewise */
		guard_wait(0);
	if (how != CHANNEL_CONTROL_STRIKE || strikes)
		return;
	strike_after(service_ns_to_tsc(service_tsc() * 0x9E3779B97F4A7C15ull % STRIKE_NS));
	strikes = true;
}
