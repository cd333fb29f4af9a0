/*
 * The disks and network cards of the guests: memory for RAM disks, and the messages by which the driver VM
 * learns of them. A RAM disk keeps what was written when its guest restarts, and goes when the guest does.
 */
#include "drivers-vm/control/control.h"
#include <stdio.h>
#include <string.h>

_Static_assert(CONFIG_NIC_IPS_MAX == CHANNEL_NIC_IPS, "addresses are copied as they are");

#define BIG_PAGE 0x200000ull

struct ram_disk {
	hilum_handle_t memory; /* 0: none yet */
	uint64_t gpa, bytes;   /* in the driver VM; bytes of the mapping */
	uint32_t rights;
	bool copy; /* the memory is the VM's own, not the module's */
};

static struct ram_disk disks[CHANNEL_SLOTS][CONFIG_DISKS_MAX];

static bool fail(const struct config_vm *c, const struct config_disk *disk, const char *what)
{
	service_log("vm %s: disk '%s': %s", c->name, disk->module, what);
	return false;
}

/* A copy of the module that can be written. */
static int64_t copy_module(const struct module *m, uint64_t bytes)
{
	int64_t memory = control_memory_create(bytes, 0);
	uint8_t *at;

	if (memory < 0)
		return memory;
	if (!control_map_here((hilum_handle_t)memory, bytes, &at)) {
		hc(HC_HANDLE_CLOSE, memory);
		return HILUM_E_NO_MEMORY;
	}
	memcpy(at, m->data, m->bytes);
	control_unmap_here(at, bytes);
	return memory;
}

static bool make_ram_disk(struct ram_disk *r, const struct config_vm *c, const struct config_disk *disk,
			  const struct module *m)
{
	const uint32_t rights = HILUM_MAP_READ | (disk->readonly ? 0 : HILUM_MAP_WRITE);
	uint64_t page = disk->readonly ? 4096 : BIG_PAGE;
	uint64_t bytes = (m->bytes + page - 1) & ~(page - 1);
	int64_t memory = disk->readonly ? (int64_t)m->memory : copy_module(m, bytes);

	if (memory < 0)
		return fail(c, disk,
			    "not enough memory for a copy of the module: give the machine more, or set "
			    "readonly = true");
	uint64_t gpa = driver_space_take(bytes);
	int64_t error =
		gpa == 0 ? HILUM_E_NO_MEMORY : hc(HC_MEMORY_MAP, driver_vm, memory, gpa, 0, bytes, rights);
	if (error < 0) {
		if (!disk->readonly)
			hc(HC_HANDLE_CLOSE, memory);
		driver_space_give(gpa);
		return fail(c, disk, control_error(error));
	}
	*r = (struct ram_disk){(hilum_handle_t)memory, gpa, bytes, rights, !disk->readonly};
	return true;
}

static void part_of(const struct config_disk *disk, struct channel_message *m)
{
	const char *name = disk->partlabel != NULL ? disk->partlabel : disk->partuuid;

	m->disk.part = disk->partition != 0	 ? CHANNEL_PART_NUMBER
		       : disk->partlabel != NULL ? CHANNEL_PART_LABEL
		       : disk->partuuid != NULL	 ? CHANNEL_PART_UUID
						 : CHANNEL_PART_WHOLE;
	m->disk.part_number = disk->partition;
	snprintf(m->disk.part_name, sizeof(m->disk.part_name), "%s", name != NULL ? name : "");
}

static bool send_disk(const struct config_vm *c, uint32_t slot, unsigned index)
{
	const struct config_disk *disk = &c->disk[index];
	const struct module *m = disk->module != NULL ? module_find(disk->module) : NULL;
	struct ram_disk *r = &disks[slot][index];
	struct channel_message message = {.kind = CHANNEL_DISK, .slot = slot};

	if (disk->device != NULL) {
		memcpy(message.disk.device, disk->device, strlen(disk->device));
	} else {
		if (m == NULL)
			return fail(c, disk, "no boot module has that name");
		if (r->memory == 0 && !make_ram_disk(r, c, disk, m))
			return false;
		message.disk.gpa = r->gpa;
		message.disk.bytes = m->bytes;
	}
	message.disk.bytes_per_second = disk->bandwidth;
	message.disk.operations_per_second = disk->iops;
	message.disk.flags =
		(disk->readonly ? CHANNEL_DISK_READ_ONLY : 0) | (c->packed ? CHANNEL_DISK_PACKED : 0);
	message.disk.queues = (uint16_t)disk->num_queues;
	part_of(disk, &message);
	if (disk->serial != NULL)
		memcpy(message.disk.serial, disk->serial, strlen(disk->serial));
	driver_send(&message);
	return true;
}

/* Bridges and tenants have names in the configuration, and numbers beyond: from 1, in the order of their
 * first use. */
static uint32_t number_of(const char *name)
{
	static const char *names[2 * CHANNEL_SLOTS * CONFIG_NICS_MAX + CONFIG_UPLINKS_MAX]; /* of the configuration, which stays */
	uint32_t i = 0;

	while (names[i] != NULL && strcmp(names[i], name) != 0)
		i++;
	names[i] = name;
	return i + 1;
}

