/* The tables of hilum.toml: which keys there are, their defaults, and the checks that look at more than one
 * key. */
#include "drivers-vm/control/config.h"

#include "drivers-vm/control/config_private.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static_assert(sizeof(enum config_action) == sizeof(uint32_t), "choices are stored as 32-bit enums");

#define DEFAULT_MEMORY_BYTES    0x10000000ull
#define DEFAULT_WEIGHT          256u
#define CORE_PERCENT            100u /* of a core, per vCPU */
#define DEFAULT_DRIVER_RESTARTS 10u
#define DEFAULT_OVERCOMMIT      100u
#define DEFAULT_SHARE_RATE      2000u
#define FIELDS_MAX              64u

static const char *const last_exit_words[] = { "stay", "poweroff", NULL };
static const char *const devices_words[] = { "auto", "all", "none", NULL };
static const char *const console_words[] = { "serial", "virtio", NULL };
static const char *const profile_words[] = { "kvm", "bare", NULL };
static const char *const action_words[] = { "destroy", "restart", "preserve", "coredump-destroy", "coredump-restart", NULL };
static const char *const watchdog_words[] = { "none", "wdat", NULL };
static const char *const on_watchdog_words[] = { "reset", "poweroff", "pause", "inject-nmi", "none", NULL };

#define GLOBAL(name)     .path = "hilum." #name, .key = #name, .offset = offsetof(struct config, name)
#define VM(name, member) .path = "vm." #name, .key = #name, .offset = offsetof(struct config_vm, member)

static const struct config_field global_fields[] = {
	{ GLOBAL(on_last_guest_exit), .set = config_set_choice, .choices = last_exit_words },
	{ GLOBAL(allow_no_iommu), .set = config_set_boolean },
	{ GLOBAL(core_scheduling), .set = config_set_boolean },
	{ GLOBAL(devices), .set = config_set_choice, .choices = devices_words },
	{ GLOBAL(overcommit), .set = config_set_uint32, .low = 100, .high = 1000 },
	{ GLOBAL(share_rate), .set = config_set_uint32, .low = 1, .high = 1000000 },
	{ GLOBAL(driver_restarts), .set = config_set_uint32, .low = 0, .high = 1000000 },
	{ .path = "hilum.watchdog",
	  .key = "watchdog",
	  .offset = offsetof(struct config, watchdog_seconds),
	  .set = config_set_uint32,
	  .low = 0,
	  .high = 2046 },
	{ GLOBAL(state_disk), .set = config_set_text, .low = 1, .high = CONFIG_SERIAL_BYTES - 1 },
	{ GLOBAL(console), .set = config_set_text, .low = 1, .high = CONFIG_NAME_BYTES - 1 },
};

/* What an operator may change while the VM runs. */
#define SCHEDULE_FIELDS \
	{ VM(weight, weight), .set = config_set_uint32, .low = 1, .high = 65535 }, \
		{ VM(cap, cap), .set = config_set_uint32, .low = 0, .high = CORE_PERCENT * 64 }, \
		{ VM(reservation, reservation), .set = config_set_uint32, .low = 0, .high = CORE_PERCENT * 64 }, \
		{ VM(cpus, cpus), .set = config_set_cores }, \
	{ \
		VM(dedicated, dedicated), .set = config_set_boolean \
	}

static const struct config_field schedule_fields[] = { SCHEDULE_FIELDS };

