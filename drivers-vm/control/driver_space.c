/* Guest-physical addresses of the driver VM above its own memory: who has which. */
#include "drivers-vm/control/control.h"

#define PLACES (CHANNEL_SLOTS * (1u + CONFIG_DISKS_MAX))
#define GIB    (1ull << 30)

static struct {
	uint64_t gpa, bytes;
} place[PLACES];

/* The end of a place that begins before gpa + bytes and ends behind gpa; 0: there is none. */
static uint64_t overlap_end(uint64_t gpa, uint64_t bytes)
{
	for (unsigned i = 0; i < PLACES; i++)
		if (place[i].bytes != 0 && place[i].gpa < gpa + bytes && gpa < place[i].gpa + place[i].bytes)
			return place[i].gpa + place[i].bytes;
	return 0;
}

uint64_t driver_space_take(uint64_t bytes)
{
	uint64_t gpa = CHANNEL_RAM_GPA, end;
	unsigned i = 0;

	bytes = (bytes + GIB - 1) & ~(GIB - 1);
	while ((end = overlap_end(gpa, bytes)) != 0)
		gpa = end;
	while (i < PLACES && place[i].bytes != 0)
		i++;
	if (i == PLACES)
		return 0;
	place[i].gpa = gpa;
	place[i].bytes = bytes;
	return gpa;
}

bool driver_space_claim(uint64_t gpa, uint64_t bytes)
{
	bytes = (bytes + GIB - 1) & ~(GIB - 1);
	if (gpa < CHANNEL_RAM_GPA || (gpa & (GIB - 1)) != 0 || bytes == 0 || gpa + bytes < gpa || overlap_end(gpa, bytes) != 0)
		return false;
	for (unsigned i = 0; i < PLACES; i++)
		if (place[i].bytes == 0) {
			place[i].gpa = gpa;
			place[i].bytes = bytes;
			return true;
		}
	return false;
}

bool driver_space_is_taken(uint64_t gpa)
{
	return overlap_end(gpa, 1) != 0;
}

void driver_space_give(uint64_t gpa)
{
	for (unsigned i = 0; i < PLACES; i++)
		if (place[i].gpa == gpa)
			place[i].bytes = 0;
}
