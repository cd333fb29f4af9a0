/* Two rings of entries with ids in common. */
#include "drivers-vm/control/api/audit.h"

#include <stdio.h>
#include <string.h>

static struct audit_rings own, *rings = &own;
static uint64_t last;

static void check(struct audit_entry *e)
{
	e->token[sizeof(e->token) - 1] = e->role[sizeof(e->role) - 1] = e->peer[sizeof(e->peer) - 1] = '\0';
	e->method[sizeof(e->method) - 1] = e->path[sizeof(e->path) - 1] = '\0';
	last = e->id > last ? e->id : last;
}

void audit_use(struct audit_rings *of)
{
	rings = of;
	last = 0;
	for (unsigned i = 0; i < AUDIT_KEPT; i++)
		check(&rings->known[i]);
	for (unsigned i = 0; i < AUDIT_REFUSED_KEPT; i++)
		check(&rings->refused[i]);
}

void audit_add(struct audit_entry *entry)
{
	struct audit_entry *at = entry->token[0] != '\0' ? &rings->known[rings->known_count++ % AUDIT_KEPT]
	                                                 : &rings->refused[rings->refused_count++ % AUDIT_REFUSED_KEPT];

	__atomic_store_n(&at->id, 0, __ATOMIC_SEQ_CST); /* empty until it is all there */
	entry->id = 0;
	*at = *entry;
	entry->id = ++last;
	__atomic_store_n(&at->id, entry->id, __ATOMIC_SEQ_CST);
}

/* The entry of a ring with the smallest id above `id`, or NULL. */
static const struct audit_entry *first_after(const struct audit_entry *ring, unsigned size, uint64_t id)
{
	const struct audit_entry *best = NULL;

	for (unsigned i = 0; i < size; i++)
		if (ring[i].id > id && (best == NULL || ring[i].id < best->id))
			best = &ring[i];
	return best;
}

bool audit_after(uint64_t id, struct audit_entry *out)
{
	const struct audit_entry *a = first_after(rings->known, AUDIT_KEPT, id), *b = first_after(rings->refused, AUDIT_REFUSED_KEPT, id);

	if (a == NULL || (b != NULL && b->id < a->id))
		a = b;
	if (a == NULL)
		return false;
	*out = *a;
	return true;
}

uint64_t audit_last_id(void)
{
	return last;
}

void audit_format_peer(const uint8_t peer[16], char text[46])
{
	static const uint8_t mapped[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF };
	int used = 0;

	if (memcmp(peer, mapped, sizeof(mapped)) == 0) {
		snprintf(text, 46, "%u.%u.%u.%u", peer[12], peer[13], peer[14], peer[15]);
		return;
	}
	for (unsigned i = 0; i < 16; i += 2)
		used += snprintf(text + used, 46 - (size_t)used, "%s%x", i == 0 ? "" : ":", (unsigned)peer[i] << 8 | peer[i + 1]);
}
