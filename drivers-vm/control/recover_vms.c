/* See recover_private.h: definitions and guests from one control VM to the next. */
#include "drivers-vm/control/recover_private.h"

#include "drivers-vm/control/api/text.h"
#include "drivers-vm/control/config_json_write.h"
#include "drivers-vm/control/guard.h"
#include "drivers-vm/control/guest.h"
#include "drivers-vm/control/guest_channels.h"
#include "drivers-vm/control/guest_disks.h"
#include "drivers-vm/control/json.h"
#include "drivers-vm/control/recover.h"
#include "drivers-vm/control/survivor.h"
#include "drivers-vm/control/toml.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DETACH_NS  5000000000ull /* one that hangs is replaced */
#define MAKING_MAX 2u            /* control VMs that may die of making one VM */

/* Pointers in these are another control VM's, and not followed. */
struct kept_vm {
	char name[CONFIG_NAME_BYTES];
	bool changed; /* it runs with another definition than the one in force: "run/NAME" in the store */
	struct manager_entry entry;
	struct guest guest;
	struct guest_disk disks[CONFIG_DISKS_MAX];
	struct guest_channel channels[CONFIG_CHANNELS_MAX];
};
_Static_assert(sizeof(struct kept_vm) <= SURVIVOR_VM_BYTES, "it fits");

/* ---- Notes ----------------------------------------------------------------------------------------------------------------------------- */

static void run_key(const char *name, char key[STORE_KEY_BYTES])
{
	snprintf(key, STORE_KEY_BYTES, "run/%s", name);
}

/* The definition that a VM runs with, while it is not the one that it will be started with. */
static void note_definition(const struct manager_entry *e, bool changed)
{
	char key[STORE_KEY_BYTES];
	struct text text = { 0 };
	struct json_out json = { .text = &text };

	run_key(e->defined->config.name, key);
	if (changed) {
		config_write_json(&json, &e->taken->config);
		if (text.failed || !store_put(key, text.bytes, text.length, 0))
			service_log("vm %s: there is no room to note its definition: it would not survive the control VM's end",
			            e->defined->config.name);
	} else {
		store_remove(key);
	}
	text_free(&text);
}

void vms_note(const struct manager_entry *e)
{
	static struct kept_vm kept;

	if (e == NULL)
		return;
	memset(&kept, 0, sizeof(kept));
	snprintf(kept.name, sizeof(kept.name), "%s", e->defined->config.name);
	kept.entry = *e;
	kept.changed = e->taken != NULL && e->taken != e->defined;
	note_definition(e, kept.changed);
	if (e->slot >= 0) {
		kept.guest = *guest_at((uint32_t)e->slot);
		memcpy(kept.disks, guest_devices_disks((uint32_t)e->slot), sizeof(kept.disks));
		memcpy(kept.channels, guest_channels_of((uint32_t)e->slot), sizeof(kept.channels));
	}
	survivor_put(SURVIVOR_VM, e->place, &kept, sizeof(kept));
}

void vms_note_all(void)
{
	const struct manager_entry *e;
	bool taken[MANAGER_VMS_MAX] = { false };

	for (unsigned i = 0; (e = manager_entry_at(i)) != NULL; i++) {
		vms_note(e);
		taken[e->place] = true;
	}
	for (unsigned place = 0; place < MANAGER_VMS_MAX; place++)
		if (!taken[place])
			survivor_put(SURVIVOR_VM, place, NULL, 0);
}

void vms_forget(const char *name)
{
	const struct manager_entry *e = manager_entry_find(name);

	if (e == NULL)
		return;
	note_definition(e, false);
	survivor_put(SURVIVOR_VM, e->place, NULL, 0);
}

/* ---- Definitions ------------------------------------------------------------------------------------------------------------------------ */

/* NULL: it is not there, or there is no memory. */
static struct manager_definition *read_definition(const char *name)
{
	const struct config_report report = { 0 };
	struct manager_definition *definition = calloc(1, sizeof(*definition));
	char key[STORE_KEY_BYTES];
	size_t bytes;

	run_key(name, key);
	const char *text = store_get(key, &bytes);
	if (text == NULL || definition == NULL) {
		free(definition);
		return NULL;
	}
	struct toml_arena arena = { .bytes = config_json_arena_bytes(text, bytes) };
	arena.base = malloc(arena.bytes);
	definition->arena = arena.base;
	if (arena.base != NULL && config_read_json(name, text, bytes, &arena, &report, &definition->config) == 0)
		return definition;
	free(arena.base);
	free(definition);
	return NULL;
}

