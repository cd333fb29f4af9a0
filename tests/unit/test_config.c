/*
 * hilum.toml: defaults, every kind of error with its line, valid VMs beside bad ones.
 * UNIT_SOURCES: drivers-vm/control/config.c drivers-vm/control/config_field.c
 * UNIT_SOURCES: drivers-vm/control/config_devices.c drivers-vm/control/config_channel.c drivers-vm/control/config_uplink.c drivers-vm/control/config_api.c drivers-vm/control/config_address.c
 * UNIT_SOURCES: drivers-vm/control/config_suggest.c drivers-vm/control/guest_map.c
 * UNIT_SOURCES: drivers-vm/control/toml.c drivers-vm/control/toml_scalar.c
 * UNIT_SOURCES: drivers-vm/control/toml_string.c drivers-vm/control/toml_value.c
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "drivers-vm/control/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct config config;
static char messages[8192];
static uint8_t *arena_memory;

static void collect(void *ctx, const char *message)
{
	size_t used = strlen(messages);

	(void)ctx;
	snprintf(messages + used, sizeof(messages) - used, "%s\n", message);
}

static unsigned read_text(const char *text)
{
	const struct config_report report = { .error = collect };
	size_t bytes = CONFIG_ARENA_BYTES(strlen(text));
	struct toml_arena arena;

	free(arena_memory);
	arena_memory = malloc(bytes);
	arena = (struct toml_arena){ .base = arena_memory, .bytes = bytes };
	messages[0] = '\0';
	return config_read("hilum.toml", text, strlen(text), &arena, &report, &config);
}

/* One [[vm]] with the two keys it must have, then `lines`, which begin on line 4. */
static unsigned read_vm(const char *lines)
{
	char text[1024];

	snprintf(text, sizeof(text), "[[vm]]\nname = 'a'\nkernel = 'k'\n%s", lines);
	return read_text(text);
}

static void assert_one_error(unsigned errors, const char *message)
{
	char line[300];

	snprintf(line, sizeof(line), "%s\n", message);
	assert_string_equal(messages, line);
	assert_int_equal(errors, 1);
}

static void config_read__minimal_vm__has_the_defaults(void **state)
{
	(void)state;
	assert_int_equal(read_vm(""), 0);
	assert_int_equal(config.vm_count, 1);
	const struct config_vm *vm = &config.vm[0];

	assert_string_equal(vm->name, "a");
	assert_string_equal(vm->kernel, "k");
	assert_null(vm->initrd);
	assert_string_equal(vm->cmdline, "");
	assert_int_equal(vm->memory_bytes, 256ull << 20);
	assert_int_equal(vm->vcpus, 1);
	assert_int_equal(vm->weight, 256);
	assert_int_equal(vm->cpus, 0);
	assert_true(vm->serial);
	assert_int_equal(vm->console, CONFIG_CONSOLE_SERIAL);
	assert_int_equal(vm->debug_exit, 0);
	assert_int_equal(vm->profile, CONFIG_PROFILE_KVM);
	assert_int_equal(vm->on_poweroff, CONFIG_ACTION_DESTROY);
	assert_int_equal(vm->on_reboot, CONFIG_ACTION_RESTART);
	assert_int_equal(vm->on_crash, CONFIG_ACTION_DESTROY);
	assert_int_equal(vm->line, 1);
	assert_int_equal(config.on_last_guest_exit, CONFIG_LAST_EXIT_STAY);
	assert_int_equal(config.driver_restarts, 10);
	assert_false(config.allow_no_iommu);
	assert_int_equal(config.devices, CONFIG_DEVICES_AUTO);
	assert_null(config.console);
}

static void config_read__every_key__is_stored(void **state)
{
	(void)state;
	assert_int_equal(
		read_text(
			"[hilum]\non_last_guest_exit = 'poweroff'\nallow_no_iommu = true\ndevices = 'all'\nconsole = 'a'\ncore_scheduling = true\n"
			"driver_restarts = 3\nwatchdog = 60\n[[vm]]\nname = 'a'\nkernel = 'k'\ninitrd = 'i'\ncmdline = 'x y'\nmemory = '6G'\n"
			"vcpus = 64\nweight = 65535\ncpus = '0-2,63'\ncap = 6400\nreservation = 150\nserial = false\nconsole = 'virtio'\n"
			"debug_exit = 0xf4\ndebug_crash = 0xf5\nprofile = 'bare'\non_poweroff = 'preserve'\non_reboot = "
			"'destroy'\n"
			"on_crash = 'restart'\n"),
		0);
	const struct config_vm *vm = &config.vm[0];

	assert_int_equal(config.on_last_guest_exit, CONFIG_LAST_EXIT_POWEROFF);
	assert_true(config.allow_no_iommu);
	assert_int_equal(config.devices, CONFIG_DEVICES_ALL);
	assert_string_equal(config.console, "a");
	assert_string_equal(vm->initrd, "i");
	assert_string_equal(vm->cmdline, "x y");
	assert_int_equal(vm->memory_bytes, 6ull << 30);
	assert_int_equal(vm->vcpus, 64);
	assert_int_equal(vm->weight, 65535);
	assert_int_equal(vm->cpus, 0x8000000000000007ull);
	assert_int_equal(vm->cap, 6400);
	assert_int_equal(vm->reservation, 150);
	assert_false(vm->dedicated);
	assert_true(config.core_scheduling);
	assert_false(vm->serial);
	assert_int_equal(vm->console, CONFIG_CONSOLE_VIRTIO);
	assert_int_equal(vm->debug_exit, 0xf4);
	assert_int_equal(vm->debug_crash, 0xf5);
	assert_int_equal(config.driver_restarts, 3);
	assert_int_equal(config.watchdog_seconds, 60);
	assert_int_equal(vm->profile, CONFIG_PROFILE_BARE);
	assert_int_equal(vm->on_poweroff, CONFIG_ACTION_PRESERVE);
	assert_int_equal(vm->on_reboot, CONFIG_ACTION_DESTROY);
	assert_int_equal(vm->on_crash, CONFIG_ACTION_RESTART);
}

