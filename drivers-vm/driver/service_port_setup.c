/* See service_port_setup.h. The partition is found by its label on first sight, and by its place afterwards: a guest that has learned to
 * write partition tables meanwhile cannot pass its own disk off as the host's. */
#include "drivers-vm/driver/service_port_setup.h"

#include "drivers-vm/driver/gpt.h"
#include "drivers-vm/driver/host_disk.h"
#include "drivers-vm/driver/host_nic.h"
#include "drivers-vm/driver/service_port.h"
#include "drivers-vm/runtime/service.h"

#include <string.h>

_Static_assert(PORT_AREA_BYTES == CHANNEL_PORT_BYTES, "what is mapped is what is used");

static struct service_port port;
static struct net_switch own_net; /* of a card that no guest shares */
static struct blk_part part;
static bool more;

static uint64_t now_ns(void)
{
	return service_tsc_to_ns(service_tsc());
}

/* ---- The card ---- */

static void join(const struct channel_message *m)
{
	struct channel_message uplink = { .kind = CHANNEL_UPLINK };
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

static bool is_disk(const struct channel_port_disk *which, const struct host_disk *disk)
{
	return which->rid != 0 && which->rid == disk->rid && which->port == disk->port;
}

/* A fresh driver VM looks only where the first one found something. */
static bool is_known(const struct channel_message *m, const struct host_disk *disk)
{
	bool known = !(m->port.flags & CHANNEL_PORT_AGAIN);

	for (unsigned i = 0; i < CHANNEL_PORT_FOUND; i++)
		known |= is_disk(&m->port.found[i], disk);
	return known;
}

/* Whether the partition may be the state; the log says why not, where that is not plain. */
static bool is_ours(const struct channel_message *m, const struct blk_device *named, const struct host_disk *disk, uint64_t first,
                    uint64_t sectors)
{
	const struct channel_port_place *place = &m->port.place;

	if (m->port.flags & CHANNEL_PORT_AGAIN)
		return is_disk(&place->disk, disk) && first == place->first && sectors == place->sectors;
	if (m->port.disk[0] != '\0')
		return named == &disk->device && !disk->device.read_only;
	if (disk->avoided)
		service_log("disk at %02x:%02x.%x: its partition '" CHANNEL_PORT_LABEL "' is not used, as a VM is to have the whole disk: "
		            "give that VM partitions of it, or name the disk as state_disk",
		            disk->rid >> 8, disk->rid >> 3 & 31, disk->rid & 7);
	return !disk->avoided && !disk->device.read_only;
}

/* Nobody else gets what may be the host's state. It is claimed before there is any guest. */
static void claim(struct host_disk *disk, uint64_t first, uint64_t sectors)
{
	if (host_disk_claim(&disk->own, &disk->device, first, sectors, false))
		disk->own.owner = "Hilum's own state, the partition '" CHANNEL_PORT_LABEL "',";
}

static void note_found(struct channel_message *answer, const struct channel_port_disk *disk)
{
	for (unsigned i = 0; i < CHANNEL_PORT_FOUND; i++)
		if (answer->port_ready.found[i].rid == 0) {
			answer->port_ready.found[i] = *disk;
			return;
		}
}

/* Finds the partition. If there are several, nothing is used, and nobody gets them. */
static void give_disk(const struct channel_message *m, struct channel_message *answer)
{
	const struct gpt_wanted wanted = { .label = CHANNEL_PORT_LABEL };
	const struct blk_device *named = m->port.flags & CHANNEL_PORT_AGAIN ? NULL : named_disk(m);
	struct channel_port_place *place = &answer->port_ready.place;
	uint64_t first, sectors;
	unsigned count = 0;

	for (struct host_disk *disk = host_disk_next(NULL); disk != NULL; disk = host_disk_next(disk)) {
		const struct channel_port_disk here = { disk->rid, disk->port };
		if (!is_known(m, disk) || gpt_find(&disk->device, &wanted, &first, &sectors) != NULL)
			continue;
		claim(disk, first, sectors);
		note_found(answer, &here);
		if (!is_ours(m, named, disk, first, sectors))
			continue;
		*place = (struct channel_port_place){ here, first, sectors };
		blk_part_init(&part, &disk->device, first, sectors);
		count++;
	}
	if (count == 1)
		service_port_give_disk(&port, &part.device);
	else
		*place = (struct channel_port_place){ 0 };
	if (count > 1)
		service_log("several disks have a GPT partition labelled '" CHANNEL_PORT_LABEL "': none of them is used");
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
	static struct channel_message first;

	answer->kind = CHANNEL_PORT_READY;
	if (first.kind == CHANNEL_PORT_READY) {
		if (m->port.flags & CHANNEL_PORT_PEER) {
			service_port_begin_anew(&port);
			*answer = first;
		}
		return;
	}
	service_port_init(&port, (uint8_t *)CHANNEL_PORT_GPA, signal, now_ns);
	if (m->port.flags & CHANNEL_PORT_CARD)
		join(m);
	give_disk(m, answer);
	answer->port_ready.card = port.net != NULL;
	memcpy(answer->port_ready.mac, port.port.policy.mac, sizeof(answer->port_ready.mac));
	first = *answer;
}

uint64_t service_port_run(bool rung)
{
	if (!rung && !more)
		return 0;
	service_port_run_disk(&port);
	more = service_port_send(&port);
	return more ? service_tsc() : 0;
}