static const struct config_field vm_fields[] = {
	{ VM(name, name), .set = config_set_vm_name, .required = true },
	{ VM(kernel, kernel), .set = config_set_text, .required = true, .low = 1, .high = CONFIG_MODULE_BYTES - 1 },
	{ VM(initrd, initrd), .set = config_set_text, .low = 1, .high = CONFIG_MODULE_BYTES - 1 },
	{ VM(cmdline, cmdline), .set = config_set_text, .low = 0, .high = 65535 },
	{ VM(memory, memory_bytes), .set = config_set_memory },
	{ VM(prefault, prefault), .set = config_set_boolean },
	{ VM(hugepages, hugepages), .set = config_set_boolean },
	{ VM(vcpus, vcpus), .set = config_set_uint32, .low = 1, .high = 64 },
	{ VM(vcpus_max, vcpus_max), .set = config_set_uint32, .low = 1, .high = 64 },
	SCHEDULE_FIELDS,
	{ VM(serial, serial), .set = config_set_boolean },
	{ VM(console, console), .set = config_set_choice, .choices = console_words },
	{ VM(debug_exit, debug_exit), .set = config_set_port },
	{ VM(debug_crash, debug_crash), .set = config_set_port },
	{ VM(rng, rng), .set = config_set_boolean },
	{ VM(balloon, balloon_bytes), .set = config_set_size },
	{ VM(memory_max, memory_max), .set = config_set_size },
	{ VM(memory_min, memory_min), .set = config_set_size },
	{ VM(share, share), .set = config_set_boolean },
	{ VM(tenant, tenant), .set = config_set_text, .low = 1, .high = CONFIG_NAME_BYTES - 1 },
	{ VM(packed, packed), .set = config_set_boolean },
	{ VM(disk, disk), .set = config_set_disks },
	{ VM(nic, nic), .set = config_set_nics },
	{ VM(channel, channel), .set = config_set_channels },
	{ VM(profile, profile), .set = config_set_choice, .choices = profile_words },
	{ VM(on_poweroff, on_poweroff), .set = config_set_choice, .choices = action_words },
	{ VM(on_reboot, on_reboot), .set = config_set_choice, .choices = action_words },
	{ VM(on_crash, on_crash), .set = config_set_choice, .choices = action_words },
	{ VM(watchdog, watchdog), .set = config_set_choice, .choices = watchdog_words },
	{ VM(on_watchdog, on_watchdog), .set = config_set_choice, .choices = on_watchdog_words },
	{ VM(autostart, autostart), .set = config_set_autostart },
};

static_assert(COUNT(vm_fields) <= FIELDS_MAX && COUNT(global_fields) <= FIELDS_MAX, "names[] below");

/* "vm.disk.module" of the first disk as "disk[0].module". */
static void name_field(const struct config_reader *reader, const char *path, char *field, size_t bytes)
{
	const char *table = reader->table;
	size_t length = table == NULL ? 0 : strlen(table) - 3;

	path += strncmp(path, "vm.", 3) == 0 ? 3 : strcmp(path, "vm") == 0 ? 2 : 0;
	if (table != NULL)
		table += 3;
	if (table != NULL && strncmp(path, table, length) == 0 && (path[length] == '.' || path[length] == '\0'))
		snprintf(field, bytes, "%s[%u]%s", table, reader->place, path + length);
	else
		snprintf(field, bytes, "%s", path);
}

static void report_problem(struct config_reader *reader, const char *path, const char *format, va_list args)
{
	char field[96], detail[CONFIG_MESSAGE_MAX];

	name_field(reader, path, field, sizeof(field));
	vsnprintf(detail, sizeof(detail), format, args);
	reader->report->problem(reader->report->ctx, field, detail);
}

static void report_line(struct config_reader *reader, uint32_t line, const char *path, const char *format, va_list args)
{
	char message[CONFIG_MESSAGE_MAX];
	int used = snprintf(message, sizeof(message), "%.60s:%u: %.80s%s", reader->file, (unsigned)line, path, path[0] == '\0' ? "" : ": ");

	vsnprintf(message + used, sizeof(message) - (size_t)used, format, args);
	reader->report->error(reader->report->ctx, message);
}

bool config_fail(struct config_reader *reader, uint32_t line, const char *path, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	if (reader->report->problem != NULL)
		report_problem(reader, path, format, args);
	else
		report_line(reader, line, path, format, args);
	va_end(args);
	reader->errors++;
	return false;
}

static const struct config_field *find_field(const struct config_field *fields, unsigned count, struct toml_text key)
{
	for (unsigned i = 0; i < count; i++)
		if (strlen(fields[i].key) == key.length && memcmp(fields[i].key, key.bytes, key.length) == 0)
			return &fields[i];
	return NULL;
}

static void fail_unknown(struct config_reader *reader, const struct config_field *fields, unsigned count, const char *prefix,
                         const struct toml_value *value)
{
	const char *names[FIELDS_MAX];
	char path[64];

	for (unsigned i = 0; i < count; i++)
		names[i] = fields[i].key;
	const char *meant = config_suggest_name(value->key, names, count);

	snprintf(path, sizeof(path), "%s%.*s", prefix, value->key.length < 40 ? (int)value->key.length : 40, value->key.bytes);
	if (meant != NULL)
		config_fail(reader, value->key_line, path, "unknown key (did you mean %s?)", meant);
	else
		config_fail(reader, value->key_line, path, "unknown key");
}

