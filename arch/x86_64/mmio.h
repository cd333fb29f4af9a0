/* Single accesses to device registers, each one bus cycle. Tests put a device model in this header's place. */
#ifndef ARCH_X86_64_MMIO_H
#define ARCH_X86_64_MMIO_H

#include "arch/x86_64/types.h"

#define MMIO_ACCESSORS(type, bits)                                                                           \
	static inline type mmio_read##bits(const volatile void *p)                                           \
	{                                                                                                    \
		return *(const volatile type *)p;                                                            \
	}                                                                                                    \
	static inline void mmio_write##bits(volatile void *p, type value)                                    \
	{                                                                                                    \
		*(volatile type *)p = value;                                                                 \
	}
MMIO_ACCESSORS(uint32_t, 32)
MMIO_ACCESSORS(uint64_t, 64)

#endif
