/* Two rings of entries with ids in common. */
#include "drivers-vm/control/api/audit.h"

#include <stdio.h>
#include <string.h>

static struct audit_entry known[AUDIT_KEPT], refused[AUDIT_REFUSED_KEPT];
static uint64_t known_count, refused_count, last;

void audit_add(struct audit_entry *entry)
{
	entry->id = ++last;
	if (entry->token[0] != '\0')
		known[known_count++ % AUDIT_KEPT] = *entry;
	else
		refused[refused_count++ % AUDIT_REFUSED_KEPT] = *entry;
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
	const struct audit_entry *a = first_after(known, AUDIT_KEPT, id), *b = first_after(refused, AUDIT_REFUSED_KEPT, id);

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
	static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF};
	int used = 0;

	if (memcmp(peer, mapped, sizeof(mapped)) == 0) {
		snprintf(text, 46, "%u.%u.%u.%u", peer[12], peer[13], peer[14], peer[15]);
		return;
	}
	for (unsigned i = 0; i < 16; i += 2)
		used += snprintf(text + used, 46 - (size_t)used, "%s%x", i == 0 ? "" : ":", (unsigned)peer[i] << 8 | peer[i + 1]);
}
