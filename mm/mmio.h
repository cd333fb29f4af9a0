/*
 * Which physical addresses are device registers that a VM may have: those that are not RAM, that root mode does not use
 * itself, and to which a write is no interrupt.
 */
#ifndef MM_MMIO_H
#define MM_MMIO_H

#include "arch/x86_64/types.h"

/* No RAM that we know of lies in [first, last]. */
bool mmio_is_no_ram(hpa_t first, hpa_t last);

/* Keeps [first, last] for root mode, for ever. False: RAM, or too many such ranges. Boot core, before VMs exist. */
bool mmio_claim(hpa_t first, hpa_t last);

/* True if a VM may have [hpa, hpa + bytes); it does not wrap. */
bool mmio_is_free(hpa_t hpa, uint64_t bytes);

#endif