static void take_over(struct manager_entry *e, const struct manager_entry *from)
{
	e->version = from->version;
	e->order = from->order;
	manager_entry_set_place(e, from->place);
	e->state = from->state <= MANAGER_WAITING ? from->state : MANAGER_SHUTOFF;
	e->preserved = recover_bool(&from->preserved);
	e->started_ns = from->started_ns;
	e->made_ns = from->made_ns;
	memcpy(e->last_exit, from->last_exit, sizeof(e->last_exit));
	e->last_exit[sizeof(e->last_exit) - 1] = '\0';
	e->starts = from->starts;
	e->crashes = from->crashes;
	e->moves = from->moves;
	e->crashes_in_row = from->crashes_in_row;
	e->intent = from->intent <= MANAGER_INTENT_AGAIN ? from->intent : MANAGER_INTENT_NONE;
	e->intent_forces = recover_bool(&from->intent_forces);
	e->intent_end_ns = from->intent_end_ns;
	manager_skip_versions(from->version);
}

/* ---- Guests ----------------------------------------------------------------------------------------------------------------------------- */

static bool owns_slot(const struct manager_entry *e, int slot)
{
	bool is_active = e->state == MANAGER_RUNNING || e->state == MANAGER_PAUSED || e->state == MANAGER_WAITING;

	return (is_active || (e->state == MANAGER_CRASHED && e->preserved)) && slot >= 0 && slot < (int)CHANNEL_SLOTS &&
	       guest_at((uint32_t)slot)->config == NULL;
}

static void end_without_guest(struct manager_entry *e)
{
	service_log("vm %s: not all of it is there any more", e->defined->config.name);
	if (e->preserved)
		e->state = e->state == MANAGER_CRASHED ? MANAGER_CRASHED : MANAGER_SHUTOFF;
	else
		e->state = MANAGER_WAITING; /* it is started again */
	e->preserved = false;
}

static void recover_guest(struct manager_entry *e, const struct kept_vm *kept)
{
	uint32_t slot = (uint32_t)kept->entry.slot;
	struct manager_definition *other = recover_bool(&kept->changed) ? read_definition(kept->name) : NULL;

	e->taken = other != NULL ? other : e->defined;
	manager_entry_set_slot(e, (int)slot);
	bool whole = guest_recover(slot, &kept->guest, &e->taken->config, e->console.memory);
	whole &= guest_devices_recover(slot, &e->taken->config, kept->disks);
	whole &= guest_channels_recover(slot, &e->taken->config, kept->channels);
	if (!whole && e->state != MANAGER_WAITING)
		end_without_guest(e);
	if (whole && guest_at(slot)->ended && !e->preserved) { /* its end had begun: it is kept for a look */
		e->preserved = true;
		e->state = guest_has_crashed(slot) ? MANAGER_CRASHED : MANAGER_PAUSED;
	}
	if (whole && recover_bool(&kept->entry.debugged) && !guest_at(slot)->ended) {
		service_log("vm %s: its debugger is gone: it is paused", kept->name);
		guest_at(slot)->paused = true;
		guest_at(slot)->paused_tsc = service_tsc();
		e->state = MANAGER_PAUSED;
	}
	if (e->slot >= 0 && !e->preserved && e->state != MANAGER_WAITING && !guest_at(slot)->made)
		manager_entry_leave(e);
}

static void recover_one(struct manager_entry *e, const struct kept_vm *kept)
{
	take_over(e, &kept->entry);
	hilum_handle_t console = kept->entry.console.memory;
	if (console != 0 && recover_claim(console, HILUM_OBJECT_MEMORY))
		console_recover(&e->console, e->place, console);
	if (owns_slot(e, kept->entry.slot) && e->console.memory != 0)
		recover_guest(e, kept);
	else if (e->state != MANAGER_CRASHED)
		e->state = MANAGER_SHUTOFF;
}

/* The VM that was being made when the last control VM ended may be why it did. */
static void recover_making(void)
{
	struct survivor_head *head = survivor_head();
	struct manager_entry *e;

	if (head->making == 0 || ++head->making_died < MAKING_MAX)
		return;
	for (unsigned i = 0; (e = manager_entry_at(i)) != NULL; i++)
		if (e->place + 1 == head->making && e->state != MANAGER_RUNNING && e->state != MANAGER_PAUSED) {
			service_log("vm %s: %u control VMs have ended while it was made: it is not started by itself",
			            e->defined->config.name, MAKING_MAX);
			manager_entry_leave(e);
			e->state = MANAGER_CRASHED;
		}
	head->making = head->making_died = 0;
}

