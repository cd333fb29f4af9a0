/*
 * The virtio devices of a guest's machine: collected from the control VM's messages, made when the machine
 * is, gone with it. All on vCPU 0.
 */
#ifndef DRIVERS_VM_DRIVER_SLOT_DEVICES_H
#define DRIVERS_VM_DRIVER_SLOT_DEVICES_H

#include "drivers-vm/driver/machine.h"
#include "drivers-vm/driver/state_area.h"
#include "drivers-vm/lib/channel.h"

struct slot_disk;
struct slot_nic;

/* Joins all cards of all guests; what leads to the world is added by its driver. vCPU 0's. */
extern struct net_switch driver_switch;

struct slot_devices {
	unsigned disks;
	struct slot_disk *disk[MODEL_DISKS];
	struct virtio_blk *blk; /* of all disks */
	unsigned nics;
	struct slot_nic *nic[MODEL_NICS];
	struct virtio_net *net; /* of all cards */
	bool joined;            /* to the switch */
	struct virtio_rng *rng;
	struct virtio_balloon *balloon;
	unsigned links;
	struct ivshmem_config link_config[MODEL_LINKS];
	struct ivshmem *link; /* of all channels' ends */
	bool incomplete;      /* a message could not be kept */
};

/* Keep what the next slot_devices_make makes. */
void slot_devices_add_disk(struct slot_devices *devices, const struct channel_message *m);

void slot_devices_add_nic(struct slot_devices *devices, const struct channel_message *m);

void slot_devices_add_link(struct slot_devices *devices, const struct channel_message *m);

/* What slot_devices_make takes from a state area, in a number: see state_area_open. */
uint64_t slot_devices_layout(void);

/* Of the configuration that slot_devices_make filled in: where the same devices are in the state of the driver VM before. */
void slot_devices_old(const struct state_area *area, const struct machine_config *config, struct machine_config *old);

/* Fill in the devices of the machine that ATTACH message `m` asks for; false: not all can be made, and the
 * log says so. */
bool slot_devices_make(struct slot_devices *devices, struct state_area *area, const struct channel_message *m,
                       struct machine_config *config);

/* After machine_init: the cables. */
bool slot_devices_join(struct slot_devices *devices, const char *name);

/* Let real devices finish what they do for the machine. */
void slot_devices_poll(struct slot_devices *devices);

/* Unplug the cables; frames that others hold are still under way. */
void slot_devices_leave(struct slot_devices *devices);

void slot_devices_free(struct slot_devices *devices);

#endif