static void config_read__unknown_key__names_line_and_suggests(void **state)
{
	(void)state;
	assert_one_error(read_vm("memroy = '1G'\n"), "hilum.toml:4: vm.memroy: unknown key (did you mean memory?)");
	assert_one_error(read_vm("\ncpu = 2\n"), "hilum.toml:5: vm.cpu: unknown key (did you mean cpus?)");
	assert_one_error(read_vm("vcpu = 2\n"), "hilum.toml:4: vm.vcpu: unknown key (did you mean vcpus?)");
	assert_one_error(read_vm("colour = 2\n"), "hilum.toml:4: vm.colour: unknown key");
	assert_one_error(read_text("[hylum]\n"), "hilum.toml:1: hylum: unknown key (did you mean hilum?)");
	assert_one_error(read_text("[hilum]\nallow_no_immu = true"),
	                 "hilum.toml:2: hilum.allow_no_immu: unknown key (did you mean allow_no_iommu?)");
}

static void config_read__wrong_type__says_what_it_must_be(void **state)
{
	(void)state;
	assert_one_error(read_vm("memory = 256\n"), "hilum.toml:4: vm.memory: must be a string, not an integer");
	assert_one_error(read_vm("vcpus = '2'\n"), "hilum.toml:4: vm.vcpus: must be an integer, not a string");
	assert_one_error(read_vm("serial = 1\n"), "hilum.toml:4: vm.serial: must be a boolean, not an integer");
	assert_one_error(read_vm("on_crash = []\n"), "hilum.toml:4: vm.on_crash: must be a string, not an array");
	assert_one_error(read_vm("cpus = 1.5\n"), "hilum.toml:4: vm.cpus: must be a string, not a float");
	assert_one_error(read_text("hilum = 1\n"), "hilum.toml:1: hilum: must be a table, [hilum]");
	assert_one_error(read_text("[vm]\n"), "hilum.toml:1: vm: must be written [[vm]], one for each VM");
	assert_one_error(read_text("vm = [1]\n"), "hilum.toml:1: vm: must be a table, [[vm]]");
}

static void config_read__out_of_range__says_the_range(void **state)
{
	(void)state;
	assert_one_error(read_vm("vcpus = 65\n"), "hilum.toml:4: vm.vcpus: 65 is out of range (1 to 64)");
	assert_one_error(read_vm("vcpus = -1\n"), "hilum.toml:4: vm.vcpus: -1 is out of range (1 to 64)");
	assert_one_error(read_vm("weight = 0\n"), "hilum.toml:4: vm.weight: 0 is out of range (1 to 65535)");
	assert_one_error(read_vm("debug_exit = 65536\n"), "hilum.toml:4: vm.debug_exit: 65536 is not an I/O port");
	assert_one_error(read_vm("debug_exit = 0x3ff\n"), "hilum.toml:4: vm.debug_exit: port 0x3ff belongs to a device of the platform");
	assert_one_error(read_vm("on_crash = 'explode'\n"),
	                 "hilum.toml:4: vm.on_crash: \"explode\" is not \"destroy\", \"restart\", \"preserve\", "
	                 "\"coredump-destroy\" or \"coredump-restart\"");
	assert_one_error(read_vm("vcpus = 3\nvcpus_max = 2\n"), "hilum.toml:5: vm.vcpus_max: is less than vcpus");
	assert_one_error(read_vm("autostart = 1\n"), "hilum.toml:4: vm.autostart: must be a boolean, not an integer");
	assert_one_error(read_vm("debug_exit = 0x63f\n"), "hilum.toml:4: vm.debug_exit: port 0x63f belongs to a device of the platform");
	assert_one_error(read_vm("initrd = ''\n"), "hilum.toml:4: vm.initrd: has 0 bytes, must have 1 to 47");
	assert_one_error(read_vm("cmdline = \"a\\u0000b\"\n"), "hilum.toml:4: vm.cmdline: contains a NUL character");
}

static void config_read__memory__accepts_multiples_of_2m_only(void **state)
{
	static const char *const bad[] = {
		"''", "'M'", "'256'", "'3M'", "'0G'", "'2000T'", "'1 G'", "'1g'", "'99999999999999999999M'", "'-2M'", "'256MB'", "'1025G'"
	};
	char line[64];

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		snprintf(line, sizeof(line), "memory = %s\n", bad[i]);
		assert_int_equal(read_vm(line), 1);
		assert_int_equal(config.vm_count, 0);
	}
	assert_int_equal(read_vm("memory = '2048K'\n"), 0);
	assert_int_equal(config.vm[0].memory_bytes, 2u << 20);
	assert_int_equal(read_vm("memory = '1T'\n"), 0);
}

static void config_read__cpus__accepts_lists_and_ranges(void **state)
{
	static const char *const bad[] = { "''", "'3-1'", "'64'", "'0,'", "'0-'", "'a'", "[]", "[64]", "[-1]", "['1']" };
	char line[64];

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		snprintf(line, sizeof(line), "cpus = %s\n", bad[i]);
		assert_int_equal(read_vm(line), 1);
	}
	assert_int_equal(read_vm("cpus = [0, 5]\n"), 0);
	assert_int_equal(config.vm[0].cpus, 0x21);
	assert_int_equal(read_vm("cpus = '0-63'\n"), 0);
	assert_int_equal(config.vm[0].cpus, UINT64_MAX);
}

