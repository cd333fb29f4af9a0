/* Device registers and memory that devices write: every access is one access, in program order. */
#ifndef DRIVERS_VM_DRIVER_HOST_MMIO_H
#define DRIVERS_VM_DRIVER_HOST_MMIO_H

#include <stdint.h>

static inline uint8_t mmio_read8(const volatile uint8_t *base, uint64_t offset)
{
	return base[offset];
}

static inline uint16_t mmio_read16(const volatile uint8_t *base, uint64_t offset)
{
	return *(const volatile uint16_t *)(base + offset);
}

static inline uint32_t mmio_read32(const volatile uint8_t *base, uint64_t offset)
{
	return *(const volatile uint32_t *)(base + offset);
}

/* In two halves: not every device can be read 8 bytes at a time. */
static inline uint64_t mmio_read64(const volatile uint8_t *base, uint64_t offset)
{
	uint32_t low = mmio_read32(base, offset);

	return (uint64_t)mmio_read32(base, offset + 4) << 32 | low;
}

static inline void mmio_write8(volatile uint8_t *base, uint64_t offset, uint8_t value)
{
	base[offset] = value;
}

static inline void mmio_write16(volatile uint8_t *base, uint64_t offset, uint16_t value)
{
	*(volatile uint16_t *)(base + offset) = value;
}

static inline void mmio_write32(volatile uint8_t *base, uint64_t offset, uint32_t value)
{
	*(volatile uint32_t *)(base + offset) = value;
}

static inline void mmio_write64(volatile uint8_t *base, uint64_t offset, uint64_t value)
{
	mmio_write32(base, offset, (uint32_t)value);
	mmio_write32(base, offset + 4, (uint32_t)(value >> 32));
}

/* What was written before is in memory before the device is told. x86 keeps the order of stores; the compiler has to be asked. */
static inline void mmio_publish(void)
{
	__atomic_thread_fence(__ATOMIC_RELEASE);
}

/* What is read after is no older than what was read before. */
static inline void mmio_observe(void)
{
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
}

#endif
