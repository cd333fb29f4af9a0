/*
 * Operands of the instruction emulator: registers of every width, segmentation, memory through the host's
 * callbacks, and the making of exceptions. Private to insn_*.c.
 */
#ifndef DRIVERS_VM_LIB_INSN_OPERAND_H
#define DRIVERS_VM_LIB_INSN_OPERAND_H

#include "drivers-vm/lib/guest_walk.h"
#include "drivers-vm/lib/insn_alu.h"
#include "drivers-vm/lib/insn_emulate.h"

/* Bit of struct hilum_segment.attributes: D/B, 32-bit code or stack. */
#define INSN_SEGMENT_BIG 0x0400u

/* Fills in context->exception, with a zero error code where the vector has one, and returns INSN_EXCEPTION.
 */
enum insn_result insn_raise(struct insn_context *c, unsigned vector);

/* Reads or writes `bytes` (1 to 8) of a general register. A 4-byte write clears the upper half, smaller ones
 * keep the rest. */
uint64_t insn_register_read(const struct insn_context *c, const struct insn *insn, unsigned number, unsigned bytes);
void insn_register_write(struct insn_context *c, const struct insn *insn, unsigned number, unsigned bytes, uint64_t value);

/* Offset of the memory operand within its segment, cut to the address size. `next_rip` is that of the next
 * instruction. */
uint64_t insn_effective_address(const struct insn_context *c, const struct insn *insn, uint64_t next_rip);

/*
 * Segment offset to linear address, with the checks that the CPU makes: canonical form, limits, type. Raises
 * #GP(0), or #SS(0) for the stack segment. SDM vol. 3A, "Limit Checking", "Type Checking"; APM vol. 2,
 * "Segmentation in 64-Bit Mode".
 */
enum insn_result insn_linear_address(struct insn_context *c, unsigned segment, uint64_t offset, unsigned bytes, unsigned access,
                                     uint64_t *linear);

/* Memory of 1 to 8 bytes at segment:offset, as a number. `access` may carry GUEST_ACCESS_WRITE for
 * read-modify-write. */
enum insn_result insn_memory_read(struct insn_context *c, unsigned segment, uint64_t offset, unsigned bytes, unsigned access,
                                  uint64_t *value);
enum insn_result insn_memory_write(struct insn_context *c, unsigned segment, uint64_t offset, unsigned bytes, uint64_t value);

/* String instructions: insn_string.c. `insn` has one of the operations MOVS to SCAS, INS, OUTS. */
enum insn_result insn_emulate_string(struct insn_context *c, const struct insn *insn);

#endif