static void config_read__name__is_checked(void **state)
{
	static const char *const bad[] = { "''",    "'-a'",    "'.a'",         "'a b'",
		                           "'a/b'", "'hilum'", "\"a\\u0000\"", "'abcdefghijklmnopqrstuvwxyz012345'" };
	char text[128];

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		snprintf(text, sizeof(text), "[[vm]]\nname = %s\nkernel = 'k'\n", bad[i]);
		assert_int_equal(read_text(text), 1);
		assert_int_equal(config.vm_count, 0);
	}
	assert_int_equal(read_text("[[vm]]\nname = 'abcdefghijklmnopqrstuvwxyz01234'\nkernel = 'k'\n"), 0);
}

static void config_read__missing_key__is_an_error_at_the_table(void **state)
{
	(void)state;
	assert_one_error(read_text("\n[[vm]]\nname = 'a'\n"), "hilum.toml:2: vm.kernel: missing");
	assert_int_equal(read_text("[[vm]]\n"), 2);
}

static void config_read__duplicate_name__names_the_first(void **state)
{
	(void)state;
	assert_one_error(read_text("[[vm]]\nname='a'\nkernel='k'\n[[vm]]\nname='a'\nkernel='l'\n"),
	                 "hilum.toml:5: vm.name: \"a\" is taken by the VM on line 2");
	assert_int_equal(config.vm_count, 1);
	assert_string_equal(config.vm[0].kernel, "k");
}

static void config_read__one_bad_vm__leaves_the_others(void **state)
{
	(void)state;
	assert_int_equal(read_text("[[vm]]\nname='a'\nkernel='k'\n[[vm]]\nname='b'\nkernel='k'\nvcpus=0\nbad=1\n"
	                           "[[vm]]\nname='c'\nkernel='k'\n"),
	                 2);
	assert_int_equal(config.vm_count, 2);
	assert_string_equal(config.vm[0].name, "a");
	assert_string_equal(config.vm[1].name, "c");
}

static void config_read__bad_global_key__keeps_its_default(void **state)
{
	(void)state;
	assert_int_equal(read_text("[hilum]\nallow_no_iommu = 1\nconsole = 'x'\n[[vm]]\nname='a'\nkernel='k'\n"), 2);
	assert_false(config.allow_no_iommu);
	assert_null(config.console);
	assert_int_equal(config.vm_count, 1);
	assert_int_equal(read_text("[hilum]\nconsole = 'hilum'\n"), 0);
	assert_string_equal(config.console, "hilum");
}

static void config_read__console_without_serial__is_virtio_or_an_error(void **state)
{
	(void)state;
	assert_int_equal(read_vm("serial = false\n"), 0);
	assert_int_equal(config.vm[0].console, CONFIG_CONSOLE_VIRTIO);
	assert_one_error(read_vm("serial = false\nconsole = 'serial'\n"), "hilum.toml:5: vm.console: \"serial\" needs serial = true");
}

static void config_read__syntax_error__names_line_and_column_and_leaves_nothing(void **state)
{
	(void)state;
	assert_one_error(read_text("[[vm]]\nname = 'a'\nkernel = \n"), "hilum.toml:3: column 10: a value is expected here");
	assert_int_equal(config.vm_count, 0);
}

static void config_read__too_many_vms__keeps_the_first(void **state)
{
	static char text[40 * (CONFIG_VMS_MAX + 1)];
	size_t used = 0;

	(void)state;
	for (unsigned i = 0; i <= CONFIG_VMS_MAX; i++)
		used += (size_t)snprintf(text + used, sizeof(text) - used, "[[vm]]\nname='v%u'\nkernel='k'\n", i);
	assert_one_error(read_text(text), "hilum.toml:1537: vm: more than 512 VMs");
	assert_int_equal(config.vm_count, CONFIG_VMS_MAX);
}

static void config_read__very_long_key__is_reported_in_bounds(void **state)
{
	char line[600];

	(void)state;
	memset(line, 'x', 500);
	strcpy(line + 500, " = 1\n");
	assert_int_equal(read_vm(line), 1);
	assert_true(strlen(messages) < CONFIG_MESSAGE_MAX);
}

static void config_read__disks__every_key_and_the_defaults(void **state)
{
	(void)state;
	assert_int_equal(read_vm("[[vm.disk]]\nmodule = 'm'\n"
	                         "[[vm.disk]]\nmodule='n'\nreadonly=true\nserial='12345678901234567890'\npartition=128\n"
	                         "num_queues=8\niops=100\nbandwidth='2MB/s'\n"
	                         "[[vm.disk]]\nmodule='o'\npartlabel='root'\n"
	                         "[[vm.disk]]\nmodule='o'\npartuuid='0fc63daf-8483-4772-8E79-3d69d8477de4'\n"),
	                 0);
	assert_int_equal(config.vm[0].disk_count, 4);
	const struct config_disk *disk = config.vm[0].disk;
	assert_string_equal(disk[0].module, "m");
	assert_false(disk[0].readonly);
	assert_null(disk[0].serial);
	assert_null(disk[0].partlabel);
	assert_int_equal(disk[0].num_queues, 1);
	assert_int_equal(disk[0].iops + disk[0].bandwidth + disk[0].partition, 0);
	assert_true(disk[1].readonly);
	assert_string_equal(disk[1].serial, "12345678901234567890");
	assert_int_equal(disk[1].partition, 128);
	assert_int_equal(disk[1].num_queues, 8);
	assert_int_equal(disk[1].iops, 100);
	assert_int_equal(disk[1].bandwidth, 2000000);
	assert_string_equal(disk[2].partlabel, "root");
	assert_string_equal(disk[3].partuuid, "0fc63daf-8483-4772-8E79-3d69d8477de4");
}

