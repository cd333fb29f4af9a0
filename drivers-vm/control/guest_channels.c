/*
 * See guest_channels.h. What a guest says is not looked at here: who has a channel with whom follows from the two definitions alone. The
 * guest finds the memory behind BAR 2 of a PCI device, at a place that is fixed.
 */
#include "drivers-vm/control/guest_channels.h"

#include "drivers-vm/control/api/audit.h"
#include "drivers-vm/control/events.h"
#include "drivers-vm/control/guard.h"
#include "drivers-vm/control/guest.h"
#include "drivers-vm/control/guest_memory.h"
#include "drivers-vm/control/recover.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct shared {
	char name[CONFIG_NAME_BYTES];
	char vm[2][CONFIG_NAME_BYTES]; /* in the order of their names, which is that of their places */
	uint64_t bytes;
	hilum_handle_t memory;
	unsigned users; /* slots */
};

static struct shared *shared[CHANNEL_LINKS]; /* by number - 1 */
static struct guest_channel channels[CHANNEL_SLOTS][CONFIG_CHANNELS_MAX];
_Static_assert(CHANNEL_LINKS >= CHANNEL_SLOTS * CONFIG_CHANNELS_MAX, "a number for each that a guest can have");

static unsigned position_of(const struct config_vm *vm, const struct config_channel *c)
{
	return strcmp(vm->name, c->peer) > 0;
}

static bool is_it(const struct shared *s, const struct config_vm *vm, const struct config_channel *c)
{
	unsigned position = position_of(vm, c);

	return strcmp(s->name, c->name) == 0 && strcmp(s->vm[position], vm->name) == 0 && strcmp(s->vm[!position], c->peer) == 0;
}

/* Zero: there is none. */
static uint32_t find(const struct config_vm *vm, const struct config_channel *c)
{
	for (uint32_t i = 0; i < CHANNEL_LINKS; i++)
		if (shared[i] != NULL && is_it(shared[i], vm, c))
			return i + 1;
	return 0;
}

/* With this number. False: no memory for it. */
static bool add(uint32_t number, const struct config_vm *vm, const struct config_channel *c, hilum_handle_t memory)
{
	struct shared *s = calloc(1, sizeof(*s));
	unsigned position = position_of(vm, c);

	if (s == NULL)
		return false;
	memcpy(s->name, c->name, sizeof(s->name));
	memcpy(s->vm[position], vm->name, sizeof(s->vm[0]));
	memcpy(s->vm[!position], c->peer, sizeof(s->vm[0]));
	s->bytes = c->bytes;
	s->memory = memory;
	shared[number - 1] = s;
	return true;
}

static void drop(uint32_t number)
{
	struct shared *s = shared[number - 1];

	if (--s->users != 0)
		return;
	hc(HC_HANDLE_CLOSE, s->memory);
	free(s);
	shared[number - 1] = NULL;
}

/* ---- Whether it may be there -------------------------------------------------------------------------------------------------------- */

static void tell_refusal(const struct config_vm *vm, unsigned index)
{
	const struct config_channel *c = &vm->channel[index];
	struct audit_entry entry = { .status = 409 };
	struct manager_host host;

	event_add("vm.channel-refused", vm->name, "channel[%u].peer: %s does not declare %s", index, c->peer, c->name);
	manager_host(&host);
	entry.time_ns = host.wall_clock_ns;
	snprintf(entry.token, sizeof(entry.token), "(hilum)");
	snprintf(entry.method, sizeof(entry.method), "CHANNEL");
	snprintf(entry.path, sizeof(entry.path), "%s channel[%u].peer %s", vm->name, index, c->peer);
	audit_add(&entry);
}

/* The other VM declares it, too: in the definition that it runs with, or will be started with. */
static bool is_mutual(const struct config_vm *vm, const struct config_channel *c)
{
	struct manager_vm peer;

	if (!manager_find(c->peer, &peer))
		return false;
	for (unsigned i = 0; i < peer.config->channel_count; i++) {
		const struct config_channel *other = &peer.config->channel[i];
		if (strcmp(other->name, c->name) == 0)
			return strcmp(other->peer, vm->name) == 0 && other->bytes == c->bytes;
	}
	return false;
}

static bool fail(const struct guest *g, unsigned index, const char *key, enum manager_result result, const char *why)
{
	const struct config_channel *c = &g->config->channel[index];
	char field[24];

	snprintf(field, sizeof(field), "channel[%u].%s", index, key);
	return guest_fail(g, result, field, "%s: channel \"%s\" with VM \"%s\": %s", field, c->name, c->peer, why);
}

/* ---- Life ------------------------------------------------------------------------------------------------------------------- */

static uint64_t place_of(const struct guest *g, unsigned index)
{
	return guest_map_channel(&g->map, index);
}

