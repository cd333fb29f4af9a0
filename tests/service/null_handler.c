/*
 * For the bench alone: a driver VM that answers reads of one port before any device model sees them, so that a call from VM to VM and
 * back can be measured without a device's work in it. Linked into the driver VM's image with ld's --wrap=slot_trap (mk/bench.mk).
 */
#include "drivers-vm/driver/slots.h"

#define NULL_PORT 0x510u /* tests/guest/bench/port_ops.c reads it */

bool __real_slot_trap(const struct hypercall_trap *t);
bool __wrap_slot_trap(const struct hypercall_trap *t);

bool __wrap_slot_trap(const struct hypercall_trap *t)
{
	if (t->kind != HILUM_TRAP_PORT || t->address != NULL_PORT || t->write)
		return __real_slot_trap(t);
	struct hilum_trap *page = (struct hilum_trap *)channel_trap_page((uint32_t)t->badge, t->vcpu);
	page->value = t->size;
	return true;
}