static void config_read__channels__every_key_and_the_defaults(void **state)
{
	(void)state;
	assert_int_equal(read_vm("[[vm.channel]]\nname='a'\npeer='b.c'\n[[vm.channel]]\nname='d'\npeer='b.c'\nsize='1G'\n"
	                         "[[vm.channel]]\nname='e'\npeer='f'\nsize='4K'\n"),
	                 0);
	const struct config_vm *vm = &config.vm[0];
	assert_int_equal(vm->channel_count, 3);
	assert_string_equal(vm->channel[0].name, "a");
	assert_string_equal(vm->channel[0].peer, "b.c");
	assert_int_equal(vm->channel[0].bytes, 1 << 20);
	assert_int_equal(vm->channel[1].bytes, 1 << 30);
	assert_int_equal(vm->channel[2].bytes, 4096);
	assert_int_equal(read_vm(""), 0);
	assert_int_equal(config.vm[0].channel_count, 0);
}

static void config_read__channels__errors_name_the_key(void **state)
{
	static const char *const lines[] = {
		"[[vm.channel]]\nname='a'\n",
		"[[vm.channel]]\npeer='b'\n",
		"[[vm.channel]]\nname=''\npeer='b'\n",
		"[[vm.channel]]\nname='a'\npeer='../b'\n",
		"[[vm.channel]]\nname='a'\npeer='b'\nsize='2K'\n",
		"[[vm.channel]]\nname='a'\npeer='b'\nsize='2G'\n",
		"[[vm.channel]]\nname='a'\npeer='b'\nsize='3M'\n",
		"[[vm.channel]]\nname='a'\npeer='b'\nsize='0K'\n",
		"[[vm.channel]]\nname='a'\npeer='b'\nport=1\n",
		"[[vm.channel]]\nname='a'\npeer='b'\n[[vm.channel]]\nname='a'\npeer='c'\n",
		"[vm.channel]\nname='a'\npeer='b'\n",
		"[[vm.channel]]\nname='b'\npeer='a'\n",
	};

	(void)state;
	for (unsigned i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		assert_int_equal(read_vm(lines[i]), 1);
		assert_non_null(strstr(messages, "vm.channel"));
		assert_int_equal(config.vm_count, 0);
	}
	char many[512] = "";
	for (unsigned i = 0; i <= CONFIG_CHANNELS_MAX; i++)
		snprintf(many + strlen(many), sizeof(many) - strlen(many), "[[vm.channel]]\nname='%u'\npeer='b'\n", i);
	assert_int_equal(read_vm(many), 1);
	assert_non_null(strstr(messages, "more than 4"));
}

static void config_read__disks__device_of_the_host(void **state)
{
	(void)state;
	assert_int_equal(read_vm("[[vm.disk]]\ndevice='00:04.0'\npartition=2\n"), 0);
	assert_string_equal(config.vm[0].disk[0].device, "00:04.0");
	assert_null(config.vm[0].disk[0].module);
	assert_int_equal(config.vm[0].disk[0].partition, 2);
}

static void config_read__disks__errors(void **state)
{
	(void)state;
	assert_one_error(read_vm("[[vm.disk]]\n"), "hilum.toml:4: vm.disk: needs one of module and device");
	assert_one_error(read_vm("[[vm.disk]]\nmodule='m'\ndevice='00:04.0'\n"), "hilum.toml:4: vm.disk: needs one of module and device");
	assert_one_error(read_vm("[[vm.disk]]\ndevice='123456789012345678901'\n"),
	                 "hilum.toml:5: vm.disk.device: has 21 bytes, must have 1 to 20");
	assert_one_error(read_vm("[[vm.disk]]\nmodule='m'\nserail='x'\n"),
	                 "hilum.toml:6: vm.disk.serail: unknown key (did you mean serial?)");
	assert_one_error(read_vm("[[vm.disk]]\nmodule='m'\nserial='123456789012345678901'\n"),
	                 "hilum.toml:6: vm.disk.serial: has 21 bytes, must have 1 to 20");
	assert_one_error(read_vm("[[vm.disk]]\nmodule='m'\npartition=1\npartlabel='x'\n"),
	                 "hilum.toml:4: vm.disk: partition, partlabel and partuuid exclude each other");
	assert_one_error(read_vm("[[vm.disk]]\nmodule='m'\npartuuid='0fc63daf-8483-4772-8e79-3d69d8477de'\n"),
	                 "hilum.toml:6: vm.disk.partuuid: \"0fc63daf-8483-4772-8e79-3d69d8477de\" is not a GUID such as "
	                 "\"0fc63daf-8483-4772-8e79-3d69d8477de4\"");
	assert_one_error(read_vm("disk = 'm'\n"), "hilum.toml:4: vm.disk: must be written [[vm.disk]], one for each");
	assert_one_error(read_vm("disk = ['m']\n"), "hilum.toml:4: vm.disk: must be a table, [[vm.disk]]");
	assert_one_error(read_vm("disk = [{module='a'},{module='a'},{module='a'},{module='a'},{module='a'},{module='a'},"
	                         "{module='a'},{module='a'},{module='a'}]\n"),
	                 "hilum.toml:4: vm.disk: more than 8");
	assert_int_equal(config.vm_count, 0);
}

