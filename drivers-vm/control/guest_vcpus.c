/*
 * vCPUs that come and go while the guest runs. One that comes is made, or stands there stopped since it last went; the guest is told, and
 * starts it as any second processor. One that shall go is asked for, and goes when the guest has let go of it.
 */
#include "drivers-vm/control/guest.h"

/* By hand: the service VMs have no library for what the compiler makes of its own function. */
unsigned guest_count_vcpus(const struct guest *g)
{
	unsigned count = 0;

	for (uint64_t left = g->plugged; left != 0; left &= left - 1)
		count++;
	return count;
}

static void tell(const struct guest *g, uint32_t slot)
{
	const struct channel_message m = { .kind = CHANNEL_VCPUS, .slot = slot, .request = { g->plugged, g->leaving } };

	if (!driver_is_lost())
		driver_send(&m); /* a driver VM to come is told when it attaches the guest */
}

static bool make(struct guest *g, uint32_t slot)
{
	uint32_t i = g->vcpus;

	if (!guest_make_vcpu(g, i))
		return false;
	struct manager_error why;
	bool shared = driver_is_lost() || guest_share_trap_page(g, slot, i); /* a driver VM to come gets them all */
	if (shared && guest_schedule(slot, &why) == MANAGER_OK)
		return true;
	hc(HC_HANDLE_CLOSE, g->vcpu[i]); /* the kernel keeps the vCPU, stopped, as long as the VM */
	g->vcpu[i] = 0;
	g->vcpus--;
	return false;
}

static enum manager_result add(struct guest *g, uint32_t slot, unsigned count)
{
	struct manager_error error;

	for (uint32_t i = 0; i < g->config->vcpus_max && guest_count_vcpus(g) < count; i++) {
		if (g->plugged >> i & 1)
			continue;
		if (i >= g->vcpus && !make(g, slot))
			return MANAGER_NO_MEMORY;
		g->plugged |= 1ull << i;
		guest_schedule(slot, &error); /* its cores are those of the others; limits become smaller parts */
		if (!g->paused)
			hc(HC_VCPU_RUN, g->vcpu[i]);
	}
	return MANAGER_OK;
}

enum manager_result guest_set_vcpus(uint32_t slot, unsigned count)
{
	struct guest *g = guest_at(slot);
	enum manager_result result = MANAGER_OK;

	g->leaving = 0;
	if (count > guest_count_vcpus(g))
		result = add(g, slot, count);
	for (uint32_t i = g->vcpus, over = guest_count_vcpus(g) - count; i-- > 1 && guest_count_vcpus(g) > count && over != 0;)
		if (g->plugged >> i & 1) {
			g->leaving |= 1ull << i;
			over--;
		}
	tell(g, slot);
	return result;
}

bool guest_take_vcpu(uint32_t slot, uint64_t index)
{
	struct guest *g = guest_at(slot);
	struct manager_error error;

	if (!g->made || index == 0 || index >= g->vcpus || !(g->plugged >> index & 1) || g->config->vcpus_max <= g->config->vcpus)
		return false;
	hc(HC_VCPU_PAUSE, g->vcpu[index]);
	g->plugged &= ~(1ull << index);
	g->leaving &= ~(1ull << index);
	guest_schedule(slot, &error);
	tell(g, slot);
	return true;
}
