/* What the C library part of the runtime needs from the part that knows the hypervisor. */
#ifndef DRIVERS_VM_RUNTIME_RUNTIME_H
#define DRIVERS_VM_RUNTIME_RUNTIME_H

/* Reports `reason` (one line, no newline) and ends this service VM; the hypervisor's restart policy takes
 * over. */
_Noreturn void runtime_abort(const char *reason);

#endif
