/* The control VM's own parts: modules, the driver VM, guests. Everything here runs on its one vCPU. */
#ifndef DRIVERS_VM_CONTROL_CONTROL_H
#define DRIVERS_VM_CONTROL_CONTROL_H

#include "drivers-vm/control/config.h"
#include "drivers-vm/lib/channel.h"
#include "drivers-vm/runtime/service.h"

/* Event bits of the control VM. */
#define CONTROL_EVENT_DRIVER        0u /* a message from the driver VM */
#define CONTROL_EVENT_DRIVER_STATUS 1u
#define CONTROL_EVENT_DEVICE        2u  /* a device of the host's was stopped by the IOMMU */
#define CONTROL_EVENT_GUEST         64u /* + slot % CONTROL_GUEST_EVENTS: the status of one of these VMs has changed */
#define CONTROL_GUEST_EVENTS        64u

/* ---- modules.c: images by name, boot modules and uploaded ones ------------------------------------------------------------------ */
#define MODULE_PARTS_MAX 24u

struct module {
	char name[CONFIG_MODULE_BYTES];
	const uint8_t *data; /* mapped here read-only, or by the uploader to be filled */
	uint64_t bytes;
	/* The memory objects that it is made of, one after the other; each but the last is full. */
	unsigned parts;
	hilum_handle_t memory[MODULE_PARTS_MAX];
	uint64_t part_bytes; /* of each but the last */
	unsigned holders;    /* who uses it beyond a call */
	uint64_t filled;     /* bytes of it that have come */
	bool uploaded;
	bool complete;
	bool gone; /* removed or replaced: freed when nobody holds it any more */
};

/* Map all modules; each that cannot be mapped is named in the log. */
void modules_init(void);
/* The complete one of that name; NULL if there is none. It lives until the next call of the main loop, or as long as it is held. */
struct module *module_find(const char *name);
/* By index, in no order; NULL: the place is free. */
#define MODULES_MAX (HILUM_BOOT_MODULES_MAX + 32u)
struct module *module_at(unsigned index);
/* Whether there is one at this address. */
bool module_is_there(const struct module *module);
/* The places for uploaded ones, in a row. */
#define MODULES_UPLOADED_MAX (MODULES_MAX - HILUM_BOOT_MODULES_MAX)
struct module *modules_uploaded(void);
/* images_recover.c: those that an earlier control VM had, as images_note has noted them; then, those that nobody uses any more go. */
void images_recover(void);
void images_recover_end(void);
void images_note(void);
unsigned module_index(const struct module *module);
/* A free place for an uploaded one; NULL: there is none. */
struct module *module_place(void);
/* images.c: gives an uploaded one's memory back, and its place. */
void module_free(struct module *module);
void module_hold(struct module *module);
void module_release(struct module *module);
/* Map all of it into `vm`, to whole pages. Negative on error: nothing is mapped. */
int64_t module_map(const struct module *module, hilum_handle_t vm, uint64_t gpa, uint32_t rights);
void module_unmap(const struct module *module, hilum_handle_t vm, uint64_t gpa);

extern struct hilum_host_info control_host;
extern bool control_cores_are_one_vms; /* hyper-threads of a core run one VM only */
extern uint64_t control_idle_tsc;      /* TSC ticks since the machine's start that the main loop has waited, or had not begun */

/* Words for a negative result of a hypercall. */
const char *control_error(int64_t error);

/* Words for a VM's crash. */
const char *control_crash(uint32_t crash);

/* A new event that targets this VM's `bit`; negative on error. */
int64_t control_event(unsigned bit);

/* A fresh memory object of `bytes`, mapped here at `*at` until memory_unmap_here. Negative on error. */
int64_t control_memory_create(uint64_t bytes, uint32_t flags);
/* A page of lazy memory that was never touched, zeroed. False: the machine has no memory for it; a plain access would be this VM's end. */
bool control_fill_page(void *page);
bool control_map_here(hilum_handle_t memory, uint64_t bytes, uint8_t **at);
void control_unmap_here(uint8_t *at, uint64_t bytes);

