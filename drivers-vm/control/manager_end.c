/*
 * The machine's end, which an operator has asked for: first that of all VMs, of which none is started any more, then its own. What has been
 * asked for outlives the control VM.
 */
#include "drivers-vm/control/events.h"
#include "drivers-vm/control/manager_private.h"
#include "drivers-vm/control/recover.h"

#define ANSWER_NS 1000000000ull /* for the answer to whoever asked */

static struct {
	enum manager_host_end how;
	uint64_t not_before_ns; /* manager_clock_ns */
} wanted;

void manager_end_keep(struct recover_kept *kept)
{
	RECOVER_KEEP(kept, wanted);
	if (wanted.how > MANAGER_HOST_REBOOT)
		wanted.how = MANAGER_HOST_STAYS;
}

bool manager_host_ends(void)
{
	return wanted.how != MANAGER_HOST_STAYS;
}

void manager_end_host(enum manager_host_end how, uint64_t timeout_ns)
{
	struct manager_error error;
	struct manager_entry *e;

	wanted.how = MANAGER_HOST_STAYS; /* who asks a second time gets other time-outs */
	for (unsigned i = 0; (e = manager_entry_at(i)) != NULL; i++) {
		bool asked = e->state == MANAGER_RUNNING && timeout_ns != 0;

		if (e->slot >= 0)
			manager_act(e->defined->config.name, asked ? MANAGER_SHUTDOWN : MANAGER_DESTROY, timeout_ns, &error);
	}
	wanted.how = how;
	wanted.not_before_ns = manager_clock_ns() + ANSWER_NS;
	event_add("host.end", "", "%s", how == MANAGER_HOST_REBOOT ? "reboot" : "poweroff");
}

enum manager_host_end manager_host_end_due(uint64_t *next_ns)
{
	*next_ns = 0;
	if (!manager_host_ends() || manager_is_active())
		return MANAGER_HOST_STAYS;
	if (manager_clock_ns() >= wanted.not_before_ns)
		return wanted.how;
	*next_ns = wanted.not_before_ns;
	return MANAGER_HOST_STAYS;
}

void manager_host_stays(void)
{
	wanted.how = MANAGER_HOST_STAYS;
}
