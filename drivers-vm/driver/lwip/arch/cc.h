/* What lwIP wants to know of its surroundings: a freestanding compiler, and the runtime's libc. */
#ifndef DRIVERS_VM_DRIVER_LWIP_ARCH_CC_H
#define DRIVERS_VM_DRIVER_LWIP_ARCH_CC_H

#include <stdint.h>
#include <stdlib.h>

#define LWIP_NO_INTTYPES_H 1
#define LWIP_NO_UNISTD_H   1
#define LWIP_NO_CTYPE_H    1
#define X8_F               "02x"
#define U16_F              "u"
#define S16_F              "d"
#define X16_F              "x"
#define U32_F              "u"
#define S32_F              "d"
#define X32_F              "x"
#define SZT_F              "zu"

/* A broken invariant of lwIP's ends the driver VM before it does harm. */
#define LWIP_PLATFORM_DIAG(x)
#define LWIP_PLATFORM_ASSERT(x) abort()

uint32_t nat_stack_random(void);
#define LWIP_RAND() nat_stack_random()

#endif
