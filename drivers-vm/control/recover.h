/*
 * A control VM takes over from one that has ended: what that one had noted in memory that outlives it (survivor.h) is compared with what the
 * kernel says there is. What both know goes on; what only the kernel knows belongs to nobody any more and is given back.
 */
#ifndef DRIVERS_VM_CONTROL_RECOVER_H
#define DRIVERS_VM_CONTROL_RECOVER_H

#include "drivers-vm/control/config.h"

#include <hilum/abi.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- For main.c, in this order ----------------------------------------------------------------------------------------------------- */
/* First of all. True: another control VM was here before, and can be followed; else everything begins, and nothing is left of another one but
 * what the next three find. */
bool recover_begin(void);
/* The devices that another one found, so that nobody touches them who does not know what they do; false: they are to be found. */
bool recover_devices(void);
/* If it is followed: images, port and driver VM. `config` stays. False: there is no driver VM, nor will there be. */
bool recover_host(const struct config *config);
/* If it is followed, after the definitions are known: the VMs go on, and what nobody claims is given back. */
void recover_vms(void);
/* What happens from now on is noted for the next one. */
void recover_note_changes(void);
void recover_note_devices(void);
/* To be called in the main loop: after a while it has gone well. Returns when it must be called again, in TSC ticks; 0: never. */
uint64_t recover_watch(void);
/* The VMs of hilum.toml were started. */
bool recover_all_started(void);
void recover_note_all_started(void);

/* How often the control VM was restarted since the machine was; and how often in a row, so that each attempt believes less. */
uint32_t recover_restarts(void);
unsigned recover_attempts(void);

/* A VM is about to be made in this slot, or (negative) was. One that two control VMs have died of is not made by itself again. */
void recover_note_making(int slot);
/* The record of the VM in this slot, before something of it is destroyed, or as the guest has asked for something. */
void recover_note_slot(uint32_t slot);

/* ---- For the parts, while recover_begin to recover_vms lasts ------------------------------------------------------------------------ */
/* The handle was there before and names an object of this type (HILUM_OBJECT_*): it has an owner again. 0 is nothing's handle. */
bool recover_claim(hilum_handle_t handle, unsigned type);
/* The same, but nobody owns it by that. */
bool recover_has(hilum_handle_t handle, unsigned type);
/* A bool of a record, whatever its byte is. */
static inline bool recover_bool(const bool *kept)
{
	return *(const uint8_t *)kept != 0;
}

/* Statics of a part that its successor finds again. Each part has one function that calls recover_keep for each, to note and to find. */
struct recover_kept {
	uint8_t *at;
	size_t left;
	bool finds; /* else notes */
	bool failed;
};
void recover_keep(struct recover_kept *kept, void *value, size_t bytes);
#define RECOVER_KEEP(kept, value) recover_keep((kept), &(value), sizeof(value))

/* ---- The parts' own; each claims its handles ----------------------------------------------------------------------------------------- */
void driver_keep(struct recover_kept *kept);
void driver_watch_keep(struct recover_kept *kept);
void devices_keep(struct recover_kept *kept);
void guest_devices_keep(struct recover_kept *kept);
void port_keep(struct recover_kept *kept);
void log_keep(struct recover_kept *kept);
void manager_end_keep(struct recover_kept *kept);

void devices_recover(void);
void guest_devices_recover_uplinks(void);
void port_recover(void);
/* Whether the driver VM is all there; it is replaced if not. */
bool driver_adopt(void);
/* False: there is none any more, for good. */
bool driver_recover(const struct config *config);
/* After the guests are known. */
void driver_recover_end(void);

#endif
