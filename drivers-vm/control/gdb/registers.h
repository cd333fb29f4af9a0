/*
 * A vCPU's registers as GDB numbers them: amd64's core with the FPU, SSE, the bases of FS and GS, and the control registers as a
 * feature of Hilum's own. Pure. GDB manual, "Target Descriptions", "i386 Features".
 */
#ifndef DRIVERS_VM_CONTROL_GDB_REGISTERS_H
#define DRIVERS_VM_CONTROL_GDB_REGISTERS_H

#include "include/hilum/abi.h"

#include <stdbool.h>
#include <stddef.h>

#define GDB_REGISTERS      64u /* their number */
#define GDB_REGISTER_BYTES 16u /* of the largest */
#define GDB_XMM_COUNT      16u

/* What HC_VCPU_GET_STATE fetches for a debugger. */
#define GDB_STATE_GROUPS HILUM_STATE_ALL

/* The description that tells GDB of them. */
extern const char gdb_target_xml[];

/* The bytes of register `number`, below GDB_REGISTERS, little endian; returns how many. */
size_t gdb_register_bytes(unsigned number);
size_t gdb_register_get(const struct hilum_vcpu_state *state, unsigned number, uint8_t out[GDB_REGISTER_BYTES]);

/*
 * Changes it in `state`; returns the HILUM_STATE_* group to set. Zero: it cannot be changed, as a selector without its descriptor
 * cannot.
 */
uint32_t gdb_register_set(struct hilum_vcpu_state *state, unsigned number, const uint8_t in[GDB_REGISTER_BYTES]);

#endif
