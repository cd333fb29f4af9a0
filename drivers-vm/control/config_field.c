/* One function for each kind of value in hilum.toml: checks type and range, and stores it. */
#include "drivers-vm/control/config_private.h"

#include "drivers-vm/control/guest_map.h"
#include "drivers-vm/lib/platform.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define CORES_MAX 64u

static bool check_type(struct config_reader *reader, const struct config_field *field, const struct toml_value *value, enum toml_type type)
{
	if (value->type == type)
		return true;
	return config_fail(reader, value->key_line, field->path, "must be %s, not %s", toml_type_name(type), toml_type_name(value->type));
}

static bool check_text(struct config_reader *reader, const struct config_field *field, const struct toml_value *value)
{
	if (!check_type(reader, field, value, TOML_STRING))
		return false;
	if (memchr(value->text.bytes, '\0', value->text.length) != NULL)
		return config_fail(reader, value->key_line, field->path, "contains a NUL character");
	return true;
}

static void *place(const struct config_field *field, void *target)
{
	return (char *)target + field->offset;
}

bool config_set_boolean(struct config_reader *reader, const struct config_field *field, const struct toml_value *value, void *target)
{
	if (!check_type(reader, field, value, TOML_BOOLEAN))
		return false;
	*(bool *)place(field, target) = value->boolean;
	return true;
}

bool config_set_autostart(struct config_reader *reader, const struct config_field *field, const struct toml_value *value, void *target)
{
	if (!check_type(reader, field, value, TOML_BOOLEAN))
		return false;
	*(enum config_autostart *)place(field, target) = value->boolean ? CONFIG_AUTOSTART_YES : CONFIG_AUTOSTART_NO;
	return true;
}

bool config_set_uint32(struct config_reader *reader, const struct config_field *field, const struct toml_value *value, void *target)
{
	if (!check_type(reader, field, value, TOML_INTEGER))
		return false;
	if (value->integer < (int64_t)field->low || value->integer > (int64_t)field->high)
		return config_fail(reader, value->key_line, field->path, "%" PRId64 " is out of range (%" PRIu64 " to %" PRIu64 ")",
		                   value->integer, field->low, field->high);
	*(uint32_t *)place(field, target) = (uint32_t)value->integer;
	return true;
}

static void list_choices(const char *const *choices, char *out, size_t bytes)
{
	size_t used = 0;

	for (unsigned i = 0; choices[i] != NULL && used < bytes; i++)
		used += (size_t)snprintf(out + used, bytes - used, "%s\"%s\"",
		                         i == 0                   ? ""
		                         : choices[i + 1] == NULL ? " or "
		                                                  : ", ",
		                         choices[i]);
}

bool config_set_choice(struct config_reader *reader, const struct config_field *field, const struct toml_value *value, void *target)
{
	char list[80];

	if (!check_text(reader, field, value))
		return false;
	for (uint32_t i = 0; field->choices[i] != NULL; i++) {
		if (strcmp(value->text.bytes, field->choices[i]) == 0) {
			memcpy(place(field, target), &i, sizeof(i));
			return true;
		}
	}
	list_choices(field->choices, list, sizeof(list));
	return config_fail(reader, value->key_line, field->path, "\"%.40s\" is not %s", value->text.bytes, list);
}

bool config_set_text(struct config_reader *reader, const struct config_field *field, const struct toml_value *value, void *target)
{
	if (!check_text(reader, field, value))
		return false;
	if (value->text.length < field->low || value->text.length > field->high)
		return config_fail(reader, value->key_line, field->path, "has %zu bytes, must have %" PRIu64 " to %" PRIu64,
		                   value->text.length, field->low, field->high);
	*(const char **)place(field, target) = value->text.bytes;
	return true;
}

static bool is_name_character(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
}

bool config_is_vm_name(const char *name)
{
	size_t length = strnlen(name, CONFIG_NAME_BYTES);
	bool valid = length >= 1 && length < CONFIG_NAME_BYTES && name[0] != '-' && name[0] != '.';

	for (size_t i = 0; i < length; i++)
		valid = valid && is_name_character(name[i]);
	return valid;
}

bool config_set_vm_name(struct config_reader *reader, const struct config_field *field, const struct toml_value *value, void *target)
{
	if (!check_text(reader, field, value))
		return false;
	const char *name = value->text.bytes;

	if (!config_is_vm_name(name))
		return config_fail(reader, value->key_line, field->path,
		                   "must be 1 to %u letters, digits, '.', '_' or '-', not starting with '.' or '-'", CONFIG_NAME_BYTES - 1);
	if (strcmp(name, CONFIG_LOG_NAME) == 0)
		return config_fail(reader, value->key_line, field->path, "\"%s\" is the name of the log", CONFIG_LOG_NAME);
	memcpy(place(field, target), name, value->text.length + 1);
	return true;
}

/* Digits at *at, saturating; false if there are none. */
static bool take_number(const char **at, uint64_t *value)
{
	const char *start = *at;

	for (*value = 0; **at >= '0' && **at <= '9'; (*at)++)
		if (__builtin_mul_overflow(*value, 10u, value) || __builtin_add_overflow(*value, (unsigned)(**at - '0'), value))
			*value = UINT64_MAX;
	return *at != start;
}

static unsigned unit_shift(char unit)
{
	return unit == 'K' ? 10 : unit == 'M' ? 20 : unit == 'G' ? 30 : unit == 'T' ? 40 : 0;
}

