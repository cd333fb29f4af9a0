/*
 * Distinct scalar types of root mode. Host-physical, guest-physical and guest-virtual addresses never mix by accident in a
 * signature; all are plain 64-bit integers to the compiler.
 */
#ifndef ARCH_X86_64_TYPES_H
#define ARCH_X86_64_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint64_t hpa_t;    /* host-physical address, bytes */
typedef uint64_t gpa_t;    /* guest-physical address, bytes */
typedef uint64_t gva_t;    /* guest-virtual (linear) address, bytes */
typedef uint32_t cpu_id_t; /* dense index of a host core, 0 .. cpu_count - 1 */

#define PAGE_SHIFT 12u
#define PAGE_SIZE  4096ull
#define PAGE_MASK  (PAGE_SIZE - 1)

#define LARGE_PAGE_SIZE (1ull << 21)

#define HPA_INVALID (~0ull)

#define ARRAY_SIZE(a)         (sizeof(a) / sizeof((a)[0]))
#define ALIGN_UP(x, a)        (((x) + (a)-1) & ~((__typeof__(x))(a)-1))
#define ALIGN_DOWN(x, a)      ((x) & ~((__typeof__(x))(a)-1))
#define container_of(p, t, m) ((t *)((char *)(p)-offsetof(t, m)))

#define likely(x)    __builtin_expect(!!(x), 1)
#define unlikely(x)  __builtin_expect(!!(x), 0)
#define never_inline __attribute__((__noinline__))
#define rare         __attribute__((__cold__)) /* a function whose size counts more than its speed */
#define must_check   __attribute__((warn_unused_result))
#define sealed       __attribute__((section(".sealed"))) /* a variable that boot alone writes: read-only from mm_seal on */

#endif
