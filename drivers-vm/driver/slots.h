/* The guests that this driver VM serves: one slot each, with its machine of device models, its RAM and its trap pages. */
#ifndef DRIVERS_VM_DRIVER_SLOTS_H
#define DRIVERS_VM_DRIVER_SLOTS_H

#include "drivers-vm/driver/machine.h"
#include "drivers-vm/driver/slot_devices.h"
#include "drivers-vm/lib/channel.h"
#include "drivers-vm/runtime/service.h"

/* What outlives the driver VM. */
struct slot_state {
	uint64_t start_tsc;                 /* guest time 0 */
	uint16_t doorbell[MACHINE_VIRTIOS]; /* bound in the kernel: first port of each device, 0: none */
	bool crashing;                      /* a write to debug_crash ends the driver VM: the next one takes it as done */
	struct machine machine;
};

struct slot {
	struct service_lock lock; /* machine, deadline, blocked */
	unsigned entered;         /* how often vCPU 0 has taken the lock by slot_enter */
	bool attached;
	bool ending; /* the guest asked for its end: its vCPUs are not answered any more */
	uint32_t index;
	uint32_t vm_handle, vcpus, physical_bits;
	unsigned unsupported; /* instructions that could not be emulated */
	unsigned console;     /* where typed input goes: MACHINE_CONSOLE_* */
	uint64_t ram, low_bytes, high_bytes;
	uint32_t doorbell_event;
	bool doorbells_changed;
	uint32_t rings;                          /* of the other ends of its channels, to be done: see slot_links_take */
	struct vm_record *record;                /* console and counts, for the control VM */
	uint64_t backed;                         /* bytes of the record's output that have memory */
	struct vm_record_counts counted;         /* by driver VMs before this one */
	uint64_t deadline_ns[MODEL_TIMER_COUNT]; /* guest time; 0: not armed */
	uint64_t next_ns;                        /* none of them is before; 0: none is armed */
	struct slot_devices devices;
	struct state_area area;
	struct slot_state *state;
	struct model_host host;
	char name[32];
};

extern struct slot *slot_table[CHANNEL_SLOTS]; /* for slot_at alone, which each trap runs through */

/* NULL: that slot was never used. One that was stays, so that other vCPUs may hold its address. */
static inline struct slot *slot_at(uint32_t index)
{
	return index < CHANNEL_SLOTS ? __atomic_load_n(&slot_table[index], __ATOMIC_ACQUIRE) : NULL;
}

/* Seconds since 1970 now. */
uint64_t slots_wall_clock(void);

/*
 * The slot's lock, for vCPU 0 outside of slot_*; nests. vCPU 0 alone may hold two slots' locks: the others never wait for a second
 * one.
 */
void slot_enter(struct slot *s);
void slot_leave(struct slot *s);

/* Commands of the control VM; vCPU 0. A device is for the next slot_attach. */
void slot_add_device(uint32_t index, const struct channel_message *m);
bool slot_attach(uint32_t index, const struct channel_message *m);
void slot_detach(uint32_t index);

/* Answer one trap; false: it gets no answer (the guest is ending). Any vCPU. */
bool slot_trap(const struct hypercall_trap *t);

/* A notification port of a guest that has this doorbell, below CHANNEL_DOORBELLS, was written: its queues may have buffers. vCPU 0. */
void slots_doorbell(uint32_t doorbell);

/* Typed input for the guest's console: how many bytes were taken. vCPU 0. */
size_t slot_input(uint32_t index, const uint8_t *bytes, size_t count);

/* A press of the guest's power button. vCPU 0. */
void slot_press_button(uint32_t index);
/* A new target of the guest's balloon, in pages of 4 KiB; nothing without one. vCPU 0. */
void slot_set_balloon(uint32_t index, uint64_t pages);
/* The guest stood still: its watchdog is touched in its stead. vCPU 0. */
void slot_touch_watchdog(uint32_t index);
/* vCPUs that are there, and of them those that shall go; bit n is vCPU n. vCPU 0. */
void slot_set_vcpus(uint32_t index, uint64_t present, uint64_t shall_go);

/* ---- slot_record.c: what the control VM sees of the guests ---- */
/* Keeps output of a guest that is attached; true: the control VM waits for some. Any vCPU, one at a time. */
bool slot_record_output(uint32_t index, const uint8_t *bytes, size_t count);
/* What operators have typed for the guest waits for slots_offer_input. Any vCPU. */
void slot_note_input(uint32_t index);
/* Offers it to the guests that some waits for. vCPU 0. */
void slots_offer_input(void);
/* Brings the counts of all guests up to date. vCPU 0. */
void slots_record_counts(void);
void slot_record_open(struct slot *s, bool resume);
/* Once: the driver VM's own handle. */
void slot_record_init(uint32_t self);

/* Run what is due and return the next deadline in TSC ticks, 0 if there is none. vCPU 0. */
uint64_t slots_run_timers(void);

/* ---- What main.c gives -------------------------------------------------------------------------------------------------------- */
void console_output(uint32_t slot, unsigned console, const uint8_t *bytes, size_t count);
void console_room(uint32_t slot, unsigned console);
void control_request(uint32_t slot, enum channel_request request, uint64_t value);
/* vCPU 0 must look at the timers before `deadline_tsc`. */
void timers_changed(uint64_t deadline_tsc);

#endif
