/*
 * The guests that are there: a slot each, with its VM, its memory and its devices. Mechanism only: what an operator may ask for, and
 * what follows an end, is manager.c's.
 */
#ifndef DRIVERS_VM_CONTROL_GUEST_H
#define DRIVERS_VM_CONTROL_GUEST_H

#include "drivers-vm/control/control.h"
#include "drivers-vm/control/guest_map.h"
#include "drivers-vm/control/manager.h"

struct guest {
	const struct config_vm *config; /* NULL: the slot is free */
	bool made;                      /* all of the handles below are there */
	bool ended;                     /* kept for a look: it never goes on */
	bool paused;
	unsigned killed; /* driver VMs have died of its state, one after the other */
	hilum_handle_t vm, memory, state;
	hilum_handle_t record; /* struct vm_record; the console's */
	uint32_t vcpus;        /* that have been made, from 0 on; some of them may not be plugged in, */
	uint64_t plugged;      /* as bit n says of vCPU n; */
	uint64_t leaving;      /* the guest is asked to let go of these */
	uint64_t ejected;      /* by the driver VM: it has let go of these, which waits for guest_run_requests */
	hilum_handle_t vcpu[HILUM_MAX_VCPUS];
	struct guest_map map;
	uint64_t driver_ram; /* where its RAM is in the driver VM */
	uint8_t *ram;        /* while it is being loaded */
	uint64_t paused_tsc;
	uint64_t balloon_wanted, balloon_pressure; /* what its balloon is to hold: by operators, and where memory is short */
	uint64_t memory_max, memory_min;           /* limits in force: those of its definition, or an operator's */
	bool asked;                                /* by the driver VM: request and value wait for guest_run_requests */
	uint64_t request, value;
	bool barked; /* likewise: its watchdog */
};

/* How a guest comes to its end. */
enum guest_end {
	GUEST_POWERED_OFF,
	GUEST_RESET,
	GUEST_DEBUG_EXIT, /* value: what it wrote */
	GUEST_CRASHED,    /* value: HILUM_CRASH_* */
	GUEST_LOST,       /* no driver VM can go on with its devices */
};

/* A free slot for the guest of `config`, which lives as long as the slot is taken; negative: there is none. */
int guest_take(const struct config_vm *config, hilum_handle_t record);
/* Make and start it. If it fails nothing is left of it but the slot and its RAM disks, and *error says why. `paused`: no instruction yet. */
enum manager_result guest_make(uint32_t slot, bool paused, struct manager_error *error);
/* It ends at once, and all is given back but the slot and its RAM disks. Nothing for one that is not made. */
void guest_unmake(uint32_t slot);
/* Unmakes it, and gives back slot and RAM disks. */
void guest_leave(uint32_t slot);

/* Of a free slot, or none: a guest that is not made. */
struct guest *guest_at(uint32_t slot);
/* One past the last slot that is taken. */
uint32_t guest_slots(void);

/* An earlier control VM had `kept` in this slot, which is free. False: not all of it is there; the slot has no guest then. */
bool guest_recover(uint32_t slot, const struct guest *kept, const struct config_vm *config, hilum_handle_t record);
bool guest_has_crashed(uint32_t slot);
/* Its vCPUs do what it is said to do: run, or stand still. Nobody debugs it any more. */
void guest_recover_end(uint32_t slot);

/* All its vCPUs stand still; its clock does, too, as its TSC goes on from where it stood. */
void guest_pause(uint32_t slot);
void guest_continue(uint32_t slot);
/* All its vCPUs stand still, and have done so for `stood_tsc`: its TSC goes on from where it stood, and with it its clocks. */
void guest_turn_back_clock(uint32_t slot, uint64_t stood_tsc);
/* Stands still for good. */
void guest_preserve(uint32_t slot);
/* Its vCPUs get what its configuration says of cores, weight and limits, from their next turn on. After a failure some may have it. */
enum manager_result guest_schedule(uint32_t slot, struct manager_error *error);
/* Whether that core is one guest's alone, which has asked nothing of the driver VM since `*asked` was written here last. */
bool guest_core_is_undisturbed(uint32_t core, uint64_t *asked);
void guest_press_button(uint32_t slot);
/*
 * So many vCPUs, from 1 to vcpus_max: those that are missing are there at once, for the guest to start them; those that are too many the
 * guest is asked to let go of. MANAGER_NO_MEMORY: some are still missing.
 */
enum manager_result guest_set_vcpus(uint32_t slot, unsigned count);
unsigned guest_count_vcpus(const struct guest *g);
/* The guest has let go of it. False: that cannot be. */
bool guest_take_vcpu(uint32_t slot, uint64_t index);
void guest_inject_nmi(uint32_t slot);

/*
 * What its balloon is to ask the guest for, in bytes below its memory: by an operator, until it ends. False: it has no balloon, or that is
 * not less than its memory. The greater of this and of guest_press_balloon's counts; 0: nothing is asked for.
 */
bool guest_set_balloon(uint32_t slot, uint64_t bytes);
/* The same where the machine's memory is short (memory_watch.c). */
void guest_press_balloon(uint32_t slot, uint64_t bytes);
uint64_t guest_balloon_target(const struct guest *g);
/* Its limits until it ends; what goes with them has been checked. */
void guest_set_limits(uint32_t slot, uint64_t most, uint64_t least);

/* The driver VM passes on what a guest asks for; it is done by the next guest_run_requests, from the main loop. */
void guest_request(uint32_t slot, uint64_t request, uint64_t value);
void guest_run_requests(void);
/* Its VM's status event has fired. */
void guest_check_status(uint32_t slot);

/* There is a fresh driver VM: every guest goes on with it, but those whose devices' state nobody can go on with. Stops when the driver VM
 * is lost again. Returns how many go on. */
unsigned guest_resume_all(void);

/* The slot's guest has come to its end: manager.c decides. Its vCPUs may still run. */
void manager_guest_ended(uint32_t slot, enum guest_end end, uint64_t value);
/* It has not touched its watchdog in time; said again each time that the time has passed once more. */
void manager_guest_watchdog(uint32_t slot);
/* It says that it has let go of a vCPU. */
void manager_guest_ejected(uint32_t slot, uint64_t vcpu);

/* ---- For guest*.c ------------------------------------------------------------------------------------------ */
/* Why it cannot be made: in the log, and for the operator. Always false. */
bool guest_fail(const struct guest *g, enum manager_result result, const char *field, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
bool guest_load(struct guest *g);
/* The next one, `index`, stopped. */
bool guest_make_vcpu(struct guest *g, uint32_t index);
bool guest_share_trap_page(const struct guest *g, uint32_t slot, uint32_t index);
/* The driver VM's view of the guest: RAM, trap pages, and the state that outlives the driver VM. */
bool guest_share(const struct guest *g, uint32_t slot);
void guest_unshare(const struct guest *g, uint32_t slot);
/* Has the driver VM make its devices and answer its traps. */
bool guest_attach(struct guest *g, uint32_t slot, uint32_t flags);
void guest_host_cpuid(uint32_t leaf, uint32_t subleaf, uint32_t r[4]);
extern struct hilum_vcpu_state guest_scratch_state; /* vCPU 0's first state, from guest_load on */

#endif
