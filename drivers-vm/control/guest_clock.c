/* See guest_clock.h. */
#include "drivers-vm/control/guest_clock.h"

#include <string.h>

#define FLAG_STABLE 1u /* one clock for all vCPUs */

struct time_info {
	uint32_t version; /* odd while it changes, which it never does */
	uint32_t pad;
	uint64_t tsc_timestamp;
	uint64_t system_time; /* ns */
	uint32_t tsc_to_system_mul;
	int8_t tsc_shift;
	uint8_t flags;
	uint8_t pad2[2];
};
_Static_assert(sizeof(struct time_info) == 32, "KVM's layout");

void guest_clock_build(uint64_t tsc_hz, uint64_t out[4])
{
	struct time_info t = { .version = 2, .flags = FLAG_STABLE };

	/* ns = ((tsc << shift) * mul) >> 32, with mul in [2^31, 2^32) */
	for (; tsc_hz > 2000000000ull; tsc_hz >>= 1)
		t.tsc_shift--;
	for (; tsc_hz <= 1000000000ull; tsc_hz <<= 1)
		t.tsc_shift++;
	t.tsc_to_system_mul = (uint32_t)((1000000000ull << 32) / tsc_hz);
	memcpy(out, &t, sizeof(t));
}