static void config_read__rates__as_xl_writes_them(void **state)
{
	static const struct {
		const char *text;
		uint64_t bytes;
	} rates[] = {
		{ "1B/s", 1 },
		{ "8b/s", 1 },
		{ "100KB/s", 100000 },
		{ "10Mb/s", 1250000 },
		{ "1Gb/s", 125000000 },
		{ "1000GB/s", 1000000000000 },
		{ "7b/s", 0 },
		{ "1001GB/s", 0 },
		{ "1", 0 },
		{ "B/s", 0 },
		{ "1 MB/s", 0 },
		{ "1TB/s", 0 },
		{ "99999999999999999999GB/s", 0 },
		{ "-1B/s", 0 },
		{ "1MB", 0 },
		{ "0MB/s", 0 },
	};
	char text[100];

	(void)state;
	for (unsigned i = 0; i < sizeof(rates) / sizeof(*rates); i++) {
		snprintf(text, sizeof(text), "[[vm.nic]]\nrate = '%s'\n", rates[i].text);
		assert_int_equal(read_vm(text), rates[i].bytes == 0);
		if (rates[i].bytes != 0)
			assert_int_equal(config.vm[0].nic[0].rate, rates[i].bytes);
	}
	assert_int_equal(read_vm("[[vm.nic]]\nrate = 5\n"), 1);
}

static void config_read__nics__every_key_and_the_defaults(void **state)
{
	static const uint8_t mac[6] = { 0x02, 0xAB, 0, 0, 0, 0xfe }, ip4[4] = { 10, 0, 255, 5 };
	static const uint8_t ip6[16] = { 0xFD, 0, 0, 1, [15] = 5 }, any[16] = { 0 };

	(void)state;
	assert_int_equal(read_vm("[[vm.nic]]\n[[vm.nic]]\nmac='02:aB:00:00:00:fe'\nbridge='lan'\ntenant='blue'\nvlan=4094\n"
	                         "trunk=true\nip=['10.0.255.5', 'fd00:1::5', '::']\nmtu=9000\nnum_queues=4\noffload=false\n"),
	                 0);
	const struct config_nic *nic = config.vm[0].nic;
	assert_int_equal(config.vm[0].nic_count, 2);
	assert_string_equal(nic[0].bridge, CONFIG_BRIDGE_NAME);
	assert_null(nic[0].tenant);
	assert_int_equal(nic[0].mtu, 1500);
	assert_int_equal(nic[0].num_queues, 1);
	assert_true(nic[0].offload);
	assert_int_equal(nic[0].mac[0], 2);
	assert_int_equal(nic[0].ip4s + nic[0].ip6s + nic[0].vlan + nic[0].rate + nic[0].trunk + nic[0].spoof, 0);
	assert_memory_equal(nic[1].mac, mac, 6);
	assert_string_equal(nic[1].bridge, "lan");
	assert_string_equal(nic[1].tenant, "blue");
	assert_int_equal(nic[1].vlan, 4094);
	assert_true(nic[1].trunk);
	assert_false(nic[1].offload);
	assert_int_equal(nic[1].ip4s, 1);
	assert_int_equal(nic[1].ip6s, 2);
	assert_memory_equal(nic[1].ip4[0], ip4, 4);
	assert_memory_equal(nic[1].ip6[0], ip6, 16);
	assert_memory_equal(nic[1].ip6[1], any, 16);
}

static void config_read__uplinks__every_key_and_the_errors(void **state)
{
	(void)state;
	assert_int_equal(read_text("[[nic]]\ndevice='00:1f.6'\n[[nic]]\ndevice='52:54:00:AA:bb:01'\nbridge='lab'\nvlan=7\ntrunk=true\n"),
	                 0);
	assert_int_equal(config.uplink_count, 2);
	assert_string_equal(config.uplink[0].device, "00:1f.6");
	assert_string_equal(config.uplink[0].bridge, "default");
	assert_string_equal(config.uplink[1].bridge, "lab");
	assert_int_equal(config.uplink[1].vlan, 7);
	assert_true(config.uplink[1].trunk && !config.uplink[0].trunk);
	assert_one_error(read_text("[[nic]]\nbridge='x'\n"), "hilum.toml:1: nic.device: missing");
	static const char *const bad[] = { "eth0", "00:1f.8", "00:1f", "0:1f.0", "00:1g.0", "00:1f.0 ", "52:54:00:00:00", "00-1f.0" };
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		char text[80];
		snprintf(text, sizeof(text), "[[nic]]\ndevice='%s'\n", bad[i]);
		assert_int_equal(read_text(text), 1);
		assert_int_equal(config.uplink_count, 0);
	}
	assert_int_equal(read_text("[[nic]]\ndevice='0000:03:00.0'\nvlna=3\n"), 1);
	assert_int_equal(read_text("nic = 3\n"), 1);
}

