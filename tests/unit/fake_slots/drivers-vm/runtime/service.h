/* Calls, clock and locks for tests of the guests' slots: each is a function of the test. Stands in for the real header. */
#ifndef DRIVERS_VM_RUNTIME_SERVICE_H
#define DRIVERS_VM_RUNTIME_SERVICE_H

#include <hilum/abi.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

int64_t fake_call(uint64_t number, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e);
uint64_t service_tsc(void);
bool service_map_memory(uint64_t gpa, uint64_t bytes);
_Noreturn void runtime_abort(const char *reason);
void service_log(const char *format, ...) __attribute__((format(printf, 1, 2)));

#define FAKE_CALL_5(n, a, b, c, d, e, ...) fake_call((n), (uint64_t)(a), (uint64_t)(b), (uint64_t)(c), (uint64_t)(d), (uint64_t)(e))
#define hc(...)                            FAKE_CALL_5(__VA_ARGS__, 0, 0, 0, 0, 0, 0)

struct hypercall_trap {
	uint64_t badge;
	uint32_t vcpu, kind;
	uint64_t address;
	uint32_t size;
	bool write;
	uint64_t value;
};

static inline uint64_t service_tsc_to_ns(uint64_t tsc)
{
	return tsc;
}

static inline uint64_t service_ns_to_tsc(uint64_t ns)
{
	return ns;
}

struct service_lock {
	uint32_t held;
};

void service_lock(struct service_lock *lock);
void service_unlock(struct service_lock *lock);

#endif
