/*
 * Debuggers of the guests: one for a VM, reached by the API's WebSocket through api_gdb_* (drivers-vm/control/api/platform.h). A VM that is
 * shut off is started for its debugger and stands at its first instruction.
 */
#ifndef DRIVERS_VM_CONTROL_GDB_GDB_H
#define DRIVERS_VM_CONTROL_GDB_GDB_H

#include <stdbool.h>
#include <stdint.h>

#define GDB_SESSIONS_MAX 4u

/* ---- What the guest's life tells (guest.c, guest_life.c). Nothing for a slot that no debugger has. ------------------------------ */
/* The status event of the slot's VM has fired. */
void gdb_guest_check(uint32_t slot);
/* It has crashed. True: the debugger looks at it, and its end has to wait; guest_check_status is called again then. */
bool gdb_guest_crashed(uint32_t slot, uint32_t vcpu);
/* It is about to be unmade. */
void gdb_guest_gone(uint32_t slot);

#endif
