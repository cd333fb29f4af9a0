/*
 * The disks and network cards of the guests: memory for RAM disks, and the messages by which the driver VM
 * learns of them. A RAM disk keeps what was written when its guest restarts, and goes when the guest does.
 */
#include "drivers-vm/control/device.h"
#include "drivers-vm/control/guest.h"
#include "drivers-vm/control/guest_disks.h"
#include "drivers-vm/control/recover.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(CONFIG_NIC_IPS_MAX == CHANNEL_NIC_IPS, "addresses are copied as they are");

#define BIG_PAGE 0x200000ull

#define NUMBERS   (2 * CONFIG_NICS_MAX) /* a guest's bridges and tenants at most */
#define NAMES_MAX 1024u                 /* of all; they outlive the control VM, and have to fit there */

/* Of a slot whose guest has disks or cards. */
struct slot_devices {
	struct guest_disk disk[CONFIG_DISKS_MAX];
	unsigned numbers;
	uint32_t number[NUMBERS]; /* that it uses */
};

static struct slot_devices *devices[CHANNEL_SLOTS];

/* A bridge or tenant; its number is its index plus one. */
static struct {
	char name[CONFIG_NAME_BYTES]; /* empty: the place is free */
	uint16_t users;               /* slots; 0 and a name: one that an earlier control VM had, and nobody has asked for yet */
	uint16_t of_machine;
} names[NAMES_MAX];
static uint32_t names_begun; /* all places from here on are free */

static struct slot_devices *devices_of(uint32_t slot)
{
	if (devices[slot] == NULL)
		devices[slot] = calloc(1, sizeof(*devices[slot]));
	return devices[slot];
}

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

	*r = (struct guest_disk){ .bytes = (m->bytes + page - 1) & ~(page - 1), .size = m->bytes };
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

	m->disk.part = disk->partition != 0      ? CHANNEL_PART_NUMBER
	               : disk->partlabel != NULL ? CHANNEL_PART_LABEL
	               : disk->partuuid != NULL  ? CHANNEL_PART_UUID
	                                         : CHANNEL_PART_WHOLE;
	m->disk.part_number = disk->partition;
	snprintf(m->disk.part_name, sizeof(m->disk.part_name), "%s", name != NULL ? name : "");
}

static bool send_disk(const struct guest *g, uint32_t slot, unsigned index)
{
	const struct config_vm *c = g->config;
	const struct config_disk *disk = &c->disk[index];
	struct module *m = disk->module != NULL ? module_find(disk->module) : NULL;
	struct guest_disk *r = &devices[slot]->disk[index];
	struct channel_message message = { .kind = CHANNEL_DISK, .slot = slot };

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
	message.disk.flags = (disk->readonly ? CHANNEL_DISK_READ_ONLY : 0) | (c->packed ? CHANNEL_DISK_PACKED : 0);
	message.disk.queues = (uint16_t)disk->num_queues;
	part_of(disk, &message);
	if (disk->serial != NULL)
		memcpy(message.disk.serial, disk->serial, strlen(disk->serial));
	driver_send(&message);
	return true;
}

/*
 * Bridges and tenants have names in the configuration, and numbers beyond: from 1. A number is a name's for as long as a guest that has
 * it, or the machine, is there. 0: there are too many.
 */
static uint32_t number_of_name(const char *name)
{
	uint32_t i = 0, unused = UINT32_MAX;

	for (; i < names_begun && strcmp(names[i].name, name) != 0; i++)
		unused = unused == UINT32_MAX && names[i].name[0] == '\0' ? i : unused;
	if (i == names_begun && unused != UINT32_MAX)
		i = unused;
	if (i == NAMES_MAX)
		return 0;
	if (i == names_begun)
		names_begun++;
	snprintf(names[i].name, sizeof(names[i].name), "%s", name);
	return i + 1;
}

static void drop_number(uint32_t number)
{
	if (--names[number - 1].users == 0 && !names[number - 1].of_machine)
		names[number - 1].name[0] = '\0';
}

/* The slot has a name once, however often it is asked for. */
static uint32_t number_of(const char *name, struct slot_devices *d)
{
	for (unsigned i = 0; i < d->numbers; i++)
		if (strcmp(names[d->number[i] - 1].name, name) == 0)
			return d->number[i];
	uint32_t number = d->numbers < NUMBERS ? number_of_name(name) : 0;
	if (number == 0)
		return 0;
	names[number - 1].users++;
	d->number[d->numbers++] = number;
	return number;
}

uint32_t guest_devices_machine_number(const char *name)
{
	uint32_t number = number_of_name(name);

	if (number != 0)
		names[number - 1].of_machine = 1;
	return number;
}

