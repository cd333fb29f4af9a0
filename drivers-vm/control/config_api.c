/* [api]: where and as what the control VM is reached. */
#include "drivers-vm/control/config_private.h"

#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

#define DEFAULT_PORT 443u

/* A label of DNS: RFC 1123, 2.1 Host Names and Numbers. */
static bool is_host_name(struct toml_text text)
{
	const char *name = text.bytes;
	bool valid = text.length >= 1 && text.length < CONFIG_NAME_BYTES && name[0] != '-' && name[text.length - 1] != '-';

	for (size_t i = 0; i < text.length && valid; i++)
		valid = (name[i] >= 'a' && name[i] <= 'z') || (name[i] >= 'A' && name[i] <= 'Z') || (name[i] >= '0' && name[i] <= '9') ||
		        name[i] == '-';
	return valid;
}

static bool set_host_name(struct config_reader *reader, const struct config_field *field, const struct toml_value *value, void *target)
{
	if (value->type != TOML_STRING || !is_host_name(value->text))
		return config_fail(reader, value->key_line, field->path,
		                   "must be a string of 1 to %u letters, digits or '-', neither beginning nor ending with '-'",
		                   CONFIG_NAME_BYTES - 1);
	memcpy((char *)target + field->offset, value->text.bytes, value->text.length + 1);
	return true;
}

#define API(name) .path = "api." #name, .key = #name, .offset = offsetof(struct config_api, name)

static const struct config_field api_fields[] = {
	{ API(enabled), .set = config_set_boolean },
	{ API(ip), .set = config_set_subnet, .low = 1, .high = 30 },
	{ API(gateway), .set = config_set_ip4 },
	{ API(dns), .set = config_set_ip4 },
	{ API(port), .set = config_set_uint32, .low = 1, .high = 65535 },
	{ API(name), .set = set_host_name },
};

void config_default_api(struct config_api *api)
{
	*api = (struct config_api){ .enabled = true, .port = DEFAULT_PORT, .name = "hilum" };
}

/* A table with an error counts as far as it can be read: whoever has mistyped a key wants to be able to mend it. */
void config_read_api(struct config_reader *reader, const struct toml_value *table, struct config_api *api)
{
	if (table->type != TOML_TABLE) {
		config_fail(reader, table->key_line, "api", "must be a table, [api]");
		return;
	}
	config_read_table(reader, api_fields, COUNT(api_fields), "api.", table, api);
	if (api->ip.prefix == 0 && (api->gateway != 0 || api->dns != 0)) {
		config_fail(reader, table->line, "api", "gateway and dns need ip; without it they come by DHCP");
		api->gateway = api->dns = 0;
	}
	if (api->gateway != 0 && !config_same_network(&api->ip, api->gateway)) {
		config_fail(reader, table->line, "api.gateway", "is not in the network of ip");
		api->gateway = 0;
	}
}
