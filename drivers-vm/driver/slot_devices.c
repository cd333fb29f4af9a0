/* What a machine's devices are made of: memory for the models, and what stands behind them. */
#include "drivers-vm/driver/slot_devices.h"

#include "drivers-vm/driver/blk_ram.h"
#include "drivers-vm/driver/entropy.h"
#include "drivers-vm/driver/gpt.h"
#include "drivers-vm/driver/host_disk.h"
#include "drivers-vm/runtime/service.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NIC_FRAMES         16u /* a guest's card takes each at once; a host's may hold some */
#define DISK_REQUESTS      2u  /* a RAM disk finishes each at once; one may be held by the limits */
#define HOST_DISK_REQUESTS 32u
#define NO_MEMORY          "no memory for it in the driver VM"

struct slot_disk {
	struct channel_message message;
	struct blk_ram ram;
	struct blk_part part;
	struct host_disk_claim claim;
	struct blk_device *device; /* what the guest sees of it */
	struct virtio_blk_request *request;
};

void slot_devices_add_disk(struct slot_devices *devices, const struct channel_message *m)
{
	struct slot_disk *disk = devices->disks < MODEL_DISKS ? calloc(1, sizeof(*disk)) : NULL;

	if (disk == NULL) {
		devices->incomplete = true;
		return;
	}
	disk->message = *m;
	devices->disk[devices->disks++] = disk;
}

struct slot_nic {
	struct channel_message message;
	struct virtio_net_frame *frame;
};

struct net_switch driver_switch;

void slot_devices_add_nic(struct slot_devices *devices, const struct channel_message *m)
{
	struct slot_nic *nic = devices->nics < MODEL_NICS ? calloc(1, sizeof(*nic)) : NULL;

	if (nic == NULL) {
		devices->incomplete = true;
		return;
	}
	nic->message = *m;
	devices->nic[devices->nics++] = nic;
}

void slot_devices_add_link(struct slot_devices *devices, const struct channel_message *m)
{
	if (devices->links == MODEL_LINKS || m->link.number > CHANNEL_LINKS || m->link.position > 1) {
		devices->incomplete = true;
		return;
	}
	devices->link_config[devices->links++] = (struct ivshmem_config){
		.number = m->link.number,
		.position = m->link.position,
		.gpa = m->link.gpa,
		.bytes = m->link.bytes,
	};
}

/* NULL, or what is wrong in words. */
static const char *part_find(struct slot_disk *disk)
{
	const struct channel_message *m = &disk->message;
	const struct gpt_wanted wanted = {
		.number = m->disk.part == CHANNEL_PART_NUMBER ? m->disk.part_number : 0,
		.label = m->disk.part == CHANNEL_PART_LABEL ? m->disk.part_name : NULL,
		.uuid = m->disk.part == CHANNEL_PART_UUID ? m->disk.part_name : NULL,
	};
	uint64_t first, sectors;
	const char *error;

	if (m->disk.part == CHANNEL_PART_WHOLE)
		return NULL;
	error = gpt_find(disk->device, &wanted, &first, &sectors);
	if (error != NULL)
		return error;
	blk_part_init(&disk->part, disk->device, first, sectors);
	disk->device = &disk->part.device;
	return NULL;
}

static const char *host_disk_make(struct slot_disk *disk)
{
	const struct channel_message *m = &disk->message;
	const char *error = host_disk_find(m->disk.device, &disk->device);
	struct blk_device *whole = disk->device;

	if (error == NULL)
		error = part_find(disk);
	if (error != NULL)
		return error;
	if (disk->device == whole) {
		blk_part_init(&disk->part, whole, 0, whole->sectors);
		disk->device = &disk->part.device;
	}
	if (m->disk.flags & CHANNEL_DISK_READ_ONLY)
		disk->device->read_only = true;
	if (!host_disk_claim(&disk->claim, whole, disk->part.first, disk->device->sectors, disk->device->read_only)) {
		static char conflict[128];
		snprintf(conflict, sizeof(conflict), "%s is in the same place, and one of the two can be written",
		         host_disk_owner(whole, disk->part.first, disk->device->sectors));
		return conflict;
	}
	return NULL;
}

static const char *ram_disk_make(struct slot_disk *disk)
{
	const struct channel_message *m = &disk->message;

	if (!service_map_memory(m->disk.gpa, m->disk.bytes))
		return NO_MEMORY;
	blk_ram_init(&disk->ram, (void *)(uintptr_t)m->disk.gpa, m->disk.bytes, m->disk.flags & CHANNEL_DISK_READ_ONLY);
	disk->device = &disk->ram.device;
	return part_find(disk);
}

