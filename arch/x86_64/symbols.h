/* Names of the kernel's own functions, for backtraces; the table is made from the linked image
 * (mk/symbols.awk). */
#ifndef ARCH_X86_64_SYMBOLS_H
#define ARCH_X86_64_SYMBOLS_H

#include "arch/x86_64/types.h"

/* Name of the function that holds `address` and the distance from its start; NULL if it is in none. */
const char *symbols_find(uint64_t address, uint64_t *offset);

#endif
