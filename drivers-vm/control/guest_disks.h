/* The memory behind the guests' RAM disks, as a control VM leaves it to the next one. */
#ifndef DRIVERS_VM_CONTROL_GUEST_DISKS_H
#define DRIVERS_VM_CONTROL_GUEST_DISKS_H

#include "drivers-vm/control/control.h"

struct guest_disk {
	uint64_t gpa, bytes;   /* in the driver VM, whole pages; 0: none yet */
	uint64_t size;         /* of the medium */
	hilum_handle_t memory; /* a copy of the module, the VM's own; or */
	struct module *module; /* the module itself, held, to be read only. The same image has it at the same address */
};

/* Those of a slot. */
const struct guest_disk *guest_devices_disks(uint32_t slot);
/* They are there again; false: one of them is not, and it has none in its place. */
bool guest_devices_recover(uint32_t slot, const struct config_vm *config, const struct guest_disk kept[CONFIG_DISKS_MAX]);

#endif
