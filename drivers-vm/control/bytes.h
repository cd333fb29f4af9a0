/* Little-endian fields at any alignment in a byte buffer. The caller has checked the bounds. */
#ifndef DRIVERS_VM_CONTROL_BYTES_H
#define DRIVERS_VM_CONTROL_BYTES_H

#include <stdint.h>
#include <string.h>

static inline uint16_t bytes_read_u16(const uint8_t *at)
{
	uint16_t value;

	memcpy(&value, at, sizeof(value));
	return value;
}

static inline uint32_t bytes_read_u32(const uint8_t *at)
{
	uint32_t value;

	memcpy(&value, at, sizeof(value));
	return value;
}

static inline uint64_t bytes_read_u64(const uint8_t *at)
{
	uint64_t value;

	memcpy(&value, at, sizeof(value));
	return value;
}

static inline void bytes_write_u16(uint8_t *at, uint16_t value)
{
	memcpy(at, &value, sizeof(value));
}

static inline void bytes_write_u32(uint8_t *at, uint32_t value)
{
	memcpy(at, &value, sizeof(value));
}

static inline void bytes_write_u64(uint8_t *at, uint64_t value)
{
	memcpy(at, &value, sizeof(value));
}

#endif
