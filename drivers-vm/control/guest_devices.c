/*
 * The disks and network cards of the guests: memory for RAM disks, and the messages by which the driver VM
 * learns of them. A RAM disk keeps what was written when its guest restarts, and goes when the guest does.
 */
#include "drivers-vm/control/device.h"
#include "drivers-vm/control/guest.h"
#include "drivers-vm/control/guest_disks.h"
#include "drivers-vm/control/recover.h"
#include <stdio.h>
#include <string.h>

_Static_assert(CONFIG_NIC_IPS_MAX == CHANNEL_NIC_IPS, "addresses are copied as they are");

#define BIG_PAGE 0x200000ull

static struct guest_disk disks[CHANNEL_SLOTS][CONFIG_DISKS_MAX];

#define NAMES (2 * CHANNEL_SLOTS * CONFIG_NICS_MAX + CONFIG_UPLINKS_MAX)

static struct {
	char name[CONFIG_NAME_BYTES];
	uint64_t slots; /* bit n: of the guest in slot n; bit CHANNEL_SLOTS: of the machine */
} names[NAMES];

static bool fail(const struct guest *g, enum manager_result result, unsigned index, const char *what)
{
	char field[24];

	snprintf(field, sizeof(field), "disk[%u].module", index);
	return guest_fail(g, result, field, "disk '%s': %s", g->config->disk[index].module, what);
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

static int64_t map_ram_disk(const struct guest_disk *r)
{
	if (r->module != NULL)
		return module_map(r->module, driver_vm, r->gpa, HILUM_MAP_READ);
	return hc(HC_MEMORY_MAP, driver_vm, r->memory, r->gpa, 0, r->bytes, HILUM_MAP_READ | HILUM_MAP_WRITE);
}

static void free_ram_disk(struct guest_disk *r)
{
	if (r->module != NULL) {
		module_unmap(r->module, driver_vm, r->gpa);
		module_release(r->module);
	} else {
		driver_unmap(r->gpa, r->bytes);
		hc(HC_HANDLE_CLOSE, r->memory);
	}
	driver_space_give(r->gpa);
	memset(r, 0, sizeof(*r));
}

static bool make_ram_disk(struct guest_disk *r, const struct guest *g, unsigned index, struct module *m)
{
	const struct config_disk *disk = &g->config->disk[index];
	uint64_t page = disk->readonly ? 4096 : BIG_PAGE;

	*r = (struct guest_disk){.bytes = (m->bytes + page - 1) & ~(page - 1), .size = m->bytes};
	if (disk->readonly) {
		r->module = m;
		module_hold(m);
	} else {
		int64_t memory = copy_module(m, r->bytes);
		if (memory < 0) {
			memset(r, 0, sizeof(*r));
			return fail(g, MANAGER_NO_MEMORY, index,
				    "not enough memory for a copy of the module: give the machine more, or set "
				    "readonly = true");
		}
		r->memory = (hilum_handle_t)memory;
	}
	r->gpa = driver_space_take(r->bytes);
	int64_t error = r->gpa == 0 ? HILUM_E_NO_MEMORY : map_ram_disk(r);
	if (error >= 0)
		return true;
	free_ram_disk(r);
	return fail(g, MANAGER_NO_MEMORY, index, control_error(error));
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

static bool send_disk(const struct guest *g, uint32_t slot, unsigned index)
{
	const struct config_vm *c = g->config;
	const struct config_disk *disk = &c->disk[index];
	struct module *m = disk->module != NULL ? module_find(disk->module) : NULL;
	struct guest_disk *r = &disks[slot][index];
	struct channel_message message = {.kind = CHANNEL_DISK, .slot = slot};

	if (disk->device != NULL) {
		memcpy(message.disk.device, disk->device, strlen(disk->device));
	} else {
		if (m == NULL && r->gpa == 0)
			return fail(g, MANAGER_INVALID, index, "no boot module has that name");
		if (r->gpa == 0 && !make_ram_disk(r, g, index, m))
			return false;
		message.disk.gpa = r->gpa;
		message.disk.bytes = r->size;
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

/*
 * Bridges and tenants have names in the configuration, and numbers beyond: from 1. A number is a name's for as long as a guest that has
 * it, or the machine, is there.
 */
uint32_t guest_devices_number(const char *name, uint32_t slot)
{
	uint32_t i = 0, unused = NAMES;

	while (i < NAMES && strcmp(names[i].name, name) != 0) {
		unused = unused == NAMES && names[i].slots == 0 ? i : unused;
		i++;
	}
	if (i == NAMES) {
		i = unused; /* there are as many as all guests can have */
		snprintf(names[i].name, sizeof(names[i].name), "%s", name);
	}
	names[i].slots |= 1ull << slot;
	return i + 1;
}

static void forget_numbers(uint32_t slot)
{
	for (uint32_t i = 0; i < NAMES; i++) {
		names[i].slots &= ~(1ull << slot);
		if (names[i].slots == 0)
			names[i].name[0] = '\0';
	}
}

static void send_nic(const struct config_vm *c, uint32_t slot, unsigned index)
{
	const struct config_nic *nic = &c->nic[index];
	struct channel_message m = {.kind = CHANNEL_NIC, .slot = slot};

	m.nic.bytes_per_second = nic->rate;
	m.nic.bridge = guest_devices_number(nic->bridge, slot);
	m.nic.tenant = nic->tenant != NULL ? guest_devices_number(nic->tenant, slot) : 0;
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

static struct {
	hilum_handle_t memory;
	uint64_t gpa;
} states[CONFIG_UPLINKS_MAX];

/* Memory that the driver VM keeps connections in, so that the next one finds them: made once, mapped into each. 0: none. */
static uint64_t uplink_state(unsigned index)
{
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

static void send_uplink(const struct config_uplink *uplink, unsigned index)
{
	struct channel_message m = { .kind = CHANNEL_UPLINK };

	m.uplink.bridge = guest_devices_number(uplink->bridge, CHANNEL_SLOTS);
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
			send_uplink(&config->uplink[i], i);
	for (unsigned i = 0; i < config->uplink_count; i++)
		if (config->uplink[i].device == NULL)
			send_uplink(&config->uplink[i], i);
	/* No guest of the file wants one, but those that come later may. */
	if (!config->has_uplinks && config->uplink_count == 0 && devices_have_network())
		send_uplink(&config_default_uplink, 0);
}

bool guest_devices_send(const struct guest *g, uint32_t slot)
{
	const struct config_vm *config = g->config;

	for (unsigned i = 0; i < config->disk_count; i++)
		if (!send_disk(g, slot, i))
			return false;
	for (unsigned i = 0; i < config->nic_count; i++)
		send_nic(config, slot, i);
	return true;
}

bool guest_devices_resume(uint32_t slot)
{
	int64_t error = 0;

	for (unsigned i = 0; i < CONFIG_DISKS_MAX && error >= 0; i++)
		if (disks[slot][i].gpa != 0)
			error = map_ram_disk(&disks[slot][i]);
	return error >= 0;
}

void guest_devices_free(uint32_t slot)
{
	for (unsigned i = 0; i < CONFIG_DISKS_MAX; i++)
		if (disks[slot][i].gpa != 0)
			free_ram_disk(&disks[slot][i]);
	forget_numbers(slot);
}

/* ---- A control VM takes over ------------------------------------------------------------------------------------------------------------ */

void guest_devices_keep(struct recover_kept *kept)
{
	RECOVER_KEEP(kept, names);
	RECOVER_KEEP(kept, states);
}

struct guest_disk *guest_devices_disks(uint32_t slot)
{
	return disks[slot];
}

void guest_devices_recover_uplinks(void)
{
	for (unsigned i = 0; i < CONFIG_UPLINKS_MAX; i++)
		if (states[i].memory != 0 && (!recover_claim(states[i].memory, HILUM_OBJECT_MEMORY) ||
					      !driver_space_claim(states[i].gpa, CHANNEL_NAT_BYTES)))
			memset(&states[i], 0, sizeof(states[i]));
}

static bool recover_disk(struct guest_disk *r)
{
	if (r->module != NULL) {
		if (!module_is_there(r->module))
			return false;
		module_hold(r->module);
	} else if (!recover_claim(r->memory, HILUM_OBJECT_MEMORY)) {
		return false;
	}
	return driver_space_claim(r->gpa, r->bytes);
}

bool guest_devices_recover(uint32_t slot, const struct guest_disk kept[CONFIG_DISKS_MAX])
{
	bool all = true;

	for (unsigned i = 0; i < CONFIG_DISKS_MAX; i++) {
		disks[slot][i] = kept[i];
		if (kept[i].gpa == 0 || recover_disk(&disks[slot][i]))
			continue;
		memset(&disks[slot][i], 0, sizeof(disks[slot][i]));
		all = false;
	}
	return all;
}
