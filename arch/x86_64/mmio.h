/* Single accesses to device registers, each one bus cycle. Tests put a device model in this header's place. */
#ifndef ARCH_X86_64_MMIO_H
#define ARCH_X86_64_MMIO_H

#include "arch/x86_64/types.h"

static inline uint32_t mmio_read32(const volatile void *p)
{
	return *(const volatile uint32_t *)p;
}

static inline uint64_t mmio_read64(const volatile void *p)
{
	return *(const volatile uint64_t *)p;
}

static inline void mmio_write32(volatile void *p, uint32_t value)
{
	*(volatile uint32_t *)p = value;
}

static inline void mmio_write64(volatile void *p, uint64_t value)
{
	*(volatile uint64_t *)p = value;
}

#endif