static const char *disk_make(struct slot_disk *disk, struct state_area *area, struct virtio_blk_config *config)
{
	struct channel_message *m = &disk->message;
	bool of_host = m->disk.device[0] != '\0';
	unsigned requests = of_host ? HOST_DISK_REQUESTS : DISK_REQUESTS;
	const char *error;

	m->disk.part_name[sizeof(m->disk.part_name) - 1] = '\0';
	disk->request = state_area_take(area, requests, sizeof(*disk->request));
	if (disk->request == NULL)
		return NO_MEMORY;
	error = of_host ? host_disk_make(disk) : ram_disk_make(disk);
	if (error != NULL)
		return error;
	*config = (struct virtio_blk_config){
		.device = disk->device,
		.queues = m->disk.queues >= 1 && m->disk.queues <= VIRTIO_BLK_QUEUES_MAX ? m->disk.queues : 1,
		.packed = m->disk.flags & CHANNEL_DISK_PACKED,
		.operations_per_second = m->disk.operations_per_second,
		.bytes_per_second = m->disk.bytes_per_second,
		.request = disk->request,
		.requests = requests,
	};
	memcpy(config->serial, m->disk.serial, sizeof(config->serial));
	return NULL;
}

static bool disks_make(struct slot_devices *devices, struct state_area *area, const char *name, struct machine_config *config)
{
	static struct virtio_blk_config disk_config[MODEL_DISKS];

	if (devices->disks == 0)
		return true;
	devices->blk = state_area_take(area, devices->disks, sizeof(*devices->blk));
	for (unsigned i = 0; i < devices->disks; i++) {
		const char *error = devices->blk != NULL ? disk_make(devices->disk[i], area, &disk_config[i]) : NO_MEMORY;
		if (error != NULL) {
			service_log("vm %s: disk %u: %s", name, i, error);
			return false;
		}
	}
	config->disks = devices->disks;
	config->disk = devices->blk;
	config->disk_config = disk_config;
	return true;
}

static bool nic_make(struct slot_nic *nic, struct state_area *area, struct virtio_net_config *config)
{
	const struct channel_message *m = &nic->message;

	nic->frame = state_area_take(area, NIC_FRAMES, sizeof(*nic->frame));
	if (nic->frame == NULL || m->nic.ip4s > CHANNEL_NIC_IPS || m->nic.ip6s > CHANNEL_NIC_IPS)
		return false;
	*config = (struct virtio_net_config){
		.net = &driver_switch,
		.policy =
			{
				.bridge = m->nic.bridge,
				.tenant = m->nic.tenant,
				.vlan = m->nic.vlan,
				.trunk = m->nic.flags & CHANNEL_NIC_TRUNK,
				.spoof = m->nic.flags & CHANNEL_NIC_SPOOF,
				.ip4s = m->nic.ip4s,
				.ip6s = m->nic.ip6s,
			},
		.pairs = m->nic.pairs >= 1 && m->nic.pairs <= VIRTIO_NET_PAIRS_MAX ? m->nic.pairs : 1,
		.mtu = m->nic.mtu,
		.packed = m->nic.flags & CHANNEL_NIC_PACKED,
		.plain = m->nic.flags & CHANNEL_NIC_PLAIN,
		.bytes_per_second = m->nic.bytes_per_second,
		.frame = nic->frame,
		.frames = NIC_FRAMES,
	};
	memcpy(config->policy.mac, m->nic.mac, sizeof(config->policy.mac));
	memcpy(config->policy.ip4, m->nic.ip4, sizeof(m->nic.ip4));
	memcpy(config->policy.ip6, m->nic.ip6, sizeof(m->nic.ip6));
	return true;
}

static bool nics_make(struct slot_devices *devices, struct state_area *area, const char *name, struct machine_config *config)
{
	static struct virtio_net_config nic_config[MODEL_NICS];

	if (devices->nics == 0)
		return true;
	devices->net = state_area_take(area, devices->nics, sizeof(*devices->net));
	for (unsigned i = 0; i < devices->nics; i++)
		if (devices->net == NULL || !nic_make(devices->nic[i], area, &nic_config[i])) {
			service_log("vm %s: network card %u: no memory for it in the driver VM", name, i);
			return false;
		}
	config->nics = devices->nics;
	config->nic = devices->net;
	config->nic_config = nic_config;
	return true;
}

bool slot_devices_join(struct slot_devices *devices, const char *name)
{
	devices->joined = true;
	for (unsigned i = 0; i < devices->nics; i++)
		if (!net_switch_add(&driver_switch, &devices->net[i].port)) {
			service_log("vm %s: network card %u: the switch has no port left", name, i);
			return false;
		}
	return true;
}

