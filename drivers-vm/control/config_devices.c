/* The tables below a VM: [[vm.disk]] and [[vm.nic]]. */
#include "drivers-vm/control/config_private.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define COUNT(array)   (sizeof(array) / sizeof((array)[0]))
#define RATE_BYTES_MAX 1000000000000ull
#define PARTITIONS_MAX 128u
#define OPERATIONS_MAX 100000000u

#define NIC(name)  .path = "vm.nic." #name, .key = #name, .offset = offsetof(struct config_nic, name)
#define DISK(name) .path = "vm.disk." #name, .key = #name, .offset = offsetof(struct config_disk, name)

static bool set_uuid(struct config_reader *reader, const struct config_field *field, const struct toml_value *value, void *target)
{
	if (!config_set_text(reader, field, value, target))
		return false;
	if (!config_is_uuid(value->text.bytes))
		return config_fail(reader, value->key_line, field->path,
		                   "\"%.40s\" is not a GUID such as \"0fc63daf-8483-4772-8e79-3d69d8477de4\"", value->text.bytes);
	return true;
}

static const struct config_field disk_fields[] = {
	{ DISK(module), .set = config_set_text, .low = 1, .high = CONFIG_MODULE_BYTES - 1 },
	{ DISK(device), .set = config_set_text, .low = 1, .high = CONFIG_SERIAL_BYTES - 1 },
	{ DISK(readonly), .set = config_set_boolean },
	{ DISK(serial), .set = config_set_text, .low = 1, .high = CONFIG_SERIAL_BYTES - 1 },
	{ DISK(partition), .set = config_set_uint32, .low = 1, .high = PARTITIONS_MAX },
	{ DISK(partlabel), .set = config_set_text, .low = 1, .high = CONFIG_LABEL_BYTES - 1 },
	{ DISK(partuuid), .set = set_uuid, .low = 1, .high = CONFIG_LABEL_BYTES - 1 },
	{ DISK(num_queues), .set = config_set_uint32, .low = 1, .high = 8 },
	{ DISK(iops), .set = config_set_uint32, .low = 1, .high = OPERATIONS_MAX },
	{ DISK(bandwidth), .set = config_set_rate },
};

static bool set_mac(struct config_reader *reader, const struct config_field *field, const struct toml_value *value, void *target)
{
	struct config_nic *nic = target;

	if (value->type != TOML_STRING || !config_parse_mac(value->text.bytes, nic->mac) || (nic->mac[0] & 1))
		return config_fail(reader, value->key_line, field->path, "must be the address of one card, such as \"02:00:00:00:00:01\"");
	nic->has_mac = true;
	return true;
}

static bool add_ip(struct config_nic *nic, const char *text)
{
	if (nic->ip4s < CONFIG_NIC_IPS_MAX && config_parse_ip4(text, nic->ip4[nic->ip4s])) {
		nic->ip4s++;
		return true;
	}
	if (nic->ip6s < CONFIG_NIC_IPS_MAX && config_parse_ip6(text, nic->ip6[nic->ip6s])) {
		nic->ip6s++;
		return true;
	}
	return false;
}

static bool set_ips(struct config_reader *reader, const struct config_field *field, const struct toml_value *value, void *target)
{
	bool valid = value->type == TOML_ARRAY && value->children.first != NULL;

	for (const struct toml_value *ip = valid ? value->children.first : NULL; ip != NULL; ip = ip->next)
		valid = valid && ip->type == TOML_STRING && add_ip(target, ip->text.bytes);
	if (!valid)
		return config_fail(reader, value->key_line, field->path,
		                   "must list IPv4 and IPv6 addresses, at most %u of each, as in "
		                   "[\"10.0.0.5\", \"fd00::5\"]",
		                   CONFIG_NIC_IPS_MAX);
	return true;
}

static const struct config_field nic_fields[] = {
	{ NIC(mac), .set = set_mac },
	{ NIC(bridge), .set = config_set_text, .low = 1, .high = CONFIG_NAME_BYTES - 1 },
	{ NIC(tenant), .set = config_set_text, .low = 1, .high = CONFIG_NAME_BYTES - 1 },
	{ NIC(vlan), .set = config_set_uint32, .low = 1, .high = 4094 },
	{ NIC(trunk), .set = config_set_boolean },
	{ NIC(spoof), .set = config_set_boolean },
	{ NIC(offload), .set = config_set_boolean },
	{ .path = "vm.nic.ip", .key = "ip", .set = set_ips },
	{ NIC(rate), .set = config_set_rate },
	{ NIC(mtu), .set = config_set_uint32, .low = 576, .high = 65535 },
	{ NIC(num_queues), .set = config_set_uint32, .low = 1, .high = 4 },
};

