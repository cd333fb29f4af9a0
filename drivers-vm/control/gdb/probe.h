/*
 * Whether debug registers work for guests here, which an emulator may not bring about (QEMU 7.2's SVM does not): a VM of two
 * instructions with a breakpoint on the first one finds out. It halts in any case, and costs nothing while nobody asks.
 */
#ifndef DRIVERS_VM_CONTROL_GDB_PROBE_H
#define DRIVERS_VM_CONTROL_GDB_PROBE_H

#include <stdbool.h>

/* Lets it run; nothing if it is known already. */
void gdb_probe_start(void);
/* What came out; true as long as it is not known. */
bool gdb_probe_says_yes(void);

#endif