/* Definitions that no record knows: defined at the last moment, or taken away in this run and in hilum.toml still. */
static void recover_others(void)
{
	struct manager_entry *e;
	bool taken[MANAGER_VMS_MAX] = { false };
	unsigned place = 0;

	for (unsigned i = 0; (e = manager_entry_at(i)) != NULL;) {
		if (e->place < MANAGER_VMS_MAX)
			taken[e->place] = true;
		if (e->place == MANAGER_VMS_MAX && e->from_file)
			manager_entry_drop(e);
		else
			i++;
	}
	for (unsigned i = 0; (e = manager_entry_at(i)) != NULL; i++) {
		while (e->place == MANAGER_VMS_MAX && taken[place])
			place++;
		if (e->place != MANAGER_VMS_MAX)
			continue;
		taken[place] = true;
		manager_entry_set_place(e, place);
		e->order = e->version = manager_next_version();
	}
}

void vms_recover(void)
{
	struct manager_entry *e;
	size_t bytes;

	for (unsigned i = 0; (e = manager_entry_at(i)) != NULL; i++)
		manager_entry_set_place(e, MANAGER_VMS_MAX); /* not known yet */
	for (unsigned place = 0; place < MANAGER_VMS_MAX; place++) {
		static struct kept_vm kept;
		const void *record = survivor_get(SURVIVOR_VM, place, &bytes);
		if (record == NULL || bytes != sizeof(kept))
			continue;
		memcpy(&kept, record, sizeof(kept));
		kept.name[sizeof(kept.name) - 1] = '\0';
		e = manager_entry_find(kept.name);
		if (e == NULL || e->place != MANAGER_VMS_MAX || kept.entry.place != place)
			service_log("vm %s: there is no definition of it any more", kept.name);
		else
			recover_one(e, &kept);
	}
	recover_others();
	manager_sort_entries();
	recover_making();
}

/* ---- The driver VM ---------------------------------------------------------------------------------------------------------------------- */

/* The slot that a mapping of the driver VM's is for; negative: it is for none. */
static int slot_of(uint64_t gpa)
{
	return gpa >= CHANNEL_SLOT_GPA && gpa < CHANNEL_RAM_GPA ? (int)((gpa - CHANNEL_SLOT_GPA) / CHANNEL_SLOT_STRIDE) : -1;
}

/* Whether it belongs to a guest that is there, or to none at all. */
static bool is_claimed(uint64_t gpa)
{
	if (slot_of(gpa) >= 0)
		return guest_at((uint32_t)slot_of(gpa))->made;
	return gpa < CHANNEL_SLOT_GPA || driver_space_is_taken(gpa);
}

/* The driver VM forgets the guest in this slot, before any of its memory goes. */
static void detach(uint32_t slot)
{
	struct channel_message m = { .kind = CHANNEL_DETACH, .slot = slot };

	driver_call(&m, CHANNEL_DETACHED, DETACH_NS);
}

static void for_unclaimed(bool unmap)
{
	struct hilum_region region;
	uint64_t from = CHANNEL_SLOT_GPA;
	int detached = -1;

	for (; !driver_is_lost() && hc(HC_VM_REGION, driver_vm, from, (uintptr_t)&region) >= 0; from = region.gpa + region.bytes) {
		int slot = slot_of(region.gpa);
		if (is_claimed(region.gpa))
			continue;
		if (unmap)
			driver_unmap(region.gpa, region.bytes);
		else if (slot >= 0 && slot != detached)
			detach((uint32_t)(detached = slot));
	}
}

void vms_release_unclaimed(void)
{
	for_unclaimed(false);
	for_unclaimed(true);
}

unsigned vms_go_on(void)
{
	unsigned go_on = 0;

	for (uint32_t slot = 0; slot < guest_slots(); slot++) {
		guest_recover_end(slot);
		go_on += guest_at(slot)->made && !guest_at(slot)->ended;
	}
	driver_recover_end();
	if (!driver_is_lost())
		manager_driver_is_back();
	return go_on;
}

/* ---- Single things ---------------------------------------------------------------------------------------------------------------------- */

void host_rest_get(struct host_rest *rest)
{
	memset(rest, 0, sizeof(*rest));
	store_get_position(&rest->position);
	snprintf(rest->boot_reason, sizeof(rest->boot_reason), "%s", boot_reason());
}

void host_rest_set(const struct host_rest *rest)
{
	char reason[BOOT_REASON_BYTES];

	store_set_position(&rest->position);
	memcpy(reason, rest->boot_reason, sizeof(reason));
	reason[sizeof(reason) - 1] = '\0';
	boot_reason_set(reason);
}
