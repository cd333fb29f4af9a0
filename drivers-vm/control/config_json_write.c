/* A VM's definition as JSON. */
#include "drivers-vm/control/config_json_write.h"

#include <inttypes.h>
#include <stdio.h>

static void put_optional(struct json_out *json, const char *key, const char *value)
{
	if (value != NULL)
		json_put_string(json, key, value);
}

static void put_nonzero(struct json_out *json, const char *key, uint64_t value)
{
	if (value != 0)
		json_put_uint(json, key, value);
}

/* By the largest unit of which it is a multiple. */
static void put_size(struct json_out *json, const char *key, uint64_t bytes)
{
	static const char units[] = "KMGT";
	unsigned unit = 3;
	char text[24];

	while (unit != 0 && (bytes == 0 || bytes % (1024ull << (10 * unit)) != 0))
		unit--;
	snprintf(text, sizeof(text), "%" PRIu64 "%c", bytes >> (10 * unit + 10), units[unit]);
	json_put_string(json, key, text);
}

static void put_rate(struct json_out *json, const char *key, uint64_t rate)
{
	static const char *const units[] = { "", "K", "M", "G" };
	unsigned unit = 0;
	char text[32];

	if (rate == 0)
		return;
	for (; unit < 3 && rate % 1000 == 0; unit++)
		rate /= 1000;
	snprintf(text, sizeof(text), "%" PRIu64 "%sB/s", rate, units[unit]);
	json_put_string(json, key, text);
}

/* "0-3,6"; "all" */
static void put_cores(struct json_out *json, uint64_t mask)
{
	char text[200];
	size_t used = 0;

	snprintf(text, sizeof(text), "all");
	for (unsigned core = 0; core < 64; core++) {
		unsigned last = core;

		if ((mask >> core & 1) == 0)
			continue;
		while (last < 63 && (mask >> (last + 1) & 1) != 0)
			last++;
		used += (size_t)snprintf(text + used, sizeof(text) - used, last == core ? "%s%u" : "%s%u-%u", used == 0 ? "" : ",", core,
		                         last);
		core = last;
	}
	json_put_string(json, "cpus", text);
}

static void write_disk(struct json_out *json, const struct config_disk *disk)
{
	json_open(json, '{');
	put_optional(json, "module", disk->module);
	put_optional(json, "device", disk->device);
	json_put_bool(json, "readonly", disk->readonly);
	put_optional(json, "serial", disk->serial);
	put_nonzero(json, "partition", disk->partition);
	put_optional(json, "partlabel", disk->partlabel);
	put_optional(json, "partuuid", disk->partuuid);
	json_put_uint(json, "num_queues", disk->num_queues);
	put_nonzero(json, "iops", disk->iops);
	put_rate(json, "bandwidth", disk->bandwidth);
	json_close(json, '}');
}

static void write_ips(struct json_out *json, const struct config_nic *nic)
{
	char text[48];

	if (nic->ip4s + nic->ip6s == 0)
		return;
	json_open_member(json, "ip", '[');
	for (unsigned i = 0; i < nic->ip4s; i++) {
		const uint8_t *ip = nic->ip4[i];

		snprintf(text, sizeof(text), "%u.%u.%u.%u", ip[0], ip[1], ip[2], ip[3]);
		json_string(json, text);
	}
	for (unsigned i = 0; i < nic->ip6s; i++) {
		size_t used = 0;

		for (unsigned k = 0; k < 16; k += 2)
			used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%x", k == 0 ? "" : ":",
			                         (unsigned)nic->ip6[i][k] << 8 | nic->ip6[i][k + 1]);
		json_string(json, text);
	}
	json_close(json, ']');
}

