/*
 * hilum.toml: the schema and its checks. Pure: text in, struct config out, complaints through a callback.
 * docs/configuration.md is the reference for the people who write the file; `hilum check` runs this same code
 * on a workstation.
 */
#ifndef DRIVERS_VM_CONTROL_CONFIG_H
#define DRIVERS_VM_CONTROL_CONFIG_H

#include "drivers-vm/control/toml.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CONFIG_VMS_MAX      512u
#define CONFIG_NAME_BYTES   32u /* with the NUL; the kernel's limit for a VM's name */
#define CONFIG_MODULE_BYTES 48u /* with the NUL; the kernel's limit for a module's name */
#define CONFIG_DISKS_MAX    8u
#define CONFIG_NICS_MAX     4u
#define CONFIG_CHANNELS_MAX 4u
#define CONFIG_UPLINKS_MAX  8u
#define CONFIG_NIC_IPS_MAX  3u  /* of each kind */
#define CONFIG_SERIAL_BYTES 21u /* with the NUL; virtio's limit */
#define CONFIG_LABEL_BYTES  37u /* with the NUL; GPT's limit, and just a GUID's length */
#define CONFIG_MESSAGE_MAX  240
#define CONFIG_BRIDGE_NAME  "default" /* of the switch that a card is joined to that names none */
#define CONFIG_NO_BALLOON   UINT64_MAX
#define CONFIG_LOG_NAME     "hilum" /* the log's name among the consoles; no VM may have it */

/* A value takes at most 72 bytes of arena and at least two of text; strings take as much as they have. */
#define CONFIG_ARENA_BYTES(length) (40 * (length) + 4096)

enum config_last_exit {
	CONFIG_LAST_EXIT_STAY,
	CONFIG_LAST_EXIT_POWEROFF,
};

enum config_devices {
	CONFIG_DEVICES_AUTO, /* disks and network cards */
	CONFIG_DEVICES_ALL,
	CONFIG_DEVICES_NONE,
};

enum config_console {
	CONFIG_CONSOLE_SERIAL,
	CONFIG_CONSOLE_VIRTIO,
};

enum config_profile {
	CONFIG_PROFILE_KVM,  /* KVM-compatible paravirtual CPUID leaves */
	CONFIG_PROFILE_BARE, /* none */
};

enum config_action {
	CONFIG_ACTION_DESTROY,
	CONFIG_ACTION_RESTART,
	CONFIG_ACTION_PRESERVE,
	CONFIG_ACTION_COREDUMP_DESTROY, /* its memory and registers are kept as a core file; then as DESTROY, */
	CONFIG_ACTION_COREDUMP_RESTART, /* or as RESTART */
};

enum config_watchdog {
	CONFIG_WATCHDOG_NONE,
	CONFIG_WATCHDOG_WDAT, /* described by ACPI's table of that name */
};

/* When the guest has not touched its watchdog in time. */
enum config_on_watchdog {
	CONFIG_ON_WATCHDOG_RESET,
	CONFIG_ON_WATCHDOG_POWEROFF,
	CONFIG_ON_WATCHDOG_PAUSE,
	CONFIG_ON_WATCHDOG_INJECT_NMI,
	CONFIG_ON_WATCHDOG_NONE,
};

/* Whether a VM is started when the machine is. */
enum config_autostart {
	CONFIG_AUTOSTART_BY_FILE, /* if hilum.toml names it */
	CONFIG_AUTOSTART_NO,
	CONFIG_AUTOSTART_YES,
};

/* [[vm.disk]] */
struct config_disk {
	const char *module; /* boot module that is the medium, or NULL */
	const char *device; /* of the host's: PCI address or serial number; or NULL */
	bool readonly;
	const char *serial;               /* or NULL */
	uint32_t partition;               /* its number, or zero */
	const char *partlabel, *partuuid; /* or NULL */
	uint32_t num_queues;
	uint32_t iops;      /* limit, or zero */
	uint64_t bandwidth; /* limit in bytes a second, or zero */
	uint32_t line;
};

/* [[vm.nic]] */
struct config_nic {
	uint8_t mac[6];     /* given, or made from the VM's name and the card's place */
	const char *bridge; /* name of the switch that it is joined to */
	const char *tenant; /* or NULL */
	uint32_t vlan;      /* or zero */
	bool trunk, spoof;
	bool offload; /* checksums and TCP segmentation are left to whoever can do them */
	uint32_t ip4s, ip6s;
	uint8_t ip4[CONFIG_NIC_IPS_MAX][4], ip6[CONFIG_NIC_IPS_MAX][16];
	uint64_t rate; /* limit in bytes a second, or zero */
	uint32_t mtu;
	uint32_t num_queues; /* pairs */
	bool has_mac;
	uint32_t line;
};

/* [[vm.channel]]: there if the other VM declares it, too, with this one as its peer and the same size */
struct config_channel {
	char name[CONFIG_NAME_BYTES], peer[CONFIG_NAME_BYTES]; /* peer: the other VM's name */
	uint64_t bytes;
	uint32_t line;
};

enum config_uplink_mode {
	CONFIG_UPLINK_BRIDGE,
	CONFIG_UPLINK_NAT, /* guests share the uplink's address */
};

/* An IPv4 address as a number, and the length of its network's prefix. */
struct config_subnet {
	uint32_t address, prefix; /* both zero: not given */
};

/* [[nic]]: a network card of the machine as an uplink */
struct config_uplink {
	const char *device; /* PCI address, or MAC address in any case; or NULL, of CONFIG_UPLINK_NAT: the first that is free */
	const char *bridge;
	uint32_t vlan; /* or zero */
	bool trunk;
	enum config_uplink_mode mode;
	/* Of CONFIG_UPLINK_NAT. */
	struct config_subnet subnet; /* the guests' */
	struct config_subnet ip;     /* at the uplink; or by DHCP */
	uint32_t gateway, dns;       /* there, or zero */
	uint32_t line;
};

