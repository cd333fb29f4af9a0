/*
 * See recover.h. A record is written when something has happened (events.h), when a value of the store changes, and before anything is
 * destroyed. What is half made when the control VM ends is in no record, and goes; what is half destroyed is in none any more, and goes too.
 */
#include "drivers-vm/control/recover.h"

#include "drivers-vm/control/control.h"
#include "drivers-vm/control/device.h"
#include "drivers-vm/control/events.h"
#include "drivers-vm/control/guard.h"
#include "drivers-vm/control/net/port_setup.h"
#include "drivers-vm/control/places.h"
#include "drivers-vm/control/recover_private.h"
#include "drivers-vm/control/store/store_private.h"
#include "drivers-vm/control/survivor.h"

#include <stdlib.h>
#include <string.h>

#define ATTEMPTS_MAX 5u
#define PAUSE_NS     200000000ull  /* between attempts, more each time */
#define WELL_NS      1000000000ull /* after which it has gone well */

static uint64_t began_tsc;
static bool noting;

const struct hilum_boot_info *recover_boot_info(void)
{
	return (const struct hilum_boot_info *)HILUM_SERVICE_BOOT_INFO_GPA;
}

uint32_t recover_restarts(void)
{
	return recover_boot_info()->restarts;
}

unsigned recover_attempts(void)
{
	return survivor_head() != NULL ? (unsigned)survivor_head()->attempts : 0;
}

/* ---- Statics of the parts ----------------------------------------------------------------------------------------------------------- */

void recover_keep(struct recover_kept *kept, void *value, size_t bytes)
{
	kept->failed |= bytes > kept->left;
	if (kept->failed)
		return;
	if (kept->finds)
		memcpy(value, kept->at, bytes);
	else
		memcpy(kept->at, value, bytes);
	kept->at += bytes;
	kept->left -= bytes;
}

static void keep_host(struct recover_kept *kept)
{
	struct host_rest rest;

	if (!kept->finds)
		host_rest_get(&rest);
	RECOVER_KEEP(kept, rest);
	if (kept->finds)
		host_rest_set(&rest);
	driver_keep(kept);
	driver_watch_keep(kept);
	guest_devices_keep(kept);
	port_keep(kept);
	log_keep(kept);
	manager_end_keep(kept);
}

static uint8_t scratch[SURVIVOR_HOST_BYTES];

static void note(enum survivor_kind kind, void (*keep)(struct recover_kept *))
{
	struct recover_kept kept = { .at = scratch, .left = sizeof(scratch) };

	keep(&kept);
	if (kept.failed)
		runtime_abort("what is to outlive the control VM does not fit");
	survivor_put(kind, 0, scratch, sizeof(scratch) - kept.left);
}

/* False: there is no such record. */
static bool find(enum survivor_kind kind, void (*keep)(struct recover_kept *))
{
	struct recover_kept kept = { .at = scratch, .finds = true };
	const void *record = survivor_get(kind, 0, &kept.left);

	if (record == NULL)
		return false;
	memcpy(scratch, record, kept.left);
	keep(&kept);
	return !kept.failed;
}

/* ---- The beginning ------------------------------------------------------------------------------------------------------------------- */

static bool map_survivor(hilum_handle_t memory)
{
	struct hilum_region region;
	bool mapped = hc(HC_VM_REGION, HILUM_HANDLE_SELF, PLACES_SURVIVOR, (uintptr_t)&region) >= 0 && region.gpa == PLACES_SURVIVOR &&
	              region.bytes == survivor_bytes();

	return mapped ||
	       hc(HC_MEMORY_MAP, HILUM_HANDLE_SELF, memory, PLACES_SURVIVOR, 0, survivor_bytes(), HILUM_MAP_READ | HILUM_MAP_WRITE) >= 0;
}

/* The earliest object of its size: it was the first that was made. */
static bool find_survivor(void)
{
	hilum_handle_t memory = objects_find_memory(survivor_bytes());

	if (memory == 0 || !map_survivor(memory))
		return false;
	recover_claim(memory, HILUM_OBJECT_MEMORY);
	return survivor_find((void *)PLACES_SURVIVOR, control_fill_page);
}

static void make_survivor(void)
{
	int64_t memory = control_memory_create(survivor_bytes(), HILUM_MEMORY_LAZY | HILUM_MEMORY_4K_PAGES);

	if (memory < 0 || survivor_bytes() > PLACES_SURVIVOR_LIMIT - PLACES_SURVIVOR || !map_survivor((hilum_handle_t)memory) ||
	    !survivor_make((void *)PLACES_SURVIVOR, control_fill_page))
		service_log("not enough memory for what is to outlive the control VM: guests will not survive its end");
}

