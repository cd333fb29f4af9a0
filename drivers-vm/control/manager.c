/*
 * The definitions: what VMs there are, whether they run or not. A VM that runs keeps the definition that it was started with until it
 * has ended, so that a change takes effect at its next start.
 */
#include "drivers-vm/control/events.h"
#include "drivers-vm/control/guest.h"
#include "drivers-vm/control/manager_private.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME_LISTS 256u

static struct manager_entry *entries[MANAGER_VMS_MAX]; /* in the order of their definition */
static unsigned count;
static struct manager_entry *named[NAME_LISTS]; /* the same by name_list */
static struct manager_entry *of_slot[CHANNEL_SLOTS];
static uint64_t places[MANAGER_VMS_MAX / 64]; /* bit n: some entry has it */
static uint64_t versions;                     /* ever given */

enum manager_result manager_refuse(struct manager_error *error, enum manager_result result, const char *field, const char *format, ...)
{
	va_list args;

	snprintf(error->field, sizeof(error->field), "%s", field);
	va_start(args, format);
	vsnprintf(error->detail, sizeof(error->detail), format, args);
	va_end(args);
	return result;
}

struct manager_entry *manager_entry_at(unsigned index)
{
	return index < count ? entries[index] : NULL;
}

/* FNV-1a */
static struct manager_entry **name_list(const char *name)
{
	uint32_t hash = 0x811C9DC5;

	for (; *name != '\0'; name++)
		hash = (hash ^ (uint8_t)*name) * 0x01000193;
	return &named[(hash ^ hash >> 16) % NAME_LISTS];
}

struct manager_entry *manager_entry_find(const char *name)
{
	struct manager_entry *e = *name_list(name);

	while (e != NULL && strcmp(e->defined->config.name, name) != 0)
		e = e->next_named;
	return e;
}

struct manager_entry *manager_entry_of_slot(uint32_t slot)
{
	return slot < CHANNEL_SLOTS ? of_slot[slot] : NULL;
}

void manager_entry_set_slot(struct manager_entry *e, int slot)
{
	if (e->slot >= 0)
		of_slot[e->slot] = NULL;
	if (slot >= 0)
		of_slot[slot] = e;
	e->slot = slot;
}

int manager_slot(const char *name)
{
	const struct manager_entry *e = manager_entry_find(name);

	return e != NULL && e->state != MANAGER_WAITING ? e->slot : -1;
}

static void definition_free(struct manager_definition *definition)
{
	if (definition == NULL)
		return;
	free(definition->arena);
	free(definition);
}

void manager_entry_leave(struct manager_entry *e)
{
	if (e->slot < 0)
		return;
	guest_leave((uint32_t)e->slot);
	manager_entry_set_slot(e, -1);
	if (e->taken != e->defined)
		definition_free(e->taken);
	e->taken = NULL;
	e->preserved = false;
	e->intent = MANAGER_INTENT_NONE;
	e->moves++;
}

bool manager_entry_starts(const struct manager_entry *e)
{
	enum config_autostart wanted = e->defined->config.autostart;

	return wanted == CONFIG_AUTOSTART_YES || (wanted == CONFIG_AUTOSTART_BY_FILE && e->named);
}

static void describe(const struct manager_entry *e, struct manager_vm *out)
{
	const struct manager_definition *in_force = e->taken != NULL ? e->taken : e->defined;
	const struct guest *guest = e->slot >= 0 ? guest_at((uint32_t)e->slot) : NULL;

	*out = (struct manager_vm){
		.config = &in_force->config,
		.state = e->state,
		.version = e->version,
		.change_pending = e->taken != NULL && e->taken != e->defined,
		.from_file = e->from_file,
		.autostart = manager_entry_starts(e),
		.core_kept = e->core != NULL,
		.vcpus = guest != NULL && guest->made ? guest_count_vcpus(guest) : in_force->config.vcpus,
		.started_ns = e->state == MANAGER_RUNNING || e->state == MANAGER_PAUSED ? e->started_ns : 0,
		.starts = e->starts,
		.crashes = e->crashes,
	};
	memcpy(out->last_exit, e->last_exit, sizeof(out->last_exit));
}

unsigned manager_count(void)
{
	return count;
}

