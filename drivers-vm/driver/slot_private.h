/* What the parts of a slot share: slots.c, slot_host.c, slot_timers.c, slot_traps.c. */
#ifndef DRIVERS_VM_DRIVER_SLOT_PRIVATE_H
#define DRIVERS_VM_DRIVER_SLOT_PRIVATE_H

#include "drivers-vm/driver/slots.h"

/* slots.c: tells the kernel which ports are doorbells now. With the slot's lock. */
void slot_rebind_doorbells(struct slot *s);

/* slot_host.c: what its machine calls. */
void slot_host_init(struct slot *s);
/* Where the driver VM has `bytes` bytes of the guest's RAM from `gpa` on; NULL: not all of that is RAM. `ctx` is the slot. */
void *slot_ram(void *ctx, uint64_t gpa, uint64_t bytes);

/* slot_timers.c. `ctx` is the slot, whose lock is held; times are the guest's, ns, 0: none. */
uint64_t slot_now(void *ctx);
void slot_timer_arm(void *ctx, unsigned timer, uint64_t deadline_ns);
/* When the slot is to be looked at, host TSC; 0: none of its timers runs. */
void slot_set_deadline(const struct slot *s, uint64_t deadline_tsc);

#endif
