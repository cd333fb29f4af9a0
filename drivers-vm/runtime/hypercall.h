/* The instruction behind <hilum/abi.h>'s calls, for 64-bit code outside root mode. */
#ifndef DRIVERS_VM_RUNTIME_HYPERCALL_H
#define DRIVERS_VM_RUNTIME_HYPERCALL_H

#include <hilum/abi.h>
#include <stdbool.h>

extern bool hypercall_is_intel; /* set once by the runtime: vmcall instead of vmmcall */

static inline int64_t hypercall(uint64_t number, uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5)
{
	register uint64_t r10 __asm__("r10") = a3;
	register uint64_t r8 __asm__("r8") = a4;
	register uint64_t r9 __asm__("r9") = a5;
	int64_t result;

	if (hypercall_is_intel)
		__asm__ volatile("vmcall"
		                 : "=a"(result), "+D"(a0), "+S"(a1), "+d"(a2), "+r"(r10), "+r"(r8), "+r"(r9)
		                 : "a"(number)
		                 : "memory");
	else
		__asm__ volatile("vmmcall"
		                 : "=a"(result), "+D"(a0), "+S"(a1), "+d"(a2), "+r"(r10), "+r"(r8), "+r"(r9)
		                 : "a"(number)
		                 : "memory");
	return result;
}

#define HC_ARG_6(n, a, b, c, d, e, f, ...) \
	hypercall((n), (uint64_t)(a), (uint64_t)(b), (uint64_t)(c), (uint64_t)(d), (uint64_t)(e), (uint64_t)(f))
/* hc(number, up to six arguments): the rest are zero. */
#define hc(...) HC_ARG_6(__VA_ARGS__, 0, 0, 0, 0, 0, 0, 0)

/* What HC_WAIT returned. */
struct hypercall_trap {
	uint64_t badge;
	uint32_t vcpu, kind;
	uint64_t address;
	uint32_t size;
	bool write;
	uint64_t value;
};

/* HC_WAIT; fills `trap` when the result is HILUM_WAIT_TRAP. */
static inline int64_t hypercall_wait(uint64_t flags, uint64_t deadline_tsc, struct hypercall_trap *trap)
{
	register uint64_t r10 __asm__("r10") = 0;
	register uint64_t r8 __asm__("r8") = 0;
	register uint64_t r9 __asm__("r9") = 0;
	uint64_t a0 = flags, a1 = deadline_tsc, a2 = 0;
	int64_t result;

	if (hypercall_is_intel)
		__asm__ volatile("vmcall"
		                 : "=a"(result), "+D"(a0), "+S"(a1), "+d"(a2), "+r"(r10), "+r"(r8), "+r"(r9)
		                 : "a"((uint64_t)HC_WAIT)
		                 : "memory");
	else
		__asm__ volatile("vmmcall"
		                 : "=a"(result), "+D"(a0), "+S"(a1), "+d"(a2), "+r"(r10), "+r"(r8), "+r"(r9)
		                 : "a"((uint64_t)HC_WAIT)
		                 : "memory");
	trap->badge = a2;
	trap->vcpu = (uint32_t)a1;
	trap->kind = (uint32_t)a0;
	trap->address = r8;
	trap->size = r9 & 0xFF;
	trap->write = r9 >> 8 & 1;
	trap->value = r10;
	return result;
}

#endif
