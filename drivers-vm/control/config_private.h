/* The schema's machinery: tables are described by arrays of fields, and one reader fills a struct from them.
 */
#ifndef DRIVERS_VM_CONTROL_CONFIG_PRIVATE_H
#define DRIVERS_VM_CONTROL_CONFIG_PRIVATE_H

#include "drivers-vm/control/config.h"

struct config_reader {
	const char *file;
	const struct config_report *report;
	unsigned errors;
	bool sizes_as_numbers; /* a size may be a number of bytes */
	const char *table;     /* "vm.disk" while one of its tables is read, else NULL */
	unsigned place;        /* of that table among its like, from zero */
};

struct config_field;

/* Checks one value and stores it in the struct at `target`; false after reporting. */
typedef bool config_set_fn(struct config_reader *reader, const struct config_field *field, const struct toml_value *value, void *target);

struct config_field {
	const char *path; /* as messages show it: "vm.memory" */
	const char *key;
	config_set_fn *set;
	size_t offset; /* in the struct to fill */
	bool required;
	uint64_t low, high;         /* integers: range; strings: lengths */
	const char *const *choices; /* enums: words in the enum's order, NULL at the end */
};

/* Reports "FILE:LINE: PATH: ..." and counts it; returns false so that callers can return it. */
bool config_fail(struct config_reader *reader, uint32_t line, const char *path, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

/*
 * Fills `target` from a table: every key must be a field, every required field there. `prefix` goes before unknown keys. False if
 * anything was reported.
 */
bool config_read_table(struct config_reader *reader, const struct config_field *fields, unsigned count, const char *prefix,
                       const struct toml_value *table, void *target);

/* A [[vm]] on its own: keys, their checks, and those across keys. *vm is complete if it returns true; else something was reported. */
bool config_read_vm(struct config_reader *reader, const struct toml_value *table, struct config_vm *vm);

config_set_fn config_set_boolean;
config_set_fn config_set_uint32;
config_set_fn config_set_autostart; /* enum config_autostart, from a boolean */
config_set_fn config_set_choice;
config_set_fn config_set_text;    /* const char * */
config_set_fn config_set_vm_name; /* char[CONFIG_NAME_BYTES] */
config_set_fn config_set_memory;  /* uint64_t, bytes */
config_set_fn config_set_size;    /* uint64_t, bytes; any multiple of 4 KiB */
config_set_fn config_set_cores;   /* uint64_t, mask */
config_set_fn config_set_port;    /* uint32_t */
config_set_fn config_set_rate;    /* uint64_t, bytes a second */
config_set_fn config_set_disks;   /* struct config_vm: disk and disk_count */

config_set_fn config_set_subnet;   /* struct config_subnet; low and high limit its prefix */
config_set_fn config_set_ip4;      /* uint32_t, a number */
config_set_fn config_set_nics;     /* struct config_vm: nic and nic_count */
config_set_fn config_set_channels; /* likewise channel and channel_count */

/* An array of tables. `read` adds what one of them says to the VM; false after reporting. */
struct config_tables {
	unsigned most;
	const char *header;
	bool (*read)(struct config_reader *reader, const struct toml_value *table, struct config_vm *vm);
};

/* Each element is a table, and there are not too many. False after reporting. */
bool config_check_tables(struct config_reader *reader, const struct config_field *field, const struct toml_value *value,
                         const struct config_tables *tables);

/* Reads each element, if all are tables and not too many. False after reporting. */
bool config_read_tables(struct config_reader *reader, const struct config_field *field, const struct toml_value *value,
                        const struct config_tables *tables, struct config_vm *vm);

/* [[nic]]: the valid ones are added to `out`. */
void config_read_uplinks(struct config_reader *reader, const struct toml_value *value, struct config *out);

bool config_same_network(const struct config_subnet *network, uint32_t address);

/* [api]; and what it is without that table. */
void config_read_api(struct config_reader *reader, const struct toml_value *table, struct config_api *api);
void config_default_api(struct config_api *api);

/* The file has no [[nic]], but guests' cards on the default bridge: they share the first card of the machine. */
void config_add_default_uplink(struct config *config);

/* After all keys of a VM are read: cards without an address get one. */
void config_name_nics(struct config_vm *vm);

/* Each two cards of [vm, vm + count) have different addresses; false after reporting. */
bool config_check_macs(struct config_reader *reader, const struct config_vm *vm, unsigned count);

/* After all keys of a VM are read; false after reporting. */
bool config_check_channels(struct config_reader *reader, const struct config_vm *vm);

/* Addresses in their text forms; false: it is none. */
bool config_parse_mac(const char *text, uint8_t mac[6]);
bool config_parse_ip4(const char *text, uint8_t ip[4]);
bool config_parse_ip6(const char *text, uint8_t ip[16]);

/* Whether `text` is a GUID in its text form. */
bool config_is_uuid(const char *text);

/* The word among `count` names that `key` was most likely meant to be, or NULL when none is close. */
const char *config_suggest_name(struct toml_text key, const char *const *names, unsigned count);

#endif