static bool send_nic(const struct config_vm *c, uint32_t slot, unsigned index)
{
	const struct config_nic *nic = &c->nic[index];
	struct channel_message m = { .kind = CHANNEL_NIC, .slot = slot };

	m.nic.bytes_per_second = nic->rate;
	m.nic.bridge = number_of(nic->bridge, devices[slot]);
	m.nic.tenant = nic->tenant != NULL ? number_of(nic->tenant, devices[slot]) : 0;
	if (m.nic.bridge == 0 || (nic->tenant != NULL && m.nic.tenant == 0))
		return false;
	m.nic.flags = (c->packed ? CHANNEL_NIC_PACKED : 0) | (nic->trunk ? CHANNEL_NIC_TRUNK : 0) | (nic->spoof ? CHANNEL_NIC_SPOOF : 0) |
	              (nic->offload ? 0 : CHANNEL_NIC_PLAIN);
	m.nic.vlan = (uint16_t)nic->vlan;
	m.nic.mtu = (uint16_t)nic->mtu;
	m.nic.pairs = (uint16_t)nic->num_queues;
	m.nic.ip4s = (uint8_t)nic->ip4s;
	m.nic.ip6s = (uint8_t)nic->ip6s;
	memcpy(m.nic.mac, nic->mac, sizeof(m.nic.mac));
	memcpy(m.nic.ip4, nic->ip4, sizeof(m.nic.ip4));
	memcpy(m.nic.ip6, nic->ip6, sizeof(m.nic.ip6));
	driver_send(&m);
	return true;
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

	m.uplink.bridge = guest_devices_machine_number(uplink->bridge);
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
		m.uplink.device[c] = uplink->device[c] >= 'A' && uplink->device[c] <= 'F' ? (char)(uplink->device[c] | 32)
		                                                                          : uplink->device[c];
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

	if (config->disk_count + config->nic_count == 0)
		return true;
	if (devices_of(slot) == NULL)
		return guest_fail(g, MANAGER_NO_MEMORY, "", "not enough memory for its devices");
	for (unsigned i = 0; i < config->disk_count; i++)
		if (!send_disk(g, slot, i))
			return false;
	for (unsigned i = 0; i < config->nic_count; i++)
		if (!send_nic(config, slot, i))
			return guest_fail(g, MANAGER_FULL, "", "all VMs together have more than %u bridges and tenants", NAMES_MAX);
	return true;
}

bool guest_devices_resume(uint32_t slot)
{
	int64_t error = 0;

	for (unsigned i = 0; devices[slot] != NULL && i < CONFIG_DISKS_MAX && error >= 0; i++)
		if (devices[slot]->disk[i].gpa != 0)
			error = map_ram_disk(&devices[slot]->disk[i]);
	return error >= 0;
}

void guest_devices_free(uint32_t slot)
{
	struct slot_devices *d = devices[slot];

	if (d == NULL)
		return;
	for (unsigned i = 0; i < CONFIG_DISKS_MAX; i++)
		if (d->disk[i].gpa != 0)
			free_ram_disk(&d->disk[i]);
	for (unsigned i = 0; i < d->numbers; i++)
		drop_number(d->number[i]);
	free(d);
	devices[slot] = NULL;
}

/* ---- A control VM takes over ------------------------------------------------------------------------------------------------------------ */

void guest_devices_keep(struct recover_kept *kept)
{
	RECOVER_KEEP(kept, names_begun);
	names_begun = names_begun < NAMES_MAX ? names_begun : NAMES_MAX;
	recover_keep(kept, names, names_begun * sizeof(names[0]));
	RECOVER_KEEP(kept, states);
	for (uint32_t i = 0; kept->finds && i < names_begun; i++) {
		names[i].name[sizeof(names[i].name) - 1] = '\0';
		names[i].users = 0; /* guests that go on have them again */
	}
}

const struct guest_disk *guest_devices_disks(uint32_t slot)
{
	static const struct guest_disk none[CONFIG_DISKS_MAX];

	return devices[slot] != NULL ? devices[slot]->disk : none;
}

void guest_devices_recover_uplinks(void)
{
	for (unsigned i = 0; i < CONFIG_UPLINKS_MAX; i++)
		if (states[i].memory != 0 &&
		    (!recover_claim(states[i].memory, HILUM_OBJECT_MEMORY) || !driver_space_claim(states[i].gpa, CHANNEL_NAT_BYTES)))
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

bool guest_devices_recover(uint32_t slot, const struct config_vm *config, const struct guest_disk kept[CONFIG_DISKS_MAX])
{
	bool all = true;

	if (config->disk_count + config->nic_count == 0)
		return true;
	struct slot_devices *d = devices_of(slot);
	if (d == NULL)
		return false;
	for (unsigned i = 0; i < CONFIG_DISKS_MAX; i++) {
		d->disk[i] = kept[i];
		if (kept[i].gpa == 0 || recover_disk(&d->disk[i]))
			continue;
		memset(&d->disk[i], 0, sizeof(d->disk[i]));
		all = false;
	}
	for (unsigned i = 0; i < config->nic_count; i++)
		all &= number_of(config->nic[i].bridge, d) != 0 &&
		       (config->nic[i].tenant == NULL || number_of(config->nic[i].tenant, d) != 0);
	return all;
}
