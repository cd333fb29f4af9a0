/*
 * Debuggers of the guests: one for a VM, reached by the API's WebSocket, which these calls move the bytes of. A VM that is shut off
 * is started for its debugger and stands at its first instruction. The declarations of api_gdb_* are those of the API's platform.h.
 */
#ifndef DRIVERS_VM_CONTROL_GDB_GDB_H
#define DRIVERS_VM_CONTROL_GDB_GDB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GDB_SESSIONS_MAX 4u
#define GDB_ERROR_BYTES	 200u

/* A number for the next calls, or negative with a sentence in `error`: no such VM, another debugger has it, it cannot be started. */
int api_gdb_open(const char *vm, char error[GDB_ERROR_BYTES]);
/* From the debugger; all bytes are taken. */
size_t api_gdb_receive(int session, const void *bytes, size_t count);
/* To the debugger; zero: nothing now. */
size_t api_gdb_send(int session, void *to, size_t size);
/* False: it is over, and wants api_gdb_close. What api_gdb_send still has is worth sending. */
bool api_gdb_is_open(int session);
/* The debugger has gone: the VM goes on without it. */
void api_gdb_close(int session);

/* ---- What the guest's life tells (guest.c, guest_life.c). Nothing for a slot that no debugger has. ------------------------------ */
/* The status event of the slot's VM has fired. */
void gdb_guest_check(uint32_t slot);
/* It has crashed. True: the debugger looks at it, and its end has to wait; guest_check_status is called again then. */
bool gdb_guest_crashed(uint32_t slot, uint32_t vcpu);
/* It is about to be unmade. */
void gdb_guest_gone(uint32_t slot);

#endif
