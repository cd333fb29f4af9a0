/* The driver VM's guest-physical addresses above its own memory: who has which. A list in the order of addresses. */
#include "drivers-vm/control/control.h"

#include <stdlib.h>

#define BIG_PAGE  0x200000ull
#define HUGE_PAGE (1ull << 30)
#define LIMIT     (1ull << 47) /* of guest-physical space */

struct place {
	uint64_t gpa, end;
	struct place *before, *next;
};

static struct place first = { .gpa = CHANNEL_RAM_GPA, .end = CHANNEL_RAM_GPA };
/* No place before it is followed by a gap: in the usual case the search is over at once. */
static struct place *full_to = &first;

/* What is large begins where the largest page can map it. */
static uint64_t round_up(uint64_t value, uint64_t bytes)
{
	uint64_t unit = bytes >= HUGE_PAGE ? HUGE_PAGE : BIG_PAGE;

	return (value + unit - 1) & ~(unit - 1);
}

/* Behind `p`, before whatever comes next; bytes a multiple of BIG_PAGE. False: no memory, or beyond all addresses. */
static bool insert(struct place *p, uint64_t gpa, uint64_t bytes)
{
	struct place *made = bytes != 0 && bytes < LIMIT && gpa < LIMIT - bytes ? malloc(sizeof(*made)) : NULL;

	if (made == NULL)
		return false;
	*made = (struct place){ .gpa = gpa, .end = gpa + bytes, .before = p, .next = p->next };
	p->next = made;
	if (made->next != NULL)
		made->next->before = made;
	return true;
}

uint64_t driver_space_take(uint64_t bytes)
{
	struct place *p = full_to;

	bytes = (bytes + BIG_PAGE - 1) & ~(BIG_PAGE - 1);
	while (p->next != NULL && (p->next->gpa < round_up(p->end, bytes) || p->next->gpa - round_up(p->end, bytes) < bytes)) {
		if (p == full_to && p->next->gpa == p->end)
			full_to = p->next;
		p = p->next;
	}
	uint64_t gpa = round_up(p->end, bytes);
	return insert(p, gpa, bytes) ? gpa : 0;
}

/* The last place that begins at `gpa` or before. */
static struct place *last_before(uint64_t gpa)
{
	struct place *p = &first;

	while (p->next != NULL && p->next->gpa <= gpa)
		p = p->next;
	return p;
}

bool driver_space_claim(uint64_t gpa, uint64_t bytes)
{
	struct place *p = last_before(gpa);

	bytes = (bytes + BIG_PAGE - 1) & ~(BIG_PAGE - 1);
	return gpa >= p->end && gpa % BIG_PAGE == 0 && bytes < LIMIT && (p->next == NULL || gpa + bytes <= p->next->gpa) &&
	       insert(p, gpa, bytes);
}

bool driver_space_is_taken(uint64_t gpa)
{
	const struct place *p = last_before(gpa);

	return gpa >= p->gpa && gpa < p->end;
}

void driver_space_give(uint64_t gpa)
{
	struct place *p = first.next;

	while (p != NULL && p->gpa != gpa)
		p = p->next;
	if (p == NULL)
		return;
	p->before->next = p->next;
	if (p->next != NULL)
		p->next->before = p->before;
	if (full_to->gpa >= p->before->gpa)
		full_to = p->before;
	free(p);
}
