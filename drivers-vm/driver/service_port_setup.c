/* See service_port_setup.h. The partition is found by its label on first sight, and by its place afterwards: a guest that has learned to
 * write partition tables meanwhile cannot pass its own disk off as the host's. */
#include "drivers-vm/driver/service_port_setup.h"

#include "drivers-vm/driver/gpt.h"
#include "drivers-vm/driver/host_disk.h"
#include "drivers-vm/driver/host_nic.h"
#include "drivers-vm/driver/service_port.h"
#include "drivers-vm/runtime/service.h"

#include <stdlib.h>
#include <string.h>

_Static_assert(PORT_AREA_BYTES == CHANNEL_PORT_BYTES, "what is mapped is what is used");

#define OWNER "Hilum's own state, the partition '" CHANNEL_PORT_LABEL "',"

static struct service_port port;
static struct net_switch own_net; /* of a card that no guest shares */
static struct blk_part part;
static struct host_disk_claim claim;
static bool more;

static uint64_t now_ns(void)
{
	return service_tsc_to_ns(service_tsc());
}

/* ---- The card ---- */

static void join(const struct channel_message *m)
{
	struct channel_message uplink = {.kind = CHANNEL_UPLINK};
	const struct host_nic *nic = NULL;

	if (!(m->port.flags & CHANNEL_PORT_OWN_CARD))
		nic = host_nic_joined(m->port.device);
	else if (host_nic_is_free())
		nic = host_nic_join(&own_net, &uplink);
	if (nic == NULL)
		return; /* if there should be one, the log has said why there is not */
	if (!service_port_join(&port, nic->joined, &nic->port.policy, nic->mac))
		service_log("the control VM's card: the switch has no port left");
}

/* ---- The disk ---- */

/* The disk that the configuration names; NULL: it names none, or there is none. */
static const struct blk_device *named_disk(const struct channel_message *m)
{
	struct blk_device *device;
	const char *error = m->port.disk[0] != '\0' ? host_disk_find(m->port.disk, &device) : "";

	if (error != NULL && error[0] != '\0')
		service_log("state_disk: %s", error);
	return error == NULL ? device : NULL;
}

static bool is_wanted(const struct channel_message *m, const struct blk_device *named, const struct host_disk *disk)
{
	const struct channel_port_place *place = &m->port.place;

	if (m->port.disk[0] != '\0' && named != &disk->device)
		return false;
	return place->sectors == 0 || (disk->rid == place->rid && disk->port == place->port);
}

/* Neither the guest nor we get what may be the host's state or the guest's forgery. */
static void refuse(struct host_disk *disk, uint64_t first, uint64_t sectors)
{
	struct host_disk_claim *refused = calloc(1, sizeof(*refused));

	service_log("disk at %02x:%02x.%x: its partition '" CHANNEL_PORT_LABEL "' is not used, as a VM is to have the whole disk: give that VM "
		    "partitions of it, or name the disk as state_disk",
		    disk->rid >> 8, disk->rid >> 3 & 31, disk->rid & 7);
	if (refused != NULL && host_disk_claim(refused, &disk->device, first, sectors, false))
		refused->owner = OWNER;
}

/* The partition; false: none, or several. */
static bool find(const struct channel_message *m, struct channel_port_place *found)
{
	const struct gpt_wanted wanted = {.label = CHANNEL_PORT_LABEL};
	const struct channel_port_place *place = &m->port.place;
	const struct blk_device *named = named_disk(m);
	uint64_t first, sectors;
	unsigned count = 0;

	for (struct host_disk *disk = host_disk_next(NULL); disk != NULL; disk = host_disk_next(disk)) {
		if (disk->device.read_only || !is_wanted(m, named, disk) || gpt_find(&disk->device, &wanted, &first, &sectors) != NULL)
			continue;
		if (disk->avoided && named == NULL && place->sectors == 0) {
			refuse(disk, first, sectors);
			continue;
		}
		if (place->sectors != 0 && (first != place->first || sectors != place->sectors))
			continue;
		blk_part_init(&part, &disk->device, first, sectors);
		*found = (struct channel_port_place){disk->rid, disk->port, first, sectors};
		count++;
	}
	if (count > 1)
		service_log("several disks have a GPT partition labelled '" CHANNEL_PORT_LABEL "': none of them is used");
	return count == 1;
}

static void give_disk(const struct channel_message *m, struct channel_port_place *found)
{
	if (!find(m, found) || !host_disk_claim(&claim, part.whole, part.first, part.device.sectors, false)) {
		*found = (struct channel_port_place){0};
		return;
	}
	claim.owner = OWNER;
	service_port_give_disk(&port, &part.device);
}

void service_port_avoid(const struct channel_message *m)
{
	struct blk_device *device;

	if (host_disk_find(m->port.device, &device) == NULL)
		((struct host_disk *)device)->avoided = true;
}

/* ---- Both ---- */

void service_port_setup(const struct channel_message *m, struct channel_message *answer, void (*signal)(void))
{
	static bool done;

	answer->kind = CHANNEL_PORT_READY;
	if (done)
		return;
	done = true;
	service_port_init(&port, (uint8_t *)CHANNEL_PORT_GPA, signal, now_ns);
	if (m->port.flags & CHANNEL_PORT_CARD)
		join(m);
	if (m->port.flags & CHANNEL_PORT_DISK)
		give_disk(m, &answer->port_ready.place);
	answer->port_ready.card = port.net != NULL;
	memcpy(answer->port_ready.mac, port.port.policy.mac, sizeof(answer->port_ready.mac));
}

uint64_t service_port_run(bool rung)
{
	if (!rung && !more)
		return 0;
	service_port_run_disk(&port);
	more = service_port_send(&port);
	return more ? service_tsc() : 0;
}
