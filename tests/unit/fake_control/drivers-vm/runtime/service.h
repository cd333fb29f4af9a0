/* Calls and clock for tests of the control VM: each is a function of the test. Stands in for the real header. */
#ifndef DRIVERS_VM_RUNTIME_SERVICE_H
#define DRIVERS_VM_RUNTIME_SERVICE_H

#include <hilum/abi.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

int64_t fake_call(uint64_t number, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f);
uint64_t service_tsc(void);
uint64_t service_ns_to_tsc(uint64_t ns);
bool service_map_memory(uint64_t gpa, uint64_t bytes);
_Noreturn void runtime_abort(const char *reason);
void service_log(const char *format, ...) __attribute__((format(printf, 1, 2)));

struct hypercall_trap {
	uint64_t badge;
};

int64_t hypercall_wait(uint64_t flags, uint64_t deadline_tsc, struct hypercall_trap *trap);

#define FAKE_CALL_6(n, a, b, c, d, e, f, ...) \
	fake_call((n), (uint64_t)(a), (uint64_t)(b), (uint64_t)(c), (uint64_t)(d), (uint64_t)(e), (uint64_t)(f))
#define hc(...) FAKE_CALL_6(__VA_ARGS__, 0, 0, 0, 0, 0, 0, 0)

#endif
