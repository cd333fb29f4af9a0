/* A VM's definition as JSON: what config_read_json reads. Pure. */
#ifndef DRIVERS_VM_CONTROL_CONFIG_JSON_WRITE_H
#define DRIVERS_VM_CONTROL_CONFIG_JSON_WRITE_H

#include "drivers-vm/control/api/json_out.h"
#include "drivers-vm/control/config.h"

/* An object with the value in force of every key but "name"; keys without a value are left out. */
void config_write_json(struct json_out *json, const struct config_vm *vm);
/* Its schedule's members, into an object that is open. `all`: also those without a value. */
void config_write_schedule(struct json_out *json, const struct config_vm *vm, bool all);

#endif