static void unmap(uint64_t from, uint64_t to)
{
	struct hilum_region region;

	for (; hc(HC_VM_REGION, HILUM_HANDLE_SELF, from, (uintptr_t)&region) >= 0 && region.gpa < to; from = region.gpa + region.bytes)
		if (region.gpa != PLACES_SURVIVOR)
			hc(HC_MEMORY_UNMAP, HILUM_HANDLE_SELF, region.gpa, region.bytes);
}

/* What another control VM has mapped here is mapped anew where it is wanted; configuration space stays. */
static void unmap_all(void)
{
	unmap(HILUM_SERVICE_BOOT_INFO_GPA + 4096, DEVICES_CONFIG_GPA);
	unmap(DEVICES_CONFIG_LIMIT, UINT64_MAX);
}

static void pause_ns(uint64_t ns)
{
	for (uint64_t until = service_tsc() + service_ns_to_tsc(ns); service_tsc() < until;)
		guard_wait(until);
}

/* Whether the last one had come so far that something depends on it. */
static bool had_begun(void)
{
	size_t bytes;

	return survivor_get(SURVIVOR_HOST, 0, &bytes) != NULL;
}

/* The last resort. What operators have changed is in the store, and stays; guests do not. */
static void begin_afresh(void)
{
	struct survivor_head *head = survivor_head();

	service_log("control VM: %u recoveries in a row have failed: EVERYTHING IS BEGUN AFRESH, ALL GUESTS END", ATTEMPTS_MAX);
	event_add("control.afresh", "", "%u recoveries in a row have failed: all guests end", ATTEMPTS_MAX);
	survivor_put(SURVIVOR_HOST, 0, NULL, 0);
	survivor_put(SURVIVOR_IMAGES, 0, NULL, 0);
	for (unsigned i = 0; i < MANAGER_VMS_MAX; i++)
		survivor_put(SURVIVOR_VM, i, NULL, 0);
	head->attempts = head->making = head->making_died = head->started_all = 0;
	head->clean++;
}

static bool may_follow(void)
{
	struct survivor_head *head = survivor_head();

	head->attempts++;
	if (head->attempts > 2)
		pause_ns(head->attempts * PAUSE_NS);
	if (!had_begun())
		return false; /* nothing of worth was there yet */
	if (head->attempts <= ATTEMPTS_MAX)
		return true;
	begin_afresh();
	return false;
}

bool recover_begin(void)
{
	bool found = false, follows;

	began_tsc = service_tsc();
	if (recover_restarts() != 0) {
		objects_list();
		unmap_all();
		found = find_survivor();
	}
	if (!found)
		make_survivor();
	if (survivor_events() != NULL)
		events_use(survivor_events());
	if (survivor_audit() != NULL)
		audit_use(survivor_audit());
	follows = found && may_follow();
	events_set_quiet(follows);
	return follows;
}

static void load_values(void)
{
	size_t bytes;
	const void *values = survivor_get(SURVIVOR_STORE, 0, &bytes);

	if (values != NULL && !store_load(values, bytes))
		service_log("the values of the last control VM are damaged");
}

bool recover_devices(void)
{
	bool known = recover_restarts() != 0 && find(SURVIVOR_DEVICES, devices_keep);
	unsigned claimed;

	if (known)
		devices_recover();
	else
		unmap(DEVICES_CONFIG_GPA, DEVICES_CONFIG_LIMIT);
	if (recover_restarts() != 0 && !had_begun()) {
		devices_stop(); /* before the memory of an earlier driver VM goes */
		objects_end_unclaimed(&claimed);
		load_values(); /* those of the disk are added */
	}
	return known;
}

void recover_note_devices(void)
{
	note(SURVIVOR_DEVICES, devices_keep);
}

/* ---- Notes -------------------------------------------------------------------------------------------------------------------------- */

static void note_store(void)
{
	size_t bytes = store_serialized_bytes();
	uint8_t *at = noting ? survivor_begin(SURVIVOR_STORE, 0, bytes) : NULL;

	if (at == NULL)
		return;
	store_serialize(at);
	survivor_commit(SURVIVOR_STORE, 0, bytes);
}