static void write_nic(struct json_out *json, const struct config_nic *nic)
{
	const uint8_t *mac = nic->mac;
	char text[24];

	snprintf(text, sizeof(text), "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]);
	json_open(json, '{');
	if (nic->has_mac) /* one that was made is made again */
		json_put_string(json, "mac", text);
	json_put_string(json, "bridge", nic->bridge);
	put_optional(json, "tenant", nic->tenant);
	put_nonzero(json, "vlan", nic->vlan);
	json_put_bool(json, "trunk", nic->trunk);
	json_put_bool(json, "spoof", nic->spoof);
	write_ips(json, nic);
	put_rate(json, "rate", nic->rate);
	json_put_uint(json, "mtu", nic->mtu);
	json_put_uint(json, "num_queues", nic->num_queues);
	json_put_bool(json, "offload", nic->offload);
	json_close(json, '}');
}

static void write_channels(struct json_out *json, const struct config_vm *vm)
{
	if (vm->channel_count == 0)
		return;
	json_open_member(json, "channel", '[');
	for (unsigned i = 0; i < vm->channel_count; i++) {
		json_open(json, '{');
		json_put_string(json, "name", vm->channel[i].name);
		json_put_string(json, "peer", vm->channel[i].peer);
		put_size(json, "size", vm->channel[i].bytes);
		json_close(json, '}');
	}
	json_close(json, ']');
}

static void write_devices(struct json_out *json, const struct config_vm *vm)
{
	json_open_member(json, "disk", '[');
	for (unsigned i = 0; i < vm->disk_count; i++)
		write_disk(json, &vm->disk[i]);
	json_close(json, ']');
	json_open_member(json, "nic", '[');
	for (unsigned i = 0; i < vm->nic_count; i++)
		write_nic(json, &vm->nic[i]);
	json_close(json, ']');
	write_channels(json, vm);
}

void config_write_schedule(struct json_out *json, const struct config_vm *vm, bool all)
{
	json_put_uint(json, "weight", vm->weight);
	if (all || vm->cap != 0)
		json_put_uint(json, "cap", vm->cap);
	if (all || vm->reservation != 0)
		json_put_uint(json, "reservation", vm->reservation);
	if (all || vm->cpus != 0)
		put_cores(json, vm->cpus);
	json_put_bool(json, "dedicated", vm->dedicated);
}

/* Not those that follow from other keys: who changes one of these wants them to follow still. */
static void put_limits(struct json_out *json, const struct config_vm *vm)
{
	if (vm->memory_max != vm->memory_bytes)
		put_size(json, "memory_max", vm->memory_max);
	if (vm->memory_min != config_default_memory_min(vm))
		put_size(json, "memory_min", vm->memory_min);
}

void config_write_json(struct json_out *json, const struct config_vm *vm)
{
	static const char *const consoles[] = { "serial", "virtio" }, *const profiles[] = { "kvm", "bare" };
	static const char *const actions[] = { "destroy", "restart", "preserve", "coredump-destroy", "coredump-restart" };
	static const char *const watchdogs[] = { "none", "wdat" };
	static const char *const on_watchdog[] = { "reset", "poweroff", "pause", "inject-nmi", "none" };

	json_open(json, '{');
	json_put_string(json, "kernel", vm->kernel);
	put_optional(json, "initrd", vm->initrd);
	json_put_string(json, "cmdline", vm->cmdline);
	put_size(json, "memory", vm->memory_bytes);
	json_put_bool(json, "prefault", vm->prefault);
	json_put_bool(json, "hugepages", vm->hugepages);
	json_put_uint(json, "vcpus", vm->vcpus);
	json_put_uint(json, "vcpus_max", vm->vcpus_max);
	config_write_schedule(json, vm, false);
	json_put_bool(json, "serial", vm->serial);
	json_put_string(json, "console", consoles[vm->console]);
	put_nonzero(json, "debug_exit", vm->debug_exit);
	put_nonzero(json, "debug_crash", vm->debug_crash);
	json_put_bool(json, "rng", vm->rng);
	if (vm->balloon_bytes != CONFIG_NO_BALLOON)
		put_size(json, "balloon", vm->balloon_bytes);
	put_limits(json, vm);
	json_put_bool(json, "share", vm->share);
	put_optional(json, "tenant", vm->tenant);
	json_put_bool(json, "packed", vm->packed);
	json_put_string(json, "profile", profiles[vm->profile]);
	json_put_string(json, "on_poweroff", actions[vm->on_poweroff]);
	json_put_string(json, "on_reboot", actions[vm->on_reboot]);
	json_put_string(json, "on_crash", actions[vm->on_crash]);
	json_put_string(json, "watchdog", watchdogs[vm->watchdog]);
	json_put_string(json, "on_watchdog", on_watchdog[vm->on_watchdog]);
	if (vm->autostart != CONFIG_AUTOSTART_BY_FILE)
		json_put_bool(json, "autostart", vm->autostart == CONFIG_AUTOSTART_YES);
	write_devices(json, vm);
	json_close(json, '}');
}