static void config_read__uplink_by_nat__its_keys_and_the_errors(void **state)
{
	(void)state;
	assert_int_equal(
		read_text("[[nic]]\nmode='nat'\n[[nic]]\ndevice='00:03.0'\nmode='nat'\nsubnet='192.168.50.0/26'\nip='203.0.113.5/24'\n"
	                  "gateway='203.0.113.1'\ndns='9.9.9.9'\n"),
		0);
	assert_int_equal(config.uplink_count, 2);
	assert_null(config.uplink[0].device);
	assert_int_equal(config.uplink[0].mode, CONFIG_UPLINK_NAT);
	assert_int_equal(config.uplink[0].subnet.address, 0x0A006400);
	assert_int_equal(config.uplink[0].subnet.prefix, 24);
	assert_int_equal(config.uplink[0].ip.prefix, 0);
	assert_int_equal(config.uplink[1].subnet.address, 0xC0A83200);
	assert_int_equal(config.uplink[1].subnet.prefix, 26);
	assert_int_equal(config.uplink[1].ip.address, 0xCB007105);
	assert_int_equal(config.uplink[1].ip.prefix, 24);
	assert_int_equal(config.uplink[1].gateway, 0xCB007101);
	assert_int_equal(config.uplink[1].dns, 0x09090909);
	assert_one_error(read_text("[[nic]]\nmode='natt'\n"), "hilum.toml:2: nic.mode: \"natt\" is not \"bridge\" or \"nat\"");
	assert_one_error(read_text("[[nic]]\ndevice='00:03.0'\nsubnet='10.1.2.0/24'\n"),
	                 "hilum.toml:1: nic: subnet, ip, gateway and dns need mode = \"nat\"");
	assert_one_error(read_text("[[nic]]\nmode='nat'\ntrunk=true\n"),
	                 "hilum.toml:1: nic: trunk = true and mode = \"nat\" exclude each other");
	assert_one_error(read_text("[[nic]]\nmode='nat'\ndns='9.9.9.9'\n"),
	                 "hilum.toml:1: nic: gateway and dns need ip; without it they come by DHCP");
	assert_one_error(read_text("[[nic]]\nmode='nat'\nip='10.0.0.2/8'\n"), "hilum.toml:1: nic.subnet: overlaps the network of ip");
	assert_one_error(read_text("[[nic]]\nmode='nat'\nip='192.168.1.2/24'\ngateway='192.168.2.1'\n"),
	                 "hilum.toml:1: nic.gateway: is not in the network of ip");
	static const char *const bad[] = { "10.0.0.0",     "10.0.0.0/",    "10.0.0.0/23",          "10.0.0.0/30", "10.0.0/24",
		                           "10.0.0.0/24x", "10.0.0.0/024", "10.0.0.0/99999999999", "/24",         "255.255.255.2555/24" };
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		char text[80];
		snprintf(text, sizeof(text), "[[nic]]\nmode='nat'\nsubnet='%s'\n", bad[i]);
		assert_int_equal(read_text(text), 1);
		assert_int_equal(config.uplink_count, 0);
	}
}

static void config_read__api__defaults_and_keys(void **state)
{
	(void)state;
	assert_int_equal(read_text(""), 0);
	assert_true(config.api.enabled);
	assert_int_equal(config.api.port, 443);
	assert_int_equal(config.api.ip.prefix, 0);
	assert_string_equal(config.api.name, "hilum");
	assert_int_equal(read_text("[api]\nip='10.0.2.20/24'\ngateway='10.0.2.2'\ndns='9.9.9.9'\nport=8443\nname='rack-3'\n"), 0);
	assert_int_equal(config.api.ip.address, 0x0A000214);
	assert_int_equal(config.api.ip.prefix, 24);
	assert_int_equal(config.api.gateway, 0x0A000202);
	assert_int_equal(config.api.dns, 0x09090909);
	assert_int_equal(config.api.port, 8443);
	assert_string_equal(config.api.name, "rack-3");
}

static void config_read__api_errors__told_and_the_rest_counts(void **state)
{
	static const char *const bad[] = { "ip='10.0.2.20'",
		                           "ip='10.0.2.20/31'",
		                           "ip=5",
		                           "gateway='10.0.2.2'",
		                           "dns='10.0.2.2'",
		                           "port=0",
		                           "port=65536",
		                           "name=''",
		                           "name='-a'",
		                           "name='a-'",
		                           "name='a.b'",
		                           "name=7",
		                           "enabled='yes'",
		                           "ports=1",
		                           "name='aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa'",
		                           "ip='10.0.2.20/24'\ngateway='10.0.3.1'" };
	char text[160];

	(void)state;
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		snprintf(text, sizeof(text), "[api]\n%s\n", bad[i]);
		assert_int_equal(read_text(text), 1);
		assert_true(config.api.enabled);
		assert_int_equal(config.api.port, 443);
		assert_string_equal(config.api.name, "hilum");
		assert_int_equal(config.api.gateway, 0);
	}
	assert_int_equal(read_text("api=3\n"), 1);
	assert_true(config.api.enabled);
}

static void config_read__no_network_plan__default_bridge_gets_nat(void **state)
{
	(void)state;
	assert_int_equal(read_text("[[vm]]\nname='a'\nkernel='k'\n[[vm.nic]]\n"), 0);
	assert_int_equal(config.uplink_count, 1);
	assert_null(config.uplink[0].device);
	assert_int_equal(config.uplink[0].mode, CONFIG_UPLINK_NAT);
	assert_string_equal(config.uplink[0].bridge, "default");
	assert_int_equal(config.uplink[0].subnet.address, 0x0A006400);
	assert_int_equal(read_text("[[vm]]\nname='a'\nkernel='k'\n"), 0);
	assert_int_equal(config.uplink_count, 0);
	assert_int_equal(read_text("[[vm]]\nname='a'\nkernel='k'\n[[vm.nic]]\nbridge='lab'\n"), 0);
	assert_int_equal(config.uplink_count, 0);
	assert_int_equal(read_text("nic=[]\n[[vm]]\nname='a'\nkernel='k'\n[[vm.nic]]\n"), 0);
	assert_int_equal(config.uplink_count, 0);
	/* A plan with an error in it is a plan: nobody is let out by mistake. */
	assert_int_equal(read_text("[[vm]]\nname='a'\nkernel='k'\n[[vm.nic]]\n[[nic]]\ndevice='eth0'\n"), 1);
	assert_int_equal(config.uplink_count, 0);
	assert_int_equal(read_text("nic=3\n[[vm]]\nname='a'\nkernel='k'\n[[vm.nic]]\n"), 1);
	assert_int_equal(config.uplink_count, 0);
}