/* One of the store's values has changed, behind the record of all: what was taken away is its key alone, with a NUL. */
static void note_value(const char *key)
{
	size_t bytes = store_serialize_value(key, NULL), removed = bytes == 0 ? strlen(key) + 1 : 0;
	uint8_t *at = survivor_add_begin(1 + bytes + removed);

	if (at == NULL) {
		note_store();
		return;
	}
	at[0] = removed == 0;
	if (removed != 0)
		memcpy(at + 1, key, removed);
	else
		store_serialize_value(key, at + 1);
	survivor_add_commit(1 + bytes + removed);
}

static void store_has_changed(const char *key)
{
	if (!noting)
		return;
	if (key != NULL)
		note_value(key);
	else
		note(SURVIVOR_HOST, keep_host); /* where the state is on the disk */
}

static bool read_value(const uint8_t *entry, size_t bytes)
{
	if (bytes < 2)
		return false;
	if (entry[0] == 1)
		return store_put_serialized(entry + 1, bytes - 1);
	if (entry[bytes - 1] != '\0')
		return false;
	store_remove((const char *)entry + 1);
	return true;
}

static void find_store(void)
{
	size_t bytes, at = 0;
	const uint8_t *from = survivor_get(SURVIVOR_STORE, 0, &bytes);
	bool well = from == NULL || store_load(from, bytes);

	while (well && (from = survivor_added(&at, &bytes)) != NULL)
		well = read_value(from, bytes);
	if (!well)
		service_log("the values of the last control VM are damaged");
}

static void something_has_happened(const char *kind, const char *name)
{
	if (!noting)
		return;
	if (strncmp(kind, "image.", 6) == 0)
		images_note();
	note(SURVIVOR_HOST, keep_host);
	if (strcmp(kind, "vm.undefined") == 0)
		vms_forget(name);
	else if (strncmp(kind, "vm.", 3) == 0)
		vms_note(manager_entry_find(name));
}

void recover_note_changes(void)
{
	noting = true;
	events_set_watcher(something_has_happened);
	store_set_watcher(store_has_changed);
	note(SURVIVOR_DEVICES, devices_keep);
	images_note();
	note_store();
	vms_note_all();
	note(SURVIVOR_HOST, keep_host);
}

void recover_note_slot(uint32_t slot)
{
	if (noting)
		vms_note(manager_entry_of_slot(slot));
}

void recover_note_making(int slot)
{
	const struct manager_entry *e = slot >= 0 ? manager_entry_of_slot((uint32_t)slot) : NULL;
	struct survivor_head *head = survivor_head();

	if (head == NULL)
		return;
	if (e == NULL || head->making != e->place + 1)
		head->making_died = 0;
	head->making = e != NULL ? e->place + 1 : 0;
}

bool recover_all_started(void)
{
	return survivor_head() != NULL && survivor_head()->started_all != 0;
}

void recover_note_all_started(void)
{
	if (survivor_head() != NULL)
		survivor_head()->started_all = 1;
}

uint64_t recover_watch(void)
{
	struct survivor_head *head = survivor_head();
	uint64_t well = began_tsc + service_ns_to_tsc(WELL_NS);

	if (head == NULL || head->attempts == 0)
		return 0;
	if (service_tsc() < well)
		return well;
	head->attempts = 0;
	return 0;
}

bool recover_host(const struct config *config)
{
	images_recover();
	if (!find(SURVIVOR_HOST, keep_host))
		runtime_abort("the record of the last control VM is of no use"); /* until everything is begun afresh */
	find_store();
	port_recover();
	guest_devices_recover_uplinks();
	return driver_recover(config);
}

/* ---- The VMs ------------------------------------------------------------------------------------------------------------------------- */

void recover_vms(void)
{
	unsigned guests, ended, claimed;

	vms_recover();
	images_recover_end();
	vms_release_unclaimed();
	ended = objects_end_unclaimed(&claimed);
	events_set_quiet(false);
	recover_note_changes();
	guests = vms_go_on();
	service_log("control VM: %s; restarted in %lu ms; %u guest%s on; %u handles kept, %u that were nobody's given back",
	            control_crash(recover_boot_info()->crash), (unsigned long)(service_tsc_to_ns(service_tsc() - began_tsc) / 1000000),
	            guests, guests == 1 ? " carries" : "s carry", claimed, ended);
	event_add("control.restarted", "", "%s, %u guest%s on", control_crash(recover_boot_info()->crash), guests,
	          guests == 1 ? " carries" : "s carry");
}