bool config_read_table(struct config_reader *reader, const struct config_field *fields, unsigned count, const char *prefix,
                       const struct toml_value *table, void *target)
{
	unsigned before = reader->errors;

	for (const struct toml_value *value = table->children.first; value != NULL; value = value->next) {
		const struct config_field *field = find_field(fields, count, value->key);

		if (field == NULL)
			fail_unknown(reader, fields, count, prefix, value);
		else
			field->set(reader, field, value, target);
	}
	for (unsigned i = 0; i < count; i++)
		if (fields[i].required && toml_find(table, fields[i].key) == NULL)
			config_fail(reader, table->line, fields[i].path, "missing");
	return reader->errors == before;
}

/* The earlier [[vm]] with the same name, valid or not. */
static const struct toml_value *find_same_name(const struct toml_value *vms, const struct toml_value *vm)
{
	const struct toml_value *name = toml_find(vm, "name");

	for (const struct toml_value *other = vms->children.first; other != vm; other = other->next) {
		const struct toml_value *taken = other->type == TOML_TABLE ? toml_find(other, "name") : NULL;

		if (taken != NULL && taken->type == TOML_STRING && taken->text.length == name->text.length &&
		    memcmp(taken->text.bytes, name->text.bytes, name->text.length) == 0)
			return taken;
	}
	return NULL;
}

/* `key` of the table, or the table itself if it is another one that does not fit what was there before. */
static uint32_t line_of(const struct toml_value *table, const char *key)
{
	const struct toml_value *value = toml_find(table, key);

	return value != NULL ? value->key_line : table->line;
}

static uint32_t most_vcpus(const struct config_vm *vm)
{
	return vm->vcpus_max > vm->vcpus ? vm->vcpus_max : vm->vcpus;
}

/* A VM whose cores are its own needs neither a share nor a limit of them. */
static bool check_dedicated(struct config_reader *reader, const struct toml_value *table, const struct config_vm *vm)
{
	unsigned cores = 0, vcpus = most_vcpus(vm);
	bool valid = true;

	if (!vm->dedicated)
		return true;
	for (uint64_t left = vm->cpus; left != 0; left &= left - 1)
		cores++;
	if (cores < vcpus)
		valid = config_fail(reader, line_of(table, "dedicated"), "vm.dedicated",
		                    "needs a core in cpus for each vCPU: %u of %u are there", cores, vcpus);
	if (vm->cap != 0)
		valid = config_fail(reader, line_of(table, "cap"), "vm.cap", "does not go with dedicated = true");
	if (vm->reservation != 0)
		valid = config_fail(reader, line_of(table, "reservation"), "vm.reservation", "does not go with dedicated = true");
	return valid;
}

static bool check_schedule(struct config_reader *reader, const struct toml_value *table, const struct config_vm *vm)
{
	uint32_t most = CORE_PERCENT * most_vcpus(vm);
	bool valid = check_dedicated(reader, table, vm);

	if (vm->cap > most)
		valid = config_fail(reader, line_of(table, "cap"), "vm.cap", "%u is more than its vCPUs can use (%u)", (unsigned)vm->cap,
		                    (unsigned)most);
	if (vm->reservation > most)
		valid = config_fail(reader, line_of(table, "reservation"), "vm.reservation", "%u is more than its vCPUs can use (%u)",
		                    (unsigned)vm->reservation, (unsigned)most);
	if (vm->cap != 0 && vm->reservation > vm->cap)
		valid = config_fail(reader, line_of(table, "reservation"), "vm.reservation", "is more than cap allows (%u)",
		                    (unsigned)vm->cap);
	return valid;
}

unsigned config_read_schedule(const struct toml_value *table, const struct config_report *report, struct config_vm *vm)
{
	struct config_reader reader = { .file = "", .report = report };
	struct config_vm changed = *vm;

	if (config_read_table(&reader, schedule_fields, COUNT(schedule_fields), "vm.", table, &changed) &&
	    check_schedule(&reader, table, &changed))
		*vm = changed;
	return reader.errors;
}