static void config_read__addresses__good_and_bad(void **state)
{
	static const char *const good[] = { "0.0.0.0",         "255.255.255.255", "::1", "1::", "1:2:3:4:5:6:7:8", "1::8", "ABCD:ef01::",
		                            "1:2:3:4:5:6:7::", "::2:3:4:5:6:7:8" };
	static const char *const bad[] = { "",
		                           "1.2.3",
		                           "1.2.3.4.5",
		                           "256.1.1.1",
		                           "01.2.3.4",
		                           "1.2.3.4 ",
		                           "1..2.3",
		                           ":",
		                           ":::",
		                           "1:2",
		                           "1:2:3:4:5:6:7:8:9",
		                           "1::2::3",
		                           "12345::",
		                           ":1::",
		                           "1:2:3:4:5:6:7:8::",
		                           "g::",
		                           "1:",
		                           "::1:",
		                           "::1.2.3.4",
		                           "1:2:3:4:5:6:7:" };
	static const char *const macs[] = { "02:00:00:00:00",   "02:00:00:00:00:00:00", "0200:00:00:00:00",  "02:00:00:00:00:0",
		                            "2:0:0:0:0:0",      "01:00:00:00:00:01",    "02-00-00-00-00-01", "",
		                            "02:00:00:00:00:0g" };
	char text[100];

	(void)state;
	for (unsigned i = 0; i < sizeof(good) / sizeof(*good); i++) {
		snprintf(text, sizeof(text), "[[vm.nic]]\nip = ['%s']\n", good[i]);
		assert_int_equal(read_vm(text), 0);
	}
	for (unsigned i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		snprintf(text, sizeof(text), "[[vm.nic]]\nip = ['%s']\n", bad[i]);
		assert_int_equal(read_vm(text), 1);
	}
	for (unsigned i = 0; i < sizeof(macs) / sizeof(*macs); i++) {
		snprintf(text, sizeof(text), "[[vm.nic]]\nmac = '%s'\n", macs[i]);
		assert_int_equal(read_vm(text), 1);
	}
	assert_int_equal(read_vm("[[vm.nic]]\nip = ['1.1.1.1', '1.1.1.2', '1.1.1.3', '1.1.1.4']\n"), 1);
	assert_int_equal(read_vm("[[vm.nic]]\nip = []\n"), 1);
	assert_int_equal(read_vm("[[vm.nic]]\nip = ['1.1.1.1']\nspoof = true\n"), 1);
}

static void config_read__addresses_of_cards__fixed_and_each_only_once(void **state)
{
	uint8_t first[6];

	(void)state;
	assert_int_equal(read_vm("[[vm.nic]]\n[[vm.nic]]\n"), 0);
	memcpy(first, config.vm[0].nic[0].mac, 6);
	assert_memory_not_equal(first, config.vm[0].nic[1].mac, 6);
	assert_int_equal(first[0] & 3, 2);
	assert_int_equal(read_vm("memory = '64M'\n[[vm.nic]]\n"), 0);
	assert_memory_equal(first, config.vm[0].nic[0].mac, 6);
	assert_one_error(read_text("[[vm]]\nname='a'\nkernel='k'\n[[vm.nic]]\nmac='02:00:00:00:00:01'\n"
	                           "[[vm]]\nname='b'\nkernel='k'\n[[vm.nic]]\n[[vm.nic]]\nmac='02:00:00:00:00:01'\n"),
	                 "hilum.toml:10: vm.nic: VM \"a\" has a card with the same address: give this one another mac");
	assert_int_equal(config.vm_count, 1);
}

static void config_read__rng_balloon_packed__stored_and_checked(void **state)
{
	(void)state;
	assert_int_equal(read_vm(""), 0);
	assert_true(config.vm[0].balloon_bytes == CONFIG_NO_BALLOON && !config.vm[0].rng && !config.vm[0].packed);
	assert_int_equal(read_vm("rng = true\npacked = true\nballoon = '64M'\n"), 0);
	assert_true(config.vm[0].balloon_bytes == 64ull << 20 && config.vm[0].rng && config.vm[0].packed);
	assert_int_equal(read_vm("balloon = '0K'\n"), 0);
	assert_int_equal(config.vm[0].balloon_bytes, 0);
	assert_one_error(read_vm("balloon = '256M'\n"), "hilum.toml:4: vm.balloon: is not smaller than memory");
	assert_one_error(read_vm("balloon = '5K'\n"), "hilum.toml:4: vm.balloon: \"5K\" is not a multiple of 4K up to 1T");
	assert_one_error(read_vm("balloon = '64'\n"),
	                 "hilum.toml:4: vm.balloon: \"64\" is not a size: write a number and K, M, G or T, as in \"256M\"");
}

static void config_read__schedule__limits_fit_the_vcpus(void **state)
{
	(void)state;
	assert_int_equal(read_vm("vcpus = 2\ncap = 200\nreservation = 200\ncpus = 'all'\n"), 0);
	assert_int_equal(config.vm[0].cpus, 0);
	assert_one_error(read_vm("vcpus = 2\ncap = 201\n"), "hilum.toml:5: vm.cap: 201 is more than its vCPUs can use (200)");
	assert_one_error(read_vm("reservation = 101\n"), "hilum.toml:4: vm.reservation: 101 is more than its vCPUs can use (100)");
	assert_one_error(read_vm("cap = 20\nreservation = 21\n"), "hilum.toml:5: vm.reservation: is more than cap allows (20)");
	assert_one_error(read_vm("cap = 6401\n"), "hilum.toml:4: vm.cap: 6401 is out of range (0 to 6400)");
}

