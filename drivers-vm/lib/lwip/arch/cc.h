/* What lwIP wants to know of its surroundings: a freestanding compiler, and the runtime's libc. */
#ifndef DRIVERS_VM_LIB_LWIP_ARCH_CC_H
#define DRIVERS_VM_LIB_LWIP_ARCH_CC_H

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

/* A broken invariant of lwIP's ends the service VM before it does harm. */
#define LWIP_PLATFORM_DIAG(x)
#define LWIP_PLATFORM_ASSERT(x) abort()

uint32_t lwip_random(void); /* whoever has lwIP has it */
#define LWIP_RAND() lwip_random()

#endif