/* What the keys of memory say together. False: something does not go together. */
static bool check_memory(struct config_reader *reader, const struct toml_value *table, const struct config_vm *vm)
{
	bool balloon = vm->balloon_bytes != CONFIG_NO_BALLOON, valid = true;

	if (balloon && vm->balloon_bytes >= vm->memory_bytes)
		valid = config_fail(reader, toml_find(table, "balloon")->key_line, "vm.balloon", "is not smaller than memory");
	if (vm->memory_max > vm->memory_bytes)
		valid = config_fail(reader, toml_find(table, "memory_max")->key_line, "vm.memory_max", "is more than memory");
	if (vm->memory_max < vm->memory_bytes && (!balloon || vm->prefault))
		valid = config_fail(reader, toml_find(table, "memory_max")->key_line, "vm.memory_max",
		                    "less than memory needs a balloon, and prefault = false");
	if (vm->memory_min > vm->memory_max)
		valid = config_fail(reader, toml_find(table, "memory_min")->key_line, "vm.memory_min", "is more than memory_max");
	if (vm->share && vm->tenant == NULL)
		valid = config_fail(reader, toml_find(table, "share")->key_line, "vm.share", "needs a tenant");
	if (vm->share && toml_find(table, "hugepages") != NULL && vm->hugepages)
		valid = config_fail(reader, toml_find(table, "hugepages")->key_line, "vm.hugepages",
		                    "pages are shared one by one: not with share = true");
	return valid;
}

uint64_t config_default_memory_min(const struct config_vm *vm)
{
	return vm->balloon_bytes == CONFIG_NO_BALLOON ? vm->memory_max : vm->memory_max / 4 & ~4095ull;
}

/* What follows from other keys where a key of memory is not given. */
static void default_memory(const struct toml_value *table, struct config_vm *vm)
{
	bool balloon = vm->balloon_bytes != CONFIG_NO_BALLOON;

	if (toml_find(table, "prefault") == NULL)
		vm->prefault = !balloon && !vm->share; /* what is there from the start cannot be given back */
	if (toml_find(table, "hugepages") == NULL)
		vm->hugepages = !vm->share;
	if (toml_find(table, "memory_max") == NULL)
		vm->memory_max = vm->memory_bytes;
	if (toml_find(table, "memory_min") == NULL)
		vm->memory_min = config_default_memory_min(vm);
}

/* The checks across keys; also of a VM with other errors, so that one run shows all. */
static bool check_vm(struct config_reader *reader, const struct toml_value *table, struct config_vm *vm)
{
	const struct toml_value *console = toml_find(table, "console");
	bool valid = check_schedule(reader, table, vm);

	default_memory(table, vm);
	valid &= check_memory(reader, table, vm);
	valid &= config_check_channels(reader, vm);
	if (vm->vcpus_max == 0)
		vm->vcpus_max = vm->vcpus;
	if (vm->vcpus_max < vm->vcpus)
		valid = config_fail(reader, toml_find(table, "vcpus_max")->key_line, "vm.vcpus_max", "is less than vcpus");
	if (!vm->serial && console == NULL)
		vm->console = CONFIG_CONSOLE_VIRTIO;
	if (!vm->serial && vm->console == CONFIG_CONSOLE_SERIAL)
		valid = config_fail(reader, console->key_line, "vm.console", "\"serial\" needs serial = true");
	return valid;
}

bool config_read_vm(struct config_reader *reader, const struct toml_value *table, struct config_vm *vm)
{
	*vm = (struct config_vm){
		.cmdline = "",
		.memory_bytes = DEFAULT_MEMORY_BYTES,
		.vcpus = 1,
		.weight = DEFAULT_WEIGHT,
		.prefault = true,
		.hugepages = true,
		.serial = true,
		.balloon_bytes = CONFIG_NO_BALLOON,
		.on_reboot = CONFIG_ACTION_RESTART,
		.line = table->line,
	};

	if (table->type != TOML_TABLE)
		return config_fail(reader, table->line, "vm", "must be a table, [[vm]]");
	bool keys_valid = config_read_table(reader, vm_fields, COUNT(vm_fields), "vm.", table, vm);

	if (!check_vm(reader, table, vm) || !keys_valid)
		return false;
	config_name_nics(vm);
	return true;
}

