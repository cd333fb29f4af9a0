/* Device registers for tests of drivers whose devices do something when a register is read or written: each access is a function of the
 * test. Stands in for the real header. */
#ifndef DRIVERS_VM_DRIVER_HOST_MMIO_H
#define DRIVERS_VM_DRIVER_HOST_MMIO_H

#include <stdint.h>

uint32_t fake_mmio_read(const volatile uint8_t *base, uint64_t offset);
void fake_mmio_write(volatile uint8_t *base, uint64_t offset, uint32_t value);

static inline uint32_t mmio_read32(const volatile uint8_t *base, uint64_t offset)
{
	return fake_mmio_read(base, offset);
}

static inline void mmio_write32(volatile uint8_t *base, uint64_t offset, uint32_t value)
{
	fake_mmio_write(base, offset, value);
}

static inline uint16_t mmio_read16(const volatile uint8_t *base, uint64_t offset)
{
	return (uint16_t)fake_mmio_read(base, offset);
}

static inline void mmio_write16(volatile uint8_t *base, uint64_t offset, uint16_t value)
{
	fake_mmio_write(base, offset, value);
}

static inline void mmio_write64(volatile uint8_t *base, uint64_t offset, uint64_t value)
{
	mmio_write32(base, offset, (uint32_t)value);
	mmio_write32(base, offset + 4, (uint32_t)(value >> 32));
}

static inline void mmio_publish(void)
{
}

static inline void mmio_observe(void)
{
}

#endif
