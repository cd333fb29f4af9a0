/* Single accesses to device registers, each one bus cycle. Tests put a device model in this header's place. */
#ifndef ARCH_X86_64_MMIO_H
#define ARCH_X86_64_MMIO_H

#include "arch/x86_64/types.h"

#define mmio_read32(p)         (*(const volatile uint32_t *)(p))
#define mmio_read64(p)         (*(const volatile uint64_t *)(p))
#define mmio_write32(p, value) (*(volatile uint32_t *)(p) = (uint32_t)(value))
#define mmio_write64(p, value) (*(volatile uint64_t *)(p) = (value))

#endif
