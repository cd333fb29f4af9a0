/* [[vm.channel]]: memory and doorbells that two VMs have in common. Whether the other one declares it too is seen at start. */
#include "drivers-vm/control/config_private.h"

#include <string.h>

#define COUNT(array)  (sizeof(array) / sizeof((array)[0]))
#define BYTES_MIN     4096u
#define BYTES_MAX     (1u << 30)
#define BYTES_DEFAULT (1u << 20)

#define CHANNEL(name) .path = "vm.channel." #name, .key = #name, .offset = offsetof(struct config_channel, name)

static bool set_size(struct config_reader *reader, const struct config_field *field, const struct toml_value *value, void *target)
{
	const struct config_channel *channel = target;

	if (!config_set_size(reader, field, value, target))
		return false;
	if (channel->bytes < BYTES_MIN || channel->bytes > BYTES_MAX || (channel->bytes & (channel->bytes - 1)) != 0)
		return config_fail(reader, value->key_line, field->path, "must be a power of two from 4K to 1G");
	return true;
}

static const struct config_field fields[] = {
	{ CHANNEL(name), .set = config_set_vm_name, .required = true },
	{ CHANNEL(peer), .set = config_set_vm_name, .required = true },
	{ .path = "vm.channel.size", .key = "size", .offset = offsetof(struct config_channel, bytes), .set = set_size },
};

static bool read_channel(struct config_reader *reader, const struct toml_value *table, struct config_vm *vm)
{
	struct config_channel *channel = &vm->channel[vm->channel_count++];

	*channel = (struct config_channel){ .bytes = BYTES_DEFAULT, .line = table->line };
	if (!config_read_table(reader, fields, COUNT(fields), "vm.channel.", table, channel))
		return false;
	for (unsigned i = 0; i + 1 < vm->channel_count; i++)
		if (strcmp(vm->channel[i].name, channel->name) == 0)
			return config_fail(reader, table->line, "vm.channel.name", "\"%s\" is taken by the channel on line %u",
			                   channel->name, (unsigned)vm->channel[i].line);
	return true;
}

bool config_set_channels(struct config_reader *reader, const struct config_field *field, const struct toml_value *value, void *target)
{
	static const struct config_tables tables = { CONFIG_CHANNELS_MAX, "[[vm.channel]]", read_channel };

	return config_read_tables(reader, field, value, &tables, target);
}

bool config_check_channels(struct config_reader *reader, const struct config_vm *vm)
{
	bool valid = true;

	reader->table = "vm.channel";
	for (reader->place = 0; reader->place < vm->channel_count; reader->place++)
		if (vm->name[0] != '\0' && strcmp(vm->channel[reader->place].peer, vm->name) == 0)
			valid = config_fail(reader, vm->channel[reader->place].line, "vm.channel.peer", "must be another VM");
	reader->table = NULL;
	return valid;
}
