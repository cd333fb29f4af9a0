/*
 * The host's IOAPICs: routing of device interrupts, nothing else. Lock: ioapic_lock (rank IRQ), protects the
 * index/data register pairs. 82093AA datasheet, 3.0 Register Description.
 */
#ifndef ARCH_X86_64_IOAPIC_H
#define ARCH_X86_64_IOAPIC_H

#include "arch/x86_64/status.h"

/* Adds one IOAPIC whose registers are at `mmio` and masks all of its pins. STATUS_NO_MEMORY: too many;
 * STATUS_INVALID: not one. */
must_check enum status ioapic_add(volatile void *mmio, uint32_t gsi_base);

/* Masks both 8259s for ever, after moving their spurious interrupts out of the exceptions' way. */
void ioapic_disable_8259(void);

/* Routes `gsi`, which is masked, to `vector`, with `high` for bits 63:32 of its entry (who gets it), by rising edges, and
 * leaves it masked. STATUS_NOT_FOUND: no such pin.
 */
must_check enum status ioapic_route(uint32_t gsi, unsigned vector, uint32_t high);

must_check enum status ioapic_set_mask(uint32_t gsi, bool masked);

#endif
