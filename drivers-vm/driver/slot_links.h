/*
 * Who is at the other end of a channel between two guests. The numbers by which the ends are joined are the control VM's; ends come and go
 * on vCPU 0, doorbells are rung on any.
 */
#ifndef DRIVERS_VM_DRIVER_SLOT_LINKS_H
#define DRIVERS_VM_DRIVER_SLOT_LINKS_H

#include "drivers-vm/driver/slots.h"

/* All ends of the slot's machine can be rung from now on; and not any more. */
void slot_links_join(struct slot *s);
void slot_links_leave(struct slot *s);

/* The machine's wish, with its slot's lock. */
void slot_links_note(struct slot *s, uint32_t number, unsigned vector);
/* What was noted: to be taken with the lock, and rung without it, since that takes the other slot's. */
struct slot_ring {
	uint32_t number;   /* of the channel */
	uint32_t position; /* that is rung */
	uint32_t vectors;  /* bit n: vector n */
};
unsigned slot_links_take(struct slot *s, struct slot_ring rings[MODEL_LINKS]);
void slot_links_ring(const struct slot_ring *rings, unsigned count);

#endif
