/* Random bytes from the CPU's own source. */
#ifndef DRIVERS_VM_DRIVER_ENTROPY_H
#define DRIVERS_VM_DRIVER_ENTROPY_H

#include <stdbool.h>
#include <stddef.h>

/* Whether this CPU has RDSEED or RDRAND. */
bool entropy_is_available(void);

/* Fills `to`; returns how many bytes there were. */
size_t entropy_read(void *to, size_t count);

#endif