/* "256M"; false after reporting. Saturates beyond what memory can be. */
static bool read_size_text(struct config_reader *reader, const struct config_field *field, const struct toml_value *value, uint64_t *bytes)
{
	uint64_t count;

	if (!check_text(reader, field, value))
		return false;
	const char *at = value->text.bytes;
	bool number = take_number(&at, &count);
	unsigned shift = unit_shift(*at);

	if (!number || shift == 0 || at[1] != '\0')
		return config_fail(reader, value->key_line, field->path,
		                   "\"%.20s\" is not a size: write a number and K, M, G or T, as in \"256M\"", value->text.bytes);
	*bytes = count > GUEST_MAP_RAM_MAX >> shift ? UINT64_MAX : count << shift;
	return true;
}

static bool read_size(struct config_reader *reader, const struct config_field *field, const struct toml_value *value, uint64_t *bytes)
{
	if (!reader->sizes_as_numbers || value->type != TOML_INTEGER)
		return read_size_text(reader, field, value, bytes);
	*bytes = value->integer < 0 ? UINT64_MAX : (uint64_t)value->integer;
	return true;
}

/* A size as it was written, for messages. */
static const char *show_size(const struct toml_value *value, char text[24])
{
	if (value->type == TOML_INTEGER)
		snprintf(text, 24, "%" PRId64, value->integer);
	else
		snprintf(text, 24, "\"%.20s\"", value->text.bytes);
	return text;
}

bool config_set_memory(struct config_reader *reader, const struct config_field *field, const struct toml_value *value, void *target)
{
	struct guest_map map;
	char text[24];
	uint64_t bytes;

	if (!read_size(reader, field, value, &bytes))
		return false;
	if (!guest_map_build(bytes, &map))
		return config_fail(reader, value->key_line, field->path, "%s is not a multiple of 2M between 2M and 1T",
		                   show_size(value, text));
	*(uint64_t *)place(field, target) = bytes;
	return true;
}

bool config_set_size(struct config_reader *reader, const struct config_field *field, const struct toml_value *value, void *target)
{
	char text[24];
	uint64_t bytes;

	if (!read_size(reader, field, value, &bytes))
		return false;
	if (bytes > GUEST_MAP_RAM_MAX || bytes % 4096 != 0)
		return config_fail(reader, value->key_line, field->path, "%s is not a multiple of 4K up to 1T", show_size(value, text));
	*(uint64_t *)place(field, target) = bytes;
	return true;
}

/* "0-3,6": ranges are inclusive. "all": no bit. */
static bool parse_core_list(const char *at, uint64_t *mask)
{
	if (strcmp(at, "all") == 0)
		return true;
	do {
		uint64_t first;
		uint64_t last;

		if (!take_number(&at, &first))
			return false;
		last = first;
		if (*at == '-') {
			at++;
			if (!take_number(&at, &last))
				return false;
		}
		if (first > last || last >= CORES_MAX)
			return false;
		for (; first <= last; first++)
			*mask |= 1ull << first;
	} while (*at++ == ',');
	return at[-1] == '\0';
}

static bool read_core_array(const struct toml_value *array, uint64_t *mask)
{
	for (const struct toml_value *core = array->children.first; core != NULL; core = core->next) {
		if (core->type != TOML_INTEGER || core->integer < 0 || core->integer >= CORES_MAX)
			return false;
		*mask |= 1ull << core->integer;
	}
	return *mask != 0;
}

bool config_set_cores(struct config_reader *reader, const struct config_field *field, const struct toml_value *value, void *target)
{
	uint64_t mask = 0;
	bool valid;

	if (value->type == TOML_ARRAY)
		valid = read_core_array(value, &mask);
	else if (check_text(reader, field, value))
		valid = parse_core_list(value->text.bytes, &mask);
	else
		return false;
	if (!valid)
		return config_fail(reader, value->key_line, field->path,
		                   "must list host cores from 0 to %u, as in \"0-3,6\" or [0, 1], or be \"all\"", CORES_MAX - 1);
	*(uint64_t *)place(field, target) = mask;
	return true;
}

/* Port ranges where the platform has devices of its own; inclusive. */
static const struct {
	uint32_t first, last;
} platform_ports[] = {
	{ 0x00, 0xEF }, /* DMA, PICs, PIT, keyboard controller, RTC, system control ports */
	{ PLATFORM_COM1_PORT, PLATFORM_COM1_PORT + 7 },
	{ 0x4D0, 0x4D1 }, /* PIC edge/level registers */
	{ PLATFORM_SLEEP_CONTROL_PORT, PLATFORM_ACPI_PORTS_LAST },
	{ 0xCF8, 0xCFF }, /* PCI configuration and reset control */
	{ PLATFORM_PCI_IO_BASE, PLATFORM_PCI_IO_LIMIT },
};

bool config_set_port(struct config_reader *reader, const struct config_field *field, const struct toml_value *value, void *target)
{
	if (!check_type(reader, field, value, TOML_INTEGER))
		return false;
	if (value->integer < 0 || value->integer > 0xFFFF)
		return config_fail(reader, value->key_line, field->path, "%" PRId64 " is not an I/O port", value->integer);
	uint32_t port = (uint32_t)value->integer;

	for (unsigned i = 0; i < sizeof(platform_ports) / sizeof(platform_ports[0]); i++)
		if (port >= platform_ports[i].first && port <= platform_ports[i].last)
			return config_fail(reader, value->key_line, field->path, "port 0x%" PRIx32 " belongs to a device of the platform",
			                   port);
	*(uint32_t *)place(field, target) = port;
	return true;
}
