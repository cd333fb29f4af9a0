/* See slot_links.h. An end that is found here may be gone by the time that its slot is locked: its machine is asked again. */
#include "drivers-vm/driver/slot_links.h"

/* By number, then by position. A slot that was used once stays. */
static struct slot *ends[CHANNEL_LINKS + 1][2];

_Static_assert(MODEL_LINKS *IVSHMEM_VECTORS <= 32, "a bit for each doorbell of a machine");

static void set_ends(const struct slot *s, struct slot *to)
{
	for (unsigned i = 0; i < s->devices.links; i++) {
		const struct ivshmem_config *c = &s->devices.link_config[i];
		__atomic_store_n(&ends[c->number][c->position], to, __ATOMIC_RELEASE);
	}
}

void slot_links_join(struct slot *s)
{
	set_ends(s, s);
}

void slot_links_leave(struct slot *s)
{
	set_ends(s, NULL);
}

void slot_links_note(struct slot *s, uint32_t number, unsigned vector)
{
	for (unsigned i = 0; i < s->devices.links; i++)
		if (s->devices.link_config[i].number == number)
			s->rings |= 1u << (i * IVSHMEM_VECTORS + vector);
}

unsigned slot_links_take(struct slot *s, struct slot_ring rings[MODEL_LINKS])
{
	unsigned count = 0;

	for (unsigned i = 0; s->rings != 0; i++, s->rings >>= IVSHMEM_VECTORS) {
		const struct ivshmem_config *c = &s->devices.link_config[i];
		uint32_t vectors = s->rings & ((1u << IVSHMEM_VECTORS) - 1);
		if (vectors != 0)
			rings[count++] = (struct slot_ring){ c->number, !c->position, vectors };
	}
	return count;
}

static void ring(const struct slot_ring *r)
{
	struct slot *s = __atomic_load_n(&ends[r->number][r->position], __ATOMIC_ACQUIRE);

	if (s == NULL)
		return;
	service_lock(&s->lock);
	for (uint32_t left = r->vectors; s->attached && !s->ending && left != 0; left &= left - 1)
		machine_ring(&s->state->machine, r->number, (unsigned)__builtin_ctz(left));
	service_unlock(&s->lock);
}

void slot_links_ring(const struct slot_ring *rings, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		ring(&rings[i]);
}