static void config_read__dedicated__wants_cores_and_no_limits(void **state)
{
	(void)state;
	assert_int_equal(read_vm("vcpus = 2\ncpus = '1-3'\ndedicated = true\n"), 0);
	assert_true(config.vm[0].dedicated);
	assert_one_error(read_vm("dedicated = true\nvcpus = 2\ncpus = '1'\n"),
	                 "hilum.toml:4: vm.dedicated: needs a core in cpus for each vCPU: 1 of 2 are there");
	assert_one_error(read_vm("dedicated = true\ncpus = '1'\ncap = 50\n"), "hilum.toml:6: vm.cap: does not go with dedicated = true");
	assert_one_error(read_vm("dedicated = true\ncpus = '1'\nreservation = 50\n"),
	                 "hilum.toml:6: vm.reservation: does not go with dedicated = true");
}

/* Text of a table of JSON for config_read_schedule, on a VM with 2 vCPUs and cap = 50. */
static unsigned change(const char *text, struct config_vm *vm)
{
	const struct config_report report = { .error = collect };
	static uint8_t memory[4096];
	struct toml_arena here = { .base = memory, .bytes = sizeof(memory) };
	struct toml_error error;
	const struct toml_value *table = toml_parse(text, strlen(text), &here, &error);

	assert_non_null(table);
	*vm = (struct config_vm){ .vcpus = 2, .weight = 7, .cap = 50, .cpus = 3 };
	messages[0] = '\0';
	return config_read_schedule(table, &report, vm);
}

static void config_read_schedule__some_keys__the_others_stay(void **state)
{
	struct config_vm vm;

	(void)state;
	assert_int_equal(change("", &vm), 0);
	assert_int_equal(change("weight = 9\n", &vm), 0);
	assert_true(vm.weight == 9 && vm.cap == 50 && vm.cpus == 3);
	assert_int_equal(change("cap = 0\nreservation = 60\ncpus = 'all'\n", &vm), 0);
	assert_true(vm.weight == 7 && vm.cap == 0 && vm.reservation == 60 && vm.cpus == 0);
}

static void config_read_schedule__any_error__nothing_changes(void **state)
{
	struct config_vm vm;

	(void)state;
	assert_int_equal(change("weight = 9\nreservation = 60\n", &vm), 1);
	assert_true(vm.weight == 7 && vm.reservation == 0);
	assert_int_equal(change("weight = 9\nvcpus = 1\n", &vm), 1);
	assert_int_equal(change("weight = 9\ncap = -1\n", &vm), 1);
	assert_int_equal(change("dedicated = true\n", &vm), 1);
	assert_true(vm.weight == 7 && vm.cap == 50 && !vm.dedicated);
}

static int tear_down(void **state)
{
	(void)state;
	free(arena_memory);
	arena_memory = NULL;
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(config_read__minimal_vm__has_the_defaults),
		cmocka_unit_test(config_read__every_key__is_stored),
		cmocka_unit_test(config_read__unknown_key__names_line_and_suggests),
		cmocka_unit_test(config_read__wrong_type__says_what_it_must_be),
		cmocka_unit_test(config_read__out_of_range__says_the_range),
		cmocka_unit_test(config_read__memory__accepts_multiples_of_2m_only),
		cmocka_unit_test(config_read__cpus__accepts_lists_and_ranges),
		cmocka_unit_test(config_read__name__is_checked),
		cmocka_unit_test(config_read__missing_key__is_an_error_at_the_table),
		cmocka_unit_test(config_read__duplicate_name__names_the_first),
		cmocka_unit_test(config_read__one_bad_vm__leaves_the_others),
		cmocka_unit_test(config_read__bad_global_key__keeps_its_default),
		cmocka_unit_test(config_read__console_without_serial__is_virtio_or_an_error),
		cmocka_unit_test(config_read__syntax_error__names_line_and_column_and_leaves_nothing),
		cmocka_unit_test(config_read__too_many_vms__keeps_the_first),
		cmocka_unit_test(config_read__very_long_key__is_reported_in_bounds),
		cmocka_unit_test(config_read__disks__every_key_and_the_defaults),
		cmocka_unit_test(config_read__channels__every_key_and_the_defaults),
		cmocka_unit_test(config_read__channels__errors_name_the_key),
		cmocka_unit_test(config_read__disks__device_of_the_host),
		cmocka_unit_test(config_read__disks__errors),
		cmocka_unit_test(config_read__rates__as_xl_writes_them),
		cmocka_unit_test(config_read__nics__every_key_and_the_defaults),
		cmocka_unit_test(config_read__uplinks__every_key_and_the_errors),
		cmocka_unit_test(config_read__uplink_by_nat__its_keys_and_the_errors),
		cmocka_unit_test(config_read__api__defaults_and_keys),
		cmocka_unit_test(config_read__api_errors__told_and_the_rest_counts),
		cmocka_unit_test(config_read__no_network_plan__default_bridge_gets_nat),
		cmocka_unit_test(config_read__addresses__good_and_bad),
		cmocka_unit_test(config_read__addresses_of_cards__fixed_and_each_only_once),
		cmocka_unit_test(config_read__rng_balloon_packed__stored_and_checked),
		cmocka_unit_test(config_read__schedule__limits_fit_the_vcpus),
		cmocka_unit_test(config_read__dedicated__wants_cores_and_no_limits),
		cmocka_unit_test(config_read_schedule__some_keys__the_others_stay),
		cmocka_unit_test(config_read_schedule__any_error__nothing_changes),
	};

	return cmocka_run_group_tests(tests, NULL, tear_down);
}
