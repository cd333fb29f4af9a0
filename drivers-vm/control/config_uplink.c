/* [[nic]]: the machine's network cards, and what stands in for them where a file has none. */
#include "drivers-vm/control/config_private.h"

#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

#define DEFAULT_SUBNET \
	{ \
		10u << 24 | 100u << 8, 24 \
	}

static const struct config_subnet default_subnet = DEFAULT_SUBNET;
const struct config_uplink config_default_uplink = { .bridge = CONFIG_BRIDGE_NAME, .mode = CONFIG_UPLINK_NAT, .subnet = DEFAULT_SUBNET };

/* 00:04.0, or with a segment, 0000:00:04.0. */
static bool is_pci_address(const char *text)
{
	static const char form[] = "hhhh:hh:hh.f";
	size_t length = strlen(text);
	const char *at = length == 12 ? form : form + 5;

	if (length != strlen(at))
		return false;
	for (; *text != '\0'; text++, at++) {
		char c = (char)(*text | 32);
		bool digit = (*text >= '0' && *text <= '9') || (*at == 'h' && c >= 'a' && c <= 'f');
		if (*at == 'h' ? !digit : *at == 'f' ? *text < '0' || *text > '7' : *text != *at)
			return false;
	}
	return true;
}

static bool set_uplink_device(struct config_reader *reader, const struct config_field *field, const struct toml_value *value, void *target)
{
	uint8_t mac[6];

	if (!config_set_text(reader, field, value, target))
		return false;
	if (!is_pci_address(value->text.bytes) && !config_parse_mac(value->text.bytes, mac))
		return config_fail(reader, value->key_line, field->path,
		                   "must be a PCI address such as \"00:03.0\" or a MAC address such as "
		                   "\"52:54:00:00:00:01\"");
	return true;
}

static const char *const uplink_modes[] = { "bridge", "nat", NULL };

/* ADDRESS/PREFIX; false: it is none. */
static bool parse_subnet(const char *text, struct config_subnet *subnet)
{
	char address[16] = "";
	uint8_t ip[4];
	const char *slash = strchr(text, '/');
	uint32_t prefix = 0;

	if (slash == NULL || (size_t)(slash - text) >= sizeof(address) || slash[1] < '1' || slash[1] > '9')
		return false;
	memcpy(address, text, (size_t)(slash - text));
	for (text = slash + 1; *text >= '0' && *text <= '9' && prefix <= 32; text++)
		prefix = 10 * prefix + (uint32_t)(*text - '0');
	if (*text != '\0' || prefix > 32 || !config_parse_ip4(address, ip))
		return false;
	*subnet = (struct config_subnet){ (uint32_t)ip[0] << 24 | (uint32_t)ip[1] << 16 | (uint32_t)ip[2] << 8 | ip[3], prefix };
	return true;
}

bool config_set_subnet(struct config_reader *reader, const struct config_field *field, const struct toml_value *value, void *target)
{
	struct config_subnet subnet;

	if (value->type != TOML_STRING || !parse_subnet(value->text.bytes, &subnet) || subnet.prefix < field->low ||
	    subnet.prefix > field->high)
		return config_fail(reader, value->key_line, field->path,
		                   "must be an IPv4 address and the length of its network's prefix, from %u "
		                   "to %u, such as \"10.0.100.0/24\"",
		                   (unsigned)field->low, (unsigned)field->high);
	memcpy((char *)target + field->offset, &subnet, sizeof(subnet));
	return true;
}

bool config_set_ip4(struct config_reader *reader, const struct config_field *field, const struct toml_value *value, void *target)
{
	uint8_t ip[4];
	uint32_t number;

	if (value->type != TOML_STRING || !config_parse_ip4(value->text.bytes, ip))
		return config_fail(reader, value->key_line, field->path, "must be an IPv4 address such as \"192.168.1.1\"");
	number = (uint32_t)ip[0] << 24 | (uint32_t)ip[1] << 16 | (uint32_t)ip[2] << 8 | ip[3];
	memcpy((char *)target + field->offset, &number, sizeof(number));
	return true;
}

