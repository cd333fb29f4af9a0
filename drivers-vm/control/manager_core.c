/*
 * Core files: those that ends have left, and those of VMs that stand still. One that is kept holds the memory of a VM, until it was
 * fetched, the VM is booted by an operator, leaves another one or is undefined, an hour has passed, or a VM cannot start for want of
 * memory.
 */
#include "drivers-vm/control/coredump/coredump.h"
#include "drivers-vm/control/events.h"
#include "drivers-vm/control/guest.h"
#include "drivers-vm/control/manager_private.h"
#include <string.h>

#define KEEP_NS      (3600 * 1000000000ull)
#define SESSIONS_MAX 4

static struct session {
	bool used, kept;
	char name[CONFIG_NAME_BYTES];
	struct coredump *core; /* its own; of a kept one, the entry's */
	uint64_t offset, moves;
} sessions[SESSIONS_MAX];

static unsigned kept; /* entries that have one */

void manager_core_take(struct manager_entry *e)
{
	const char *name = e->defined->config.name;

	manager_core_drop(e, "there is a newer one");
	e->core = coredump_take((uint32_t)e->slot);
	e->core_ns = manager_clock_ns();
	kept += e->core != NULL;
	if (e->core == NULL)
		service_log("vm %s: there is no memory for its core file", name);
	else
		event_add("vm.core", name, "%lu bytes are kept", (unsigned long)coredump_bytes(e->core));
}

void manager_core_drop(struct manager_entry *e, const char *why)
{
	if (e->core == NULL)
		return;
	for (int i = 0; i < SESSIONS_MAX; i++)
		if (sessions[i].core == e->core)
			sessions[i].core = NULL; /* its reader finds out */
	coredump_free(e->core);
	e->core = NULL;
	kept--;
	event_add("vm.core", e->defined->config.name, "dropped: %s", why);
}

bool manager_core_drop_oldest(void)
{
	struct manager_entry *e, *oldest = NULL;

	for (unsigned i = 0; (e = manager_entry_at(i)) != NULL; i++)
		if (e->core != NULL && (oldest == NULL || e->core_ns < oldest->core_ns))
			oldest = e;
	if (oldest != NULL)
		manager_core_drop(oldest, "a VM needs memory");
	return oldest != NULL;
}

uint64_t manager_core_poll(uint64_t now_ns)
{
	struct manager_entry *e;
	uint64_t next = 0;

	for (unsigned i = 0; kept != 0 && (e = manager_entry_at(i)) != NULL; i++) {
		if (e->core != NULL && now_ns - e->core_ns >= KEEP_NS)
			manager_core_drop(e, "nobody has fetched it");
		if (e->core != NULL && (next == 0 || e->core_ns + KEEP_NS < next))
			next = e->core_ns + KEEP_NS;
	}
	return next;
}

/* ---- Reading ------------------------------------------------------------------------------------------------------------------------ */

static bool stands_still(const struct manager_entry *e)
{
	return e->slot >= 0 && !e->debugged && (e->preserved || e->state == MANAGER_PAUSED);
}

int manager_core_open(const char *name, uint64_t *bytes, struct manager_error *error)
{
	struct manager_entry *e = manager_entry_find(name);
	int i = 0;

	if (e == NULL)
		return -(int)manager_refuse(error, MANAGER_NOT_FOUND, "", "there is no VM of this name");
	while (i < SESSIONS_MAX && sessions[i].used)
		i++;
	if (i == SESSIONS_MAX)
		return -(int)manager_refuse(error, MANAGER_FULL, "", "%u core files are being read, as many as can", SESSIONS_MAX);
	if (e->core == NULL && !stands_still(e))
		return -(int)manager_refuse(error, MANAGER_CONFLICT, "",
		                            "no core file is kept, and it is neither paused nor kept for a look");
	struct coredump *core = e->core != NULL ? e->core : coredump_take((uint32_t)e->slot);
	if (core == NULL)
		return -(int)manager_refuse(error, MANAGER_NO_MEMORY, "", "there is no memory for its core file");
	sessions[i] = (struct session){ .used = true, .kept = core == e->core, .core = core, .moves = e->moves };
	memcpy(sessions[i].name, e->defined->config.name, sizeof(sessions[i].name));
	*bytes = coredump_bytes(core);
	return i;
}

size_t manager_core_read(int session, uint8_t *to, size_t size, bool *failed)
{
	struct session *s = &sessions[session];
	const struct manager_entry *e = manager_entry_find(s->name);

	*failed = s->core == NULL || (!s->kept && (e == NULL || e->moves != s->moves || !stands_still(e)));
	if (*failed)
		return 0;
	size_t n = coredump_read(s->core, s->offset, to, size, failed);
	s->offset += n;
	return n;
}

void manager_core_close(int session, bool fetched)
{
	struct session *s = &sessions[session];
	struct manager_entry *e = manager_entry_find(s->name);

	if (!s->kept)
		coredump_free(s->core);
	else if (s->core != NULL && fetched && e != NULL)
		manager_core_drop(e, "it was fetched");
	else if (s->core != NULL)
		coredump_rest(s->core);
	*s = (struct session){ .used = false };
}