bool config_is_uuid(const char *text)
{
	for (unsigned i = 0; i < 36; i++) {
		bool dash = i == 8 || i == 13 || i == 18 || i == 23;
		char c = text[i];
		if (dash ? c != '-' : !((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F')))
			return false;
	}
	return text[36] == '\0';
}

/* As xl writes rates: a number, K, M or G for powers of 1000, and B/s or b/s. */
static bool parse_rate(const char *at, uint64_t *bytes)
{
	uint64_t value = 0, unit = 1;

	if (*at < '0' || *at > '9')
		return false;
	for (; *at >= '0' && *at <= '9'; at++) {
		value = 10 * value + (uint64_t)(*at - '0');
		if (value > RATE_BYTES_MAX)
			return false;
	}
	if (*at == 'K' || *at == 'M' || *at == 'G')
		unit = *at == 'K' ? 1000 : *at == 'M' ? 1000000 : 1000000000;
	at += unit != 1;
	if (strcmp(at, "B/s") != 0 && strcmp(at, "b/s") != 0)
		return false;
	if (value > 8 * RATE_BYTES_MAX / unit)
		return false;
	*bytes = value * unit / (*at == 'b' ? 8 : 1);
	return *bytes != 0 && *bytes <= RATE_BYTES_MAX;
}

bool config_set_rate(struct config_reader *reader, const struct config_field *field, const struct toml_value *value, void *target)
{
	uint64_t bytes;

	if (value->type != TOML_STRING || !parse_rate(value->text.bytes, &bytes))
		return config_fail(reader, value->key_line, field->path,
		                   "must be a rate such as \"100MB/s\" or \"1Gb/s\", at most 1000GB/s");
	memcpy((char *)target + field->offset, &bytes, sizeof(bytes));
	return true;
}

bool config_check_tables(struct config_reader *reader, const struct config_field *field, const struct toml_value *value,
                         const struct config_tables *tables)
{
	unsigned count = 0;

	if (value->type != TOML_ARRAY)
		return config_fail(reader, value->key_line, field->path, "must be written %s, one for each", tables->header);
	for (const struct toml_value *table = value->children.first; table != NULL; table = table->next) {
		if (table->type != TOML_TABLE)
			return config_fail(reader, table->line, field->path, "must be a table, %s", tables->header);
		if (++count > tables->most)
			return config_fail(reader, table->line, field->path, "more than %u", tables->most);
	}
	return true;
}

bool config_read_tables(struct config_reader *reader, const struct config_field *field, const struct toml_value *value,
                        const struct config_tables *tables, struct config_vm *vm)
{
	bool valid = true;

	if (!config_check_tables(reader, field, value, tables))
		return false;
	reader->table = field->path;
	reader->place = 0;
	for (const struct toml_value *table = value->children.first; table != NULL; table = table->next, reader->place++)
		valid &= tables->read(reader, table, vm);
	reader->table = NULL;
	return valid;
}

static bool read_disk(struct config_reader *reader, const struct toml_value *table, struct config_vm *vm)
{
	struct config_disk *disk = &vm->disk[vm->disk_count++];

	*disk = (struct config_disk){ .num_queues = 1, .line = table->line };
	if (!config_read_table(reader, disk_fields, COUNT(disk_fields), "vm.disk.", table, disk))
		return false;
	if ((disk->module != NULL) == (disk->device != NULL))
		return config_fail(reader, table->line, "vm.disk", "needs one of module and device");
	if ((disk->partition != 0) + (disk->partlabel != NULL) + (disk->partuuid != NULL) > 1)
		return config_fail(reader, table->line, "vm.disk", "partition, partlabel and partuuid exclude each other");
	return true;
}

bool config_set_disks(struct config_reader *reader, const struct config_field *field, const struct toml_value *value, void *target)
{
	static const struct config_tables tables = { CONFIG_DISKS_MAX, "[[vm.disk]]", read_disk };

	return config_read_tables(reader, field, value, &tables, target);
}

static bool read_nic(struct config_reader *reader, const struct toml_value *table, struct config_vm *vm)
{
	struct config_nic *nic = &vm->nic[vm->nic_count++];

	*nic = (struct config_nic){
		.bridge = CONFIG_BRIDGE_NAME,
		.mtu = 1500,
		.num_queues = 1,
		.offload = true,
		.line = table->line,
	};
	if (!config_read_table(reader, nic_fields, COUNT(nic_fields), "vm.nic.", table, nic))
		return false;
	if (nic->spoof && nic->ip4s + nic->ip6s != 0)
		return config_fail(reader, table->line, "vm.nic", "ip and spoof = true exclude each other");
	return true;
}

bool config_set_nics(struct config_reader *reader, const struct config_field *field, const struct toml_value *value, void *target)
{
	static const struct config_tables tables = { CONFIG_NICS_MAX, "[[vm.nic]]", read_nic };

	return config_read_tables(reader, field, value, &tables, target);
}

/* FNV-1a over the VM's name and the card's place: the same at each start, and different for most pairs. */
static void make_mac(const char *name, unsigned place, uint8_t mac[6])
{
	uint32_t hash = 2166136261u;

	for (; *name != '\0'; name++)
		hash = (hash ^ (uint8_t)*name) * 16777619u;
	hash = (hash ^ place) * 16777619u;
	/* Locally administered, "HL". */
	mac[0] = 0x02;
	mac[1] = 0x48;
	mac[2] = 0x4C;
	mac[3] = (uint8_t)(hash >> 24);
	mac[4] = (uint8_t)(hash >> 16);
	mac[5] = (uint8_t)hash;
}

void config_name_nics(struct config_vm *vm)
{
	for (unsigned i = 0; i < vm->nic_count; i++)
		if (!vm->nic[i].has_mac)
			make_mac(vm->name, i, vm->nic[i].mac);
}

static const struct config_vm *find_mac(const struct config_vm *vm, unsigned count, const struct config_nic *nic)
{
	for (unsigned i = 0; i < count; i++)
		for (unsigned j = 0; j < vm[i].nic_count && &vm[i].nic[j] != nic; j++)
			if (memcmp(vm[i].nic[j].mac, nic->mac, sizeof(nic->mac)) == 0)
				return &vm[i];
	return NULL;
}

bool config_check_macs(struct config_reader *reader, const struct config_vm *vm, unsigned count)
{
	const struct config_vm *last = &vm[count - 1], *same;
	bool valid = true;

	for (unsigned i = 0; i < last->nic_count; i++) {
		same = find_mac(vm, count, &last->nic[i]);
		if (same != NULL)
			valid = config_fail(reader, last->nic[i].line, "vm.nic",
			                    "VM \"%s\" has a card with the same address: give this one another mac", same->name);
	}
	return valid;
}
