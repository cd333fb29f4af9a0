/* Register accesses go to the model of an IOMMU in the test. Stands in for the real header by include order. */
#ifndef ARCH_X86_64_MMIO_H
#define ARCH_X86_64_MMIO_H

#include "arch/x86_64/types.h"

uint64_t fake_mmio_read(const volatile void *p, unsigned bytes);
void fake_mmio_write(volatile void *p, uint64_t value, unsigned bytes);

static inline uint32_t mmio_read32(const volatile void *p)
{
	return (uint32_t)fake_mmio_read(p, 4);
}

static inline uint64_t mmio_read64(const volatile void *p)
{
	return fake_mmio_read(p, 8);
}

static inline void mmio_write32(volatile void *p, uint32_t value)
{
	fake_mmio_write(p, value, 4);
}

static inline void mmio_write64(volatile void *p, uint64_t value)
{
	fake_mmio_write(p, value, 8);
}

#endif