struct config_vm {
	char name[CONFIG_NAME_BYTES];
	const char *kernel;  /* module name */
	const char *initrd;  /* module name, or NULL */
	const char *cmdline; /* empty if not given */
	uint64_t memory_bytes;
	uint32_t vcpus;
	uint32_t vcpus_max; /* as many can be there while it runs; at least `vcpus` */
	uint32_t weight;
	uint64_t cpus;             /* bit n: may run on host core n; zero: on any */
	uint32_t cap, reservation; /* percent of one core for all its vCPUs together; zero: none */
	bool dedicated;            /* the first cores of `cpus`, one for each vCPU, are its alone */
	bool prefault;             /* all memory at start; else on first access */
	bool hugepages;            /* back it with 2 MiB and 1 GiB pages where possible */
	bool serial;
	enum config_console console;
	uint32_t debug_exit;  /* port, or zero */
	uint32_t debug_crash; /* likewise: writes end the driver VM, for tests */
	enum config_profile profile;
	enum config_action on_poweroff, on_reboot, on_crash;
	enum config_watchdog watchdog;
	enum config_on_watchdog on_watchdog;
	enum config_autostart autostart;
	bool packed;            /* virtio devices offer packed rings */
	bool rng;               /* a virtio entropy device */
	uint64_t balloon_bytes; /* a virtio balloon of this size to begin with, or CONFIG_NO_BALLOON */
	uint64_t memory_max;    /* host memory that it may have at a time: `memory_bytes` if not given */
	uint64_t memory_min;    /* that pressure leaves it: a quarter of `memory_bytes` if not given, all of it without a balloon */
	bool share;             /* identical pages are shared with VMs of the same tenant */
	const char *tenant;     /* or NULL */
	unsigned disk_count;
	struct config_disk disk[CONFIG_DISKS_MAX];
	unsigned nic_count;
	struct config_nic nic[CONFIG_NICS_MAX];
	unsigned channel_count;
	struct config_channel channel[CONFIG_CHANNELS_MAX];
	uint32_t line; /* of its [[vm]] */
};

/* [api]: HTTPS of the control VM */
struct config_api {
	bool enabled;
	struct config_subnet ip; /* or by DHCP */
	uint32_t gateway, dns;   /* or zero */
	uint32_t port;
	char name[CONFIG_NAME_BYTES]; /* of the machine: NAME.local by mDNS, and in its certificate */
};

struct config {
	enum config_last_exit on_last_guest_exit;
	bool allow_no_iommu;
	bool core_scheduling;        /* hyper-threads of one core run vCPUs of one VM only */
	uint32_t driver_restarts;    /* of the driver VM, a minute */
	uint32_t watchdog_seconds;   /* after which a machine that hangs is reset; 0: never */
	enum config_devices devices; /* of the host's that the driver VM gets */
	const char *console;         /* name of the VM that the terminal shows first, CONFIG_LOG_NAME, or NULL: the
				first VM */
	uint32_t overcommit;         /* percent of the memory for guests that may be promised to them; 100: no more than there is */
	uint32_t share_rate;         /* pages a second that are looked at for sharing */
	const char *state_disk;      /* where the state is looked for: PCI address or serial number; NULL: on all */
	bool has_uplinks;            /* there are [[nic]] tables, valid or not: whoever wrote the file has a plan */
	unsigned uplink_count;
	struct config_uplink uplink[CONFIG_UPLINKS_MAX]; /* the valid ones */
	struct config_api api;
	unsigned vm_count;
	struct config_vm vm[CONFIG_VMS_MAX]; /* the valid ones, in the order of the file */
};

/* What stands in for [[nic]] where a file has none: a gateway for the bridge CONFIG_BRIDGE_NAME, by any card. */
extern const struct config_uplink config_default_uplink;

struct config_report {
	void (*error)(void *ctx, const char *message); /* one line, "FILE:LINE: KEY: what is wrong" */
	void *ctx;
	/* If not NULL, called instead: `field` is the key within its VM, "memory" or "disk[0].module", or "". */
	void (*problem)(void *ctx, const char *field, const char *detail);
};

/*
 * Reads text[0 .. length) of the file called `file` (for messages). Each error is reported; returns how
 * many there were. *out is always usable: a [[vm]] with an error is left out, a bad key of [hilum] keeps its
 * default, and a syntax error leaves no VM at all. Strings in *out live in the arena, for which
 * CONFIG_ARENA_BYTES(length) is always enough.
 */
unsigned config_read(const char *file, const char *text, size_t length, struct toml_arena *arena, const struct config_report *report,
                     struct config *out);

/*
 * One VM as JSON: an object with the keys of [[vm]] and their types, where a size may be a number of bytes too. It is called `name`; if it
 * has a name of its own that must be the same. Returns how many errors were reported; without any *out is complete. Strings in *out live in
 * the arena, which needs config_json_arena_bytes.
 */
size_t config_json_arena_bytes(const char *text, size_t length);
unsigned config_read_json(const char *name, const char *text, size_t length, struct toml_arena *arena, const struct config_report *report,
                          struct config_vm *out);

/*
 * A table with any of the keys of a VM's schedule (weight, cap, reservation, cpus, dedicated): the others keep their values. Returns how
 * many errors were reported; with any *vm is as it was.
 */
unsigned config_read_schedule(const struct toml_value *table, const struct config_report *report, struct config_vm *vm);

/* What `memory_min` is where it is not given. */
uint64_t config_default_memory_min(const struct config_vm *vm);

/* Whether a VM may be called so. */
bool config_is_vm_name(const char *name);

#endif