/* ---- driver.c: the driver VM ------------------------------------------------------------------------------------------------------ */
/* Create and start it; false (and a line in the log) if that fails: no guest can run then. */
bool driver_start(const char *show);
/* Its devices stand still when it ends, and all that was its own is given back. */
void driver_stop(void);
/* Whether it has crashed or let a call's time pass: nothing reaches it any more. */
bool driver_is_lost(void);
/* Have it look at what it shares with this VM: counts that are wanted, typed input. */
void driver_kick(void);
/* What its heap has left, as it says itself; 0: there is none. */
uint64_t driver_heap_free(void);
/* There is typed input for the slot's guest. */
void driver_typed(uint32_t slot);
/* Let those of its vCPUs that waited for memory try again: a bit for each. */
void driver_run_waiting(uint64_t vcpus);
/* NULL, or how it has crashed. If it waits for memory, that is seen to. */
const char *driver_ending(void);
/* To be asked at a steady pace: whether one of its vCPUs has not woken up the last `allowed` + 1 times; wakes all. */
bool driver_has_missed_beats(unsigned allowed);
extern hilum_handle_t driver_vm;
extern uint64_t driver_wall_clock_ns; /* since 1970 at host TSC 0, as the driver VM told it */

/* Send a command; waits while the ring is full. */
void driver_send(const struct channel_message *message);
/* Send it and wait for the answer `kind` of that slot, up to `timeout_ns`. Other messages go to control_message meanwhile. */
bool driver_call(const struct channel_message *message, enum channel_kind kind, uint64_t timeout_ns);
/* Handle what has come. */
void driver_poll(void);
/* Map something into it. */
int64_t driver_map(hilum_handle_t memory, uint64_t gpa, uint64_t bytes);
int64_t driver_unmap(uint64_t gpa, uint64_t bytes);

/* ---- driver_watch.c: its end and its successor ------------------------------------------------------------------------------------- */
/* Start the first one; then the main loop waits no longer than until driver_watch's answer, in TSC ticks, and calls it again. */
bool driver_begin(const struct config *config);
uint64_t driver_watch(void);
/* It asks for its own end, as a test does, or an operator. */
void driver_request_restart(void);
/* "running", "restarting", or "lost" for good. */
const char *driver_state(void);
/* Ever. */
uint64_t driver_restart_count(void);

/* ---- guest_devices.c: what stands behind the guests' devices --------------------------------------------------------------------------- */
/* Tell the driver VM of the slot's devices, before ATTACH; false (and a line in the log): one of them cannot be had. */
struct guest;
bool guest_devices_send(const struct guest *g, uint32_t slot);
/* Tell it which network cards of the machine join the switch; after devices_give. */
void guest_devices_send_uplinks(const struct config *config);
/* Give a fresh driver VM what the old one had for them; before guest_devices_send. */
bool guest_devices_resume(uint32_t slot);
/* Give back what they had; after DETACH, when the slot is left. */
void guest_devices_free(uint32_t slot);
/* The number by which the driver VM knows a bridge that the machine itself needs, for ever; 0: no memory. */
uint32_t guest_devices_machine_number(const char *name);

/* ---- driver_space.c: places in the driver VM, from CHANNEL_RAM_GPA up -------------------------------------------------------- */
/* A place for `bytes`, at a 2 MiB boundary, from 1 GiB on at one of 1 GiB; 0: there is none. */
uint64_t driver_space_take(uint64_t bytes);
void driver_space_give(uint64_t gpa);
/* One that an earlier control VM had taken; false: that cannot be. */
bool driver_space_claim(uint64_t gpa, uint64_t bytes);
bool driver_space_is_taken(uint64_t gpa);

/* ---- cpuid_build.c: pure ---------------------------------------------------------------------------------------------------------------- */
typedef void (*cpuid_source)(uint32_t leaf, uint32_t subleaf, uint32_t out[4]);
/* Build the table for a guest with `vcpus` vCPUs from what the machine has (`source`) and the kernel virtualises, of XSAVE's components
 * `xcr0_mask`; returns the count, at most HILUM_CPUID_MAX. */
unsigned cpuid_build(cpuid_source source, uint64_t xcr0_mask, unsigned vcpus, bool kvm_leaves, uint64_t tsc_hz,
                     struct hilum_cpuid_entry *out);

#endif
