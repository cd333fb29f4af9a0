/*
 * Channels between guests: memory that two of them map, and a number by which the driver VM joins their doorbells. A channel is there only
 * where both VMs' definitions say so, and lives as long as one of the two has a slot; another one begins with zeroes.
 */
#ifndef DRIVERS_VM_CONTROL_GUEST_CHANNELS_H
#define DRIVERS_VM_CONTROL_GUEST_CHANNELS_H

#include "drivers-vm/control/control.h"
#include "drivers-vm/control/guest_map.h"

struct guest;

/* What a slot has of one, as a control VM leaves it to the next; by the place in its definition. */
struct guest_channel {
	uint32_t number; /* 0: none yet */
	hilum_handle_t memory;
};

/* Finds or makes what the definition declares, and maps it into the guest's VM, which is new. False: told as guest_fail does; where the
 * other VM declares it differently, among events and in the audit log, too. */
bool guest_channels_open(const struct guest *g, uint32_t slot);
/* Tells the driver VM, before ATTACH. */
void guest_channels_send(const struct guest *g, uint32_t slot);
/* The slot is left. */
void guest_channels_free(uint32_t slot);

/* Those of a slot, CONFIG_CHANNELS_MAX. */
const struct guest_channel *guest_channels_of(uint32_t slot);
/* They are there again; false: one of them is not, and it has none in its place. */
bool guest_channels_recover(uint32_t slot, const struct config_vm *config, const struct guest_channel kept[CONFIG_CHANNELS_MAX]);

#endif
