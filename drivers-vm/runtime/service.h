/*
 * What both service VMs stand on: start of each vCPU, waiting, time, logging, locks, and the view of guest-physical memory. Memory
 * is identity-mapped; what lies above 4 GiB is mapped by service_map_memory.
 */
#ifndef DRIVERS_VM_RUNTIME_SERVICE_H
#define DRIVERS_VM_RUNTIME_SERVICE_H

#include "drivers-vm/runtime/hypercall.h"
#include "drivers-vm/runtime/runtime.h"
#include <stddef.h>

/* The image's own code, one of the two: entered by each vCPU on its own stack; vCPU 0 first. */
_Noreturn void service_start(uint32_t vcpu);

static inline struct hilum_shared_page *service_shared(void)
{
	return (struct hilum_shared_page *)HILUM_SERVICE_SHARED_GPA;
}

/* Take the pending events of this vCPU: word 0 or 1. */
static inline uint64_t service_take_events(uint32_t vcpu, unsigned word)
{
	uint64_t *pending = &service_shared()->pending[vcpu][word];

	return *(volatile uint64_t *)pending != 0 ? __atomic_exchange_n(pending, 0, __ATOMIC_ACQ_REL) : 0;
}

static inline uint64_t service_tsc(void)
{
	uint32_t low, high;

	__asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
	return (uint64_t)high << 32 | low;
}

uint64_t service_tsc_to_ns(uint64_t tsc);
uint64_t service_ns_to_tsc(uint64_t ns);

/* One line of the kernel's log; longer ones are cut. */
void service_log(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Make [gpa, gpa + bytes) addressable at its own address; false: no memory for tables. Nothing for what lies below 4 GiB. */
bool service_map_memory(uint64_t gpa, uint64_t bytes);

struct service_lock {
	uint32_t held;
};

static inline void service_lock(struct service_lock *lock)
{
	while (__atomic_exchange_n(&lock->held, 1, __ATOMIC_ACQUIRE) != 0)
		__asm__ volatile("pause");
}

static inline void service_unlock(struct service_lock *lock)
{
	__atomic_store_n(&lock->held, 0, __ATOMIC_RELEASE);
}

#endif