bool manager_at(unsigned index, struct manager_vm *out)
{
	if (index >= count)
		return false;
	describe(entries[index], out);
	return true;
}

bool manager_find(const char *name, struct manager_vm *out)
{
	const struct manager_entry *e = manager_entry_find(name);

	if (e == NULL)
		return false;
	describe(e, out);
	return true;
}

/* ---- Changes ------------------------------------------------------------------------------------------------------------------------- */

static bool same_text(const char *a, const char *b)
{
	return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

static bool same_disk(const struct config_disk *a, const struct config_disk *b)
{
	return same_text(a->module, b->module) && same_text(a->device, b->device) && a->readonly == b->readonly &&
	       same_text(a->serial, b->serial) && a->partition == b->partition && same_text(a->partlabel, b->partlabel) &&
	       same_text(a->partuuid, b->partuuid) && a->num_queues == b->num_queues && a->iops == b->iops && a->bandwidth == b->bandwidth;
}

static bool same_nic(const struct config_nic *a, const struct config_nic *b)
{
	return memcmp(a->mac, b->mac, sizeof(a->mac)) == 0 && same_text(a->bridge, b->bridge) && same_text(a->tenant, b->tenant) &&
	       a->vlan == b->vlan && a->trunk == b->trunk && a->spoof == b->spoof && a->offload == b->offload && a->ip4s == b->ip4s &&
	       a->ip6s == b->ip6s && memcmp(a->ip4, b->ip4, a->ip4s * sizeof(a->ip4[0])) == 0 &&
	       memcmp(a->ip6, b->ip6, a->ip6s * sizeof(a->ip6[0])) == 0 && a->rate == b->rate && a->mtu == b->mtu &&
	       a->num_queues == b->num_queues;
}

static bool same_channel(const struct config_channel *a, const struct config_channel *b)
{
	return strcmp(a->name, b->name) == 0 && strcmp(a->peer, b->peer) == 0 && a->bytes == b->bytes;
}

static bool same_devices(const struct config_vm *a, const struct config_vm *b)
{
	if (a->disk_count != b->disk_count || a->nic_count != b->nic_count || a->channel_count != b->channel_count)
		return false;
	for (unsigned i = 0; i < a->channel_count; i++)
		if (!same_channel(&a->channel[i], &b->channel[i]))
			return false;
	for (unsigned i = 0; i < a->disk_count; i++)
		if (!same_disk(&a->disk[i], &b->disk[i]))
			return false;
	for (unsigned i = 0; i < a->nic_count; i++)
		if (!same_nic(&a->nic[i], &b->nic[i]))
			return false;
	return true;
}

static bool same_schedule(const struct config_vm *a, const struct config_vm *b)
{
	return a->weight == b->weight && a->cpus == b->cpus && a->cap == b->cap && a->reservation == b->reservation &&
	       a->dedicated == b->dedicated;
}

static bool same_config(const struct config_vm *a, const struct config_vm *b)
{
	return same_text(a->kernel, b->kernel) && same_text(a->initrd, b->initrd) && same_text(a->cmdline, b->cmdline) &&
	       a->memory_bytes == b->memory_bytes && a->vcpus == b->vcpus && a->vcpus_max == b->vcpus_max && same_schedule(a, b) &&
	       a->prefault == b->prefault && a->hugepages == b->hugepages && a->serial == b->serial && a->console == b->console &&
	       a->debug_exit == b->debug_exit && a->debug_crash == b->debug_crash && a->profile == b->profile &&
	       a->on_poweroff == b->on_poweroff && a->on_reboot == b->on_reboot && a->on_crash == b->on_crash &&
	       a->watchdog == b->watchdog && a->on_watchdog == b->on_watchdog && a->autostart == b->autostart && a->packed == b->packed &&
	       a->rng == b->rng && a->balloon_bytes == b->balloon_bytes && a->memory_max == b->memory_max &&
	       a->memory_min == b->memory_min && a->share == b->share && same_text(a->tenant, b->tenant) && same_devices(a, b);
}

/* The first of its cards whose address another VM's card has; negative: none. */
static int nic_taken(const struct config_vm *config, const struct manager_entry *except, const char **by)
{
	for (unsigned n = 0; n < config->nic_count; n++)
		for (unsigned i = 0; i < count; i++) {
			const struct config_vm *other = &entries[i]->defined->config;
			for (unsigned k = 0; entries[i] != except && k < other->nic_count; k++)
				if (memcmp(config->nic[n].mac, other->nic[k].mac, sizeof(config->nic[n].mac)) == 0) {
					*by = other->name;
					return (int)n;
				}
		}
	return -1;
}

void manager_entry_set_place(struct manager_entry *e, unsigned place)
{
	if (e->place < MANAGER_VMS_MAX)
		places[e->place / 64] &= ~(1ull << e->place % 64);
	if (place < MANAGER_VMS_MAX)
		places[place / 64] |= 1ull << place % 64;
	e->place = place;
}

/* There are fewer entries than places. */
static unsigned free_place(void)
{
	unsigned word = 0;

	while (places[word] == UINT64_MAX)
		word++;
	return word * 64 + (unsigned)__builtin_ctzll(~places[word]);
}

/* NULL: no memory, or no place. */
static struct manager_entry *entry_add(struct manager_definition *definition)
{
	struct manager_entry *e = count < MANAGER_VMS_MAX ? malloc(sizeof(*e)) : NULL;
	struct manager_entry **list = name_list(definition->config.name);

	if (e == NULL)
		return NULL;
	*e = (struct manager_entry){ .defined = definition,
		                     .version = ++versions,
		                     .place = MANAGER_VMS_MAX,
		                     .slot = -1,
		                     .state = MANAGER_SHUTOFF,
		                     .next_named = *list };
	e->order = e->version;
	manager_entry_set_place(e, free_place());
	*list = e;
	entries[count++] = e;
	return e;
}

/* Its definition goes, too. */
static void entry_remove(struct manager_entry *e)
{
	struct manager_entry **link = name_list(e->defined->config.name);
	unsigned index = 0;

	while (*link != e)
		link = &(*link)->next_named;
	*link = e->next_named;
	while (entries[index] != e)
		index++;
	count--;
	/* NOLINTNEXTLINE(bugprone-sizeof-expression): it is an array of pointers */
	memmove(&entries[index], &entries[index + 1], (count - index) * sizeof(entries[0]));
	manager_entry_set_place(e, MANAGER_VMS_MAX);
	definition_free(e->defined);
	free(e);
}

static void entry_change(struct manager_entry *e, struct manager_definition *definition)
{
	if (e->defined != e->taken)
		definition_free(e->defined);
	e->defined = definition;
	e->version = ++versions;
	e->from_file = false;
}

enum manager_result manager_define(struct manager_definition *definition, bool *created, struct manager_error *error)
{
	struct manager_entry *e = manager_entry_find(definition->config.name);
	const char *by = NULL;
	char field[24];
	int nic = nic_taken(&definition->config, e, &by);

	*created = e == NULL;
	if (nic >= 0) {
		snprintf(field, sizeof(field), "nic[%d].mac", nic);
		return manager_refuse(error, MANAGER_INVALID, field, "VM \"%s\" has a card of this address", by);
	}
	if (e == NULL && count == MANAGER_VMS_MAX)
		return manager_refuse(error, MANAGER_FULL, "", "there are %u VMs, as many as there can be", MANAGER_VMS_MAX);
	if (e != NULL && same_config(&e->defined->config, &definition->config)) {
		definition_free(definition);
		return MANAGER_OK;
	}
	if (e != NULL)
		entry_change(e, definition);
	else if ((e = entry_add(definition)) == NULL)
		return manager_refuse(error, MANAGER_NO_MEMORY, "", "there is no memory for another definition");
	event_add(*created ? "vm.defined" : "vm.changed", e->defined->config.name, "%s",
	          e->taken != NULL ? "takes effect at its next start" : "");
	return MANAGER_OK;
}

void manager_entry_drop(struct manager_entry *e)
{
	manager_entry_leave(e);
	console_close(&e->console);
	entry_remove(e);
}

uint64_t manager_next_version(void)
{
	return ++versions;
}

void manager_sort_entries(void)
{
	for (unsigned i = 1; i < count; i++) {
		struct manager_entry *e = entries[i];
		unsigned at = i;
		for (; at != 0 && entries[at - 1]->order > e->order; at--)
			entries[at] = entries[at - 1];
		entries[at] = e;
	}
}

void manager_skip_versions(uint64_t version)
{
	versions = versions > version ? versions : version;
}

/* ---- Schedules ----------------------------------------------------------------------------------------------------------------------- */

const struct config_vm *manager_defined(const char *name)
{
	const struct manager_entry *e = manager_entry_find(name);

	return e != NULL ? &e->defined->config : NULL;
}

static void take_schedule(struct config_vm *to, const struct config_vm *from)
{
	to->weight = from->weight;
	to->cpus = from->cpus;
	to->cap = from->cap;
	to->reservation = from->reservation;
	to->dedicated = from->dedicated;
}

/* Of a VM that is there now. */
static enum manager_result reschedule(struct manager_entry *e, const struct config_vm *now, struct manager_error *error)
{
	struct config_vm *config = &e->taken->config;
	const struct config_vm before = *config;
	struct manager_error ignored;
	enum manager_result result = MANAGER_OK;

	take_schedule(config, now);
	if (guest_at((uint32_t)e->slot)->made)
		result = guest_schedule((uint32_t)e->slot, error);
	if (result != MANAGER_OK) {
		take_schedule(config, &before);
		guest_schedule((uint32_t)e->slot, &ignored); /* it had that before */
	}
	return result;
}

enum manager_result manager_schedule(const char *name, const struct config_vm *now, const struct config_vm *next,
                                     struct manager_error *error)
{
	struct manager_entry *e = manager_entry_find(name);

	if (e == NULL)
		return manager_refuse(error, MANAGER_NOT_FOUND, "", "there is no VM of this name");
	if (e->taken != NULL && !same_schedule(&e->taken->config, now)) {
		enum manager_result result = reschedule(e, now, error);

		if (result != MANAGER_OK)
			return result;
	} else if (same_schedule(&e->defined->config, next)) {
		return MANAGER_OK;
	}
	if (e->defined != e->taken)
		take_schedule(&e->defined->config, next);
	e->version = ++versions;
	e->from_file = false;
	event_add("vm.changed", name, "its schedule");
	return MANAGER_OK;
}

enum manager_result manager_undefine(const char *name, struct manager_error *error)
{
	struct manager_entry *e = manager_entry_find(name);

	if (e == NULL)
		return manager_refuse(error, MANAGER_NOT_FOUND, "", "there is no VM of this name");
	if (e->state != MANAGER_SHUTOFF && e->state != MANAGER_CRASHED)
		return manager_refuse(error, MANAGER_CONFLICT, "", "it is not shut off");
	event_add("vm.undefined", name, "%s", "");
	manager_core_drop(e, "the VM is undefined");
	manager_entry_drop(e);
	return MANAGER_OK;
}

void manager_init(const struct config *config)
{
	for (unsigned i = 0; i < config->vm_count; i++) {
		struct manager_definition *definition = calloc(1, sizeof(*definition));
		if (definition == NULL)
			return;
		definition->config = config->vm[i]; /* its strings stay with the file */
		struct manager_entry *e = entry_add(definition);
		if (e == NULL) {
			free(definition);
			return;
		}
		e->from_file = true;
		e->named = true;
	}
}

enum manager_result manager_set_autostart(const char *name, bool enabled, const struct config_vm **config)
{
	enum config_autostart wanted = enabled ? CONFIG_AUTOSTART_YES : CONFIG_AUTOSTART_NO;
	struct manager_entry *e = manager_entry_find(name);

	if (e == NULL)
		return MANAGER_NOT_FOUND;
	if (e->defined->config.autostart != wanted) {
		e->defined->config.autostart = wanted;
		e->version = ++versions;
		e->from_file = false;
		event_add("vm.changed", name, "autostart %s", enabled ? "on" : "off");
	}
	*config = &e->defined->config;
	return MANAGER_OK;
}

static bool names(const struct config_vm *config, const char *image)
{
	if (same_text(config->kernel, image) || same_text(config->initrd, image))
		return true;
	for (unsigned i = 0; i < config->disk_count; i++)
		if (same_text(config->disk[i].module, image))
			return true;
	return false;
}

unsigned manager_image_users(const char *image)
{
	unsigned users = 0;

	for (unsigned i = 0; i < count; i++)
		users += entries[i]->taken != NULL && names(&entries[i]->taken->config, image);
	return users;
}