static void send_nic(const struct config_vm *c, uint32_t slot, unsigned index)
{
	const struct config_nic *nic = &c->nic[index];
	struct channel_message m = {.kind = CHANNEL_NIC, .slot = slot};

	m.nic.bytes_per_second = nic->rate;
	m.nic.bridge = number_of(nic->bridge);
	m.nic.tenant = nic->tenant != NULL ? number_of(nic->tenant) : 0;
	m.nic.flags = (c->packed ? CHANNEL_NIC_PACKED : 0) | (nic->trunk ? CHANNEL_NIC_TRUNK : 0) |
		      (nic->spoof ? CHANNEL_NIC_SPOOF : 0) | (nic->offload ? 0 : CHANNEL_NIC_PLAIN);
	m.nic.vlan = (uint16_t)nic->vlan;
	m.nic.mtu = (uint16_t)nic->mtu;
	m.nic.pairs = (uint16_t)nic->num_queues;
	m.nic.ip4s = (uint8_t)nic->ip4s;
	m.nic.ip6s = (uint8_t)nic->ip6s;
	memcpy(m.nic.mac, nic->mac, sizeof(m.nic.mac));
	memcpy(m.nic.ip4, nic->ip4, sizeof(m.nic.ip4));
	memcpy(m.nic.ip6, nic->ip6, sizeof(m.nic.ip6));
	driver_send(&m);
}

/* Memory that the driver VM keeps connections in, so that the next one finds them: made once, mapped into each. 0: none. */
static uint64_t uplink_state(unsigned index)
{
	static struct {
		hilum_handle_t memory;
		uint64_t gpa;
	} states[CONFIG_UPLINKS_MAX];
	int64_t memory = states[index].memory;

	if (memory == 0) {
		memory = control_memory_create(CHANNEL_NAT_BYTES, 0);
		states[index].gpa = memory > 0 ? driver_space_take(CHANNEL_NAT_BYTES) : 0;
		states[index].memory = memory > 0 ? (hilum_handle_t)memory : 0;
	}
	if (states[index].gpa == 0 || hc(HC_MEMORY_MAP, driver_vm, states[index].memory, states[index].gpa, 0, CHANNEL_NAT_BYTES,
					 HILUM_MAP_READ | HILUM_MAP_WRITE) < 0)
		return 0;
	return states[index].gpa;
}

static void send_uplink(const struct config *config, unsigned index)
{
	const struct config_uplink *uplink = &config->uplink[index];
	struct channel_message m = { .kind = CHANNEL_UPLINK };

	m.uplink.bridge = number_of(uplink->bridge);
	m.uplink.vlan = (uint16_t)uplink->vlan;
	m.uplink.flags = (uplink->trunk ? CHANNEL_NIC_TRUNK : 0) | (uplink->mode == CONFIG_UPLINK_NAT ? CHANNEL_NIC_NAT : 0);
	m.uplink.subnet = uplink->subnet.address;
	m.uplink.subnet_prefix = (uint8_t)uplink->subnet.prefix;
	m.uplink.address = uplink->ip.address;
	m.uplink.address_prefix = (uint8_t)uplink->ip.prefix;
	m.uplink.router = uplink->gateway;
	m.uplink.dns = uplink->dns;
	m.uplink.state_gpa = uplink->mode == CONFIG_UPLINK_NAT ? uplink_state(index) : 0;
	for (unsigned c = 0; uplink->device != NULL && uplink->device[c] != '\0' && c < sizeof(m.uplink.device); c++)
		m.uplink.device[c] = uplink->device[c] >= 'A' && uplink->device[c] <= 'F' ? (char)(uplink->device[c] | 32) : uplink->device[c];
	driver_send(&m);
}

/* Those that name their card come first, so that the others get none of these. */
void guest_devices_send_uplinks(const struct config *config)
{
	for (unsigned i = 0; i < config->uplink_count; i++)
		if (config->uplink[i].device != NULL)
			send_uplink(config, i);
	for (unsigned i = 0; i < config->uplink_count; i++)
		if (config->uplink[i].device == NULL)
			send_uplink(config, i);
}

bool guest_devices_send(const struct config_vm *config, uint32_t slot)
{
	for (unsigned i = 0; i < config->disk_count; i++)
		if (!send_disk(config, slot, i))
			return false;
	for (unsigned i = 0; i < config->nic_count; i++)
		send_nic(config, slot, i);
	return true;
}

bool guest_devices_resume(uint32_t slot)
{
	int64_t error = 0;

	for (unsigned i = 0; i < CONFIG_DISKS_MAX && error >= 0; i++) {
		const struct ram_disk *r = &disks[slot][i];
		if (r->memory != 0)
			error = hc(HC_MEMORY_MAP, driver_vm, r->memory, r->gpa, 0, r->bytes, r->rights);
	}
	return error >= 0;
}

void guest_devices_free(uint32_t slot)
{
	for (unsigned i = 0; i < CONFIG_DISKS_MAX; i++) {
		struct ram_disk *r = &disks[slot][i];
		if (r->memory == 0)
			continue;
		driver_unmap(r->gpa, r->bytes);
		driver_space_give(r->gpa);
		if (r->copy)
			hc(HC_HANDLE_CLOSE, r->memory);
		memset(r, 0, sizeof(*r));
	}
}
