/* What the files of the recovery have between them: recover.c, recover_objects.c, recover_vms.c. */
#ifndef DRIVERS_VM_CONTROL_RECOVER_PRIVATE_H
#define DRIVERS_VM_CONTROL_RECOVER_PRIVATE_H

#include "drivers-vm/control/boot_reason.h"
#include "drivers-vm/control/manager_private.h"
#include "drivers-vm/control/store/store_sync.h"

const struct hilum_boot_info *recover_boot_info(void);

/* ---- recover_objects.c: the handles that were there when this control VM began ------------------------------------------------------- */
void objects_list(void);
/* The first memory object of this size; 0: there is none. */
hilum_handle_t objects_find_memory(uint64_t bytes);
/* Destroys VMs that nobody has claimed, closes all other handles that nobody has. Returns how many there were; *claimed: of others. */
unsigned objects_end_unclaimed(unsigned *claimed);

/* ---- recover_vms.c: definitions and guests --------------------------------------------------------------------------------------------- */
void vms_note(const struct manager_entry *e);
void vms_note_all(void);
void vms_forget(const char *name);
void vms_recover(void);
/* The driver VM, if it goes on, lets go of what belongs to no guest that goes on. */
void vms_release_unclaimed(void);
/* Guests run, or stand still, as they did; VMs that were being started are. Returns how many guests go on. */
unsigned vms_go_on(void);

/* ---- Single things of parts that know nothing of the recovery -------------------------------------------------------------------------- */
struct host_rest {
	struct store_position position;
	char boot_reason[BOOT_REASON_BYTES];
};
void host_rest_get(struct host_rest *rest);
void host_rest_set(const struct host_rest *rest);

#endif