static hilum_handle_t make_memory(uint64_t bytes)
{
	if (guest_memory_spare() < bytes)
		return 0;
	guard_rest(); /* zeroing it may take long */
	int64_t memory = control_memory_create(bytes, 0);
	guard_go_on();
	return memory > 0 ? (hilum_handle_t)memory : 0;
}

/* Its number; 0: there is no memory. */
static uint32_t make(const struct config_vm *vm, const struct config_channel *c)
{
	hilum_handle_t memory = make_memory(c->bytes);
	uint32_t number = 1;

	while (memory != 0 && number <= CHANNEL_LINKS && shared[number - 1] != NULL)
		number++;
	if (memory != 0 && number <= CHANNEL_LINKS && add(number, vm, c, memory))
		return number;
	if (memory != 0)
		hc(HC_HANDLE_CLOSE, memory);
	return 0;
}

/* A guest that starts again in its slot has it already. */
static bool take(const struct guest *g, uint32_t slot, unsigned index)
{
	const struct config_channel *c = &g->config->channel[index];
	struct guest_channel *channel = &channels[slot][index];

	if (!is_mutual(g->config, c)) {
		tell_refusal(g->config, index);
		return fail(g, index, "peer", MANAGER_INVALID, "that VM does not declare it with this one as its peer and the same size");
	}
	if (channel->number != 0)
		return true;
	uint32_t number = find(g->config, c);
	if (number != 0 && shared[number - 1]->bytes != c->bytes)
		return fail(g, index, "size", MANAGER_CONFLICT, "it is there with another size, until both have ended");
	if (number == 0)
		number = make(g->config, c);
	if (number == 0)
		return fail(g, index, "size", MANAGER_NO_MEMORY, "not enough memory");
	shared[number - 1]->users++;
	*channel = (struct guest_channel){ .number = number, .memory = shared[number - 1]->memory };
	return true;
}

/* The CPU's physical addresses reach there. */
static bool is_reachable(const struct guest *g, unsigned index)
{
	uint32_t r[4];

	guest_host_cpuid(0x80000008, 0, r);
	return place_of(g, index) + g->config->channel[index].bytes <= 1ull << (r[0] & 0xFF);
}

bool guest_channels_open(const struct guest *g, uint32_t slot)
{
	for (unsigned i = 0; i < g->config->channel_count; i++) {
		if (!is_reachable(g, i))
			return fail(g, i, "size", MANAGER_INVALID, "there is no place for it above the VM's memory");
		if (!take(g, slot, i))
			return false;
		int64_t error = hc(HC_MEMORY_MAP, g->vm, channels[slot][i].memory, place_of(g, i), 0, g->config->channel[i].bytes,
		                   HILUM_MAP_READ | HILUM_MAP_WRITE);
		if (error < 0)
			return fail(g, i, "size", error == HILUM_E_NO_MEMORY ? MANAGER_NO_MEMORY : MANAGER_FAILED, control_error(error));
	}
	return true;
}

void guest_channels_send(const struct guest *g, uint32_t slot)
{
	for (unsigned i = 0; i < g->config->channel_count; i++) {
		const struct config_channel *c = &g->config->channel[i];
		struct channel_message m = { .kind = CHANNEL_LINK, .slot = slot };
		m.link.number = channels[slot][i].number;
		m.link.position = position_of(g->config, c);
		m.link.gpa = place_of(g, i);
		m.link.bytes = c->bytes;
		driver_send(&m);
	}
}

void guest_channels_free(uint32_t slot)
{
	for (unsigned i = 0; i < CONFIG_CHANNELS_MAX; i++)
		if (channels[slot][i].number != 0)
			drop(channels[slot][i].number);
	memset(channels[slot], 0, sizeof(channels[slot]));
}

/* ---- A control VM takes over -------------------------------------------------------------------------------------------------------- */

const struct guest_channel *guest_channels_of(uint32_t slot)
{
	return channels[slot];
}

static bool recover(const struct config_vm *vm, const struct config_channel *c, const struct guest_channel *kept)
{
	if (kept->number == 0 || kept->number > CHANNEL_LINKS || !recover_claim(kept->memory, HILUM_OBJECT_MEMORY))
		return false;
	const struct shared *s = shared[kept->number - 1];

	if (s == NULL)
		return add(kept->number, vm, c, kept->memory);
	return is_it(s, vm, c) && s->memory == kept->memory && s->bytes == c->bytes;
}

bool guest_channels_recover(uint32_t slot, const struct config_vm *config, const struct guest_channel kept[CONFIG_CHANNELS_MAX])
{
	bool all = true;

	for (unsigned i = 0; i < config->channel_count; i++) {
		if (recover(config, &config->channel[i], &kept[i])) {
			channels[slot][i] = kept[i];
			shared[kept[i].number - 1]->users++;
		} else {
			all = false;
		}
	}
	return all;
}