static bool check_name(struct config_reader *reader, const struct toml_value *vms, const struct toml_value *table,
                       const struct config_vm *vm)
{
	const struct toml_value *same = vm->name[0] == '\0' ? NULL : find_same_name(vms, table);

	return same == NULL || config_fail(reader, toml_find(table, "name")->key_line, "vm.name", "\"%s\" is taken by the VM on line %u",
	                                   vm->name, (unsigned)same->key_line);
}

static void read_vm(struct config_reader *reader, const struct toml_value *vms, const struct toml_value *table, struct config *out)
{
	struct config_vm vm;
	bool valid = config_read_vm(reader, table, &vm);

	if (!check_name(reader, vms, table, &vm) || !valid)
		return;
	if (out->vm_count == CONFIG_VMS_MAX) {
		config_fail(reader, table->line, "vm", "more than %u VMs", CONFIG_VMS_MAX);
		return;
	}
	out->vm[out->vm_count] = vm;
	if (config_check_macs(reader, out->vm, out->vm_count + 1))
		out->vm_count++;
}

static void read_vms(struct config_reader *reader, const struct toml_value *vms, struct config *out)
{
	if (vms->type != TOML_ARRAY) {
		config_fail(reader, vms->key_line, "vm", "must be written [[vm]], one for each VM");
		return;
	}
	for (const struct toml_value *vm = vms->children.first; vm != NULL; vm = vm->next)
		read_vm(reader, vms, vm, out);
}

static bool has_vm_named(const struct toml_value *vms, const char *name)
{
	if (vms == NULL || vms->type != TOML_ARRAY)
		return false;
	for (const struct toml_value *vm = vms->children.first; vm != NULL; vm = vm->next) {
		const struct toml_value *taken = vm->type == TOML_TABLE ? toml_find(vm, "name") : NULL;

		if (taken != NULL && taken->type == TOML_STRING && strcmp(taken->text.bytes, name) == 0)
			return true;
	}
	return false;
}

static void read_global(struct config_reader *reader, const struct toml_value *root, const struct toml_value *table, struct config *out)
{
	if (table->type != TOML_TABLE) {
		config_fail(reader, table->key_line, "hilum", "must be a table, [hilum]");
		return;
	}
	config_read_table(reader, global_fields, COUNT(global_fields), "hilum.", table, out);
	if (out->console != NULL && strcmp(out->console, CONFIG_LOG_NAME) != 0 && !has_vm_named(toml_find(root, "vm"), out->console)) {
		config_fail(reader, toml_find(table, "console")->key_line, "hilum.console", "there is no VM \"%s\"", out->console);
		out->console = NULL;
	}
}

static void read_root(struct config_reader *reader, const struct toml_value *root, struct config *out)
{
	static const struct config_field root_fields[] = { { .key = "hilum" }, { .key = "vm" }, { .key = "nic" }, { .key = "api" } };

	for (const struct toml_value *value = root->children.first; value != NULL; value = value->next) {
		const struct config_field *field = find_field(root_fields, COUNT(root_fields), value->key);

		if (field == NULL)
			fail_unknown(reader, root_fields, COUNT(root_fields), "", value);
		else if (field == &root_fields[0])
			read_global(reader, root, value, out);
		else if (field == &root_fields[1])
			read_vms(reader, value, out);
		else if (field == &root_fields[3])
			config_read_api(reader, value, &out->api);
		else
			config_read_uplinks(reader, value, out);
	}
}

unsigned config_read(const char *file, const char *text, size_t length, struct toml_arena *arena, const struct config_report *report,
                     struct config *out)
{
	struct config_reader reader = { .file = file, .report = report };
	struct toml_error error;
	const struct toml_value *root = toml_parse(text, length, arena, &error);

	memset(out, 0, sizeof(*out));
	out->driver_restarts = DEFAULT_DRIVER_RESTARTS;
	out->overcommit = DEFAULT_OVERCOMMIT;
	out->share_rate = DEFAULT_SHARE_RATE;
	config_default_api(&out->api);
	if (root == NULL)
		config_fail(&reader, error.line, "", "column %u: %s", (unsigned)error.column, error.message);
	else
		read_root(&reader, root, out);
	config_add_default_uplink(out);
	return reader.errors;
}