#define UPLINK(name) .path = "nic." #name, .key = #name, .offset = offsetof(struct config_uplink, name)

static const struct config_field uplink_fields[] = {
	{ UPLINK(device), .set = set_uplink_device, .low = 1, .high = CONFIG_SERIAL_BYTES - 1 },
	{ UPLINK(bridge), .set = config_set_text, .low = 1, .high = CONFIG_NAME_BYTES - 1 },
	{ UPLINK(vlan), .set = config_set_uint32, .low = 1, .high = 4094 },
	{ UPLINK(trunk), .set = config_set_boolean },
	{ UPLINK(mode), .set = config_set_choice, .choices = uplink_modes },
	{ UPLINK(subnet), .set = config_set_subnet, .low = 24, .high = 29 },
	{ UPLINK(ip), .set = config_set_subnet, .low = 1, .high = 30 },
	{ UPLINK(gateway), .set = config_set_ip4 },
	{ UPLINK(dns), .set = config_set_ip4 },
};

bool config_same_network(const struct config_subnet *network, uint32_t address)
{
	return ((network->address ^ address) >> (32 - network->prefix)) == 0;
}

static bool read_uplink(struct config_reader *reader, const struct toml_value *table, struct config_uplink *uplink)
{
	*uplink = (struct config_uplink){ .bridge = CONFIG_BRIDGE_NAME, .line = table->line };
	if (!config_read_table(reader, uplink_fields, COUNT(uplink_fields), "nic.", table, uplink))
		return false;
	if (uplink->mode == CONFIG_UPLINK_BRIDGE) {
		if (uplink->device == NULL)
			return config_fail(reader, table->line, "nic.device", "missing");
		if (uplink->subnet.prefix != 0 || uplink->ip.prefix != 0 || uplink->gateway != 0 || uplink->dns != 0)
			return config_fail(reader, table->line, "nic", "subnet, ip, gateway and dns need mode = \"nat\"");
		return true;
	}
	if (uplink->trunk)
		return config_fail(reader, table->line, "nic", "trunk = true and mode = \"nat\" exclude each other");
	if (uplink->subnet.prefix == 0)
		uplink->subnet = default_subnet;
	if (uplink->ip.prefix == 0 && (uplink->gateway != 0 || uplink->dns != 0))
		return config_fail(reader, table->line, "nic", "gateway and dns need ip; without it they come by DHCP");
	if (uplink->gateway != 0 && !config_same_network(&uplink->ip, uplink->gateway))
		return config_fail(reader, table->line, "nic.gateway", "is not in the network of ip");
	if (uplink->ip.prefix != 0 &&
	    (config_same_network(&uplink->ip, uplink->subnet.address) || config_same_network(&uplink->subnet, uplink->ip.address)))
		return config_fail(reader, table->line, "nic.subnet", "overlaps the network of ip");
	return true;
}

void config_read_uplinks(struct config_reader *reader, const struct toml_value *value, struct config *out)
{
	static const struct config_tables tables = { CONFIG_UPLINKS_MAX, "[[nic]]", NULL };
	static const struct config_field field = { .path = "nic" };

	out->has_uplinks = true;
	if (!config_check_tables(reader, &field, value, &tables))
		return;
	for (const struct toml_value *table = value->children.first; table != NULL; table = table->next)
		out->uplink_count += read_uplink(reader, table, &out->uplink[out->uplink_count]);
}

void config_add_default_uplink(struct config *config)
{
	if (config->has_uplinks)
		return;
	for (unsigned i = 0; i < config->vm_count; i++)
		for (unsigned k = 0; k < config->vm[i].nic_count; k++) {
			if (strcmp(config->vm[i].nic[k].bridge, CONFIG_BRIDGE_NAME) != 0)
				continue;
			config->uplink[0] = config_default_uplink;
			config->uplink_count = 1;
			return;
		}
}
