/*
 * A core file of a guest that stands still: its registers as they were, and a hold on its memory, so that it can be read while the
 * guest is restarted or gone. The file is made while it is read.
 */
#ifndef DRIVERS_VM_CONTROL_COREDUMP_COREDUMP_H
#define DRIVERS_VM_CONTROL_COREDUMP_COREDUMP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct coredump;

/* Of the guest in that slot, none of whose vCPUs runs. NULL: no memory, or it is not made. */
struct coredump *coredump_take(uint32_t slot);
/* Memory that nobody else holds is free again. */
void coredump_free(struct coredump *core);
uint64_t coredump_bytes(const struct coredump *core);
/* Nothing of its memory is mapped here until it is read again. */
void coredump_rest(const struct coredump *core);
/* Copies what is there of [offset, offset + count) of the file; returns how much, less than `count` at its end or where no memory is left
 * for pages that the guest has never used: *failed then. */
size_t coredump_read(struct coredump *core, uint64_t offset, uint8_t *to, size_t count, bool *failed);

#endif
