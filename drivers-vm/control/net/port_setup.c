/* See port_setup.h. The area is made once and given to each driver VM; what the last one left there is wiped. */
#include "drivers-vm/control/net/port_setup.h"

#include "drivers-vm/control/control.h"
#include "drivers-vm/control/device.h"
#include "drivers-vm/control/guard.h"
#include "drivers-vm/control/recover.h"
#include "drivers-vm/control/net/port.h"
#include "drivers-vm/control/net/port_private.h"
#include "drivers-vm/control/store/store_boots.h"
#include "drivers-vm/control/store/store_sync.h"
#include "drivers-vm/lib/port_area.h"

#include <string.h>

_Static_assert(CHANNEL_PORT_BYTES == PORT_AREA_BYTES, "what is mapped is what is used");

#define AREA_HERE 0x90100000ull /* of the control VM */

static uint8_t *const area = (uint8_t *)AREA_HERE;
static hilum_handle_t memory, doorbell;
static struct channel_port_place place;                          /* of the partition, as the first driver VM found it, and ... */
static struct channel_port_disk found_disks[CHANNEL_PORT_FOUND]; /* ... all disks with one */
static bool asked, settled;
static bool counted;    /* this start of the machine */
static bool takes_over; /* from another control VM, whose port the driver VM has */

static void kick(void)
{
	hc(HC_EVENT_SIGNAL, doorbell);
}

static bool make_area(void)
{
	int64_t made = memory == 0 ? control_memory_create(PORT_AREA_BYTES, 0) : 0;

	if (made > 0 && hc(HC_MEMORY_MAP, HILUM_HANDLE_SELF, made, AREA_HERE, 0, PORT_AREA_BYTES, HILUM_MAP_READ | HILUM_MAP_WRITE) < 0) {
		hc(HC_HANDLE_CLOSE, made);
		made = HILUM_E_NO_MEMORY;
	}
	if (made > 0)
		memory = (hilum_handle_t)made;
	return memory != 0;
}

static bool prepare(void)
{
	int64_t event = make_area() ? hc(HC_EVENT_CREATE, driver_vm, 0, CHANNEL_EVENT_PORT, 0) : HILUM_E_NO_MEMORY;

	doorbell = event > 0 ? (hilum_handle_t)event : 0;
	return event > 0 && (takes_over || driver_map(memory, CHANNEL_PORT_GPA, PORT_AREA_BYTES) >= 0);
}

/* Disks that a guest of the file has whole: it could put a table there that names a partition like ours. */
static void send_avoided(const struct config *config)
{
	for (unsigned i = 0; i < config->vm_count; i++)
		for (unsigned k = 0; k < config->vm[i].disk_count; k++) {
			const struct config_disk *disk = &config->vm[i].disk[k];
			struct channel_message m = { .kind = CHANNEL_PORT_AVOID };
			if (disk->device == NULL || disk->readonly || disk->partition != 0 || disk->partlabel != NULL ||
			    disk->partuuid != NULL || strlen(disk->device) > sizeof(m.port.device))
				continue;
			memcpy(m.port.device, disk->device, strlen(disk->device));
			driver_send(&m);
		}
}

/* The first uplink's card; if guests are to have none, a card that is nobody's. */
static void choose_card(const struct config *config, struct channel_message *m)
{
	const char *device = config->uplink_count != 0 ? config->uplink[0].device : NULL;

	if (!config->api.enabled)
		return; /* nobody would use it */
	m->port.flags |= CHANNEL_PORT_CARD;
	if (config->uplink_count == 0)
		m->port.flags |= config->has_uplinks ? CHANNEL_PORT_OWN_CARD : 0;
	for (unsigned c = 0; device != NULL && device[c] != '\0' && c < sizeof(m->port.device); c++)
		m->port.device[c] = device[c] >= 'A' && device[c] <= 'F' ? (char)(device[c] | 32) : device[c];
}

void port_setup(const struct config *config)
{
	struct channel_message m = { .kind = CHANNEL_PORT };

	if (!prepare()) {
		service_log("the control VM's card and disk: not enough memory");
		port_end();
		return;
	}
	if (takes_over)
		m.port.flags |= CHANNEL_PORT_PEER; /* the driver VM empties it, as it still looks at it */
	else
		memset(area, 0, PORT_AREA_BYTES);
	takes_over = false;
	choose_card(config, &m);
	/* Nothing that turns up later is the state of this run. */
	m.port.flags |= settled ? CHANNEL_PORT_AGAIN : 0;
	m.port.place = place;
	memcpy(m.port.found, found_disks, sizeof(found_disks));
	if (config->state_disk != NULL && strlen(config->state_disk) <= sizeof(m.port.disk))
		memcpy(m.port.disk, config->state_disk, strlen(config->state_disk));
	if (!settled)
		send_avoided(config);
	asked = true;
	driver_send(&m);
}