void slot_devices_leave(struct slot_devices *devices)
{
	for (unsigned i = 0; devices->joined && i < devices->nics; i++)
		net_switch_remove(&driver_switch, &devices->net[i].port);
	devices->joined = false;
}

/* Entropy and balloon. False: no memory. */
static bool others_make(struct slot_devices *devices, struct state_area *area, const struct channel_message *m,
                        struct machine_config *config)
{
	config->packed = m->attach.flags & CHANNEL_VM_PACKED;
	if ((m->attach.flags & CHANNEL_VM_RNG) && !entropy_is_available())
		service_log("vm %s: no entropy device: this CPU has neither RDSEED nor RDRAND", m->attach.name);
	else if (m->attach.flags & CHANNEL_VM_RNG)
		devices->rng = state_area_take(area, 1, sizeof(*devices->rng));
	if (m->attach.flags & CHANNEL_VM_BALLOON)
		devices->balloon = state_area_take(area, 1, sizeof(*devices->balloon));
	if (devices->balloon != NULL) {
		config->balloon_blocks = (m->attach.low_bytes + m->attach.high_bytes) / VIRTIO_BALLOON_BLOCK_BYTES;
		config->balloon_block = state_area_take(area, config->balloon_blocks, sizeof(*config->balloon_block));
		if (config->balloon_block == NULL)
			service_log("vm %s: no memory to count what its balloon holds: the host gets nothing of it", m->attach.name);
	}
	config->rng = devices->rng;
	config->balloon = devices->balloon;
	config->balloon_pages = m->attach.balloon_pages;
	return (devices->rng != NULL || !(m->attach.flags & CHANNEL_VM_RNG) || !entropy_is_available()) &&
	       (devices->balloon != NULL || !(m->attach.flags & CHANNEL_VM_BALLOON));
}

static bool links_make(struct slot_devices *devices, struct state_area *area, struct machine_config *config)
{
	if (devices->links == 0)
		return true;
	devices->link = state_area_take(area, devices->links, sizeof(*devices->link));
	config->links = devices->links;
	config->link = devices->link;
	config->link_config = devices->link_config;
	return devices->link != NULL;
}

bool slot_devices_make(struct slot_devices *devices, struct state_area *area, const struct channel_message *m,
                       struct machine_config *config)
{
	const char *name = m->attach.name;

	if (devices->incomplete || !others_make(devices, area, m, config) || !links_make(devices, area, config)) {
		service_log("vm %s: no memory for its devices in the driver VM", name);
		return false;
	}
	return disks_make(devices, area, name, config) && nics_make(devices, area, name, config);
}

uint64_t slot_devices_layout(void)
{
	static const uint64_t sizes[] = {
		sizeof(struct virtio_blk),
		sizeof(struct virtio_blk_request),
		sizeof(struct virtio_net),
		sizeof(struct virtio_net_frame),
		sizeof(struct virtio_rng),
		sizeof(struct virtio_balloon),
		sizeof(struct ivshmem),
		NIC_FRAMES,
		DISK_REQUESTS,
		HOST_DISK_REQUESTS,
	};
	uint64_t layout = 0;

	for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		layout = layout * 0x100000001B3ull + sizes[i];
	return layout;
}

void slot_devices_old(const struct state_area *area, const struct machine_config *config, struct machine_config *old)
{
	static struct virtio_blk_config disk_config[MODEL_DISKS];
	static struct virtio_net_config nic_config[MODEL_NICS];

	for (unsigned i = 0; i < config->disks; i++)
		disk_config[i].request = (void *)state_area_old(area, config->disk_config[i].request);
	for (unsigned i = 0; i < config->nics; i++)
		nic_config[i].frame = (void *)state_area_old(area, config->nic_config[i].frame);
	*old = (struct machine_config){
		.disk = (void *)state_area_old(area, config->disk),
		.disk_config = disk_config,
		.nic = (void *)state_area_old(area, config->nic),
		.nic_config = nic_config,
		.rng = (void *)state_area_old(area, config->rng),
		.balloon = (void *)state_area_old(area, config->balloon),
		.link = (void *)state_area_old(area, config->link),
	};
}

void slot_devices_poll(struct slot_devices *devices)
{
	for (unsigned i = 0; i < devices->disks; i++) {
		struct blk_device *device = devices->disk[i]->device;
		if (device != NULL && device->ops->poll != NULL)
			device->ops->poll(device);
	}
	net_switch_poll(&driver_switch);
}

void slot_devices_free(struct slot_devices *devices)
{
	for (unsigned i = 0; i < devices->disks; i++) {
		host_disk_release(&devices->disk[i]->claim);
		free(devices->disk[i]);
	}
	for (unsigned i = 0; i < devices->nics; i++) {
		free(devices->nic[i]);
	}
	memset(devices, 0, sizeof(*devices));
}
