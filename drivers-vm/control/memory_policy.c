#include "drivers-vm/control/memory_policy.h"

#define LOW_WATER_SHARE 32u /* of the machine's memory */
#define LOW_WATER_LEAST 0x1000000ull
#define LOW_WATER_MOST  0x40000000ull
#define PAGE_BYTES      4096u
#define NO_PRESSURE     0x200000u /* less than this is none */

static uint64_t less(uint64_t a, uint64_t b)
{
	return a > b ? a - b : 0;
}

/* a * b / c without overflow, for b <= c or small b; rounds down. */
static uint64_t scale(uint64_t a, uint64_t b, uint64_t c)
{
	while (b > UINT32_MAX || c > UINT32_MAX) {
		b >>= 1;
		c >>= 1;
	}
	return c == 0 ? 0 : a / c * b + a % c * b / c;
}

uint64_t memory_promised(const struct memory_figures *figures)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < figures->guests; i++)
		sum += figures->guest[i].most;
	return sum;
}

uint64_t memory_resident(const struct memory_figures *figures)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < figures->guests; i++)
		sum += figures->guest[i].resident;
	return sum;
}

/* What must be there for guests that are promised `most` bytes and guaranteed `least` of them, all together. */
static uint64_t backing(const struct memory_figures *figures, uint64_t most, uint64_t least)
{
	uint64_t share = scale(most, 100, figures->overcommit);

	return share > least ? share : least;
}

/* What there is for guests that are populated at first access. */
static uint64_t there(const struct memory_figures *figures)
{
	return less(figures->free + memory_resident(figures), MEMORY_RESERVE_BYTES);
}

static uint64_t guaranteed(const struct memory_figures *figures)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < figures->guests; i++)
		sum += figures->guest[i].least;
	return sum;
}

uint64_t memory_spare(const struct memory_figures *figures)
{
	uint64_t spare = less(there(figures), backing(figures, memory_promised(figures), guaranteed(figures)));
	uint64_t now = less(figures->free, MEMORY_RESERVE_BYTES);

	return spare < now ? spare : now;
}

uint64_t memory_missing(const struct memory_figures *figures, uint64_t at_once, uint64_t most, uint64_t least)
{
	uint64_t needed = at_once + backing(figures, memory_promised(figures) + most, guaranteed(figures) + least);
	uint64_t missing = less(needed, there(figures)), now = less(at_once + MEMORY_RESERVE_BYTES, figures->free);

	return missing > now ? missing : now;
}

uint64_t memory_low_water(const struct memory_figures *figures)
{
	uint64_t share = figures->total / LOW_WATER_SHARE;

	share = share < LOW_WATER_LEAST ? LOW_WATER_LEAST : share > LOW_WATER_MOST ? LOW_WATER_MOST : share;
	return MEMORY_RESERVE_BYTES + share;
}

bool memory_is_short_of_promises(const struct memory_figures *figures)
{
	return memory_promised(figures) > there(figures);
}

/* What the guest can give up. */
static uint64_t above_guarantee(const struct memory_guest *guest)
{
	return guest->balloon ? less(guest->resident, guest->least) : 0;
}

static void press(const struct memory_figures *figures, uint64_t wanted)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < figures->guests; i++)
		sum += above_guarantee(&figures->guest[i]);
	if (wanted > sum)
		wanted = sum;
	for (unsigned i = 0; i < figures->guests; i++) {
		struct memory_guest *guest = &figures->guest[i];
		uint64_t gives = scale(wanted, above_guarantee(guest), sum);
		/* Counted from what it has: pages that it never had are nobody's gain. */
		uint64_t pressure = less(guest->memory + gives, guest->resident) & ~(uint64_t)(PAGE_BYTES - 1);
		if (gives != 0 && pressure > guest->pressure)
			guest->pressure = pressure;
	}
}

static void let_go(const struct memory_figures *figures, uint64_t surplus)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < figures->guests; i++)
		sum += figures->guest[i].pressure;
	for (unsigned i = 0; i < figures->guests; i++) {
		struct memory_guest *guest = &figures->guest[i];
		uint64_t back = scale(surplus < sum ? surplus : sum, guest->pressure, sum);
		guest->pressure = less(guest->pressure, back) & ~(uint64_t)(PAGE_BYTES - 1);
		if (guest->pressure < NO_PRESSURE)
			guest->pressure = 0;
	}
}

bool memory_balance(const struct memory_figures *figures)
{
	uint64_t low = memory_low_water(figures), high = 2 * low;
	bool any = false;

	if (figures->free < low)
		press(figures, high - figures->free);
	else if (figures->free > high)
		let_go(figures, (figures->free - high) / 2);
	for (unsigned i = 0; i < figures->guests; i++)
		any |= figures->guest[i].pressure != 0;
	return any;
}