void port_setup_answered(const struct channel_message *m)
{
	const struct channel_port_place *found = &m->port_ready.place;

	if (!asked)
		return;
	asked = false;
	if (!settled)
		memcpy(found_disks, m->port_ready.found, sizeof(found_disks));
	if (m->port_ready.card && !(m->port_ready.mac[0] & 1)) {
		const uint8_t *mac = m->port_ready.mac;
		port_net_start(area, mac, kick);
		if (!settled)
			service_log("own network card %02x:%02x:%02x:%02x:%02x:%02x, beside the uplink's", mac[0], mac[1], mac[2], mac[3],
			            mac[4], mac[5]);
	}
	if (found->sectors != 0 && (place.sectors == 0 ? !settled : memcmp(found, &place, sizeof(place)) == 0)) {
		place = *found;
		port_disk_start(area, place.sectors, kick);
		if (!settled)
			store_open(port_disk());
	} else if (place.sectors != 0) {
		service_log("the disk with the state is gone: nothing is kept until it is back");
		port_disk_end();
	} else if (!settled) {
		store_open(NULL);
		service_log("no GPT partition labelled '" CHANNEL_PORT_LABEL "': nothing will be kept");
	}
	settled = true;
}

void port_stop(void)
{
	asked = takes_over = false;
	port_net_stop();
	port_disk_stop();
	if (doorbell != 0)
		hc(HC_HANDLE_CLOSE, doorbell);
	doorbell = 0;
}

void port_end(void)
{
	port_stop();
	port_disk_end();
	if (!settled)
		store_open(NULL);
	settled = true;
}

bool port_is_settled(void)
{
	return settled;
}

uint64_t port_run(void)
{
	uint64_t now = service_tsc_to_ns(service_tsc()), next;

	do
		next = store_poll(now);
	while (port_disk_poll());
	if (!counted && store_is_ready()) {
		counted = true;
		if (store_is_kept())
			store_count_boot();
		next = store_poll(now);
	}
	return next != 0 ? service_ns_to_tsc(next) + 1 : 0;
}

static bool is_written(void)
{
	return store_is_clean() || !store_is_kept();
}

/* False: it is not so in time, or there is no driver VM any more. */
static bool wait_until(bool (*is_so)(void), uint64_t timeout_ns)
{
	const uint64_t mine = 1ull << CONTROL_EVENT_DRIVER | 1ull << CONTROL_EVENT_DEVICE;
	uint64_t deadline = service_tsc() + service_ns_to_tsc(timeout_ns);

	for (port_run(); !is_so(); port_run()) {
		if (service_tsc() >= deadline || driver_ending() != NULL)
			return false;
		guard_wait(deadline);
		/* Only these events are taken here: the others stay pending for the main loop. */
		uint64_t events = __atomic_fetch_and(&service_shared()->pending[0][0], ~mine, __ATOMIC_ACQ_REL);
		driver_poll();
		if (events & 1ull << CONTROL_EVENT_DEVICE)
			devices_report_faults();
	}
	return true;
}

void port_wait_for_state(uint64_t timeout_ns)
{
	if (wait_until(store_is_ready, timeout_ns))
		return;
	service_log("state: it cannot be read in time: nothing will be kept");
	store_abandon();
	settled = true;
	port_run();
}

void port_wait_for_write(uint64_t timeout_ns)
{
	if (!wait_until(is_written, timeout_ns))
		service_log("state: the last changes could not be written");
}

/* ---- A control VM takes over ------------------------------------------------------------------------------------------------------------ */

void port_keep(struct recover_kept *kept)
{
	RECOVER_KEEP(kept, memory);
	RECOVER_KEEP(kept, place);
	RECOVER_KEEP(kept, found_disks);
	RECOVER_KEEP(kept, settled);
	RECOVER_KEEP(kept, counted);
}

void port_recover(void)
{
	if (memory != 0 && (!recover_claim(memory, HILUM_OBJECT_MEMORY) || hc(HC_MEMORY_MAP, HILUM_HANDLE_SELF, memory, AREA_HERE, 0,
	                                                                      PORT_AREA_BYTES, HILUM_MAP_READ | HILUM_MAP_WRITE) < 0))
		memory = 0;
	takes_over = memory != 0;
	settled = true; /* what was not there yet is not waited for any more */
	if (place.sectors != 0)
		port_disk_expect(place.sectors);
	store_resume(place.sectors != 0 ? port_disk() : NULL);
}
